#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No floor of tests/coverage.floor is below what it was in any commit before, and none is gone.

usage: floor.py ROOT     (exit status 77, a skip, where there is no history)
"""

import os
import subprocess
import sys

root = sys.argv[1]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(root, "tests"))
import coverage  # it stands in tests

NAME = "tests/coverage.floor"
SKIPPED = 77


def git(*args):
    """What it says, or nothing."""
    done = subprocess.run(("git", "-C", root) + args, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def before():
    """{(tier, layer): (the highest floor that it had, in which commit)}"""
    highest = {}
    for commit in git("log", "--format=%H", "--", NAME).split():
        floors, _ = coverage.read_floors(git("show", "%s:./%s" % (commit, NAME)).splitlines(True))
        for key, floor in floors.items():
            highest[key] = max(highest.get(key, (0.0, "")), (floor, commit))
    return highest


def main():
    try:
        highest = before()
    except FileNotFoundError:
        highest = {}
    if not highest:
        print("SKIPPED: there is no git history to compare with")
        return SKIPPED
    with open(os.path.join(root, NAME), encoding="utf-8") as f:
        floors, _ = coverage.read_floors(f)
    bad = 0
    for key, (floor, commit) in sorted(highest.items()):
        if floors.get(key, 0.0) < floor:
            bad += 1
            print("%s: %s %s was %.1f in %s, and is %s" % (
                NAME, *key, floor, commit[:12], floors.get(key, "gone")), file=sys.stderr)
    return bad > 0


sys.exit(main())
