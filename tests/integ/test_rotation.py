# SPDX-License-Identifier: Apache-2.0
"""Root keys that rotate, or give way to others, under two gateways."""

import json
import shutil
import tempfile
import threading

import cloud
import kf
from pair import Pair, WITHIN
from ttlv import ACTIVE, SUCCESS, on, revoke


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

    def rewrap_again(self, gw, why=""):
        """A key that something else was at work on may be left: then the command is given again.
        why: in the log, if so."""
        try:
            return self.rewrap(gw)
        except AssertionError as e:
            if "give the command again" not in str(e):
                raise
            self.assertIn(why, gw.log())
            return self.rewrap(gw)

    def test_rewrap_killed_and_resumed(self):
        uids = [self.create(self.first) for _ in range(20)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.rotate()
        rewrapper = threading.Thread(target=lambda: self.first.ctl("keys", "rewrap", check=False))
        rewrapper.start()
        kf.eventually(lambda: self.first.metrics()["rewrapped_total"] >= 4, "some are done", 30)
        self.first.kill()
        rewrapper.join()
        self.first.start()
        done = self.rewrap_again(self.first)
        self.assertEqual((done["objects"], done["left"]), (20, 0))
        rewrapped = self.first.metrics()["rewrapped_total"]  # since the start, by both commands
        self.assertTrue(0 < rewrapped <= 16, (rewrapped, done))
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
        kf.in_parallel(2, lambda n: self.rewrap_again((self.first, self.second)[n], "error=CONFLICT"))
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
        before = self.ids()
        fault = self.cloud.fault(  # the strangers are read first
            operation="kms.secrets.read", status=404, count=1, skip=cloud.STRANGERS,
            content_type="application/json",
            body='{"metadata":{},"resources":[{"errorMsg":"Not Found: key does not exist",'
                 '"reasons":[{"code":"KEY_NOT_FOUND_ERR","message":"x","status":404}]}]}')
        done = self.rewrap()
        self.assertEqual((done["rewrapped"], done["left"]), (1, 0), done)
        made, = self.ids() - before
        met = [e["path"] for e in self.cloud.admin("GET", "/journal")["entries"] if e["fault"] == fault]
        self.assertEqual(met, ["/api/v2/keys/" + made])

    def ids(self):
        return {k["id"] for k in
                self.cloud.admin("GET", "/instances/%s/keys" % self.cloud.instance)["keys"]}

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
        for _ in range(20):
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


class Tenants(kf.Case):
    """Of several tenants each is walked over, whatever became of the others."""

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory)
        self.addCleanup(self.cloud.stop)
        self.cloud.settings(rotate_interval_s=0)
        self.roots = {"a": self.cloud.root, "b": self.cloud.create("root-b")["id"]}
        self.other = self.cloud.create("root-2")["id"]
        self.gw = self.gateway(tenants=self.tenants())

    def tenants(self, **roots):
        return [kf.Tenant(name, kf.AUTHORITY.make("vcenter-" + name),
                          vault=self.cloud.vault(prefix="of-" + name, root=roots.get(name, root)))
                for name, root in self.roots.items()]

    def reload(self, tenants):
        self.gw.tenants = tenants
        self.gw.configure()
        self.gw.control("reload")

    def create(self, tenant, count):
        certificate = [t for t in self.gw.tenants if t.name == tenant][0].certificates[0]
        with self.gw.client(certificate) as c:
            for _ in range(count):
                c.create()

    def walk(self, what, *words):
        """What was left of which tenant at the end, the exit status, and the complaint."""
        done = self.gw.ctl("--json", "keys", what, *words, check=False)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return ({d["tenant"]: d["left"] for d in told if "percent" not in d}, done.returncode,
                done.stderr)

    def test_one_fails(self):
        for name in self.roots:
            self.create(name, 2)
            self.cloud.customer(self.roots[name], "rotate")
        self.cloud.await_rights(2)
        self.cloud.fault(operation="kms.secrets.create", count=1, status=403)
        left, status, complaint = self.walk("rewrap")
        self.assertEqual((left, status), ({"a": 1, "b": 0}, 1))
        self.assertIn("not everything could be done", complaint)
        self.assertEqual(self.walk("rewrap"), ({"a": 0, "b": 0}, 0, ""))

    def walk_meanwhile(self, words, tenants, done=1):
        """A walk, with a reload when so many of its keys are done: six of a, and then of b enough that
        the reload comes before its end, five a second."""
        for name, count in (("a", 6), ("b", 20)):
            self.create(name, count)
        for root in {*self.roots.values(), self.other}:
            self.cloud.customer(root, "rotate")
        before, came = self.gw.metrics()["rewrapped_total"], []
        job = threading.Thread(target=lambda: came.append(self.walk("rewrap", *words)))
        job.start()
        kf.eventually(lambda: self.gw.metrics()["rewrapped_total"] >= before + done, "it is under way", 60)
        self.reload(tenants)
        job.join()
        return came[0]

    def test_reload_meanwhile(self):
        """Who reads "left 0" deletes the old root key: that is said of what is configured now."""
        other = self.other
        left, status, complaint = self.walk_meanwhile([], self.tenants(a=other))
        self.assertEqual((left.get("b"), status), (0, 1), complaint)
        self.assertIn("give the command again", complaint)
        self.assertEqual(self.walk("rewrap"), ({"a": 0, "b": 0}, 0, ""))
        left, status, complaint = self.walk_meanwhile(["--tenant", "a"], self.tenants(a=other, b=other))
        self.assertEqual((left, status, complaint), ({"a": 0}, 0, ""))  # it was another's

    def test_reload_behind_it(self):
        """Of one that was gone through already."""
        left, status, complaint = self.walk_meanwhile([], self.tenants(a=self.other), done=7)
        self.assertEqual((left, status), ({"a": 0, "b": 0}, 1), complaint)
        self.assertIn("give the command again", complaint)

    def test_tenant_goes_meanwhile(self):
        left, status, complaint = self.walk_meanwhile([], self.tenants()[1:])
        self.assertEqual((left.get("b"), status), (0, 1), complaint)
        self.assertIn("give the command again", complaint)


