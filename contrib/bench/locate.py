#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each kind of Locate costs the storage child that reads (CPU time) and its client (time on the
clock), and how long a Create of another client takes meanwhile, with ledgers of so many objects of two
tenants.

usage: locate.py KEYFERRYD [COUNT ...]        (without COUNT: 1000 and 1000000)

Certificates and gateways are made as the tests in tests/integ make them; KEYFERRYD should be built
without sanitizers.  A ledger of a million objects takes about 1 GB in TMPDIR."""

import contextlib
import hashlib
import os
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILL = os.path.join(TOP, "contrib", "bench", "fill.py")
sys.path.insert(0, os.path.join(TOP, "tests", "integ"))

import kf  # pylint: disable=wrong-import-position
import ttlv  # pylint: disable=wrong-import-position

ROUNDS = 15
LIMIT = [ttlv.integer("MaximumItems", 10)]
APPLICATION = ttlv.attribute("Application Specific Information", ttlv.seq(
    "AttributeValue", ttlv.text("ApplicationNamespace", "bench"),
    ttlv.text("ApplicationData", "one of three")))
STATE = ttlv.attribute("State", ttlv.enum("AttributeValue", 2))


def label(value):
    return ttlv.attribute("x-Component", value)


def day(name, since):
    return ttlv.attribute(name, ttlv.date("AttributeValue", since))


# What is asked, and how many it finds (None: as many as ten).
KINDS = {
    "name": ([ttlv.name_attribute("bench 1")], 1),
    "no such name": ([ttlv.name_attribute("nobody")], 0),
    "state and name": ([STATE, ttlv.name_attribute("bench 1")], 0),
    "x- of few": ([label("one of three")], 3),
    "x- of all, ten": (LIMIT + [ttlv.attribute("x-Bench", "all")], None),
    "x- of all, and a name": ([ttlv.attribute("x-Bench", "all"),
                               ttlv.name_attribute("bench 1")], 1),
    "group": ([ttlv.attribute("Object Group", "three")], 3),
    "application specific": ([APPLICATION], 3),
    "the newest ten": (LIMIT, None),
    "ten from the 5,000th": ([LIMIT[0], ttlv.integer("OffsetItems", 5000)], None),
    "type, ten": (LIMIT + [ttlv.attribute("Object Type", ttlv.enum("AttributeValue", 2))], None),
    "dates alone, none": ([day("Deactivation Date", 1), day("Deactivation Date", 2)], 0),
    "ten thousand": ([ttlv.integer("MaximumItems", 10000)], None),
}


class Storage:
    """The storage child that reads."""

    def __init__(self, gw):
        self.path = "/proc/%d/schedstat" % gw.reader_pid()

    def cpu(self):
        with open(self.path, encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e6

    def settle(self):
        """Until it has nothing of its own to do."""
        last = -1.0
        while self.cpu() - last > 1:
            last = self.cpu()
            time.sleep(2)


def add_keys(state, tenant, count):
    """What the ledger finds the copies by: a label that all have, and one of each one's own."""
    with contextlib.closing(sqlite3.connect(state + "/ledger.db")) as db, db:
        db.execute("PRAGMA cache_size = -1000000")
        last = db.execute("SELECT key FROM attrs JOIN objects ON object = id WHERE attrs.tenant = ?"
                          " GROUP BY key HAVING count(*) = 4", (tenant,)).fetchone()[0]
        ids = db.execute("SELECT id FROM objects WHERE tenant = ? ORDER BY id DESC LIMIT ?",
                         (tenant, count)).fetchall()
        db.executemany("INSERT INTO attrs (tenant, key, object) VALUES (?, ?, ?)", (
            (tenant, key, one) for (one,) in ids
            for key in (last, hashlib.sha256(b"%d" % one).digest())))


def make(gw, tenant, count):
    """Three objects that are looked for and one more, and copies of that."""
    with gw.client(gw.tenants["ab".index(tenant)].certificates[0]) as c:
        for n in range(4):
            few = [] if n == 3 else [
                label("one of three"), ttlv.attribute("Object Group", "three"), APPLICATION,
                ttlv.name_attribute("bench %d" % n)]
            c.ok(ttlv.create(ttlv.attribute("x-Bench", "all"), *few))
    gw.stop()
    subprocess.run([sys.executable, FILL, gw.state_dir, tenant, str(count)], check=True)
    add_keys(gw.state_dir, tenant, count)
    gw.start(600)


def create_beside(gw, ended, times):
    with gw.client() as c:
        while not ended.is_set():
            began = time.monotonic()
            c.ok(ttlv.create())
            times.append((time.monotonic() - began) * 1e3)


def measure(gw, storage, payload, wanted):
    """ms of the reader's CPU, ms on the clock, the longest Create meanwhile."""
    cpu, clock = [], []
    with gw.client(version=(1, 4)) as c:
        for _ in range(ROUNDS):
            before, began = storage.cpu(), time.monotonic()
            found = c.ok(ttlv.item("Locate", *payload))
            clock.append((time.monotonic() - began) * 1e3)
            cpu.append(storage.cpu() - before)
            if wanted is not None and len(found.all("UniqueIdentifier")) != wanted:
                sys.exit("not %d, but %d" % (wanted, len(found.all("UniqueIdentifier"))))
        ended, times = threading.Event(), []
        beside = threading.Thread(target=create_beside, args=(gw, ended, times))
        beside.start()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            c.ok(ttlv.item("Locate", *payload))
        ended.set()
        beside.join()
    return (statistics.median(cpu), statistics.median(clock), statistics.median(times),
            max(times))


def run(count):
    tenants = [kf.Tenant(name, kf.AUTHORITY.make(cert))
               for name, cert in (("a", "vcenter"), ("b", "other"))]
    gw = kf.Gateway(tenants=tenants)
    try:
        gw.start()
        make(gw, "b", count // 4)
        make(gw, "a", count - count // 4)
        storage = Storage(gw)
        storage.settle()
        print("%d objects, three quarters of them the tenant's" % count)
        print("  %-24s %12s %12s   %s" % ("Locate by", "storage, ms", "client, ms",
                                          "a Create meanwhile, ms: median, longest"))
        for name, (payload, wanted) in KINDS.items():
            print("  %-24s %12.3f %12.3f   %.3f, %.3f" % (
                (name,) + measure(gw, storage, payload, wanted)), flush=True)
        gw.stop()
    finally:
        gw.clean()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.environ["KEYFERRY_KEYFERRYD"] = os.path.abspath(sys.argv[1])
    for count in sys.argv[2:] or ("1000", "1000000"):
        run(int(count))


if __name__ == "__main__":
    main()
