# SPDX-License-Identifier: Apache-2.0
"""The server test cases of the OASIS profiles that concern symmetric keys, secret data and opaque
objects, in every protocol version in which they exist.  The cases are in profiles/, in the notation
of oasis_text.py; the answers are held against them field by field, as in test_oasis.py.

At the end a table says how many cases of each profile passed in each version, and why others were
not run.
"""

import glob
import os
import re
import unittest

import kf
import oasis_text
import oasis_xml
from test_oasis import Oasis

# Profile: its cases, and the versions in which they exist.  A case in brackets is not ours to pass;
# the reason stands in NOT_OURS.
PROFILES = {
    "Baseline Server": {"BL-M-1..5 [BL-M-6..13]": "2.0-2.1"},
    "Symmetric Key Lifecycle": {"SKLC-M-1..3 SKLC-O-1": "1.0-2.1"},
    "Symmetric Key Foundry": {"SKFF-M-1..12": "1.0-2.1", "SKFF-O-1..6": "1.0-1.2"},
    "Storage Array, SED": {"SASED-M-1..3": "1.0-2.1"},
    "Tape Library": {"TL-M-1..3": "1.0-2.1"},
    "Opaque Managed Object": {"OMOS-M-1 OMOS-O-1": "1.0-2.1"},
    "Basic Cryptographic": {
        "CS-BC-M-1..14": "1.2-2.1", "CS-BC-M-GCM-1..3": "1.4-2.1",
        "[CS-BC-M-CHACHA20-1..3] [CS-BC-M-CHACHA20POLY1305-1]": "2.1-2.1"},
    "Advanced Cryptographic": {
        "[CS-AC-M-1..3] CS-AC-M-4..7 [CS-AC-M-8]": "1.2-2.1",
        "[CS-AC-M-OAEP-1..10]": "1.4-2.1"},
    "RNG Cryptographic": {"CS-RNG-M-1 CS-RNG-O-1..4": "1.2-2.1"},
    "AES XTS": {"AX-M-1..2": "1.4-2.1"},
    "Test cases": {
        "TC-DERIVEKEY-1 TC-REKEY-1 TC-51 TC-94 TC-95 TC-142": "1.0-2.1", "TC-141": "1.1-2.1",
        "[TC-MDO-1..3]": "1.2-2.1", "TC-STREAM-ENC-1 TC-RNG-ATTR-1": "1.3-2.1",
        "TC-WRAP-1 TC-CS-CORVAL-1": "1.4-2.1"},
    "Of our own": {"KF-DERIVEKEY-1..3": "1.0-2.1", "KF-MDO-1": "1.2-2.1",
                   "KF-IMPEXP-1..3": "1.4-2.1"},
}
NOT_OURS = {
    "BL-M": "public and private keys, certificates",
    "CS-AC-M": "signatures and RSA encryption",
    "CS-BC-M": "ChaCha20",
    "TC-MDO": "keys that are kept elsewhere",
}
# Of several answers to one request a server gives one: these are what others do.
OTHER_CHOICES = {
    "CS-RNG-O-2": "the gateway takes all of a seed", "CS-RNG-O-3": "the gateway takes a seed",
    "CS-RNG-O-4": "the gateway takes a seed",
}


def label(version):
    return "%d.%d" % version


def named(text):
    """Pairs of name and whether it is ours, of `A-1..3 [B-1]'."""
    for word in text.split():
        ours = not word.startswith("[")
        first, _, last = word.strip("[]").partition("..")
        stem, n = first.rsplit("-", 1)
        for i in range(int(n), int(last or n) + 1):
            yield "%s-%d" % (stem, i), ours


def table():
    """Name with version: (profile, version, ours)."""
    return {"%s-%d%d" % ((name,) + version): (profile, version, ours)
            for profile, rows in PROFILES.items() for text, versions in rows.items()
            for version in oasis_text.span(versions) for name, ours in named(text)}


class Profiles(Oasis):
    """One instance is one case."""

    # Names of cases: by profile and version, and by reason.
    passed, left_out = {}, {}
    expected_failures = {}

    @classmethod
    def note(cls, name, reason=None):
        if reason is None:
            cls.passed.setdefault(cls.table[name][:2], []).append(name)
        else:
            cls.left_out.setdefault(reason, []).append(name)

    def run_case(self):
        other = OTHER_CHOICES.get(self.case.name.rsplit("-", 1)[0])
        if other and not self.unsupported():
            with self.assertRaises(AssertionError, msg="%s: not any more" % other):
                super().run_case()
            self.note(self.case.name, other)
            self.skipTest(other)
        try:
            super().run_case()
        except unittest.SkipTest as e:
            self.note(self.case.name, str(e))
            raise
        self.note(self.case.name)

    @classmethod
    def tearDownClass(cls):
        print(cls.report(), flush=True)
        super().tearDownClass()

    @classmethod
    def report(cls):
        """Passed of existing cases, by profile and version; then the others."""
        lines = ["%-24s" % "passed / cases" + "".join(
            "%8s" % label(v) for v in oasis_text.VERSIONS)]
        for profile in PROFILES:
            line = "%-24s" % profile
            for version in oasis_text.VERSIONS:
                exist = [n for n, (p, v, _) in cls.table.items() if (p, v) == (profile, version)]
                line += "%8s" % ("%d/%d" % (len(cls.passed.get((profile, version), ())),
                                            len(exist)) if exist else "-")
            lines.append(line)
        for name, (_, _, ours) in cls.table.items():
            if not ours:
                stem = next(s for s in NOT_OURS if name.startswith(s))
                cls.left_out.setdefault("not ours: " + NOT_OURS[stem], []).append(name)
        for reason, names in cls.left_out.items():
            lines.append("%s: %s" % (reason, " ".join(names)))
        return "\n".join(lines)


class Table(unittest.TestCase):
    """The table and the files say the same."""

    def test_complete(self):
        ours = [name for name, row in Profiles.table.items() if row[2]]
        self.assertEqual(sorted(ours), sorted(c.name for c in Profiles.cases))


def load_cases(tables):
    return [c for path in sorted(glob.glob(os.path.join(os.path.dirname(
        os.path.abspath(__file__)), "profiles", "*.txt"))) for c in oasis_text.load(path, tables)]


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite(Profiles(case) for case in Profiles.cases)
    suite.addTests(loader.loadTestsFromTestCase(Table))
    return suite


if __name__ == "__main__":
    Profiles.table = table()
    Profiles.cases = load_cases(oasis_xml.Tables())
    kf.main()
