# SPDX-License-Identifier: Apache-2.0
"""What an administrator does to sessions and keys from the control socket, and the live view."""

import base64
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import termios
import threading
import time
import unittest

import kf
import ttlv
import virtual
from ttlv import attribute, item, on


class Case(kf.TwoTenants):
    def fails(self, *args, say=""):
        done = self.gw.ctl(*args, check=False)
        self.assertGreater(done.returncode, 0)
        self.assertIn(say, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)


class Sessions(Case):
    def other(self):
        return self.client(kf.AUTHORITY.make("second"))

    def number(self, client):
        address = "127.0.0.1:%d" % client.sock.getsockname()[1]
        return kf.eventually(lambda: [s["id"] for s in self.json("sessions")
                                      if s["from"] == address and s["tenant"]], "a session")[0]

    def test_one(self):
        c, stays = self.client(), self.client()
        c.create()
        stays.create()
        self.assertEqual(self.json("sessions", "close", str(self.number(c))),
                         {"sessions-closed": 1})
        self.assertTrue(c.is_closed())
        stays.create()

    def test_request_under_way(self):
        """It is answered, and what it changed is there, before the session ends."""
        c, after = self.client(), self.client()
        message = ttlv.request((1, 1), ttlv.create()).encode()
        c.send(message[:20])
        number = self.number(c)
        kf.eventually(lambda: [s for s in self.json("sessions")
                               if s["id"] == number and s["state"] == "reading"], "half a request")
        self.json("sessions", "close", str(number))
        c.send(message[20:])
        uid = c.receive().items[0].payload.path("UniqueIdentifier")
        self.assertTrue(c.is_closed())
        self.assertTrue(after.key(uid))

    def test_many(self):
        mine, others = [self.client() for _ in range(3)], [self.other() for _ in range(2)]
        for c in mine + others:
            c.ok(item("DiscoverVersions"))
        digest = kf.AUTHORITY.make("second").digest
        with_colons = ":".join(digest[i:i + 2] for i in range(0, 64, 2)).upper()
        self.assertEqual(self.json("sessions", "close", "--sha256", with_colons),
                         {"sessions-closed": 2})
        for c in others:
            self.assertTrue(c.is_closed())
        for c in mine:
            c.ok(item("DiscoverVersions"))
        self.assertEqual(self.json("sessions", "close", "--tenant", "a"), {"sessions-closed": 3})
        for c in mine:
            self.assertTrue(c.is_closed())

    def test_misuse(self):
        c = self.client()
        c.create()
        self.fails("sessions", "close", say="which")
        self.fails("sessions", "close", "0", say="number")
        self.fails("sessions", "close", "1x", say="number")
        self.fails("sessions", "close", "999999999", say="no such session")
        self.fails("sessions", "close", "--tenant", "nobody", say="no such session")
        self.fails("sessions", "close", "--sha256", "abcd", say="whole SHA-256")
        # a number and a tenant: both have to hold
        self.fails("sessions", "close", str(self.number(c)), "--tenant", "b",
                   say="no such session")
        c.create()


def ended(client, *attributes, compromised=False):
    """A key that was Active once: its uid."""
    uid = client.create(*attributes)
    client.ok(on("Activate", uid))
    client.ok(ttlv.revoke(uid, 2 if compromised else 1))
    return uid


