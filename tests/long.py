#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test of a build at full length, some beside each other, long searches in parts; some with
valgrind; the coverage of all layers; and each fuzzer for a while.

What has passed is not run again after an interruption, as long as what the test is made of is the
same: its program, the programs that it starts, the scripts beside it, and what these read.

usage: long.py TEST-BUILD MEMCHECK-BUILD COVERAGE-BUILD FUZZ-BUILD STAMPS FUZZ-SECONDS
"""

import concurrent.futures
import glob
import hashlib
import json
import os
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import results

# No clock decides in these: it is slow.
MEMCHECK = ["vcenter", "vcenter-keyprotect", "versions", "operations", "objects"]
QUICK = ["service"]  # how long something takes is for programs that nothing slows
MEMORY = ["base-alloc", "soak", "soak-keyprotect"]  # a sanitizer keeps what was freed
VALGRIND = ("valgrind --quiet --trace-children=yes --leak-check=full --errors-for-leak-kinds=definite "
            "--error-exitcode=99")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# What the programs that talk to a running gateway read.
INTEG = [os.path.join(ROOT, d) for d in ("tests/integ", "tests/ledgers", "contrib")]
# Searches that are done in parts, so that an interruption costs little; and as much of their time is
# spent in waiting for a process to end, several go on at once.
PARTS = {"torture": 8, "torture-keyprotect": 8, "syscalls": 8, "syscalls-keyprotect": 8}
CORES = os.cpu_count() or 1
BESIDE = 2 * CORES
SLOWER = "60"  # how much longer than in the short tier a test may take


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", build, "--" + what], check=True,
                                     stdout=subprocess.PIPE).stdout)


def digest(paths):
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as f:
            total.update(hashlib.sha256(f.read()).digest())
    return total.hexdigest()


def tree(directory):
    """Its files, where it is a directory of the source: what a test makes is none of its parts."""
    for folder, below, names in os.walk(directory):
        made = (folder + os.sep).startswith(os.path.join(ROOT, "build") + os.sep)
        below[:] = [] if made else [d for d in below if d[0] != "." and d != "__pycache__"]
        yield from (os.path.join(folder, name) for name in names if not made)


def parts(test, targets):
    """The files that decide how a test ends."""
    words = {os.path.realpath(word) for word in test["cmd"] if os.path.exists(word)}
    files = {word for word in words if os.path.isfile(word)}
    for name in list(files):
        if name.endswith(".py"):
            files.update(glob.glob(os.path.join(os.path.dirname(name), "*.py")))
    integ = INTEG if any("integ" in suite for suite in test["suite"]) else []
    for directory in [*words - files, *integ]:
        files.update(tree(directory))
    for target in test["depends"]:
        files.update(f for f in targets[target] if os.path.isfile(f))
    return sorted(files)


def look(log):
    """What became of a test of meson's that did not fail, and the lines that say what it did not do."""
    tests = results.read(log)
    return ("SKIP" if any(t["result"] == "SKIP" for t in tests) else "OK",
            [line for t in tests for line in results.skips(t)])


