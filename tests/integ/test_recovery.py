# SPDX-License-Identifier: Apache-2.0
"""The whole disaster: state directory and root keys are lost; a backup, and root keys that were
exported elsewhere, bring every key back byte for byte."""

import json
import os
import shutil
import signal
import stat

import kf
import scrape
import ttlv
from test_crash import Load, storage
from ttlv import DESTROYED, get_attributes, on

KEYS = 20
PASSPHRASE = "seven words that nobody will ever guess"


class Recovery(kf.Case):
    def file(self, gw, name, content="", mode=0o600):
        path = os.path.join(gw.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, mode), "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), mode)
            f.write(content)
        return path

    def two_tenants(self, **kwargs):
        make = kf.AUTHORITY.make
        return self.gateway(tenants=[kf.Tenant("a", make("vcenter")),
                                     kf.Tenant("b", make("second"))], **kwargs)

    def make_keys(self, gw, tenant, count=KEYS):
        with gw.client(gw.tenants[tenant].certificates[0]) as c:
            uids = [c.create() for _ in range(count)]
            return {uid: c.key(uid) for uid in uids}

    def assert_keys(self, gw, tenant, keys):
        with gw.client(gw.tenants[tenant].certificates[0]) as c:
            self.assertEqual({uid: c.key(uid) for uid in keys}, keys)

    def backup(self, gw, name="backup"):
        path = os.path.join(gw.dir, name)
        os.mkdir(path, 0o700)
        gw.ctl("backup", path)
        return path

    def root(self, gw, tenant):
        return os.path.join(gw.dir, gw.tenants[tenant].name + ".root")

    def health(self, gw):
        return {h["check"]: h for h in json.loads(gw.ctl("--json", "health").stdout)}["backup"]

    def destroy(self, gw):
        """What a dead disk leaves: nothing."""
        shutil.rmtree(gw.state_dir)
        for n in range(len(gw.tenants)):
            os.unlink(self.root(gw, n))

    def test_whole_disaster(self):
        gw = self.two_tenants()
        holder = kf.AUTHORITY.make("recovery", "rsa")
        self.assertEqual(self.health(gw)["state"], "good")
        kept = [self.make_keys(gw, 0), self.make_keys(gw, 1)]
        self.assertEqual(self.health(gw)["state"], "warning")
        load = Load(gw, kf.random_for("recovery").randrange(1 << 30)).start()
        kf.eventually(lambda: load.count() >= 20, "load", 30)
        with load.lock:
            before = list(load.keys)
        copy = self.backup(gw)
        passphrase = self.file(gw, "passphrase", PASSPHRASE + "\n")
        exported = [os.path.join(gw.dir, n) for n in ("a.pem", "b.pem")]
        gw.ctl("export-root-key", self.root(gw, 0), exported[0], "--passphrase-file", passphrase)
        gw.ctl("export-root-key", self.root(gw, 1), exported[1], "--certificate", holder.pem)
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertEqual(gw.stop(), 0)

        self.destroy(gw)
        gw.ctl("import-root-key", exported[0], self.root(gw, 0), "--passphrase-file", passphrase)
        gw.ctl("import-root-key", exported[1], self.root(gw, 1), "--private-key", holder.key)
        for n in range(2):
            self.assertEqual(stat.S_IMODE(os.stat(self.root(gw, n)).st_mode), 0o600)
        counts = json.loads(gw.ctl("--json", "restore", copy).stdout)
        self.assertEqual(counts["verified"] + counts["destroyed"], counts["objects"])
        self.assertGreaterEqual(counts["objects"], 2 * KEYS + len(before))

        gw.start()
        self.assertEqual(self.health(gw)["state"], "good")
        self.assertRegex(self.health(gw)["say"], r"the last backup, of 2\d{3}-\d\d-\d\dT.*: 0$")
        for n in range(2):
            self.assert_keys(gw, n, kept[n])
        with gw.client() as c:
            for key in before:
                found = ttlv.Result(c.call(get_attributes(key.uid, "State")).items[0].node)
                self.assertEqual(found.status, ttlv.SUCCESS, key.uid)
                if found.attributes()["State"][0] != DESTROYED and key.material:
                    self.assertEqual(c.key(key.uid), key.material)
        self.make_keys(gw, 0, 1)
        self.assertRegex(self.health(gw)["say"], r": 1$")

    def test_a_ledger_that_is_lost(self):
        """Nothing is served in its place, until it is there again or nothing is."""
        gw = self.two_tenants()
        made = "notice store: there was no ledger: a new one was made, without keys"
        self.assertIn(made, gw.log())
        kept = self.make_keys(gw, 0)
        self.assertEqual(gw.stop(), 0)
        ledger, aside = os.path.join(gw.state_dir, "ledger.db"), os.path.join(gw.dir, "aside")
        os.rename(ledger, aside)
        mark = gw.mark()
        with self.assertRaisesRegex(AssertionError, "did not start .status 1."):
            gw.start()
        self.assertIn("its file ledger.db is missing or empty, but vault.db tells of keys", gw.log(mark))
        os.replace(aside, ledger)
        mark = gw.mark()
        gw.start()
        self.assert_keys(gw, 0, kept)
        self.assertNotIn(made, gw.log(mark))

    def test_a_ledger_that_is_lost_at_work(self):
        """No child begins without it, and who looks is told what to do."""
        gw = self.two_tenants()
        kept = self.make_keys(gw, 0)
        ledger, aside = os.path.join(gw.state_dir, "ledger.db"), os.path.join(gw.dir, "aside")
        os.rename(ledger, aside)
        mark = gw.mark()
        os.kill(gw.child_pid(), signal.SIGKILL)
        lost = "its file ledger.db is missing or empty, but"
        gw.await_log('warn store: refused error=CORRUPT why="' + lost, mark)
        self.assertEqual(storage(gw)["state"], "bad")
        self.assertIn("a storage child is not running: " + lost, storage(gw)["say"])
        os.replace(aside, ledger)
        kf.eventually(lambda: storage(gw)["state"] == "good", "storage", 60)
        self.assert_keys(gw, 0, kept)

    def assert_refuses(self, gw):
        """Whatever would be lost with the gateway; it is told where an operator looks."""
        moved = "the storage's files were removed, moved or unmounted"
        with gw.client() as c:
            answer = c.do(ttlv.create())
        self.assertEqual((answer.reason_name, answer.message), ("GeneralFailure", moved))
        made = [os.path.join(gw.dir, name) for name in ("made.pem", "made.key")]
        done = gw.ctl("trust", "make", "--ec", "b", *made, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, "keyferryctl: %s\n" % moved))
        self.assertFalse(any(map(os.path.exists, made)))  # they are of no use
        csr = os.path.join(gw.dir, "asks.csr")
        kf.openssl("req", "-new", "-key", gw.tenants[0].certificates[0].key, "-subj", "/CN=asks", "-out", csr)
        done = gw.ctl("trust", "sign", "b", csr, made[0], check=False)
        self.assertIn("%s: it has no ledger" % gw.state_dir, done.stderr)
        self.assertEqual(storage(gw)["state"], "bad")
        self.assertIn(moved + "; changes are refused since ", storage(gw)["say"])
        self.assertEqual(scrape.metrics(gw).of("store_failing"), 1)
        self.assertEqual(scrape.get(gw, "/ready")[0], 200)
        done = gw.ctl("reload", check=False)
        self.assertIn("%s: %s" % (gw.state_dir, moved), done.stderr)
        self.assertEqual(os.listdir(gw.state_dir), [])

    def test_files_moved_at_work(self):
        """Keys are served and backed up from what is open, none is made, and nothing takes their place."""
        gw = self.two_tenants()
        kept, writer = self.make_keys(gw, 0), gw.child_pid()
        aside, mark = os.path.join(gw.dir, "aside"), gw.mark()
        os.rename(gw.state_dir, aside)
        os.mkdir(gw.state_dir, 0o700)
        self.assert_refuses(gw)
        gw.await_log("error store: changes cannot be kept why=.*moved", mark)
        self.assert_keys(gw, 0, kept)
        os.rmdir(gw.state_dir)
        os.rename(aside, gw.state_dir)
        kept.update(self.make_keys(gw, 0, 1))
        gw.await_log("notice store: changes are kept again", mark)
        self.assertEqual((storage(gw)["state"], gw.child_pid()), ("good", writer))

        shutil.rmtree(gw.state_dir)
        os.mkdir(gw.state_dir, 0o700)
        self.assert_refuses(gw)
        copy = self.backup(gw)
        self.assert_keys(gw, 0, kept)
        os.kill(writer, signal.SIGKILL)
        gw.await_log("warn store: refused error=CORRUPT why=.*ledger.db is missing or empty, and was", mark)
        self.assertEqual(os.listdir(gw.state_dir), [])
        gw.ctl("restore", copy)
        kf.eventually(lambda: storage(gw)["state"] == "good", "storage", 60)
        gw.ctl("reload")
        self.assert_keys(gw, 0, kept)

    def test_files_that_are_no_backup(self):
        """A snapshot of the disk keeps the latest keys in the logs: it is put back as it is, not restored."""
        gw = self.two_tenants()
        kept = self.make_keys(gw, 0)
        copy, writer = os.path.join(gw.dir, "snapshot"), gw.child_pid()
        os.kill(writer, signal.SIGSTOP)
        shutil.copytree(gw.state_dir, copy)
        os.kill(writer, signal.SIGCONT)
        self.assertEqual(gw.stop(), 0)
        shutil.rmtree(gw.state_dir)
        for command in ("verify", "restore"):
            done = gw.ctl(command, copy, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("the directory holds a write-ahead log", done.stderr)
            self.assertFalse(os.path.exists(gw.state_dir))
        os.rename(copy, gw.state_dir)
        gw.start()
        self.assert_keys(gw, 0, kept)

    def test_a_client_that_destroys_everything(self):
        gw = self.two_tenants(start=False)
        lines = os.path.join(gw.dir, "audit.jsonl")
        gw.options = 'audit-file = "%s"' % lines
        gw.configure()
        gw.start()
        kept = [self.make_keys(gw, 0), self.make_keys(gw, 1)]
        copy = self.backup(gw)
        certificate = gw.tenants[0].certificates[0]
        with gw.client(certificate) as c:
            for uid in kept[0]:
                c.ok(on("Destroy", uid))
            for uid in kept[0]:
                self.assertNotEqual(c.do(on("Get", uid)).status, ttlv.SUCCESS)
            for uid in kept[1]:  # another tenant's it does not even see
                self.assertEqual(c.do(on("Destroy", uid)).status, ttlv.FAILED)
        self.assert_keys(gw, 1, kept[1])
        self.assertEqual(gw.stop(), 0)  # all lines are written then
        with open(lines, encoding="utf-8") as f:
            said = [l for l in map(json.loads, f) if l.get("operation") == "Destroy"]
        self.assertEqual([(l["uid"], l["certificate"]) for l in said if l["result"] == "Success"],
                         [(uid, certificate.digest) for uid in kept[0]])
        shutil.rmtree(gw.state_dir)
        gw.ctl("restore", copy)
        gw.start()
        for n in range(2):
            self.assert_keys(gw, n, kept[n])

    def test_clients_that_commands_trusted(self):
        """They are in the copy, with their rights, and nothing else of their directory is."""
        gw = self.two_tenants()
        added, reader, gone = (kf.AUTHORITY.make(n) for n in ("added", "reader", "gone"))
        gw.ctl("trust", "add", "b", added.pem)
        gw.ctl("trust", "add", "--read-only", "a", reader.pem)
        gw.ctl("trust", "add", "a", gone.pem)
        gw.ctl("trust", "remove", gone.digest)
        kept = self.make_keys(gw, 1)
        trust = os.path.join(gw.state_dir, "trust")
        os.symlink("/etc/passwd", os.path.join(trust, "b", "link.pem"))
        os.makedirs(os.path.join(trust, "b", "deeper", "deepest"))
        copy = os.path.join(gw.dir, "backup")
        os.mkdir(copy, 0o700)
        said = gw.ctl("--json", "backup", copy).stdout.splitlines()[-1]
        self.assertIn("root keys", json.loads(said)["without"])
        self.assertEqual(self.tree(os.path.join(copy, "trust")), [
            ("", 0o700), ("a", 0o700), ("a/%s.read-only.pem" % reader.digest, 0o600), ("b", 0o700),
            ("b/%s.pem" % added.digest, 0o600)])
        gw.ctl("verify", copy)
        gw.stop()
        shutil.rmtree(gw.state_dir)
        self.assert_only_its_user_restores(gw, copy)
        gw.ctl("restore", copy)
        gw.start()
        with gw.client(added) as c:
            self.assertEqual({uid: c.key(uid) for uid in kept}, kept)
        with gw.client(reader) as c:
            self.assert_reason(c.do(ttlv.create()), "PermissionDenied")
        listed = {c["sha256"]: c["from"] for c in gw.control("trust list")[0]}
        self.assertEqual((listed[added.digest], listed[reader.digest]), ("command", "command"))
        self.assertNotIn(gone.digest, listed)
        gw.ctl("trust", "remove", added.digest)

    def assert_only_its_user_restores(self, gw, copy):
        """Somebody else's files in the state directory would be no use to the daemon."""
        state_dir, strange = gw.state_dir, "/usr"  # root's, where the test is not
        if os.geteuid() == 0:
            strange = os.path.join(gw.dir, "strange")
            os.mkdir(strange, 0o700)
            os.chown(strange, 65534, 65534)
        gw.state_dir = strange
        gw.configure()
        done = gw.ctl("restore", copy, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the state directory belongs to the user with the id", done.stderr)
        gw.state_dir = state_dir
        gw.configure()

    @staticmethod
    def tree(top):
        """What is in it, and its modes."""
        return sorted((os.path.relpath(path, top) if path != top else "",
                       stat.S_IMODE(os.lstat(path).st_mode))
                      for where, _, names in os.walk(top)
                      for path in [where] + [os.path.join(where, n) for n in names])

    def test_wrong_secrets_leave_nothing(self):
        gw = self.two_tenants(start=False)
        holder, other = (kf.AUTHORITY.make(n) for n in ("recovery-ec", "other-ec"))
        good = self.file(gw, "good", PASSPHRASE)
        out = [os.path.join(gw.dir, n) for n in ("a.pem", "b.pem")]
        gw.ctl("export-root-key", self.root(gw, 0), out[0], "--passphrase-file", good)
        gw.ctl("export-root-key", self.root(gw, 1), out[1], "--certificate=" + holder.pem)
        back = os.path.join(gw.dir, "back")
        cases = [
            ((out[0], back, "--passphrase-file", self.file(gw, "bad", PASSPHRASE + "!")),
             "passphrase is wrong"),
            ((out[0], back, "--passphrase-file", self.file(gw, "open", PASSPHRASE, 0o644)),
             "group or others"),
            ((out[0], back, "--private-key", holder.key), "--passphrase-file"),
            ((out[1], back, "--private-key", other.key), "another certificate"),
            ((out[1], back, "--passphrase-file", good), "--private-key"),
            ((good, back, "--passphrase-file", good), "no exported root key"),
            ((out[0], self.root(gw, 1), "--passphrase-file", good), "already"),
        ]
        with open(self.root(gw, 1), encoding="ascii") as f:
            untouched = f.read()
        for args, say in cases:
            with self.subTest(say=say):
                done = gw.ctl("import-root-key", *args, check=False)
                self.assertEqual(done.returncode, 1, done)
                self.assertIn(say, done.stderr)
                self.assertFalse(os.path.exists(back))
        with open(self.root(gw, 1), encoding="ascii") as f:
            self.assertEqual(f.read(), untouched)
        for command in ("export-root-key", "import-root-key"):
            self.assertEqual(gw.ctl(command, out[0], back, check=False).returncode, 2)
        done = gw.ctl("export-root-key", self.root(gw, 0), back, "--passphrase-file",
                      self.file(gw, "short", "eleven char"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("12 characters", done.stderr)
        self.assertFalse(os.path.exists(back))

    def test_tenants_with_keys_of_their_own(self):
        gw = self.two_tenants()
        self.make_keys(gw, 0, 3)
        self.make_keys(gw, 1, 2)
        copy = self.backup(gw)

        def verify(*args):
            done = gw.ctl("--json", "verify", *args, copy, check=False)
            return done.returncode, json.loads(done.stdout), done.stderr
        status, counts, _ = verify()
        self.assertEqual((status, counts["verified"], counts["unverified"]), (0, 5, 0))
        status, counts, _ = verify("--root-key", self.root(gw, 0))  # for both: wrong for b
        self.assertEqual((status, counts["verified"], counts["damaged"]), (1, 3, 2))
        del gw.tenants[1]
        gw.configure()
        status, counts, stderr = verify()
        self.assertEqual((status, counts["verified"], counts["unverified"]), (1, 3, 2))
        self.assertIn("no root key file is known", stderr)
        status, counts, stderr = verify("--allow-unverified")
        self.assertEqual((status, counts["unverified"]), (0, 2))
        self.assertIn("no root key file is known", stderr)
        gw.stop()
        shutil.rmtree(gw.state_dir)
        done = gw.ctl("restore", "--allow-unverified", copy)
        self.assertIn("unverified: 2", done.stdout)
        os.unlink(self.root(gw, 0))
        done = gw.ctl("verify", copy, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.root(gw, 0) + ": the root key file does not exist", done.stderr)


if __name__ == "__main__":
    kf.main()
