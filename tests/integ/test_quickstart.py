# SPDX-License-Identifier: Apache-2.0
"""contrib/quickstart.sh, with programs that do little in place of those it would install and build."""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

import kf

SCRIPT = os.path.join(kf.TOP, "contrib", "quickstart.sh")
INSTALLED = "#!/bin/sh\necho installed\n"
NOTHING = "#!/bin/sh\n"
FAILS = "#!/bin/sh\nexit 1\n"
UNLOCKED = "#!/bin/sh\necho RLIMIT_MEMLOCK >&2\nexit 1\n"
SIMULATOR = "#!/bin/sh\necho '{\"api\":\"https://new:1\",\"admin\":\"http://new:2\"}'\nexec sleep 600\n"


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="keyferry-quickstart-")
        self.addCleanup(shutil.rmtree, self.top)
        self.work = os.path.join(self.top, "quickstart")
        self.script = os.path.join(self.top, "contrib", "quickstart.sh")
        os.mkdir(os.path.dirname(self.script))
        shutil.copy(SCRIPT, self.script)
        for name in ("dpkg", "dpkg-query"):
            self.program("bin/" + name, INSTALLED)
        for name in ("meson", "ninja"):
            self.program("bin/" + name, NOTHING)

    def program(self, path, text):
        path = os.path.join(self.top, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o755)

    def built(self, path, text):
        self.program("quickstart/build/src/" + path, text)

    def start(self, *options, **kwargs):
        """Always in vain: there is no gateway that stays.  Returns what it says."""
        path = os.path.join(self.top, "bin") + ":" + os.environ["PATH"]
        done = subprocess.run(["bash", self.script, *options], env={**os.environ, "PATH": path},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=False, **kwargs)
        self.assertNotEqual(done.returncode, 0)
        return done.stdout

    def test_nobody_else_may_write(self):
        self.program("bin/ninja", FAILS)
        self.start(umask=0o002)
        self.assertEqual(stat.S_IMODE(os.stat(self.work).st_mode), 0o700)

    def test_the_limit_is_raised_for_the_shell_of_the_user(self):
        self.built("ctl/keyferryctl", FAILS.replace("exit", '[ "$1" = make-root-key ] || exit'))
        self.built("daemon/keyferryd", UNLOCKED)
        self.assertIn("prlimit --pid $$ --memlock=", self.start())

    def test_the_old_simulator_is_not_asked(self):
        """What it wrote is gone before the new one starts, not when that gets to it."""
        own = os.path.join(self.work, "key-protect")
        old, kept = os.path.join(own, "simulator.json"), os.path.join(self.top, "kept")
        self.built("sim/keyferry-sim", SIMULATOR)
        os.mkdir(own)
        with open(old, "w", encoding="ascii") as f:
            f.write('{"api":"https://old:1","admin":"http://old:2"}\n')
        os.link(old, kept)
        self.built("ctl/keyferryctl", FAILS)
        self.built("daemon/keyferryd", FAILS)
        said = self.start("--key-protect")
        with open(os.path.join(own, "simulator.pid"), encoding="ascii") as f:
            os.kill(int(f.read()), signal.SIGKILL)
        self.assertIn("https://new:1,", said)
        with open(kept, encoding="ascii") as f:  # a file that is written anew is empty first
            self.assertIn("old", f.read())


if __name__ == "__main__":
    kf.main()
