# SPDX-License-Identifier: Apache-2.0
"""Nothing is acknowledged that is not on the disk, as the system calls show it.

strace watches the storage child and the gateway while several clients create keys.  The child's
answers to changes have to follow the fdatasync() of what they wrote, and the gateway's answers to
clients the child's answers to commits.
"""

import collections
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile

import kf

CLIENTS = 6
CREATES = 100 if kf.LONG else 8

# Kinds of calls, as src/keys/wire.h has them, that change a file, and which one.
COMMIT = 4
CHANGES = {3: "ledger", COMMIT: "ledger", 5: "ledger", 7: "ledger", 8: "vault", 9: "vault"}

CALLS = ("read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,"
         "fdatasync,fsync,sync_file_range,msync,ftruncate,io_uring_enter")
# TIME NAME(FD<WHAT>, "DATA", ...) = RESULT
LINE = re.compile(r'\d+\.\d+ (\w+)\((\d+)<((?:->|[^>])*)>(?:, "((?:\\x[0-9a-f]{2})*)"(\.\.\.)?)?'
                  r'.*\) += (-?\d+)')


def unhex(text):
    return bytes.fromhex(text.replace("\\x", ""))


class Call:
    """A system call that worked."""

    def __init__(self, name, fd, what, data, result):
        self.name, self.fd, self.what, self.data, self.result = name, fd, what, data, result

    def tells_client(self):
        """A record of application data: over TLS 1.2 an answer, and nothing else."""
        return (self.name in ("write", "sendto") and self.what.startswith("TCP")
                and self.data[:3] == b"\x17\x03\x03")

    def syncs(self):
        return self.name in ("fdatasync", "fsync")


def parse(path):
    """The calls of one process, in order."""
    calls = []
    with open(path, encoding="ascii", errors="replace") as f:
        for line in f:
            m = LINE.match(line)
            if not m or int(m.group(6)) < 0:
                continue
            if m.group(5):
                raise AssertionError("the trace is cut short: " + line[:100])
            what, result = m.group(3), int(m.group(6))
            if what.startswith("\\x"):  # a path, which strace prints like data
                what = unhex(what).decode()
            calls.append(Call(m.group(1), int(m.group(2)), what,
                              unhex(m.group(4) or "")[:result], result))
    return calls


class Frames:
    """A stream of frames as src/keys/wire.h has them, in pieces."""

    def __init__(self):
        self.rest = b""

    def add(self, data):
        """What this piece ends: (id, kind or error) of each frame."""
        self.rest += data
        found = []
        while len(self.rest) >= 13:
            size = 4 + int.from_bytes(self.rest[:4], "big")
            if len(self.rest) < size:
                break
            found.append((int.from_bytes(self.rest[4:12], "big"), self.rest[12]))
            self.rest = self.rest[size:]
        return found


def check_child(calls):
    """What is wrong with the order of the child's calls; and how many answers were looked at."""
    asked, answered = Frames(), Frames()
    open_calls = {}  # id: (kind, where in the trace it was read)
    written = {"ledger": -1, "vault": -1}  # where the file was last written
    synced = {"ledger": -1, "vault": -1}  # where it was last synced
    wrong, seen = [], 0
    for at, call in enumerate(calls):
        name = os.path.basename(call.what).partition(".db")[0]
        if name in written and call.what.endswith((".db", ".db-wal")):
            if call.syncs():
                synced[name] = at
            elif "write" in call.name and call.what.endswith("-wal"):
                written[name] = at
        elif call.name in ("read", "recvfrom"):
            for number, kind in asked.add(call.data):
                open_calls[number] = (kind, at)
        elif call.name in ("write", "sendto") and not call.what.startswith("/"):
            for number, error in answered.add(call.data):
                kind, read_at = open_calls.pop(number, (0, 0))
                file = CHANGES.get(kind)
                if file is None or error != 0:
                    continue
                seen += 1
                if written[file] < read_at:
                    wrong.append("call %d (kind %d): answered without a write" % (number, kind))
                for each in written:
                    if synced[each] < written[each]:
                        wrong.append("call %d (kind %d): answered before %s was synced" % (
                            number, kind, each))
    return wrong, seen


