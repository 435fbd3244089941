# SPDX-License-Identifier: Apache-2.0
"""Starting, reloading, draining, stopping; keyferryd's and keyferryctl's command lines; and the
client that the quickstart shows."""

import glob
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

import kf
import processes
import ttlv
from certificate_authority import Ca
from ttlv import attribute, item, on


def run(*command, **kwargs):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False, **kwargs)


def without_ipc_lock(*command):
    """Root may lock as much as it likes, whatever its limit says."""
    return ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", *command
            ] if os.geteuid() == 0 else list(command)


class Reload(kf.Case):
    def two(self):
        a = kf.AUTHORITY
        return a.make("vcenter"), a.make("second")

    def hup(self, gw):
        at = gw.mark()
        gw.process.send_signal(signal.SIGHUP)
        return gw.await_log("reload", at)

    def by_signal(self, gw):
        self.assertRegex(self.hup(gw), "reloaded")

    def by_command(self, gw):
        gw.ctl("reload")

    def refused(self, gw, certificate):
        try:
            with gw.client(certificate) as c:
                c.ok(item("DiscoverVersions"))
        except (OSError, kf.Closed):
            return True
        return False

    def test_certificates_act_at_once(self):
        first, second = self.two()
        for how in (self.by_signal, self.by_command):
            with self.subTest(how=how.__name__):
                gw = self.gateway(tenants=[kf.Tenant("a", first)])
                self.assertTrue(self.refused(gw, second))
                with gw.client(first) as kept:
                    uid = kept.create()
                    gw.tenants[0].certificates = [first, second]
                    gw.configure()
                    how(gw)
                    added = gw.client(second)
                    self.assertEqual(added.key(uid), kept.key(uid))
                    gw.tenants[0].certificates = [first]
                    gw.configure()
                    how(gw)
                    self.assertTrue(added.is_closed(), "the session of a removed certificate")
                    added.close()
                    self.assertTrue(self.refused(gw, second))
                    kept.ok(on("Get", uid))
                gw.assert_idle()

    def test_certificate_moves_to_another_tenant(self):
        """Its sessions are closed: they would still see the old tenant's keys."""
        first, second = self.two()
        gw = self.gateway(tenants=[kf.Tenant("a", first, second), kf.Tenant("b", kf.AUTHORITY.make(
            "third"))])
        c = gw.client(second)
        uid = c.create()
        gw.tenants[0].certificates = [first]
        gw.tenants[1].certificates.append(second)
        gw.configure()
        self.by_command(gw)
        self.assertTrue(c.is_closed())
        c.close()
        with gw.client(second) as c:
            self.assert_reason(c.do(on("Get", uid)), "ItemNotFound")

    def test_broken_configuration_changes_nothing(self):
        gw = self.gateway()
        with open(gw.conf, encoding="utf-8") as f:
            good = f.read()
        missing = os.path.join(gw.dir, "missing.pem")
        pem = gw.tenants[0].certificates[0].pem
        broken = {
            "syntax": good + "tenant {",
            "unknown option": good + "listne = {}\n",
            "bad value": good + 'idle-timeout = "soon"\n',
            "missing client certificate": good.replace(pem, missing),
            "certificate is no certificate": good.replace(pem, gw.conf),
            "missing server key": good.replace(gw.servers[0].key, missing),
            "server key of another certificate": good.replace(gw.servers[0].key,
                                                              gw.servers[1].key),
            "missing root key": good.replace(
                gw.tenants[0].secret(gw.dir), missing),
            "two tenants with one certificate":
                good + gw.tenants[0].section(gw.dir).replace('"a"', '"b"', 2),
            "empty": "",
        }
        with gw.client() as c:
            uid = c.create()
            for name, text in broken.items():
                with self.subTest(broken=name):
                    with open(gw.conf, "w", encoding="utf-8") as f:
                        f.write(text)
                    self.assertRegex(self.hup(gw), "refused|nothing changed")
                    done = run(kf.program("keyferryctl"), "-s", gw.socket_path, "reload")
                    self.assertNotEqual(done.returncode, 0, done)
                    self.assertTrue(done.stderr.strip())
                    c.ok(on("Get", uid))
                    self.assert_fine(gw)
                    tested = run(kf.program("keyferryd"), "-t", "-c", gw.conf)
                    self.assertEqual(tested.returncode, 2, tested)
                    self.assertIn(os.path.basename(gw.conf), tested.stderr)
            with open(gw.conf, "w", encoding="utf-8") as f:
                f.write(good)
            self.by_signal(gw)
            c.ok(on("Get", uid))
        counted = gw.metrics()
        self.assertEqual(counted["reloads_failed_total"], 2 * len(broken))
        self.assertEqual(counted["reloads_total"], 1)

    def test_new_server_certificate(self):
        gw = self.gateway(servers=[kf.AUTHORITY.make("server-ec")])
        with gw.client() as before:
            before.ok(item("DiscoverVersions"))
            self.assertEqual(before.sock.getpeercert(True), kf.AUTHORITY.make("server-ec").der)
            gw.servers = [kf.AUTHORITY.make("server-rsa", "rsa")]
            gw.configure()
            self.by_command(gw)
            before.ok(item("DiscoverVersions"))
            with gw.client() as after:
                after.ok(item("DiscoverVersions"))
                self.assertEqual(after.sock.getpeercert(True),
                                 kf.AUTHORITY.make("server-rsa", "rsa").der)

    def test_reload_under_load(self):
        gw = self.gateway()
        stop = []

        def work(n):
            if n == 0:
                try:
                    for _ in range(20):
                        gw.ctl("reload")
                finally:
                    stop.append(1)
                return
            while not stop:
                with gw.client() as c:
                    c.key(c.create())
        kf.in_parallel(4, work)
        gw.assert_idle()

    def test_options_that_need_a_restart_are_named(self):
        gw = self.gateway()
        gw.options = 'secure-heap-size = "8MiB"'
        gw.configure()
        done = gw.ctl("reload")
        self.assertIn("secure-heap-size", done.stdout + gw.log())


