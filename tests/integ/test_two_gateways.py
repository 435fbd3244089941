# SPDX-License-Identifier: Apache-2.0
"""Two gateways with nothing shared but Key Protect: vCenter lists both in one key provider and uses
either for each of its connections."""

import os
import threading
import unittest

import kf
import ttlv
from pair import BOUND_S, Pair, WITHIN
from ttlv import ACTIVE, COMPROMISED, DEACTIVATED, DESTROYED, get_attributes, on, revoke

KEY_COMPROMISE = 2
CESSATION = 5
STOP, UNDO = 2, 3  # Batch Error Continuation Option


class Manager(Pair):
    """Each gateway has a service ID of its own."""

    def two_tenants(self):
        self.cloud.identity("Second", [{"instance": self.cloud.instance, "roles": ["Manager"]}])
        ours = 'service-ids = "iam-ServiceId-Manager iam-ServiceId-Second"'
        return self.tenant(options=ours), self.tenant("Second", options=ours)

    def test_key_of_one_is_fetched_through_the_other_at_once(self):
        makers = (self.first, self.second)
        for maker, other in (makers, makers[::-1]):
            with maker.client() as a, other.client() as b:
                for length in (256, 128):
                    uid = a.create(ttlv.attribute("x-Component", "vSAN"), length=length)
                    key = b.key(uid)
                    self.assertEqual(len(key), length // 8)
                    self.assertEqual(a.key(uid), key)
                    self.assertEqual((a.state(uid), b.state(uid)), (ACTIVE, ACTIVE))
                    seen = [ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
                            for c in (a, b)]
                    for name in ("Cryptographic Length", "Initial Date", "Activation Date",
                                 "Cryptographic Usage Mask", "x-Component"):
                        self.assertEqual(seen[0][name], seen[1][name], name)
                    self.assertEqual(len(self.cloud.records(uid)), 1)

    def test_imported_key_is_found_by_the_other(self):
        """Whatever it was called elsewhere, and though the other has looked for that in vain."""
        with self.first.client(version=(1, 4)) as c, self.second.client() as d:
            uid = c.create()
            key, payload = c.key(uid), c.ok(on("Export", uid))
            attributes = [a for a in payload.all("Attribute")
                          if a.path("AttributeName") != "Unique Identifier"]
            for given in ("11111111-2222-4333-8444-555555555555",
                          "01890000-0000-7000-8000-000000000009"):
                self.assert_reason(d.do(on("Get", given)), "ItemNotFound")
                new = c.ok(ttlv.item(
                    "Import", ttlv.text("UniqueIdentifier", given), ttlv.enum("ObjectType", 2),
                    *attributes, payload.one("SymmetricKey"))).path("UniqueIdentifier")
                self.assertEqual(d.key(new), key)
                self.assert_reason(d.do(on("Get", given)), "ItemNotFound")

    def test_destroy_holds_at_both(self):
        uid = self.create(self.first)
        self.assertEqual(self.states(uid), [ACTIVE, ACTIVE])
        with self.second.client() as c:
            c.ok(revoke(uid))
            c.ok(on("Destroy", uid))
        self.assert_gone(uid)
        self.await_destroyed(uid)
        self.assertEqual(self.cloud.records(uid), [])

    def test_destroy_while_the_other_makes_a_successor(self):
        """The successor is not in the list yet when the Destroy looks."""
        uid = self.create(self.first)
        self.keys(uid)
        with self.first.client() as c:
            c.ok(revoke(uid))
        self.await_revoked(uid, DEACTIVATED)
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "retired", WITHIN)
        self.cloud.settings(list_lag_ms=3000)
        with self.second.client() as b, self.first.client() as a:
            b.ok(revoke(uid, KEY_COMPROMISE))
            a.ok(on("Destroy", uid))
        self.cloud.settings(list_lag_ms=0)
        self.assert_gone_after_rounds(uid)
        kf.eventually(lambda: self.cloud.records(uid) == [], "no record", WITHIN)
        with self.first.client() as a:
            self.assertEqual(a.state(uid), DESTROYED)

    def test_destroyed_stays_so_when_the_customer_restores_the_record(self):
        uid = self.create(self.first)
        self.assertEqual(self.states(uid), [ACTIVE, ACTIVE])
        with self.first.client() as c:
            c.ok(revoke(uid))
        self.await_revoked(uid, DEACTIVATED)
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "predecessor retired", WITHIN)
        record = self.record_id(uid)
        with self.second.client() as c:  # not the service ID that made it
            c.ok(on("Destroy", uid))
        self.assert_gone(uid)
        self.await_destroyed(uid)
        self.cloud.advance(40)
        self.cloud.customer(record, "restore")
        self.assertEqual(len(self.cloud.records(uid)), 1)
        self.assertEqual(self.keys(uid), ["ItemNotFound"] * 2)
        for gw in (self.first, self.second):
            gw.stop()
            gw.start()
        self.assertEqual(self.keys(uid), ["ItemNotFound"] * 2)
        self.first.control("keys rebuild")  # as the watch does every few hours
        kf.eventually(lambda: self.cloud.records(uid) == [], "deleted again", WITHIN)

    def record_id(self, uid):
        found = self.cloud.call("GET", "/keys?limit=5000&extractable=true").json["resources"]
        return [k["id"] for k in found if k["name"].endswith(uid)][0]

    def test_record_deleted_by_the_customer_and_restored(self):
        uid = self.create(self.first)
        key = self.keys(uid)
        self.assertEqual(key[0], key[1])
        record = self.record_id(uid)
        self.cloud.customer(record, "delete")
        self.assert_gone(uid)
        self.assertEqual(self.states(uid), [ACTIVE] * 2)  # withdrawn, not destroyed
        self.cloud.advance(40)
        self.cloud.customer(record, "restore")
        kf.eventually(lambda: self.keys(uid) == key, "the key again at both", WITHIN)

    def test_deactivation_then_compromise(self):
        uid = self.create(self.first)
        key = self.keys(uid)
        with self.first.client() as c:
            c.ok(revoke(uid, message="laid to rest"))
        self.await_revoked(uid, DEACTIVATED)
        with self.second.client() as c:
            c.ok(revoke(uid, KEY_COMPROMISE, message="stolen"))
        self.await_revoked(uid, COMPROMISED)
        self.assertEqual(self.keys(uid), key)  # for recovery
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "predecessors retired", WITHIN)
        with self.first.client() as c:
            found = ttlv.Result(c.call(get_attributes(uid, "Revocation Reason")).items[0].node)
            self.assertIn("stolen", repr(found.payload))

    def test_revoked_in_the_message_that_made_it(self):
        with self.first.client() as c:
            answer = c.call(ttlv.create(ubid=b"1"), revoke(None, ubid=b"2"), on("Get", ubid=b"3"))
            self.assertEqual([r.status for r in answer.items], [ttlv.SUCCESS] * 3)
            uid = answer.items[0].uid
        self.await_revoked(uid, DEACTIVATED)
        with self.second.client() as c:
            answer = c.call(ttlv.create(ubid=b"1"), revoke(None, ubid=b"2"),
                            on("Destroy", ubid=b"3"))
            self.assertEqual([r.status for r in answer.items], [ttlv.SUCCESS] * 3)
            self.assertEqual(self.cloud.records(answer.items[0].uid), [])

    def test_two_revokes_at_once(self):
        """Both gateways make a successor; the more restrictive state counts at both."""
        for _ in range(4):
            uid = self.create(self.first)
            self.keys(uid)

            def work(n, uid=uid):
                with (self.first, self.second)[n].client() as c:
                    c.do(revoke(uid, (1, KEY_COMPROMISE)[n]))
            kf.in_parallel(2, work)
            states = self.states(uid)
            self.assertTrue(set(states) <= {DEACTIVATED, COMPROMISED}, states)
            self.assertNotIn("ItemNotFound", self.keys(uid))

    def test_no_get_fails_while_the_other_revokes(self):
        uids = [self.create(self.first) for _ in range(6)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        stop = threading.Event()
        failures, gets = [], [0]

        def fetch():
            with self.second.client() as c:
                while not stop.is_set():
                    for uid in uids:
                        result = c.do(on("Get", uid))
                        gets[0] += 1
                        if result.status != ttlv.SUCCESS or result.key != keys[uid]:
                            failures.append(repr(result))
        threads = [threading.Thread(target=fetch) for _ in range(2)]
        for t in threads:
            t.start()
        try:
            for uid in uids:
                with self.first.client() as c:
                    c.ok(revoke(uid))
            kf.eventually(lambda: gets[0] > len(uids) or failures or
                          not all(t.is_alive() for t in threads), "each was given out", 60)
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(failures, [])
        self.assertGreater(gets[0], len(uids))

    def test_unknown_uid_costs_little(self):
        """Nobody can hammer the key manager with made-up key IDs."""
        unknown = "01890000-0000-7000-8000-%012x"
        with self.first.client() as c:
            self.assert_reason(c.do(on("Get", unknown % 1)), "ItemNotFound")
            self.assertEqual(self.first.metrics()["lookups_total"], 1)
            for _ in range(50):
                self.assert_reason(c.do(on("Get", unknown % 1)), "ItemNotFound")
            self.assertEqual(self.first.metrics()["lookups_total"], 1)
            reasons = [c.do(on("Get", unknown % n)).reason_name for n in range(2, 302)]
        self.assertEqual(set(reasons), {"ItemNotFound", "GeneralFailure"})
        self.assertGreater(self.first.metrics()["lookups_refused_total"], 0)
        self.assertLess(self.first.metrics()["lookups_total"], 290)
        self.first.assert_idle()

    def test_many_unknown_keys_at_once_by_one_certificate(self):
        """vCenter's one certificate, and a gateway that has seen none of its keys."""
        with self.first.client() as c:
            uids = [c.create() for _ in range(60)]
        self.cloud.fault(operation="kms.secrets.*", delay_ms=300)
        failed = []

        def fetch(n):
            with self.second.client() as c:
                result = c.do(on("Get", uids[n]))
                if result.status != ttlv.SUCCESS:
                    failed.append(repr(result))
        try:
            kf.in_parallel(len(uids), fetch)
        finally:
            self.cloud.admin("DELETE", "/faults")
        self.assertEqual(failed, [])

    def test_record_under_another_name(self):
        """What Key Protect holds under a uid's name has to be that object's record."""
        uid = self.create(self.first)
        payload = self.cloud.call("GET", "/keys/" + self.record_id(uid)).one["payload"]
        other = "01890000-0000-7000-8000-0123456789ab"
        self.cloud.create("vmware_kmip_" + other, extractable=True, payload=payload)
        with self.second.client() as c:
            self.assert_reason(c.do(on("Get", other)), "ItemNotFound")


class Behind(Pair):
    """The first gateway hears of what the other does when a record is gone, and hardly before."""

    def two_tenants(self):
        self.cloud.identity("Second", [{"instance": self.cloud.instance, "roles": ["Manager"]}])
        return (self.bounded("Manager", "1h"), self.bounded("Second", "%ds" % BOUND_S))

    def bounded(self, role, bound):
        return kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                         options='revocation-bound = "%s"' % bound,
                         vault=self.cloud.vault(role, options='service-ids = "iam-ServiceId-Manager '
                                                'iam-ServiceId-Second"'))

    def deactivated_elsewhere(self, count):
        """Keys whose records, as the first gateway knows them, are gone."""
        uids = [self.create(self.first) for _ in range(count)]
        with self.second.client() as c:
            for uid in uids:
                c.key(uid)
                c.ok(revoke(uid, CESSATION))
        kf.eventually(lambda: all(len(self.cloud.records(uid)) == 1 for uid in uids), "retired", WITHIN)
        self.first.control("cache flush")
        return uids

    def test_what_a_message_changed_before_it_met_a_successor_is_kept(self):
        sensitive = ttlv.attribute("Sensitive", ttlv.boolean("AttributeValue", True))
        named = ttlv.attribute("x-Name", "vm-17")
        uids = self.deactivated_elsewhere(4)
        with self.first.client(version=(1, 4)) as c:
            for uid, option in zip(uids, (STOP, UNDO) * 2):
                on_fetch = uid in uids[2:]
                answer = c.call(
                    on("AddAttribute", uid, named, ubid=b"1") if on_fetch else
                    on("ModifyAttribute", uid, sensitive, ubid=b"1"),
                    on("Get", uid, ubid=b"2") if on_fetch else
                    revoke(uid, KEY_COMPROMISE, ubid=b"2"),
                    header=[ttlv.enum("BatchErrorContinuationOption", option)])
                self.assertEqual([r.status for r in answer.items], [ttlv.SUCCESS] * 2)
                seen = ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
                self.assertEqual(seen["State"], [DEACTIVATED if on_fetch else COMPROMISED])
                self.assertEqual(seen.get("x-Name"), ["vm-17"] if on_fetch else None)
                self.assertEqual(seen["Sensitive"], [not on_fetch])
                self.assertEqual(c.do(on("Get", uid)).status == ttlv.SUCCESS, on_fetch)
        self.assertEqual(self.first.metrics()["requests_restarted_total"], 4)


