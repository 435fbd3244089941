# SPDX-License-Identifier: Apache-2.0
"""A release build as etc/keyferryd.service runs it: under the unit's own filter of system calls, its
limits, without any capability, as a user that owns nothing but its directories (see unit.py)."""

import os
import shutil
import signal
import subprocess
import sys
import unittest

import kf
import processes
import supervisor
import ttlv
import unit

UNIT = os.path.join(kf.TOP, "etc", "keyferryd.service")
USER = 61184  # nobody's, and none that stands for others
ROOT = os.geteuid() == 0


class Installed(supervisor.Supervisor):
    """The service, whose program is a copy that its user can reach."""

    without, strict = None, False  # see unit.py

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.program = os.path.join(self.dir, "keyferryd")
        shutil.copy(kf.program("keyferryd"), self.program)
        self.unit = unit.Unit(UNIT)

    def environment(self):
        env = {"UNIT_USER": str(USER), "UNIT_WRITES": self.dir} if ROOT else {}
        if self.without:
            env["UNIT_WITHOUT"] = self.without
        if self.strict:
            env["UNIT_STRICT"] = "1"
        return env

    def line(self, name):
        """What the unit starts, with our file for that of the machine."""
        return [sys.executable, os.path.join(kf.TOP, "tests", "integ", "unit.py"), UNIT,
                self.program, *self.unit.one(name).split()[1:], "-c", self.conf]

    def command(self):
        return self.line("ExecStart")

    def own(self, *directories):
        """Gives them, and what is in them, to the service's user."""
        for directory in directories if ROOT else ():
            for folder, _, names in os.walk(directory):
                for path in [folder] + [os.path.join(folder, n) for n in names]:
                    os.chown(path, USER, USER)

    def launch(self, env=None):
        self.own(self.dir, kf.AUTHORITY.dir, kf.the_cloud().dir)
        super().launch(dict(self.environment(), **(env or {})))


class Release(kf.Case):
    def service(self, **how):
        there = kf.the_cloud()
        gw = Installed(tenants=[
            kf.Tenant("a", kf.AUTHORITY.make("vcenter")),
            kf.Tenant("b", kf.AUTHORITY.make("second"), vault=there.vault(
                prefix="unit", host="localhost:" + there.place.split(":")[1]))])  # to be resolved
        self.addCleanup(self._end, gw)
        gw.options = 'audit-file = "%s"' % os.path.join(gw.dir, "audit")
        gw.configure()
        for name, value in how.items():
            setattr(gw, name, value)
        gw.watchdog_us = int(gw.unit.one("WatchdogSec")) * 1000000
        return gw

    def processes(self, gw):
        """The gateway's process ids: its own, and those of storage, reader and audit."""
        children = subprocess.run(["pgrep", "-P", str(gw.process.pid)], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout.split()
        self.assertEqual(len(children), 3)
        return [gw.process.pid] + [int(c) for c in children]

    def use(self, gw, known):
        """Each tenant makes a key, and gets all that it has."""
        for tenant, keys in zip(gw.tenants, known):
            with gw.client(tenant.certificates[0]) as c:
                uid = c.create()
                keys[uid] = c.key(uid)
                self.assertEqual({u: c.key(u) for u in keys}, keys)

    def test_configuration_is_checked_first(self):
        gw = self.service()
        gw.own(gw.dir, kf.AUTHORITY.dir, kf.the_cloud().dir)
        done = subprocess.run(gw.line("ExecStartPre"), env=dict(os.environ, **gw.environment()),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def a_day(self, gw):
        known = {}, {}
        self.use(gw, known)
        gw.process.send_signal(signal.SIGHUP)
        gw.heard("RELOADING=1")
        gw.heard("READY=1")
        gw.ctl("reload")
        self.use(gw, known)
        copy = os.path.join(gw.dir, "copy")
        os.mkdir(copy, 0o700)
        gw.own(copy)
        gw.ctl("backup", copy)
        for root_key in ([], ["--root-key", os.path.join(gw.dir, "a.root")]):
            self.assertIn(
                "objects: 4, destroyed: 0, verified: 2, missing: 0, damaged: 0, elsewhere: 2, unver",
                gw.ctl("verify", *root_key, copy).stdout)
        self.lose_child(gw)
        self.use(gw, known)
        self.assertEqual(gw.restart(), 0)
        gw.heard("READY=1", 60)
        self.use(gw, known)
        self.assertEqual(gw.stop(), 0)
        with open(os.path.join(gw.dir, "audit"), encoding="utf-8") as f:
            self.assertGreaterEqual(f.read().count('"operation":"Create"'), 8)

    def lose_child(self, gw):
        """It comes again, which takes this program and a filter once more."""
        os.kill(gw.child_pid(), signal.SIGKILL)
        gw.await_log("store: ended")
        with gw.client() as c:
            kf.eventually(lambda: c.do(ttlv.create()).status == ttlv.SUCCESS, "storage", 60)

    def test_a_day(self):
        self.a_day(self.service().start())

    def test_a_day_without_one_call_too_many(self):
        """What the unit would refuse with EPERM, and the gateway might make light of, kills here."""
        self.a_day(self.service(strict=True).start())

    def test_who_it_is(self):
        """One of a user's, without privileges, in each process; and the filters hold there."""
        gw = self.service().start()
        for pid in self.processes(gw):
            is_ = processes.status(pid)
            self.assertEqual((is_["NoNewPrivs"], is_["Seccomp"]), ("1", "2"))
            own = 1 + (pid != gw.process.pid)  # beside the unit's two; a child has just begun
            kf.eventually(lambda: int(processes.status(pid)["Seccomp_filters"]) == 2 + own, "filters", 60)
            if ROOT:
                self.assertEqual(is_["Uid"].split(), [str(USER)] * 4)
                self.assertEqual((is_["Gid"].split(), is_["Groups"].strip()), ([str(USER)] * 4, ""))
                for which in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
                    self.assertEqual(int(is_["Cap" + which], 16), 0, which)

    def test_a_manager_that_forbids_filters(self):
        """As systemd's own sets do up to Debian 12."""
        gw = self.service(without="seccomp")
        gw.launch()
        self.assertEqual(gw._gone(30), 1)
        self.assertIn("forbids the call seccomp", gw.await_log("cannot start"))

    @unittest.skipUnless(ROOT, "only root can become the service's user")
    def test_it_writes_nowhere_else(self):
        gw = self.service()
        gw.options = 'audit-file = "%s/audit"' % kf.AUTHORITY.dir
        gw.configure()
        gw.launch()
        self.assertEqual(gw._gone(30), 1)
        self.assertIn("Read-only file system", gw.await_log("cannot start"))


if __name__ == "__main__":
    if kf.TESTING:
        kf.skip_all("it wants a release build")
    kf.main()