class Lists(Case):
    """Which keys are meant; times are in Ages."""

    def uids(self, *args):
        return {k["uid"] for k in self.json("keys", "list", *args)}

    def test_attributes(self):
        c = self.client()
        made = {(n, p): c.create(attribute("x-Name", n), attribute("x-Component", p))
                for n in ("vm-1", "vm=2") for p in ("vsan", "vm")}
        self.assertEqual(self.uids("--name", "vm=2"), {made["vm=2", "vsan"], made["vm=2", "vm"]})
        self.assertEqual(self.uids("--component", "vsan"),
                         {made["vm-1", "vsan"], made["vm=2", "vsan"]})
        self.assertEqual(self.uids("--attribute", "x-Name=vm=2", "--attribute=x-Component=vm"),
                         {made["vm=2", "vm"]})
        self.assertEqual(self.uids("--name", "vm-1", "--state", "Active"), set())
        self.assertEqual(self.uids("--name", "vm-1", "--newer", "1h", "--max", "1",
                                   "--offset", "1"), {made["vm-1", "vsan"]})
        self.assertEqual(self.uids("--name", "vm-1", "--older", "1h"), set())

    def test_misuse(self):
        self.fails("keys", "list", "--attribute", "x-Name", say="x-NAME=VALUE")
        self.fails("keys", "list", "--attribute", "State=Active", say="x-NAME=VALUE")
        self.fails("keys", "list", "--older", "many", say="number with its unit")
        self.fails("keys", "list", "--unused", "90", say="number with its unit")
        many = [w for i in range(30) for w in ("--attribute", "x-a=%d" % i)]
        self.fails("keys", "list", *many)


@kf.testing_only
@unittest.skipUnless(kf.VAULT == "local", "the ledger alone tells, whatever the vault")
class Ages(kf.Case):
    HOUR = 3600

    def json(self, *args):
        return [json.loads(l) for l in self.gw.ctl("--json", *args).stdout.splitlines()][0]

    def uids(self, *args):
        return {k["uid"] for k in self.json("keys", "list", *args)}

    def setUp(self):
        self.gw = self.gateway()
        self.clock = virtual.Clock(self.gw)
        self.client = self.gw.client(connect=False)
        self.addCleanup(self.client.close)

    def advance(self, hours):
        self.clock.advance(hours * self.HOUR, step=10000, slice_s=50)

    def connect(self):
        """A session; the one before it is closed, since nothing else ends it while time stands."""
        self.client.close()
        self.client.connect()
        return self.client

    def test_last_use(self):
        """Told from memory at once, from the ledger later, and it outlives the daemon."""
        c = self.connect()
        used, unused = c.create(), c.create()
        shown = self.json("keys", "show", used)
        self.assertNotIn("last-used", shown)
        self.assertIn("unused-since", shown)
        self.advance(5)
        c = self.connect()
        c.key(used)
        now = self.json("keys", "show", used)["last-used"]
        self.assertEqual(self.uids("--unused", "3h"), {unused})
        self.advance(2)  # the hour of writing has passed
        self.assertEqual(self.json("keys", "show", used)["last-used"], now)
        self.connect().key(unused)
        self.client.close()
        self.gw.stop()
        self.gw.start()
        self.assertEqual(self.json("keys", "show", used)["last-used"], now)
        self.assertIn("last-used", self.json("keys", "show", unused))

    def test_older_and_newer(self):
        first = self.connect().create()
        self.advance(3)
        second = self.connect().create()
        self.assertEqual(self.uids("--older", "2h"), {first})
        self.assertEqual(self.uids("--newer", "2h"), {second})
        self.assertEqual(self.uids("--newer", "4h", "--older", "1min"), {first})

    def test_purge_leaves_what_is_in_use(self):
        c = self.connect()
        young, used, old = c.create(), ended(c), ended(c)
        would = lambda *a: {k["uid"] for k in self.json("keys", "purge", *a)}
        self.assertEqual(would("--newer", "1h"), {used, old})  # not what is about to be activated
        self.advance(3)
        self.connect().key(used)
        self.assertEqual(would("--older", "2h", "--unused", "2h"), {young, old})
        self.assertEqual(would("--older", "2h"), {young, used, old})
        self.assertEqual(would("--older", "2h", "--state", "Pre-Active"), {young})

    def test_purge_leaves_what_is_never_active(self):
        c = self.connect()
        opaque = c.ok(ttlv.register_opaque(b"in use")).path("UniqueIdentifier")
        self.advance(3)
        self.assertEqual(self.json("keys", "show", opaque)["state"], "Pre-Active")
        for state in ((), ("--state", "Pre-Active")):
            self.assertEqual(self.json("keys", "purge", "--older", "2h", *state), [])