class Stopping(kf.Case):
    def test_sigterm(self):
        gw = self.gateway()
        child = gw.child_pid()
        with gw.client() as c:
            c.create()
            self.assertEqual(gw.stop(), 0)
            self.assertTrue(c.is_closed())
        self.assertFalse(os.path.exists(gw.socket_path))
        with self.assertRaises(ProcessLookupError):
            os.kill(child, 0)

    def test_sigterm_lets_requests_end(self):
        """What came before the signal was acted upon is answered: all of it, also on sessions that were
        used before."""
        data = ttlv.request((1, 1), ttlv.create()).encode()
        for first in (True, False):
            with self.subTest(signal_first=first):
                gw = self.gateway()
                several = [gw.client() for _ in range(40)]
                for c in several[::2]:
                    c.ok(item("DiscoverVersions"))
                gw.process.send_signal(signal.SIGSTOP)
                if first:
                    gw.process.send_signal(signal.SIGTERM)
                for n, c in enumerate(several):
                    c.send(data * (1 + n % 3))
                kf.eventually(lambda: not any(c.on_its_way() for c in several), "arrives")
                if not first:
                    gw.process.send_signal(signal.SIGTERM)
                gw.process.send_signal(signal.SIGCONT)
                made = [c.receive().items[0].uid for n, c in enumerate(several) for _ in range(1 + n % 3)]
                for c in several:
                    self.assertTrue(c.is_closed())
                    c.close()
                self.assertEqual(gw._gone(30), 0)
                gw.start()
                with gw.client() as c:
                    for uid in made:
                        c.key(uid)
                    found = c.ok(item("Locate")).all("UniqueIdentifier")
                    self.assertEqual(len(found), len(made))

    def test_no_new_sessions_while_draining(self):
        gw = self.gateway(options='drain-timeout = "3s"')
        half = gw.client()
        half.send(ttlv.request((1, 1), ttlv.create()).encode()[:100])
        time.sleep(0.1)
        at = gw.mark()
        gw.process.send_signal(signal.SIGTERM)
        gw.await_log("stopping", at)
        with self.assertRaises((OSError, kf.Closed)):
            with gw.client(timeout=1) as c:
                c.ok(item("DiscoverVersions"))
        start = time.monotonic()
        self.assertEqual(gw._gone(20), 0)
        self.assertLess(time.monotonic() - start, 10)
        half.close()

    def test_drain_command(self):
        gw = self.gateway()
        gw.ctl("drain")
        self.assertEqual(gw._gone(20), 0)

    def test_sigint(self):
        gw = self.gateway()
        gw.process.send_signal(signal.SIGINT)
        self.assertEqual(gw._gone(20), 0)

    def test_sigterm_while_a_start_fails(self):
        """From the first moment to the last: what a stop would turn to is gone by then."""
        gw = self.gateway(start=False)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            gw.listen = "127.0.0.1:%d" % taken.getsockname()[1]
            gw.configure()
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited, until it is watched
            try:
                with open(gw.log_path, "ab") as log:
                    gw.process = subprocess.Popen(gw.command(), stdin=subprocess.DEVNULL, stdout=log,
                                                  stderr=log)
            finally:
                signal.signal(signal.SIGTERM, before)
            while gw.process.poll() is None:
                gw.process.send_signal(signal.SIGTERM)
        self.assertEqual(gw._gone(10), 1)
        self.assertIn("cannot listen", gw.log())

    def test_background(self):
        """Without -f the command returns once it listens, and the daemon stays."""
        gw = self.gateway(start=False)
        with open(gw.log_path, "ab") as log:
            done = subprocess.run([kf.program("keyferryd"), "-c", gw.conf], stdout=log, stderr=log,
                                  env={k: v for k, v in os.environ.items()
                                       if k != "NOTIFY_SOCKET"}, timeout=60, check=False)
        self.assertEqual(done.returncode, 0)
        status = gw.control("status")[0]
        self.assertGreater(status["pid"], 1)
        gw.port = int(re.search(r":(\d+)$", status["listening"][0]).group(1))
        self.assert_fine(gw)
        os.kill(status["pid"], signal.SIGTERM)
        kf.eventually(lambda: not os.path.exists(gw.socket_path), "the daemon ends")

    def test_stale_control_socket(self):
        gw = self.gateway()
        gw.kill()
        self.assertTrue(os.path.exists(gw.socket_path))
        gw.start()
        self.assertEqual(gw.control("status")[0]["pid"], gw.process.pid)


