# SPDX-License-Identifier: Apache-2.0
"""A month of a gateway's life on virtual time: sessions in the rhythm of a vCenter's day, keys that are
made and ended, tokens, outages, rotations, reloads, new certificates and revocation lists, backups.
What it uses stays the same day by day, what it counts is what its clients counted, and its log
complains of nothing but what was done to it.

KEYFERRY_LONG=1: all of it; else some days."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

import accounts
import cloud
import kf
import processes
import ttlv
import virtual
from certificate_authority import Ca
from ttlv import ACTIVE, attribute, get_attributes, on, ubid

# What is in use settles in two days.  The heap beneath it takes longer: free blocks between those that
# stay hold 0.3 MB of pages by the twelfth day.
DAYS, WARM = (30, 12) if kf.LONG else (5, 3)
BOUND = 3600  # revocation-bound
GROWTH = 1.02
# glibc counts as in use what lies in a thread's own lists of free blocks: seven of each of 64 sizes,
# 240 kB at most, which fill in the course of weeks.  Without them only what is held is counted.
ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
# A sanitizer keeps what was freed, and some days are too few for the heap to settle.
CHILDREN = {"keyferry-store": "storage child", "keyferry-read": "storage reader",
            "keyferry-audit": "audit child"}
RESIDENT = ("resident", *CHILDREN.values())
DESCRIPTORS = ("descriptors", *(name + "'s descriptors" for name in CHILDREN.values()))
KEY = 32  # bytes of the secure heap for a key in memory
# What a connection to the key manager takes; libcurl keeps one or two more, or fewer.
CONNECTION = {"in use": 35000, "secure heap": 96, "descriptors": 1}
OUTAGE = re.compile(" custody: the key manager is away: keys are served| iam: unavailable "
                    "| keyprotect: (call failed .* status=0 |does not answer)")
# All of these are listed every evening: more than the ledger's rows in memory have room for.
FILL = 700 if kf.LONG else 40
MADE = 6  # keys a day, on weekdays
CROWD = 20000 if kf.LONG else 300  # sessions on a Monday morning
LEDGER, OBJECT = 200000, 2000  # bytes of the ledger, and more for each object that was ever made
HOUR, SLICE = 3600, 600
LISTED = 5  # days for which a revocation list holds; a new one is read after three nights
STEP = 250 if kf.VAULT == "keyprotect" else 5000  # milliseconds
LABELS = (("x-Product_Version", "8.0.3"), ("x-Vendor", "VMware, Inc."), ("x-Product", "vSphere"))


class Site:
    """A gateway, its clock, and the hosts' authority with its revocation list."""

    def __init__(self, test, number, authority, vault, clouds):
        self.gw = accounts.Gateway(
            tenants=[kf.Tenant("a", test.vcenter, vault=vault)],
            servers=[kf.AUTHORITY.make("soak-server-%d" % number)], options='log-level = "notice"')
        test.addCleanup(test._end, self.gw)
        self.test, self.number, self.authority = test, number, authority
        self.held, self.log_at, self.roots, self.days, self.today = None, 0, 0, [], {}
        self.code = {}
        self.authority.crl("list.pem", ends=LISTED)
        self.gw.tenants[0].options = (
            'client-ca = {"%s"}\n  client-subject = "O=soak, CN=esx*"\n  crl-file = {"%s"}\n'
            '  revocation-bound = "%ds" ride-out-max = "2h"' % (
                authority.pem, os.path.join(authority.dir, "list.pem"), BOUND))
        self.gw.configure()
        self.gw.start(env={**ALLOCATOR, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") +
                           ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"})
        self.clock = virtual.Clock(self.gw, *clouds)

    def replace_server(self, week):
        self.gw.servers = [kf.AUTHORITY.make("soak-server-%d-%d" % (self.number, week))]

    # --- what clients do ---

    def poll(self):
        """vCenter looks how its key provider is."""
        self.gw.probe()
        with self.gw.client() as c:
            c.ok(ttlv.item("DiscoverVersions"))
            c.ok(ttlv.item("DiscoverVersions", ubid=ubid(1)))

    def make(self):
        """A virtual machine is encrypted: each step on a connection of its own, as vCenter has it."""
        with self.gw.client() as c:
            c.ok(ttlv.item("DiscoverVersions"))
            uid = c.create()
        self.test.made += 1
        with self.gw.client() as c:
            c.ok(ttlv.item("DiscoverVersions"))
            for name, _ in LABELS:
                c.ok(get_attributes(uid, name))
            c.call(*[on("AddAttribute", uid, attribute(name, value), ubid=ubid(n))
                     for n, (name, value) in enumerate(LABELS, 1)])
            key = c.key(uid)
        with self.gw.client() as c:
            if c.state(uid) != ACTIVE:
                c.ok(on("Activate", uid))
        return uid, key

    def fill(self, count):
        with self.gw.client() as c:
            made = [c.create() for _ in range(count)]
            self.test.made += count
            for uid in made:
                if c.state(uid) != ACTIVE:
                    c.ok(on("Activate", uid))
            return [(uid, c.key(uid)) for uid in made]

    def boot(self, host, keys):
        """A host fetches what it needs."""
        with self.gw.client(host) as c:
            for uid, key in keys:
                if c.key(uid) != key:
                    raise AssertionError("another key")

    def crowd(self, uid):
        """A cluster boots: far more sessions than on other days."""
        certificate = self.gw.tenants[0].certificates[-1]
        traffic = ("received_bytes_total", "sent_bytes_total")
        before = self.gw.page()
        told = json.loads(subprocess.run(
            [kf.program("keyferry-bench"), "-s", "127.0.0.1:%d" % self.gw.port, "--cert",
             certificate.pem, "--key", certificate.key, "--ca", self.gw.servers[0].pem, "-u", uid,
             "-c", str(CROWD), "-n", "32", "--json", "-q", "fetches"],
            check=True, stdout=subprocess.PIPE, timeout=600).stdout)
        self.test.assertEqual((told["done"], told["failed"]), (CROWD, 0))
        for what in ("sessions_total", "handshakes_ok_total", "requests_total", "items_ok_total",
                     ("Get", "ok")):
            self.gw.count(what, CROWD)
        after = self.gw.page()
        for what in traffic:  # all of one size
            more = after.of(what) - before.of(what)
            self.test.assertEqual(more % CROWD, 0, what)
            self.gw.count(what, int(more))

    def list(self, keys):
        """Whoever takes stock."""
        with self.gw.client() as c:
            for uid, _ in keys:
                self.test.assertEqual(c.state(uid), ACTIVE)

    def end(self, uid):
        with self.gw.client() as c:
            c.ok(ttlv.revoke(uid))
            c.ok(on("Destroy", uid))
            self.test.assert_reason(c.do(on("Get", uid)), "ItemNotFound", "PermissionDenied",
                                    "ObjectDestroyed")

    def hold(self):
        """Somebody who stays and says nothing more."""
        self.held = self.gw.client()
        self.held.ok(ttlv.item("DiscoverVersions"))

    def let_go(self):
        if self.held is not None:
            self.test.assertTrue(self.held.is_closed())
            self.held.close()
            self.gw.count("idle_timeout_total")
            self.held = None

    # --- what is looked at ---

    def look(self):
        memory = self.gw.control("test memory")[0]
        status = self.gw.metrics()
        self.sanitized = memory["sanitized"]
        used = {
            "in use": memory["in-use-bytes"],
            "resident": self.resident(self.gw.process.pid),
            "secure heap": status["secure_heap_used"] - KEY * (status["cache_keys"] + self.roots),
            "descriptors": status["process_open_fds"],
        }
        children = processes.children(self.gw.process.pid)
        for title, what in CHILDREN.items():
            used[what] = self.resident(children[title])
            used[what + "'s descriptors"] = len(processes.descriptors(children[title]))
        kept = connections(self.gw.process.pid, self.test.cloud) if self.test.cloud else 0
        for what, n in used.items():
            n -= kept * CONNECTION.get(what, 0)
            self.today[what] = min(n, self.today.get(what, n))

    def resident(self, pid):
        """Of the pages of files, which are code, those of the first day: more come when it is first
        used, or when its neighbours were read for others."""
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            rss = {name: 1024 * int(n) for name, n in re.findall(r"Rss(\w+):\s+(\d+) kB", f.read())}
        return self.code.setdefault(pid, rss["File"]) + rss["Anon"] + rss["Shmem"]

    def read_log(self, allowed):
        """Nothing is complained of since the last time but what is allowed."""
        at, self.log_at = self.log_at, self.gw.mark()
        for line in self.gw.log(at).splitlines():
            if re.search(r"^\S+ (warn|error) |ERROR:|runtime error", line) and not (
                    allowed and allowed.search(line)):
                raise AssertionError("nobody caused this: %s" % line)

    def end_day(self, day):
        accounts.balance(self.gw)
        self.days.append(self.today)
        self.today = {}
        print("day %2d, gateway %d: %s, ledger %d" % (
            day, self.number, ", ".join("%s %d" % kv for kv in self.days[-1].items()),
            os.path.getsize(os.path.join(self.gw.state_dir, "ledger.db"))), flush=True)
        self.read_log(OUTAGE)

    def check(self):
        size = os.path.getsize(os.path.join(self.gw.state_dir, "ledger.db"))
        print("gateway %d: ledger: %d bytes, %d objects were made" % (
            self.number, size, self.test.made))
        self.test.assertLess(size, LEDGER + OBJECT * self.test.made)
        warm, later = self.days[:WARM], self.days[WARM:]
        for what, limit in (("in use", GROWTH), *((name, GROWTH) for name in RESIDENT),
                            ("secure heap", 1), *((name, 1) for name in DESCRIPTORS)):
            base, most = max(d[what] for d in warm), max(d[what] for d in later)
            print("gateway %d: %s: at most %d while warming up, %d later: %+.2f %%" % (
                self.number, what, base, most, 100 * (most / base - 1)))
            if what not in RESIDENT or (kf.LONG and not self.sanitized):
                self.test.assertLessEqual(most, base * limit, what)


def connections(pid, to):
    """How many of them to the key manager a process has."""
    place = ":%04X" % int(to.api.split(":")[1])
    with open("/proc/%d/net/tcp" % pid, encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    sockets = {"socket:[%s]" % row[9] for row in rows if row[2].endswith(place)}
    found = 0
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(OSError):
            found += os.readlink("/proc/%d/fd/%s" % (pid, fd)) in sockets
    return found


class Month(kf.Case):
    def setUp(self):
        self.vcenter = kf.AUTHORITY.make("vcenter")
        self.dir = tempfile.mkdtemp(prefix="keyferry-soak-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.authority = Ca(self.dir, "Hosts")
        self.host = self.authority.client("esx1", "/O=soak/CN=esx1", days=90)
        self.lost = self.authority.client("esx2", "/O=soak/CN=esx2", days=90)
        self.stranger = kf.AUTHORITY.make("stranger")
        self.cloud = self.start_cloud() if kf.VAULT == "keyprotect" else None
        count = 2 if self.cloud else 1
        self.sites = [Site(self, n, self.authority, self.vault(),
                           [self.cloud] if self.cloud and n == 0 else []) for n in range(count)]
        self.keys, self.made = [], 0

    def start_cloud(self):
        made = cloud.Cloud(self.dir)
        self.addCleanup(made.stop)
        made.settings(rotate_interval_s=0)
        made.clear_journal()
        return made

    def vault(self):
        return self.cloud.vault(prefix="soak", options="attributes = shared") if self.cloud else None

    # --- time ---

    def pass_time(self, seconds):
        """Nothing but timers and calls to the key manager; these have pauses between them."""
        for at in range(0, seconds, SLICE):
            for s in self.sites:
                s.clock.advance(min(SLICE, seconds - at), step=STEP, slice_s=SLICE, tick=0)

    @contextlib.contextmanager
    def live(self, speed=1):
        """Virtual time passes as fast as real time does; faster, while no client is there."""
        over, broken = threading.Event(), []

        def run():
            try:
                last = time.monotonic()
                while not over.wait(0.05):
                    now = time.monotonic()
                    for s in self.sites:
                        s.clock.advance(speed * min(1.0, now - last), step=50, slice_s=speed)
                    last = now
            except BaseException as e:  # told below
                broken.append(e)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            if broken:
                raise broken[0]

    # --- a day ---

    def hour(self, day, hour):
        site = self.sites[(day + hour) % len(self.sites)]
        weekday = day % 7 < 5
        for s in self.sites:
            s.poll()
        if hour == 2:
            self.night(day)
        if hour == 7:
            site.boot(self.host, self.keys[-5:])
        if hour == 8 and day % 7 == 0:
            site.crowd(self.keys[-1][0])
        if weekday and 9 <= hour < 9 + MADE:
            self.keys.append(site.make())
            site.boot(self.vcenter_now, self.keys[-1:])
        if hour == 12:
            for s in self.sites:
                s.hold()
        if weekday and hour == 18:
            for _ in range(MADE):
                site.end(self.keys.pop(0)[0])
        if hour == 20:
            for s in self.sites:
                s.list(self.keys)
        if hour == 22:
            for s in self.sites:
                s.gw.refuse(self.stranger)
                if day > 0:
                    s.gw.refuse(self.lost)

    def night(self, day):
        """Backup, log rotation, a new revocation list; some nights more."""
        revoked = [self.lost] if day == 0 else []
        now = int(self.sites[0].clock.now / 86400)  # a day of outages has more than 24 hours
        self.authority.crl("list.pem", *revoked, begins=now - 1, ends=now + LISTED)
        if day % 3 == 1:
            self.replace_certificates(day)
        for s in self.sites:
            to = os.path.join(self.dir, "copy-%d" % s.number)
            shutil.rmtree(to, ignore_errors=True)
            os.mkdir(to, 0o700)
            s.gw.control("backup", "=" + to, timeout=60)
            s.gw.rotate_audit()
            if day % 3 == 1:
                self.rotate_root(s)
                s.gw.reload()

    @property
    def vcenter_now(self):
        return self.sites[0].gw.tenants[0].certificates[-1]

    def replace_certificates(self, day):
        """The server's, and vCenter's: the old one is trusted until the next time."""
        new = kf.AUTHORITY.make("vcenter-%d" % day)
        for s in self.sites:
            s.replace_server(day)
            s.gw.tenants[0].certificates = s.gw.tenants[0].certificates[-1:] + [new]
            s.gw.configure()

    def rotate_root(self, site):
        if self.cloud:
            if site.number == 0:
                self.cloud.customer(self.cloud.root, "rotate")
            return
        path = site.gw.tenants[0].secret(site.gw.dir)
        with open(path, encoding="ascii") as f:
            lines = f.read()
        with open(path, "w", encoding="ascii") as f:
            f.write("%d %s\n%s" % (lines.count("\n") + 1, os.urandom(32).hex(), lines))
        site.roots += 1

    def outage(self):
        """What is in memory is served all the same; and connections that the day left are given up,
        which libcurl does by real time."""
        with self.live():
            for s in self.sites:
                s.boot(self.vcenter_now, self.keys[-3:])
        self.cloud.admin("POST", "/outage", {"mode": "refuse", "port": "api"})
        self.pass_time(BOUND + 1800)
        for s in self.sites:
            s.boot(self.vcenter_now, self.keys[-3:])
            s.gw.count("ride_out_gets_total", 3)
            s.gw.count("custody_riding_out_total")
        self.cloud.admin("POST", "/outage", {"mode": "none", "port": "api"})
        self.pass_time(1800)

    def day(self, day):
        for hour in range(24):
            with self.live() if self.cloud else contextlib.nullcontext():
                self.hour(day, hour)
            if self.cloud and hour == 2 and day % 3 == 1:
                with self.live(speed=20):
                    self.sites[0].gw.control("keys rewrap", timeout=600)
            self.pass_time(HOUR)
            for s in self.sites:
                s.let_go()
        for s in self.sites:
            s.read_log(None)
        if self.cloud:
            self.outage()
        for _ in range(2):  # what is under way at one time is over at another
            for s in self.sites:
                s.look()
            self.pass_time(HOUR)
        for s in self.sites:
            s.end_day(day)

    def test_month(self):
        with self.live() if self.cloud else contextlib.nullcontext():
            self.keys = self.sites[0].fill(FILL)
        for day in range(DAYS):
            self.day(day)
        for s in self.sites:
            s.check()
        if self.cloud:
            self.check_calls()
        for s in self.sites:
            self.assertEqual(s.gw.stop(), 0)

    def check_calls(self):
        """What the gateways say that they asked for is what the key manager was asked for; it counts
        calls that came just when an outage began, and were not answered."""
        ours = [s.gw.page() for s in self.sites]
        calls, outages, tokens = (sum(m.of(name) for m in ours) for name in (
            "keyprotect_calls_total", "keyprotect_outages_total", "iam_tokens_total"))
        theirs = self.cloud.admin("GET", "/counts")["operations"]
        asked = sum(n["calls"] for name, n in theirs.items() if name.startswith("kms."))
        iam = theirs["iam.token"]
        print("%d calls to the key manager, %d of them in vain; %d tokens" % (
            calls, outages, tokens))
        self.assertEqual(tokens, iam["calls"] - iam["failed"])
        self.assertTrue(calls - outages <= asked <= calls, asked)


if __name__ == "__main__":
    kf.main()
