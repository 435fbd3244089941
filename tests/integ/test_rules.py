# SPDX-License-Identifier: Apache-2.0
"""The rules of every attribute, as the specification's tables have them, in 1.4 and in 2.1: who may
set it when, whether it may be changed, removed, and had more than once."""

import os
import re
import time

import kf
import ttlv
from oasis_xml import Tables, normalized
from ttlv import (BOOL, BYTES, DATE, ENUM, INT, INTERVAL, LONG, STRUCT, TEXT, create2, on, seq)

TAGS = Tables().tags


def node(name, kind, value):
    return ttlv.Node(TAGS[normalized(name)], kind, value)


def structure(name, *fields):
    return node(name, STRUCT, [node(*f) for f in fields])


LATER = int(time.time()) + 100000

# An example of each, and what a client may do: c set it in Create, a add it, m modify it, d delete
# it, + have several; = every key has it from the beginning; * it has to be given in Create; ! no
# two have the same.
RULES = [
    (node("Unique Identifier", TEXT, "u"), "="),
    (structure("Name", ("Name Value", TEXT, "rules"), ("Name Type", ENUM, 1)), "camd+!"),
    (node("Object Type", ENUM, 2), "="),
    (node("Cryptographic Algorithm", ENUM, 3), "*="),
    (node("Cryptographic Length", INT, 256), "*="),
    (structure("Cryptographic Parameters", ("Block Cipher Mode", ENUM, 1)), "camd+"),
    (structure("Cryptographic Domain Parameters", ("Qlength", INT, 1)), "c"),
    (structure("Digest", ("Hashing Algorithm", ENUM, 6)), "="),
    (node("Cryptographic Usage Mask", INT, 12), "*="),
    (node("Lease Time", INTERVAL, 60), "="),
    (structure("Usage Limits", ("Usage Limits Total", LONG, 9), ("Usage Limits Unit", ENUM, 1)),
     "camd"),
    (node("State", ENUM, 2), "="),
    (node("Initial Date", DATE, LATER), "="),
    (node("Activation Date", DATE, LATER), "cam"),
    (node("Process Start Date", DATE, LATER), "cam"),
    (node("Protect Stop Date", DATE, LATER), "cam"),
    (node("Deactivation Date", DATE, LATER), "cam"),
    (node("Destroy Date", DATE, LATER), ""),
    (node("Compromise Occurrence Date", DATE, LATER), ""),
    (node("Compromise Date", DATE, LATER), ""),
    (structure("Revocation Reason", ("Revocation Reason Code", ENUM, 1)), ""),
    (node("Archive Date", DATE, LATER), ""),
    (node("Object Group", TEXT, "g"), "camd+"),
    (node("Fresh", BOOL, True), "c="),
    (structure("Link", ("Link Type", ENUM, 0x106), ("Linked Object Identifier", TEXT, "2")),
     "camd+"),
    (structure("Application Specific Information", ("Application Namespace", TEXT, "n"),
               ("Application Data", TEXT, "d")), "camd+"),
    (node("Contact Information", TEXT, "c"), "camd"),
    (node("Last Change Date", DATE, LATER), "="),
    (structure("Alternative Name", ("Alternative Name Value", TEXT, "a"),
               ("Alternative Name Type", ENUM, 1)), "camd+"),
    (node("Key Value Present", BOOL, True), ""),
    (structure("Key Value Location", ("Key Value Location Value", TEXT, "l"),
               ("Key Value Location Type", ENUM, 1)), "camd+"),
    (node("Original Creation Date", DATE, 1), "ca="),
    (structure("Random Number Generator", ("RNG Algorithm", ENUM, 1)), "ca="),
    (node("PKCS#12 Friendly Name", TEXT, "p"), "camd"),
    (node("Description", TEXT, "d"), "camd"),
    (node("Comment", TEXT, "c"), "camd"),
    (node("Sensitive", BOOL, False), "cam="),
    (node("Always Sensitive", BOOL, False), "="),
    (node("Extractable", BOOL, True), "cam="),
    (node("Never Extractable", BOOL, False), "="),
]
RULES_2 = [
    (node("Short Unique Identifier", BYTES, bytes(32)), "="),
    (node("Key Format Type", ENUM, 1), "c="),
    (node("NIST Key Type", ENUM, 6), "ca"),
    (node("Protection Level", ENUM, 1), "camd"),
    (node("Protection Period", INTERVAL, 60), "camd"),
    (node("Protection Storage Mask", INT, 1), "="),
    (node("Quantum Safe", BOOL, False), "camd"),
    (node("Rotate Automatic", BOOL, False), "c"),
    (node("Rotate Date", DATE, LATER), ""),
    (node("Rotate Generation", INT, 1), ""),
    (node("Rotate Interval", INTERVAL, 60), "c"),
    (node("Rotate Latest", BOOL, True), ""),
    (structure("Rotate Name", ("Rotate Name Value", TEXT, "r"), ("Rotate Name Type", ENUM, 1)),
     "camd"),
    (node("Rotate Offset", INTERVAL, 60), "c"),
]
# The specification's names of 1.x.
NAMES = {TAGS[normalized(name)]: name for name in (
    "Unique Identifier", "Name", "Object Type", "Cryptographic Algorithm", "Cryptographic Length",
    "Cryptographic Parameters", "Cryptographic Domain Parameters", "Digest",
    "Cryptographic Usage Mask", "Lease Time", "Usage Limits", "State", "Initial Date",
    "Activation Date", "Process Start Date", "Protect Stop Date", "Deactivation Date",
    "Destroy Date", "Compromise Occurrence Date", "Compromise Date", "Revocation Reason",
    "Archive Date", "Object Group", "Fresh", "Link", "Application Specific Information",
    "Contact Information", "Last Change Date", "Alternative Name", "Key Value Present",
    "Key Value Location", "Original Creation Date", "Random Number Generator",
    "PKCS#12 Friendly Name", "Description", "Comment", "Sensitive", "Always Sensitive",
    "Extractable", "Never Extractable", "Short Unique Identifier", "Key Format Type",
    "NIST Key Type", "Protection Level", "Protection Period", "Protection Storage Mask",
    "Quantum Safe", "Rotate Automatic", "Rotate Date", "Rotate Generation", "Rotate Interval",
    "Rotate Latest", "Rotate Name", "Rotate Offset")}


