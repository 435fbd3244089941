# SPDX-License-Identifier: Apache-2.0
"""Every system call fails once: strace makes the n-th of a kind fail, in the gateway and in its
children, while it starts, serves, reloads, copies and stops.

A start may be refused, with a reason.  After it nothing but the request that needed the call fails:
the gateway stays, a child that died comes back, no process keeps a descriptor or secure memory, a backup
that was made is whole, and what was acknowledged stands in the audit log, or is counted as lost, and is
there when it is started again without faults.

KEYFERRY_LONG=1: of each kind and error, of each stack that makes such a call the first, the last and one
between; else a sample, which KEYFERRY_SEED repeats.  KEYFERRY_SYSCALL="CALL ERROR N" does one,
"CALL ERROR N-M" each of them; KEYFERRY_PART="K/N" the Kth of N parts.
"""

import base64
import collections
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile

import faults
import kf
import processes
import scrape
import trail
import ttlv
from ttlv import attribute, on

FAULTS = collections.OrderedDict((
    ("accept4", ("EMFILE", "ENFILE", "ECONNABORTED", "EINTR", "ENOBUFS")),
    ("read", ("EIO", "EINTR", "ECONNRESET")),
    ("recvfrom,recvmsg", ("ECONNRESET", "EINTR")),
    ("write,writev", ("ENOSPC", "EIO", "EINTR", "EPIPE")),
    ("sendto,sendmsg", ("ECONNRESET", "EINTR", "ENOBUFS", "EMSGSIZE")),
    ("openat,open", ("EMFILE", "ENFILE", "EIO", "EACCES", "EINTR", "ENOSPC")),
    ("fsync,fdatasync", ("EIO", "ENOSPC", "EINTR")),
    ("pwrite64", ("ENOSPC", "EIO", "EINTR")),
    ("pread64", ("EIO",)),
    ("ftruncate", ("EIO", "ENOSPC")),
    ("rename,renameat,renameat2", ("EIO", "ENOSPC")),
    ("unlink,unlinkat", ("EIO", "EACCES")),
    ("mkdir,mkdirat", ("ENOSPC", "EACCES")),
    ("connect", ("ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "EINTR")),
    ("socket,socketpair", ("EMFILE", "ENOBUFS")),
    ("setsockopt", ("ENOMEM",)),
    ("bind,listen", ("EADDRINUSE", "EACCES")),
    ("epoll_ctl", ("ENOMEM", "ENOSPC")),
    ("epoll_wait,epoll_pwait", ("EINTR",)),
    ("poll,ppoll", ("EINTR", "ENOMEM")),
    ("clone,clone3,vfork", ("EAGAIN", "ENOMEM")),
    ("fcntl", ("ENOLCK",)),
    ("flock", ("EIO",)),
    ("newfstatat,fstat,stat,lstat,statx,access", ("EIO", "EACCES", "ENOMEM")),
    ("getdents64", ("EIO",)),
    ("readlink,readlinkat", ("EIO", "EACCES")),
    ("lseek", ("EIO",)),
    ("close", ("EIO",)),
    ("chmod,fchmod,fchmodat", ("EPERM", "EIO")),
    ("chown,fchown,fchownat", ("EPERM", "EIO")),
    ("dup2,dup3", ("EBUSY", "EMFILE")),
    ("pipe2", ("EMFILE", "ENFILE")),
    ("epoll_create1,eventfd2,timerfd_create", ("EMFILE", "ENOMEM")),
    ("getsockname,getpeername,getsockopt", ("ENOBUFS", "ENOTCONN")),
    ("ioctl", ("EIO", "ENOTTY")),
    ("wait4,waitid", ("EINTR",)),
    ("execve", ("EACCES", "ENOMEM")),
    ("shutdown", ("ENOTCONN",)),
    ("statfs,fstatfs", ("EIO",)),
    ("fallocate", ("ENOSPC", "EOPNOTSUPP")),
    ("link,linkat", ("EIO", "ENOSPC")),
    ("close_range", ("ENOSYS", "EINVAL")),
    ("prctl", ("EINVAL", "EPERM")),
    ("prlimit64,setrlimit", ("EPERM",)),
    ("getrandom", ("EINTR", "ENOSYS")),
    ("mlock,mlock2", ("ENOMEM", "EPERM", "EAGAIN")),
    ("mmap,mprotect", ("ENOMEM",)),
    ("madvise", ("EINVAL",)),
))
# What else a process may use: why none of these is made to fail.
NOT = {
    "cannot fail": "getpid getppid gettid getuid geteuid getgid getegid umask exit exit_group rt_sigreturn",
    "fails for wrong arguments alone": "rt_sigaction rt_sigprocmask sigaltstack set_tid_address "
                                       "set_robust_list rseq arch_prctl clock_gettime sysinfo uname",
    "the C library asks mmap() then": "brk",
    "memory stays, which nobody can tell": "munmap fadvise64",
    "the C library ends the process, or asks again": "futex",
    "what it waits for is looked at again": "nanosleep clock_nanosleep sched_yield restart_syscall",
    "whom it is for has gone, or ends with its socket": "kill",
    "a sanitizer's last words": "tgkill",
}
UNTOLD = {name for names in NOT.values() for name in names.split()}
# Most of these are the loader's and the sanitizer's, which end the process: only where stacks tell.
MEMORY = ("mmap", "mprotect")
OTHERS = re.compile(r"/ld-linux|/ld\.so|san\.so")
# What does not occur: to a key manager where there is none; of SQLite's for root; and without stacks, which
# only the long tier takes.
AWAY = [names for names, away in (("connect", kf.VAULT == "local"), ("mmap,mprotect", not kf.LONG),
                                  ("chown,fchown,fchownat", os.geteuid() != 0)) if away]
SAMPLES = 10 ** 9 if kf.LONG else 1  # of each kind and error
PAIRS = 10 ** 9 if kf.LONG else 16
ONLY = os.environ.get("KEYFERRY_SYSCALL")
TIMEOUT, HANGS = 30.0, "it hangs"
SANITIZER = re.compile(r"ERROR: AddressSanitizer:? (?:[gs]etrlimit\(\) failed|failed to \w+ |"
                       r"internal allocator is out of memory|"
                       # where it keeps what was freed
                       r"allocator is out of memory [^\n]+\n +#0 \w+ in __interceptor_free )|"
                       r"AddressSanitizer: CHECK failed")
LEXER = "out of dynamic memory in yy_"  # libconfuse's, which ends the process then
FAILED = ("GeneralFailure",)


def refused():
    """Why strace cannot follow a process from its start; or None."""
    if shutil.which("strace") is None:
        return "there is no strace (Debian package strace)"
    done = subprocess.run(["strace", "-f", "-e", "inject=getppid:error=EIO", "true"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return None if done.returncode == 0 else done.stderr.decode().strip()


class Traced(kf.Gateway):
    """A gateway that strace follows from its first instruction, with its children."""

    inject = None

    def command(self):
        line = super().command()
        self.trace = os.path.join(self.dir, "trace")
        if self.inject is None:
            return line
        rule = "inject=%s:error=%s:when=%d" % self.inject if self.inject else "trace=all"
        stacks = ["-k"] if kf.LONG and not self.inject else []
        # -D: the gateway is our own child, and strace its grandchild.  There is no leak check
        # beneath a tracer.
        return ["env", "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1", "strace", "-D",
                "-I2", "-f", "-qq", *stacks, "-e", rule, "-e", "signal=none", "-o", self.trace] + line

    def calls(self):
        """{(process, name): the stack of each such call, as far as strace tells}"""
        made, here, pending = collections.defaultdict(list), None, {}
        with open(self.trace, encoding="utf-8", errors="replace") as f:
            for line in f:
                begins = re.match(r"(\d+) +(\w+)\(", line)
                ends = re.match(r"(\d+) +<\.\.\. \w+ resumed>", line)
                if begins:
                    here = []
                    made[begins.groups()].append(here)
                    pending[begins.group(1)] = here
                elif ends:
                    here = pending.get(ends.group(1))
                elif line.startswith(" > ") and here is not None:
                    here.append(line)
                else:
                    here = None
        return {who: ["".join(stack) for stack in stacks] for who, stacks in made.items()}

    def number_of(self, name, what):
        """Which of the gateway's calls of that name is the last that has this in it: a sanitizer
        does some of the same before main()."""
        with open(self.trace, encoding="utf-8", errors="replace") as f:
            lines = [line for line in f if re.match(r"%d +%s\(" % (self.pid, name), line)]
        return max(n for n, line in enumerate(lines, 1) if what in line)

    def let_go(self):
        """strace counts for each process anew: a child that is started again would fail again."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
            tracer = int(re.search(r"^TracerPid:\s*(\d+)", f.read(), re.M).group(1))
        if tracer:
            def gone():
                return not os.path.exists("/proc/%d" % tracer)
            os.kill(tracer, signal.SIGINT)
            try:
                kf.eventually(gone, "strace ends", 10)
            except AssertionError:  # it and a process that waits for a new child's start
                os.kill(tracer, signal.SIGKILL)
                kf.eventually(gone, "strace was killed", 20)

    def kept_a_lock(self):
        """What failed was to give up a lock, which no kernel refuses for a local file.  SQLite then
        stands in its own way until the process ends."""
        with open(self.trace, encoding="utf-8", errors="replace") as f:
            return any("F_UNLCK" in line and "(INJECTED)" in line for line in f)

    def injected(self):
        """How many calls failed so far, in all processes."""
        if not self.inject:
            return 0
        with open(self.trace, encoding="utf-8", errors="replace") as f:
            return f.read().count("(INJECTED)")


class Syscalls(kf.Case):
    def setUp(self):
        shm = tempfile.mkdtemp(dir="/dev/shm", prefix="keyferry-syscalls-")
        self.addCleanup(shutil.rmtree, shm)
        # the call that fails is replaced by one of number -1, which the filter would kill
        self.gw = Traced(options="drain-timeout = 5s\nseccomp = false", tls=self.tickets(shm))
        self.addCleanup(self._end, self.gw)
        self.audit, self.copy = (os.path.join(self.gw.dir, name) for name in ("audit", "copy"))
        self.options = self.gw.options
        self.put_audit("false")
        self.late = kf.AUTHORITY.make("late")
        self.keys, self.number = {}, 0
        self.acknowledged, self.copied = collections.Counter(), False
        self.base = None  # of idle()

    @staticmethod
    def tickets(shm):
        path = os.path.join(shm, "ticket")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(os.urandom(32).hex())
        return 'resumption = true\n  ticket-key-file = "%s"' % path

    def attempt(self, work):
        """True when it was done; a session that ends and a refusal are no failures here."""
        try:
            work()
            return True
        except socket.timeout as e:
            raise AssertionError(HANGS) from e
        except (OSError, ssl.SSLError, kf.Closed, http.client.HTTPException):
            return False

    def may(self, result):
        # the API key's file is not for it
        closed = kf.VAULT == "keyprotect" and (self.gw.inject or ())[1:2] == ("EACCES",) and \
            result.reason_name == "PermissionDenied" and \
            "the key manager refuses the gateway access" in result.message
        if result.status != ttlv.SUCCESS and result.reason_name not in FAILED and not closed and \
                "cryptographic" not in result.message:
            raise AssertionError("unexpected: %r" % result)
        return result.status == ttlv.SUCCESS

    def done(self, result, what):
        if self.may(result):
            self.acknowledged[trail.word(what), result.uid] += 1
            return True
        return False

    def session(self):
        self.number += 1
        with self.gw.client(timeout=TIMEOUT) as c:
            for n in range(2):
                name = ttlv.name_attribute("key %d.%d" % (self.number, n))
                made = c.do(ttlv.create(name))
                if not self.done(made, "Create"):
                    continue
                self.keys[made.uid] = None
                got = c.do(on("Get", made.uid))
                if self.done(got, "Get"):
                    self.keys[made.uid] = got.key
                self.done(c.do(on("AddAttribute", made.uid, attribute("x-Name", "vm"))), "AddAttribute")

    def scrapes(self):
        for last in (False, True):
            status, _, text = scrape.get(self.gw, "/metrics", last=last)
            self.assertIn(status, (200, 500))
            if status == 200:
                self.assertTrue(scrape.Metrics(text))

    def commands(self):
        der = base64.b64encode(self.late.der).decode()
        for line in (("reload",), ("status",), ("trust add", "=a", "der=" + der),
                     ("trust remove", "=" + self.late.digest),
                     ("backup", "=" + self.copy)):
            try:
                self.gw.control(*line, timeout=TIMEOUT)
                self.acknowledged["command", line[0]] += 1
                self.copied |= line[0] == "backup"
            except AssertionError as e:
                self.assertNotIsInstance(e.__cause__, socket.timeout)

    def life(self):
        """Once through all that it does.  False: it did not start."""
        for made in (self.copy, os.path.join(self.gw.state_dir, "trust")):
            shutil.rmtree(made, ignore_errors=True)
        os.mkdir(self.copy, 0o700)
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.audit)
        self.acknowledged, self.copied = collections.Counter(), False
        at = self.gw.mark() if os.path.exists(self.gw.log_path) else 0
        try:
            self.gw.start(seconds=30 if self.gw.inject else 300)  # stacks take their time
            self.gw.pid = self.gw.process.pid
        except AssertionError:
            status, log = self.gw.process.poll(), self.gw.log(at)[-5000:]
            mute = self.gw.inject and (self.gw.inject[0].startswith("write") or
                                       "listening address=local" in log)
            if mute and status is None:
                self.gw.kill()  # it serves: where is what was not written, or not to be found out
                return False
            if status == 127:  # before main()
                self.assertIn("error while loading shared libraries", log)
            elif SANITIZER.search(log):  # its own call, which it cannot do without
                os.truncate(self.gw.log_path, 0)
            else:
                self.assertIn(status, (1, 2), log)
                if not mute:
                    self.assertRegex(log, "cannot start|keyferryd.conf|%s" % LEXER)
            self.gw.process = None
            return False
        for _ in range(2):
            self.attempt(self.session)
            self.attempt(self.scrapes)
            self.attempt(self.commands)
        injected = self.gw.injected()
        if injected:
            self.gw.let_go()
        if injected or self.base is None:
            kf.eventually(lambda: self.attempt(self.whole_session), "it serves again", 60)
            self.idle()
        self.assertIsNone(self.gw.process.poll(), "the gateway ended")
        self.gw.stop()  # the call may be one of these
        return True

    def idle(self):
        """Clients have gone: secure memory and each process's descriptors are as without a fault.  Where
        there are connections to a key manager, they keep some of that memory, as do an hour's tickets."""
        for line in ("reload", "cache flush"):
            self.gw.control(line, timeout=TIMEOUT)
        scrape.metrics(self.gw)
        if self.base is None:
            kf.eventually(lambda: self.gw.metrics()["audit_lines_total"] > 0, "all children work", 60)
        self.gw.assert_idle(self.base[0] if self.base and kf.VAULT == "local" else None)
        if self.base is None:
            self.base = self.gw.metrics()["secure_heap_used"], self.descriptors()
        try:
            kf.eventually(lambda: self.fewer(self.descriptors()), "descriptors are closed")
        except AssertionError as e:
            raise AssertionError("%s: %s, before %s" % (e, self.descriptors(), self.base[1])) from e

    def descriptors(self):
        """{a process's job: what its descriptors lead to}.  Connections to a key manager are kept.  A writer that
        follows another one has the same job."""
        kept = processes.calls_out(self.gw.port)
        return {processes.arguments(pid)[1].removesuffix("-again"):
                [d for d in processes.descriptors(pid) if d not in kept]
                for pid in processes.family(self.gw.process.pid)}

    def fewer(self, now):
        """One that is only of use may be missing.  A close() that strace makes fail leaves one open."""
        before, more = self.base[1], (self.gw.inject or ())[:1] == ("close",)
        return now.keys() == before.keys() and all(len(now[p]) <= len(before[p]) + more for p in now)

    def whole_session(self):
        before = len(self.keys)
        self.session()
        if len(self.keys) != before + 2:
            raise OSError("not yet")

    def check_keys(self):
        self.gw.inject = None
        self.gw.start()
        with self.gw.client() as c:
            for uid, key in self.keys.items():
                found = c.key(uid)
                self.assertEqual(len(found), 32)
                self.assertIn(key, (None, found), uid)
        self.assertEqual(self.gw.stop(), 0)

    def check_audit(self, log):
        """What was answered has its line, or is among those that were lost."""
        lines = trail.read_lines(self.audit) if self.acknowledged else []
        missing = self.acknowledged - trail.done(lines)
        lost = sum(line["count"] for line in lines if line["event"] == "lines-lost")
        lost += sum(int(n) for n in re.findall(r"audit: lines may be lost: .* lines=(\d+)", log))
        if "stopped with lines that were not written" not in log:
            self.assertLessEqual(sum(missing.values()), lost, missing)

    def put_audit(self, required):
        self.gw.options = self.options + '\naudit-file = "%s"\naudit-required = %s' % (
            self.audit, required)
        self.gw.configure()

    def check_copy(self):
        if self.copied:
            self.gw.ctl("verify", self.copy)

    def count(self):
        """{name of a call: which of them say what all do, in whichever process}"""
        self.gw.start()  # new files are no part of what follows
        self.gw.stop()
        self.gw.inject = None if ONLY else ()
        self.assertTrue(self.life())
        if ONLY:
            return None
        numbers = collections.defaultdict(set)
        for (_, name), stacks in self.gw.calls().items():
            if any(stacks):
                telling = faults.telling(stacks, kf.random_for("syscalls " + name))
                numbers[name].update(n for n in telling
                                     if name not in MEMORY or not OTHERS.search(stacks[n - 1]))
            elif name not in MEMORY:
                numbers[name].update(range(1, len(stacks) + 1))
        return numbers

    def check_all_are_known(self, calls):
        never = [names for names in FAULTS if names not in AWAY and
                 not any(calls[name] for name in names.split(","))]
        self.assertEqual(never, [])
        known = UNTOLD.union(*(names.split(",") for names in FAULTS))
        self.assertEqual(set(calls) - known, set(), "neither made to fail nor said why not")

    def chosen(self, rnd, calls):
        if ONLY:
            call, error, numbers = ONLY.split()
            first, _, last = numbers.partition("-")
            return [(call, error, n) for n in range(int(first), int(last or first) + 1)]
        every = []
        for names, errors in FAULTS.items():
            numbers = sorted(set().union(*(calls.get(n, ()) for n in names.split(","))))
            for error in errors:
                every += [(names, error, n) for n in (
                    numbers if len(numbers) <= SAMPLES else rnd.sample(numbers, SAMPLES))]
        return kf.part(every) if len(every) <= PAIRS else rnd.sample(every, PAIRS)

    def test_every_call(self):
        rnd = kf.random_for("syscalls")
        calls = self.count()
        if not ONLY:
            self.check_all_are_known(calls)
        # not before: while stacks are taken the audit child is too late for it, and commands fail
        self.put_audit(kf.random_for("syscalls audit").choice(("true", "false")))
        met = refusals = locked = 0
        chosen = self.chosen(rnd, calls)
        for at, inject in enumerate(chosen):
            if at % 100 == 99:
                print("%d of %d: %s %s %d" % (at, len(chosen), *inject), flush=True)
            with self.subTest(call=inject[0], error=inject[1], n=inject[2]):
                self.gw.inject, self.keys, log = inject, {}, self.gw.mark()
                try:
                    refusals += not self.life()
                    self.check_copy()
                except AssertionError as e:
                    if not (self.gw.kept_a_lock() and str(e) == HANGS):
                        raise
                    self.assertIsNone(self.gw.process.poll(), "the gateway ended")
                    locked += 1
                    self.gw.kill()
                    self.acknowledged.clear()  # what it had not handed over is lost
                met += self.gw.injected()
                self.check_keys()
                self.check_audit(self.gw.log(log))
            if self.gw.process is not None:  # it failed: not the next ones
                self.gw.kill()
        print("%d tries, %d calls failed, %d starts refused, %d kept a lock" % (
            len(chosen), met, refusals, locked), flush=True)
        self.assertGreater(met, 0)

    def test_a_directory_that_is_read_in_part(self):
        """Whom it has accepted it lets in, or it does not start."""
        refused = 0
        self.gw.start()
        self.gw.control("trust add", "=a", "der=" + base64.b64encode(self.late.der).decode())
        self.gw.stop()
        for n in range(1, 9):
            with self.subTest(n=n):
                self.gw.inject, at = ("getdents64", "EIO", n), self.gw.mark()
                try:
                    self.gw.start()
                except AssertionError:
                    self.gw.kill()  # unless it has ended by itself
                    self.assertRegex(self.gw.log(at), "cannot start.*Input/output error")
                    refused += 1
                    continue
                try:
                    with self.gw.client(self.late) as c:
                        c.ok(ttlv.item("DiscoverVersions"))
                finally:
                    self.gw.stop()
        self.assertGreater(refused, 0)

    def test_core_dumps_are_ruled_out(self):
        """Or it does not start."""
        self.gw.inject = ()
        self.assertTrue(self.life())
        for name, n in [(name, self.gw.number_of(name, what)) for name, what in (
                ("prctl", "PR_SET_DUMPABLE"), ("prlimit64", "RLIMIT_CORE, {"))]:
            with self.subTest(call=name):
                self.gw.inject = (name, "EPERM", n)
                self.assertFalse(self.life())
                self.assertIn("core dumps and tracing cannot be ruled out", self.gw.log())
                os.truncate(self.gw.log_path, 0)


class Short(kf.Case):
    """No read and no write of a file, or between the gateway and its children and administrators,
    and no write to a client, does more than a few bytes, and nobody notices."""

    def start(self, most):
        gw = self.gateway(start=False)
        gw.options = 'audit-file = "%s"' % os.path.join(gw.dir, "audit")
        gw.configure()
        gw.start(seconds=60, env={
            "LD_PRELOAD": os.environ["KEYFERRY_SHORT_SO"], "KEYFERRY_SHORT": str(most),
            "ASAN_OPTIONS": "verify_asan_link_order=0"})
        return gw

    def test_short_reads_and_writes(self):
        for most in (1, 7, 300):
            with self.subTest(most=most):
                gw = self.start(most)
                keys = {}
                for n in range(3):
                    with gw.client(timeout=120) as c:
                        uid = c.create(ttlv.name_attribute("key %d" % n))
                        keys[uid] = c.key(uid)
                        c.ok(on("AddAttribute", uid, attribute("x-Name", "vm" * 100)))
                        c.ok(on("Activate", uid))
                gw.control("reload", timeout=60)
                listed = gw.ctl("keys", "list").stdout
                self.assertTrue(all(uid in listed for uid in keys), listed)
                self.assertEqual(scrape.metrics(gw).of("store_objects_not_backed_up"), len(keys))
                for line in gw.log().splitlines():
                    self.assertRegex(line, r"^\d{4}-\d\d-\d\dT[^ ]+Z \w+ ")
                self.assertEqual(gw.stop(), 0)
                done = trail.done(trail.read_lines(os.path.join(gw.dir, "audit")))
                self.assertEqual({done[what, uid] for what in ("create", "get", "addattribute", "activate")
                                  for uid in keys} | {done["command", "reload"]}, {1})
                gw.start()
                with gw.client() as c:
                    self.assertEqual({uid: c.key(uid) for uid in keys}, keys)
                gw.stop()


if __name__ == "__main__":
    why = refused()
    if why:
        kf.skip_all(why)
    kf.main()
