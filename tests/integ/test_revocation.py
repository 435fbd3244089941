# SPDX-License-Identifier: Apache-2.0
"""Revocation on virtual time, under load: what is taken away in the key manager is not served after
revocation-bound, it leaves the memory, and nobody else notices."""

import os
import shutil
import subprocess
import sys
import tempfile

import cloud
import kf
import memory
import ttlv
import virtual
from ttlv import on

BOUND = 60
TOKEN_LIFE = 3600
RUNS = 50 if kf.LONG else 2
KEYS = 3


def identity(name):
    return "service-" + name


class RevocationCase(kf.Case):
    """Tenants a and b, each with a root key, a service ID and a prefix of its own."""

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory)
        self.addCleanup(self.cloud.stop)
        self.roots = {n: self.cloud.create("root-" + n)["id"] for n in "ab"}
        self.certificates = {n: kf.AUTHORITY.make("vcenter-" + n) for n in "ab"}
        for n in "ab":
            self.grant(n)
        self.gw = self.gateway(tenants=[
            kf.Tenant(n, self.certificates[n], options='revocation-bound = "%ds"' % BOUND,
                      vault=self.cloud.vault(identity(n), root=self.roots[n], prefix="kmip_" + n))
            for n in "ab"], options='log-level = "notice" idle-timeout = "2h"')
        self.clock = virtual.Clock(self.gw, self.cloud)
        self.keys = {n: self.make_keys(n) for n in "ab"}
        self.clock.advance(5)
        self.loads = {}
        self.addCleanup(self.end_loads)

    def grant(self, n, roles=("Manager",), **more):
        self.cloud.identity(identity(n), [
            {"instance": self.cloud.instance, "roles": list(roles)}] if roles else [], **more)

    def make_keys(self, n, count=KEYS):
        with self.gw.client(self.certificates[n]) as c:
            made = [c.create() for _ in range(count)]
            return {uid: c.key(uid) for uid in made}

    def start_loads(self):
        self.loads = {n: virtual.Load(self.clock, self.gw, self.certificates[n], self.keys[n])
                      for n in "ab"}

    def end_loads(self):
        loads, self.loads = self.loads, {}
        return {n: load.stop() for n, load in loads.items()}

    def state(self, n="a"):
        """As health has it: "fresh since ..."."""
        return next(line["say"] for line in self.gw.control("health")[0]
                    if line["check"] == "key manager of " + n)

    # What a customer does, and takes back.

    def delete_root(self):
        self.cloud.customer(self.roots["a"], "delete")

    def restore_root(self):
        self.clock.advance(31)
        self.cloud.customer(self.roots["a"], "restore")
        self.clock.advance(31)

    def disable_root(self):
        self.cloud.customer(self.roots["a"], "disable")

    def enable_root(self):
        self.clock.advance(31)
        self.cloud.customer(self.roots["a"], "enable")
        self.clock.advance(31)

    def withdraw_role(self):
        self.grant("a", ())

    def give_role(self):
        self.grant("a")

    def record(self, uid):
        keys = self.cloud.admin("GET", "/instances/%s/keys" % self.cloud.instance)["keys"]
        return next(k["id"] for k in keys if k["name"] == "kmip_a_" + uid)

    def heal(self):
        """Until tenant a is served as before."""
        with self.gw.client(self.certificates["a"]) as c:
            served = lambda uid: c.do(on("Get", uid)).status == ttlv.SUCCESS
            return self.clock.until(
                lambda: self.clock.during(lambda: all([served(uid) for uid in self.keys["a"]])),
                "keys are served again", 3 * BOUND)

    def begin(self, name, number):
        """Loads at work, and time somewhere between two checks; where the Gets after it begin."""
        self.start_loads()
        self.clock.advance(kf.random_for("%s %d" % (name, number)).uniform(1, BOUND / 3))
        self.settle()
        return {n: load.mark() for n, load in self.loads.items()}

    def settle(self):
        for load in self.loads.values():
            load.settle()

    def others_served(self, got, mark):
        """Neither the other tenant nor anybody before the act saw a failure."""
        self.assertEqual([g for g in got["b"] if g.reason is not None], [])
        self.assertGreater(len(got["b"]) - mark["b"], 0)
        self.assertEqual([g for g in got["a"][:mark["a"]] if g.reason is not None], [])
        self.assertIn("fresh", self.state("b"))