class One:
    """How 1.4 says it, and what it answers."""

    version = (1, 4)
    unknown = "InvalidField"
    read_only = {"add": "PermissionDenied", "modify": "PermissionDenied",
                 "delete": "PermissionDenied"}
    single, absent = "IllegalOperation", {"ItemNotFound", "InvalidField"}
    taken = "IllegalOperation"

    @staticmethod
    def attribute(a):
        return ttlv.attribute(NAMES[a.tag], a)

    create = staticmethod(ttlv.create)
    new = attribute

    @staticmethod
    def delete(uid, a):
        return on("DeleteAttribute", uid, ttlv.text("AttributeName", NAMES[a.tag]))

    @staticmethod
    def got(c, uid):
        found = c.ok(on("GetAttributes", uid)).all("Attribute")
        return [n.path("AttributeName") for n in found]


class Two:
    """The same of 2.1."""

    version = (2, 1)
    read_only = {"add": "ReadOnlyAttribute", "modify": "AttributeReadOnly",
                 "delete": "AttributeReadOnly"}
    single, absent = "AttributeSingleValued", {"AttributeNotFound"}
    taken = "NonUniqueNameAttribute"

    @staticmethod
    def attribute(a):
        return a

    create = staticmethod(create2)

    @staticmethod
    def new(a):
        return seq("NewAttribute", a)

    @staticmethod
    def delete(uid, a):
        return on("DeleteAttribute", uid, ttlv.enum("AttributeReference", a.tag))

    @staticmethod
    def got(c, uid):
        return [NAMES[n.tag] for n in c.ok(on("GetAttributes", uid)).one("Attributes").value]


