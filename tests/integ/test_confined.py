# SPDX-License-Identifier: Apache-2.0
"""The filters of system calls, under which every other test runs as well."""

import ctypes
import os
import platform
import re
import signal
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

# What SECURITY, and the head of calls.def, say that nobody reaches who takes over the process: these kill
# even if calls.def lists them.
CLAIMED = {
    "other processes": "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise "
                       "process_mrelease migrate_pages move_pages perf_event_open",
    "users": "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset",
    "mounts": "mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick "
              "mount_setattr swapon swapoff",
    "namespaces": "unshare setns",
    "modules": "init_module finit_module delete_module create_module kexec_load kexec_file_load reboot",
    "keyrings": "add_key request_key keyctl",
    "io_uring": "io_uring_setup io_uring_enter io_uring_register",
    "bpf": "bpf userfaultfd",
    "the clock": "settimeofday clock_settime clock_adjtime adjtimex",
    "programs": "execveat memfd_create uselib",
    "code": "pkey_mprotect remap_file_pages modify_ldt shmat",
    "the machine": "iopl ioperm sethostname setdomainname acct quotactl syslog vhangup personality",
}
SANITIZERS = {"personality", "process_vm_readv", "ptrace"}  # allowed only where these are built in
# Where arguments decide (see confine.c): forbidden.c has those that nobody may give.
BY_ARGUMENT = {"clone", "clone3", "mmap", "mprotect", "prctl", "socket"}
CHILDREN_LACK = {"execve", "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4"}
NUMBERS = range(512)  # more than there are
X32 = 1 << 30  # another architecture's calls, on x86-64
# uretprobe and uprobe there: no filter is asked, and who is not a probe of the kernel's dies of them.
UNFILTERED = {335, 336}


def number(name):
    """A call's; below zero where this machine does not have it."""
    found = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name(name.encode())
    if found == -1:
        raise AssertionError("there is no call %s" % name)
    return found


def listed():
    """The names of calls.def."""
    with open(os.path.join(kf.TOP, "src", "daemon", "calls.def"), encoding="ascii") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.DOTALL)
    plain, sanitizers = text.split("#ifdef KF_SANITIZED")
    return set(re.findall(r"\bCALL\((\w+)\)", plain + (sanitizers if kf.SANITIZED else "")))


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

    def processes(self, gw):
        """The process ids, once the children have settled."""
        names = {"keyferry-store": "storage", "keyferry-read": "reader",
                 "keyferry-audit": "audit"}
        look = lambda: processes.children(gw.process.pid)
        found = kf.eventually(lambda: (lambda c: set(c) == set(names) and c)(look()),
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

    def others(self):
        """The numbers of all calls that nobody may make, and some that there are not."""
        allowed = {n for n in map(number, listed() | BY_ARGUMENT) if n >= 0}
        found = set(NUMBERS) - allowed
        if platform.machine() == "x86_64":
            found -= UNFILTERED
            found |= {X32 + n for n in (NUMBERS if kf.LONG else
                                        kf.random_for("x32").sample(sorted(allowed), 8))}
        claimed = {name for names in CLAIMED.values() for name in names.split()}
        if kf.SANITIZED:
            claimed -= SANITIZERS
        return found | {n for n in map(number, claimed) if n >= 0}

    def test_every_other_call_kills(self):
        """The whole process, even if one of its threads makes it."""
        others, lacking = self.others(), set(map(number, CHILDREN_LACK))
        for of, numbers in (({"daemon"}, others), ({"storage", "reader", "audit"}, others | lacking)):
            gw = self.confined(" ".join(str(n) for n in sorted(numbers)))
            for who, pid in self.processes(gw).items():
                if who not in of:
                    continue
                with self.subTest(who=who):
                    mark = gw.mark()
                    os.kill(pid, signal.SIGURG)
                    gw.await_log("each call was made", mark, 120)
                    self.assertEqual(re.findall(r"call \d+ was let through", gw.log(mark)), [])
            self.assert_fine(gw)

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
