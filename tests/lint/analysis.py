#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Static analysis: gcc's analyzer, clang-tidy (.clang-tidy) and cppcheck over every source file.

usage: analysis.py ROOT BUILD     (BUILD: a build directory that has compile_commands.json)

A finding that is none stands in analysis.allow with its reason.  A new finding fails, and so does
a line of that file that nothing matches any more.
"""

import collections
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

failures = []
root, build = (os.path.realpath(p) for p in sys.argv[1:3])
FINDING = re.compile(r"^(\S+?):(\d+):\d+: (?:warning|error|portability|performance): (.*) "
                     r"\[(?:CWE-\d+\] \[)?([\w.,-]+)\]$")


def run(command):
    """What it says.  As the tools are called here none fails for what it finds: one that fails did
    not look, or not at all of it."""
    done = subprocess.run(command, cwd=build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        failures.append("%s: exit status %d\n%s" % (" ".join(command), done.returncode,
                                                    done.stdout))
    return done.stdout


def gcc(entry):
    """The command that compiled it, with the analyzer and without what it would write or leave to the
    linking."""
    command = shlex.split(entry["command"])
    command = command[command.index("-D_FILE_OFFSET_BITS=64"):]
    kept, skip = [], False
    for word in command:
        if skip:
            skip = False
        elif word in ("-MQ", "-MF", "-o"):
            skip = True
        elif not re.match(r"-MD$|-Werror|-O|-flto|-fsanitize|-fdiagnostics|-Winvalid-pch", word):
            kept.append(word)
    includes = [w for w in shlex.split(entry["command"]) if w.startswith("-I")]
    return run(["gcc", *includes, *kept, "-O2", "-fanalyzer", "-fdiagnostics-color=never",
                "-fdiagnostics-path-format=none", "-o", "/dev/null"])


def clang_tidy(entry):
    return run(["clang-tidy", "-p", build, "--quiet", entry["file"]])


def cppcheck(_):
    return run(["cppcheck", "--project=compile_commands.json", "--quiet", "--inline-suppr",
                "--enable=warning,performance,portability", "--template",
                "{file}:{line}:{column}: {severity}: {message} [{id}]"])


def findings(text):
    for line in text.splitlines():
        m = FINDING.match(line)
        if m:
            path = os.path.relpath(os.path.join(build, m.group(1)), root)
            yield path, m.group(4).removeprefix("-W").split(",")[0], line


def allowed():
    """{(path, check): [how many, line]}"""
    table = {}
    with open(os.path.join(root, "tests/lint/analysis.allow"), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            words = line.split(None, 3)
            if words and not line.startswith("#"):
                assert len(words) == 4, "analysis.allow:%d: path, check, count and reason" % number
                table[words[0], words[1]] = (int(words[2]), number)
    return table


def main():
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        entries = list({e["file"]: e for e in json.load(f)}.values())
    work = [(cppcheck, None)] + [(tool, e) for e in entries for tool in (gcc, clang_tidy)]
    seen = collections.defaultdict(set)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for text in pool.map(lambda w: w[0](w[1]), work):
            for path, check, line in findings(text):
                seen[path, check].add(line)
    for failure in failures:
        print(failure)
    bad, table = len(failures), allowed()
    for key, lines in sorted(seen.items()):
        if len(lines) != table.get(key, (0, 0))[0]:
            bad += 1
            print("%s: %s: %d found, %d allowed" % (*key, len(lines), table.get(key, (0, 0))[0]))
            print("\n".join("  " + line for line in sorted(lines)))
    for key in sorted(set(table) - set(seen)):
        bad += 1
        print("analysis.allow:%d: nothing like it is found any more" % table[key][1])
    print("%d files, %d findings allowed" % (len(entries), sum(n for n, _ in table.values())))
    return bad > 0


sys.exit(main())