class MoreAttributesThanARecordHolds(Pair):
    """The ledger takes them; what becomes of the key must not depend on them."""

    options = ""

    def tenant(self, **options):
        return super().tenant(options=self.options, **options)

    def labels(self, gw, uid):
        with gw.client(version=(1, 4)) as c:
            found = ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
        return {name: values for name, values in found.items() if name.startswith("x-")}

    def overfull(self):
        """A key of both gateways, and its labels at the first."""
        uid = self.create(self.first, ttlv.attribute("x-Component", "vSAN"))
        key = self.keys(uid)
        self.assertEqual(key[0], key[1])
        labels = {"x-Component": ["vSAN"]}
        with self.first.client(version=(1, 4)) as c:
            for n in range(10):
                labels["x-Note%d" % n] = ["n" * 1000]
                c.ok(on("AddAttribute", uid, ttlv.attribute("x-Note%d" % n, "n" * 1000)))
        return uid, key, labels

    def test_it_is_revoked_and_destroyed(self):
        uid, key, labels = self.overfull()
        with self.first.client() as c:
            c.ok(revoke(uid, KEY_COMPROMISE, message="stolen"))
        self.await_revoked(uid, COMPROMISED)
        self.assertEqual(self.keys(uid), key)  # for recovery
        self.assertEqual(self.labels(self.first, uid), labels)
        self.assertEqual(self.labels(self.second, uid)["x-Component"], ["vSAN"])
        with self.first.client() as c:
            found = ttlv.Result(c.call(get_attributes(uid, "Revocation Reason")).items[0].node)
            self.assertIn("stolen", repr(found.payload))
            c.ok(on("Destroy", uid))
        self.assert_gone(uid)
        self.assertIn("more attributes than its record can hold", self.first.log())

    def test_it_moves_to_another_root_key(self):
        uid, key, labels = self.overfull()
        other = self.cloud.create("root-2")["id"]
        for gw in (self.first, self.second):
            gw.tenants = [self.tenant(root=other)]
            gw.configure()
            gw.control("reload")
        done = self.first.control("keys rewrap", timeout=60)[-1]
        self.assertEqual((done["rewrapped"], done["left"]), (1, 0))
        self.assertEqual(self.first.control("keys rewrap", timeout=60)[-1]["rewrapped"], 0)
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "old record retired", WITHIN)
        self.cloud.customer(self.cloud.root, "delete")
        for gw in (self.first, self.second):
            gw.control("cache flush")
        self.assertEqual(self.keys(uid), key)
        self.assertEqual(self.states(uid), [ACTIVE] * 2)
        self.assertEqual(self.labels(self.first, uid), labels)
        self.first.ctl("keys", "purge", "--state", "Active", "--force", "--really")
        self.assert_gone(uid)