class Purge(Case):
    def purge(self, *args):
        done = self.gw.ctl("--json", "keys", "purge", *args, check=False)
        self.assertNotIn("Sanitizer", done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()], done

    def really(self, *args):
        documents, done = self.purge("--really", *args)
        return documents[-2] if "status" in documents[-1] else documents[-1], done

    def state(self, uid):
        return self.json("keys", "show", uid)["state"]

    def test_dry_run(self):
        c = self.client()
        name = attribute("x-Name", "dry")
        gone, hurt, active = ended(c, name), ended(c, name, compromised=True), c.create(name)
        c.ok(on("Activate", active))
        documents, done = self.purge("--name", "dry")
        self.assertEqual(done.returncode, 0)
        self.assertEqual({(k["uid"], k["state"], k["name"], k["tenant"], k["age-days"])
                          for k in documents[0]},
                         {(gone, "Deactivated", "dry", "a", 0), (hurt, "Compromised", "dry", "a", 0)})
        self.assertEqual(documents[1]["would-be-purged"], 2)
        self.assertEqual({self.state(u) for u in (gone, hurt, active)},
                         {"Deactivated", "Compromised", "Active"})
        text = self.gw.ctl("keys", "purge", "--name", "dry", "--max", "1").stdout
        self.assertIn("dry run: would-be-purged 1, not-looked-at 1", text)
        self.assertNotIn("{", text)

    def test_names_hide_nothing(self):
        """What a terminal would obey in a name of a client's is shown and does nothing."""
        c = self.client()
        obeyed = [chr(n) for n in (*range(1, 0x20), *range(0x7f, 0xa0), *range(0x202a, 0x202f),
                                   *range(0x2066, 0x206a))]
        names = ["up\u00e4%sdown" % o for o in obeyed]
        uids = [ended(c, attribute("x-Name", n)) for n in names]
        commands = [("keys", "list"), ("keys", "purge", "--older", "0"),
                    *(("keys", "show", u) for u in uids[::7])]
        for command in commands:
            for options in ((), ("--json",)):
                text = self.gw.ctl(*options, *command).stdout
                self.assertEqual([o for o in obeyed if o in text.replace("\n", "")], [],
                                 (options, command))
            self.assertNotRegex(self.gw.ctl(*command).stdout, "(?m)^down|up$")
        found = {k["uid"]: k.get("name") for k in self.purge("--older", "0")[0][0]}
        self.assertEqual([found[u] for u in uids], names)
        lines = self.gw.ctl(*commands[1]).stdout.split("\n")
        for uid, o in zip(uids, obeyed):
            (line,) = [l for l in lines if uid in l]
            self.assertIn("down", line)
            self.assertIn("".join("\\x%02x" % b for b in o.encode()), line)

    def test_really(self):
        c = self.client()
        name = attribute("x-Name", "really")
        going, active = [ended(c, name) for _ in range(3)], c.create(name)
        c.ok(on("Activate", active))
        other = ended(c, attribute("x-Name", "other"))
        mark = self.gw.mark()
        told, done = self.really("--name", "really", "--max", "2")
        self.assertEqual((told["keys"], told["purged"], told["not-looked-at"]), (2, 2, 1))
        self.gw.await_log(r"audit: Destroy .*from=control uid=%s .*result=OK" % going[2], mark)
        told, done = self.really("--name", "really")
        self.assertEqual((done.returncode, told["purged"], told["failed"]), (0, 1, 0))
        for uid in going:
            self.assertEqual(self.state(uid), "Destroyed")
            self.assert_gone(c, uid)
        self.assertEqual((self.state(active), self.state(other)), ("Active", "Deactivated"))
        self.assertEqual(self.really("--name", "really")[0]["purged"], 0)

    def test_active_elsewhere(self):
        """With the vault keyprotect another gateway may have activated what is Pre-Active here."""
        c = self.client()
        name = attribute("x-Name", "idle")
        ended(c, name)
        for _ in range(3):
            c.create(name)
        documents, _ = self.purge("--name", "idle", "--max", "1")
        told = documents[1]["would-be-purged"], documents[1]["not-looked-at"]
        self.assertEqual(told, (0, 3) if kf.VAULT == "local" else (1, 0))  # they are young, too

    def test_used_meanwhile(self):
        c = self.client()
        uids = [ended(c, attribute("x-Name", "many")) for _ in range(60)]
        told = []
        job = threading.Thread(target=lambda: told.append(self.really("--name", "many")[0]))
        job.start()  # the newest first, ten a second
        kf.eventually(lambda: self.state(uids[40]) == "Destroyed", "some are gone", 60)
        c.key(uids[0])
        job.join()
        self.assertEqual((told[0]["purged"], told[0]["skipped"]), (59, 1))
        self.assertEqual(self.state(uids[0]), "Deactivated")

    def assert_gone(self, client, uid):
        self.assertNotEqual(client.do(on("Get", uid)).status, ttlv.SUCCESS)

    @unittest.skipUnless(kf.VAULT == "keyprotect", "records are in the key manager")
    def test_record(self):
        uid = ended(self.client(), attribute("x-Name", "record"))
        prefix = "%s-a" % os.path.basename(self.gw.dir)
        self.assertTrue(kf.the_cloud().records(uid, prefix=prefix))
        self.really("--name", "record")
        self.assertFalse(kf.the_cloud().records(uid, prefix=prefix))

    @unittest.skipUnless(kf.VAULT == "keyprotect", "records are in the key manager")
    def test_missing(self):
        cloud, uid = kf.the_cloud(), ended(self.client(), attribute("x-Name", "missing"))
        name = "%s-a_%s" % (os.path.basename(self.gw.dir), uid)
        listed = cloud.call("GET", "/keys?limit=5000&extractable=true").json["resources"]
        records = [k["id"] for k in listed if k["name"] == name]
        self.assertTrue(records)
        for record in records:
            cloud.customer(record, "delete")
        cloud.advance(5 * 3600)
        for record in records:
            cloud.customer(record, "purge")
        told, done = self.really("--name", "missing")
        self.assertEqual((done.returncode, told["failed"], self.state(uid)), (1, 1, "Deactivated"))
        mark = self.gw.mark()
        told, done = self.really("--name", "missing", "--missing")
        self.assertEqual((done.returncode, told["purged"], self.state(uid)), (0, 1, "Destroyed"))
        self.gw.await_log(r'taken for gone .*record="?%s' % name, mark)

    def test_active(self):
        c = self.client()
        uid = c.create(attribute("x-Name", "in use"))
        c.ok(on("Activate", uid))
        self.fails("keys", "purge", "--name", "in use", "--state", "Active", "--really",
                   say="only --force")
        self.assertEqual(self.really("--name", "in use")[0]["purged"], 0)
        self.assertTrue(c.key(uid))
        told, _ = self.really("--name", "in use", "--state", "Active", "--force")
        self.assertEqual(told["purged"], 1)
        self.assertEqual(self.state(uid), "Destroyed")
        self.assert_gone(c, uid)

    def test_other_tenant(self):
        b = self.client(kf.AUTHORITY.make("second"))
        mine, theirs = (ended(c, attribute("x-Name", "both")) for c in (self.client(), b))
        self.really("--name", "both", "--tenant", "b")
        self.assertEqual((self.state(mine), self.state(theirs)), ("Deactivated", "Destroyed"))

    def test_misuse(self):
        for args, say in (((), "which"), (("--unused", "1d"), "last use"),
                          (("--tenant", "a", "--really"), "which"),
                          (("--tenant", "nobody", "--state", "Compromised"), "no such tenant"),
                          (("--state", "Destroyed"), "gone already"),
                          (("--older", "1d", "--force"), "--force is for"),
                          (("--older", "1d", "--max", "x"), "whole number")):
            with self.subTest(args=args):
                self.fails("keys", "purge", *args, say=say)

    def test_given_twice(self):
        """All that is given has to hold, and of two only one would be looked at."""
        c = self.client()
        uid = c.create(attribute("x-Name", "twice"))
        c.ok(on("Activate", uid))
        for args in (("keys", "purge", "--state", "Active", "--force", "--really", "--name",
                      "twice", "--older", "0s", "--older", "365d"),
                     ("keys", "purge", "--name", "twice", "--really", "--really"),
                     ("keys", "list", "--name", "twice", "--name=other"),
                     ("keys", "list", "--tenant", "a", "--tenant", "nobody"),
                     ("sessions", "close", "--tenant", "b", "--tenant", "a"),
                     ("export-root-key", "x", "y", "--certificate", "a", "--certificate", "b")):
            with self.subTest(args=args):
                done = self.gw.ctl(*args, check=False)
                self.assertEqual((done.returncode, "given twice" in done.stderr), (2, True), done)
        self.assertTrue(c.key(uid))
        both = ("--attribute", "x-Name=twice", "--attribute", "x-Name=other")
        self.assertEqual(len(self.gw.control("keys list", "attribute=x-Name=twice",
                                             "attribute=x-Name=twice")[0]), 1)
        self.assertNotIn(uid, self.gw.ctl("keys", "list", *both).stdout)

    def test_raw(self):
        """Whoever writes to the socket and is not understood destroys nothing, and gives no rights."""
        uid = ended(self.client(), attribute("x-Name", "raw"))
        with open(kf.AUTHORITY.make("raw").pem, encoding="ascii") as f:
            der = "der=" + base64.b64encode(ssl.PEM_cert_to_DER_cert(f.read())).decode()
        for words, say in ((("keys purge", "name=raw", "really=on"), "really: has to be yes or no"),
                           (("keys purge", "name=raw", "oldr=365d", "really=yes"), "oldr: is no"),
                           (("keys purge", "name=raw", "name=raw", "really=yes"), "name: is given"),
                           (("keys purge", "name=raw", "older", "really=yes"), "older: is neither"),
                           (("keys rewrap", "=a"), "one word more"),
                           (("cache flush", "a"), "a: is neither"),
                           (("trust add", "=a", der, "read-only=true"), "read-only: has to be"),
                           (("trust add", "=a", der, "readonly=yes"), "readonly: is no")):
            with self.subTest(words=words), self.assertRaisesRegex(AssertionError, say):
                self.gw.control(*words)
        self.assertEqual(self.state(uid), "Deactivated")
        self.assertEqual(len(self.gw.control("keys purge", "name=raw", "really=no")[0]), 1)
        self.assertEqual(self.state(uid), "Deactivated")


