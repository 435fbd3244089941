# SPDX-License-Identifier: Apache-2.0
"""What becomes of objects as a whole: archived and recovered, and made after templates."""

import json
import time

import kf
import ttlv
from ttlv import VERSIONS, VERSIONS_2, attribute, date, enum, integer, item, on, seq, text

ALL_VERSIONS = VERSIONS + VERSIONS_2
KEY_COMPROMISE = 2


class Objects(kf.SharedCase):
    def create(self, c, *more):
        """A key that may do everything, in whatever version c speaks."""
        if c.version < (2, 0):
            return c.create(*more, mask=0x3FF)
        return c.ok(ttlv.create2(*more, mask=0x3FF)).path("UniqueIdentifier")


class Archive(Objects):
    def dates(self, c, uid):
        if c.version < (2, 0):
            found = ttlv.Result(c.call(ttlv.get_attributes(uid, "Archive Date")).items[0].node)
            return found.attributes().get("Archive Date", [])
        found = c.ok(on("GetAttributes", uid, ttlv.reference("ArchiveDate")))
        return [n.value for n in found.one("Attributes").all("ArchiveDate")]

    def test_in_every_version(self):
        for version in ALL_VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                uid = self.create(c)
                key = c.key(uid)
                self.assertEqual(self.dates(c, uid), [])
                before = int(time.time())
                self.assertEqual(c.ok(on("Archive", uid)).path("UniqueIdentifier"), uid)
                (when,) = self.dates(c, uid)
                self.assertTrue(before - 1 <= when <= time.time() + 1)
                for operation in ("Get", "Archive", "Check", "ReKey", "ObtainLease"):
                    self.assert_reason(c.do(on(operation, uid)), "ObjectArchived")
                self.assertEqual(c.ok(on("Recover", uid)).path("UniqueIdentifier"), uid)
                self.assertEqual(self.dates(c, uid), [])
                self.assertEqual(c.key(uid), key)
                c.ok(on("Recover", uid))
                self.assert_reason(c.do(on("Archive", "nobody")), "ItemNotFound", "ObjectNotFound")
                self.assert_reason(c.do(on("Recover", "nobody")), "ItemNotFound", "ObjectNotFound")

    def test_what_needs_no_key_goes_on(self):
        c = self.client()
        uid = c.create()
        c.ok(on("Archive", uid))
        c.ok(on("AddAttribute", uid, attribute("x-shelf", "7")))
        c.ok(on("Activate", uid))
        c.ok(ttlv.revoke(uid, KEY_COMPROMISE))
        self.assertEqual(c.state(uid), ttlv.COMPROMISED)
        c.ok(on("Destroy", uid))
        for operation in ("Archive", "Recover", "Get"):
            self.assert_reason(c.do(on(operation, uid)), "ItemNotFound")

    def test_it_is_the_servers_to_set(self):
        c = self.client()
        uid = c.create()
        when = attribute("Archive Date", date("AttributeValue", 5))
        for change in (on("AddAttribute", uid, when), on("ModifyAttribute", uid, when),
                       on("DeleteAttribute", uid, text("AttributeName", "Archive Date")),
                       ttlv.create(when)):
            self.assert_reason(c.do(change), "PermissionDenied")

    def test_wrapping_key(self):
        """What is asked for is there; the key that should wrap it is not."""
        for version, reason in (((1, 4), "ObjectArchived"), ((2, 1), "WrappingObjectArchived")):
            c = self.client(version=version)
            uid, kek = self.create(c), self.create(c)
            c.ok(on("Activate", kek))
            wrapped = on("Get", uid, seq(
                "KeyWrappingSpecification", enum("WrappingMethod", 1),
                seq("EncryptionKeyInformation", ttlv.uid(kek))))
            c.ok(wrapped)
            c.ok(on("Archive", kek))
            self.assert_reason(c.do(wrapped), reason)

    def test_locate(self):
        c = self.client()
        mine = attribute("x-tag", "archive")
        online, archived, gone, archived_gone = (c.create(mine) for _ in range(4))
        for uid in (archived, archived_gone):
            c.ok(on("Archive", uid))
        for uid in (gone, archived_gone):
            c.ok(on("Destroy", uid))
        locate = lambda *fields: {n.value for n in c.ok(
            item("Locate", *fields, mine)).all("UniqueIdentifier")}
        self.assertEqual(locate(), {online, archived})
        self.assertEqual(locate(attribute("Archive Date", date("AttributeValue", 1)),
                                attribute("Archive Date", date("AttributeValue", 1 << 33))),
                         {archived})
        destroyed = {gone, archived_gone}
        for mask, want in ((0, set()), (1, {online}), (2, {archived}), (3, {online, archived}),
                           (4, destroyed), (5, destroyed | {online}), (6, destroyed | {archived}),
                           (7, destroyed | {online, archived})):
            self.assertEqual(locate(integer("StorageStatusMask", mask)), want, mask)

    def test_locate_sees_the_message(self):
        c = self.client()
        mine = attribute("x-tag", "archive here")
        uid = c.create(mine)
        where = lambda mask: item("Locate", integer("StorageStatusMask", mask), mine)
        items = on("Archive", uid), where(1), where(2), on("Recover", uid), where(1)
        for n, i in enumerate(items):
            i.value.insert(1, ttlv.octets("UniqueBatchItemID", ttlv.ubid(n)))
        results = c.call(*items).items
        self.assertEqual([[n.value for n in r.payload.all("UniqueIdentifier")] for r in results],
                         [[uid], [], [uid], [uid], [uid]])

    def test_administrators_see_it(self):
        c = self.client()
        uid = c.create()
        c.ok(on("Archive", uid))
        shown = self.gw.ctl("--json", "keys", "show", uid).stdout.splitlines()[0]
        self.assertIn("archived", json.loads(shown))

    def test_asynchronously(self):
        """It is done at once: whoever insists on a later answer is told that there is none."""
        c = self.client()
        uid = c.create()
        for wants, reason in ((True, "FeatureNotSupported"), (False, None)):
            result = c.call(on("Archive", uid),
                            header=[ttlv.boolean("AsynchronousIndicator", wants)]).items[0]
            self.assertEqual(result.reason_name, reason)