class Tier:
    """The stamps of what has passed, and the results so far."""

    def __init__(self, stamps):
        self.stamps, self.results, self.lock = stamps, [], threading.Lock()
        os.makedirs(stamps, exist_ok=True)

    def run(self, name, made_of, command, log=None):
        """log: meson's, which alone says what was skipped."""
        stamp = os.path.join(self.stamps, name + ".passed")
        try:
            with open(stamp, encoding="utf-8") as f:
                of, *skips = f.read().split("\n")
        except OSError:
            of, skips = None, []
        if of == made_of:
            self.note(name, "OK", "has passed before", skips)
            return
        began = time.monotonic()
        with open(os.path.join(self.stamps, name + ".out"), "w", encoding="utf-8") as out:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=subprocess.STDOUT, check=False)
        result, skips = ("FAIL", []) if done.returncode else look(log) if log else ("OK", [])
        self.note(name, result, "%s after %d s" % (result, time.monotonic() - began), skips)
        if result == "FAIL":
            print("see %s" % out.name, flush=True)
        if result == "OK":
            with open(stamp, "w", encoding="utf-8") as f:
                f.write("\n".join([made_of, *skips]))

    def note(self, name, result, said, skips):
        """skips: as results.skips() has found them, which finds them here again."""
        test = {"name": name, "result": result, "stdout": "\n".join(skips)}
        with self.lock:
            print("\n".join(["%s: %s" % (name, said), *results.told(test)]), flush=True)
            self.results.append(test)
            with open(os.path.join(self.stamps, "testlog.json"), "w", encoding="utf-8") as f:
                f.writelines(json.dumps(r) + "\n" for r in self.results)

    def run_all(self, runs, at_once):
        """runs: arguments of run()."""
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for _ in pool.map(lambda r: self.run(*r), runs):
                pass


def run_tests(tier, build, prefix="", names=None, **env):
    """All of a build, or those of these names."""
    targets = {t["id"]: t["filename"] for t in introspect(build, "targets")}
    beside, alone = [], []
    for test in introspect(build, "tests"):
        if names is not None and test["name"] not in names:
            continue
        made_of = digest(parts(test, targets))
        several = PARTS.get(test["name"], 1)
        for k in range(1, several + 1):
            name = prefix + test["name"] + ("-%d" % k if several > 1 else "")
            (beside if test["is_parallel"] else alone).append((
                name, "%s %d" % (made_of, several), ["env", *("%s=%s" % e for e in env.items()),
                                "KEYFERRY_PART=%d/%d" % (k, several),
                                "meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs",
                                "--logbase", name, "--timeout-multiplier", SLOWER, test["name"]],
                os.path.join(build, "meson-logs", name + ".json")))
    tier.run_all(beside, BESIDE)
    tier.run_all(alone, 1)


def run_coverage(tier, build, of):
    """Again whenever a test, a program or a floor has become another one."""
    targets = {t["id"]: t["filename"] for t in introspect(of, "targets")}
    made_of = {p for test in introspect(of, "tests") if "lint" not in " ".join(test["suite"])
               for p in parts(test, targets)}
    made_of.update(os.path.join(HERE, name) for name in ("coverage.py", "coverage.floor"))
    tier.run("coverage", digest(sorted(made_of)),
             [os.path.join(HERE, "coverage.py"), "--long", build])


def run_fuzzers(tier, build, seconds):
    """What they find to be new stays beside the stamps, and is where the next run goes on."""
    corpora = os.path.join(HERE, "fuzz", "corpus")
    runs = []
    for name in sorted(os.listdir(corpora)):
        program = os.path.join(build, "tests", "fuzz", "fuzz_" + name)
        found = os.path.join(os.path.abspath(tier.stamps), "corpus-" + name)
        os.makedirs(found, exist_ok=True)
        runs.append(("libfuzzer-" + name, digest([program]) + " %d" % seconds,
                     [program, "-max_total_time=%d" % seconds, "-print_final_stats=1", "-verbosity=0",
                      "-artifact_prefix=%s/" % found, found, os.path.join(corpora, name)]))
    tier.run_all(runs, CORES)


def main():
    build, memcheck, coverage, fuzz, stamps, seconds = sys.argv[1:]
    tier = Tier(stamps)
    run_tests(tier, build, KEYFERRY_LONG="1")
    run_tests(tier, memcheck, "memcheck-", MEMCHECK, KEYFERRY_WRAP=VALGRIND)
    run_tests(tier, memcheck, "quick-", QUICK, KEYFERRY_LONG="1")
    run_tests(tier, memcheck, "memory-", MEMORY, KEYFERRY_LONG="1")
    run_coverage(tier, coverage, build)
    run_fuzzers(tier, fuzz, int(seconds))


if __name__ == "__main__":
    main()
