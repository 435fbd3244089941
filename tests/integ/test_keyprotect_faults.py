# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in Key Protect, or on the way to it, and how it looks to clients."""

import itertools
import os
import shutil
import statistics
import threading
import time

import cloud
import kf
import nameserver
import scrape
import ttlv
from test_keyprotect import CloudCase, QUIET
from ttlv import COMPROMISED, DESTROYED, DESTROYED_COMPROMISED, attribute, on

KEY_COMPROMISE = 2
GONE = (DESTROYED, DESTROYED_COMPROMISED)
QUICK = 'call-timeout = "1s"\n    operation-timeout = "4s"'
# What goes wrong, and the Result Reasons that may tell of it.
OUTAGE = {"GeneralFailure"}
REFUSED = {"PermissionDenied"}
BAD = {"GeneralFailure", "CryptographicFailure", "PermissionDenied", "ItemNotFound"}
HTML = {"body": "<html>busy</html>", "content_type": "text/html"}
FAULTS = [
    ({"delay_ms": 150}, set()),
    ({"delay_ms": 2500}, OUTAGE),
    ({"delay_after_ms": 2500}, OUTAGE),
    ({"end": "hang"}, OUTAGE),
    ({"end": "hang", "commit": True}, OUTAGE),
    ({"end": "reset"}, OUTAGE),
    ({"end": "reset", "commit": True}, OUTAGE),
    ({"end": "truncate"}, OUTAGE),
    ({"status": 200, **HTML}, OUTAGE),
    ({"status": 200, "commit": True, **HTML}, OUTAGE),
    ({"status": 429}, OUTAGE),
    ({"status": 429, "headers": {"Retry-After": "1"}}, OUTAGE),
    ({"status": 401}, REFUSED),
    ({"status": 403}, REFUSED),
] + [({"status": n}, OUTAGE) for n in (404, 410, 500, 502, 503, 504)] + [
    ({"status": n}, BAD) for n in (400, 409, 422)] + [
    ({"status": n, "commit": True}, OUTAGE) for n in (500, 503)]
OPERATIONS = ("Create", "Get", "Destroy", "AddAttribute", "Revoke")
# How often it goes wrong: once, so that a repetition helps, or as long as it lasts.
TIMES = (1, -1)