class Revocation(RevocationCase):
    def run_one(self, act, state, reasons, number):
        """Returns for how long Gets of tenant a succeeded after the act."""
        mark = self.begin(act.__name__, number)
        acted = self.clock.now
        act()
        self.clock.advance(1.5 * BOUND)
        self.settle()
        got = self.end_loads()
        after = got["a"][mark["a"]:]
        self.others_served(got, mark)
        failed = {g.reason for g in after if g.reason is not None}
        self.assertTrue(failed and failed <= reasons, failed)
        self.assertIn(state, self.state("a"))
        return (virtual.last_success(after) or acted) - acted

    def prove(self, act, undo, state, metric, reasons):
        took = []
        for number in range(RUNS):
            before, at = self.gw.metrics()[metric], self.gw.mark()
            took.append(self.run_one(act, state, reasons, number))
            self.assertEqual(self.gw.metrics()[metric], before + 1)
            self.assertEqual(len([line for line in self.gw.log(at).splitlines()
                                  if " custody: " in line and self.roots["a"] in line]), 1)
            self.assertLessEqual(took[-1], BOUND)
            undo()
            self.heal()
        self.tell(act.__name__, took)

    def tell(self, what, took):
        print("%s: %d runs, the last Get succeeded at most %.1f to %.1f s after the act" % (
            what, len(took), min(took), max(took)))

    def test_root_key_deleted(self):
        self.prove(self.delete_root, self.restore_root, "revoked since", "custody_revoked_total",
                   {"CryptographicFailure"})

    def test_root_key_disabled(self):
        self.prove(self.disable_root, self.enable_root, "suspended since",
                   "custody_suspended_total", {"CryptographicFailure"})

    def test_role_withdrawn(self):
        self.prove(self.withdraw_role, self.give_role, "access withdrawn since",
                   "custody_withdrawn_total", {"PermissionDenied"})

    def test_nobody_asks(self):
        """The keys leave the memory within the bound when no client does anything."""
        for act, undo in ((self.delete_root, self.restore_root),
                          (self.disable_root, self.enable_root),
                          (self.withdraw_role, self.give_role)):
            for number in range(RUNS):
                self.clock.advance(
                    kf.random_for("idle %s %d" % (act.__name__, number)).uniform(1, BOUND / 3))
                self.assertEqual(self.gw.metrics()["cache_keys"], 2 * KEYS)
                act()
                self.clock.advance(BOUND)
                self.assertEqual(self.gw.metrics()["cache_keys"], KEYS, act.__name__)
                undo()
                self.heal()

    def test_record_deleted(self):
        """That key alone is withdrawn, and comes back with its record."""
        took = []
        for number in range(RUNS):
            mark = self.begin("record", number)
            uid = kf.random_for("record %d" % number).choice(sorted(self.keys["a"]))
            record, acted = self.record(uid), self.clock.now
            self.cloud.customer(record, "delete")
            self.clock.advance(1.5 * BOUND)
            self.settle()
            got = self.end_loads()
            after = got["a"][mark["a"]:]
            self.others_served(got, mark)
            self.assertEqual({g.reason for g in after if g.uid != uid}, {None})
            failed = {g.reason for g in after if g.uid == uid and g.reason is not None}
            self.assertEqual(failed, {"ItemNotFound"})
            self.assertIn("fresh", self.state("a"))
            took.append((virtual.last_success(after, uid) or acted) - acted)
            self.assertLessEqual(took[-1], BOUND)
            self.cloud.customer(record, "restore")
            self.heal()
        self.tell("record deleted", took)

    def test_api_key_deleted(self):
        """On its own: the token in hand is good until it ends, and the manual says so."""
        took = []
        for number in range(RUNS if kf.LONG else 1):
            mark = self.begin("api key", number)
            acted = self.clock.now
            self.grant("a", **{"api-key": "another"})
            self.clock.advance(TOKEN_LIFE + 3 * BOUND, step=1000, slice_s=5)
            self.settle()
            got = self.end_loads()
            after = got["a"][mark["a"]:]
            self.others_served(got, mark)
            self.assertIn("access withdrawn since", self.state("a"))
            self.assertEqual({g.reason for g in after if g.reason}, {"PermissionDenied"})
            took.append(virtual.last_success(after) - acted)
            self.assertGreater(took[-1], BOUND)
            # slices are long: when it was asked, since its session may have stood still for some
            asked = max(g.asked for g in after if g.reason is None)
            self.assertLessEqual(asked - acted, TOKEN_LIFE + BOUND)
            self.grant("a")
            self.heal()
        self.tell("API key deleted", took)