class MoreAttributesThanARecordHoldsShared(MoreAttributesThanARecordHolds):
    """What the others have seen stays with them."""

    options = "attributes = shared"


class PrefixChangedAtOne(Pair):
    """Contrary to the manual, which has all gateways stopped for that."""

    def follow(self, gw):
        gw.tenants = [self.tenant(prefix="keyferry")]
        gw.configure()
        gw.control("reload")

    def test_nothing_is_lost_to_the_other(self):
        uids = [self.create(self.first) for _ in range(3)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.follow(self.first)
        self.cloud.settings(rotate_interval_s=0)
        self.cloud.customer(self.cloud.root, "rotate")
        with self.first.client() as c:
            c.ok(revoke(uids[0]))
        self.assertEqual(self.first.control("keys rewrap", timeout=60)[-1]["rewrapped"], 2)
        self.assertEqual(len(self.cloud.records(prefix="keyferry")), 3)
        self.after_bound()
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)
            self.assertEqual(len(self.cloud.records(uid)), 1)
        self.follow(self.second)
        self.assertEqual(self.second.control("keys rebuild", timeout=60)[-1]["left"], 0)
        self.assertEqual([self.states(uid) for uid in uids],
                         [[DEACTIVATED] * 2, [ACTIVE] * 2, [ACTIVE] * 2])
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)


