#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the threats of SECURITY and the tests together: each names some, and all that are named are
there and run.  security.py ROOT
"""

import glob
import os
import re
import sys

root = sys.argv[1]
SECTION = "Threats, and the tests that show the defence\n"
NAMED = re.compile(r"^(check|test|fuzz)_(\w+)(?:: (.+))?$")
LEAST = 40  # threats: fewer would mean that they cannot be read any more
bad = []


def read(*path):
    with open(os.path.join(root, *path), encoding="utf-8") as f:
        return f.read()


def threats():
    """Each item's text, in one line."""
    text = read("SECURITY").split(SECTION, 1)[1].split("\n", 1)[1]
    text = re.split(r"\n[^\n]+\n-{3,}\n", text)[0]
    for part in re.split(r"\n(?=  - )|\n\n|\n(?=  \w)", text):
        if part.startswith("  - "):
            yield " ".join(part[4:].split())


def built(kind, name, folder):
    """Whether the folder's meson.build has it; names stand there in quotes, or in a program's."""
    text = read(os.path.relpath(os.path.join(folder, "meson.build"), root))
    return "'%s'" % name in text or "%s_%s" % (kind, name) in text


def find(kind, name):
    """The source of a program, if it is built."""
    where = {"check": "unit/*", "test": "integ", "fuzz": "fuzz"}[kind]
    ending = "py" if kind == "test" else "c"
    found = glob.glob(os.path.join(root, "tests", where, "%s_%s.%s" % (kind, name, ending)))
    return [f for f in found if built(kind, name, os.path.dirname(f))]


def judge(kind, name, tests):
    """What is wrong with a name, or nothing."""
    files = find(kind, name)
    if len(files) != 1:
        return "there is no program %s_%s that is built" % (kind, name)
    text = read(os.path.relpath(files[0], root))
    if kind == "fuzz":
        corpus = os.path.join(root, "tests", "fuzz", "corpus", name)
        return None if not tests and os.listdir(corpus) else "%s_%s has no corpus" % (kind, name)
    if not tests:
        return "%s_%s: none of its tests is named" % (kind, name)
    for test in tests.split(", "):
        if kind == "check":
            # once more, where it is added to those that run
            there = "START_TEST(%s)" % test in text and \
                len(re.findall(r"\b%s\b" % re.escape(test), text)) > 1
        else:
            there = test.startswith("test_") and "    def %s(self" % test in text
        if not there:
            return "%s_%s has no test %s" % (kind, name, test)
    return None


def main():
    count = 0
    for threat in threats():
        count += 1
        m = re.search(r"\[([^\[\]]+)\]$", threat)
        if not m:
            bad.append("no test is named: " + threat)
            continue
        for part in m.group(1).split("; "):
            named = NAMED.match(part)
            wrong = judge(*named.groups()) if named else "not a test: " + part
            if wrong:
                bad.append(wrong)
    if count < LEAST:
        bad.append("%d threats, %d at least were to be read" % (count, LEAST))
    for line in bad:
        print("SECURITY: " + line, file=sys.stderr)
    print("%d threats" % count)
    return bool(bad)


sys.exit(main())
