#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a gateway does with more clients than it can serve.

Measures how many fetches (connect, full handshake, Get, close) it answers in a second, before and after
it offers a multiple of that, each client with so much patience from its connect, and asks for keys on
sessions that were open before.  Tells which share of the capacity was answered in time, and how long
the Gets took meanwhile.  It needs keyferry-bench; what is said about that one's options and about
pointing it at a tenant of its own holds here, too.  Give it a machine of its own: a client that is
short of CPU is late by itself.

A client's share of a handshake costs as much as the server's, or more.  Where the gateway is on the same
machine, --pid leaves it a part of a core (SCHED_DEADLINE, by chrt(1), as root), so that three times what
it can serve is less than clients can offer on the rest, and it is the gateway that is measured."""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--server", "-s", required=True, metavar="HOST:PORT")
    for name, what in (("cert", "certificate of all clients"), ("key", "its private key"),
                       ("ca", "the server's certificate, or those who signed it")):
        p.add_argument("--" + name, required=True, metavar="FILE", help=what)
    p.add_argument("--times", type=float, default=3, help="of the capacity (3)")
    p.add_argument("--duration", type=float, default=30, help="of the overload, in seconds (30)")
    p.add_argument("--measure", type=float, default=10, help="how long capacity is measured (10)")
    p.add_argument("--patience", type=float, default=2, help="of each client, in seconds (2)")
    p.add_argument("--connections", type=int, default=64, help="that measure the capacity (64)")
    p.add_argument("--sessions", type=int, default=4, help="that were open before (4)")
    p.add_argument("--gets", type=float, default=100, help="on these, a second in all (100)")
    p.add_argument("--pid", type=int, help="of the gateway: it gets a part of a core only")
    p.add_argument("--part", type=float, default=8, metavar="PERCENT", help="which part (8)")
    p.add_argument("--bench", default="keyferry-bench", metavar="PROGRAM")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p.parse_args()


def most_clients():
    """As many as keyferry-bench may have descriptors for, and some for itself."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else max(1, hard - 64)


def ms(seconds):
    return "%dms" % round(seconds * 1000)


class Bench:
    """keyferry-bench, running."""

    def __init__(self, o, *args):
        self.process = subprocess.Popen(
            [o.bench, "--server", o.server, "--cert", o.cert, "--key", o.key, "--ca", o.ca, "--json",
             "--quiet", *args], stdout=subprocess.PIPE)

    def result(self):
        said = self.process.communicate()[0]
        if self.process.returncode > 1:  # 1: something failed, as it may
            sys.exit("overload: keyferry-bench ended with %d" % self.process.returncode)
        return json.loads(said)


@contextlib.contextmanager
def a_part_of_a_core(o):
    """For the gateway: so much of every 4 ms, when it has something to do, and no more."""
    if o.pid is None:
        yield
        return
    period = 4000000
    subprocess.run(["chrt", "--deadline", "--reset-on-fork", "--sched-runtime",
                    str(round(period * o.part / 100)), "--sched-deadline", str(period),
                    "--sched-period", str(period), "--pid", "0", str(o.pid)], check=True)
    try:
        yield
    finally:
        subprocess.run(["chrt", "--other", "--pid", "0", str(o.pid)], check=True)


def capacity_of(o):
    found = Bench(o, "-n", str(o.connections), "-d", ms(o.measure), "fetches").result()
    if found["done"] == 0:
        sys.exit("overload: no fetch was answered: %s" % found["failures"])
    return found["done"] * 1e6 / found["wall_us"]


def measure(o):
    before = capacity_of(o)
    offered = o.times * before
    # one for each who waits, those whose patience ends now included
    clients = min(int(offered * (o.patience + 0.5)) + o.connections, most_clients())
    gets = Bench(o, "-n", str(o.sessions), "-R", "%.3f" % o.gets, "-d", ms(o.duration), "gets")
    flood = Bench(o, "-n", str(clients), "-R", "%.3f" % offered, "-d", ms(o.duration), "-p",
                  ms(o.patience), "fetches").result()
    asked = gets.result()
    # the machine may have become faster, or slower
    capacity = (before + capacity_of(o)) / 2
    return {"capacity_per_s": capacity, "offered_per_s": flood["begun"] / o.duration,
            "answered_per_s": flood["done"] / o.duration,
            "answered_share": flood["done"] / o.duration / capacity,
            "answered_p99_us": flood["latency"]["p99_us"], "gets": asked["done"],
            "gets_failed": asked["failed"], "gets_p50_us": asked["latency"]["p50_us"],
            "gets_p99_us": asked["latency"]["p99_us"]}


def main():
    o = parse()
    with a_part_of_a_core(o):
        found = measure(o)
    if o.json:
        print(json.dumps(found))
        return
    print("capacity    %(capacity_per_s).0f fetches a second\n"
          "offered     %(offered_per_s).0f a second\n"
          "in time     %(answered_per_s).0f a second, %(answered_share).2f of the capacity" % found)
    print("Gets beside %d, %d failed; p50 %.1f ms, p99 %.1f ms" % (
        found["gets"], found["gets_failed"], found["gets_p50_us"] / 1e3,
        found["gets_p99_us"] / 1e3))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as e:
        sys.exit("overload: chrt ended with %d" % e.returncode)
    except OSError as e:
        sys.exit("overload: %s: %s" % (e.filename or "keyferry-bench", os.strerror(e.errno)))