class Traces(RevocationCase):
    """After a revocation no memory has the keys any more."""

    def assert_traces(self, pids, keys, wanted):
        for pid, name in pids.items():
            hits, total = memory.search(pid, keys)
            self.assertGreater(total, 1 << 20)
            found = {hit[0] for hit in hits}
            if wanted and name == "daemon":
                self.assertEqual(found, set(keys))
            elif not wanted or name != "daemon":
                self.assertEqual(["%s: %s in %s: %r" % (name, form, where, around)
                                  for _, form, where, around in hits], [])

    def processes(self):
        pids = {self.gw.process.pid: "daemon", self.gw.child_pid(): "storage child",
                self.gw.reader_pid(): "storage reader"}
        if not all(memory.may_search(pid) for pid in pids):
            self.skipTest("only root may search the memory of processes")
        return pids

    def test_the_search_finds(self):
        """A process that holds one key as it is, and others in base64 in the midst of text."""
        keys = [os.urandom(32) for _ in range(4)]
        program = ("import base64, sys, time; keys = sys.stdin.buffer.read(96); held = [keys[:32]] + "
                   "[base64.b64encode(b'x' * n + keys[32 * n:][:32] + b'more') for n in range(3)]; "
                   "print(flush=True); time.sleep(600)")
        holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        try:
            holder.stdin.write(b"".join(keys[:3]))
            holder.stdin.close()
            holder.stdout.readline()
            if not memory.may_search(holder.pid):
                self.skipTest("only root may search the memory of processes")
            hits, _ = memory.search(holder.pid, keys)
        finally:
            holder.kill()
            holder.wait()
            holder.stdout.close()
        found = {(keys.index(key), form) for key, form, _, _ in hits}
        self.assertEqual({n for n, _ in found}, {0, 1, 2})
        self.assertLessEqual({(0, "raw")} | {(n, "base64+%d" % n) for n in range(3)}, found)

    def test_nothing_rests_elsewhere(self):
        """Each key came by a connection of its own, which nothing was sent over since."""
        pids = self.processes()
        keys = self.make_keys("a", 12)
        self.gw.control("cache flush")
        self.cloud.fault(operation="kms.secrets.*", delay_ms=300)
        clients = [self.gw.client(self.certificates["a"]) for _ in keys]
        try:
            for c, uid in zip(clients, keys):
                c.send(ttlv.request(c.version, on("Get", uid)))
            self.clock.during(lambda: [c.receive() for c in clients])
            self.assert_traces(pids, list(keys.values()), True)
            self.gw.control("cache flush")
            self.assert_traces(pids, list(keys.values()), False)
        finally:
            for c in clients:
                c.close()

    def test_no_trace(self):
        pids = self.processes()
        acts = [(self.delete_root, self.restore_root), (self.disable_root, self.enable_root),
                (self.withdraw_role, self.give_role)]
        for act, undo in acts:
            with self.subTest(act=act.__name__):
                self.gw.control("cache flush")  # so that they came over the network, too
                mark = self.begin(act.__name__, 0)
                mine, others = list(self.keys["a"].values()), list(self.keys["b"].values())
                self.assert_traces(pids, mine + others, True)
                act()
                self.clock.advance(1.5 * BOUND)
                self.settle()
                got = {n: load.stop(close=False) for n, load in self.loads.items()}
                self.assert_traces(pids, mine, False)
                self.assert_traces(pids, others, True)
                self.others_served(got, mark)
                self.end_loads()
                undo()
                self.heal()


if __name__ == "__main__":
    kf.main()