class FaultTable(CloudCase):
    vault_options = QUICK
    options = QUIET + " born-active = false"  # so that they may be destroyed at once

    def setUp(self):
        super().setUp()
        self.alive, self.dead, self.revoked = {}, set(), set()
        with self.gw.client() as c:
            for _ in range(2):
                uid = c.create()
                self.alive[uid] = c.key(uid)

    def healthy(self):
        """The fault is over and the way to the key manager is open again."""
        def works():
            with self.gw.client() as c:
                self.gw.control("cache flush")
                uid = next(iter(self.alive))
                return c.do(on("Get", uid)).status == ttlv.SUCCESS
        self.cloud.admin("DELETE", "/faults")
        kf.eventually(works, "the key manager is used again", 60)

    def act(self, c, operation):
        if operation == "Create":
            return c.do(ttlv.create())
        uid = list(self.alive)[-1]
        if operation == "AddAttribute":
            return c.do(on("AddAttribute", uid, attribute("x-%d" % time.monotonic_ns(), "v")))
        if operation == "Revoke":
            uid = next((u for u in self.alive if u not in self.revoked), uid)
            self.revoking = uid
            return c.do(ttlv.revoke(uid, KEY_COMPROMISE))
        self.gw.control("cache flush")
        return c.do(on(operation, uid))

    def note(self, c, operation, result):
        """What the answer promised."""
        uid = list(self.alive)[-1]
        if operation == "Create" and result.status == ttlv.SUCCESS:
            self.alive[result.uid] = None
        elif operation == "Get" and result.status == ttlv.SUCCESS:
            self.assertEqual(result.key, self.alive[uid])
        elif operation == "Revoke":
            self.healthy()
            kf.eventually(lambda: self.is_revoked(result), "the Revoke is settled", 90)
        elif operation == "Destroy":
            self.healthy()
            if result.status == ttlv.SUCCESS or self.is_gone(uid):
                del self.alive[uid]
                self.dead.add(uid)

    def is_revoked(self, result):
        """Done if that was the answer; whatever was done is known here in the end."""
        with self.gw.client() as c:
            state = c.state(self.revoking)
        if result.status == ttlv.SUCCESS and self.revoking not in self.revoked:
            self.assertEqual(state, COMPROMISED)
        if state == COMPROMISED:
            self.revoked.add(self.revoking)
        return state == COMPROMISED or len(self.cloud.records(self.revoking)) == 1

    def is_gone(self, uid):
        """An answer that was lost: what the key manager did decides, and nobody is told both."""
        def settled():
            with self.gw.client() as c:
                there = len(self.cloud.records(uid)) == 1
                served = c.do(on("Get", uid)).status == ttlv.SUCCESS
                return there == served and (served or c.state(uid) in GONE)
        kf.eventually(settled, "the Destroy is settled", 90)
        return not self.cloud.records(uid)

    def check(self):
        self.healthy()
        kf.eventually(lambda: self.gw.metrics()["changes_in_doubt"] == 0, "nothing in doubt", 90)
        self.gw.assert_idle()
        with self.gw.client() as c:
            for uid in list(self.alive):
                key = c.key(uid)
                if self.alive[uid] is None:
                    self.alive[uid] = key
                self.assertEqual(key, self.alive[uid])
                kf.eventually(lambda uid=uid: len(self.cloud.records(uid)) == 1,
                              "one record for %s" % uid, 90)
            for uid in self.dead:
                self.assert_reason(c.do(on("Get", uid)), "ItemNotFound")
                self.assertEqual(self.cloud.records(uid), [])
            found = {n.value for n in c.ok(ttlv.item("Locate")).all("UniqueIdentifier")}
        self.assertEqual(found, set(self.alive))

    def strangers_left(self):
        """Records that no object has: what a failed Create may leave for recovery to clear."""
        names = self.cloud.records()
        mine = {"%s_%s" % (cloud.PREFIX, uid) for uid in self.alive}
        return len([n for n in names if n not in mine])

    def test_every_fault(self):
        cases = list(itertools.product(FAULTS, OPERATIONS, TIMES))
        if not kf.LONG:
            cases = kf.random_for("faults").sample(cases, 24)
        for (fault, reasons), operation, times in cases:
            with self.subTest(fault=fault, operation=operation, times=times):
                if len(self.alive) < 2 or set(self.alive) <= self.revoked:
                    with self.gw.client() as c:
                        uid = c.create()
                        self.alive[uid] = c.key(uid)
                self.cloud.fault(operation="kms.secrets.*", count=times, **fault)
                with self.gw.client() as c:
                    result = self.act(c, operation)
                    if operation == "AddAttribute" or times == 1 and reasons in (OUTAGE, set()):
                        self.assertEqual(result.status, ttlv.SUCCESS, result)
                    elif result.status != ttlv.SUCCESS:
                        self.assertIn(result.reason_name, reasons, result)
                    self.note(c, operation, result)
                self.check()
        kf.eventually(lambda: self.strangers_left() == cloud.STRANGERS,
                      "what failed Creates left is cleared", 150)

    def test_token_troubles(self):
        with self.gw.client() as c:
            uid = next(iter(self.alive))
            self.cloud.void_tokens()
            self.gw.control("cache flush")
            self.assertEqual(c.key(uid), self.alive[uid])
            self.cloud.fault(operation="iam.token", status=503)
            self.gw.control("cache flush")
            self.assertEqual(c.key(uid), self.alive[uid])  # the token in hand is good
        self.check()

    def test_others_do_not_wait(self):
        """A DiscoverVersions beside a key manager that takes 5 s."""
        def median():
            times = []
            with self.gw.client() as c:
                for _ in range(60):
                    started = time.monotonic()
                    c.ok(ttlv.item("DiscoverVersions"))
                    times.append(time.monotonic() - started)
            return statistics.median(times)
        before = median()
        self.cloud.fault(operation="kms.secrets.*", delay_ms=5000)
        self.gw.control("cache flush")
        waiting = [self.gw.client() for _ in range(20)]
        try:
            for c in waiting:
                c.send(ttlv.request(c.version, on("Get", next(iter(self.alive)))))
            self.assertLess(median(), 5 * before + 0.02)
        finally:
            for c in waiting:
                c.close()
        self.check()