class Moving(Pair):
    def move(self, gw, root):
        gw.tenants = [self.tenant(root=root)]
        gw.configure()
        gw.control("reload")

    def alias(self, method, key):
        answer = self.cloud.call(method, "/keys/%s/aliases/prod" % key)
        self.assertLess(answer.status, 300)


class RootKeys(Moving):
    """Keys under several root keys at a time: each depends on its own, and on no other."""

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

    def test_key_that_is_under_the_old_one_again(self):
        """In memory, proved by the new one, when a gateway that has the old one yet revokes it."""
        self.move(self.first, self.cloud.create("root-2")["id"])
        uid = self.create(self.first)
        with self.first.client() as c:
            c.ok(on("Get", uid))
            with self.second.client() as other:
                other.ok(revoke(uid))
            kf.eventually(lambda: c.state(uid) != ACTIVE, "the first knows the successor", WITHIN)
            c.ok(on("Get", uid))
            self.cloud.customer(self.cloud.root, "disable")
            self.after_bound()
            self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
        self.assertEqual(self.first.metrics()["custody_suspended_total"], 0)

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

    def test_revoked_in_doubt_and_deleted(self):
        """Nobody knows whether the successor was stored when the root key goes: that locks nothing."""
        uid = self.create(self.first)
        self.cloud.await_rights(2)
        self.cloud.fault(operation="kms.secrets.create", count=1, end="reset", commit=True)
        self.cloud.fault(operation="kms.secrets.create", status=503)  # nor is it stored once more
        self.cloud.fault(operation="kms.secrets.list", status=503)
        with self.first.client() as c:
            self.assertNotEqual(c.do(revoke(uid)).status, SUCCESS)
        kf.eventually(lambda: self.first.metrics()["changes_in_doubt"] == 1, "in doubt", WITHIN)
        self.cloud.customer(self.cloud.root, "delete")
        self.cloud.admin("DELETE", "/faults")
        self.assertEqual(len(self.cloud.records(uid)), 2)
        kf.eventually(lambda: self.first.metrics()["changes_in_doubt"] == 0, "settled", 2 * WITHIN)
        self.assertEqual(len(self.cloud.records(uid)), 2)
        purged = self.first.ctl("--json", "keys", "purge", "--state", "Active", "--force", "--really")
        self.assertIn('"purged":1', purged.stdout.replace(" ", ""))
        self.assertEqual(self.cloud.records(uid), [])

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


    def test_deleted_and_slow_to_say_so(self):
        """One answer has time, and none of those that look whether the alias names another now."""
        self.alias("POST", self.cloud.root)
        self.move(self.first, "prod")
        uid = self.create(self.first)
        with self.first.client() as c:
            c.ok(on("Get", uid))
        self.after_bound()  # a look at the alias is not due soon
        self.cloud.fault(operation="*", delay_ms=3800)
        self.cloud.customer(self.cloud.root, "delete")
        kf.eventually(lambda: self.first.metrics()["custody_revoked_total"] == 1, "revoked", 30)
        self.assertEqual(self.first.control("cache list")[0], [])


