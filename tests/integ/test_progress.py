# SPDX-License-Identifier: Apache-2.0
"""How far a long command is: keyferryctl on a terminal, into a pipe, and as JSON."""

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios

import cloud
import kf
import ttlv
from ttlv import attribute

COPIED = ": objects 60, without root keys, configuration, private keys of TLS"
KEYS = 12
STRANGERS = 100
COLUMNS = 72
BAR = re.compile(r"\[(#*)(\.*)\] +(\d+) %  (.*)")


def on_terminal(gw, *args):
    """What keyferryctl writes to a terminal, cut where it goes back to the line's begin."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen([kf.program("keyferryctl"), "-c", gw.conf, *args], stdout=slave,
                               stderr=slave, stdin=subprocess.DEVNULL)
    os.close(slave)
    written = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        written += chunk
    os.close(master)
    return process.wait(), re.split("\r\n|\r|\n", written.decode())


class Progress(kf.Case):
    def bars(self, pieces):
        """The percentages of all bars, having looked at each."""
        found = []
        for piece in pieces:
            match = BAR.match(piece)
            if match:
                self.assertEqual(len(piece), COLUMNS - 1)  # never into the next line
                self.assertEqual(len(match[1]) + len(match[2]), 24)
                self.assertEqual(len(match[1]), int(match[3]) * 24 // 100)
                found.append(int(match[3]))
        self.assertEqual(found, sorted(found))
        self.assertTrue(all(0 <= n < 100 for n in found), found)
        return found

    def last(self, pieces):
        return [p for p in pieces if p.strip()][-1]


class Walks(Progress):
    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory, STRANGERS)
        self.addCleanup(self.cloud.stop)
        self.cloud.settings(rotate_interval_s=0)
        self.gw = self.gateway(tenants=[kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                                                  vault=self.cloud.vault())])
        with self.gw.client() as c:
            for _ in range(KEYS):
                c.create()
        self.cloud.await_rights(1)

    def rotate(self):
        self.cloud.customer(self.cloud.root, "rotate")

    def test_rewrap(self):
        self.rotate()
        status, pieces = on_terminal(self.gw, "keys", "rewrap")
        self.assertEqual(status, 0, pieces)
        self.assertGreaterEqual(len(self.bars(pieces)), 3)
        whole = "a: objects %d, done %d, rewrapped %d, left 0" % (KEYS, KEYS, KEYS)
        self.assertEqual(self.last(pieces), whole)
        made = [e["arrived-ms"] for e in self.cloud.admin("GET", "/journal")["entries"]
                if e["operation"] == "kms.secrets.create"][-KEYS:]
        self.assertGreaterEqual(min(b - a for a, b in zip(made, made[1:])), 195)  # five a second
        self.rotate()
        done = self.gw.ctl("keys", "rewrap")
        lines = done.stdout.split("\n")
        self.assertNotIn("\r", done.stdout)
        self.assertEqual(lines[-2:], [whole, ""])
        looks = [line for line in lines[:-2]
                 if re.match(r"a: 0 %, records \d+, looked-at \d+$", line)]
        self.assertEqual(looks, lines[:len(looks)])
        percents = [int(re.match(r"a: (\d+) %, objects 12, done \d+, rewrapped \d+, left 0$",
                                 line)[1]) for line in lines[len(looks):-2]]
        self.assertGreaterEqual(len(percents), 2)
        self.assertLessEqual(len(percents), 11)
        self.assertEqual(percents, sorted(percents))
        self.rotate()
        documents = [json.loads(line) for line in
                     self.gw.ctl("--json", "keys", "rewrap").stdout.splitlines()]
        self.assertTrue(all("percent" in d for d in documents[:-1]))
        self.assertEqual(documents[-1], {"tenant": "a", "objects": KEYS, "done": KEYS,
                                         "rewrapped": KEYS, "left": 0})

    def test_rewrap_that_gives_up(self):
        """The bar's line is left before the complaint."""
        self.rotate()
        self.cloud.fault(operation="kms.secrets.create", skip=5, status=403)
        status, pieces = on_terminal(self.gw, "keys", "rewrap")
        self.assertEqual(status, 1)
        self.assertTrue(self.bars(pieces))
        self.assertIn("a: objects 12, done 6, rewrapped 5, left 1", pieces)
        self.assertTrue(self.last(pieces).startswith("keyferryctl: not everything"), pieces)
        self.cloud.admin("DELETE", "/faults")
        done = self.gw.ctl("keys", "rewrap", check=False)
        rewrapped = int(re.search(r"^a: objects 12, done 12, rewrapped (\d+), left \d$",
                                  done.stdout, re.M)[1])
        self.assertIn(rewrapped, (6, 7))  # what was done is skipped

    def test_rebuild(self):
        status, pieces = on_terminal(self.gw, "keys", "rebuild")
        self.assertEqual(status, 0, pieces)
        self.assertTrue(self.bars(pieces))
        whole = "a: records 112, done 112, adopted 0, foreign %d, left 0" % STRANGERS
        self.assertEqual(self.last(pieces), whole)
        lines = self.gw.ctl("keys", "rebuild").stdout.splitlines()
        self.assertEqual(lines[-1], whole)
        self.assertRegex(lines[0], r"^a: \d+ %, records 112, done \d+, ")


class Backup(Progress):
    def test_backup(self):
        gw = self.gateway(tenants=[kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                                             vault='vault local { root-key-file = "a.root" }')])
        with gw.client() as c:
            for _ in range(60):  # so that it is not done at once
                c.create(*[attribute("x-%d" % n, "p" * 8000) for n in range(6)])
        places = [os.path.join(gw.dir, name) for name in ("first", "second")]
        for place in places:
            os.mkdir(place)
        status, pieces = on_terminal(gw, "backup", places[0])
        self.assertEqual(status, 0, pieces)
        self.assertTrue(self.bars(pieces))
        self.assertEqual(self.last(pieces), places[0] + COPIED)
        lines = gw.ctl("backup", places[1]).stdout.splitlines()
        self.assertRegex(lines[0], "^%s: \\d+ %%$" % re.escape(places[1]))
        self.assertEqual(lines[-1], places[1] + COPIED)
        self.assertNotIn("copying", gw.log())


if __name__ == "__main__":
    kf.main()