class CommandLine(kf.Case):
    def daemon(self, *args, **kwargs):
        return run(kf.program("keyferryd"), *args, **kwargs)

    def test_exit_statuses(self):
        gw = self.gateway(start=False)
        for args, status in ((("-V",), 0), (("-h",), 0), (("-t", "-c", gw.conf), 0),
                             (("-t", "-c", "/nonexistent"), 2), (("-c", "/nonexistent"), 2),
                             (("--no-such-flag",), 2), (("word",), 2)):
            with self.subTest(args=args):
                done = self.daemon(*args)
                self.assertEqual(done.returncode, status, done)
                self.assertTrue((done.stdout if status == 0 else done.stderr).strip())

    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            gw = self.gateway(start=False)
            gw.listen = "127.0.0.1:%d" % s.getsockname()[1]
            gw.configure()
            done = self.daemon("-f", "-c", gw.conf)
            self.assertEqual(done.returncode, 1)
            self.assertIn(gw.listen, done.stderr)

    def test_errors_name_file_line_and_option(self):
        gw = self.gateway(start=False)
        with open(gw.conf, encoding="utf-8") as f:
            lines = f.read().splitlines()
        lines.insert(2, 'handshake-timeout = "10 parsecs"')
        with open(gw.conf, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        done = self.daemon("-t", "-c", gw.conf)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, re.escape(gw.conf) + ":[0-9]+: .*handshake-timeout")

    def test_key_files_open_to_others_are_refused(self):
        gw = self.gateway(start=False)
        for path in (gw.tenants[0].secret(gw.dir), gw.servers[0].key):
            os.chmod(path, 0o644)
            done = self.daemon("-t", "-c", gw.conf)
            os.chmod(path, 0o600)
            self.assertEqual(done.returncode, 2, path)
            self.assertIn(path, done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "gives files to other users, which root may")
    def test_root_asks_about_files_of_the_daemons_user(self):
        gw, daemon, other = self.gateway(start=False), 65533, 65532
        clients = os.path.join(gw.dir, "clients")
        os.mkdir(clients, 0o755)
        pem = shutil.copy(kf.AUTHORITY.make("vcenter").pem, os.path.join(clients, "1.pem"))
        os.chmod(pem, 0o644)
        gw.tenants[0].options = 'read-only-certificates = "%s"' % clients
        gw.tenants[0].certificates = []
        gw.configure()
        os.makedirs(gw.state_dir, exist_ok=True)
        owned = (gw.conf, gw.state_dir, clients, pem)
        for path in owned:
            os.chown(path, daemon, daemon)
        done = self.daemon("-t", "-c", gw.conf)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("no daemon answers", gw.ctl("status", check=False).stderr)
        refused = self.daemon("-f", "-c", gw.conf)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("belongs to another user", refused.stderr)
        for path in (gw.conf, clients, pem):
            os.chown(path, other, other)
            done = self.daemon("-t", "-c", gw.conf)
            os.chown(path, daemon, daemon)
            self.assertEqual(done.returncode, 2, path)
            self.assertRegex(done.stderr, os.path.basename(path) + ".*belongs to another")

    def test_memory_that_cannot_be_locked(self):
        gw = self.gateway(start=False)
        limit = without_ipc_lock("prlimit", "--memlock=0:0")
        refused = run(*limit, kf.program("keyferryd"), "-f", "-c", gw.conf)
        self.assertEqual(refused.returncode, 1, refused)
        self.assertRegex(refused.stderr, "memlock|MEMLOCK")

    def test_no_core_dumps(self):
        gw = self.gateway()
        with open("/proc/%d/limits" % gw.process.pid, encoding="ascii") as f:
            self.assertRegex(f.read(), r"Max core file size +0 +0 ")

    @staticmethod
    def locked(pid):
        return int(processes.status(pid)["VmLck"].split()[0])

    def test_locks_what_it_says_and_no_more(self):
        """secure-heap-size, whatever is done with keys, and with RLIMIT_MEMLOCK at just that."""
        for kib in (64, 1024, 4096):
            with self.subTest(kib=kib):
                gw = self.gateway(start=False, options='secure-heap-size = "%dKiB"' % kib)
                gw.limit = without_ipc_lock("prlimit", "--memlock=%d:%d" % (kib << 10, kib << 10))
                gw.start()
                with gw.client() as c:
                    for _ in range(20):
                        c.key(c.create())
                gw.ctl("reload")
                self.assertEqual(self.locked(gw.process.pid), kib)
                self.assertEqual(self.locked(gw.child_pid()), 0)

    def test_files_are_private(self):
        gw = self.gateway()
        with gw.client() as c:
            c.create()
        self.assertEqual(stat.S_IMODE(os.stat(gw.socket_path).st_mode), 0o600)
        gw.ctl("trust", "add", "a", kf.AUTHORITY.make("private").pem)
        found = [os.path.join(at, name) for at, directories, files in os.walk(gw.state_dir)
                 for name in directories + files]
        self.assertTrue(any(path.endswith(".pem") for path in found), found)
        self.assertIn(os.path.join(gw.state_dir, "ledger.db-wal"), found)
        for path in found:
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0, path)


