# SPDX-License-Identifier: Apache-2.0
"""KMIP 2.0 and 2.1: attributes as elements of their own, references, and what 1.x does not have;
and that both majors see the same objects."""

import hashlib
import time
import unittest

import kf
import ttlv
from ttlv import (ACTIVE, PRE_ACTIVE, SUCCESS, VERSIONS_2, boolean, create2, date, enum, integer,
                  interval, item, name2, on, reference, revoke, seq, text, vendor)

INCREMENT, DECREMENT, NEGATE = 1, 2, 3
LOCATE, CREATE, PLACEHOLDER = 0xB, 3, 1
CONTINUE = 1


def new(attribute):
    return seq("NewAttribute", attribute)


def current(attribute):
    return seq("CurrentAttribute", attribute)


def adjust(uid, name, how, value=None, by=None):
    return on("AdjustAttribute", uid, reference(name, by), enum("AdjustmentType", how), value)


class Versions(kf.SharedCase):
    def each(self, test):
        for version in VERSIONS_2:
            with self.subTest(version=version):
                test(self.client(version=version), version)

    def create(self, c, *more, **kwargs):
        return c.ok(create2(*more, **kwargs)).path("UniqueIdentifier")

    def get(self, c, uid, *references):
        """The attributes asked for, as Nodes."""
        payload = c.ok(on("GetAttributes", uid, *references))
        self.assertEqual(payload.tags(), ["UniqueIdentifier", "Attributes"])
        return payload.one("Attributes")

    def value(self, c, uid, name):
        found = self.get(c, uid, reference(name)).value
        self.assertEqual(len(found), 1, name)
        return found[0].value

    def vendors(self, c, uid, name, by="x"):
        return [n.path("AttributeValue") for n in self.get(c, uid, reference(name, by)).value]

    def locate(self, c, *attributes, fields=()):
        payload = c.ok(item("Locate", *fields, seq("Attributes", *attributes)))
        return [n.value for n in payload.all("UniqueIdentifier")]

    def refused(self, c, request, reason, **kwargs):
        result = c.do(request, **kwargs)
        self.assertEqual((result.status, result.reason_name), (ttlv.FAILED, reason), result)

    # The life of a key

    def test_whole_life(self):
        def life(c, version):
            name = "life-%d%d" % version
            uid = self.create(c, name2(name), vendor("Product", "acme"))
            self.assertEqual(self.value(c, uid, "State"), PRE_ACTIVE)
            key = c.do(on("Get", uid))
            self.assertEqual(len(key.key), 32)
            c.ok(on("Activate", uid))
            self.refused(c, on("Activate", uid), "WrongKeyLifecycleState")
            self.assertEqual(self.value(c, uid, "State"), ACTIVE)
            self.assertEqual(self.locate(c, name2(name), enum("State", ACTIVE)), [uid])
            self.refused(c, on("Destroy", uid), "WrongKeyLifecycleState")
            c.ok(revoke(uid, 6))
            c.ok(on("Destroy", uid))
            self.refused(c, on("Destroy", uid), "ObjectDestroyed")
            self.refused(c, on("Get", uid), "ObjectNotFound")
            self.refused(c, item("GetUsageAllocation", text("UniqueIdentifier", uid),
                                 ttlv.Node("UsageLimitsCount", ttlv.LONG, 1)), "ObjectNotFound")
            self.refused(c, on("Get", "nobody"), "ObjectNotFound")
        self.each(life)

    def test_both_majors_see_one_object(self):
        def both(c, _version):
            old = self.client(version=(1, 4))
            uid = self.create(c, name2("two worlds %s" % (c.version,)), vendor("Product", "acme"),
                              vendor("Own", "2.x only", "acme.com"), boolean("QuantumSafe", False))
            listed = [n.value for n in old.ok(on("GetAttributeList", uid)).all("AttributeName")]
            self.assertIn("x-Product", listed)
            for name in listed:  # nothing that 1.x does not know
                self.assertNotIn(name, ("acme.com-Own", "Quantum Safe", "Key Format Type",
                                        "Short Unique Identifier", "Protection Storage Mask"))
            old.ok(on("AddAttribute", uid, ttlv.attribute("x-Product", "second")))
            old.ok(on("AddAttribute", uid, ttlv.attribute("x-From 1", "yes")))
            self.assertEqual(self.vendors(c, uid, "Product"), ["acme", "second"])
            self.assertEqual(self.vendors(c, uid, "From 1"), ["yes"])
            self.assertEqual(self.vendors(c, uid, "Own", "acme.com"), ["2.x only"])
            self.assertEqual(old.do(on("Get", uid)).key, c.do(on("Get", uid)).key)
        self.each(both)

    def test_microseconds(self):
        """Date-Time Extended is a type of 2.x alone; 1.x does not see what has it."""
        def extended(c, _version):
            old = self.client(version=(1, 4))
            value = ttlv.Node("AttributeValue", ttlv.EXTENDED, 1800000000123456)
            uid = self.create(c, vendor("When", value), vendor("Tag", "1"))
            self.assertEqual(self.vendors(c, uid, "When"), [value.value])
            c.ok(adjust(uid, "When", INCREMENT, by="x"))
            self.assertEqual(self.vendors(c, uid, "When"), [value.value + 1])
            listed = [n.value for n in old.ok(on("GetAttributeList", uid)).all("AttributeName")]
            self.assertIn("x-Tag", listed)
            self.assertNotIn("x-When", listed)
            self.assertEqual(old.do(ttlv.get_attributes(uid, "x-When")).attributes(), {})
            self.refused(old, on("AddAttribute", uid, ttlv.attribute("x-a", value)),
                         "InvalidMessage")
        self.each(extended)

    # Reading attributes

    def test_what_every_key_has(self):
        def has(c, version):
            uid = self.create(c, length=128)
            found = self.get(c, uid)
            names = found.tags()
            self.assertEqual(len(names), len(set(names)), "one of each")
            self.assertEqual(found.path("ShortUniqueIdentifier"),
                             hashlib.sha256(uid.encode()).digest())
            self.assertEqual(found.path("KeyFormatType"), 1)
            self.assertEqual(found.path("ProtectionStorageMask"), 1)
            self.assertEqual(found.path("CryptographicLength"), 128)
            self.assertLess(abs(found.path("InitialDate") - time.time()), 300)
            payload = c.ok(on("GetAttributeList", uid))
            self.assertEqual([n.value for n in payload.all("AttributeReference")],
                             [ttlv.TAGS.get(n) or int(n, 16) for n in names])
            for name in ("RotateGeneration", "Comment"):
                self.assertEqual(self.get(c, uid, reference(name)).value, [], version)
            # neither a tag that is no attribute nor one that 2.0 took away is an error
            self.assertEqual(self.get(c, uid, enum("AttributeReference", 0x42005D),
                                      enum("AttributeReference", 0x420005)).value, [])
        self.each(has)

    # Changing attributes

    def test_add(self):
        def add(c, _version):
            uid = self.create(c)
            for value in ("one", "two"):
                payload = c.ok(on("AddAttribute", uid, new(vendor("Tag", value))))
                self.assertEqual(payload.tags(), ["UniqueIdentifier"])
            self.assertEqual(self.vendors(c, uid, "Tag"), ["one", "two"])
            c.ok(on("AddAttribute", uid, new(text("Comment", "a"))))
            for attribute, reason in (
                    (text("Comment", "b"), "AttributeSingleValued"),
                    (enum("State", ACTIVE), "ReadOnlyAttribute"),
                    (integer("Comment", 1), "InvalidAttributeValue"),
                    (enum("ProtectionLevel", 9), "InvalidAttributeValue"),
                    (text(0x42005D, "default"), "InvalidAttribute"),
                    (integer("ProtectionStorageMask", 1), "ReadOnlyAttribute")):
                self.refused(c, on("AddAttribute", uid, new(attribute)), reason)
            self.refused(c, on("AddAttribute", uid), "MissingData")
            self.refused(c, on("AddAttribute", uid, vendor("Tag", "x")), "MissingData")
            self.refused(c, on("AddAttribute", uid, new(vendor("Tag", "x", "no-hyphen"))),
                         "InvalidField")
        self.each(add)

    def test_name_is_unique(self):
        def unique(c, version):
            self.create(c, name2("unique-%d%d" % version))
            self.refused(c, create2(name2("unique-%d%d" % version)), "NonUniqueNameAttribute")
        self.each(unique)

    def test_modify(self):
        def modify(c, _version):
            uid = self.create(c, vendor("Tag", "one"), text("Comment", "first"))
            payload = c.ok(on("ModifyAttribute", uid, new(text("Comment", "second"))))
            self.assertEqual(payload.tags(), ["UniqueIdentifier"])
            self.assertEqual(self.value(c, uid, "Comment"), "second")
            c.ok(on("ModifyAttribute", uid, new(vendor("Tag", "1"))))
            c.ok(on("AddAttribute", uid, new(vendor("Tag", "2"))))
            self.refused(c, on("ModifyAttribute", uid, new(vendor("Tag", "3"))),
                         "MultiValuedAttribute")
            c.ok(on("ModifyAttribute", uid, current(vendor("Tag", "2")), new(vendor("Tag", "3"))))
            self.assertEqual(self.vendors(c, uid, "Tag"), ["1", "3"])
            for before, after, reason in (
                    (vendor("Tag", "2"), vendor("Tag", "4"), "AttributeInstanceNotFound"),
                    (vendor("Tag", "1"), vendor("Other", "4"), "InvalidField"),
                    (None, vendor("Other", "4"), "AttributeNotFound"),
                    (None, text("Description", "4"), "AttributeNotFound"),
                    (None, enum("State", ACTIVE), "AttributeReadOnly"),
                    (None, integer("CryptographicLength", 128), "AttributeReadOnly")):
                self.refused(c, on("ModifyAttribute", uid, current(before) if before else None,
                                   new(after)), reason)
        self.each(modify)

    def test_delete(self):
        def delete(c, _version):
            uid = self.create(c, *[vendor("Tag", v) for v in "1234"], text("Comment", "first"))
            payload = c.ok(on("DeleteAttribute", uid, current(vendor("Tag", "2"))))
            self.assertEqual(payload.tags(), ["UniqueIdentifier"])
            self.assertEqual(self.vendors(c, uid, "Tag"), ["1", "3", "4"])
            self.refused(c, on("DeleteAttribute", uid, current(vendor("Tag", "2"))),
                         "AttributeInstanceNotFound")
            c.ok(on("DeleteAttribute", uid, reference("Tag", "x")))
            self.assertEqual(self.vendors(c, uid, "Tag"), [])
            c.ok(on("DeleteAttribute", uid, reference("Comment")))
            for what, reason in ((reference("Tag", "x"), "AttributeNotFound"),
                                 (reference("Comment"), "AttributeNotFound"),
                                 (reference("State"), "AttributeReadOnly"),
                                 (enum("AttributeReference", 0x42005D), "InvalidAttribute"),
                                 (None, "MissingData")):
                self.refused(c, on("DeleteAttribute", uid, what), reason)
        self.each(delete)

    def test_set(self):
        def set_(c, _version):
            uid = self.create(c)
            for value in ("one", "two"):
                payload = c.ok(on("SetAttribute", uid, new(vendor("Set", value, "tc"))))
                self.assertEqual(payload.tags(), ["UniqueIdentifier"])
                self.assertEqual(self.vendors(c, uid, "Set", "tc"), [value])
            c.ok(on("AddAttribute", uid, new(vendor("Set", "three", "tc"))))
            self.refused(c, on("SetAttribute", uid, new(vendor("Set", "four", "tc"))),
                         "MultiValuedAttribute")
            later = int(time.time()) + 3600
            for when in (later, later + 1):
                c.ok(on("SetAttribute", uid, new(date("ActivationDate", when))))
                self.assertEqual(self.value(c, uid, "ActivationDate"), when)
            c.ok(on("SetAttribute", uid, new(boolean("Sensitive", True))))
            self.refused(c, on("Get", uid), "Sensitive")
            self.refused(c, on("SetAttribute", uid, new(enum("State", ACTIVE))),
                         "ReadOnlyAttribute")
            self.refused(c, on("SetAttribute", uid, new(text(0x42005D, "default"))),
                         "UnsupportedAttribute")
        self.each(set_)

    def test_adjust(self):
        def adjust_(c, _version):
            uid = self.create(c, vendor("n", integer("AttributeValue", 7)))
            n = lambda: self.vendors(c, uid, "n")[0]
            for how, value, result in ((INCREMENT, None, 8), (DECREMENT, None, 7),
                                       (INCREMENT, integer("AdjustmentValue", 10), 17),
                                       (DECREMENT, integer("AdjustmentValue", 20), -3),
                                       (NEGATE, None, 3)):
                payload = c.ok(adjust(uid, "n", how, value, by="x"))
                self.assertEqual(payload.tags(), ["UniqueIdentifier"])
                self.assertEqual(n(), result)
            self.refused(c, adjust(uid, "n", INCREMENT, integer("AdjustmentValue", 2**31 - 1),
                                   by="x"), "NumericRange")
            self.assertEqual(n(), 3)
            # what is not there is zero, or false
            c.ok(adjust(uid, "ProtectionPeriod", INCREMENT, interval("AdjustmentValue", 60)))
            self.assertEqual(self.value(c, uid, "ProtectionPeriod"), 60)
            c.ok(adjust(uid, "QuantumSafe", NEGATE))
            self.assertIs(self.value(c, uid, "QuantumSafe"), True)
            c.ok(adjust(uid, "QuantumSafe", NEGATE))
            self.assertIs(self.value(c, uid, "QuantumSafe"), False)
            c.ok(adjust(uid, "absent", INCREMENT, integer("AdjustmentValue", 5), by="x"))
            self.assertEqual(self.vendors(c, uid, "absent"), [5])
            c.ok(on("AddAttribute", uid, new(vendor("absent", "x"))))
            for request, reason in (
                    (adjust(uid, "ProtectionPeriod", DECREMENT,
                            interval("AdjustmentValue", 61)), "NumericRange"),
                    (adjust(uid, "ProtectionPeriod", NEGATE), "InvalidDataType"),
                    (adjust(uid, "QuantumSafe", INCREMENT), "InvalidDataType"),
                    (adjust(uid, "n", INCREMENT, text("AdjustmentValue", "1"), by="x"),
                     "InvalidDataType"),
                    (adjust(uid, "absent", INCREMENT, by="x"), "MultiValuedAttribute"),
                    (adjust(uid, "State", INCREMENT), "InvalidDataType"),
                    (adjust(uid, "CryptographicLength", INCREMENT), "ReadOnlyAttribute"),
                    (adjust(uid, "ActivationDate", INCREMENT), "ItemNotFound"),
                    (adjust("nobody", "n", INCREMENT, by="x"), "ItemNotFound"),
                    (adjust(uid, "n", 4, by="x"), "InvalidField")):
                self.refused(c, request, reason)
            when = int(time.time()) + 1000
            c.ok(on("SetAttribute", uid, new(date("ActivationDate", when))))
            c.ok(adjust(uid, "ActivationDate", INCREMENT, interval("AdjustmentValue", 60)))
            self.assertEqual(self.value(c, uid, "ActivationDate"), when + 60)
        self.each(adjust_)

    def test_attributes_of_2_1(self):
        rotate = seq("RotateName", text("RotateNameValue", "r"), enum("RotateNameType", 1))
        uid = self.create(self.client(version=(2, 1)), rotate, interval("RotateInterval", 86400),
                          interval("RotateOffset", 5), boolean("RotateAutomatic", False),
                          enum("NISTKeyType", 6), enum("ProtectionLevel", 1))
        c = self.client(version=(2, 1))
        self.assertEqual(self.value(c, uid, "RotateInterval"), 86400)
        self.assertEqual(self.value(c, uid, "NISTKeyType"), 6)
        self.assertEqual(self.get(c, uid, reference("RotateName")).value, [rotate])
        for attribute in (interval("RotateInterval", 1), boolean("RotateAutomatic", True),
                          integer("RotateGeneration", 1), enum("NISTKeyType", 7)):
            self.refused(c, on("ModifyAttribute", uid, new(attribute)),
                         "AttributeReadOnly" if attribute.tag != ttlv.TAGS["RotateGeneration"]
                         else "AttributeNotFound")
        c.ok(on("DeleteAttribute", uid, reference("RotateName")))
        # nobody would rotate it
        self.refused(c, create2(boolean("RotateAutomatic", True)), "FeatureNotSupported")
        older = self.client(version=(2, 0))
        self.assertEqual(self.get(older, uid, reference("RotateInterval")).value, [])
        self.assertEqual(self.value(older, uid, "NISTKeyType"), 6)
        self.refused(older, create2(rotate), "UnsupportedAttribute")

    # Create

    def test_create(self):
        def create(c, _version):
            masks = lambda *ms: seq("ProtectionStorageMasks",
                                    *[integer("ProtectionStorageMask", m) for m in ms])
            self.create(c, after=[masks(1)])
            self.create(c, after=[masks(2, 1)])
            self.refused(c, create2(after=[masks(2)]), "ProtectionStorageUnavailable")
            self.refused(c, create2(after=[masks(3, 0x1002)]), "ProtectionStorageUnavailable")
            self.create(c, enum("KeyFormatType", 1))
            self.refused(c, create2(enum("KeyFormatType", 7)), "KeyFormatTypeNotSupported")
            self.refused(c, item("Create", enum("ObjectType", 6), seq("Attributes")),
                         "InvalidObjectType")
            self.refused(c, item("Create", enum("ObjectType", 2)), "MissingData")
            self.refused(c, item("Create", enum("ObjectType", 2), ttlv.template(
                *ttlv.aes_attributes())), "MissingData")
        self.each(create)

    def test_register_derive_rekey(self):
        """What takes attributes beside Create takes them in the same form."""
        def objects(c, version):
            name = "reg-%d%d" % version
            given = (enum("CryptographicAlgorithm", 3), integer("CryptographicLength", 128),
                     integer("CryptographicUsageMask", 0x200))
            inside = seq("Attributes", vendor("Inside", "1"), text("Comment", "beside the key"))
            block = lambda *more: seq("SymmetricKey", seq(
                "KeyBlock", enum("KeyFormatType", 1),
                seq("KeyValue", ttlv.octets("KeyMaterial", bytes(range(16))), *more)))
            masks = lambda m: seq("ProtectionStorageMasks", integer("ProtectionStorageMask", m))
            register = lambda *rest: item("Register", enum("ObjectType", 2), seq(
                "Attributes", *given, name2(name)), *rest)
            self.refused(c, register(block(), masks(2)), "ProtectionStorageUnavailable")
            uid = c.ok(register(block(inside), masks(1))).path("UniqueIdentifier")
            self.assertEqual(self.vendors(c, uid, "Inside"), ["1"])
            self.assertEqual(self.value(c, uid, "Comment"), "beside the key")
            self.assertEqual(c.do(on("Get", uid)).key, bytes(range(16)))
            c.ok(on("Activate", uid))
            self.refused(c, on("Encrypt", uid, seq("CryptographicParameters",
                                                   enum("BlockCipherMode", 2)),
                               ttlv.octets("Data", bytes(16))),
                         "IncompatibleCryptographicUsageMask")
            derived = c.ok(item(
                "DeriveKey", enum("ObjectType", 2), text("UniqueIdentifier", uid),
                enum("DerivationMethod", 2), seq("DerivationParameters", seq(
                    "CryptographicParameters", enum("HashingAlgorithm", 6))),
                seq("Attributes", *given[:2], integer("CryptographicUsageMask", 4),
                    vendor("Derived", "yes")), masks(1))).path("UniqueIdentifier")
            self.assertEqual(c.do(on("Get", derived)).key,
                             hashlib.sha256(bytes(range(16))).digest()[:16])
            self.assertEqual(self.vendors(c, derived, "Derived"), ["yes"])
            new_uid = c.ok(on("ReKey", uid, seq("Attributes", vendor("Second", "2")))).path(
                "UniqueIdentifier")
            self.assertEqual(self.vendors(c, new_uid, "Second"), ["2"])
            self.assertEqual(self.locate(c, name2(name)), [new_uid])
            answer = c.call(item("Register", enum("ObjectType", 8), seq("Attributes"), seq(
                "OpaqueObject", enum("OpaqueDataType", 0x80000001),
                ttlv.octets("OpaqueDataValue", b"o")), ubid=b"1"),
                            item("GetAttributeList", enum("UniqueIdentifier", 0xC), ubid=b"2"))
            self.assertEqual(answer.items[1].uid, answer.items[0].uid)
            self.assertNotIn(ttlv.TAGS["KeyFormatType"], [
                n.value for n in answer.items[1].payload.all("AttributeReference")])
        self.each(objects)

    # Which object is meant

    def test_references_to_objects(self):
        def references(c, version):
            by = lambda kind, value: kind("UniqueIdentifier", value)
            name = name2("ref-%d%d" % version)
            answer = c.call(
                create2(ubid=b"1"), create2(name, ubid=b"2"),
                item("Get", by(enum, CREATE), ubid=b"3"),
                item("Get", by(enum, PLACEHOLDER), ubid=b"4"),
                item("Get", by(integer, 0), ubid=b"5"),
                item("Get", by(integer, -1), ubid=b"6"),
                item("Locate", seq("Attributes", name), ubid=b"7"),
                item("Activate", by(enum, LOCATE), ubid=b"8"),
                item("Get", by(enum, 0xC), ubid=b"9"),
                header=[enum("BatchErrorContinuationOption", CONTINUE)])
            first, second = (answer.items[n].uid for n in (0, 1))
            self.assertEqual([answer.items[n].uid for n in (2, 3, 4)], [second, second, first])
            self.assertEqual(answer.items[5].uid, first)  # what the item before it answered
            self.assertEqual(answer.items[7].uid, second)
            self.assertEqual(answer.items[8].reason_name, "ObjectNotFound")  # no Register
            for value in (by(integer, 1), by(integer, -2), by(integer, -2**31),
                          by(enum, CREATE), by(enum, 99)):
                self.refused(c, item("Get", value), "ObjectNotFound")
            self.refused(c, item("Get", by(boolean, True)), "InvalidMessage")
        self.each(references)
        old = self.client(version=(1, 4))
        self.refused(old, item("Get", enum("UniqueIdentifier", 1)), "InvalidMessage")

    # Locate

    def test_locate(self):
        def locate(c, version):
            mine = vendor("Group", "loc-%d%d" % version)
            uids = [self.create(c, mine, text("Comment", str(n))) for n in range(5)][::-1]
            self.assertEqual(self.locate(c, mine), uids)
            self.assertEqual(self.locate(c, mine, text("Comment", "3")), [uids[1]])
            self.assertEqual(self.locate(c, mine, fields=[integer("MaximumItems", 2)]), uids[:2])
            payload = c.ok(item("Locate", integer("MaximumItems", 2), integer("OffsetItems", 4),
                                seq("Attributes", mine)))
            self.assertEqual(payload.tags(), ["LocatedItems", "UniqueIdentifier"])
            self.assertEqual(payload.path("LocatedItems"), 5)
            self.assertEqual(self.locate(c, mine, text(0x42005D, "none has it")), [])
            self.assertTrue(self.locate(c))
            c.ok(item("Locate"))
            self.refused(c, item("Locate", mine), "InvalidMessage")
        self.each(locate)

    # What a server tells

    def test_query(self):
        def query(c, version):
            ask = lambda *functions: c.ok(item("Query", *[enum("QueryFunction", f)
                                                          for f in functions]))
            listed = {n.value for n in ask(1).all("Operation")}
            self.assertEqual(ttlv.OPS_2["Ping"] in listed, version >= (2, 1))
            self.assertIn(ttlv.OPS_2["SetAttribute"], listed)
            for operation in range(1, 0x3C):  # what is listed is there, all else is not
                result = c.do(item(operation))
                self.assertEqual(result.reason_name == "OperationNotSupported",
                                 operation not in listed, (operation, result))
            self.assertNotIn(6, [n.value for n in ask(2).all("ObjectType")])  # no templates
            payload = ask(3)
            self.assertEqual(payload.tags(), ["VendorIdentification", "ServerInformation"])
            self.assertIn("keyferry", payload.path("ServerInformation", "ProductName"))
            self.assertEqual(ask(4).tags(), ["ApplicationNamespace"])
            self.assertEqual(ask(8).tags(), ["RNGParameters"])
            self.assertEqual(ask(0xB).tags(), ["CapabilityInformation"])
            self.assertEqual(ask(0xB).one("CapabilityInformation").tags()[-2:],
                             ["RNGMode", "QuantumSafeCapability"])
            names = {n.path("ProfileName") for n in ask(0xA).all("ProfileInformation")}
            self.assertTrue({0x109, 0x115} <= names)
            self.assertNotIn(0x12B, names)  # the Baseline Server has key pairs
            self.assertEqual(0x10d in names, version == (2, 0))  # with ChaCha20 in 2.1
            self.assertTrue(all(n >= 0x104 for n in names), names)
            self.assertEqual(ask(0xE).get("ProtectionStorageMask"), 1)
            for function in range(1, 0xF):
                ask(function)
            self.refused(c, item("Query", enum("QueryFunction", 0xF)), "InvalidField")
        self.each(query)
        old = {n.value for n in self.client(version=(1, 4)).ok(
            item("Query", enum("QueryFunction", 1))).all("Operation")}
        self.assertFalse(old & set(ttlv.OPS_2.values()))

    def test_log_interop_ping(self):
        def touch(c, version):
            c.ok(item("Log", text("LogMessage", "we begin\n%d" % version[1])))
            self.refused(c, item("Log", text("LogMessage", "x" * 1025)), "InvalidField")
            self.refused(c, item("Log"), "MissingData")
            for function in (1, 2):
                c.ok(item("Interop", enum("InteropFunction", function),
                          text("InteropIdentifier", "TC-1")))
            self.refused(c, item("Interop", enum("InteropFunction", 3)), "PermissionDenied")
            self.refused(c, item("Interop", enum("InteropFunction", 4)), "InvalidField")
            if version >= (2, 1):
                self.assertEqual(c.ok(item("Ping")).value, [])
            else:
                self.refused(c, item("Ping"), "OperationNotSupported")
        self.each(touch)
        said = [line for line in self.gw.log().splitlines() if "a client says" in line]
        self.assertEqual(len(said), len(VERSIONS_2))
        self.assertIn("we begin\\x0a0", said[0])  # on one line

    # The message

    def test_header(self):
        def header(c, version):
            ping = item("DiscoverVersions")
            answer = c.call(ping)
            self.assertEqual(answer.version, version)
            tags = lambda a: a.node.value[0].tags()
            self.assertNotIn("ServerCorrelationValue", tags(answer))
            answer = c.call(ping, header=[text("ClientCorrelationValue", "mine")])
            self.assertIn("ServerCorrelationValue", tags(answer))
            for value, status in ((1, ttlv.FAILED), (2, SUCCESS), (3, SUCCESS), (4, ttlv.FAILED)):
                answer = c.call(ping, header=[enum("AsynchronousIndicator", value)])
                self.assertEqual(answer.items[0].status, status, value)
            ephemeral = seq("BatchItem", enum("Operation", ttlv.OPS["DiscoverVersions"]),
                            boolean("Ephemeral", True), seq("RequestPayload"))
            self.assertEqual(c.call(ephemeral).items[0].reason_name, "FeatureNotSupported")
            critical = seq("MessageExtension", text("VendorIdentification", "v"),
                           boolean("CriticalityIndicator", True), seq("VendorExtension"))
            self.refused(c, item("DiscoverVersions", extension=critical),
                         "UnknownMessageExtension")
        self.each(header)

    def test_header_of_1_4(self):
        c = self.client(version=(1, 4))
        for mine in ([], [text("ClientCorrelationValue", "mine")]):
            tags = c.call(item("DiscoverVersions"), header=mine).node.value[0].tags()
            self.assertEqual("ServerCorrelationValue" in tags, bool(mine))


if __name__ == "__main__":
    kf.main()