class Outage(CloudCase):
    """Nothing answers at all: what is in memory is served, what is not fails soon."""

    vault_options = QUICK

    def test_outages(self):
        with self.gw.client() as c:
            warm = c.create()
            key = c.key(warm)
            for mode in ("refuse", "reset", "handshake"):
                self.cloud.admin("POST", "/outage", {"mode": mode, "port": "api"})
                self.assertEqual(c.key(warm), key)
                self.assert_reason(c.do(ttlv.create()), "GeneralFailure")
                self.cloud.admin("POST", "/outage", {"mode": "none", "port": "api"})
                kf.eventually(lambda: c.do(ttlv.create()).status == ttlv.SUCCESS,
                              "new keys after the outage", 60)
        self.gw.assert_idle()


REFUSAL = ('{"resources": [{"errorMsg": "Unprocessable Entity", "reasons": '
           '[{"code": "UNPROCESSABLE_CIPHERTEXT_ERR"}]}]}')


class DeadNameServer(CloudCase):
    """The first one of those that the system asks, in its own time: that is five seconds."""

    def begin(self):
        try:
            names = nameserver.NameServers(self.cloud.dir)
        except OSError as e:
            self.skipTest(str(e))
        self.addCleanup(names.stop)
        self.names = names
        vault = self.cloud.vault(host="kp.test:" + self.cloud.place.split(":")[1])
        self.gw = self.gateway(start=False, tenants=[
            kf.Tenant("a", kf.AUTHORITY.make("vcenter"), options=self.options, vault=vault)])
        plain = self.gw.command
        self.gw.command = lambda: names.for_command(plain())
        self.gw.start()

    def test_next_one_is_asked_in_time(self):
        with self.gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            self.gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
        self.assertTrue(self.names.was_silent())


class Integrity(CloudCase):
    """A key that the key manager says was altered."""

    def alarms(self):
        return [line["say"] for line in self.gw.control("health")[0]
                if line["check"] == "keys of a"]

    def integrity(self):
        """The state of the check, and the status of /health, which nothing else here makes bad."""
        [state] = [line["state"] for line in self.gw.control("health")[0]
                   if line["check"] == "integrity"]
        return state, scrape.get(self.gw, "/health")[0]

    def test_alarm(self):
        with self.gw.client() as c:
            good, altered = c.create(), c.create()
            self.gw.control("cache flush")
            c.key(good)
            self.assertEqual(self.alarms(), [])
            self.cloud.fault(operation="kms.secrets.unwrap", status=422, body=REFUSAL,
                             content_type="application/json")
            self.cloud.clear_journal()
            at, calls = self.gw.mark(), 2
            for _ in range(calls):
                self.assert_reason(c.do(on("Get", altered)), "CryptographicFailure")
            self.assertEqual(self.calls()["kms.secrets.unwrap"], calls)  # nothing is repeated
            line = self.gw.await_log("error integrity: integrity alarm", at)
            self.assertIn("tenant=a uid=%s" % altered, line)
            self.assertEqual(self.gw.log(at).count(" error integrity: "), 1)
            [say] = self.alarms()
            self.assertRegex(say, r"^integrity alarm since \S+, asked for 2 times: %s$" % altered)
            self.assertIn(altered, self.gw.ctl("health", check=False).stdout)
            self.assertEqual(self.gw.metrics()["integrity_alarm_keys"], 1)
            self.assertEqual(self.integrity(), ("bad", 503))
            c.key(good)  # that key alone
            self.assertIn("fresh", " ".join(repr(x) for x in self.gw.control("health")))
            self.cloud.admin("DELETE", "/faults")
            c.key(altered)
            self.assertEqual(self.alarms(), [])
            self.assertEqual(self.gw.metrics()["integrity_alarm_keys"], 0)
            self.gw.await_log("notice integrity: integrity alarm is over", at)
            self.assertEqual(self.integrity(), ("good", 200))  # and needs no restart


    def test_alarm_of_what_is_gone(self):
        """Else health would be bad for ever, and hide what comes next."""
        asleep = attribute("Activation Date", ttlv.date("AttributeValue", 1 << 32))
        with self.gw.client() as c:
            uids = [c.create(asleep) for _ in range(2)]
            self.gw.control("cache flush")
            self.cloud.fault(operation="kms.secrets.unwrap", status=422, body=REFUSAL,
                             content_type="application/json")
            for uid in uids:
                self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
            self.cloud.admin("DELETE", "/faults")
            c.ok(on("Destroy", uids[0]))
            self.assertEqual(self.gw.metrics()["integrity_alarm_keys"], 1)
        self.assertEqual(self.integrity()[0], "bad")
        self.gw.tenants = [kf.Tenant("other", kf.AUTHORITY.make("second"))]
        self.gw.configure()
        self.gw.control("reload")
        self.assertEqual(self.gw.metrics()["integrity_alarm_keys"], 0)
        self.assertEqual(self.integrity()[0], "good")