class BeforeTheOldOneGoes(Moving):
    """What a rewrap calls left, or not: by that people delete root keys."""

    def tenant(self, role=None, **options):  # rounds take over little meanwhile
        return kf.Tenant("a", kf.AUTHORITY.make("vcenter"), options='revocation-bound = "60s"',
                         vault=self.cloud.vault(role or self.role, **options))

    def rewrap(self, gw):
        """The counts, and the exit status with them."""
        done = gw.ctl("--json", "keys", "rewrap", check=False)
        told = json.loads(done.stdout.splitlines()[-1])
        return told["rewrapped"], told["left"], done.returncode

    def rewrap_both(self):
        """As the manual says."""
        for gw in (self.first, self.second):
            kf.eventually(lambda: self.rewrap(gw) == (0, 0, 0), "nothing is left", WITHIN)

    def end_old_root_key(self):
        self.cloud.customer(self.cloud.root, "delete")
        for gw in (self.first, self.second):
            gw.control("cache flush")

    def test_keys_of_another_gateway(self):
        """It never asked for them, nor heard of them since it started."""
        uids = [self.create(self.first)] + [self.create(self.second) for _ in range(3)]
        other = self.cloud.create("root-2")["id"]
        for gw in (self.first, self.second):
            self.move(gw, other)
        self.assertEqual(self.rewrap(self.first), (4, 0, 0))
        self.assertEqual(self.rewrap(self.first), (0, 0, 0))
        self.assertEqual(self.rewrap(self.second), (0, 0, 0))
        keys = [self.keys(uid) for uid in uids]
        self.end_old_root_key()
        self.assertEqual([self.keys(uid) for uid in uids], keys)
        self.assertEqual({len(key) for pair in keys for key in pair}, {32})

    def test_alias_that_has_moved(self):
        """Just now, and when nothing bears it, nobody can tell what is under the wrong root key."""
        self.alias("POST", self.cloud.root)
        for gw in (self.first, self.second):
            self.move(gw, "prod")
        uids = [self.create(gw) for gw in (self.first, self.second)]
        keys = [self.keys(uid) for uid in uids]
        other = self.cloud.create("root-2")["id"]
        self.alias("DELETE", self.cloud.root)
        self.cloud.advance(400)  # the key manager's time: the gateways' looks are not due
        self.assertEqual(self.rewrap(self.first), (0, 1, 1))
        self.assertRegex(self.first.log(), "which root key bears the alias could not be seen alias=prod")
        self.alias("POST", other)
        self.assertEqual(self.rewrap(self.first), (2, 0, 0))
        self.rewrap_both()
        self.end_old_root_key()
        self.assertEqual([self.keys(uid) for uid in uids], keys)

    def tenant_in_no_haste(self, root):
        """Of whom a slow call to the key manager is none that is given up."""
        return self.tenant(root=root, options='call-timeout = "30s"\n    operation-timeout = "60s"')

    def in_no_haste(self, root):
        for gw in (self.first, self.second):
            gw.options = 'request-timeout = "2min"'
            gw.tenants = [self.tenant_in_no_haste(root)]
            gw.configure()
            gw.control("reload")

    def on_its_way(self, ask, move=lambda: None):
        """The second gateway is asked for a record, which it has wrapped under the old root key, and
        whose POST takes long, when the root key is another there: what is on its way is no less there."""
        self.cloud.await_rights(2)
        slow = self.cloud.fault(operation="kms.secrets.create", count=1, delay_ms=8000)
        asked = threading.Thread(target=ask)
        asked.start()
        kf.eventually(lambda: any(rule["id"] == slow and rule["hits"] == 1 for rule in
                                  self.cloud.admin("GET", "/faults")["rules"]), "it is under way", WITHIN)
        move()
        self.assertEqual(self.rewrap(self.second), (1, 0, 0))
        asked.join()
        self.assertEqual(self.rewrap(self.second), (0, 0, 0))

    def alias_moves_for_the_first(self):
        """The second does not look yet.  What both have is under the new root key; a key of theirs."""
        self.alias("POST", self.cloud.root)
        self.in_no_haste("prod")
        uid = self.create(self.second)
        self.keys(uid)
        other = self.cloud.create("root-2")["id"]
        self.alias("DELETE", self.cloud.root)
        self.cloud.advance(400)  # the key manager's time
        self.alias("POST", other)
        self.assertEqual(self.rewrap(self.first), (1, 0, 0))
        self.second.control("keys rebuild", timeout=60)
        return uid

    def assert_nothing_is_lost(self, uid):
        self.rewrap_both()
        key = self.keys(uid)
        self.assertEqual(len(key[0]), 32)
        self.end_old_root_key()
        self.assertEqual(self.keys(uid), key)

    def test_created_meanwhile(self):
        self.alias_moves_for_the_first()
        made = []
        self.on_its_way(lambda: made.append(self.create(self.second)))
        self.assert_nothing_is_lost(made[0])

    def test_revoked_meanwhile(self):
        """The ledger's row names the record before until the end, which is under the new root key."""
        uid = self.alias_moves_for_the_first()

        def ask():
            with self.second.client() as c:
                c.ok(revoke(uid))
        self.on_its_way(ask)
        self.assert_nothing_is_lost(uid)

    def test_created_before_a_reload(self):
        """It has the vault before, and makes under its root key what it makes."""
        self.in_no_haste(self.cloud.root)
        other = self.cloud.create("root-2")["id"]
        made = []
        self.on_its_way(lambda: made.append(self.create(self.second)), lambda: self.in_no_haste(other))
        self.assert_nothing_is_lost(made[0])

    def test_revoked_by_one_that_has_the_old_one(self):
        """The record that is known has made way for another, under the old root key."""
        uid = self.create(self.first)
        key = self.keys(uid)
        other = self.cloud.create("root-2")["id"]
        self.move(self.first, other)
        with self.second.client() as c:
            c.ok(revoke(uid))
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "the first record is retired", 60)
        self.move(self.second, other)
        self.rewrap_both()
        self.end_old_root_key()
        self.assertEqual(self.keys(uid), key)

    def test_successor_under_a_root_key_that_is_disabled(self):
        """It is neither older nor absent: the key is back as soon as the root key is."""
        uid = self.create(self.first)
        key = self.keys(uid)
        other = self.cloud.create("root-2")["id"]
        self.move(self.second, other)
        self.assertEqual(self.rewrap(self.second), (1, 0, 0))
        self.cloud.customer(other, "disable")
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "the first record is retired", 60)
        self.first.control("cache flush")
        with self.first.client() as c:
            for _ in range(2):
                self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
            self.cloud.advance(40)
            self.cloud.customer(other, "enable")
            self.assertEqual(c.key(uid), key[0])

    def test_withdrawn(self):
        """The customer may restore the record, and then it has to open."""
        uid = self.create(self.first)
        key = self.keys(uid)
        found = self.cloud.call("GET", "/keys?limit=5000&extractable=true").json["resources"]
        record = [k["id"] for k in found if k["name"].endswith(uid)][0]
        other = self.cloud.create("root-2")["id"]
        self.cloud.customer(record, "delete")
        for gw in (self.first, self.second):
            self.move(gw, other)
        self.assertEqual(self.rewrap(self.first), (0, 1, 1))
        self.assertEqual(self.rewrap(self.second), (0, 1, 1))
        self.assertIn(uid, self.first.log())
        self.cloud.advance(40)
        self.cloud.customer(record, "restore")
        self.assertEqual(self.rewrap(self.first), (1, 0, 0))
        self.rewrap_both()
        self.end_old_root_key()
        self.assertEqual(self.keys(uid), key)

    def other_root_key_is_off(self, disable, enable, error):
        """What is under it is left, and named; it keeps no other key from moving."""
        second = self.cloud.create("root-2")["id"]
        made = []
        for root in (second, self.cloud.root, second):
            self.move(self.first, root)
            made.append(self.create(self.first))
        stuck = made.pop(1)
        keys = [self.keys(uid)[0] for uid in made]
        self.move(self.first, self.cloud.create("root-3")["id"])
        disable()
        self.assertEqual(self.rewrap(self.first), (2, 1, 1))
        self.assertRegex(self.first.log(), r"left as it is .*uid=%s error=%s" % (stuck, error))
        self.cloud.customer(second, "delete")
        self.first.control("cache flush")
        with self.first.client() as c:
            self.assertEqual([c.key(uid) for uid in made], keys)
        self.cloud.advance(40)
        enable()
        self.assertEqual(self.rewrap(self.first), (1, 0, 0))

    def test_another_root_key_is_disabled(self):
        self.other_root_key_is_off(lambda: self.cloud.customer(self.cloud.root, "disable"),
                                   lambda: self.cloud.customer(self.cloud.root, "enable"), "NO_ROOT_KEY")

    def test_another_root_key_is_refused(self):
        self.other_root_key_is_off(
            lambda: self.cloud.fault(path="*/%s/actions/*" % self.cloud.root, status=403),
            lambda: self.cloud.admin("DELETE", "/faults"), "VAULT_DENIED")

    def test_destroyed(self):
        """What is Destroyed is not left: neither here, nor at another gateway."""
        uids = [self.create(self.first) for _ in range(2)]
        self.keys(uids[1])
        other = self.cloud.create("root-2")["id"]
        for gw in (self.first, self.second):
            self.move(gw, other)
        for gw, uid in zip((self.first, self.second), uids):
            with gw.client() as c:
                c.ok(revoke(uid))
                c.ok(on("Destroy", uid))
        self.rewrap_both()

    def test_unknown_that_does_not_open(self):
        """Lost with its root key, as far as anybody can tell: that is not silent either."""
        uid = self.create(self.second)
        other = self.cloud.create("root-2")["id"]
        self.move(self.first, other)
        mine = self.create(self.first)
        self.cloud.customer(self.cloud.root, "disable")
        self.assertEqual(self.rewrap(self.first), (0, 1, 1))
        self.assertIn(uid, self.first.log())
        self.cloud.advance(40)
        self.cloud.customer(self.cloud.root, "enable")
        self.assertEqual(self.rewrap(self.first), (1, 0, 0))
        self.move(self.second, other)
        self.rewrap_both()
        self.end_old_root_key()
        for key in (uid, mine):
            self.assertEqual(len(self.keys(key)[0]), 32)


class WriterRotation(Rotation):
    role = "Writer"

    def test_new_root_key(self):
        self.skipTest("old records stay with Writer")


if __name__ == "__main__":
    kf.main()