class Rebuild(Pair):
    """The ledger is lost: Key Protect has it all."""

    strangers = 40

    def test_every_key_comes_back(self):
        uids = [self.create((self.first, self.second)[n % 2], ttlv.attribute("x-n", str(n)))
                for n in range(24)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        with self.first.client() as c:
            for uid, code in ((uids[0], 1), (uids[1], KEY_COMPROMISE), (uids[2], 1)):
                c.ok(revoke(uid, code))
            c.ok(on("Destroy", uids[2]))
        states = {uids[0]: DEACTIVATED, uids[1]: COMPROMISED}
        self.first.stop()
        for name in os.listdir(self.first.state_dir):
            os.unlink(os.path.join(self.first.state_dir, name))
        self.first.start()
        with self.first.client() as c:
            self.assertEqual(c.ok(ttlv.item("Locate")).all("UniqueIdentifier"), [])
        last = self.first.control("keys rebuild")[-1]
        self.assertEqual((last["left"], last["tenant"]), (0, "a"))
        self.assertGreaterEqual(last["foreign"], self.strangers)
        with self.first.client() as c:
            found = {n.value for n in c.ok(ttlv.item("Locate")).all("UniqueIdentifier")}
            self.assertEqual(found, set(uids) - {uids[2]})
            for n, uid in enumerate(uids):
                if n != 2:
                    self.assertEqual(c.state(uid), states.get(uid, ACTIVE))
                    self.assertEqual(c.key(uid), keys[uid])
                    seen = ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
                    self.assertEqual(seen["x-n"], [str(n)])
            self.assert_reason(c.do(on("Get", uids[2])), "ItemNotFound")
        self.assertEqual(self.first.control("keys rebuild")[-1]["adopted"], 0)
        self.assertNotIn("integrity", self.first.log())

    def test_which_tenant(self):
        done = self.first.ctl("keys", "rebuild", "--tenant", "nobody", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no tenant", done.stderr)
        self.first.ctl("keys", "rebuild", "--tenant", "a")


class Writer(Pair):
    """Without the right to delete: predecessors stay."""

    role = "Writer"

    def test_revoke_holds_at_both(self):
        uid = self.create(self.first)
        key = self.keys(uid)
        with self.first.client() as c:
            c.ok(revoke(uid))
            self.assertEqual(c.state(uid), DEACTIVATED)
            self.assert_reason(c.do(on("Destroy", uid)), "PermissionDenied")
            self.assertEqual(c.state(uid), DEACTIVATED)
        self.assertEqual(self.keys(uid), key)
        self.assertEqual(len(self.cloud.records(uid)), 2)

    def test_destroy_takes_the_newest_record_as_well(self):
        """Successors that Writer could not retire, then a Destroy with Manager."""
        self.cloud.settings(rotate_interval_s=0)
        uid = self.create(self.first)
        key = self.keys(uid)
        with self.first.client() as c:
            c.ok(revoke(uid))
        for _ in range(9):
            self.cloud.customer(self.cloud.root, "rotate")
            self.assertEqual(self.first.control("keys rewrap", timeout=60)[-1]["rewrapped"], 1)
        self.assertGreater(len(self.cloud.records(uid)), 9)
        self.await_revoked(uid, DEACTIVATED)
        self.assertEqual(self.keys(uid), key)
        self.cloud.identity("Writer", [{"instance": self.cloud.instance, "roles": ["Manager"]}])
        with self.first.client() as c:
            c.ok(on("Destroy", uid))
        self.assertEqual(self.cloud.records(uid), [])
        self.assert_gone(uid)


class Unwatched(Pair):
    """So long a bound that each gateway knows what it did itself, and what it is told to look at."""

    role = "Writer"

    def tenant(self, **options):
        return kf.Tenant("a", kf.AUTHORITY.make("vcenter"), options='revocation-bound = "1h"',
                         vault=self.cloud.vault(self.role, **options))

    def test_compromise_from_behind_is_not_lost(self):
        """The other gateway compromises a key of which it knows an older record."""
        self.cloud.settings(rotate_interval_s=0)
        uid = self.create(self.first)
        self.keys(uid)
        with self.first.client() as a:
            a.ok(revoke(uid))
        self.cloud.customer(self.cloud.root, "rotate")
        self.assertEqual(self.first.control("keys rewrap")[-1]["rewrapped"], 1)
        with self.second.client() as b:
            b.ok(revoke(uid, KEY_COMPROMISE))
        self.first.control("keys rebuild")
        with self.first.client() as a:
            self.assertEqual(a.state(uid), COMPROMISED)
        self.first.stop()
        for name in os.listdir(self.first.state_dir):
            os.unlink(os.path.join(self.first.state_dir, name))
        self.first.start()  # who comes later is told as well
        with self.first.client() as a:
            a.ok(on("Get", uid))
            self.assertEqual(a.state(uid), COMPROMISED)


class LargeInstance(Pair):
    """More keys than a search covers, and lists that lag."""

    strangers = 6000
    list_lag_s = 3

    def tenant(self, role=None, **options):
        """A rewrap looks at what all the strangers are, first."""
        return super().tenant(role, options="call-rate-max = 1000", **options)

    def test_key_of_one_is_fetched_through_the_other_at_once(self):
        self.cloud.settings(list_lag_ms=1000 * self.list_lag_s)
        for _ in range(2):
            uid = self.create(self.first)
            key = self.keys(uid)
            self.assertEqual(key[0], key[1])
            self.assertEqual(len(key[0]), 32)
        with self.second.client() as c:
            c.ok(revoke(uid))
            self.assertEqual(c.key(uid), key[0])
        self.assertEqual(self.keys(uid), key)
        self.await_revoked(uid, DEACTIVATED)
        with self.first.client() as c:
            c.ok(on("Destroy", uid))
        self.assert_gone(uid)

    def test_rewrap_and_revoke_under_gets_at_the_other(self):
        self.cloud.settings(list_lag_ms=3000, rotate_interval_s=0)
        uids = [self.create(self.first) for _ in range(4)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.cloud.customer(self.cloud.root, "rotate")
        with self.gets_at_the_other(keys):
            with self.first.client() as c:
                c.ok(revoke(uids[0]))
            told = self.first.control("keys rewrap", timeout=120)
            self.assertEqual((told[-1]["rewrapped"], told[-1]["left"]), (3, 0))
            self.assertIn("looked-at", told[0])  # or the command would seem to be dead
            self.await_revoked(uids[0], DEACTIVATED)
            if self.role == "Manager":
                kf.eventually(lambda: all(len(self.cloud.records(uid)) == 1 for uid in uids),
                              "old records retired", 60)
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)


@unittest.skipUnless(kf.LONG, "as the other one, which deletes as well")
class LargeInstanceWriter(LargeInstance):
    role = "Writer"

    def test_key_of_one_is_fetched_through_the_other_at_once(self):
        self.skipTest("ends with a Destroy")


if __name__ == "__main__":
    kf.main()