class DoesNotOpen(CloudCase):
    """An Active key that cannot be unwrapped for good: an administrator gets rid of it all the same."""

    UNDEFINED = REFUSAL.replace("UNPROCESSABLE_CIPHERTEXT_ERR", "UNDEFINED_REASON")
    PURGE = ("--json", "keys", "purge", "--state", "Active", "--force", "--really")

    def check_purge(self, reason):
        """A Revoke has to leave word for other gateways, in a record: that needs the key."""
        with self.gw.client() as c:
            uid = c.create()
            yield uid
            self.assert_reason(c.do(ttlv.revoke(uid, KEY_COMPROMISE)), reason)
            self.assertEqual(c.state(uid), ttlv.ACTIVE)
            self.assert_reason(c.do(on("Destroy", uid)), "PermissionDenied")
            self.assertEqual(len(self.cloud.records(uid)), 1)
            done = self.gw.ctl(*self.PURGE, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(c.state(uid), DESTROYED)
        self.assertEqual(self.cloud.records(uid), [])
        self.gw.assert_idle()

    def test_altered(self):
        for status, body in ((422, REFUSAL), (400, self.UNDEFINED)):
            with self.subTest(status=status):
                for _ in self.check_purge("CryptographicFailure"):
                    self.cloud.fault(operation="kms.secrets.unwrap", status=status, body=body,
                                     content_type="application/json")
                self.cloud.admin("DELETE", "/faults")

    def test_its_root_key_is_gone(self):
        for _ in self.check_purge("CryptographicFailure"):
            self.cloud.customer(self.cloud.root, "delete")

    def test_an_outage_takes_nothing(self):
        with self.gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            for status in (429, 500, 401):
                self.cloud.fault(operation="kms.secrets.*", status=status)
                self.assertEqual(self.gw.ctl(*self.PURGE, check=False).returncode, 1)
                self.cloud.admin("DELETE", "/faults")
                kf.eventually(lambda: self.gw.metrics()["changes_in_doubt"] == 0, "no doubt", 90)
                self.assertEqual(c.state(uid), ttlv.ACTIVE)
                self.gw.control("cache flush")
                kf.eventually(lambda: c.do(on("Get", uid)).status == ttlv.SUCCESS, "served", 60)
                self.assertEqual(c.key(uid), key)
            self.gw.ctl(*self.PURGE)
            self.assertEqual(c.state(uid), DESTROYED)


class Doubt(CloudCase):
    """What a gateway, or a copy of it, finds half done: nothing that a client may know is deleted."""

    def test_backup_taken_while_a_key_was_being_stored(self):
        """The client was told of the key; the backup holds the intent of a Create that ended well."""
        made = []

        def create():
            with self.gw.client() as c:
                made.append(c.create())
                made.append(c.key(made[0]))
        self.cloud.fault(operation="kms.secrets.create", count=1, delay_after_ms=2500, commit=True)
        worker = threading.Thread(target=create)
        worker.start()
        kf.eventually(lambda: len(self.cloud.records()) == cloud.STRANGERS + 1, "record is there", 5)
        copy = os.path.join(self.gw.dir, "backup")
        os.mkdir(copy, 0o700)
        self.gw.ctl("backup", copy)
        worker.join()
        self.assertEqual(len(made), 2)
        self.gw.stop()
        shutil.rmtree(self.gw.state_dir)
        self.gw.ctl("restore", copy)
        self.gw.start()
        with self.gw.client() as c:
            kf.eventually(lambda: [n.value for n in c.ok(ttlv.item("Locate")).all(
                "UniqueIdentifier")] == [made[0]], "taken over", 30)
            self.assertEqual(c.key(made[0]), made[1])
        self.assertEqual(len(self.cloud.records(made[0])), 1)

    def test_refused_destroy_of_a_key_made_under_another_prefix(self):
        """The client is told that it may not; then the key has to be as it was."""
        def tenant(prefix):
            return kf.Tenant("a", kf.AUTHORITY.make("vcenter"), options="born-active = false",
                             vault=self.cloud.vault("Writer", prefix=prefix))
        self.gw.tenants = [tenant("old")]
        self.gw.configure()
        self.gw.control("reload")
        with self.gw.client() as k:
            uid = k.create()
            key = k.key(uid)
        self.gw.tenants = [tenant("new")]
        self.gw.configure()
        self.gw.stop()
        self.gw.start()
        with self.gw.client() as k:
            self.assertEqual(k.key(uid), key)
            self.assert_reason(k.do(on("Destroy", uid)), "PermissionDenied")
            kf.eventually(lambda: self.gw.metrics()["changes_in_doubt"] == 0, "nothing in doubt", 60)
            self.gw.control("cache flush")
            self.assertEqual(k.key(uid), key)

    def test_destroy_in_another_key_ring(self):
        """Where the record is not, it cannot be destroyed, and nobody may believe that it was."""
        def use_ring(name):
            self.gw.tenants = [kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                                         options="born-active = false",
                                         vault=self.cloud.vault(options='key-ring = "%s"' % name))]
            self.gw.configure()
            self.gw.control("reload")
        self.assertEqual(self.cloud.call("POST", "/key_rings/elsewhere").status, 201)
        use_ring("default")
        with self.gw.client() as k:
            uid = k.create()
            key = k.key(uid)
        use_ring("elsewhere")
        with self.gw.client() as k:
            self.assert_reason(k.do(on("Destroy", uid)), "ItemNotFound")
        self.assertEqual(len(self.cloud.records(uid)), 1)
        use_ring("default")
        with self.gw.client() as k:
            self.assertEqual(k.key(uid), key)
            k.ok(on("Activate", uid))
            k.ok(ttlv.revoke(uid))
        kf.eventually(lambda: len(self.cloud.records(uid)) == 1, "the first record retired", 60)
        use_ring("elsewhere")
        kf.eventually(lambda: '"purged":1' in self.gw.ctl(
            "--json", "keys", "purge", "--tenant", "a", "--state", "Deactivated", "--missing",
            "--really").stdout, "it is purged", 10)  # a use that is noted late skips it
        use_ring("default")
        self.gw.control("keys rebuild")
        self.assertEqual(len(self.cloud.records(uid)), 1)  # in the ledger alone: others have the key
        other = self.gateway(tenants=self.gw.tenants)
        with other.client() as k:
            self.assertEqual(k.key(uid), key)
            k.ok(on("Destroy", uid))
        self.assertEqual(self.cloud.records(uid), [])


if __name__ == "__main__":
    kf.main()
