# SPDX-License-Identifier: Apache-2.0
"""Every operation in every protocol version: state machine, attributes, batches, Locate, Query."""

import hashlib
import signal
import time
import unittest

import kf
import ttlv
from ttlv import (ACTIVE, COMPROMISED, DEACTIVATED, DESTROYED, DESTROYED_COMPROMISED, PRE_ACTIVE,
                  SUCCESS, UNDONE, VERSIONS, VERSIONS_2, attribute, date, enum, get_attributes, integer,
                  item, name_attribute, on, revoke, seq, text, ubid)

KEY_COMPROMISE, CA_COMPROMISE, CESSATION = 2, 3, 6
STOP, CONTINUE, UNDO = 2, 1, 3


class Operations(kf.SharedCase):
    def values(self, c, uid, *names, **kwargs):
        return ttlv.Result(c.call(get_attributes(uid, *names), **kwargs).items[0].node).attributes()

    def names(self, c, uid, **kwargs):
        return [n.value for n in c.ok(on("GetAttributeList", uid), **kwargs).all("AttributeName")]

    def locate(self, c, *fields, **kwargs):
        return [n.value for n in c.ok(item("Locate", *fields), **kwargs).all("UniqueIdentifier")]

    def in_state(self, c, state):
        """A new key, brought into that state."""
        uid = c.create()
        if state in (ACTIVE, DEACTIVATED):
            c.ok(on("Activate", uid))
        if state == DEACTIVATED:
            c.ok(revoke(uid, CESSATION))
        if state in (COMPROMISED, DESTROYED_COMPROMISED):
            c.ok(revoke(uid, KEY_COMPROMISE))
        if state in (DESTROYED, DESTROYED_COMPROMISED):
            c.ok(on("Destroy", uid))
        return uid

    # Life of a key

    STATES = (PRE_ACTIVE, ACTIVE, DEACTIVATED, COMPROMISED, DESTROYED, DESTROYED_COMPROMISED)
    MACHINE = {  # what follows; None: refused
        "Activate": (ACTIVE, None, None, None, None, None),
        "Revoke, ceased": (None, DEACTIVATED, None, None, None, None),
        "Revoke, compromised": (COMPROMISED, COMPROMISED, COMPROMISED, None,
                                DESTROYED_COMPROMISED, None),
        "Revoke, CA compromised": (COMPROMISED, COMPROMISED, COMPROMISED, None,
                                   DESTROYED_COMPROMISED, None),
        "Destroy": (DESTROYED, None, DESTROYED, DESTROYED_COMPROMISED, None, None),
    }

    @staticmethod
    def act(name, uid):
        return {"Activate": on("Activate", uid), "Destroy": on("Destroy", uid),
                "Revoke, ceased": revoke(uid, CESSATION),
                "Revoke, compromised": revoke(uid, KEY_COMPROMISE),
                "Revoke, CA compromised": revoke(uid, CA_COMPROMISE)}[name]

    def test_state_machine(self):
        for version in ((1, 0), (1, 4)):
            c = self.client(version=version)
            for name, row in self.MACHINE.items():
                for before, after in zip(self.STATES, row):
                    with self.subTest(version=version, act=name, state=before):
                        uid = self.in_state(c, before)
                        result = c.do(self.act(name, uid))
                        if after is None:
                            self.assert_reason(result, "PermissionDenied", "IllegalOperation",
                                               "ItemNotFound")
                        else:
                            self.assertEqual(result.status, SUCCESS, result)
                            self.assertEqual(result.uid, uid)
                        self.assertEqual(c.state(uid), after or before)

    def test_get_in_every_state(self):
        c = self.client()
        for state in self.STATES:
            with self.subTest(state=state):
                uid = self.in_state(c, state)
                if state in (DESTROYED, DESTROYED_COMPROMISED):
                    self.assert_reason(c.do(on("Get", uid)), "ItemNotFound", "KeyValueNotPresent",
                                       "PermissionDenied")
                else:
                    self.assertEqual(len(c.key(uid)), 32)

    def test_dates(self):
        c = self.client()
        before = int(time.time())
        uid = c.create()
        first = self.values(c, uid, "Initial Date", "Last Change Date", "Activation Date")
        self.assertNotIn("Activation Date", first)
        self.assertTrue(before - 1 <= first["Initial Date"][0] <= time.time() + 1)
        c.ok(on("Activate", uid))
        c.ok(revoke(uid, KEY_COMPROMISE, occurred=before - 1000, message="lost"))
        c.ok(on("Destroy", uid))
        found = self.values(c, uid)
        for name in ("Activation Date", "Compromise Date", "Destroy Date", "Last Change Date"):
            self.assertTrue(before - 1 <= found[name][0] <= time.time() + 1, name)
        self.assertEqual(found["Compromise Occurrence Date"], [before - 1000])
        reason = ttlv.seq("Attribute", *found["Revocation Reason"][0])
        self.assertEqual(reason.path("RevocationReasonCode"), KEY_COMPROMISE)
        self.assertEqual(reason.path("RevocationMessage"), "lost")

    def test_dates_drive_the_state(self):
        c = self.client()
        now = int(time.time())
        at = lambda name, when: attribute(name, date("AttributeValue", when))
        uid = c.create(at("Activation Date", now - 10))
        self.assertEqual(c.state(uid), ACTIVE)
        uid = c.create(at("Activation Date", now + 3600))
        self.assertEqual(c.state(uid), PRE_ACTIVE)
        now = int(time.time())
        uid = c.create(at("Activation Date", now + 4), at("Deactivation Date", now + 3600))
        self.assertEqual(c.state(uid), PRE_ACTIVE)
        kf.eventually(lambda: c.state(uid) == ACTIVE, "activated by its date", 10)
        wanted = attribute("State", enum("AttributeValue", ACTIVE))
        self.assertIn(uid, self.locate(c, wanted))
        listed = {k["uid"]: k["state"] for k in
                  self.gw.control("keys list", "state=Active")[0]}
        self.assertEqual(listed.get(uid), "Active")

    # Create and Get

    def test_create_in_every_version(self):
        for version in VERSIONS:
            c = self.client(version=version)
            for bits in (128, 192, 256):
                with self.subTest(version=version, bits=bits):
                    uid = c.create(length=bits)
                    key = c.key(uid)
                    self.assertEqual(len(key) * 8, bits)
                    found = self.values(c, uid)
                    self.assertEqual(found["Cryptographic Length"], [bits])
                    self.assertEqual(found["Cryptographic Algorithm"], [3])
                    self.assertEqual(found["Cryptographic Usage Mask"], [0xC])
                    self.assertEqual(found["Object Type"], [2])
                    self.assertEqual(found["Unique Identifier"], [uid])
                    digest = ttlv.seq("Attribute", *found["Digest"][0])
                    self.assertEqual(digest.path("HashingAlgorithm"), 6)
                    self.assertEqual(digest.path("DigestValue"), hashlib.sha256(key).digest())

    def test_keys_differ(self):
        c = self.client()
        uids = [c.create() for _ in range(64)]
        self.assertEqual(len(set(uids)), 64)
        self.assertEqual(len({c.key(u) for u in uids}), 64)
        self.assertEqual(uids, sorted(uids), "uids are ordered by time")

    def test_create_with_attributes(self):
        c = self.client()
        uid = c.create(name_attribute("kek-17"), attribute("x-Name", "vm"),
                       attribute("x-Count", integer("AttributeValue", 7)),
                       attribute("Contact Information", "storage team"))
        found = self.values(c, uid)
        self.assertEqual(found["x-Name"], ["vm"])
        self.assertEqual(found["x-Count"], [7])
        self.assertEqual(found["Contact Information"], ["storage team"])
        self.assertEqual(found["Name"][0][0].value, "kek-17")

    def test_y_is_the_servers(self):
        """Attributes of such names are the server's, and it has none (1.4, section 3.36)."""
        c = self.client(version=(1, 4))
        uid = c.create()
        for request in (on("AddAttribute", uid, attribute("y-server", "x")),
                        on("ModifyAttribute", uid, attribute("y-server", "x")),
                        on("DeleteAttribute", uid, ttlv.text("AttributeName", "y-server")),
                        ttlv.create(attribute("y-server", "x"))):
            self.assertNotEqual(c.do(request).status, ttlv.SUCCESS, request)
        self.assertNotIn("y-server", self.values(c, uid))
        c.ok(on("AddAttribute", uid, attribute("x-yes", "x")))

    def test_name_is_taken_once(self):
        c = self.client()
        first = c.create(name_attribute("only one"))
        self.assert_reason(c.do(ttlv.create(name_attribute("only one"))), "IllegalOperation",
                           "InvalidField")
        other = c.create(name_attribute("another"))
        self.assert_reason(c.do(on("AddAttribute", other, name_attribute("only one"))),
                           "IllegalOperation", "InvalidField")
        c.ok(on("Destroy", first))
        c.create(name_attribute("only one"))

    def test_get_formats(self):
        c = self.client()
        uid = c.create()
        c.ok(on("Get", uid, enum("KeyFormatType", 1)))
        block = c.ok(on("Get", uid, enum("KeyFormatType", 7))).one("SymmetricKey").one("KeyBlock")
        self.assertEqual(block.path("KeyFormatType"), 7)
        self.assertEqual(block.one("KeyValue").one("KeyMaterial").value[0].value, c.key(uid))
        self.assert_reason(c.do(on("Get", uid, enum("KeyFormatType", 5))),
                           "KeyFormatTypeNotSupported")

    def test_3des(self):
        c = self.client()
        for bits, size in ((112, 16), (168, 24)):
            attributes = list(ttlv.aes_attributes(bits))
            attributes[0] = attribute("Cryptographic Algorithm", enum("AttributeValue", 2))
            uid = c.ok(item("Create", enum("ObjectType", 2), ttlv.template(*attributes))).path(
                "UniqueIdentifier")
            key = c.key(uid)
            self.assertEqual(len(key), size)
            self.assertTrue(all(bin(b).count("1") % 2 for b in key), "odd parity")
            self.assertEqual(self.values(c, uid)["Cryptographic Length"], [bits])

    # Register

    def assert_digest(self, c, uid, data, kind):
        digest = ttlv.seq("Attribute", *self.values(c, uid, "Digest")["Digest"][0])
        self.assertEqual(digest.path("DigestValue"), hashlib.sha256(data).digest())
        self.assertEqual(digest.get("KeyFormatType"), kind if c.version > (1, 0) else None)

    def test_register_in_every_version(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                key = bytes(range(16))
                uid = c.ok(ttlv.register(key, attribute("x-where", "from outside"))).path(
                    "UniqueIdentifier")
                self.assertEqual(c.key(uid), key)
                found = self.values(c, uid)
                self.assertEqual((found["x-where"], found["Cryptographic Length"]),
                                 (["from outside"], [128]))
                self.assertNotIn("Key Block", found)
                self.assert_digest(c, uid, key, 1)
                c.ok(on("Activate", uid))
                self.assertEqual(c.state(uid), ACTIVE)

    def test_register_secret_data(self):
        c = self.client(version=(1, 4))
        uid = c.ok(ttlv.register_secret(b"open sesame", kind=2)).path("UniqueIdentifier")
        payload = c.ok(on("Get", uid))
        self.assertEqual(payload.path("ObjectType"), 7)
        self.assertEqual(payload.path("SecretData", "SecretDataType"), 1)
        block = payload.one("SecretData").one("KeyBlock")
        self.assertEqual(block.path("KeyValue", "KeyMaterial"), b"open sesame")
        self.assertEqual(block.tags(), ["KeyFormatType", "KeyValue"])
        self.assert_digest(c, uid, b"open sesame", 2)
        found = self.values(c, uid)
        self.assertNotIn("Cryptographic Length", found)
        self.assertEqual(found["Cryptographic Usage Mask"], [2])
        self.assertIn(uid, self.locate(c, attribute("Object Type", enum("AttributeValue", 7))))

    def test_register_opaque_object(self):
        c = self.client(version=(1, 4))
        uid = c.ok(ttlv.register_opaque(b"\0\1\2", name_attribute("opaque"))).path(
            "UniqueIdentifier")
        opaque = c.ok(on("Get", uid)).one("OpaqueObject")
        self.assertEqual(opaque.path("OpaqueDataValue"), b"\0\1\2")
        self.assertEqual(opaque.path("OpaqueDataType"), 0x80000001)
        self.assert_digest(c, uid, b"\0\1\2", 2)
        found = self.values(c, uid)
        for name in ("State", "Cryptographic Usage Mask", "Cryptographic Algorithm"):
            self.assertNotIn(name, found)
        self.assert_reason(c.do(on("Activate", uid)), "InvalidField")
        c.ok(on("Destroy", uid))

    def test_what_the_vault_cannot_keep(self):
        """Key Protect's records are small: that is told before anything is stored."""
        c = self.client()
        for size, fits in ((2048, True), (2049, kf.VAULT == "local"), (16384, kf.VAULT == "local")):
            with self.subTest(size=size):
                result = c.do(ttlv.register_opaque(b"x" * size))
                if fits:
                    self.assertEqual(len(c.ok(on("Get", result.uid)).path(
                        "OpaqueObject", "OpaqueDataValue")), size)
                else:
                    self.assert_reason(result, "InvalidField")

    # Attributes

    def test_attributes_in_every_version(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                uid = c.create()
                added = c.ok(on("AddAttribute", uid, attribute("x-Label", "one"))).one("Attribute")
                self.assertEqual(added.path("AttributeValue"), "one")
                self.assertIn("x-Label", self.names(c, uid))
                c.ok(on("ModifyAttribute", uid, attribute("x-Label", "two")))
                self.assertEqual(self.values(c, uid, "x-Label"), {"x-Label": ["two"]})
                gone = c.ok(on("DeleteAttribute", uid, text("AttributeName", "x-Label")))
                self.assertEqual(gone.one("Attribute").path("AttributeValue"), "two")
                self.assertEqual(self.values(c, uid, "x-Label"), {})
                self.assert_reason(c.do(on("DeleteAttribute", uid,
                                           text("AttributeName", "x-Label"))), "ItemNotFound")
                self.assert_reason(c.do(on("ModifyAttribute", uid, attribute("x-Label", "3"))),
                                   "InvalidField")

    def test_instances(self):
        c = self.client()
        uid = c.create()
        for n in range(3):
            added = c.ok(on("AddAttribute", uid, attribute("x-Many", "v%d" % n)))
            self.assertEqual(added.one("Attribute").get("AttributeIndex", 0), n)
        self.assertEqual(self.values(c, uid, "x-Many"), {"x-Many": ["v0", "v1", "v2"]})
        self.assertEqual(self.names(c, uid).count("x-Many"), 1)
        c.ok(on("ModifyAttribute", uid, attribute("x-Many", "changed", 1)))
        c.ok(on("DeleteAttribute", uid, text("AttributeName", "x-Many"),
                integer("AttributeIndex", 0)))
        payload = c.ok(get_attributes(uid, "x-Many"))
        self.assertEqual([(a.get("AttributeIndex", 0), a.path("AttributeValue"))
                          for a in payload.all("Attribute")], [(1, "changed"), (2, "v2")])
        self.assert_reason(c.do(on("ModifyAttribute", uid, attribute("x-Many", "v", 0))),
                           "ItemNotFound")
        self.assert_reason(c.do(on("DeleteAttribute", uid, text("AttributeName", "x-Many"),
                                   integer("AttributeIndex", 9))), "ItemNotFound")

    def test_read_only_attributes(self):
        c = self.client()
        uid = c.create()
        for name, value in (("State", enum("AttributeValue", 2)),
                            ("Unique Identifier", text("AttributeValue", "mine")),
                            ("Object Type", enum("AttributeValue", 1)),
                            ("Cryptographic Length", integer("AttributeValue", 128)),
                            ("Cryptographic Algorithm", enum("AttributeValue", 2)),
                            ("Initial Date", date("AttributeValue", 0)),
                            ("Last Change Date", date("AttributeValue", 0))):
            with self.subTest(name=name):
                for operation in ("AddAttribute", "ModifyAttribute"):
                    self.assert_reason(c.do(on(operation, uid, attribute(name, value))),
                                       "PermissionDenied", "IllegalOperation", "InvalidField")
                self.assert_reason(c.do(on("DeleteAttribute", uid, text("AttributeName", name))),
                                   "PermissionDenied", "IllegalOperation")
        self.assertEqual(c.state(uid), PRE_ACTIVE)
        self.assertEqual(len(c.key(uid)), 32)

    # Application data: a namespace alone asks the server for it

    UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

    @staticmethod
    def information(version, namespace, **place):
        """The attribute without its data."""
        value = text("ApplicationNamespace", namespace)
        if version < (2, 0):
            return attribute("Application Specific Information", seq("AttributeValue", value), **place)
        return seq("ApplicationSpecificInformation", value)

    def create_with(self, c, version, *attributes):
        create = ttlv.create if version < (2, 0) else ttlv.create2
        return c.do(create(*attributes))

    def add(self, c, version, uid, attr):
        return c.do(on("AddAttribute", uid, attr if version < (2, 0) else seq("NewAttribute", attr)))

    def data_of(self, c, version, uid):
        """Those of the object, by index."""
        if version < (2, 0):
            found = [a.one("AttributeValue") for a in c.ok(get_attributes(
                uid, "Application Specific Information")).all("Attribute")]
        else:
            found = c.ok(on("GetAttributes", uid, ttlv.reference("ApplicationSpecificInformation"))
                         ).one("Attributes").all("ApplicationSpecificInformation")
        for value in found:
            self.assertEqual(value.path("ApplicationNamespace"), "keyferry")
            self.assertRegex(value.path("ApplicationData"), "^%s$" % self.UUID)
        return [value.path("ApplicationData") for value in found]

    def implied(self, payload):
        """What the answer tells of a new object, by index; it stands behind all else."""
        self.assertEqual(payload.tags()[-2:], ["UniqueIdentifier", "TemplateAttribute"])
        told = payload.one("TemplateAttribute").all("Attribute")
        self.assertEqual({a.path("AttributeName") for a in told},
                         {"Application Specific Information"})
        self.assertEqual([a.get("AttributeIndex", 0) for a in told], list(range(len(told))))
        return [a.path("AttributeValue", "ApplicationData") for a in told]

    def test_application_data_in_every_version(self):
        given = set()
        for version in VERSIONS + VERSIONS_2:
            with self.subTest(version=version):
                c = self.client(version=version)
                namespaces = c.ok(item("Query", enum("QueryFunction", 4)))
                self.assertEqual(namespaces.path("ApplicationNamespace"), "keyferry")
                ours = self.information(version, "keyferry")
                made = self.create_with(c, version, ours, ours)
                self.assertEqual(made.status, SUCCESS, made)
                uid = made.uid
                data = self.data_of(c, version, uid)
                self.assertEqual(len(data), 2)
                if version < (2, 0):
                    self.assertEqual(self.implied(made.payload), data)
                else:
                    self.assertNotIn("TemplateAttribute", made.payload.tags())
                added = self.add(c, version, uid, ours)
                self.assertEqual(added.status, SUCCESS, added)
                data = self.data_of(c, version, uid)
                self.assertEqual(len(data), 3)
                if version < (2, 0):
                    told = added.payload.one("Attribute")
                    self.assertEqual(told.path("AttributeIndex"), 2)
                    self.assertEqual(told.path("AttributeValue", "ApplicationData"), data[2])
                    changed = c.ok(on("ModifyAttribute", uid, self.information(
                        version, "keyferry", index=1)))
                    after = self.data_of(c, version, uid)
                    self.assertEqual([after[0], after[2]], [data[0], data[2]])
                    self.assertEqual(after[1], changed.path(
                        "Attribute", "AttributeValue", "ApplicationData"))
                    data.append(after[1])
                self.assertFalse(given & set(data))
                self.assertEqual(len(set(data)), len(data))
                given |= set(data)

    def test_application_data_of_others(self):
        """It is made in no other namespace, and stays as it is where it is given."""
        for version in VERSIONS + VERSIONS_2:
            with self.subTest(version=version):
                c = self.client(version=version)
                uid = self.create_with(c, version).uid
                for namespace in ("ours", "Keyferry", "keyferry ", ""):
                    theirs = self.information(version, namespace)
                    self.assert_reason(self.add(c, version, uid, theirs),
                                       "ApplicationNamespaceNotSupported")
                    self.assert_reason(self.create_with(c, version, theirs),
                                       "ApplicationNamespaceNotSupported")
        c = self.client(version=(1, 4))
        payload = c.ok(ttlv.create(attribute("Application Specific Information", seq(
            "AttributeValue", text("ApplicationNamespace", "keyferry"),
            text("ApplicationData", "mine")))))
        self.assertNotIn("TemplateAttribute", payload.tags())
        value = self.values(c, payload.path("UniqueIdentifier"),
                            "Application Specific Information")
        self.assertEqual(ttlv.seq("Attribute", *value["Application Specific Information"][0]).path(
            "ApplicationData"), "mine")

    def test_application_data_of_what_is_made(self):
        """Register and Re-key tell it, too; a successor has its predecessor's unless asked for more."""
        version = (1, 4)
        c = self.client(version=version)
        ours = self.information(version, "keyferry")
        payload = c.ok(ttlv.register(bytes(16), ours))
        first, uid = self.implied(payload), payload.path("UniqueIdentifier")
        self.assertEqual(self.data_of(c, version, uid), first)
        payload = c.ok(on("ReKey", uid))
        self.assertNotIn("TemplateAttribute", payload.tags())
        uid = payload.path("UniqueIdentifier")
        self.assertEqual(self.data_of(c, version, uid), first)
        payload = c.ok(on("ReKey", uid, ttlv.template(ours)))
        second, uid = self.implied(payload), payload.path("UniqueIdentifier")
        self.assertEqual(self.data_of(c, version, uid), second)
        self.assertNotEqual(second, first)
        answers = c.call(ttlv.create(ours, ubid=ubid(1)), ttlv.create(ubid=ubid(2)))
        self.assertEqual(["TemplateAttribute" in i.payload.tags() for i in answers.items],
                         [True, False])

    def test_unknown_attribute_names_are_left_out(self):
        c = self.client()
        uid = c.create()
        payload = c.ok(get_attributes(uid, "x-None", "No Such Thing", "State", ""))
        self.assertEqual([a.path("AttributeName") for a in payload.all("Attribute")], ["State"])

    def test_attribute_list_is_what_get_attributes_gives(self):
        for version in VERSIONS:
            c = self.client(version=version)
            uid = c.create(name_attribute("list-%d%d" % version), attribute("x-a", "b"))
            self.assertEqual(set(self.names(c, uid)), set(self.values(c, uid)))

    def test_attributes_newer_than_the_version_are_not_sent(self):
        """Original Creation Date came with 1.2 or later; what 1.0 has must be known to 1.0."""
        known_10 = {
            "Unique Identifier", "Name", "Object Type", "Cryptographic Algorithm",
            "Cryptographic Length", "Cryptographic Parameters", "Digest", "Operation Policy Name",
            "Cryptographic Usage Mask", "Lease Time", "Usage Limits", "State", "Initial Date",
            "Activation Date", "Process Start Date", "Protect Stop Date", "Deactivation Date",
            "Destroy Date", "Compromise Occurrence Date", "Compromise Date", "Revocation Reason",
            "Archive Date", "Object Group", "Link", "Application Specific Information",
            "Contact Information", "Last Change Date"}
        later = {(1, 1): {"Fresh"}, (1, 2): {"Alternative Name", "Key Value Present",
                                             "Key Value Location", "Original Creation Date"},
                 (1, 3): {"Random Number Generator"},
                 (1, 4): {"Comment", "Description", "Sensitive", "Always Sensitive",
                          "Extractable", "Never Extractable", "PKCS#12 Friendly Name"}}
        newest = self.client(version=(1, 4))
        uid = newest.create(attribute("Description", "text of 1.4"))
        self.assertIn("Description", self.names(newest, uid))
        allowed = set(known_10)
        for version in VERSIONS:
            allowed |= later.get(version, set())
            with self.subTest(version=version):
                c = self.client(version=version)
                for found in (self.names(c, uid), self.values(c, uid)):
                    self.assertLessEqual(set(found), allowed)
                if version != (1, 4):
                    self.assertEqual(self.values(c, uid, "Description"), {})

    # Batches

    def batch(self, c, *items, option=None):
        extra = [enum("BatchErrorContinuationOption", option)] if option else []
        return c.call(*items, header=extra).items

    def middle_fails(self, option):
        """Three items, the second one fails: results and which labels are there afterwards."""
        c = self.client()
        uid = c.create()
        results = self.batch(
            c, on("AddAttribute", uid, attribute("x-1", "a"), ubid=ubid(1)),
            on("AddAttribute", "nobody", attribute("x-2", "a"), ubid=ubid(2)),
            on("AddAttribute", uid, attribute("x-3", "a"), ubid=ubid(3)), option=option)
        for n, r in enumerate(results, 1):
            self.assertEqual((r.ubid, r.operation), (ubid(n), ttlv.OPS["AddAttribute"]))
        self.assert_reason(results[1], "ItemNotFound")
        return [r.status for r in results], sorted(self.values(c, uid, "x-1", "x-2", "x-3"))

    def test_stop(self):
        for option in (None, STOP):
            self.assertEqual(self.middle_fails(option), ([SUCCESS, ttlv.FAILED], ["x-1"]))

    def test_continue(self):
        self.assertEqual(self.middle_fails(CONTINUE), ([SUCCESS, ttlv.FAILED, SUCCESS],
                                                       ["x-1", "x-3"]))

    def test_undo(self):
        statuses, labels = self.middle_fails(UNDO)
        self.assertEqual(labels, [])
        self.assertEqual(statuses[:2], [UNDONE, ttlv.FAILED])

    def test_undo_of_create_and_destroy(self):
        c = self.client()
        old = c.create(name_attribute("undo-old"))
        results = self.batch(
            c, ttlv.create(name_attribute("undo-new"), ubid=ubid(1)),
            on("Destroy", old, ubid=ubid(2)), on("Get", "nobody", ubid=ubid(3)), option=UNDO)
        self.assertEqual([r.status for r in results], [UNDONE, UNDONE, ttlv.FAILED])
        self.assertEqual(self.locate(c, name_attribute("undo-new")), [])
        self.assertEqual(len(c.key(old)), 32)
        self.assertEqual(c.state(old), PRE_ACTIVE)

    def test_id_placeholder(self):
        c = self.client()
        results = self.batch(
            c, ttlv.create(attribute("x-a", "b"), ubid=ubid(1)), on("Activate", ubid=ubid(2)),
            on("Get", ubid=ubid(3)), get_attributes(None, "State", "x-a", ubid=ubid(4)))
        self.assertEqual([r.status for r in results], [SUCCESS] * 4)
        uid = results[0].uid
        self.assertEqual({r.uid for r in results}, {uid})
        self.assertEqual(results[3].attributes(), {"State": [ACTIVE], "x-a": ["b"]})
        self.assertEqual(results[2].key, c.key(uid))
        self.assert_reason(c.do(on("Get")), "MissingData", "ItemNotFound")

    def test_id_placeholder_of_locate(self):
        c = self.client()
        uid = c.create(name_attribute("placeholder"))
        results = self.batch(c, item("Locate", name_attribute("placeholder"), ubid=ubid(1)),
                             on("Get", ubid=ubid(2)))
        self.assertEqual([r.status for r in results], [SUCCESS] * 2)
        self.assertEqual(results[1].uid, uid)

    def test_a_message_sees_its_own_changes(self):
        c = self.client()
        uid = c.create()
        results = self.batch(
            c, on("AddAttribute", uid, attribute("x-n", "0"), ubid=ubid(1)),
            on("ModifyAttribute", uid, attribute("x-n", "1"), ubid=ubid(2)),
            get_attributes(uid, "x-n", ubid=ubid(3)), on("Activate", uid, ubid=ubid(4)),
            get_attributes(uid, "State", ubid=ubid(5)), revoke(uid, CESSATION, ubid=ubid(6)),
            on("Destroy", uid, ubid=ubid(7)), on("Get", uid, ubid=ubid(8)))
        self.assertEqual([r.status for r in results], [SUCCESS] * 7 + [ttlv.FAILED])
        self.assertEqual(results[2].attributes(), {"x-n": ["1"]})
        self.assertEqual(results[4].attributes(), {"State": [ACTIVE]})

    def test_batch_order_option(self):
        c = self.client()
        for order in (True, False):
            answer = c.call(item("DiscoverVersions", ubid=ubid(1)),
                            item("Query", enum("QueryFunction", 1), ubid=ubid(2)),
                            header=[ttlv.boolean("BatchOrderOption", order)])
            self.assertEqual([r.ubid for r in answer.items], [ubid(1), ubid(2)])

    def test_long_unique_batch_item_ids(self):
        c = self.client()
        for size in (0, 1, 7, 8, 9, 1000):
            self.assertEqual(c.do(item("DiscoverVersions", ubid=b"u" * size)).ubid, b"u" * size)

    def test_hundred_creates_in_a_batch(self):
        c = self.client()
        results = self.batch(c, *[ttlv.create(ubid=ubid(n)) for n in range(100)])
        self.assertEqual({r.status for r in results}, {SUCCESS})
        self.assertEqual(len({r.uid for r in results}), 100)

    @unittest.skipUnless(kf.VAULT == "local", "calls to a key manager spread them over time")
    def test_hundred_creates_at_once_share_commits(self):
        """The gateway is held still until all hundred have arrived."""
        clients = [self.client() for _ in range(100)]
        before = self.gw.metrics()["store_commits_total"]
        self.gw.process.send_signal(signal.SIGSTOP)
        try:
            for c in clients:
                c.send(ttlv.request((1, 1), ttlv.create()))
        finally:
            self.gw.process.send_signal(signal.SIGCONT)
        for c in clients:
            self.assertEqual(c.receive().items[0].status, SUCCESS)
        self.assertLessEqual(self.gw.metrics()["store_commits_total"] - before, 10)

    def test_concurrent_changes_of_one_key(self):
        """Eight sessions add labels to one key at the same time: none is lost."""
        with self.gw.client() as c:
            uid = c.create()

        def add(n):
            with self.gw.client() as c:
                for i in range(6):
                    c.ok(on("AddAttribute", uid, attribute("x-%d-%d" % (n, i), "v")))
        kf.in_parallel(8, add)
        with self.gw.client() as c:
            found = [n for n in self.names(c, uid) if n.startswith("x-")]
        self.assertEqual(len(found), 48)

    def test_maximum_response_size(self):
        c = self.client()
        uid = c.create()
        size = c.call(on("Get", uid)).size
        limited = lambda n: c.call(on("Get", uid), header=[integer("MaximumResponseSize", n)])
        self.assertEqual(limited(size).items[0].status, SUCCESS)
        self.assert_reason(limited(size - 1).items[0], "ResponseTooLarge")
        self.assert_reason(c.call(ttlv.create(name_attribute("too large to tell")),
                                  header=[integer("MaximumResponseSize", 100)]).items[0],
                           "ResponseTooLarge")
        self.assertEqual(self.locate(c, name_attribute("too large to tell")), [])

    def test_time_stamp(self):
        c = self.client()
        answer = c.call(item("DiscoverVersions"), header=[date("TimeStamp", 1)])
        self.assertLess(abs(answer.time - time.time()), 60)

    # Locate

    def test_locate_by_attribute(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                tag = "loc-%d%d" % version
                a = c.create(attribute("x-tag", tag), attribute("x-n", "1"), length=128)
                b = c.create(attribute("x-tag", tag), attribute("x-n", "2"))
                c.ok(on("Activate", b))
                mine = attribute("x-tag", tag)
                self.assertEqual(self.locate(c, mine), [b, a], "newest first")
                self.assertEqual(self.locate(c, mine, attribute("x-n", "1")), [a])
                for name, value, found in (
                        ("State", enum("AttributeValue", ACTIVE), [b]),
                        ("Cryptographic Length", integer("AttributeValue", 128), [a]),
                        ("Object Type", enum("AttributeValue", 2), [b, a]),
                        ("Cryptographic Usage Mask", integer("AttributeValue", 4), [b, a]),
                        ("Cryptographic Usage Mask", integer("AttributeValue", 1), []),
                        ("Unique Identifier", text("AttributeValue", a), [a]),
                        ("x-n", integer("AttributeValue", 1), []),
                        ("Colour", text("AttributeValue", "red"), [])):
                    self.assertEqual(self.locate(c, mine, attribute(name, value)), found, name)

    def test_locate_by_date(self):
        c = self.client()
        uid = c.create(attribute("x-tag", "dates"))
        born = self.values(c, uid, "Initial Date")["Initial Date"][0]
        mine = attribute("x-tag", "dates")
        when = lambda t: attribute("Initial Date", date("AttributeValue", t))
        self.assertEqual(self.locate(c, mine, when(born)), [uid])
        self.assertEqual(self.locate(c, mine, when(born - 1)), [])
        self.assertEqual(self.locate(c, mine, when(born - 1), when(born + 1)), [uid])
        self.assertEqual(self.locate(c, mine, when(born + 1), when(born + 9)), [])

    def test_locate_by_what_every_key_has(self):
        """Fresh, Sensitive and their kin: also of keys on which nobody ever set them."""
        c = self.client(version=(1, 4))
        group = attribute("Object Group", "flags")
        served, unused = c.create(group), c.create(group)
        hidden = c.create(group, attribute("Sensitive", ttlv.boolean("AttributeValue", True)))
        c.key(served)
        # that it was served is noted behind the answer when the disk is slow
        kf.eventually(lambda: self.gw.metrics()["requests"] == 0, "it is noted")
        flag = lambda name, value: self.locate(c, group, attribute(
            name, ttlv.boolean("AttributeValue", value)))
        self.assertEqual(flag("Fresh", True), [hidden, unused])
        self.assertEqual(flag("Fresh", False), [served])
        self.assertEqual(flag("Sensitive", False), [unused, served])
        self.assertEqual(flag("Sensitive", True), [hidden])
        self.assertEqual(flag("Always Sensitive", True), [hidden])
        self.assertEqual(flag("Extractable", True), [hidden, unused, served])
        self.assertEqual(flag("Never Extractable", True), [])
        member = lambda which: self.locate(c, enum("ObjectGroupMember", which), group)
        self.assertEqual(member(1), [hidden, unused])
        self.assertEqual(member(2), [hidden, unused, served])
        self.assert_reason(c.do(item("Locate", enum("ObjectGroupMember", 3), group)),
                           "InvalidField")

    def test_locate_maximum_and_offset(self):
        c = self.client(version=(1, 4))
        mine = attribute("x-tag", "many")
        uids = [c.create(mine) for _ in range(10)][::-1]
        cut = lambda *fields: self.locate(c, *fields, mine)
        self.assertEqual(cut(), uids)
        self.assertEqual(cut(integer("MaximumItems", 3)), uids[:3])
        self.assertEqual(cut(integer("MaximumItems", 3), integer("OffsetItems", 8)), uids[8:])
        self.assertEqual(cut(integer("OffsetItems", 4)), uids[4:])
        self.assertEqual(cut(integer("OffsetItems", 10)), [])
        payload = c.ok(item("Locate", integer("MaximumItems", 1), integer("OffsetItems", 0), mine))
        self.assertEqual(payload.get("LocatedItems"), 10)
        payload = c.ok(item("Locate", integer("MaximumItems", 1), mine))
        self.assertNotIn("LocatedItems", payload.tags())
        old = self.client(version=(1, 2)).ok(item("Locate", integer("MaximumItems", 1), mine))
        self.assertNotIn("LocatedItems", old.tags())

    def test_locate_storage_status(self):
        c = self.client()
        mine = attribute("x-tag", "status")
        kept, gone = c.create(mine), c.create(mine)
        c.ok(on("Destroy", gone))
        masked = lambda mask: set(self.locate(c, integer("StorageStatusMask", mask), mine))
        self.assertEqual(set(self.locate(c, mine)), {kept})
        self.assertEqual(masked(1), {kept})
        self.assertEqual(masked(2), set())
        self.assertEqual(masked(3), {kept})

    # Query and Discover Versions

    def test_query(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                ask = lambda *functions: c.ok(item("Query", *[enum("QueryFunction", f)
                                                              for f in functions]))
                payload = ask(1, 2, 3)
                operations = {n.value for n in payload.all("Operation")}
                self.assertEqual(operations, {o for o in ttlv.OPS.values()
                                              if ttlv.SINCE.get(o, (1, 0)) <= version})
                self.assertEqual([n.value for n in payload.all("ObjectType")], [2, 6, 7, 8])
                self.assertTrue(payload.path("VendorIdentification"))
                self.assertEqual(ask(3).tags(), ["VendorIdentification"])  # as vCenter knows it
                self.assertIn("ServerInformation", payload.tags())
                last = {(1, 0): 4, (1, 1): 6, (1, 2): 7, (1, 3): 0xB, (1, 4): 0xC}[version]
                for function in range(1, last + 1):
                    ask(function)
                if version >= (1, 3):
                    self.profiles_and_capabilities(ask, version)

    def profiles_and_capabilities(self, ask, version):
        names = [n.path("ProfileName") for n in ask(0xA).all("ProfileInformation")]
        self.assertEqual(len(names), len(set(names)))
        lifecycle = {10: 0x10, 11: 0x11, 12: 0x12, 13: 0x5E, 14: 0x82}  # of 1.0 to 1.4
        for number, name in lifecycle.items():
            self.assertEqual(name in names, number <= 10 + version[1], number)
        self.assertFalse({n for n in names if n > 0x9C})  # those of 2.x
        capabilities = ask(0xB).one("CapabilityInformation")
        batches = [] if version < (1, 4) else ["BatchUndoCapability", "BatchContinueCapability"]
        self.assertEqual(capabilities.tags(), [
            "StreamingCapability", "AsynchronousCapability", "AttestationCapability", *batches,
            "UnwrapMode", "DestroyAction", "ShreddingAlgorithm", "RNGMode"])
        self.assertFalse(capabilities.path("AsynchronousCapability"))
        for nothing in (5, 6, 7, 9, 0xC):
            self.assertEqual(ask(nothing).value, [])
        every = ask(*range(1, 0xD)).tags()
        order = ["Operation", "ObjectType", "VendorIdentification", "ServerInformation",
                 "ApplicationNamespace", "RNGParameters", "ProfileInformation",
                 "CapabilityInformation"]
        self.assertEqual(list(dict.fromkeys(every)), order)

    def test_what_query_lists_is_there(self):
        """Nothing that is listed is answered with Operation Not Supported, all else is."""
        c = self.client(version=(1, 4))
        listed = {n.value for n in c.ok(item("Query", enum("QueryFunction", 1))).all("Operation")}
        for operation in range(1, 0x2C):
            result = c.do(item(operation))
            self.assertEqual(result.reason_name == "OperationNotSupported",
                             operation not in listed, (operation, result))

    def test_discover_versions(self):
        numbers = lambda p: [(v.path("ProtocolVersionMajor"), v.path("ProtocolVersionMinor"))
                             for v in p.all("ProtocolVersion")]
        ours = list(reversed(VERSIONS + VERSIONS_2))
        make = lambda v: ttlv.seq("ProtocolVersion", integer("ProtocolVersionMajor", v[0]),
                                  integer("ProtocolVersionMinor", v[1]))
        for version in VERSIONS[1:] + VERSIONS_2:
            c = self.client(version=version)
            ask = lambda *vs: numbers(c.ok(item("DiscoverVersions", *map(make, vs))))
            self.assertEqual(ask(), ours)
            self.assertEqual(ask((1, 1)), [(1, 1)])
            self.assertEqual(ask((1, 0), (1, 3)), [(1, 3), (1, 0)])
            self.assertEqual(ask((2, 2), (9, 9)), [])
            self.assertEqual(ask((2, 1), (1, 4), (1, 4)), [(2, 1), (1, 4)])

    def test_credential_types(self):
        """A credential is accepted and not asked for; the certificate decides."""
        c = self.client(version=(1, 4))
        device = ttlv.seq("Authentication", ttlv.seq(
            "Credential", enum("CredentialType", 2),
            ttlv.seq("CredentialValue", text(0x4200B0, "serial"))))
        self.assertEqual(c.call(item("DiscoverVersions"), header=[device]).items[0].status,
                         SUCCESS)


class BornActive(kf.Case):
    def test_born_active(self):
        gw = self.gateway(tenants=[kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                                             options="born-active = true")])
        with gw.client() as c:
            uid = c.create()
            self.assertEqual(c.state(uid), ACTIVE)
            found = ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
            self.assertEqual(found["Activation Date"], found["Initial Date"])


if __name__ == "__main__":
    kf.main()