class Files(kf.Case):
    """Every file that the daemon opens, as it must not be: the start is refused, and the sentence names
    the file, what is wrong with it, and the command that mends it."""

    OTHER = 65532  # another user

    def everything(self):
        """A gateway that has been up, and {what: (path, may be a link, is closed to others)}."""
        gw = self.gateway(start=False)
        at = lambda name: os.path.join(gw.dir, name)
        for name in ("tls", "clients", "keys", "audit"):
            os.mkdir(at(name), 0o700)
        shm = tempfile.mkdtemp(dir="/dev/shm", prefix="keyferry-files-")
        self.addCleanup(shutil.rmtree, shm)
        paths = {"ticket key": os.path.join(shm, "ticket.key"), "api key": at("keys/api"),
                 "certificate": at("tls/server.pem"), "private key": at("tls/server.key"),
                 "client": at("clients/vc.pem"), "root key": at("keys/a.root")}
        ca = Ca(gw.dir, "CA")
        crl = ca.crl("1.crl")
        server = gw.servers[0]
        for what, source in (("certificate", server.pem), ("private key", server.key),
                             ("client", kf.AUTHORITY.make("vcenter").pem)):
            shutil.copy(source, paths[what])
        for what, text in (("ticket key", "0f" * 32), ("api key", "k" * 40),
                           ("root key", "1 " + "5a" * 32)):
            with open(os.open(paths[what], os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(text + "\n")
        gw.servers = [kf.Certificate(paths["certificate"], paths["private key"])]
        gw.tenants = [kf.Tenant(
            "a", options='read-only-certificates = "%s"\n  client-ca = {"%s"}\n'
            '  client-subject = "CN=x"\n  crl-file = {"%s"}' % (at("clients"), ca.pem, crl),
            vault='vault local { root-key-file = "%s" }' % paths["root key"])]
        gw.options = 'audit-file = "%s"' % at("audit/lines")
        gw.configure()
        with open(gw.conf, encoding="utf-8") as f:
            text = f.read().replace("tls {", 'tls {\n  resumption = true\n  ticket-key-file = "%s"'
                                    % paths["ticket key"])
        with open(gw.conf, "w", encoding="utf-8") as f:
            f.write(text)
        gw.start()
        gw.ctl("trust", "add", "a", kf.AUTHORITY.make("trusted").pem)
        self.assertEqual(gw.stop(), 0)
        files = {what: (path, True, what.endswith(" key")) for what, path in paths.items()
                 if what != "api key"}
        trusted, = glob.glob(os.path.join(gw.state_dir, "trust", "*", "*.pem"))
        files.update({"configuration": (gw.conf, True, False), "authority": (ca.pem, True, False),
                      "revocation list": (crl, True, False), "audit": (at("audit/lines"), False, False),
                      "lock": (os.path.join(gw.state_dir, "lock"), False, False),
                      "trusted by command": (trusted, False, False)})
        for name in ("ledger", "vault"):
            for end in ("", "-wal", "-shm", "-journal"):
                files[name + end] = (os.path.join(gw.state_dir, name + ".db" + end), False, False)
        return gw, files

    @staticmethod
    def need(path):
        """SQLite removes the files beside its own when it opens or closes that."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))

    def refused(self, gw, path, pattern):
        done = run(kf.program("keyferryd"), "-f", "-c", gw.conf)
        self.assertIn(done.returncode, (1, 2), done)
        self.assertIn(path, done.stderr)
        self.assertRegex(done.stderr, pattern)

    @staticmethod
    def some(all_of_them):
        """The long tests take them all."""
        return all_of_them if kf.LONG else kf.random_for("files").sample(all_of_them, 8)

    @staticmethod
    def directories(files):
        found = {os.path.dirname(path) for path, _, _ in files.values()}
        return sorted(found)

    def test_modes(self):
        gw, files = self.everything()
        for what in self.some(sorted(files)):
            path, _, closed = files[what]
            with self.subTest(file=what):
                self.need(path)
                mode = stat.S_IMODE(os.stat(path).st_mode)
                os.chmod(path, 0o640 if closed else 0o666)
                self.refused(gw, path, r"\(mode 06[46][06]\): chmod (0600|go-w) /")
                os.chmod(path, mode)
        for directory in self.directories(files):
            with self.subTest(directory=directory):
                mode = stat.S_IMODE(os.stat(directory).st_mode)
                os.chmod(directory, 0o777)
                self.refused(gw, directory, r"\(mode 0777\): chmod (0700|go-w) /")
                os.chmod(directory, mode)
        gw.start()

    @unittest.skipIf(os.geteuid() != 0, "only root may give files away")
    def test_owners(self):
        gw, files = self.everything()
        paths = sorted([f[0] for f in files.values()] + self.directories(files))
        for path in self.some(paths):
            with self.subTest(path=path):
                if not os.path.isdir(path):
                    self.need(path)
                os.chown(path, self.OTHER, self.OTHER)
                self.refused(gw, path, r"belongs to another user \(65532\).*: chown 0 /")
                os.chown(path, 0, 0)
        gw.start()

    def test_links(self):
        """As letsencrypt and Kubernetes have them; not where they make no sense."""
        gw, files = self.everything()
        away = os.path.join(gw.dir, "away")
        os.mkdir(away, 0o700)
        del files["ticket key"]  # not on a disk: away is on one
        for what, (path, link, _) in files.items():
            with self.subTest(file=what):
                target = os.path.join(away, os.path.basename(path))
                self.need(path)
                shutil.move(path, target)
                os.symlink(target, path)
                if link:
                    continue
                self.refused(gw, os.path.basename(path), "is a symbolic link")
                os.unlink(path)
                shutil.move(target, path)
        gw.start()
        gw.stop()
        os.chmod(away, 0o770)
        self.refused(gw, away, r"lies in .*\(mode 0770\): chmod go-w /")

    def test_socket(self):
        """Where others can put one in its place, nobody knows who answers."""
        gw = self.gateway(start=False)
        place = os.path.join(gw.dir, "run")
        os.mkdir(place)
        gw.socket_path = os.path.join(place, "sock")
        gw.configure()
        for mode in (0o777, 0o775):
            os.chmod(place, mode)
            self.refused(gw, place, r"sock: lies in .* \(mode 077[57]\): chmod go-w /")
        os.chmod(place, 0o1777)  # as /tmp is
        gw.start()

    def test_key_of_a_key_manager(self):
        gw, files = self.everything()
        api = os.path.join(gw.dir, "keys", "api")
        gw.tenants[0].vault = ('vault keyprotect {\n  instance = "%s"\n  root-key = "%s"\n'
                               '  api-key-file = "%s"\n  url = "https://localhost"\n}' % (
                                   "0f2e4d6c-0000-4000-8000-000000000001",
                                   "0f2e4d6c-0000-4000-8000-000000000002", api))
        gw.configure()
        test = lambda: run(kf.program("keyferryd"), "-t", "-c", gw.conf)
        self.assertEqual(test().returncode, 0, test())
        with open(gw.conf, encoding="utf-8") as f:
            text = f.read()
        authorities = os.path.join(gw.dir, "authorities.pem")
        shutil.copy(files["authority"][0], authorities)
        with open(gw.conf, "w", encoding="utf-8") as f:
            f.write(text.replace("api-key-file", 'ca-file = "%s"\n  api-key-file' % authorities))
        os.chmod(authorities, 0o664)
        self.assertIn("chmod go-w " + authorities, test().stderr)
        os.chmod(authorities, 0o644)
        self.assertEqual(test().returncode, 0, test())
        os.chmod(api, 0o440)
        self.assertRegex(test().stderr, r"is open to group or others \(mode 0440\): chmod 0600 ")
        os.chmod(api, 0o400)
        if os.geteuid() == 0:
            os.chown(api, self.OTHER, self.OTHER)
            self.assertRegex(test().stderr, r"belongs to another user \(65532\)")
            os.chown(api, 0, 0)
        token = os.path.join(gw.dir, "keys", "token")
        self.need(token)
        with open(token, "w", encoding="ascii") as f:
            f.write("token\n")
        with open(gw.conf, "w", encoding="utf-8") as f:
            f.write(text.replace('api-key-file = "%s"' % api,
                                 'profile-name = "p"\n  token-file = "%s"' % token))
        for mode, good in ((0o644, True), (0o664, False), (0o646, False), (0o600, True)):
            os.chmod(token, mode)  # the platform's: others may read it
            self.assertEqual(test().returncode == 0, good, test())
            if not good:
                self.assertRegex(test().stderr, r"\(mode 0%o\): chmod go-w %s" % (mode, token))
        if os.geteuid() == 0:
            os.chown(token, self.OTHER, self.OTHER)
            self.assertRegex(test().stderr, r"belongs to another user \(65532\)")


class Control(kf.TwoTenants):
    def test_status(self):
        status = self.json("status")
        self.assertEqual(status["pid"], self.gw.process.pid)
        self.assertEqual(status["listening"], ["127.0.0.1:%d" % self.gw.port])
        self.assertTrue(status["secure-heap-locked"])
        self.assertEqual(status["tenants"], 2)
        text = self.gw.ctl("status").stdout
        self.assertIn(str(self.gw.port), text)
        self.assertNotIn("{", text)

    def test_sessions(self):
        c = self.client()
        c.create()
        mine = [s for s in self.json("sessions") if s["tenant"] == "a"]
        self.assertEqual(len(mine), 1)
        self.assertEqual(mine[0]["certificate"], kf.AUTHORITY.make("vcenter").digest)
        self.assertEqual(mine[0]["last-operation"], "Create")
        self.assertEqual(mine[0]["requests"], 1)
        self.assertIn("127.0.0.1:%d" % c.sock.getsockname()[1], self.gw.ctl("sessions").stdout)

    def test_keys(self):
        c = self.client()
        uid = c.create(attribute("x-Name", "vm \"17\" \u00e9"))
        c.ok(on("Activate", uid))
        key = c.key(uid)
        shown = self.json("keys", "show", uid)
        self.assertEqual((shown["uid"], shown["tenant"], shown["state"], shown["algorithm"],
                          shown["length"]), (uid, "a", "Active", "AES", 256))
        self.assertIn({"name": "x-Name", "index": 0, "value": "vm \"17\" \u00e9"},
                      shown["attributes"])
        everything = self.gw.ctl("keys", "show", uid).stdout + json.dumps(shown)
        self.assertIn(uid, everything)
        self.assertNotIn(key.hex(), everything.lower())
        listed = self.json("keys", "list", "--name", "vm \"17\" \u00e9")
        self.assertEqual([k["uid"] for k in listed], [uid])
        self.assertEqual(self.json("keys", "list", "--tenant", "b"), [])
        self.assertIn(uid, [k["uid"] for k in self.json("keys", "list", "--state", "Active")])
        self.assertNotIn(uid, [k["uid"] for k in self.json("keys", "list", "--state",
                                                           "Deactivated")])
        uids = [c.create() for _ in range(5)][::-1]
        self.assertEqual([k["uid"] for k in self.json("keys", "list", "--max", "5")], uids)
        self.assertEqual([k["uid"] for k in self.json("keys", "list", "--max", "2", "--offset",
                                                      "2")], uids[2:4])

    def test_errors(self):
        for args in (("keys", "show", "nobody"), ("keys", "list", "--tenant", "nobody"),
                     ("keys", "list", "--state", "Broken"), ("no-such-command",),
                     ("keys", "list", "--no-such-option"), ("log-level", "loud")):
            with self.subTest(args=args):
                done = self.gw.ctl(*args, check=False)
                self.assertGreater(done.returncode, 0)
                self.assertTrue(done.stderr.strip())
                self.assertNotIn("Sanitizer", done.stderr)

    def test_no_daemon(self):
        done = run(kf.program("keyferryctl"), "-s", "/nonexistent/socket", "status")
        self.assertGreater(done.returncode, 0)
        self.assertIn("/nonexistent/socket", done.stderr)

    def test_log_level(self):
        self.gw.ctl("log-level", "debug")
        at = self.gw.mark()
        self.client().ok(item("DiscoverVersions"))
        self.gw.await_log(r" debug ", at)
        self.assertEqual(self.json("log-level")["log-level"], "debug")
        self.gw.ctl("log-level", "info")

    def test_health_and_tenants(self):
        self.assertEqual([t["id"] for t in self.json("tenants")], ["a", "b"])
        def is_well():
            health = {h["check"]: h for h in self.json("health")}
            self.assertIn(health.pop("backup")["state"], ("good", "warning"))
            return all(h["state"] == "good" for h in health.values())
        kf.eventually(is_well, "the key manager was asked, and all is good")

    def test_make_root_key(self):
        path = os.path.join(self.gw.dir, "fresh.root")
        run(kf.program("keyferryctl"), "make-root-key", path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="ascii") as f:
            content = f.read()
        self.assertRegex(content, r"^1 [0-9a-f]{64}\n$")
        again = run(kf.program("keyferryctl"), "make-root-key", path)
        self.assertNotEqual(again.returncode, 0)
        with open(path, encoding="ascii") as f:
            self.assertEqual(f.read(), content)

    def test_socket_survives_bad_clients(self):
        for data in (b"\n", b"\0\n", b"a" * 10000 + b"\n", b"status", b"keys show\t\t\t\n",
                     b"status\n" * 50, b"\xff\xfe\n", b"keys list\tmax=-1\n", b"\t\n"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(self.gw.socket_path)
                with kf.contextlib.suppress(OSError):
                    s.sendall(data)
                    s.recv(65536)
        self.json("status")


class VCenterProgram(kf.Case):
    """keyferry-vcenter, which the quickstart runs."""

    def command(self, gw, *more):
        mine = gw.tenants[0].certificates[0]
        line = [kf.program("keyferry-vcenter"), "--server", "127.0.0.1:%d" % gw.port,
                "--certificate", mine.pem, "--key", mine.key,
                "--state", os.path.join(gw.dir, "vcenter.state")]
        for s in gw.servers:
            line += ["--server-certificate", s.pem]
        return run(*line, *more)

    def test_conversation_and_verify(self):
        gw = self.gateway()
        done = self.command(gw)
        self.assertEqual(done.returncode, 0, done)
        for size in (" 104 bytes", " 120 bytes", " 136 bytes", " 312 bytes"):
            self.assertIn(size, done.stdout)
        gw.kill()
        gw.start()
        done = self.command(gw, "--verify")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("same key", done.stdout)
        with open(os.path.join(gw.dir, "vcenter.state"), encoding="ascii") as f:
            uid = f.read().split()[0]
        with gw.client() as c:
            self.assertNotIn(c.key(uid).hex(), done.stdout)
        with open(os.path.join(gw.dir, "vcenter.state"), "w", encoding="ascii") as f:
            f.write(uid + " 00000000\n")
        done = self.command(gw, "--verify")
        self.assertEqual(done.returncode, 1)
        self.assertIn("another key", done.stderr)

    def test_it_notices_another_server(self):
        gw = self.gateway()
        gw.servers = [kf.AUTHORITY.make("unknown")]
        done = self.command(gw)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not the one that is trusted", done.stderr)


if __name__ == "__main__":
    kf.main()