class Terminal:
    """keyferryctl on a terminal of its own."""

    def __init__(self, gw, *args, rows=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.resize(rows, columns)
        self.process = subprocess.Popen([kf.program("keyferryctl"), "-c", gw.conf, *args],
                                        stdin=self.slave, stdout=self.slave, stderr=self.slave)
        self.written = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0.05)[0]:
            self.written += os.read(self.master, 65536)

    def frame(self):
        """The lines of the last whole frame, or None."""
        self.read()
        found = re.findall(rb"\x1b\[H((?:(?!\x1b\[[HJ]).)*)\x1b\[J", self.written, re.S)
        return found and found[-1].decode().replace("\x1b[K", "").split("\r\n")

    def rate(self, operation):
        """Of the last frame; 0 when there is none."""
        for line in self.frame() or []:
            if line.startswith(operation + " ") and line.split()[-4] != "-":
                return float(line.split()[-4])
        return 0

    def end(self):
        """Its exit status; the terminal has to be as it was."""
        kf.eventually(lambda: self.read() or self.process.poll() is not None, "the end")
        self.read()
        status = self.process.wait()
        now = termios.tcgetattr(self.slave)
        os.close(self.master)
        os.close(self.slave)
        assert now == self.before, "the terminal was left changed"
        return status


class Top(kf.Case):
    SCREEN, BACK = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"

    def test_live(self):
        gw = self.gateway()
        with gw.client() as c:
            uid = c.create()
            t = Terminal(gw, "top")
            kf.eventually(t.frame, "a frame")

            def rate():
                for _ in range(20):
                    c.key(uid)
                return t.rate("Get")
            kf.eventually(rate, "a rate of Get")
        self.assertEqual(gw.metrics()["control_commands_total"], 2)  # each second is none of its own
        lines = t.frame()
        self.assertRegex(lines[0], r"^keyferry \S+ +up 0d \d\d:\d\d:\d\d +serving$")
        self.assertRegex("\n".join(lines), r"sessions +\d+ of \d+ ")
        self.assertRegex("\n".join(lines), r"storage +up ")
        t.resize(3, 20)
        t.process.send_signal(signal.SIGWINCH)
        kf.eventually(lambda: len(t.frame()) == 3, "the frame of a small window")
        self.assertTrue(all(len(line) <= 20 for line in t.frame()), t.frame())
        os.write(t.master, b"xq")
        self.assertEqual(t.end(), 0)
        self.assertTrue(t.written.startswith(self.SCREEN))
        self.assertTrue(t.written.endswith(self.BACK), t.written[-80:])
        gw.assert_idle()

    def test_ends(self):
        gw = self.gateway()
        ways = {"^C": lambda t: os.write(t.master, b"\x03"),
                "SIGTERM": lambda t: t.process.send_signal(signal.SIGTERM),
                "the daemon": lambda t: gw.stop()}
        for name, way in ways.items():
            with self.subTest(way=name):
                t = Terminal(gw, "top")
                kf.eventually(t.frame, "a frame")
                way(t)
                self.assertEqual(t.end(), 3 if name == "the daemon" else 0)
                self.assertIn(self.BACK, t.written)

    def test_elsewhere(self):
        """Plain lines, once."""
        gw = self.gateway()
        with gw.client() as c:
            c.create()
        text = gw.ctl("top", stdin=subprocess.DEVNULL).stdout
        self.assertNotIn("\x1b", text)
        self.assertRegex(text, r"\nCreate +- +- +1 +0\n")
        shown = json.loads(gw.ctl("--json", "top").stdout.splitlines()[0])
        self.assertIn({"operation": "Create", "ok": 1, "failed": 0}, shown["operations"])
        self.assertEqual((shown["storage-up"], shown["draining"]), (1, False))
        states = shown["key-managers"]
        self.assertEqual(sum(states.values()), 0 if kf.VAULT == "local" else 1)


