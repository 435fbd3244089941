# SPDX-License-Identifier: Apache-2.0
"""Two gateways with nothing shared but Key Protect: vCenter lists both in one key provider and uses
either for each of its connections."""

import contextlib
import os
import shutil
import tempfile
import threading
import time

import cloud
import kf
import ttlv
from ttlv import ACTIVE, COMPROMISED, DEACTIVATED, DESTROYED, get_attributes, on, revoke

KEY_COMPROMISE = 2
BOUND_S = 6
ROUNDS = 3  # of the watch, within the bound
WITHIN = 40  # seconds, for what no bound is promised: until lists and deletions are sure


class Pair(kf.Case):
    role = "Manager"
    strangers = cloud.STRANGERS
    list_lag_s = 0

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory, self.strangers)
        self.addCleanup(self.cloud.stop)
        self.first, self.second = (self.gateway(tenants=[t]) for t in self.two_tenants())

    def two_tenants(self):
        """The same one at either gateway."""
        return self.tenant(), self.tenant()

    def tenant(self, role=None, **options):
        return kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                         options='revocation-bound = "%ds"' % BOUND_S,
                         vault=self.cloud.vault(role or self.role, **options))

    def states(self, uid):
        """What both gateways say, after each has been asked for the key."""
        found = []
        for gw in (self.first, self.second):
            with gw.client() as c:
                c.do(on("Get", uid))
                found.append(c.state(uid))
        return found

    def rounds(self):
        return [gw.metrics()["watch_rounds_total"] for gw in (self.first, self.second)]

    def await_revoked(self, uid, state):
        """After as many rounds as the bound has, however long they take on this machine.  Those that
        were under way do not count: one over what is new, one over all."""
        last = [n + 2 + ROUNDS + self.list_lag_s for n in self.rounds()]
        kf.eventually(lambda: self.states(uid) == [state] * 2 or
                      all(n >= m for n, m in zip(self.rounds(), last)), "the bound is over", 120)
        self.assertEqual(self.states(uid), [state] * 2)

    def await_destroyed(self, uid):
        """Both have noted it; that no key is served any more has a bound, and this has none."""
        kf.eventually(lambda: self.states(uid) == [DESTROYED] * 2, "Destroyed at both", WITHIN)

    def after_bound(self):
        """To be called at once: what was proved before this moment is no proof after it."""
        time.sleep(BOUND_S + self.list_lag_s + 0.2)

    def assert_gone(self, uid):
        """To be called at once: from the bound on nobody serves the key."""
        self.after_bound()
        self.assertEqual(self.keys(uid), ["ItemNotFound"] * 2)

    def keys(self, uid):
        """What both gateways give out: the key, or the Result Reason."""
        found = []
        for gw in (self.first, self.second):
            with gw.client() as c:
                result = c.do(on("Get", uid))
                found.append(result.key if result.status == ttlv.SUCCESS else result.reason_name)
        return found

    def create(self, gw, *more):
        with gw.client() as c:
            return c.create(*more)

    @contextlib.contextmanager
    def gets_at_the_other(self, keys):
        """Meanwhile the second gateway, whose memory is emptied all the time, gives out each key."""
        stop = threading.Event()
        failures, gets = [], [0]

        def fetch():
            with self.second.client() as c:
                while not stop.is_set():
                    self.second.control("cache flush")
                    for uid, key in keys.items():
                        result = c.do(on("Get", uid))
                        gets[0] += 1
                        if result.status != ttlv.SUCCESS or result.key != key:
                            failures.append(repr(result))
        reader = threading.Thread(target=fetch)
        reader.start()
        try:
            yield
        finally:
            stop.set()
            reader.join()
        self.assertEqual(failures, [])
        self.assertGreater(gets[0], 2 * len(keys))


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
        self.assert_gone(uid)
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
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(failures, [])
        self.assertGreater(gets[0], 6)

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
            uids = [c.create() for _ in range(90)]
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


