# SPDX-License-Identifier: Apache-2.0
"""The OASIS KMIP test cases, those that the gateway says it has the operations for.

The cases lie outside the source tree, in the directory KEYFERRY_OASIS (default: ../shared/oasis
beside the source tree): one folder a protocol version, one XML file a case.
"""

import glob
import os
import re
import sys
import unittest

import kf
import oasis_xml
import ttlv

DIRECTORY = os.environ.get("KEYFERRY_OASIS") or os.path.join(kf.TOP, "..", "shared", "oasis")
# What keys are made for, or used with; Query does not tell.
ALGORITHMS = {"AES", "DES3", "HMAC_SHA1", "HMAC_SHA256"}

# Cases that the gateway does not pass, each with the reason.
EXPECTED_FAILURES = {
    "TL-M-3-11": "it wants Fresh in step 3 and must not have it in step 2",
    "TL-M-3-14": "it wants Sensitive, Extractable and their kin in step 2, not in step 3",
}


def tape_key(now):
    """What TL-M-2-20, of which only the successor lies there, leaves behind."""
    return ttlv.create2(
        ttlv.vendor("ID", "TL-M-2-20"), ttlv.vendor("Barcode", "XXA012A1"),
        ttlv.vendor("VendorAttribute1", "XXA012A1"),
        ttlv.vendor("VendorAttribute2", ttlv.integer("AttributeValue", 0)),
        ttlv.vendor("VendorAttribute3", ttlv.date("AttributeValue", now)),
        ttlv.seq("AlternativeName", ttlv.text("AlternativeNameValue", "XXA012A1"),
                 ttlv.enum("AlternativeNameType", 1)),
        ttlv.seq("ApplicationSpecificInformation",
                 ttlv.text("ApplicationNamespace", "LIBRARY-LTO"),
                 ttlv.text("ApplicationData", "123456789ABCDEF123456789" * 2
                           + "ABCDEF1234000000")),
        ttlv.name2("AAAAAAA1A1AA12345678901234567"))


PREDECESSORS = {"TL-M-3-20": ("TL-M-2-20", tape_key)}


def load_cases():
    """All cases, in the order of their names: 2 stands before 10."""
    def order(path):
        return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path)]
    return [oasis_xml.Case.read(p)
            for p in sorted(glob.glob(os.path.join(DIRECTORY, "*", "*.xml")), key=order)]


class Oasis(kf.SharedCase):
    """One instance is one case.  Each has a tenant of its own: no case sees another's keys."""

    cases = []
    runs = {}
    expected_failures = EXPECTED_FAILURES

    def __init__(self, case):
        super().__init__("run_case")
        self.case = case

    def __str__(self):
        return self.case.name

    id = __str__

    def shortDescription(self):
        return None

    @classmethod
    def arguments(cls):
        groups = dict.fromkeys(c.group for c in cls.cases)
        return {"tenants": [kf.Tenant("t%d" % n, kf.AUTHORITY.make("client-%d" % n))
                            for n, _ in enumerate(groups)]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tables = oasis_xml.Tables()
        cls.certificates = {g: t.certificates[0] for g, t in zip(
            dict.fromkeys(c.group for c in cls.cases), cls.gw.tenants)}
        with cls.gw.client(version=(1, 4)) as c:
            versions = c.ok(ttlv.item("DiscoverVersions")).all("ProtocolVersion")
        cls.listed = {}
        for version in {(v.path("ProtocolVersionMajor"), v.path("ProtocolVersionMinor"))
                        for v in versions}:
            with cls.gw.client(version=version) as c:
                listed = c.ok(ttlv.item("Query", ttlv.enum("QueryFunction", 1),
                                        ttlv.enum("QueryFunction", 2)))
            cls.listed[version] = {name: {cls.tables.value_name(name, n.value)
                                          for n in listed.all(name)}
                                   for name in ("Operation", "ObjectType")}

    def unsupported(self):
        """Why the case cannot be run; empty: it can."""
        if self.case.version not in self.listed:
            return "protocol %d.%d" % self.case.version
        listed = self.listed[self.case.version]
        lacking = sorted(self.case.operations() - listed["Operation"])
        lacking += sorted(self.case.object_types() - listed["ObjectType"])
        lacking += sorted(self.case.algorithms() - ALGORITHMS)
        return ", ".join(lacking)

    def first_difference(self, run, client):
        steps = self.case.steps(self.tables)
        for n, (request, response) in enumerate(steps):
            client.send(run.request(request))
            different = run.difference(response, client.receive().node)
            if different:
                return "step %d of %d, %s" % (n + 1, len(steps), different)
        return None

    def prepare(self, run):
        """Does what the case before this one would have done, if that is not there."""
        before, make = PREDECESSORS.get(self.case.name, (None, None))
        if make is None or before in [c.name for c in self.cases]:
            return
        client = self.client(self.certificates[self.case.group], version=self.case.version)
        uid = client.ok(make(run.now)).path("UniqueIdentifier")
        client.ok(ttlv.on("Get", uid))

    def run_case(self):
        lacking = self.unsupported()
        if lacking:
            self.skipTest("not supported: " + lacking)
        group = self.case.group
        run = self.runs.setdefault(group, oasis_xml.Run(self.tables))
        client = self.client(self.certificates[group])
        self.prepare(run)
        different = self.first_difference(run, client)
        if self.case.name not in self.expected_failures:
            self.assertIsNone(different)
        elif different is None:
            self.fail("passes, though it was expected to fail: take it off the list")
        else:
            self.skipTest("expected to fail (%s): %s" % (
                self.expected_failures[self.case.name], different))


def load_tests(_loader, _tests, _pattern):
    return unittest.TestSuite(Oasis(case) for case in Oasis.cases)


if __name__ == "__main__":
    if not os.path.isdir(DIRECTORY):
        kf.skip_all("no OASIS test cases: there is no directory %s (KEYFERRY_OASIS)" % DIRECTORY)
    Oasis.cases = load_cases()
    if not Oasis.cases:
        sys.exit("no test cases in %s" % DIRECTORY)
    kf.main()
