# SPDX-License-Identifier: Apache-2.0
"""Changes of who is trusted: taken out again, in directories, refused, interrupted."""

import base64
import collections
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import tempfile
import time

import faults
import kf
import processes
import ttlv
import virtual
from certificate_authority import Ca
from test_trust import Case, files


class Changes(Case):
    def test_remove(self):
        client = kf.AUTHORITY.make("goes")
        gw = self.start()
        gw.ctl("trust", "add", "b", client.pem)
        sessions = [kf.Client(gw, client) for _ in range(3)]
        stays = gw.client(self.known())
        for c in sessions + [stays]:
            self.addCleanup(c.close)
            c.ok(ttlv.item("DiscoverVersions"))
        self.fails(gw, "trust", "remove", self.known().digest, say="known.pem: take it out there")
        self.fails(gw, "trust", "remove", client.digest[:40], say="whole SHA-256")
        answer = json.loads(gw.ctl("--json", "trust", "remove", client.digest).stdout)
        self.assertEqual(answer["sessions-closed"], 3)
        for c in sessions:
            self.assertTrue(c.is_closed())
        stays.ok(ttlv.item("DiscoverVersions"))
        self.assert_refused(gw, client)
        gw.stop()
        gw.start()
        self.assert_refused(gw, client)
        self.assert_trusted(gw, self.known())

    def test_what_was_closing_is_not_counted(self):
        client = kf.AUTHORITY.make("goes")
        gw = self.start()
        gw.ctl("trust", "add", "b", client.pem)
        sessions = [kf.Client(gw, client) for _ in range(3)]
        for c in sessions:
            self.addCleanup(c.close)
            c.ok(ttlv.item("DiscoverVersions"))
        virtual.Clock(gw)  # nothing lingers to its end
        first = min(s["id"] for s in gw.control("sessions")[0])
        gw.ctl("sessions", "close", str(first))
        self.assertEqual([s["state"] for s in gw.control("sessions")[0]],
                         ["closing", "idle", "idle"])
        answer = json.loads(gw.ctl("--json", "trust", "remove", client.digest).stdout)
        self.assertEqual(answer["sessions-closed"], 2)
        self.assertEqual(gw.control("sessions")[0], [])

    def test_remove_of_what_an_authority_vouches_for(self):
        """The answer says so, and what could only read does no more in the session that it has."""
        directory = tempfile.mkdtemp(prefix="keyferry-ca-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        ca = Ca(directory, "CA")
        middle = Ca(directory, "Middle", ca)
        gw = self.start(a='client-ca = %s\n  client-subject = "CN=vpxd*"' % files(ca.pem))

        def remove(client):
            done = json.loads(gw.ctl("--json", "trust", "remove", client.digest).stdout)
            return done["sessions-closed"], done.get("warning", "")
        for name, client in (("reads", ca.client("reads", "/CN=vpxd-1")),
                             ("deep", middle.client("deep", "/CN=vpxd-2", beside=middle))):
            with self.subTest(name=name):
                end = "-----END CERTIFICATE-----\n"
                alone = self.write(gw, "alone.pem", self.read(client.pem).split(end)[0] + end)
                gw.ctl("trust", "add", "--read-only", "a", alone)
                session = kf.Client(gw, client)
                self.addCleanup(session.close)
                self.assert_reason(session.do(ttlv.create()), "PermissionDenied")
                closed, warning = remove(client)
                self.assertEqual(closed, 1)
                self.assertRegex(warning, "still let in by client-ca of tenant a, with all rights")
                self.assertTrue(session.is_closed())
                with kf.Client(gw, client) as c:
                    c.create()
        away, all_rights = ca.client("away", "/CN=vpxd-3"), ca.client("all", "/CN=vpxd-4")
        gw.ctl("trust", "add", "--read-only", "a", away.pem)
        self.assertIn("client-ca of tenant a", gw.ctl("trust", "remove", away.digest).stdout)
        gw.ctl("trust", "add", "a", all_rights.pem)
        with kf.Client(gw, all_rights) as c:
            c.create()
            closed, warning = remove(all_rights)
            self.assertEqual(closed, 0)
            self.assertIn("client-ca of tenant a", warning)
            c.create()
        other = ca.client("other", "/CN=other")
        gw.ctl("trust", "add", "a", other.pem)
        self.assertEqual(remove(other), (0, ""))
        self.assert_refused(gw, other)
        for name, look, say in (("unread", False, "could not be looked"), ("shown", True, "^$")):
            with self.subTest(name=name), contextlib.ExitStack() as sessions:
                client = ca.client(name, "/CN=" + name)
                gw.ctl("trust", "add", "a", client.pem)
                if look:  # at what its session has shown
                    sessions.enter_context(kf.Client(gw, client)).ok(ttlv.item("DiscoverVersions"))
                self.write(gw, "state/trust/a/%s.pem" % client.digest, "what nobody can read")
                closed, warning = remove(client)
                self.assertEqual(closed, look)
                self.assertRegex(warning, say)

    @kf.testing_only
    def test_remove_without_memory(self):
        """The n-th allocation of the command fails: its answer says who lets the client in all the same,
        or that nobody could look."""
        directory = tempfile.mkdtemp(prefix="keyferry-ca-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        ca = Ca(directory, "CA")
        gw = self.start(a='client-ca = %s\n  client-subject = "CN=vpxd*"' % files(ca.pem), start=False)
        lacks = faults.Faults(os.path.join(gw.dir, "faults"))
        gw.start(env=lacks.env)
        client = ca.client("goes", "/CN=vpxd-1")
        said = collections.Counter()
        n = 1
        while not said["nothing lacked"]:
            gw.ctl("trust", "add", "--read-only", "a", client.pem)
            lacks.of("daemon").failed = 0
            lacks.arm("daemon", n)
            done = gw.ctl("--json", "trust", "remove", client.digest, check=False)
            lacks.disarm()
            if done.returncode == 0:
                found = re.search("client-ca of tenant a|could not be looked", done.stdout)
                self.assertTrue(found, (n, done))
                said[found[0] if lacks.of("daemon").failed else "nothing lacked"] += 1
            else:
                said["failed"] += 1
                gw.ctl("trust", "remove", client.digest, check=False)
            n += 1 if kf.LONG else 13
        self.assertGreater(said["could not be looked"], 0, said)

    def test_directory(self):
        """Files that come and go are taken over by a reload."""
        gw = self.start(start=False)
        clients = os.path.join(gw.dir, "clients.d")
        os.mkdir(clients)
        gw.tenants[1].options = "read-only-certificates = %s" % files(clients)
        gw.configure()
        gw.start()
        client = kf.AUTHORITY.make("in-directory")
        self.assert_refused(gw, client)
        path = self.write(gw, "clients.d/1.pem", self.read(client.pem))
        gw.ctl("reload")
        self.assert_trusted(gw, client)
        session = kf.Client(gw, client)
        self.addCleanup(session.close)
        os.unlink(path)
        mark = gw.mark()
        gw.ctl("reload")
        self.assertIn("sessions-closed=1", gw.await_log("reloaded", mark))
        self.assertTrue(session.is_closed())

    def test_a_second_claim(self):
        client = kf.AUTHORITY.make("claimed")
        gw = self.start()
        gw.ctl("trust", "add", "b", client.pem)
        gw.tenants[0].certificates.append(client)
        gw.configure()
        self.fails(gw, "reload", say="belongs to tenant \"a\" already")
        self.assertEqual(self.tenant_of(gw, client), "b")

    def test_read_only(self):
        reader = kf.AUTHORITY.make("reader")
        gw = self.start(a="read-only-certificates = %s" % files(reader.pem))
        with gw.client(self.known()) as c:
            uid = c.create(ttlv.attribute("x-Name", "vm"))
            c.ok(ttlv.on("Activate", uid))
            key = c.key(uid)
        r = kf.Client(gw, reader)
        self.addCleanup(r.close)
        self.assertEqual(r.key(uid), key)
        for item in (ttlv.get_attributes(uid, "State"), ttlv.on("GetAttributeList", uid),
                     ttlv.item("Locate"), ttlv.item("DiscoverVersions"),
                     ttlv.item("Query", ttlv.enum("QueryFunction", 1))):
            r.ok(item)
        for item in (ttlv.create(), ttlv.on("AddAttribute", uid, ttlv.attribute("x-a", "b")),
                     ttlv.on("ModifyAttribute", uid, ttlv.attribute("x-Name", "b")),
                     ttlv.on("DeleteAttribute", uid, ttlv.text("AttributeName", "x-Name")),
                     ttlv.on("Activate", uid), ttlv.revoke(uid), ttlv.on("Destroy", uid)):
            self.assert_reason(r.do(item), "PermissionDenied")
        self.assertEqual(r.state(uid), ttlv.ACTIVE)
        self.assertTrue([s for s in gw.control("sessions")[0] if s["read-only"]])
        # the right changes with a reload, also for sessions that are open
        gw.tenants[0].options = "read-only-certificates = {}"
        gw.tenants[0].certificates.append(reader)
        gw.configure()
        gw.ctl("reload")
        r.create()
        late = kf.AUTHORITY.make("late-reader")
        gw.ctl("trust", "add", "--read-only", "a", late.pem)
        self.assertEqual(self.listed(gw, late)["rights"], "read-only")
        gw.stop()
        gw.start()
        with kf.Client(gw, late) as c:
            self.assert_reason(c.do(ttlv.create()), "PermissionDenied")

    def test_broken_files_change_nothing(self):
        client = kf.AUTHORITY.make("kept")
        gw = self.start()
        gw.ctl("trust", "add", "b", client.pem)
        session = kf.Client(gw, client)
        self.addCleanup(session.close)
        path = os.path.join(gw.state_dir, "trust", "b", client.digest + ".pem")
        good = self.read(path)
        for broken in ("", "hello\n", good[:300]):
            with open(path, "w", encoding="ascii") as f:
                f.write(broken)
            self.fails(gw, "reload", say=client.digest)
            session.ok(ttlv.item("DiscoverVersions"))
            self.assert_trusted(gw, client)
        with open(path, "w", encoding="ascii") as f:
            f.write(good)
        self.write(gw, "state/trust/b/%s.pem.new" % client.digest, "half")  # of a dead attempt
        gw.ctl("reload")
        self.assert_trusted(gw, client)


class UnderWay(Case):
    """Changes that meet while the storage child is slow, and what is left on the disk."""

    def setUp(self):
        super().setUp()
        self.newcomer = kf.AUTHORITY.make("under-way")

    @contextlib.contextmanager
    def slow_disk(self, gw):
        child = gw.child_pid()
        os.kill(child, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(child, signal.SIGCONT)

    def begin(self, gw, *line):
        """Gives a command that is not answered yet."""
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.settimeout(20)
        s.connect(gw.socket_path)
        mark = gw.mark()
        s.sendall("\t".join(line).encode() + b"\n")
        gw.await_log('command="%s"' % line[0], mark)
        return s

    def begin_add(self, gw, tenant, certificate):
        der = base64.b64encode(certificate.der).decode()
        return self.begin(gw, "trust add", "=" + tenant, "der=" + der)

    @staticmethod
    def end(s):
        data = b""
        while b'"status"' not in data:
            data += s.recv(65536)
        return json.loads(data.splitlines()[-1])

    def on_disk(self, gw):
        return sorted(name for _, _, names in os.walk(os.path.join(gw.state_dir, "trust"))
                      for name in names)

    def test_one_at_a_time(self):
        """A second change of the same certificate leaves nothing that a reload would find."""
        gw, client = self.start(), self.newcomer
        with self.slow_disk(gw):
            first = self.begin_add(gw, "a", client)
            for line in (("add", "b", client.pem), ("add", "--read-only", "a", client.pem),
                         ("remove", client.digest)):
                self.fails(gw, "trust", *line, say="another command is changing")
            other = self.begin_add(gw, "a", kf.AUTHORITY.make("beside"))
        self.assertEqual(self.end(first)["status"], "ok")
        self.assertEqual(self.end(other)["status"], "ok")
        gw.ctl("reload")
        self.assertEqual(self.tenant_of(gw, client), "a")
        with self.slow_disk(gw):
            first = self.begin(gw, "trust remove", "=" + client.digest)
            self.fails(gw, "trust", "remove", client.digest, say="another command is changing")
        self.assertEqual(self.end(first)["status"], "ok")
        gw.ctl("reload")
        self.assert_refused(gw, client)

    def test_what_fails_is_taken_back(self):
        """A reload gives the certificate to another tenant, while a command adds it."""
        gw, client = self.start(), self.newcomer
        with self.slow_disk(gw):
            first = self.begin_add(gw, "a", client)
            gw.tenants[1].certificates.append(client)
            gw.configure()
            gw.ctl("reload")
        self.assertIn("meanwhile", self.end(first)["error"])
        self.assertEqual(self.on_disk(gw), [])
        gw.ctl("reload")
        gw.stop()
        gw.start()
        self.assertEqual(self.tenant_of(gw, client), "b")

    def test_the_storage_dies(self):
        """Whether the file is there nobody can know: the answer says so, and what to do."""
        gw, client = self.start(), self.newcomer
        mark, child = gw.mark(), gw.child_pid()
        os.kill(child, signal.SIGSTOP)
        first = self.begin_add(gw, "a", client)
        os.kill(child, signal.SIGKILL)
        self.assertIn("give trust remove", self.end(first)["error"])
        self.assertIn(client.digest, gw.await_log("could not be taken back", mark))
        kf.eventually(lambda: "no such certificate" in
                      gw.ctl("trust", "remove", client.digest, check=False).stderr,
                      "the next child's word that there is no file")
        gw.ctl("trust", "add", "b", client.pem)
        self.assertEqual(self.tenant_of(gw, client), "b")

    def test_removed_under_both_names(self):
        """One for all, one for reading: either would be trusted again by a reload."""
        gw, client = self.start(), self.newcomer
        gw.ctl("trust", "add", "a", client.pem)
        self.write(gw, "state/trust/a/%s.read-only.pem" % client.digest, self.read(client.pem))
        gw.ctl("reload")
        self.assertEqual(self.listed(gw, client)["rights"], "read-only")
        gw.ctl("trust", "remove", client.digest)
        self.assertEqual(self.on_disk(gw), [])
        self.assert_refused(gw, client)
        gw.ctl("reload")
        self.assert_refused(gw, client)

    def test_removed_though_something_is_in_the_way(self):
        """It is in use no more, whatever becomes of files; and the command says what did not become of one."""
        gw, client = self.start(), self.newcomer
        gw.ctl("trust", "add", "b", client.pem)
        session = kf.Client(gw, client)
        self.addCleanup(session.close)
        session.ok(ttlv.item("DiscoverVersions"))
        in_the_way = os.path.join(gw.state_dir, "trust", "old", client.digest + ".pem")
        os.makedirs(in_the_way)
        self.fails(gw, "trust", "remove", client.digest, say="not in use any more, but a file")
        self.assertEqual(self.on_disk(gw), [])
        self.assertTrue(session.is_closed())
        self.assert_refused(gw, client)
        shutil.rmtree(os.path.dirname(in_the_way))
        self.fails(gw, "trust", "remove", client.digest, say="no such certificate")

    def test_removed_before_it_counts(self):
        """A file that no reload has found yet."""
        gw, client = self.start(), self.newcomer
        os.makedirs(os.path.join(gw.state_dir, "trust", "b"), mode=0o700)
        self.write(gw, "state/trust/b/%s.pem" % client.digest, self.read(client.pem))
        gw.ctl("trust", "remove", client.digest)
        self.fails(gw, "trust", "remove", client.digest, say="no such certificate")
        gw.ctl("reload")
        self.assert_refused(gw, client)

    def test_removed_while_its_tenant_is_away(self):
        """A configuration that has the tenant again does not bring back what was removed meanwhile."""
        gw, client, stays = self.start(), self.newcomer, kf.AUTHORITY.make("stays")
        gw.ctl("trust", "add", "b", client.pem)
        gw.ctl("trust", "add", "b", stays.pem)
        self.write(gw, "state/trust/b/%s.read-only.pem" % client.digest, self.read(client.pem))
        self.write(gw, "state/trust/stray", "")
        os.symlink("nowhere", os.path.join(gw.state_dir, "trust", "leads-nowhere"))
        away = gw.tenants.pop()
        gw.configure()
        gw.ctl("reload")
        self.assert_refused(gw, client)
        gw.ctl("trust", "remove", client.digest)
        self.assertEqual(self.on_disk(gw), sorted(["leads-nowhere", "stray", stays.digest + ".pem"]))
        self.fails(gw, "trust", "remove", client.digest, say="no such certificate")
        gw.tenants.append(away)
        gw.configure()
        gw.ctl("reload")
        self.assert_refused(gw, client)
        self.assert_trusted(gw, stays)

    def test_no_more_rights_than_before(self):
        """Added, then restricted by the configuration, then taken out as `trust remove' says."""
        gw, client = self.start(), self.newcomer
        gw.ctl("trust", "add", "a", client.pem)
        gw.tenants[0].options = "read-only-certificates = %s" % files(client.pem)
        gw.configure()
        gw.ctl("reload")
        self.assertEqual(self.listed(gw, client)["rights"], "read-only")
        self.fails(gw, "trust", "remove", client.digest,
                   say="command had added is removed, but it is in .*pem: take it out there")
        self.assert_trusted(gw, client)
        gw.tenants[0].options = ""
        gw.configure()
        gw.ctl("reload")
        self.assert_refused(gw, client)

    def test_stopped_meanwhile(self):
        """The storage child answers when those whom it would concern are gone already."""
        gw, client = self.start(start=False), self.newcomer
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(os.path.join(gw.dir, "notify"))
        gw.start(env={"NOTIFY_SOCKET": manager.getsockname()})
        manager.settimeout(10)
        try:
            manager.recv(4096)
        except TimeoutError:
            self.skipTest("built without libsystemd")
        manager.setblocking(False)
        child = gw.child_pid()
        with self.slow_disk(gw):
            self.begin_add(gw, "a", client)
            gw.control("status")  # it has had a turn since, in which the child was told
            self.fill(manager)  # so that the daemon waits where it says that it stops
            mark = gw.mark()
            gw.process.send_signal(signal.SIGTERM)
            gw.await_log("stopping", mark)
        kf.eventually(lambda: self.on_disk(gw) and self.sleeps(child), "the child's answer")
        with contextlib.suppress(BlockingIOError):
            while True:
                manager.recv(4096)
        self.assertEqual(gw.stop(), 0)
        self.assertIn(client.digest, gw.await_log("stopped amid a change", mark))
        gw.start()
        self.assert_trusted(gw, client)  # it was on the disk

    @staticmethod
    def fill(manager):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    s.sendto(b"x", manager.getsockname())

    @staticmethod
    def sleeps(pid):
        """Several looks, as what is written to a disk sleeps as well, for a moment."""
        def state():
            time.sleep(0.01)
            return processes.state(pid)
        return all(state() == "S" for _ in range(20))


if __name__ == "__main__":
    kf.main()
