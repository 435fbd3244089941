# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the gateway or of its storage child, at random moments under load.
Whatever was acknowledged is there afterwards, byte for byte."""

import contextlib
import hashlib
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import kf
import processes
import scrape
import ttlv
from ttlv import ACTIVE, DEACTIVATED, DESTROYED, PRE_ACTIVE, attribute, get_attributes, on, revoke

ROUNDS = 200 if kf.LONG else 6
CLIENTS = 4


class Key:
    """What a client knows for sure about one key, and what it asked for without an answer."""

    def __init__(self, uid):
        self.uid = uid
        self.material = None
        self.state = PRE_ACTIVE
        self.labels = {}
        self.doubt_state = None
        self.doubt_label = None


class Load:
    """Clients that create, label, activate, revoke and destroy until they are told to stop."""

    def __init__(self, gw, seed):
        self.gw = gw
        self.keys = []
        self.lock = threading.Lock()
        self.stopping = False
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(random.Random(seed + n),))
                        for n in range(CLIENTS)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join()

    def count(self):
        with self.lock:
            return len(self.keys)

    def run(self, rnd):
        while not self.stopping:
            try:
                with self.gw.client(timeout=20) as c:
                    while not self.stopping:
                        self.one(c, rnd)
            except (OSError, kf.Closed):
                time.sleep(0.02)  # the gateway is away
            except BaseException as e:
                self.failures.append(e)
                return

    def try_(self, c, item):
        """True when it succeeded, None when the storage was away."""
        result = c.do(item)
        if result.status == ttlv.SUCCESS:
            return result
        if result.reason_name != "GeneralFailure":
            raise AssertionError("unexpected: %r" % result)
        return None

    def one(self, c, rnd):
        made = self.try_(c, ttlv.create(attribute("x-born", "yes")))
        if made is None:
            return
        key = Key(made.uid)
        key.labels["x-born"] = "yes"
        with self.lock:
            self.keys.append(key)
        if rnd.random() < 0.8:
            got = self.try_(c, on("Get", key.uid))
            if got is not None:
                key.material = got.key
        if rnd.random() < 0.5:
            key.doubt_label = ("x-later", "v%d" % rnd.randrange(1000))
            if self.try_(c, on("AddAttribute", key.uid, attribute(*key.doubt_label))):
                key.labels["x-later"] = key.doubt_label[1]
                key.doubt_label = None
        for item, state in ((on("Activate", key.uid), ACTIVE),
                            (revoke(key.uid, 6), DEACTIVATED),
                            (on("Destroy", key.uid), DESTROYED)):
            if rnd.random() < 0.4:
                return
            key.doubt_state = state
            if not self.try_(c, item):
                return
            key.state, key.doubt_state = state, None


class Crash(kf.Case):
    def setUp(self):
        self.going = set()  # uids whose Destroy was under way when all ended

    def check(self, gw, keys):
        """Every key that was acknowledged, as it was; and nothing half made."""
        with gw.client() as c:
            for key in keys:
                found = ttlv.Result(c.call(get_attributes(key.uid)).items[0].node)
                self.assertEqual(found.status, ttlv.SUCCESS, (key.uid, found))
                self.check_one(c, key, found.attributes())
            self.going |= {key.uid for key in keys if key.doubt_state == DESTROYED}
            for n in c.ok(ttlv.item("Locate")).all("UniqueIdentifier"):
                if n.value not in self.going:
                    self.assertEqual(len(c.key(n.value)), 32)

    def check_one(self, c, key, found):
        state = found["State"][0]
        self.assertIn(state, (key.state, key.doubt_state), key.uid)
        key.state = state
        for name, value in key.labels.items():
            self.assertEqual(found.get(name), [value], key.uid)
        if key.doubt_label and key.doubt_label[0] in found:
            self.assertEqual(found[key.doubt_label[0]], [key.doubt_label[1]])
        if state == DESTROYED:
            self.assert_reason(c.do(on("Get", key.uid)), "ItemNotFound", "KeyValueNotPresent",
                               "PermissionDenied")
            return
        if key.doubt_state == DESTROYED:
            result = c.do(on("Get", key.uid))  # the record may be gone, and recovery at work
            if result.status != ttlv.SUCCESS:
                self.assert_reason(result, "ItemNotFound")
                self.await_destroyed(c, key)
                return
        material = c.key(key.uid)
        if key.material is not None:
            self.assertEqual(material, key.material, key.uid)
        digest = ttlv.seq("Attribute", *found["Digest"][0]).path("DigestValue")
        self.assertEqual(hashlib.sha256(material).digest(), digest)
        key.material = material

    def await_destroyed(self, c, key):
        """Where the vault is ours alone recovery ends it; elsewhere an outage may delay that."""
        if kf.VAULT == "local":
            kf.eventually(lambda: c.state(key.uid) == DESTROYED, "recovery ends the Destroy", 30)
            key.state = DESTROYED

    def test_sigkill_under_load(self):
        rnd = kf.random_for("sigkill")
        gw = self.gateway()
        everything = []
        killed = {"gateway": 0, "storage child": 0}
        for n in range(ROUNDS):
            load = Load(gw, rnd.randrange(1 << 30)).start()
            kf.eventually(lambda: load.count() >= 3, "load", 30)
            time.sleep(rnd.random() * 0.4)
            whom = "gateway" if n % 2 == 0 else "storage child"
            killed[whom] += 1
            if whom == "gateway":
                gw.kill()
                load.stop()
                gw.start()
            else:
                self.kill_child(gw, load)
            self.assertEqual(load.failures, [])
            self.check(gw, load.keys)
            everything.extend(load.keys)
            if kf.LONG and n % 20 == 0:
                print("%d of %d: %d keys" % (n, ROUNDS, len(everything)), flush=True)
        self.check(gw, everything)
        gw.assert_idle()
        print("%d keys acknowledged; killed: %s" % (len(everything), killed), flush=True)
        self.assertGreater(len(everything), 3 * ROUNDS)

    def kill_child(self, gw, load):
        """The gateway stays, starts another child and goes on."""
        child = gw.child_pid()
        self.assertGreater(child, 0)
        os.kill(child, signal.SIGKILL)
        kf.eventually(lambda: gw.child_pid() not in (child, 0, -1), "a new storage child", 20)
        before = load.count()
        kf.eventually(lambda: load.failures or load.count() > before, "work goes on", 20)
        load.stop()
        self.assertIsNone(gw.process.poll(), "the gateway ended")

    def test_kill_both_while_starting(self):
        """Killed again and again before it is ready: it recovers from that as well."""
        gw = self.gateway()
        load = Load(gw, 1).start()
        kf.eventually(lambda: load.count() >= 5, "load", 30)
        gw.kill()
        load.stop()
        rnd = kf.random_for("starting")
        for _ in range(5):
            with open(gw.log_path, "ab") as log:
                p = subprocess.Popen(gw.command(), stdout=log, stderr=log)
                time.sleep(rnd.random() * 0.3)
                p.kill()
                p.wait()
        gw.start()
        self.assertEqual(load.failures, [])
        self.check(gw, load.keys)

    def test_second_gateway_refuses(self):
        gw = self.gateway()
        with gw.client() as c:
            uid = c.create()
            second = kf.Gateway(directory=gw.dir)
            second.socket_path = os.path.join(gw.dir, "second.sock")
            second.conf = os.path.join(gw.dir, "second.conf")
            second.configure()
            done = subprocess.run(second.command(), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=60, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertGreater(done.returncode, 0, "killed by a signal")
            self.assertRegex(done.stdout.decode(), "another process|in use")
            self.assertEqual(len(c.key(uid)), 32)

    def test_orphaned_child_lets_go(self):
        """After SIGKILL of the gateway its child ends by itself, so that a new one can start."""
        gw = self.gateway()
        child = gw.child_pid()
        gw.kill()
        kf.eventually(lambda: processes.ended(child), "the child ends", 20)
        gw.start()
        self.assert_fine(gw)


@kf.testing_only
class Faults(kf.Case):
    """The storage child fails or dies at the worst moments: never half a key, never a lie."""

    KINDS = ("STORE_COMMIT", "STORE_COMMIT_FULL", "STORE_DIE_BEFORE_COMMIT",
             "STORE_DIE_AFTER_COMMIT") + (("STORE_DIE_BETWEEN",) if kf.VAULT == "local" else ())

    def insist(self, gw, item):
        """Asks until it is done; returns the result.  The first failure ends the faults."""
        for _ in range(100):
            with gw.client() as c:
                result = c.do(item)
            if result.reason_name != "GeneralFailure":
                return result
            if self.faulty:
                self.faulty = False
                gw.stop()
                gw.start()
        raise AssertionError("it never recovers: %r" % result)

    def life(self, gw):
        """One key's life; whatever was answered must hold."""
        name = ttlv.name_attribute("faulty")
        made = self.insist(gw, ttlv.create(name))
        if made.status != ttlv.SUCCESS:
            self.assert_reason(made, "IllegalOperation")  # made, but the answer was lost
            made = self.insist(gw, ttlv.item("Locate", name))
        uid = made.uid
        key = self.insist(gw, on("Get", uid)).key
        self.assertEqual(self.insist(gw, on("AddAttribute", uid, attribute("x-Name", "vm"))).status,
                         ttlv.SUCCESS)
        activated = self.insist(gw, on("Activate", uid))
        if activated.status != ttlv.SUCCESS:
            self.assert_reason(activated, "PermissionDenied")  # active, but the answer was lost
        self.assertEqual(self.insist(gw, on("Get", uid)).key, key)
        return uid, key

    def test_every_fault(self):
        for kind in self.KINDS:
            met = 0
            for skip in range(0, 16 if kf.LONG else 5):
                with self.subTest(fault=kind, skip=skip):
                    gw = self.gateway(start=False)
                    gw.start(env={"KEYFERRY_FAULTS": "%s:%d:1" % (kind, skip)})
                    self.faulty = True
                    uid, key = self.life(gw)
                    met += not self.faulty
                    gw.stop()
                    gw.start()
                    with gw.client() as c:
                        self.assertEqual((c.key(uid), c.state(uid)), (key, ACTIVE))
                        found = c.ok(ttlv.item("Locate")).all("UniqueIdentifier")
                        self.assertEqual([n.value for n in found], [uid])
                    gw.stop()
            self.assertGreater(met, 0, "%s was never met" % kind)