@unittest.skipUnless(kf.VAULT == "local", "the ledger alone is asked")
class Large(kf.Case):
    OBJECTS = 100000

    def clone(self, gw, uid):
        """The key's row over and over, under other identifiers of the same length."""
        with contextlib.closing(sqlite3.connect(os.path.join(gw.state_dir, "ledger.db"))) as db:
            names = [d[1] for d in db.execute("PRAGMA table_info(objects)")]
            row = dict(zip(names, db.execute("SELECT * FROM objects").fetchone()))

            def rows():
                for n in range(2, self.OBJECTS + 1):
                    other = "%s%08x" % (uid[:-8], n)
                    body = row["body"].replace(uid.encode(), other.encode())
                    body = body.replace(struct.pack(">q", row["date_initial"]),
                                        struct.pack(">q", n))
                    changed = dict(row, id=n, uid=other, body=body, date_initial=n)
                    yield tuple(changed[k] for k in names)
            db.executemany("INSERT INTO objects VALUES (%s)" % ", ".join("?" * len(names)), rows())
            db.execute("INSERT INTO uses SELECT id, id, NULL FROM objects WHERE id > 1")
            db.commit()

    def test_nobody_waits(self):
        """Criteria that no index knows, over 100,000 objects, while a client gets a key."""
        gw = self.gateway()
        with gw.client() as c:
            uid = c.create()
            c.ok(on("Activate", uid))
            c.ok(ttlv.revoke(uid))
        gw.stop()
        self.clone(gw, uid)
        gw.start()
        took, over = [], threading.Event()

        def get():
            with gw.client() as c:
                while not over.is_set():
                    began = time.monotonic()
                    self.assertTrue(c.key(uid))
                    took.append(time.monotonic() - began)
        getting = threading.Thread(target=get)
        getting.start()
        try:
            kf.eventually(lambda: len(took) > 20, "keys")
            before, began = len(took), time.monotonic()
            found = json.loads(gw.ctl("--json", "keys", "list", "--unused", "30d", "--offset",
                                      "60000", "--max", "3").stdout.splitlines()[0])
            listed, began = time.monotonic() - began, time.monotonic()
            text = gw.ctl("keys", "purge", "--older", "30d", "--unused", "30d", "--max", "2").stdout
            purge = time.monotonic() - began
        finally:
            over.set()
            getting.join()
        # newest first, and the key that is being used is none of them
        self.assertEqual([k["uid"][-8:] for k in found],
                         ["%08x" % (self.OBJECTS - 60000 - i) for i in range(3)])
        self.assertIn("would-be-purged 2, not-looked-at %d" % (self.OBJECTS - 3), text)
        self.assertGreater(len(took), before)
        print("%d objects: keys list %.2f s, dry run of keys purge %.2f s; Get meanwhile at most "
              "%.0f ms" % (self.OBJECTS, listed, purge, 1000 * max(took[before:])))


