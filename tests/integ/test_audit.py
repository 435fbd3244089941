# SPDX-License-Identifier: Apache-2.0
"""The audit log: a line for everything that was done, in order, through rotation, a full disk, a disk
that hangs, and the death of either process."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import threading
import time

import kf
import ttlv
from trail import read_lines
from ttlv import item, on

OPERATIONS = 50000 if kf.LONG else 3000
THREADS = 4


def child_of(pid, name):
    """The process id of the child that calls itself so."""
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
        for child in f.read().split():
            with contextlib.suppress(OSError), open("/proc/%s/comm" % child, encoding="ascii") as g:
                if g.read().strip() == name[:15]:
                    return int(child)
    return None


class Audit(kf.Case):
    def audited(self, required=False, env=None):
        gw = self.gateway(start=False)
        self.path = os.path.join(gw.dir, "audit.jsonl")
        gw.options = 'audit-file = "%s"\naudit-required = %s' % (
            self.path, "true" if required else "false")
        gw.configure()
        return gw.start(env=env)

    def lines(self, event="request", path=None, growing=False):
        return [l for l in read_lines(path or self.path, growing) if l["event"] == event]

    def await_lines(self, count, event="request"):
        kf.eventually(lambda: len(self.lines(event, growing=True)) >= count, "%d lines" % count)
        return self.lines(event, growing=True)

    def child(self, gw):
        return kf.eventually(lambda: child_of(gw.process.pid, "keyferry-audit"), "the audit child")

    def test_what_a_line_says(self):
        gw = self.audited()
        certificate = gw.tenants[0].certificates[0]
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            c.do(on("Get", "01890000-0000-7000-8000-000000000001"))
            c.call(item("DiscoverVersions", ubid=b"1"), on("Activate", uid, ubid=b"2"))
            c.ok(ttlv.revoke(uid, 2, message="lost"))
            c.key(uid)
            address = "127.0.0.1:%d" % c.sock.getsockname()[1]
        seen = self.await_lines(7)
        self.assertEqual([l["operation"] for l in seen],
                         ["Create", "Get", "Get", "Discover Versions", "Activate", "Revoke", "Get"])
        self.assertEqual([l["item"] for l in seen], [1, 1, 1, 1, 2, 1, 1])
        self.assertEqual({l["certificate"] for l in seen}, {certificate.digest})
        self.assertEqual({l["address"] for l in seen}, {address})
        self.assertEqual({l["tenant"] for l in seen}, {"a"})
        self.assertEqual([l["request"] for l in seen], sorted(l["request"] for l in seen))
        self.assertEqual(seen[0]["uid"], uid)
        self.assertEqual((seen[2]["result"], seen[2]["reason"]),
                         ("Operation Failed", "Item Not Found"))
        self.assertEqual(seen[6]["note"], "compromised key served")
        self.assertTrue(all(l["duration-us"] >= 0 for l in seen))
        with open(self.path, "rb") as f:
            data = f.read()
        self.assertNotIn(key, data)
        self.assertNotIn(key.hex().encode(), data)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)

    def test_compromised_keys_may_be_refused(self):
        """At once after a reload, in batches as well; their attributes are told as before."""
        gw = self.audited()
        with gw.client() as c:
            bad, good = c.create(), c.create()
            for uid, reason in ((bad, 2), (good, 5)):  # Key Compromise, Cessation of Operation
                c.ok(on("Activate", uid))
                c.ok(ttlv.revoke(uid, reason))
            key = c.key(bad)
            gw.tenants[0].options = "serve-compromised = false"
            gw.configure()
            gw.ctl("reload")
            self.assert_reason(c.do(on("Get", bad)), "PermissionDenied")
            self.assertEqual(c.state(bad), ttlv.COMPROMISED)
            c.key(good)
            results = [ttlv.Result(i.node) for i in c.call(on("Get", good, ubid=b"1"),
                                                           on("Get", bad, ubid=b"2")).items]
            self.assertEqual([r.status == ttlv.SUCCESS for r in results], [True, False])
            lines = [l for l in self.await_lines(12) if l.get("note") == "compromised key refused"]
            self.assertEqual(len(lines), 2)
            self.assertEqual({(l["uid"], l["reason"]) for l in lines}, {(bad, "Permission Denied")})
            gw.tenants[0].options = ""
            gw.configure()
            gw.ctl("reload")
            self.assertEqual(c.key(bad), key)

    def test_commands(self):
        gw = self.audited()
        gw.ctl("keys", "list", "--max", "3")
        gw.ctl("keys", "show", "nothing", check=False)
        listed, shown = self.await_lines(2, "command")
        self.assertEqual(listed["command"], ["keys list", "max=3"])
        self.assertEqual((listed["uid"], listed["result"]), (os.getuid(), "done"))
        self.assertGreater(listed["pid"], 0)
        self.assertNotEqual(shown["result"], "done")

    def test_refused_clients(self):
        gw = self.audited()
        stranger = kf.AUTHORITY.make("stranger", subject="/CN=quo\"te")
        with contextlib.suppress(Exception):
            gw.client(stranger)
        line = self.await_lines(1, "client-refused")[0]
        self.assertEqual(line["certificate"], stranger.digest)
        self.assertEqual(line["subject"], 'CN=quo\\"te')  # as OpenSSL writes it
        self.assertTrue(line["why"])

    def test_refused_messages(self):
        """What is no request has its line, too, and nothing of it is in there."""
        gw = self.audited()
        gw.options += '\nrequest-size-max = "1KiB"'
        gw.configure()
        gw.ctl("reload")
        for sent in (b"GET /secret HTTP/1.1\r\n\r\n", bytes.fromhex("4200780100100000")):
            with gw.client() as c:
                c.send(sent)
                self.assertEqual(c.receive().items[0].status, ttlv.FAILED)
                self.assertTrue(c.is_closed())
        odd, large = self.await_lines(2, "message-refused")
        self.assertEqual([l["why"] for l in (odd, large)],
                         ["the message is not well formed", "the request is larger than allowed"])
        for l in (odd, large):
            self.assertEqual((l["tenant"], l["certificate"], l["left-out"]),
                             ("a", gw.tenants[0].certificates[0].digest, 0))
            self.assertRegex(l["address"], r"^127\.0\.0\.1:\d+$")
        with open(self.path, "rb") as f:
            self.assertNotIn(b"secret", f.read())

    def work(self, gw, count, done):
        """Operations on many sessions; done[n]: answered successfully."""
        def run(n):
            with gw.client() as c:
                uid = c.create()
                done[n] = 1
                for i in range(count // THREADS - 1):
                    c.key(uid) if i % 8 else c.state(uid)
                    done[n] += 1
        kf.in_parallel(THREADS, run)

    @contextlib.contextmanager
    def rotating(self, gw, done, moved):
        """Files are moved away and reloads ask for new ones, by what was done, however fast."""
        stop = threading.Event()

        def rotate():
            while not stop.wait(0.001):
                if sum(done) < (len(moved) + 1) * OPERATIONS // 8:
                    continue
                moved.append("%s.%d" % (self.path, len(moved)))
                os.rename(self.path, moved[-1])
                gw.process.send_signal(signal.SIGHUP)
                kf.eventually(lambda: os.path.exists(self.path), "the next file", 30)
        rotator = threading.Thread(target=rotate)
        rotator.start()
        try:
            yield
        finally:
            stop.set()
            rotator.join()

    def written(self, gw, moved, count):
        """All lines of all files, once everything is written; each session's in order.
        count(): how many there are."""
        def all_lines(growing):
            return [l for p in moved + [self.path] for l in self.lines(path=p, growing=growing)]
        kf.eventually(lambda: gw.metrics()["audit_queue_bytes"] == 0, "all is handed over", 30)
        kf.eventually(lambda: len(all_lines(True)) >= count(), "all is written", 30)
        found = all_lines(False)
        numbers = [l["request"] for l in found]
        self.assertEqual(len(set(numbers)), len(numbers))
        # numbered when it comes and told when it ends, which may be late for who waits for a disk
        for address in {l["address"] for l in found}:
            numbers = [l["request"] for l in found if l["address"] == address]
            self.assertEqual(numbers, sorted(numbers), address)
        return found

    def test_rotation_under_load(self):
        """No line twice, none missing."""
        gw = self.audited()
        done, moved = [0] * THREADS, []
        with self.rotating(gw, done, moved):
            self.work(gw, OPERATIONS, done)
        self.assertGreater(len(moved), 2)
        self.assertEqual(len(self.written(gw, moved, lambda: sum(done))), sum(done))
        self.assertEqual(gw.metrics()["audit_lost_total"], 0)

    @kf.testing_only
    def test_full_disk_and_rotation_under_load(self):
        """What was done has its line; of what was refused, lines may be lost, and are counted."""
        gw = self.audited(required=True, env={"KEYFERRY_FAULTS": "AUDIT_WRITE:40:10"})
        done, refused, moved = [0] * THREADS, [0] * THREADS, []

        def run(n):
            with gw.client() as c:
                uid = c.create()
                done[n] = 1
                while done[n] < OPERATIONS // THREADS:
                    result = c.do(on("Get", uid))
                    if result.status == ttlv.SUCCESS:
                        done[n] += 1
                    else:
                        self.assert_reason(result, "GeneralFailure")
                        refused[n] += 1
        with self.rotating(gw, done, moved):
            kf.in_parallel(THREADS, run)
        self.assertGreater(len(moved), 2)
        self.assertGreater(sum(refused), 0)

        def count():
            return sum(done) + sum(refused) - gw.metrics()["audit_lost_total"]
        results = [l["result"] for l in self.written(gw, moved, count)]
        self.assertEqual(results.count("Success"), sum(done))
        self.assertEqual(len(results), count())

    def test_rotation_with_a_broken_configuration(self):
        """What was moved away is left alone, though the reload is refused."""
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            self.await_lines(1)
            with open(gw.conf, "a", encoding="utf-8") as f:
                f.write("nonsense\n")
            os.rename(self.path, self.path + ".1")
            mark = gw.mark()
            gw.process.send_signal(signal.SIGHUP)
            gw.await_log("reload refused", mark)
            c.key(uid)
            kf.eventually(lambda: os.path.exists(self.path) and self.lines(growing=True), "a line")
        self.assertEqual([l["operation"] for l in self.lines()], ["Get"])
        self.assertEqual([l["operation"] for l in self.lines(path=self.path + ".1")], ["Create"])

    @kf.testing_only
    def test_disk_full_and_required(self):
        """Nothing is done without its line; what says nothing of objects goes on."""
        gw = self.audited(required=True, env={"KEYFERRY_FAULTS": "AUDIT_WRITE:3:25"})
        done = []
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            done += [uid, uid]

            def refused():
                result = c.do(on("Get", uid))
                if result.status == ttlv.SUCCESS:
                    done.append(uid)
                    return False
                self.assert_reason(result, "GeneralFailure")
                return True
            kf.eventually(refused, "the full disk is noticed")
            c.ok(item("DiscoverVersions"))
            self.assertEqual(gw.ctl("health", check=False).returncode, 0)
            bad = [h for h in gw.control("health")[0] if h["check"] == "audit"][0]
            self.assertEqual(bad["state"], "bad")
            self.assertIn("No space left", bad["say"])
            self.assertGreater(gw.metrics()["audit_refused_total"], 0)
            kf.eventually(lambda: not refused(), "room on the disk again")
            self.assertEqual(c.key(uid), key)
            done.append(uid)
        served = lambda: [l["uid"] for l in self.lines(growing=True) if
                          l["result"] == "Success" and l["operation"] != "Discover Versions"]
        kf.eventually(lambda: len(served()) >= len(done), "a line for each that was served")
        self.assertEqual(served(), done)
        self.assertEqual(gw.metrics()["audit_lost_total"], 0)

    @kf.testing_only
    def test_disk_full_and_not_required(self):
        gw = self.audited(env={"KEYFERRY_FAULTS": "AUDIT_WRITE:1:8"})
        with gw.client() as c:
            uid = c.create()
            for _ in range(50):
                c.key(uid)
        self.assertEqual(len(self.await_lines(51)), 51)
        self.assertEqual(gw.metrics()["audit_failures_total"], 1)
        self.assertIn("lines are written again", gw.log())

    @kf.testing_only
    def test_commands_need_their_line_as_well(self):
        """What only looks, and what may end the trouble, goes on."""
        gw = self.audited(required=True, env={"KEYFERRY_FAULTS": "AUDIT_WRITE:1:1000"})
        with gw.client() as c:
            kf.eventually(lambda: c.do(item("Locate")).status != ttlv.SUCCESS, "refused")
        before = gw.control("trust list")[0]
        add = ("trust", "add", "a", kf.AUTHORITY.make("unseen").pem)
        done = gw.ctl(*add, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the audit log cannot be written", done.stderr)
        self.assertEqual(gw.control("trust list")[0], before)
        gw.ctl("log-level", "debug")
        gw.options = gw.options.replace("audit-required = true", "audit-required = false")
        gw.configure()
        gw.ctl("reload")
        gw.ctl(*add)

    def test_another_file_ends_a_full_disk(self):
        """The disk stays full; a reload brings a file that has room, and no line is missing."""
        gw = self.audited(required=True)
        full, roomy = self.path, os.path.join(gw.dir, "roomy.jsonl")
        with gw.client() as c:
            uid = c.create()
            self.await_lines(1)
            with open(full, "a", encoding="utf-8") as f:  # so that as much has room in the other
                f.write('{"event":"old"}\n' * 100000)
            size = os.path.getsize(full) + 100  # the next line does not fit
            resource.prlimit(self.child(gw), resource.RLIMIT_FSIZE, (size, size))
            kf.eventually(lambda: c.do(on("Get", uid)).status != ttlv.SUCCESS, "the full disk")
            gw.options = gw.options.replace(full, roomy)
            gw.configure()
            gw.ctl("reload")
            kf.eventually(lambda: c.do(on("Get", uid)).status == ttlv.SUCCESS, "service again")
        kf.eventually(lambda: gw.metrics()["audit_queue_bytes"] == 0, "all is written")
        with open(full, encoding="utf-8") as f:
            data = f.read()
        self.assertEqual(len(data), size)
        self.assertFalse(data.endswith("\n"))
        seen = [l["request"] for l in self.lines(path=roomy)]
        self.assertEqual(seen, list(range(seen[0], seen[0] + len(seen))))
        self.assertIn('"request":%d,' % seen[0], data)  # it began there
        self.assertEqual(gw.metrics()["audit_lost_total"], 0)

    def test_same_file_after_a_full_disk(self):
        """A reload opens it anew, in the middle of a line: the line goes on where it was."""
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            self.await_lines(1)
            child = self.child(gw)
            size = os.path.getsize(self.path) + 100
            soft, hard = resource.prlimit(child, resource.RLIMIT_FSIZE)
            resource.prlimit(child, resource.RLIMIT_FSIZE, (size, hard))
            c.key(uid)
            kf.eventually(lambda: gw.metrics()["audit_failures_total"] == 1, "the full disk")
            self.assertEqual(os.path.getsize(self.path), size)
            gw.ctl("reload")
            gw.ctl("reload")
            time.sleep(0.5)  # the process that writes looks for another file each 0.2 s
            resource.prlimit(child, resource.RLIMIT_FSIZE, (soft, hard))
            c.key(uid)
        kf.eventually(lambda: gw.metrics()["audit_queue_bytes"] == 0, "all is written")
        self.assertEqual([l["operation"] for l in self.await_lines(3)], ["Create", "Get", "Get"])

    def tear(self, gw, c, uid):
        """The disk is full in the middle of the line of a Get; returns the child that waits for room."""
        self.await_lines(1)
        child = self.child(gw)
        size = os.path.getsize(self.path) + 100
        _, hard = resource.prlimit(child, resource.RLIMIT_FSIZE)
        resource.prlimit(child, resource.RLIMIT_FSIZE, (size, hard))
        c.key(uid)
        kf.eventually(lambda: gw.metrics()["audit_failures_total"] == 1, "the full disk")
        self.assertEqual(os.path.getsize(self.path), size)
        return child

    def assert_one_torn(self, *events):
        """Every line but one, which is told by None, can be read."""
        def read():
            with open(self.path, encoding="utf-8") as f:
                lines = f.read().split("\n")
            found = []
            for line in lines[:-1]:
                try:
                    found.append(json.loads(line)["event"])
                except ValueError:
                    self.assertEqual(line.count('{"time":'), 1, line)
                    found.append(None)
            # commands of the test have lines, too
            return lines[-1] == "" and [e for e in found if e != "command"] == list(events)
        kf.eventually(read, "the lines %s" % (events,))

    def test_torn_line_and_another_gateway(self):
        """The torn line is lost, and no other is."""
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            child = self.tear(gw, c, uid)
        gw.kill()
        os.kill(child, signal.SIGKILL)
        gw.start()
        with gw.client() as c:
            c.key(uid)
            c.key(uid)
        self.assert_one_torn("request", None, "request", "request")

    def test_torn_line_and_another_child(self):
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            child = self.tear(gw, c, uid)
            os.kill(child, signal.SIGKILL)
            kf.eventually(lambda: self.child(gw) not in (None, child), "another child")
            c.key(uid)
            c.key(uid)
        self.assert_one_torn("request", None, "lines-lost", "request", "request")

    def test_torn_line_and_another_file(self):
        """There and back: the line is in the other file."""
        gw = self.audited()
        there, other = gw.options, self.path + ".other"
        with gw.client() as c:
            uid = c.create()
            child = self.tear(gw, c, uid)
            gw.options = there.replace(self.path, other)
            gw.configure()
            gw.ctl("reload")
            kf.eventually(lambda: os.path.getsize(other) > 0, "it goes on there")
            _, hard = resource.prlimit(child, resource.RLIMIT_FSIZE)
            resource.prlimit(child, resource.RLIMIT_FSIZE, (hard, hard))
            gw.options = there
            gw.configure()
            gw.ctl("reload")
            c.key(uid)
        self.assert_one_torn("request", None, "request")
        (line,) = self.lines(path=other, growing=True)
        self.assertEqual(line["operation"], "Get")

    def test_file_that_is_removed(self):
        """Nobody will read what is written there: it is as bad as a full disk, until a reload."""
        gw = self.audited(required=True)
        with gw.client() as c:
            uid = c.create()
            kf.eventually(lambda: gw.metrics()["audit_lines_total"] >= 1, "its line")
            os.unlink(self.path)
            kf.eventually(lambda: c.do(on("Get", uid)).status != ttlv.SUCCESS, "it is noticed")
            bad = [h for h in gw.control("health")[0] if h["check"] == "audit"][0]
            self.assertEqual(bad["state"], "bad")
            self.assertIn("the file was removed", bad["say"])
            gw.ctl("reload")
            kf.eventually(lambda: c.do(on("Get", uid)).status == ttlv.SUCCESS, "service again")
        kf.eventually(lambda: gw.metrics()["audit_queue_bytes"] == 0, "all is written")
        seen = [l["request"] for l in self.lines(growing=True)]
        self.assertEqual(seen, list(range(2, 2 + len(seen))))
        self.assertEqual(gw.metrics()["audit_lost_total"], 0)

    def test_disk_that_hangs(self):
        """The process that writes is stopped: everybody is served, and no line is missing."""
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            child = self.child(gw)
            os.kill(child, signal.SIGSTOP)
            try:
                for _ in range(1500):
                    c.state(uid)
                self.assertGreater(gw.metrics()["audit_queue_bytes"], 0)
                self.assertLess(len(self.lines(growing=True)), 1501)
            finally:
                os.kill(child, signal.SIGCONT)
        self.assertEqual(len(self.await_lines(1501)), 1501)

    def test_disk_that_hangs_and_required(self):
        """It says nothing, and few lines wait; yet nothing is done without its line for long."""
        gw = self.audited(required=True)
        with gw.client() as c:
            uid = c.create()
            self.await_lines(1)
            child = self.child(gw)
            os.kill(child, signal.SIGSTOP)
            try:
                kf.eventually(lambda: c.do(on("Get", uid)).status != ttlv.SUCCESS,
                              "the disk that hangs is noticed")
                bad = [h for h in gw.control("health")[0] if h["check"] == "audit"][0]
                self.assertEqual(bad["state"], "bad")
                self.assertIn("the disk is too slow", bad["say"])
            finally:
                os.kill(child, signal.SIGCONT)
            kf.eventually(lambda: c.do(on("Get", uid)).status == ttlv.SUCCESS, "service again")
        self.assertEqual(gw.metrics()["audit_lost_total"], 0)

    def test_client_that_leaves(self):
        """Before its answer: it has asked, so there is a line, and nothing was done."""
        gw = self.audited(required=True)
        with gw.client() as c:
            uid, other = c.create(), c.create()
        gw.stop()
        gw.start()  # nothing is in memory
        children = (gw.child_pid(), gw.reader_pid())
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        try:
            for items in ([on("Get", uid)], [on("Destroy", other)],
                          [item("DiscoverVersions", ubid=b"1"), on("Get", other, ubid=b"2"),
                           on("Get", uid, ubid=b"3")]):
                with gw.client() as c:
                    c.send(ttlv.request(c.version, *items))
                    kf.eventually(lambda: gw.metrics()["requests"] == 1, "the request")
                kf.eventually(lambda: gw.metrics()["requests"] == 0, "its end")
        finally:
            for pid in children:
                os.kill(pid, signal.SIGCONT)
        left = self.await_lines(6)[2:]
        self.assertEqual([(l["operation"], l["item"], l.get("uid"), l["result"], l["message"])
                          for l in left],
                         [(name, n, about, "Operation Failed", "cancelled") for name, n, about in (
                             ("Get", 1, uid), ("Destroy", 1, other), ("Discover Versions", 1, None),
                             ("Get", 2, other))])
        with gw.client() as c:
            self.assertEqual(len(c.key(uid)), 32)
            c.key(other)

    def test_client_that_leaves_its_line(self):
        """Its tenant's others had to go first."""
        gw = self.audited()
        gw.tenants[0].options = "tenant-request-rate-max = 1"
        gw.configure()
        gw.ctl("reload")
        with gw.client() as c:
            uid = c.create()
            c.send(ttlv.request(c.version, on("Destroy", uid)))
            kf.eventually(lambda: gw.metrics()["requests_held"] == 1, "its turn is later")
        (line,) = self.await_lines(1, "message-refused")
        self.assertEqual((line["tenant"], line["why"]), ("a", "cancelled"))
        with gw.client() as c:
            c.key(uid)

    def test_child_is_started_again(self):
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            self.await_lines(1)
            child = self.child(gw)
            os.kill(child, signal.SIGKILL)
            kf.eventually(lambda: self.child(gw) != child, "another child")
            c.key(uid)
        self.assertEqual([l["operation"] for l in self.await_lines(2)], ["Create", "Get"])

    def test_lines_of_a_killed_child_are_counted(self):
        """They are gone, and the file says how many before it goes on."""
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            kf.eventually(lambda: gw.metrics()["audit_lines_total"] >= 1, "its line")
            child = self.child(gw)
            os.kill(child, signal.SIGSTOP)
            for _ in range(3):
                c.key(uid)
            kf.eventually(lambda: gw.metrics()["audit_queue_bytes"] == 0, "it has them all")
            os.kill(child, signal.SIGKILL)
            kf.eventually(lambda: self.child(gw) not in (None, child), "another child")
            c.key(uid)
        self.await_lines(2)
        first, event, last = [l for l in read_lines(self.path, True) if l["event"] != "command"]
        self.assertEqual(event["event"], "lines-lost")
        self.assertGreaterEqual(event["count"], 3)  # commands have lines, too
        self.assertEqual(event["count"], gw.metrics()["audit_lost_total"])
        self.assertEqual(last["request"] - first["request"], 4)

    def test_daemon_is_killed(self):
        """What it had handed over is written; at most what one turn of its loop did is missing, where
        requests need their lines.  Elsewhere they may wait to go together."""
        gw = self.audited(required=True)
        with gw.client() as c:
            uid = c.create()
            os.kill(self.child(gw), signal.SIGSTOP)
            child = self.child(gw)
            for _ in range(20):
                c.state(uid)
            gw.kill()
            os.kill(child, signal.SIGCONT)
        self.assertIn(len(self.await_lines(20)), (20, 21))

    def test_stop_writes_all(self):
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            for _ in range(200):
                c.state(uid)
        self.assertEqual(gw.stop(), 0)
        self.assertEqual(len(self.await_lines(201)), 201)

    def test_stop_waits_for_a_slow_disk(self):
        """More lines wait than the socket to the child takes."""
        gw = self.audited()
        with gw.client() as c:
            uid = c.create()
            child = self.child(gw)
            os.kill(child, signal.SIGSTOP)
            for _ in range(1500):
                c.state(uid)
        gw.process.send_signal(signal.SIGTERM)
        gw.await_log("waiting until all is written")
        gw.process.send_signal(signal.SIGHUP)  # too late for a reload, and no harm
        os.kill(child, signal.SIGCONT)
        self.assertEqual(gw.process.wait(40), 0)
        kf.eventually(lambda: not os.path.exists("/proc/%d" % child), "the child's end")
        self.assertEqual(len(self.lines()), 1501)

    @kf.testing_only
    def test_second_signal_stops_waiting(self):
        gw = self.audited()
        child = self.child(gw)
        os.kill(child, signal.SIGSTOP)
        try:
            with gw.client() as c:
                c.create()
            kf.eventually(lambda: gw.metrics()["sessions"] == 0, "the session's end")
            gw.control("test freeze")  # so that nothing else ends the wait
            gw.process.send_signal(signal.SIGTERM)
            gw.await_log("waiting until all is written")
            self.assertEqual(gw.stop(), 0)
        finally:
            os.kill(child, signal.SIGCONT)

    def test_file_that_cannot_be_used(self):
        gw = self.audited()
        good = gw.options
        for path in ("/nowhere/audit", "/dev/null", gw.dir):
            gw.options = 'audit-file = "%s"' % path
            gw.configure()
            done = gw.ctl("reload", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("audit-file %s" % path, done.stderr)
        with gw.client() as c:
            c.create()
        self.assertEqual(len(self.await_lines(1)), 1)
        gw.options = good.replace("audit.jsonl", "other.jsonl")
        gw.configure()
        other = os.path.join(gw.dir, "other.jsonl")
        test = subprocess.run([kf.program("keyferryd"), "-t", "-c", gw.conf], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(test.returncode, 0, test.stdout)
        self.assertFalse(os.path.exists(other))  # a test makes nothing
        gw.ctl("reload")
        with gw.client() as c:
            c.create()
        kf.eventually(lambda: len(self.lines(path=other, growing=True)) == 1, "a line in the other file")
        self.assertEqual(len(self.lines()), 1)


if __name__ == "__main__":
    kf.main()