class Templates(Objects):
    """What 1.0 to 1.4 have and 2.0 took away."""

    def template(self, c, name, *attributes, beside=()):
        """Registers one."""
        return c.ok(item("Register", enum("ObjectType", 6), ttlv.template(*beside), seq(
            "Template", ttlv.name_attribute(name), *attributes))).path("UniqueIdentifier")

    @staticmethod
    def named(*names, more=()):
        """A Template-Attribute with names of templates."""
        return ttlv.template(*[seq("Name", text("NameValue", n), enum("NameType", 1))
                               for n in names], *more)

    def create(self, c, *names, more=()):
        return item("Create", enum("ObjectType", 2), self.named(*names, more=more))

    def values(self, c, uid, *names):
        found = ttlv.Result(c.call(ttlv.get_attributes(uid, *names)).items[0].node).attributes()
        return found

    AES = ttlv.aes_attributes()

    def test_in_every_version(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                name = "template-%d%d" % version
                uid = self.template(c, name, *self.AES, attribute("x-tier", "gold"))
                payload = c.ok(on("Get", uid))
                self.assertEqual(payload.path("ObjectType"), 6)
                self.assertEqual({a.path("AttributeName") for a in payload.one("Template").value},
                                 {"Name", "Cryptographic Algorithm", "Cryptographic Length",
                                  "Cryptographic Usage Mask", "x-tier"})
                self.assertEqual(set(self.values(c, uid)) - {"Name", "x-tier"}, {
                    "Unique Identifier", "Object Type", "Initial Date", "Last Change Date",
                    "Cryptographic Algorithm", "Cryptographic Length", "Cryptographic Usage Mask"})
                made = c.ok(self.create(c, name)).path("UniqueIdentifier")
                self.assertEqual(len(c.key(made)), 32)
                found = self.values(c, made)
                self.assertEqual((found["x-tier"], "Name" in found), (["gold"], False))
                listed = [n.value for n in c.ok(item("Locate", attribute(
                    "Object Type", enum("AttributeValue", 6)),
                    ttlv.name_attribute(name))).all("UniqueIdentifier")]
                self.assertEqual(listed, [uid])
                c.ok(on("Destroy", uid))
                self.assert_reason(c.do(self.create(c, name)), "ItemNotFound")
                self.assertEqual(len(c.key(made)), 32)

    def test_precedence(self):
        """What the request says, then the last template; several values come together."""
        c = self.client()
        length = lambda n: attribute("Cryptographic Length", integer("AttributeValue", n))
        group = lambda g: attribute("Object Group", g)
        self.template(c, "first", *self.AES[:2], length(128), group("a"), group("both"),
                      attribute("Contact Information", "first"))
        self.template(c, "last", length(192), group("b"), group("both"))
        made = lambda *names, more=(): self.values(c, c.ok(self.create(
            c, *names, more=more)).path("UniqueIdentifier"))
        found = made("first", "last")
        self.assertEqual(found["Cryptographic Length"], [192])
        self.assertEqual(sorted(found["Object Group"]), ["a", "b", "both"])
        self.assertEqual(found["Contact Information"], ["first"])
        self.assertEqual(made("last", "first")["Cryptographic Length"], [128])
        found = made("first", "last", more=(length(256), group("c"), group("a"),
                                            attribute("Contact Information", "mine")))
        self.assertEqual(found["Cryptographic Length"], [256])
        self.assertEqual(sorted(found["Object Group"]), ["a", "b", "both", "c"])
        self.assertEqual(found["Contact Information"], ["mine"])

    def test_dates_are_of_what_is_made(self):
        c = self.client()
        past = attribute("Activation Date", date("AttributeValue", 5))
        uid = self.template(c, "born active", *self.AES, past)
        made = c.ok(self.create(c, "born active")).path("UniqueIdentifier")
        self.assertEqual(c.state(made), ttlv.ACTIVE)
        self.assertEqual(self.values(c, uid, "Activation Date", "State"), {"Activation Date": [5]})
        c.ok(on("ModifyAttribute", uid, attribute("Activation Date", date(
            "AttributeValue", 1 << 34))))
        made = c.ok(self.create(c, "born active")).path("UniqueIdentifier")
        self.assertEqual(c.state(made), ttlv.PRE_ACTIVE)
        for refused in (on("Activate", uid), ttlv.revoke(uid, KEY_COMPROMISE)):
            self.assert_reason(c.do(refused), "InvalidField", "PermissionDenied")
        c.ok(on("Destroy", uid))

    def test_attributes(self):
        c = self.client(version=(1, 4))
        uid = self.template(c, "changes", *self.AES, beside=(attribute("x-a", "1"),))
        c.ok(on("AddAttribute", uid, attribute("x-a", "2")))
        c.ok(on("DeleteAttribute", uid, text("AttributeName", "x-a"),
                integer("AttributeIndex", 0)))
        c.ok(on("AddAttribute", uid, attribute("Usage Limits", seq(
            "AttributeValue", ttlv.Node("UsageLimitsTotal", ttlv.LONG, 9),
            enum("UsageLimitsUnit", 2)))))
        made = self.values(c, c.ok(self.create(c, "changes")).path("UniqueIdentifier"))
        self.assertEqual(made["x-a"], ["2"])
        self.assertIn("Usage Limits", made)
        for name, value in (("Description", "no"), ("Sensitive", ttlv.boolean(
                "AttributeValue", True)), ("Link", seq(
                    "AttributeValue", enum("LinkType", 0x104),
                    text("LinkedObjectIdentifier", "x")))):
            self.assert_reason(c.do(on("AddAttribute", uid, attribute(name, value))),
                               "InvalidField")
        self.assert_reason(c.do(on("AddAttribute", uid, attribute(
            "State", enum("AttributeValue", 2)))), "PermissionDenied")
        self.assert_reason(c.do(on("AddAttribute", uid, attribute(
            "Cryptographic Length", integer("AttributeValue", 128)))), "PermissionDenied")
        self.assert_reason(c.do(item("Register", enum("ObjectType", 6), ttlv.template(), seq(
            "Template", ttlv.name_attribute("changes")))), "IllegalOperation")

    def test_other_operations(self):
        c = self.client()
        self.template(c, "for all", *ttlv.aes_attributes(mask=0x200), attribute("x-b", "t"),
                      attribute("Activation Date", date("AttributeValue", 5)))
        registered = c.ok(item("Register", enum("ObjectType", 2), self.named("for all"), seq(
            "SymmetricKey", ttlv.key_block(bytes(32), length=256)))).path("UniqueIdentifier")
        self.assertEqual(self.values(c, registered, "x-b"), {"x-b": ["t"]})
        rekeyed = c.ok(on("ReKey", registered, self.named("for all"))).path("UniqueIdentifier")
        self.assertEqual(self.values(c, rekeyed, "x-b"), {"x-b": ["t"]})
        derived = c.ok(item(
            "DeriveKey", enum("ObjectType", 2), ttlv.uid(registered),
            enum("DerivationMethod", 2), seq("DerivationParameters", seq(
                "CryptographicParameters", enum("HashingAlgorithm", 6))),
            self.named("for all"))).path("UniqueIdentifier")
        self.assertEqual(self.values(c, derived, "x-b"), {"x-b": ["t"]})
        uid = self.template(c, "a copy", beside=self.named("for all").value)
        self.assertEqual(self.values(c, uid, "x-b"), {"x-b": ["t"]})
        for refused in (on("ReKey", uid), on("Encrypt", uid, ttlv.octets("Data", bytes(16))),
                        on("Get", uid, enum("KeyFormatType", 1))):
            self.assertEqual(c.do(refused).status, ttlv.FAILED)

    def test_in_one_message(self):
        c = self.client()
        items = (item("Register", enum("ObjectType", 6), ttlv.template(), seq(
            "Template", ttlv.name_attribute("new here"), *self.AES)),
            self.create(c, "new here"), on("Get"))
        for n, i in enumerate(items):
            i.value.insert(1, ttlv.octets("UniqueBatchItemID", ttlv.ubid(n)))
        results = c.call(*items).items
        self.assertEqual([r.status for r in results], [ttlv.SUCCESS] * 3)
        self.assertEqual(len(results[2].key), 32)
        uid = results[0].uid
        items = (on("ModifyAttribute", uid, ttlv.name_attribute("renamed here")),
                 self.create(c, "renamed here"), self.create(c, "new here"))
        for n, i in enumerate(items):
            i.value.insert(1, ttlv.octets("UniqueBatchItemID", ttlv.ubid(n)))
        results = c.call(*items).items
        self.assertEqual([r.reason_name for r in results], [None, None, "ItemNotFound"])

    def test_refused(self):
        c = self.client()
        uid = self.template(c, "kept away", *self.AES)
        c.create(ttlv.name_attribute("is a key"))
        for name in ("nobody", "is a key", ""):
            self.assert_reason(c.do(self.create(c, name, more=self.AES)), "ItemNotFound")
        self.assert_reason(c.do(self.create(c, *["kept away"] * 17)), "InvalidField")
        c.ok(self.create(c, *["kept away"] * 16))
        wrong = item("Create", enum("ObjectType", 2), ttlv.template(
            seq("Name", text("NameValue", "kept away"))))
        self.assertEqual(c.do(wrong).status, ttlv.FAILED)
        c.ok(on("Archive", uid))
        self.assert_reason(c.do(self.create(c, "kept away")), "ObjectArchived")
        self.assert_reason(c.do(on("Get", uid)), "ObjectArchived")

    def test_2_x_has_none(self):
        old = self.client()
        uid = self.template(old, "of 1.x", *self.AES)
        for version in VERSIONS_2:
            c = self.client(version=version)
            for operation in ("Get", "GetAttributes", "Destroy", "Export", "Archive"):
                self.assert_reason(c.do(on(operation, uid)), "ObjectNotFound", "ItemNotFound")
            found = c.ok(item("Locate", seq("Attributes", ttlv.name2("of 1.x"))))
            self.assertEqual(found.all("UniqueIdentifier"), [])
            self.assert_reason(c.do(item("Register", enum("ObjectType", 6), seq("Attributes"), seq(
                "Template", ttlv.name_attribute("x")))), "InvalidObjectType")
        self.assertEqual(old.ok(on("Get", uid)).path("ObjectType"), 6)


if __name__ == "__main__":
    kf.main()