class Rules(kf.SharedCase):
    def judge(self, c, request, reasons):
        """It succeeds (reasons empty) or fails for one of the reasons."""
        result = c.do(request)
        if reasons:
            self.assertIn(result.reason_name, reasons, result)
        else:
            self.assertEqual(result.status, ttlv.SUCCESS, result)
        return result

    def born(self, c, how, a, rule):
        """An object that has the attribute if a client can bring that about, and whether it has."""
        if "*" in rule:
            return c.ok(how.create()).path("UniqueIdentifier"), True
        result = self.judge(c, how.create(how.attribute(a)),
                            () if "c" in rule else (how.read_only["add"],))
        if "c" in rule:
            return result.uid, True
        return c.ok(how.create()).path("UniqueIdentifier"), "=" in rule

    def check(self, c, how, a, rule):
        if "!" in rule:
            self.check_names(c, how)
            return
        uid, has = self.born(c, how, a, rule)
        self.assertEqual(NAMES[a.tag] in how.got(c, uid), has)
        self.judge(c, on("ModifyAttribute", uid, how.new(a)),
                   () if "m" in rule else {how.read_only["modify"]} | (how.absent if not has
                                                                       else set()))
        again = on("AddAttribute", uid, how.new(a))
        if "a" not in rule:
            self.judge(c, again, {how.read_only["add"]})
        else:
            self.judge(c, again, () if "+" in rule else {how.single})
            fresh = c.ok(how.create()).path("UniqueIdentifier")
            self.judge(c, on("AddAttribute", fresh, how.new(a)),
                       {how.single} if "=" in rule else ())
        self.judge(c, how.delete(uid, a),
                   () if "d" in rule else {how.read_only["delete"]} | (how.absent if not has
                                                                       else set()))

    def check_names(self, c, how):
        one, two, three = (structure("Name", ("Name Value", TEXT, "%d of %d.%d" % (n, *how.version)),
                                     ("Name Type", ENUM, 1)) for n in range(3))
        uid = c.ok(how.create(how.attribute(one))).path("UniqueIdentifier")
        self.judge(c, how.create(how.attribute(one)), {how.taken})
        self.judge(c, on("ModifyAttribute", uid, how.new(two)), ())
        self.judge(c, on("AddAttribute", uid, how.new(three)), ())
        self.assertEqual(how.got(c, uid).count("Name"), 2)
        self.judge(c, how.delete(uid, one), ())

    def all_rules(self, how, rules):
        c = self.client(version=how.version)
        always = [NAMES[a.tag] for a, rule in rules if "=" in rule]
        uid = c.ok(how.create()).path("UniqueIdentifier")
        self.assertEqual(sorted(how.got(c, uid)), sorted(always))
        for a, rule in rules:
            with self.subTest(attribute=NAMES[a.tag], version=how.version):
                self.check(c, how, a, rule)

    def test_rules_of_1_4(self):
        self.all_rules(One, RULES)
        c = self.client(version=One.version)
        for a, _ in RULES_2:
            self.judge(c, One.create(One.attribute(a)), {One.unknown})

    def test_rules_of_2_1(self):
        self.all_rules(Two, RULES + RULES_2)

    def test_all_are_here(self):
        """The table of the gateway has no attribute without a rule here, Operation Policy Name
        apart, which 2.0 took away."""
        with open(os.path.join(kf.TOP, "include", "kmip", "attr.def"), encoding="ascii") as f:
            listed = set(re.findall(r'^ATTR\(\w+, "([^"]*)"', f.read(), re.M))
        self.assertEqual(listed - {"Operation Policy Name"}, set(NAMES.values()))


if __name__ == "__main__":
    kf.main()
