# SPDX-License-Identifier: Apache-2.0
"""The filters of system calls, under which every other test runs as well."""

import os
import signal
import subprocess
import tempfile

import kf
import processes

# What nobody needs (see forbidden.c), and what the children do not need besides.
FORBIDDEN = ["another-memory", "new-code", "writable-code", "raw-packets", "namespace",
             "namespace-child"]
PARENTS_ONLY = ["program", "socket"]
if not kf.TESTING:
    FORBIDDEN += ["tracing", "traceable", "traceable-wide"]  # a sanitizer's look for leaks is done so
elif not kf.LONG:  # run.sh tries all with a release
    FORBIDDEN = kf.random_for("forbidden").sample(FORBIDDEN, 2)


class Confined(kf.Case):
    def confined(self, call=None, **kwargs):
        gw = self.gateway(start=False, **kwargs)
        gw.options += '\naudit-file = "%s"' % os.path.join(
            self.enterContext(tempfile.TemporaryDirectory()), "audit")
        gw.configure()
        gw.start(env={"LD_PRELOAD": os.environ["KEYFERRY_FORBIDDEN_SO"],
                      "KEYFERRY_FORBIDDEN": call or "", "ASAN_OPTIONS": "verify_asan_link_order=0"})
        self.assert_fine(gw)
        return gw

    def children(self, gw):
        """The names of gw's children, with their process ids."""
        pids = subprocess.run(["pgrep", "-P", str(gw.process.pid)], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.split()
        return {processes.status(int(pid))["Name"]: int(pid) for pid in pids}

    def processes(self, gw):
        """The process ids, once the children have settled."""
        names = {"keyferry-store": "storage", "keyferry-read": "reader",
                 "keyferry-audit": "audit"}
        found = kf.eventually(lambda: (lambda c: set(c) == set(names) and c)(self.children(gw)),
                              "storage, reader and audit", 60)
        return {"daemon": gw.process.pid, **{names[n]: pid for n, pid in found.items()}}

    def test_who_is_confined(self):
        gw = self.confined()
        for pid in self.processes(gw).values():
            status = processes.status(pid)
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
            with open("/proc/%d/limits" % pid, encoding="ascii") as f:
                self.assertRegex(f.read(), r"Max core file size +0 +0 ")

    def kills(self, who, call):
        gw = self.confined(call)
        pid = self.processes(gw)[who]
        os.kill(pid, signal.SIGURG)
        if who == "daemon":
            self.assertEqual(gw.process.wait(60), -signal.SIGSYS)
            gw.process = None
        else:
            kf.eventually(lambda: processes.ended(pid), "%s ends" % who, 60)
            self.assert_fine(gw)  # it alone
            gw.stop()
        self.assertNotIn("the call came back", gw.log())

    def test_a_forbidden_call_kills(self):
        for who in ("daemon", "storage", "reader", "audit"):
            for call in FORBIDDEN + (PARENTS_ONLY if who != "daemon" else []):
                with self.subTest(who=who, call=call):
                    self.kills(who, call)

    def test_the_newer_clone_is_missing(self):
        """A filter cannot see its flags; the C library then takes the older one."""
        gw = self.confined("namespace-clone3")
        for pid in self.processes(gw).values():
            mark = gw.mark()
            os.kill(pid, signal.SIGURG)
            gw.await_log("there is no such call", mark)
        self.assert_fine(gw)

    def test_without_the_filter(self):
        """So it is the filter that kills."""
        for call in FORBIDDEN + PARENTS_ONLY:
            with self.subTest(call=call):
                gw = self.confined(call, options="seccomp = false")
                pids = self.processes(gw).values()
                for pid in pids:
                    self.assertEqual(processes.status(pid)["Seccomp"], "0")
                    os.kill(pid, signal.SIGURG)
                kf.eventually(lambda: gw.log().count("the call came back") == len(pids),
                              "all make the call", 60)
                self.assert_fine(gw)


if __name__ == "__main__":
    kf.main()