@unittest.skipUnless(kf.VAULT == "local", "with the other vault there is much to do")
class Nowhere(Case):
    def test_rewrap_and_rebuild(self):
        """Whoever reads of no error deletes the old version of a root key."""
        with self.client() as c:
            c.create()
        for what, say in (("rewrap", "keys of the vault local stay"), ("rebuild", "nothing to take")):
            with self.subTest(what=what):
                self.fails("keys", what, say="no tenant has the vault keyprotect: ")
                self.fails("keys", what, say=say)
                self.fails("keys", what, "--tenant", "a", say="no tenant with the vault keyprotect")
        self.assertTrue(self.gw.control("health"))


class CutShort(kf.Case):
    KEYS = 60  # some seconds' work

    @kf.testing_only
    def test_purge_for_nobody(self):
        """Who has gone had seen no key go, or one: no other one follows."""
        gw = self.gateway()
        with gw.client() as c:
            uids = [ended(c) for _ in range(10)]
            gone = lambda: [c.state(u) for u in uids].count(ttlv.DESTROYED)
            clock = virtual.Clock(gw)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(gw.socket_path)
                s.sendall(b"keys purge\tstate=Deactivated\treally=yes\n")
                self.assertIn(b"under way", s.recv(65536))
                clock.until(gone, "one key is gone", 5, slice_s=0.02)
            clock.advance(5)
            self.assertEqual(gone(), 1)
        gw.assert_idle()

    def test_purge(self):
        """It ends when nobody listens any more, and with the daemon; it can be given again."""
        gw = self.gateway()
        with gw.client() as c:
            for _ in range(self.KEYS):
                ended(c)
        left = lambda: len(gw.control("keys list", "state=Deactivated")[0])
        command = b"keys purge\tstate=Deactivated\treally=yes\n"
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(gw.socket_path)
            s.sendall(command)
            self.assertIn(b"under way", s.recv(65536))
            self.assertIn("another one is under way", gw.ctl(
                "keys", "purge", "--state", "Deactivated", check=False).stderr)
        kf.eventually(lambda: gw.ctl("keys", "purge", "--state", "Deactivated",
                                     check=False).returncode == 0, "the end of the purge")
        before = left()
        self.assertGreater(before, 0)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(gw.socket_path)
            s.sendall(command)
            self.assertIn(b"under way", s.recv(65536))
            self.assertEqual(gw.stop(), 0)
        gw.start()
        self.assertGreater(left(), 0)
        gw.assert_idle()


