#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How much of each layer the tests run through, in lines, against floors that only rise.

usage: coverage.py [--long] [--raise] BUILD

BUILD is made, or brought up to date, with gcc's counters in it.  Without --long the codec is measured,
by its own tests and its fuzzer's corpus (some seconds); with it all layers, by all tests, those of
the running daemon included.  A layer below its floor in
tests/coverage.floor fails, and so does one that has risen SLACK above it: --raise writes the new
floors down, SPREAD below what was measured, and never a lower one.  BUILD/coverage.txt names the lines that nothing ran.
"""

import argparse
import collections
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
FLOORS = os.path.join(HERE, "coverage.floor")
SLACK = 3.0
SPREAD = {"quick": 0.0, "long": 0.5}  # how much less it may be another time: clocks and signals decide
QUICK = ("kmip-", "fuzz-ttlv")
LAYERS = ("base", "kmip", "net", "keys", "gate", "daemon", "ctl")
# They kill what they test, or fail each of its calls in turn: much time, and nothing that others
# do not run through.
LEFT_OUT = ("kill", "powerloss", "storm", "syscalls", "torture")


def run(*command, **more):
    return subprocess.run(command, check=True, **more)


def introspect(build, what):
    return json.loads(run("meson", "introspect", build, "--" + what, stdout=subprocess.PIPE).stdout)


def choose(build, long):
    """The names of tests, and the programs that have to be built for them."""
    tests = []
    for test in introspect(build, "tests"):
        if long:
            taken = "lint" not in " ".join(test["suite"]) and \
                not any(word in test["name"] for word in LEFT_OUT)
        else:
            taken = test["name"].startswith(QUICK)
        if taken:
            tests.append(test)
    files = {t["id"]: t["filename"] for t in introspect(build, "targets")}
    programs = {os.path.relpath(f, build) for t in tests for d in t["depends"] for f in files[d]}
    return [t["name"] for t in tests], sorted(programs)


def measure(build, layers):
    """{layer: per cent of its lines}"""
    counted = os.path.join(build, "coverage.json")
    run("gcovr", "--root", ROOT, "--object-directory", build, "--exclude-unreachable-branches",
        *(word for l in layers for word in ("--filter", "%s/src/%s/" % (ROOT, l))),
        "--json-summary", counted, "--txt", os.path.join(build, "coverage.txt"), build)
    lines = collections.defaultdict(lambda: [0, 0])
    with open(counted, encoding="utf-8") as f:
        for file in json.load(f)["files"]:
            layer = lines[file["filename"].split("/")[1]]
            layer[0] += file["line_covered"]
            layer[1] += file["line_total"]
    return {layer: 100 * lines[layer][0] / lines[layer][1] for layer in layers}


def read_floors(lines):
    """{(tier, layer): per cent}, in the file's order, and what stands above them."""
    floors, head = {}, []
    for line in lines:
        if line.startswith("#"):
            head.append(line)
        else:
            tier, layer, floor = line.split()
            floors[tier, layer] = float(floor)
    return floors, head


def write_floors(floors, head):
    with open(FLOORS, "w", encoding="utf-8") as f:
        f.writelines(head)
        f.writelines("%-5s  %-6s  %5.1f\n" % (*key, floor) for key, floor in floors.items())


def compare(tier, measured, rise):
    with open(FLOORS, encoding="utf-8") as f:
        floors, head = read_floors(f)
    bad = 0
    for layer, now in measured.items():
        floor = floors[tier, layer]
        verdict = "ok"
        if now < floor:
            verdict, bad = "BELOW ITS FLOOR", bad + 1
        elif rise:
            floors[tier, layer] = max(floor, int((now - SPREAD[tier]) * 10) / 10)
        elif now > floor + SLACK:
            verdict, bad = "has risen: coverage.py --raise", bad + 1
        print("%-7s %5.1f %% of lines, floor %5.1f %%  %s" % (layer, now, floor, verdict))
    if rise:
        write_floors(floors, head)
    return bad


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--raise", action="store_true", dest="rise")
    parser.add_argument("build")
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    if not os.path.exists(os.path.join(build, "build.ninja")):
        run("meson", "setup", build, ROOT, "-Dtesting=true", "-Db_coverage=true",
            "-Dbuildtype=debug", stdout=subprocess.DEVNULL,
            env={**os.environ, "CC": "gcc"})
    names, programs = choose(build, args.long)
    run("ninja", "-C", build, "--quiet", *programs)
    for folder, _, files in os.walk(build):
        for name in files:
            if name.endswith(".gcda"):
                os.unlink(os.path.join(folder, name))
    run("meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", "--num-processes", "2",
        "--quiet", *names)
    layers = LAYERS if args.long else ("kmip",)
    sys.exit(compare("long" if args.long else "quick", measure(build, layers), args.rise) > 0)


if __name__ == "__main__":
    main()