def check_gateway(calls):
    """The same for the gateway: no client is answered before the commit of its message."""
    asked, answered = collections.defaultdict(Frames), collections.defaultdict(Frames)
    kinds = {}
    committed, told = 0, 0
    wrong = []
    child = {c.fd for c in calls if c.name == "sendto" and c.what.startswith("UNIX")}
    for call in calls:
        if call.fd in child and call.name == "sendto":
            kinds.update(((call.fd, n), kind) for n, kind in asked[call.fd].add(call.data))
        elif call.fd in child and call.name == "read":
            committed += sum(1 for number, error in answered[call.fd].add(call.data)
                             if error == 0 and kinds.get((call.fd, number)) == COMMIT)
        elif call.tells_client():
            told += 1
            if told > committed:
                wrong.append("answer %d to a client, with %d commits" % (told, committed))
    return wrong, told


class Trace:
    """strace on processes, each with a file of its own."""

    def __init__(self, directory, *pids):
        self.base = os.path.join(directory, "trace")
        self.errors = os.path.join(directory, "trace.errors")
        line = ["strace", "-ff", "-ttt", "-yy", "-xx", "-s", str(1 << 20), "-e", "trace=" + CALLS,
                "-o", self.base]
        for pid in pids:
            line += ["-p", str(pid)]
        with open(self.errors, "wb") as f:
            self.process = subprocess.Popen(line, stderr=f, stdin=subprocess.DEVNULL)
        kf.eventually(lambda: self.said().count(" attached") >= len(pids) or
                      self.process.poll() is not None, "strace attaches", 20)

    def said(self):
        with open(self.errors, encoding="utf-8", errors="replace") as f:
            return f.read()

    def attached(self):
        return self.process.poll() is None

    def stop(self):
        """Lets the processes go."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def of(self, pid):
        return parse("%s.%d" % (self.base, pid))


def refused():
    """Why strace cannot attach to a process that, like ours, may not be dumped; or None."""
    code = ("import ctypes, sys; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print(flush=True);"
            "sys.stdin.read()")  # 4: PR_SET_DUMPABLE
    with tempfile.TemporaryDirectory(prefix="keyferry-test-") as directory, \
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        trace = Trace(directory, process.pid)
        attached = trace.attached()
        trace.stop()
        process.stdin.close()
        return None if attached else trace.said().strip()


class Sync(kf.Case):
    def trace(self):
        """The calls of child and gateway while clients create keys."""
        gw = self.gateway()
        child, parent = int(gw.child_pid()), gw.process.pid
        trace = Trace(gw.dir, child, parent)
        self.addCleanup(trace.stop)
        self.assertTrue(trace.attached(), trace.said())

        def work(_):
            with gw.client(tls=ssl.TLSVersion.TLSv1_2) as c:
                for _ in range(CREATES):
                    c.create()
        kf.in_parallel(CLIENTS, work)
        trace.stop()
        return trace.of(child), trace.of(parent)

    def test_answers_follow_their_sync(self):
        child, gateway = self.trace()
        wrong, seen = check_child(child)
        self.assertEqual(wrong, [])
        self.assertEqual(seen, 3 * CLIENTS * CREATES)  # intent, record, object
        wrong, told = check_gateway(gateway)
        self.assertEqual(wrong, [])
        self.assertEqual(told, CLIENTS * CREATES)
        syncs = sum(c.syncs() for c in child)
        print("%d changes answered after %d syncs; %d answers to clients" % (seen, syncs, told),
              flush=True)
        self.assert_noticed(child, gateway)

    def assert_noticed(self, child, gateway):
        """The same traces with a fault in them."""
        no_sync = [c for c in child if not c.syncs()]
        self.assertTrue(check_child(no_sync)[0])
        last = max(n for n, c in enumerate(child) if c.syncs())
        self.assertTrue(check_child(child[:last] + child[last + 1:])[0], "the last sync alone")
        late = [c for c in child if not c.what.endswith("vault.db-wal")]
        self.assertTrue(check_child(late)[0])
        first = next(c for c in gateway if c.tells_client())
        self.assertTrue(check_gateway([first] + gateway)[0])


if __name__ == "__main__":
    if shutil.which("strace") is None:
        kf.skip_all("there is no strace (Debian package strace)")
    why = refused()
    if why is not None:
        kf.skip_all("strace cannot attach, which takes root: " + why)
    kf.main()
