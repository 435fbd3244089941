# SPDX-License-Identifier: Apache-2.0
"""What becomes of objects as a whole: archived and recovered."""

import json
import time

import kf
import ttlv
from ttlv import VERSIONS, VERSIONS_2, attribute, date, enum, integer, item, on, seq, text

ALL_VERSIONS = VERSIONS + VERSIONS_2
KEY_COMPROMISE = 2


class Archive(kf.SharedCase):
    def create(self, c, *more):
        """A key that may do everything, in whatever version c speaks."""
        if c.version < (2, 0):
            return c.create(*more, mask=0x3FF)
        return c.ok(ttlv.create2(*more, mask=0x3FF)).path("UniqueIdentifier")

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


if __name__ == "__main__":
    kf.main()
