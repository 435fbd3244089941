# SPDX-License-Identifier: Apache-2.0
"""Import and Export: objects that come from elsewhere, or go there."""

import time
import unittest

import kf
import ttlv
from test_objects import KEY_COMPROMISE, Objects
from ttlv import VERSIONS_2, attribute, date, enum, integer, item, on, seq, text


class Transfer(Objects):
    """Export and Import, as 1.4 and 2.x have them."""

    WITH = ((1, 4), (2, 0), (2, 1))
    OTHER = {2: "SymmetricKey", 7: "SecretData", 8: "OpaqueObject"}

    def export(self, c, uid, *how):
        """Object Type, attributes and object of the answer."""
        payload = c.ok(on("Export", uid, *how))
        self.assertEqual(payload.path("UniqueIdentifier"), uid)
        kind = payload.path("ObjectType")
        attributes = payload.all("Attribute") or [payload.one("Attributes")]
        found = payload.all(self.OTHER[kind])
        self.assertEqual(payload.value[:2] + attributes + found, payload.value)
        return kind, attributes, found[0] if found else None

    def bring(self, uid, exported, *options):
        kind, attributes, obj = exported
        return item("Import", text("UniqueIdentifier", uid), enum("ObjectType", kind), *options,
                    *attributes, obj)

    def brought(self, c, uid, exported, *options):
        """Of a new object: the identifier that it got."""
        got = c.ok(self.bring(uid, exported, *options)).path("UniqueIdentifier")
        if kf.VAULT == "local":
            self.assertEqual(got, uid)
        else:
            self.assertNotEqual(got, uid)  # other gateways find it by the time in it
        return got

    def assert_same(self, one, other):
        """The order of attributes says nothing."""
        texts = lambda exported: sorted(
            str(n) for a in exported[1] for n in (a.value if a.tag != ttlv.TAGS["Attribute"] else [a]))
        self.assertEqual(texts(one), texts(other))
        self.assertEqual((one[0], one[2]), (other[0], other[2]))

    def edited(self, exported, *changes):
        """With other values of attributes, for 1.4: (name, value or None)."""
        kind, attributes, obj = exported
        names = [name for name, _ in changes]
        kept = [a for a in attributes if a.path("AttributeName") not in names]
        return kind, kept + [attribute(n, v) for n, v in changes if v is not None], obj

    NEW = "00000000-0000-4000-8000-%012d"
    count = 0

    def new_uid(self):
        Transfer.count += 1
        return self.NEW % Transfer.count

    def renamed(self, exported, uid):
        """The same under another identifier."""
        def renamed(n):
            if n.kind == ttlv.STRUCT:
                return ttlv.Node(n.tag, n.kind, [renamed(m) for m in n.value
                                                 if m.tag != ttlv.TAGS["ShortUniqueIdentifier"]])
            old = n.kind == ttlv.TEXT and len(n.value) == 36
            return ttlv.Node(n.tag, n.kind, uid if old else n.value)
        kind, attributes, obj = exported
        return kind, [renamed(n) for n in attributes], obj

    def moved(self, exported):
        """The same, without what says which object it was."""
        return self.edited(exported, ("Unique Identifier", None), ("Name", None))

    def test_there_and_back(self):
        """To another tenant with the same identifier: nothing is different there."""
        other = kf.AUTHORITY.make("second")
        for version in self.WITH:
            for state in ("Pre-Active", "Active", "Deactivated", "Compromised", "archived"):
                with self.subTest(version=version, state=state):
                    c = self.client(version=version)
                    d = self.client(other, version=version)
                    uid = self.create(c)
                    if state not in ("Pre-Active", "archived"):
                        c.ok(on("Activate", uid))
                    if state in ("Deactivated", "Compromised"):
                        c.ok(ttlv.revoke(uid, 6 if state == "Deactivated" else KEY_COMPROMISE,
                                         message="told"))
                    exported = self.export(c, uid)
                    new = self.brought(d, uid, exported)
                    self.assert_same(self.renamed(self.export(d, new), uid),
                                     self.renamed(exported, uid))

    def test_every_kind_of_object(self):
        other = kf.AUTHORITY.make("second")
        c, d = self.client(version=(1, 4)), self.client(other, version=(1, 4))
        wrapping = seq("KeyWrappingData", enum("WrappingMethod", 1),
                       seq("EncryptionKeyInformation", ttlv.uid("somebody's")),
                       enum("EncodingOption", 1))
        for made in (ttlv.register(bytes(range(16)), ttlv.name_attribute("moves"),
                                   attribute("x-a", "1"), attribute("x-a", "2")),
                     ttlv.register_secret(b"open sesame"), ttlv.register_opaque(b"\0\1\2"),
                     ttlv.register(bytes(24), length=128, wrapping=wrapping)):
            uid = c.ok(made).path("UniqueIdentifier")
            new = self.new_uid()
            exported = self.renamed(self.export(c, uid), new)
            got = self.brought(d, new, exported)
            self.assert_same(self.renamed(self.export(d, got), new), exported)

    def test_formats_and_wrapping(self):
        c = self.client(version=(1, 4))
        uid, kek = self.create(c), self.create(c)
        c.ok(on("Activate", kek))
        transparent = self.export(c, uid, enum("KeyFormatType", 7))[2]
        self.assertEqual(transparent.path("KeyBlock", "KeyFormatType"), 7)
        self.assert_reason(c.do(on("Export", uid, enum("KeyFormatType", 5))),
                           "KeyFormatTypeNotSupported")
        key = c.key(uid)
        for encoding in (1, 2):
            exported = self.export(c, uid, seq(
                "KeyWrappingSpecification", enum("WrappingMethod", 1),
                seq("EncryptionKeyInformation", ttlv.uid(kek)), enum("EncodingOption", encoding)))
            for wanted, comes in ((1, False), (2, True)):  # not wrapped; as registered
                new = self.brought(c, self.new_uid(), self.moved(exported),
                                   enum("KeyWrapType", wanted))
                block = c.ok(on("Get", new)).one("SymmetricKey").one("KeyBlock")
                self.assertEqual(bool(block.all("KeyWrappingData")), comes)
                if not comes:
                    self.assertEqual(c.key(new), key)
            c.ok(on("Archive", kek))
            self.assert_reason(c.do(self.bring(self.new_uid(), self.moved(exported),
                                               enum("KeyWrapType", 1))), "ObjectArchived")
            c.ok(on("Recover", kek))

    def test_unwrapping_is_refused(self):
        c = self.client(version=(1, 4))
        uid, kek = self.create(c), c.create(mask=0x10)
        c.ok(on("Activate", kek))
        exported = self.export(c, uid, seq(
            "KeyWrappingSpecification", enum("WrappingMethod", 1),
            seq("EncryptionKeyInformation", ttlv.uid(kek)), enum("EncodingOption", 1)))
        unwrap = lambda by: c.do(self.bring(self.new_uid(), self.moved(by),
                                            enum("KeyWrapType", 1)))
        self.assert_reason(unwrap(exported), "PermissionDenied")  # its mask has only Wrap Key
        other = self.create(c)
        c.ok(on("Activate", other))
        block = exported[2].one("KeyBlock")
        information = block.one("KeyWrappingData").one("EncryptionKeyInformation")
        information.one("UniqueIdentifier").value = other
        self.assert_reason(unwrap(exported), "CryptographicFailure")
        information.one("UniqueIdentifier").value = "nobody"
        self.assert_reason(unwrap(exported), "ItemNotFound")

    def test_unwrapped_by_a_hidden_key(self):
        """What left wrapped by what cannot be read does not become readable on its way back."""
        c = self.client(version=(1, 4))
        flag = lambda name, value: attribute(name, ttlv.boolean("AttributeValue", value))
        told = lambda uid, *names: ttlv.Result(
            c.call(ttlv.get_attributes(uid, *names)).items[0].node).attributes()
        for name, hidden, history, reason in (
                ("Sensitive", True, "Always Sensitive", "Sensitive"),
                ("Extractable", False, "Never Extractable", "NotExtractable")):
            kek = c.create(flag(name, hidden), mask=0x30)
            c.ok(on("Activate", kek))
            uid = c.create()
            exported = self.moved(self.export(c, uid, seq(
                "KeyWrappingSpecification", enum("WrappingMethod", 1),
                seq("EncryptionKeyInformation", ttlv.uid(kek)), enum("EncodingOption", 1))))
            unwrap = lambda *changes: self.bring(
                self.new_uid(), self.edited(exported, *changes), enum("KeyWrapType", 1))
            self.assert_reason(c.do(unwrap()), "PermissionDenied")  # it says that it is readable
            value = ttlv.boolean("AttributeValue", hidden)
            always = ttlv.boolean("AttributeValue", True)
            for changes, was in (([(name, None)], False), ([(name, value)], False),
                                 ([(name, value), (history, always)], True)):
                new = c.ok(unwrap(*changes)).path("UniqueIdentifier")
                self.assert_reason(c.do(on("Get", new)), reason)
                self.assertEqual(told(new, name, history), {name: [hidden], history: [was]})
            c.ok(on("ModifyAttribute", kek, flag(name, not hidden)))
            c.ok(on("ModifyAttribute", kek, flag(name, hidden)))
            new = c.ok(unwrap((name, value), (history, always))).path("UniqueIdentifier")
            self.assertEqual(told(new, name, history), {name: [hidden], history: [False]})

    def test_replace(self):
        c = self.client(version=(1, 4))
        uid = c.create(attribute("x-a", "1"), ttlv.name_attribute("replaced"))
        key = c.key(uid)
        exported = self.export(c, uid)
        self.assert_reason(c.do(self.bring(uid, exported)), "ObjectAlreadyExists")
        replace = ttlv.boolean("ReplaceExisting", True)
        other = self.edited(exported, ("x-a", None), ("x-b", "2"))
        c.ok(self.bring(uid, other, replace))
        found = ttlv.Result(c.call(ttlv.get_attributes(uid)).items[0].node).attributes()
        self.assertEqual((found.get("x-a"), found.get("x-b")), (None, ["2"]))
        self.assertEqual(c.key(uid), key)
        other[2].one("KeyBlock").one("KeyValue").one("KeyMaterial").value = bytes(32)
        self.assert_reason(c.do(self.bring(uid, self.edited(other, ("Digest", None)), replace)),
                           "FeatureNotSupported")
        self.assertEqual(c.key(uid), key)

    def test_replace_and_state(self):
        """What was revoked or destroyed is not brought back."""
        c = self.client(version=(1, 4))
        uid = c.create()
        c.ok(on("Activate", uid))
        active = self.export(c, uid)
        replace = ttlv.boolean("ReplaceExisting", True)
        state = lambda n: ("State", enum("AttributeValue", n))
        c.ok(self.bring(uid, self.edited(active, state(ttlv.COMPROMISED)), replace))
        self.assertEqual(c.state(uid), ttlv.COMPROMISED)
        self.assert_reason(c.do(self.bring(uid, active, replace)), "PermissionDenied")
        c.ok(on("Destroy", uid))
        self.assert_reason(c.do(self.bring(uid, active, replace)), "PermissionDenied")
        self.assert_reason(c.do(self.bring(uid, active)), "ObjectAlreadyExists")
        new = self.new_uid()
        self.assert_reason(c.do(self.bring(new, self.edited(
            self.moved(active), state(ttlv.DESTROYED)))), "PermissionDenied")

    def limits(self, total, left, unit=1):
        return ("Usage Limits", seq(
            "AttributeValue", ttlv.Node("UsageLimitsTotal", ttlv.LONG, total),
            ttlv.Node("UsageLimitsCount", ttlv.LONG, left), enum("UsageLimitsUnit", unit)))

    def test_replace_and_rights(self):
        """Nothing may be done with it that was not allowed before."""
        c = self.client(version=(1, 4))
        mask = lambda n: ("Cryptographic Usage Mask", integer("AttributeValue", n))
        flag = lambda name, v: (name, ttlv.boolean("AttributeValue", v))
        uid = c.create(mask=0xC)
        key = c.key(uid)
        kek = c.create(mask=0x10)
        c.ok(on("Activate", kek))
        exported = self.export(c, uid)
        replace = lambda *changes: self.bring(uid, self.edited(exported, *changes),
                                              ttlv.boolean("ReplaceExisting", True))
        refused = lambda *changes: self.assert_reason(c.do(replace(*changes)), "PermissionDenied")
        found = lambda name: ttlv.Result(c.call(ttlv.get_attributes(uid, name)).items[0].node
                                         ).attributes()[name]
        for n in (0x1C, 0x10):
            refused(mask(n))
        refused(flag("Sensitive", True), flag("Always Sensitive", True))
        refused(flag("Extractable", False), flag("Never Extractable", True))
        if kf.VAULT == "local":
            c.ok(replace(mask(0x8)))
            refused(mask(0xC))
        else:
            refused(mask(0x8))  # this gateway alone would know
        left = found("Cryptographic Usage Mask")
        self.assertEqual(left, [0x8 if kf.VAULT == "local" else 0xC])
        same = mask(left[0])
        c.ok(replace(same, self.limits(100, 50)))
        for limits in (self.limits(100, 51), self.limits(100, 50, 2), ("Usage Limits", None),
                       self.limits(50, 50), self.limits(0, 0)):
            refused(same, limits)
        c.ok(replace(same, self.limits(200, 49)))
        limits = self.limits(200, 49)
        self.assertEqual(c.key(uid), key)
        for name, value in (("Extractable", False), ("Sensitive", True)):
            c.ok(replace(same, limits, flag(name, value)))
            refused(same, limits, flag(name, not value))
            c.ok(on("ModifyAttribute", uid, attribute(*flag(name, not value))))
        self.assertEqual(c.key(uid), key)

    def test_replace_and_dates(self):
        """When it came here, and that it is archived, is not Import's to say."""
        c = self.client(version=(1, 4))
        uid = c.create()
        exported = self.export(c, uid)
        at = lambda name: (name, date("AttributeValue", 5))
        told = lambda name: ttlv.Result(c.call(ttlv.get_attributes(uid, name)).items[0].node
                                        ).attributes().get(name)
        initial = told("Initial Date")
        again = lambda *changes: c.ok(self.bring(uid, self.edited(exported, *changes),
                                                 ttlv.boolean("ReplaceExisting", True)))
        again(at("Initial Date"), at("Archive Date"), ("x-a", "1"))
        self.assertEqual((told("Initial Date"), told("Archive Date"), told("x-a")),
                         (initial, None, ["1"]))
        c.ok(on("Archive", uid))
        archived = told("Archive Date")
        again(at("Initial Date"))
        self.assertEqual((told("Initial Date"), told("Archive Date")), (initial, archived))
        self.assert_reason(c.do(on("Get", uid)), "ObjectArchived")

    def test_destroyed(self):
        for version in self.WITH:
            c = self.client(version=version)
            uid = self.create(c)
            c.ok(on("Destroy", uid))
            kind, attributes, obj = self.export(c, uid)
            self.assertEqual(kind, 2)
            self.assertNotIn("KeyValue", obj.one("KeyBlock").tags())
            self.assertTrue(attributes)

    def test_what_must_not_leave(self):
        c = self.client(version=(1, 4))
        for name, value, reason in (("Sensitive", True, "Sensitive"),
                                    ("Extractable", False, "NotExtractable")):
            uid = c.create(attribute(name, ttlv.boolean("AttributeValue", value)))
            self.assert_reason(c.do(on("Export", uid)), reason)
        uid = c.create()
        c.ok(on("Archive", uid))
        self.assert_reason(c.do(on("Export", uid)), "ObjectArchived")

    def test_identifiers(self):
        """One that none of ours could be is replaced; the item's answer says by which."""
        c = self.client(version=(1, 4))
        exported = self.moved(self.export(c, c.create()))
        for foreign in ("1", "K" * 200, "00000000-0000-4000-8000-00000000000G", ""):
            uid = c.ok(self.bring(foreign, exported)).path("UniqueIdentifier")
            self.assertNotEqual(uid, foreign)
            self.assertEqual(len(c.key(uid)), 32)
        uid = self.new_uid()
        results = c.call(*[i for n, i in enumerate((
            self.bring(uid, exported), on("Get")))
            if not i.value.insert(1, ttlv.octets("UniqueBatchItemID", ttlv.ubid(n)))]).items
        self.assertEqual((results[0].status, results[1].uid), (ttlv.SUCCESS, results[0].uid))
        self.assertEqual(results[0].uid == uid, kf.VAULT == "local")
        self.assert_reason(c.do(self.bring(self.new_uid(), self.edited(
            exported, ("Unique Identifier", text("AttributeValue", "another"))))), "InvalidField")

    @unittest.skipIf(kf.VAULT == "local", "no other gateway looks for it")
    def test_where_other_gateways_look(self):
        """An identifier that is not there is replaced, and nobody looks for it before."""
        c = self.client(version=(1, 4))
        exported = self.moved(self.export(c, c.create()))
        looked = self.gw.metrics()["lookups_total"]
        now = int(time.time() * 1000)
        for n in range(60):  # more than a client has look-ups
            given = "%08x-%04x-7000-8000-%012x" % (now >> 16, now & 0xFFFF, n)
            mark = self.gw.mark()
            uid = self.brought(c, given, exported)
        self.assertIn('note="identifier replaced"', self.gw.log(mark))
        self.assertEqual(len(c.key(uid)), 32)
        self.assertEqual(self.gw.metrics()["lookups_total"], looked)
        c.ok(on("Destroy", uid))
        replace = ttlv.boolean("ReplaceExisting", True)
        self.assert_reason(c.do(self.bring(uid, exported)), "ObjectAlreadyExists")
        self.assert_reason(c.do(self.bring(uid, exported, replace)), "PermissionDenied")
        self.brought(c, self.new_uid(), exported, replace)

    def test_what_does_not_fit(self):
        c = self.client(version=(1, 4))
        exported = self.moved(self.export(c, c.create()))
        flag = lambda v: ttlv.boolean("AttributeValue", v)
        for changes, reason in (
                ((("Cryptographic Length", integer("AttributeValue", 128)),), "InvalidField"),
                ((("Object Type", enum("AttributeValue", 7)),), "InvalidField"),
                ((("Always Sensitive", flag(True)),), "InvalidField"),
                ((("Never Extractable", flag(True)),), "InvalidField"),
                ((("Cryptographic Usage Mask", None),), "MissingData"),
                ((("State", enum("AttributeValue", 77)),), "InvalidField"),
                ((("Destroy Date", date("AttributeValue", 5)),), "InvalidField"),
                ((("Compromise Date", date("AttributeValue", 5)),), "InvalidField"),
                ((("Digest", seq("AttributeValue", enum("HashingAlgorithm", 6),
                                 ttlv.octets("DigestValue", bytes(32)))),), "InvalidField")):
            self.assert_reason(c.do(self.bring(self.new_uid(), self.edited(exported, *changes))),
                               reason)

    def test_templates_are_in_the_way(self):
        """2.x does not see them; their identifiers are taken all the same."""
        old = self.client()
        uid = old.ok(item("Register", enum("ObjectType", 6), ttlv.template(), seq(
            "Template", ttlv.name_attribute("in the way")))).path("UniqueIdentifier")
        for version in VERSIONS_2:
            c = self.client(version=version)
            exported = self.renamed(self.export(c, self.create(c)), uid)
            for options in ((), (ttlv.boolean("ReplaceExisting", True),)):
                self.assert_reason(c.do(self.bring(uid, exported, *options)),
                                   "ObjectAlreadyExists")
        self.assertEqual(old.ok(on("Get", uid)).path("ObjectType"), 6)

    def test_refused_ones_are_audited(self):
        c = self.client(version=(1, 4))
        uid = c.create()
        exported = self.export(c, uid)
        for told, refused in ((uid, exported), ("somebody's", self.edited(
                self.moved(exported), ("Cryptographic Usage Mask", None)))):
            mark = self.gw.mark()
            self.assertEqual(c.do(self.bring(told, refused)).status, ttlv.FAILED)
            (line,) = [l for l in self.gw.log(mark).splitlines() if "Import" in l]
            self.assertIn("uid=" + told, line)

    def test_names_are_held_once(self):
        c = self.client(version=(1, 4))
        exported = self.export(c, c.create(ttlv.name_attribute("imported twice")))
        self.assert_reason(c.do(self.bring(self.new_uid(), self.edited(
            exported, ("Unique Identifier", None)))), "IllegalOperation")

    def test_what_the_vault_cannot_keep(self):
        c = self.client(version=(1, 4))
        exported = self.moved(self.export(c, c.ok(ttlv.register_opaque(b"x")).path(
            "UniqueIdentifier")))
        exported[2].one("OpaqueDataValue").value = b"x" * 4096
        result = c.do(self.bring(self.new_uid(), self.edited(exported, ("Digest", None))))
        if kf.VAULT == "local":
            self.assertEqual(result.status, ttlv.SUCCESS)
        else:
            self.assert_reason(result, "InvalidField")

    @classmethod
    def arguments(cls):
        return {"tenants": [kf.Tenant("a", kf.AUTHORITY.make("vcenter")),
                            kf.Tenant("b", kf.AUTHORITY.make("second"))]}


if __name__ == "__main__":
    kf.main()
