#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a test does not do is named where the results are: a single one's of a file, too, and once more when
the long tier finds that it has passed before.  skips.py ROOT
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
TESTS = os.path.join(sys.argv.pop(1), "tests")
sys.path.insert(0, TESTS)
import long  # it stands in tests

PROGRAM = """
import sys, unittest
sys.path.insert(0, %r)
import kf

class Two(unittest.TestCase):
    @unittest.skip("no\\nroot")
    def test_away(self):
        pass

    def test_here(self):
        for k in 1, 2:
            with self.subTest(k=k):
                self.skipTest("none" if k == 2 else "no root")

    def test_bad(self):
        self.assertEqual(sys.argv[1:], [])

kf.main()
""" % os.path.join(TESTS, "integ")
NAMED = ["SKIPPED both Two.test_away Two.test_here(k=1): no root", "SKIPPED both Two.test_here(k=2): none"]


class Skips(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.dir = made.name

    def run_program(self):
        done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=True)
        return {"name": "a / both", "result": "OK", "stdout": done.stdout, "stderr": done.stderr}

    def log(self, *tests):
        """As meson leaves it."""
        path = os.path.join(self.dir, "log.json")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(t) + "\n" for t in tests)
        return path

    def sum_up(self, *logs):
        done = subprocess.run([os.path.join(TESTS, "results.py"), *logs], stdout=subprocess.PIPE,
                              text=True, check=False)
        return done.stdout.splitlines(), done.returncode

    def test_a_program_fails_as_before(self):
        done = subprocess.run([sys.executable, "-c", PROGRAM.replace(", [])", ", 0)")],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)

    def test_of_meson(self):
        away = {"name": "a / away", "result": "SKIP", "stdout": "SKIPPED: no tool\n"}
        mute = {"name": "a / mute", "result": "SKIP", "stdout": "all SKIPPED\n"}
        lines = [*NAMED, "SKIPPED away: no tool", "SKIPPED mute"]
        tests = [self.run_program(), away, mute]
        self.assertEqual(self.sum_up(self.log(*tests)), ([*lines, "1 passed, 0 failed, 2 skipped"], 0))
        bad = {"name": "a / bad", "result": "FAIL"}
        self.assertEqual(self.sum_up(self.log(*tests, bad)),
                         ([*lines, "FAILED a / bad: FAIL", "1 passed, 1 failed, 2 skipped"], 1))
        self.assertEqual(self.sum_up(self.log(away)),
                         (["SKIPPED away: no tool", "0 passed, 0 failed, 1 skipped"], 1))
        self.assertEqual(self.sum_up(self.dir + "/none")[1], 1)

    def test_of_the_long_tier(self):
        log, said = self.log(self.run_program()), io.StringIO()
        stamps = os.path.join(self.dir, "stamps")
        for times in r"OK after \d+ s", "has passed before":
            with contextlib.redirect_stdout(said):
                long.Tier(stamps).run("both", "of this", ["true"], log)
            first, *lines = said.getvalue().splitlines()[-3:]
            self.assertRegex(first, "^both: %s$" % times)
            self.assertEqual(lines, NAMED)
            self.assertEqual(self.sum_up(os.path.join(stamps, "testlog.json")),
                             ([*NAMED, "1 passed, 0 failed, 0 skipped"], 0))


if __name__ == "__main__":
    unittest.main()