@kf.testing_only
class Reloaded(kf.Case):
    """A reload while a purge is under way: one of its keys is gone by then."""
    KEYS = 6

    def reload(self, tenants):
        self.gw.tenants = tenants
        self.gw.configure()
        self.gw.control("reload")

    def instead(self, vault):
        return kf.Tenant("a", *self.first.certificates, vault=vault)

    def left(self):
        return len(self.gw.control("keys list", "state=Deactivated")[0])

    def start(self):
        self.first = kf.Tenant("a", kf.AUTHORITY.make("vcenter"))
        self.second = kf.Tenant("b", kf.AUTHORITY.make("second"))
        self.gw = self.gateway(tenants=[self.first, self.second])
        with self.gw.client() as c:
            return [ended(c) for _ in range(self.KEYS)]

    def purge(self, tenants, *args):
        """With these tenants from the reload on.  How it ended."""
        clock, came = virtual.Clock(self.gw), []
        command = ("keys", "purge", "--state", "Deactivated", "--really", *args)
        job = threading.Thread(target=lambda: came.append(self.gw.ctl(*command, check=False)))
        job.start()
        clock.until(lambda: self.left() < self.KEYS, "one key is gone", 30, slice_s=0.02)
        self.assertEqual(self.left(), self.KEYS - 1)
        self.reload(tenants)
        clock.until(lambda: came, "the end of the purge", 30, slice_s=0.02)
        job.join()
        return came[0]

    def assert_ended_before_the_next(self, done):
        self.assertEqual((done.returncode, self.left()), (1, self.KEYS - 1), done)
        self.assertIn("a reload changed a tenant meanwhile: give the command again", done.stderr)

    def assert_missing_says_nothing(self, uids):
        """Whose records are not where the first tenant looks now, but where it will after the reload."""
        self.assert_ended_before_the_next(self.purge([self.first, self.second], "--missing"))
        with self.gw.client() as c:
            for uid in uids[:-1]:  # the newest went first
                self.assertTrue(c.key(uid))

    @unittest.skipUnless(kf.VAULT == "keyprotect", "key rings are the key manager's")
    def test_other_key_ring(self):
        uids = self.start()
        self.assertEqual(kf.the_cloud().call("POST", "/key_rings/elsewhere").status, 201)
        wrong = self.first.usual_vault(self.gw.dir).replace(
            "\n  }", '\n    key-ring = "elsewhere"\n  }')
        self.reload([self.instead(wrong), self.second])
        self.assert_missing_says_nothing(uids)

    @unittest.skipUnless(kf.VAULT == "keyprotect", "the other kind is local")
    def test_other_kind(self):
        """A reload may correct what only a restart takes."""
        uids = self.start()
        self.gw.stop()
        self.gw.tenants = [self.instead('vault local { root-key-file = "a.root" }'), self.second]
        self.gw.configure()
        self.gw.start()
        self.assert_missing_says_nothing(uids)

    def test_tenant_goes(self):
        self.start()
        done = self.purge([self.second])
        self.reload([self.first, self.second])
        self.assert_ended_before_the_next(done)

    def test_vault_stays(self):
        """Whatever else a reload changes ends nothing."""
        self.start()
        self.first.options = "serve-compromised = false"
        done = self.purge([self.first])
        self.assertEqual((done.returncode, self.left()), (0, 0), done)
        self.assertIn("purged %d" % self.KEYS, done.stdout)


class Refused(kf.Case):
    def test_no_right_to_destroy(self):
        """Each key says why it stays; with the right it goes, by the same command."""
        vault = lambda role: kf.the_cloud().vault(role, prefix="purge")
        tenant = kf.Tenant("a", kf.AUTHORITY.make("vcenter"), vault=vault("Writer"),
                           options="born-active = false")
        gw = self.gateway(tenants=[tenant])
        with gw.client() as c:
            uids = {ended(c) for _ in range(2)}
        done = gw.ctl("--json", "keys", "purge", "--state", "Deactivated", "--really", check=False)
        self.assertEqual(done.returncode, 1)
        documents = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({d["uid"] for d in documents if "error" in d and "uid" in d}, uids)
        self.assertEqual({d["error"] for d in documents if "uid" in d}, {"permission denied"})
        tenant.vault = vault("Manager")
        gw.configure()
        gw.stop()
        gw.start()
        gw.ctl("keys", "purge", "--state", "Deactivated", "--really")
        for uid in uids:
            shown = json.loads(gw.ctl("--json", "keys", "show", uid).stdout.splitlines()[0])
            self.assertEqual(shown["state"], "Destroyed")


if __name__ == "__main__":
    kf.main()