class Rotation(Pair):
    """Old wraps keep working; rewrapping is for those who want nothing left under an old version."""

    def rotate(self):
        self.cloud.settings(rotate_interval_s=0)
        self.cloud.customer(self.cloud.root, "rotate")

    def rewrap(self, gw=None):
        return (gw or self.first).control("keys rewrap", timeout=120)[-1]

    def test_rotations_with_traffic(self):
        uids = [self.create(self.first) for _ in range(5)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        for n in range(20 if kf.LONG else 5):
            self.rotate()
            uids.append(self.create((self.first, self.second)[n % 2]))
            keys[uids[-1]] = self.keys(uids[-1])[0]
            for gw in (self.first, self.second):
                gw.control("cache flush")
            for uid in uids:
                self.assertEqual(self.keys(uid), [keys[uid]] * 2)

    def test_rewrap_under_gets_at_the_other(self):
        uids = [self.create(self.first) for _ in range(12)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.rotate()
        with self.gets_at_the_other(keys):
            done = self.rewrap()
            self.assertEqual((done["objects"], done["rewrapped"], done["left"]), (12, 12, 0))
            if self.role == "Manager":
                kf.eventually(lambda: all(len(self.cloud.records(uid)) == 1 for uid in uids),
                              "old records retired", WITHIN)
        self.assertEqual(self.rewrap()["rewrapped"], 0)
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)
            self.assertEqual(self.states(uid), [ACTIVE] * 2)

    def test_rewrap_killed_and_resumed(self):
        uids = [self.create(self.first) for _ in range(12)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.rotate()
        rewrapper = threading.Thread(target=lambda: self.first.ctl("keys", "rewrap", check=False))
        rewrapper.start()
        kf.eventually(lambda: self.first.metrics()["rewrapped_total"] >= 4, "some are done", 30)
        self.first.kill()
        rewrapper.join()
        self.first.start()
        done = self.rewrap()
        self.assertEqual((done["objects"], done["left"]), (12, 0))
        self.assertTrue(0 < done["rewrapped"] <= 8, done)
        self.assertEqual(self.rewrap()["rewrapped"], 0)
        if self.role == "Manager":
            kf.eventually(lambda: all(len(self.cloud.records(uid)) == 1 for uid in uids),
                          "old records retired", 60)
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)

    def test_both_rewrap_at_once(self):
        """Two successors of one sequence: one stays, and both gateways agree on it."""
        uids = [self.create(self.first) for _ in range(6)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.rotate()
        kf.in_parallel(2, lambda n: self.rewrap((self.first, self.second)[n]))
        self.first.control("keys rebuild", timeout=60)
        self.assertEqual(self.first.control("keys rebuild", timeout=60)[-1]["adopted"], 0)
        if self.role == "Manager":
            kf.eventually(lambda: all(len(self.cloud.records(uid)) == 1 for uid in uids),
                          "one record each", 60)
        for gw in (self.first, self.second):
            gw.control("cache flush")
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)
            self.assertEqual(self.states(uid), [ACTIVE] * 2)

    def test_read_back_lags(self):
        """The server that is asked for the successor does not know it yet."""
        self.create(self.first)
        self.rotate()
        self.cloud.fault(operation="kms.secrets.read", status=404, count=1,
                         content_type="application/json",
                         body='{"metadata":{},"resources":[{"errorMsg":"Not Found: key does not exist",'
                              '"reasons":[{"code":"KEY_NOT_FOUND_ERR","message":"x","status":404}]}]}')
        done = self.rewrap()
        self.assertEqual((done["rewrapped"], done["left"]), (1, 0), done)

    def test_new_root_key(self):
        """Another root key in the configuration: old keys are served, and move at a rewrap."""
        uid = self.create(self.first)
        key = self.keys(uid)[0]
        other = self.cloud.create("root-2")["id"]
        for gw in (self.first, self.second):
            gw.tenants = [self.tenant(root=other)]
            gw.configure()
            gw.control("reload")
        self.assertEqual(self.keys(uid), [key] * 2)
        self.assertEqual(self.rewrap()["rewrapped"], 1)
        self.assertEqual(self.keys(uid), [key] * 2)
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "old record retired", WITHIN)
        self.cloud.customer(self.cloud.root, "delete")
        for gw in (self.first, self.second):
            gw.control("cache flush")
        self.assertEqual(self.keys(uid), [key] * 2)

    def test_one_at_a_time(self):
        for _ in range(6):
            self.create(self.first)
        self.rotate()
        first = threading.Thread(target=self.rewrap)
        first.start()
        kf.eventually(lambda: self.first.metrics()["rewrapped_total"] >= 1, "it is under way", 30)
        done = self.first.ctl("keys", "rewrap", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("under way", done.stderr)
        first.join()

    def test_stopped_in_the_middle(self):
        for _ in range(6):
            self.create(self.first)
        self.rotate()
        job = threading.Thread(target=lambda: self.first.ctl("keys", "rewrap", check=False))
        job.start()
        kf.eventually(lambda: self.first.metrics()["rewrapped_total"] >= 1, "it is under way", 30)
        self.assertEqual(self.first.stop(), 0)
        job.join()


class RootKeys(Pair):
    """Keys under several root keys at a time: each depends on its own, and on no other."""

    def move(self, gw, root):
        gw.tenants = [self.tenant(root=root)]
        gw.configure()
        gw.control("reload")

    def alias(self, method, key):
        answer = self.cloud.call(method, "/keys/%s/aliases/prod" % key)
        self.assertLess(answer.status, 300)

    def test_old_root_key_is_disabled_then_deleted(self):
        old = self.create(self.first)
        self.keys(old)
        other = self.cloud.create("root-2")["id"]
        self.move(self.first, other)
        new = self.create(self.first)
        with self.first.client() as c:
            c.ok(on("Get", old))
            self.cloud.customer(self.cloud.root, "disable")
            self.after_bound()
            self.assert_reason(c.do(on("Get", old)), "CryptographicFailure")
            self.cloud.customer(self.cloud.root, "delete")
            self.assert_reason(c.do(on("Get", old)), "CryptographicFailure")
            c.ok(on("Get", new))
        metrics = self.first.metrics()
        self.assertEqual((metrics["custody_revoked_total"], metrics["custody_suspended_total"]),
                         (0, 0), self.first.log()[-1500:])

    def test_record_under_a_deleted_root_key_holds_up_nothing(self):
        """With Writer the old record stays when its key has moved to another root key."""
        self.cloud.identity("Manager", [{"instance": self.cloud.instance, "roles": ["Writer"]}])
        uid = self.create(self.first)
        key = self.keys(uid)[0]
        self.move(self.first, self.cloud.create("root-2")["id"])
        self.assertEqual(self.first.control("keys rewrap")[-1]["rewrapped"], 1)
        self.cloud.customer(self.cloud.root, "delete")
        self.first.stop()
        self.first.start()
        rebuilt = self.first.control("keys rebuild", timeout=60)[-1]
        self.assertEqual((rebuilt["left"], rebuilt["adopted"]), (0, 0))
        with self.first.client() as c:
            self.assertEqual(c.key(uid), key)
        self.assertEqual(self.first.metrics()["integrity_alarms_total"], 0)

    def test_alias_that_moves_to_another_root_key(self):
        """The old root key is there, and what it wrapped is served."""
        self.alias("POST", self.cloud.root)
        self.move(self.first, "prod")
        uid = self.create(self.first)
        with self.first.client() as c:
            key = c.key(uid)
            other = self.cloud.create("root-2")["id"]
            self.alias("DELETE", self.cloud.root)
            self.cloud.advance(400)
            self.alias("POST", other)
            self.first.control("cache flush")
            self.assertEqual(c.key(uid), key)
            self.first.stop()  # so that the alias is looked up at once
            self.first.start()
        new = self.create(self.first)
        self.assertEqual(self.keys(uid), [key] * 2)
        self.cloud.customer(self.cloud.root, "delete")
        self.first.control("cache flush")
        with self.first.client() as c:
            self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
            self.assertEqual(len(c.key(new)), 32)


class WriterRotation(Rotation):
    role = "Writer"

    def test_new_root_key(self):
        self.skipTest("old records stay with Writer")


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


class SharedAttributes(Pair):
    """What clients set at one gateway is seen at the other, for a record more."""

    def tenant(self, **options):
        return super().tenant(options="attributes = shared", **options)

    def setUp(self):
        super().setUp()
        for gw in (self.first, self.second):
            kf.eventually(lambda gw=gw: gw.metrics()["watch_rounds_total"] >= 2, "its rounds", 20)

    def label(self, gw, uid, **labels):
        with gw.client() as c:
            for name, value in labels.items():
                c.ok(on("AddAttribute", uid, ttlv.attribute("x-" + name, value)))

    def labels(self, gw, uid):
        with gw.client() as c:
            found = ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
        return {name: values for name, values in found.items() if name.startswith("x-")}

    def await_labels(self, uid, labels):
        for gw in (self.second, self.first):
            kf.eventually(lambda gw=gw: self.labels(gw, uid) == labels, "labels %s" % labels,
                          WITHIN)

    def settled(self):
        """Nothing waits at either gateway, and each object has one record."""
        kf.eventually(lambda: all(gw.metrics()["attributes_waiting"] == 0
                                  for gw in (self.first, self.second)), "nothing waits", WITHIN)

    def test_labels_are_seen_at_the_other(self):
        uids = [self.create(self.first) for _ in range(3)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.settled()
        self.cloud.clear_journal()
        for uid in uids:
            self.label(self.first, uid, a="1", b="2", c="3", vm=uid)
        for uid in uids:
            self.await_labels(uid, {"x-a": ["1"], "x-b": ["2"], "x-c": ["3"], "x-vm": [uid]})
        self.settled()
        counts = self.cloud.counts()
        self.assertEqual((counts["kms.secrets.create"], counts["kms.secrets.wrap"]), (3, 3))
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)
            if self.role == "Manager":
                kf.eventually(lambda uid=uid: len(self.cloud.records(uid)) == 1,
                              "the old record is retired", WITHIN)
        for gw in (self.first, self.second):
            gw.assert_idle()

    def test_both_change_one_key_under_gets(self):
        uid = self.create(self.first)
        key = self.keys(uid)[0]
        failures, stop = [], threading.Event()

        def fetch(gw):
            with gw.client() as c:
                while not stop.is_set():
                    gw.control("cache flush")
                    result = c.do(on("Get", uid))
                    if result.status != ttlv.SUCCESS or result.key != key:
                        failures.append(repr(result))
        readers = [threading.Thread(target=fetch, args=(gw,)) for gw in (self.first, self.second)]
        for t in readers:
            t.start()
        try:
            self.label(self.first, uid, east="1")
            self.label(self.second, uid, west="2")
            self.await_labels(uid, {"x-east": ["1"], "x-west": ["2"]})
            self.settled()
        finally:
            stop.set()
            for t in readers:
                t.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.labels(self.first, uid), self.labels(self.second, uid))

    def test_killed_before_they_were_written(self):
        uid = self.create(self.first)
        key = self.keys(uid)[0]
        self.label(self.first, uid, vm="mail")
        self.first.kill()
        self.assertEqual(self.labels(self.second, uid), {})
        self.first.start()
        self.await_labels(uid, {"x-vm": ["mail"]})
        self.assertEqual(self.keys(uid), [key] * 2)

    def test_revocation_brings_them_along(self):
        """Its successor says all: no further one is needed."""
        uid = self.create(self.first)
        self.keys(uid)
        self.settled()
        self.cloud.clear_journal()
        self.label(self.first, uid, vm="mail")
        with self.first.client() as c:
            c.ok(revoke(uid))
        self.await_revoked(uid, DEACTIVATED)
        self.assertEqual(self.labels(self.second, uid), {"x-vm": ["mail"]})
        self.settled()
        self.assertEqual(self.cloud.counts()["kms.secrets.create"], 1)

    def test_ledger_is_lost(self):
        uid = self.create(self.first)
        self.label(self.first, uid, vm="mail")
        self.await_labels(uid, {"x-vm": ["mail"]})
        self.first.stop()
        for name in os.listdir(self.first.state_dir):
            os.unlink(os.path.join(self.first.state_dir, name))
        self.first.start()
        self.first.ctl("keys", "rebuild")
        self.assertEqual(self.labels(self.first, uid), {"x-vm": ["mail"]})

    def test_switched_on_one_after_the_other(self):
        """The first has shared its labels before the second begins, which deletes nothing."""
        for gw in (self.first, self.second):
            gw.tenants = [Pair.tenant(self)]
            gw.configure()
            gw.control("reload")
        uid = self.create(self.first)
        self.keys(uid)
        self.label(self.first, uid, vm="mail")
        self.label(self.second, uid, host="esx1")
        taken = self.second.metrics()["adoptions_total"]
        for gw in (self.first, self.second):
            gw.tenants = [self.tenant()]
            gw.configure()
            gw.control("reload")
            kf.eventually(lambda: self.second.metrics()["adoptions_total"] > taken,
                          "the first one's record at the second", WITHIN)
            self.assertEqual(self.labels(self.first, uid), {"x-vm": ["mail"]})
        self.await_labels(uid, {"x-vm": ["mail"], "x-host": ["esx1"]})


class WriterSharedAttributes(SharedAttributes):
    role = "Writer"


    def test_revoked_while_this_gateway_was_away_for_two_hours(self):
        uid = self.create(self.first)
        self.keys(uid)
        self.second.stop()
        with self.first.client() as c:
            c.ok(revoke(uid))
        self.cloud.advance(7200)
        self.second.start()
        kf.eventually(lambda: self.states(uid) == [DEACTIVATED] * 2, "Deactivated at both", WITHIN)


class LargeInstance(Pair):
    """More keys than a search covers, and lists that lag."""

    strangers = 6000
    list_lag_s = 3

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
            done = self.first.control("keys rewrap", timeout=120)[-1]
            self.assertEqual((done["rewrapped"], done["left"]), (3, 0))
            self.await_revoked(uids[0], DEACTIVATED)
            if self.role == "Manager":
                kf.eventually(lambda: all(len(self.cloud.records(uid)) == 1 for uid in uids),
                              "old records retired", 60)
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)


class LargeInstanceWriter(LargeInstance):
    role = "Writer"

    def test_key_of_one_is_fetched_through_the_other_at_once(self):
        self.skipTest("ends with a Destroy")


if __name__ == "__main__":
    kf.main()
