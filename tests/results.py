#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up the results of tests, and names what they did not do.

usage: results.py LOG...: meson's logs, and those of our own tools.  The last line is
  N passed, N failed, N skipped
and it fails when any has failed, or when nothing ran.

A test that does not do all of its own says so in a line of its output, "SKIPPED WHAT...: why", and
passes with what it did; whatever is so named is no test that is counted.
"""

import json
import re
import sys

SKIPPED = re.compile(r"^SKIPPED\b.*$", re.MULTILINE)


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def skips(test):
    """The lines of its output that name what it did not do."""
    return [line for stream in ("stdout", "stderr") for line in SKIPPED.findall(test.get(stream, ""))]


def told(test):
    """The same with its own name, which is there also when it did nothing and said nothing."""
    name = "SKIPPED " + test["name"].rsplit(" / ", 1)[-1]
    return [line.replace("SKIPPED", name, 1) for line in skips(test)] or \
        [name] * (test["result"] == "SKIP")


def main():
    counts, bad, lines = {"OK": 0, "SKIP": 0}, [], []
    for path in sys.argv[1:]:
        try:
            tests = read(path)
        except OSError:
            bad.append("no results in " + path)
            continue
        for test in tests:
            result = "OK" if test["result"] == "EXPECTEDFAIL" else test["result"]
            lines += told(test)
            if result in counts:
                counts[result] += 1
            else:
                bad.append("%s: %s" % (test["name"], result))
    for line in lines + ["FAILED " + name for name in bad]:
        print(line)
    print("%d passed, %d failed, %d skipped" % (counts["OK"], len(bad), counts["SKIP"]))
    sys.exit(1 if bad or counts["OK"] == 0 else 0)


if __name__ == "__main__":
    main()