@unittest.skipUnless(kf.VAULT == "local", "what was destroyed elsewhere stays destroyed")
class Backup(kf.Case):
    def test_backup_under_load_and_restore(self):
        gw = self.gateway()
        load = Load(gw, 7).start()
        kf.eventually(lambda: load.count() >= 20, "load", 30)
        with load.lock:
            before = list(load.keys)
        kept = os.path.join(gw.dir, "backup")
        os.mkdir(kept, 0o700)
        gw.ctl("backup", kept)
        load.stop()
        self.assertEqual(load.failures, [])
        gw.stop()

        other = self.gateway(start=False)
        for t in other.tenants:
            if kf.VAULT == "local":
                os.replace(os.path.join(gw.dir, t.name + ".root"),
                           os.path.join(other.dir, t.name + ".root"))
        other.ctl("restore", kept)
        other.start()
        with other.client() as c:
            for key in before:
                found = ttlv.Result(c.call(get_attributes(key.uid, "State")).items[0].node)
                self.assertEqual(found.status, ttlv.SUCCESS, key.uid)
                if found.attributes()["State"][0] != DESTROYED and key.material:
                    self.assertEqual(c.key(key.uid), key.material)

    def test_backup_into_a_directory_that_is_not_empty(self):
        gw = self.gateway()
        done = gw.ctl("backup", gw.dir, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("empty", done.stdout + done.stderr)
        self.assert_fine(gw)


    def test_backup_that_cannot_be_written(self):
        """Into a directory that somebody removes meanwhile: the answer names it."""
        gw = self.gateway()
        place = os.path.join(gw.dir, "removed")
        os.mkdir(place, 0o700)
        fd = os.open(place, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        os.rmdir(place)
        done = gw.ctl("backup", "/proc/%d/fd/%d" % (os.getpid(), fd), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no copy could be made in /proc/%d/fd/%d: the storage failed" % (os.getpid(), fd),
                      done.stderr)
        self.assert_fine(gw)


class Stall(kf.Case):
    """A disk that hangs: the writer stands in fdatasync(), in the midst of a commit, until it is let go."""

    SECONDS = 20 if kf.LONG else 1
    UNKNOWN = "0190b5a0-0000-7000-8000-000000000000"

    def start(self):
        gw = self.gateway(start=False, options='request-timeout = "2min"')
        self.hangs = os.path.join(gw.dir, "hangs")
        gw.start(seconds=60, env={"LD_PRELOAD": os.environ["KEYFERRY_STALL_SO"],
                                  "KEYFERRY_STALL": self.hangs,
                                  "ASAN_OPTIONS": "verify_asan_link_order=0"})
        self.addCleanup(self.let_go)
        return gw

    def let_go(self):
        if os.path.exists(self.hangs):
            os.unlink(self.hangs)

    @staticmethod
    def locate(c, *what):
        return [n.value for n in c.ok(ttlv.item("Locate", *what)).all("UniqueIdentifier")]

    def ask_all(self, c, keys, unread):
        """One of each that only reads; the first Get of a key among them."""
        uid = unread.pop()
        self.assertEqual(c.state(uid), PRE_ACTIVE)
        keys[uid] = c.key(uid)
        self.assertEqual(set(self.locate(c)), set(keys) | set(unread))
        self.assertEqual(self.locate(c, attribute("x-which", "read")), [self.read])
        self.assertEqual(c.key(self.read), keys[self.read])
        self.assert_reason(c.do(on("Get", self.UNKNOWN)), "ItemNotFound")
        c.ok(ttlv.item("Query", ttlv.enum("QueryFunction", 1)))

    def test_delays_writers_alone(self):
        gw = self.start()
        with gw.client(timeout=120) as c, gw.client(timeout=120) as writer:
            self.read = c.create(attribute("x-which", "read"))
            keys = {self.read: c.key(self.read)}
            unread = [c.create() for _ in range(60)]
            before, child = gw.metrics(), gw.child_pid()
            with open(self.hangs, "wb"):
                writer.send(ttlv.request((1, 1), ttlv.create(ttlv.name_attribute("late"))))
            kf.eventually(lambda: os.path.exists("%s.%d" % (self.hangs, child)), "it hangs", 30)
            end, rounds = time.monotonic() + self.SECONDS, 0
            while rounds < 2 or (time.monotonic() < end and len(unread) > 1):
                with gw.client(timeout=120) as fresh:
                    self.ask_all(fresh, keys, unread)
                self.ask_all(c, keys, unread)
                rounds += 1
            time.sleep(max(0, end - time.monotonic()))
            kf.eventually(lambda: "the disk hangs" in storage(gw)["say"], "health complains", 60)
            self.assertEqual(scrape.get(gw, "/ready")[0], 200)  # keys are served
            self.assertGreater(scrape.metrics(gw).of("store_wait_seconds"), 5)
            # all that was answered before anything was let go
            if self.SECONDS < 20:
                self.assertEqual(select.select([writer.sock], [], [], 0)[0], [])
            self.let_go()
            made = writer.receive().items[0]
            if self.SECONDS < 20:  # later than that it may not be waited for
                self.assertEqual(made.status, ttlv.SUCCESS, made)
            late = [made.uid] if made.status == ttlv.SUCCESS else []
            kf.eventually(lambda: self.locate(c, ttlv.name_attribute("late")) == late,
                          "what its client was told", 60)
            keys.update({uid: c.key(uid) for uid in late + unread + [c.create()]})
        kf.eventually(lambda: gw.metrics()["requests"] == 0, "notes are written", 60)
        self.assertEqual(storage(gw)["state"], "good")
        after = gw.metrics()
        self.assertEqual((gw.child_pid(), gw.reader_pid()), (child, before["storage_reader_pid"]))
        self.assertEqual(after["store_restarts_total"] + after["store_reader_restarts_total"], 0)
        gw.kill()
        gw.start()
        with gw.client() as c:
            self.assertEqual({uid: c.key(uid) for uid in keys}, keys)


@unittest.skipUnless(kf.VAULT == "local", "once is enough")
class BackupStall(kf.Case):
    """The disk that a backup is written to hangs, in the midst of the sync: nobody else has to wait for it."""

    def start(self, text, before=()):
        """text: what KEYFERRY_STALL holds.  before: a program that starts the gateway, and its arguments."""
        gw = self.gateway(start=False)
        gw.limit = list(before)
        self.hangs, copy = os.path.join(gw.dir, "hangs"), os.path.join(gw.dir, "copy")
        gw.start(env={"LD_PRELOAD": os.environ["KEYFERRY_STALL_SO"], "KEYFERRY_STALL": self.hangs,
                      "KEYFERRY_STALL_BELOW": copy + "/", "ASAN_OPTIONS": "verify_asan_link_order=0"})
        with gw.client() as c:
            self.uid = c.create()
            self.key = c.key(self.uid)
        os.mkdir(copy, 0o700)
        with open(self.hangs, "w", encoding="ascii") as f:
            f.write(text)
        self.addCleanup(self.let_go)
        self.ctl = subprocess.Popen([kf.program("keyferryctl"), "-c", gw.conf, "backup", copy],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.ctl.wait, 30)
        self.addCleanup(self.ctl.kill)
        self.syncer = int(kf.eventually(lambda: self.hanging(gw), "it hangs", 30))
        self.assertNotEqual(self.syncer, gw.child_pid())
        return gw

    @staticmethod
    def hanging(gw):
        return next((n[6:] for n in os.listdir(gw.dir) if n.startswith("hangs.")), None)

    def let_go(self):
        if os.path.exists(self.hangs):
            os.unlink(self.hangs)

    def assert_serves(self, gw):
        with gw.client() as c:
            kf.eventually(lambda: c.do(ttlv.create()).status == ttlv.SUCCESS, "a change", 15)
            self.assertEqual(c.key(self.uid), self.key)

    def test_outlives_the_writer(self):
        gw = self.start("it cannot be killed")
        os.kill(gw.child_pid(), signal.SIGKILL)
        self.assert_serves(gw)
        self.assertFalse(processes.ended(self.syncer))

    def test_outlives_the_gateway(self):
        gw = self.start("it cannot be killed")
        os.kill(gw.child_pid(), signal.SIGSTOP)  # else it may have the time to end the other one itself
        gw.kill()
        gw.start()
        self.assert_serves(gw)
        self.assertFalse(processes.ended(self.syncer))

    def test_ends_with_the_writer(self):
        for stopped in (False, True):
            with self.subTest(stopped=stopped):
                gw = self.start("")
                if stopped:
                    os.kill(self.syncer, signal.SIGSTOP)
                os.kill(gw.child_pid(), signal.SIGKILL)
                kf.eventually(lambda: processes.ended(self.syncer), "its end")
                self.assert_serves(gw)

    def test_is_not_waited_for(self):
        gw = self.start("")
        os.kill(self.syncer, signal.SIGSTOP)
        began = time.monotonic()
        self.assertEqual(gw.stop(), 0)
        self.assertLess(time.monotonic() - began, 10)
        kf.eventually(lambda: processes.ended(self.syncer), "its end")

    def test_keeps_nothing_of_the_writers(self):
        """Also where there is no close_range(): an older kernel, or the filter of a container around it."""
        lacks = [sys.executable, os.path.join(kf.TOP, "tests", "integ", "lacks.py"), "close_range"]
        for before in ((), lacks):
            with self.subTest(before=before):
                gw = self.start("", before)
                copy = os.path.join(gw.dir, "copy")
                self.assertEqual(sorted(processes.descriptors(self.syncer)), sorted([
                    "/dev/null", "/dev/null", gw.log_path, os.path.join(copy, "ledger.db"),
                    "%s.%d" % (self.hangs, self.syncer)]))
                self.let_go()
                self.assertEqual(self.ctl.wait(30), 0)
                gw.ctl("verify", copy)


def storage(gw):
    """What health says of it."""
    return next(c for c in gw.control("health")[0] if c["check"] == "storage")


class SmallDisk(kf.Case):
    """A file system of the state directory's own."""

    def small_disk(self, size="1m"):
        """A mount namespace that outlives the gateway, with such a state directory."""
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            self.skipTest("only root may mount a small file system")
        gw = self.gateway(start=False)
        holder = subprocess.Popen(["unshare", "-m", "sh", "-c", "mount -t tmpfs -o "
                                   "size=%s,mode=0700 tmpfs \"$0\" && echo mounted && exec cat" % size,
                                   gw.state_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        self.assertEqual(holder.stdout.readline(), b"mounted\n")
        self.seen = "/proc/%d/root" % holder.pid  # what is mounted there, from outside
        self.inside = ["nsenter", "-t", str(holder.pid), "-m", "--"]
        plain = gw.command
        gw.command = lambda: self.inside + plain()
        return gw.start()

    def remount(self, gw, how):
        subprocess.run(self.inside + ["mount", "-o", "remount," + how, gw.state_dir], check=True)


class Full(SmallDisk):
    """A disk that is full and stays so: a file system of one MiB."""

    def fill(self, c):
        """Creates until it is full: the keys that were acknowledged."""
        made = {}
        while True:
            answer = c.do(ttlv.create(ttlv.attribute("x-Note", "t" * 2000)))
            if answer.status != ttlv.SUCCESS:
                break
            made[answer.payload.path("UniqueIdentifier")] = None
        self.assertEqual((answer.reason_name, answer.message),
                         ("GeneralFailure", "the storage is full"))
        return made

    def assert_full(self, gw, c, keys):
        for uid, key in keys.items():
            self.assertEqual(c.key(uid), key)
        for refused in (ttlv.create(ttlv.attribute("x-Note", "t" * 2000)),) * 3:
            self.assertEqual(c.do(refused).message, "the storage is full")
        check = storage(gw)
        self.assertEqual(check["state"], "bad")
        self.assertIn("the storage is full", check["say"])
        m = scrape.metrics(gw)
        self.assertEqual(m.of("store_failing"), 1)
        self.assertEqual(m.of("store_up"), 1)
        self.assertEqual(scrape.get(gw, "/ready")[0], 200)  # what is there is served

    def test_unmounted_at_work(self):
        """What is below the mount is no state directory: nothing is made that is lost with the gateway."""
        gw = self.small_disk()
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            subprocess.run(self.inside + ["umount", "-l", gw.state_dir], check=True)
            self.assertEqual(c.do(ttlv.create()).message,
                             "the storage's files were removed, moved or unmounted")
            self.assertEqual(c.key(uid), key)
        self.assertEqual(storage(gw)["state"], "bad")
        self.assertEqual(os.listdir(gw.state_dir), [])

    def clone(self, gw):
        """A copy of the disk as of now, with the inodes of all files, mounted elsewhere."""
        elsewhere = os.path.join(gw.dir, "clone")
        os.mkdir(elsewhere)
        subprocess.run(self.inside + ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", elsewhere],
                       check=True)
        child = gw.child_pid()
        os.kill(child, signal.SIGSTOP)  # it may be at the log
        try:
            for file in sorted(os.scandir(self.seen + gw.state_dir), key=os.DirEntry.inode):
                copy = os.path.join(self.seen + elsewhere, file.name)
                while not os.path.exists(copy) or os.stat(copy).st_ino < file.inode():
                    with open(copy + ".next", "wb"):
                        pass
                    os.rename(copy + ".next", copy)
                if os.stat(copy).st_ino != file.inode():
                    self.skipTest("each tmpfs would have to number its inodes by itself")
                shutil.copy2(file.path, copy)
        finally:
            os.kill(child, signal.SIGCONT)
        return elsewhere

    def contents(self, gw):
        return {file.name: hashlib.sha256(pathlib.Path(file.path).read_bytes()).hexdigest()
                for file in os.scandir(self.seen + gw.state_dir)}

    def test_copy_in_its_place(self):
        """Of the whole disk: the files that are let go of are told from it by nothing but the device."""
        gw = self.small_disk("8m")
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            elsewhere = self.clone(gw)
            subprocess.run(self.inside + ["umount", "-l", gw.state_dir], check=True)
            subprocess.run(self.inside + ["mount", "--move", elsewhere, gw.state_dir], check=True)
            self.assertEqual(c.do(ttlv.create()).message,
                             "the storage's files were removed, moved or unmounted")
        before = self.contents(gw)
        self.assertIn("ledger.db-wal", before)
        self.assertEqual(gw.stop(), 0)
        self.assertEqual(self.contents(gw), before)
        gw.start()
        with gw.client() as c:
            self.assertEqual(c.key(uid), key)

    def test_reload_while_unmounted(self):
        """Who was trusted by command stays so: what is below the mount has no certificates."""
        gw = self.small_disk()
        added = kf.AUTHORITY.make("added")
        beside = os.path.join(gw.dir, "beside")
        os.mkdir(beside)
        gw.ctl("trust", "add", "a", added.pem)
        subprocess.run(self.inside + ["mount", "--bind", gw.state_dir, beside], check=True)
        with gw.client(added) as c:
            key = c.key(uid := c.create())
            subprocess.run(self.inside + ["umount", "-l", gw.state_dir], check=True)
            mark = gw.mark()
            gw.process.send_signal(signal.SIGHUP)
            gw.await_log("error daemon: reload refused; nothing changed why=.*%s: the storage's files were "
                         "removed, moved or unmounted" % gw.state_dir, mark)
            self.assertEqual(c.key(uid), key)
            with gw.client(added) as anew:
                self.assertEqual(anew.key(uid), key)
            subprocess.run(self.inside + ["mount", "--bind", beside, gw.state_dir], check=True)
            gw.ctl("reload")
            self.assertEqual(c.key(uid), key)

    def test_stays_full(self):
        gw = self.small_disk()
        child = gw.child_pid()
        with gw.client() as c:
            keys = self.fill(c)
            self.assertGreater(len(keys), 5)
            for uid in keys:
                keys[uid] = c.key(uid)
            self.assert_full(gw, c, keys)
            self.assertEqual(gw.child_pid(), child)  # the request fails, and nothing else
        gw.await_log("error store: changes cannot be kept why=\"the storage is full\"")
        self.assertEqual(gw.stop(), 0)
        gw.start()
        with gw.client() as c:
            with contextlib.suppress(AssertionError):
                self.fill(c)
            self.assert_full(gw, c, keys)
            self.remount(gw, "size=8m")
            new = c.create(ttlv.attribute("x-Note", "t" * 2000))
            self.assertEqual(storage(gw)["state"], "good")
            self.assertEqual(scrape.metrics(gw).of("store_failing"), 0)
            keys[new] = c.key(new)
        gw.kill()
        gw.start()
        with gw.client() as c:
            for uid, key in keys.items():
                self.assertEqual(c.key(uid), key)

    def test_starts_on_a_disk_that_was_filled_meanwhile(self):
        """By something else, up to the last block."""
        gw = self.small_disk()
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
        for stop in (gw.stop, gw.stop, gw.kill):
            stop()
            foreign = os.path.join(gw.state_dir, "foreign")
            done = subprocess.run(self.inside + ["dd", "if=/dev/zero", "of=" + foreign, "bs=4k"],
                                  capture_output=True, text=True, check=False)
            self.assertIn("No space left", done.stderr)
            gw.start()
            with gw.client() as c:
                self.assertEqual(c.key(uid), key)
                if stop == gw.stop:  # else bringing back the log has made room
                    self.assertEqual(c.do(ttlv.create()).message, "the storage is full")
                subprocess.run(self.inside + ["rm", foreign], check=True)
                c.create()


class ReadOnly(SmallDisk):
    """A disk that takes no writes any more, as a journalling file system makes it that has met an error."""

    SAYS = "the storage can be read, but not written"

    def mount_anew(self, gw):
        """The same files on another device: not every file system keeps its number."""
        for line in ("cp -a $0 $0.copy", "mount -t tmpfs -o mode=0700 tmpfs $0", "cp -a $0.copy/. $0"):
            subprocess.run(self.inside + ["sh", "-c", line, gw.state_dir], check=True)

    def become_read_only(self, gw, anew=False):
        """Under a gateway that is away meanwhile: no mount is made so while a file is open to be written."""
        children = (gw.child_pid(), gw.reader_pid())
        gw.process.send_signal(signal.SIGSTOP)
        try:
            for child in children:
                os.kill(child, signal.SIGKILL)
            kf.eventually(lambda: all(processes.ended(child) for child in children), "they end")
            if anew:
                self.mount_anew(gw)
            self.remount(gw, "ro")
        finally:
            gw.process.send_signal(signal.SIGCONT)

    def count_in_file(self, gw, uid):
        """Beside its log."""
        ask = ("import sqlite3, sys\n"
               "db = sqlite3.connect('file:%s?immutable=1' % sys.argv[1], uri=True)\n"
               "print(db.execute('SELECT count(*) FROM objects WHERE uid = ?', sys.argv[2:]).fetchone()[0])")
        done = subprocess.run(self.inside + [sys.executable, "-c", ask, os.path.join(
            gw.state_dir, "ledger.db"), uid], stdout=subprocess.PIPE, text=True, check=True)
        return int(done.stdout)

    def assert_genuine(self, c, uid):
        """Its digest was taken when it was made."""
        found = ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
        digest = ttlv.seq("Attribute", *found["Digest"][0]).path("DigestValue")
        self.assertEqual(hashlib.sha256(c.key(uid)).digest(), digest)

    def assert_served(self, gw, c, keys, unread):
        for uid, key in keys.items():
            self.assertEqual(c.key(uid), key)
        for uid in unread:
            self.assert_genuine(c, uid)
        found = c.ok(ttlv.item("Locate")).all("UniqueIdentifier")
        self.assertEqual({n.value for n in found}, set(keys) | set(unread))
        for refused in (ttlv.create(), on("Activate", unread[0])):
            self.assert_reason(c.do(refused), "GeneralFailure")
        self.assertEqual(c.state(unread[0]), PRE_ACTIVE)
        check = storage(gw)
        self.assertEqual(check["state"], "bad")
        self.assertIn(self.SAYS + ": its file lock cannot be opened: Read-only file system", check["say"])
        m = scrape.metrics(gw)
        self.assertEqual((m.of("store_up"), m.of("store_failing")), (1, 1))
        self.assertEqual(scrape.get(gw, "/ready")[0], 200)

    def test_is_served_from(self):
        gw = self.small_disk("8m")
        with gw.client() as c:
            keys = {uid: c.key(uid) for uid in [c.create() for _ in range(3)]}
        gw.kill()
        gw.start()  # it remembers none
        with gw.client() as c:
            unread = [c.create() for _ in range(3)]
            self.become_read_only(gw)
            gw.await_log("store: reader serves alone")
            self.assertEqual(self.count_in_file(gw, unread[-1]), 0)
            self.assert_served(gw, c, keys, unread)
            gw.await_log("error store: changes cannot be kept why=\"%s\"" % self.SAYS)
            self.remount(gw, "rw")
            gw.await_log("store: restarted")
            c.ok(on("Activate", unread[0]))
            self.assertEqual((c.state(unread[0]), storage(gw)["state"]), (ACTIVE, "good"))
            gw.await_log("store: changes are kept again")
            self.assertEqual(scrape.metrics(gw).of("store_failing"), 0)
            unread.append(c.create())
            for uid in unread:
                self.assert_genuine(c, uid)
        gw.assert_idle()

    def test_reload(self):
        """A reader alone knows whose files it reads, too."""
        gw = self.small_disk("8m")
        added = kf.AUTHORITY.make("added")
        gw.ctl("trust", "add", "a", added.pem)
        with gw.client(added) as c:
            uid = c.create()
            self.become_read_only(gw, anew=True)
            gw.await_log("store: reader serves alone")
            gw.ctl("reload")
            self.assert_genuine(c, uid)
            self.remount(gw, "rw")
            gw.await_log("store: restarted")
            gw.ctl("reload")
            c.create()


if __name__ == "__main__":
    kf.main()
