# SPDX-License-Identifier: Apache-2.0
"""Keys that are made from others, and how much of each may be used: Derive Key, Re-key, limits."""

import hashlib
import hmac
import os
import time

import kf
import ttlv
from test_crypto import (CBC, Case, DECRYPT, DERIVE, ECB, ENCRYPT, MAC, MISSING, WRAP, data, parameters,
                         specification)
from ttlv import attribute, boolean, enum, integer, item, octets, on, seq

if MISSING is None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def values(c, uid, *names):
    return ttlv.Result(c.call(ttlv.get_attributes(uid, *names)).items[0].node).attributes()


def links(c, uid):
    return [(v[0].value, v[1].value) for v in values(c, uid, "Link").get("Link", ())]


class Deriving(Case):
    SECRET = b"a secret to derive from"
    PBKDF2, HASH, HMAC, ENCRYPTED = 1, 2, 3, 4
    SHA256 = 6

    def setUp(self):
        super().setUp()
        self.c = self.client(version=(1, 4))
        self.base = self.c.ok(ttlv.register_secret(self.SECRET, mask=DERIVE)).path(
            "UniqueIdentifier")
        self.c.ok(on("Activate", self.base))

    def derive(self, method, *how, base=None, kind=2, length=128, mask=ENCRYPT, algorithm=3):
        wanted = [attribute("Cryptographic Length", integer("AttributeValue", length)),
                  attribute("Cryptographic Usage Mask", integer("AttributeValue", mask))]
        if algorithm:
            wanted.append(attribute("Cryptographic Algorithm", enum("AttributeValue", algorithm)))
        return item("DeriveKey", enum("ObjectType", kind), ttlv.uid(base or self.base),
                    enum("DerivationMethod", method), seq("DerivationParameters", *how),
                    ttlv.template(*wanted))

    def derived(self, *args, **kwargs):
        uid = self.c.ok(self.derive(*args, **kwargs)).path("UniqueIdentifier")
        return uid, self.c.key(uid)

    def test_pbkdf2(self):
        salt = os.urandom(16)
        for hashing, name in ((None, "sha1"), (self.SHA256, "sha256"), (8, "sha512")):
            how = (parameters(hashing=hashing) if hashing else None, octets("Salt", salt),
                   integer("IterationCount", 3000))
            _, key = self.derived(self.PBKDF2, *how, length=256)
            self.assertEqual(key, hashlib.pbkdf2_hmac(name, self.SECRET, salt, 3000, 32))

    def test_hash_and_hmac(self):
        how = parameters(hashing=self.SHA256)
        _, key = self.derived(self.HASH, how)
        self.assertEqual(key, hashlib.sha256(self.SECRET).digest()[:16])
        # a digest of what the client gives would have nothing of the key
        self.assert_reason(self.c.do(self.derive(
            self.HASH, how, octets("DerivationData", b"this"))), "InvalidField")
        _, key = self.derived(self.HMAC, how, octets("DerivationData", b"label"), length=256)
        self.assertEqual(key, hmac.digest(self.SECRET, b"label", "sha256"))

    def test_encrypt(self):
        material, vector, text_ = os.urandom(32), os.urandom(16), os.urandom(32)
        base = self.register(self.c, material, DERIVE)
        _, key = self.derived(self.ENCRYPTED, parameters(CBC), octets(
            "InitializationVector", vector), octets("DerivationData", text_), base=base)
        encryptor = Cipher(algorithms.AES(material), modes.CBC(vector)).encryptor()
        self.assertEqual(key, encryptor.update(text_)[:16])

    def test_hidden_as_its_base(self):
        """What is derived from what cannot be read cannot be read, whatever the request says."""
        flag = lambda name, value: attribute(name, boolean("AttributeValue", value))
        how = parameters(hashing=self.SHA256)
        for name, hidden, reason, history in (
                ("Sensitive", True, "Sensitive", "Always Sensitive"),
                ("Extractable", False, "NotExtractable", "Never Extractable")):
            base = self.c.ok(ttlv.register_secret(
                self.SECRET, flag(name, hidden), mask=DERIVE)).path("UniqueIdentifier")
            self.c.ok(on("Activate", base))
            for always in (True, False):
                uid = self.c.ok(self.derive(self.HASH, how, base=base)).path("UniqueIdentifier")
                self.assert_reason(self.c.do(on("Get", uid)), reason)
                self.assertEqual(values(self.c, uid, name, history),
                                 {name: [hidden], history: [always]})
                self.c.ok(on("ModifyAttribute", base, flag(name, not hidden)))
                self.c.ok(on("ModifyAttribute", base, flag(name, hidden)))
            older = self.derive(self.HASH, how, base=base)
            uid = self.client(version=(1, 2)).ok(older).path("UniqueIdentifier")
            self.assert_reason(self.c.do(on("Get", uid)), reason)
            told = self.derive(self.HASH, how, base=base)
            told.one("RequestPayload").one("TemplateAttribute").value.append(
                flag(name, not hidden))
            self.assert_reason(self.c.do(told), "PermissionDenied")
            told.one("RequestPayload").one("TemplateAttribute").value[-1] = flag(name, hidden)
            self.c.ok(told)

    def test_what_comes_of_a_readable_one_hides_nothing(self):
        """Whoever reads the base knows it: a Sensitive key does not leave under that."""
        flag = lambda name, value: attribute(name, boolean("AttributeValue", value))
        sensitive = self.register(self.c, os.urandom(16), ENCRYPT, flag("Sensitive", True))
        for name, hidden, history in (("Sensitive", True, "Always Sensitive"),
                                      ("Extractable", False, "Never Extractable")):
            told = self.derive(self.HASH, parameters(hashing=self.SHA256), mask=WRAP)
            told.one("RequestPayload").one("TemplateAttribute").value.append(flag(name, hidden))
            kek = self.c.ok(told).path("UniqueIdentifier")
            self.c.ok(on("Activate", kek))
            self.assertEqual(values(self.c, kek, name, history),
                             {name: [hidden], history: [False]})
            self.assert_reason(self.c.do(on("Get", sensitive, specification(kek))), "Sensitive")

    def test_what_it_leaves(self):
        """Links both ways, and secret data as well as keys."""
        how = parameters(hashing=self.SHA256)
        uid, _ = self.derived(self.HASH, how)
        self.assertEqual(links(self.c, uid), [(0x104, self.base)])
        self.assertEqual(links(self.c, self.base), [(0x105, uid)])
        found = values(self.c, uid)
        self.assertEqual(found["State"], [ttlv.PRE_ACTIVE])
        self.assertIn("Original Creation Date", found)
        seed = self.c.ok(self.derive(self.HASH, how, kind=7, algorithm=None)).path(
            "UniqueIdentifier")
        data_ = self.c.ok(on("Get", seed)).path("SecretData", "KeyBlock", "KeyValue",
                                                "KeyMaterial")
        self.assertEqual(data_, hashlib.sha256(self.SECRET).digest()[:16])

    def test_refused(self):
        how = parameters(hashing=self.SHA256)
        salt = octets("Salt", b"salt")
        plain = self.register(self.c, os.urandom(16), ENCRYPT)
        asleep = self.register(self.c, os.urandom(16), DERIVE, active=False)
        for wrong, reason in (
                (self.derive(self.HASH, how, length=512, algorithm=9), "InvalidField"),
                (self.derive(self.HASH, how, length=129), "InvalidField"),
                (self.derive(self.HASH, parameters()), "InvalidField"),
                (self.derive(self.HMAC, how), "MissingData"),
                (self.derive(self.PBKDF2, how, salt), "MissingData"),
                (self.derive(self.PBKDF2, how, salt, integer("IterationCount", 0)),
                 "InvalidField"),
                (self.derive(self.PBKDF2, how, salt, integer("IterationCount", 0x7FFFFFFF)),
                 "InvalidField"),
                (self.derive(5, how), "FeatureNotSupported"),
                (self.derive(self.HASH, how, base=plain), "PermissionDenied"),
                (self.derive(self.HASH, how, base=asleep), "PermissionDenied"),
                (self.derive(self.HASH, how, base="nobody"), "ItemNotFound"),
                (self.derive(self.HASH, how, kind=8), "InvalidField"),
                (self.derive(self.HASH, how, algorithm=None), "MissingData")):
            with self.subTest(wrong=wrong):
                self.assert_reason(self.c.do(wrong), reason)


class Replacing(Case):
    DATES = ("Activation Date", "Process Start Date", "Protect Stop Date", "Deactivation Date")

    def rekey(self, c, uid, *more):
        return c.ok(on("ReKey", uid, *more)).path("UniqueIdentifier")

    def test_names_and_links(self):
        for version in ttlv.VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                name = "backup-%d-%d" % version
                old = c.create(ttlv.name_attribute(name), attribute("x-tier", "gold"))
                c.ok(on("Activate", old))
                new = self.rekey(c, old)
                self.assertNotEqual(c.key(new), c.key(old))
                self.assertEqual(len(c.key(new)), 32)
                self.assertEqual(links(c, new), [(0x107, old)])
                self.assertEqual(links(c, old), [(0x106, new)])
                found = values(c, new)
                self.assertEqual(found["Name"][0][0].value, name)
                self.assertEqual((found["x-tier"], found["State"],
                                  found["Cryptographic Usage Mask"]),
                                 (["gold"], [ttlv.ACTIVE], [0xC]))
                self.assertNotIn("Name", values(c, old))
                self.assertEqual(c.ok(item("Locate", ttlv.name_attribute(name))).path(
                    "UniqueIdentifier"), new)
                third = self.rekey(c, new)
                self.assertEqual(links(c, third), [(0x107, new)])

    def test_offset(self):
        c = self.client(version=(1, 4))
        at = int(time.time()) - 5000
        old = c.create(*[attribute(name, ttlv.date("AttributeValue", at + n * 4000))
                         for n, name in enumerate(self.DATES)])
        before = time.time()
        new = self.rekey(c, old, ttlv.interval("Offset", 100))
        dates = [values(c, new, name)[name][0] for name in self.DATES]
        self.assertTrue(before + 98 <= dates[0] <= time.time() + 102)
        self.assertEqual([d - dates[0] for d in dates], [0, 4000, 8000, 12000])
        self.assertEqual(c.state(new), ttlv.PRE_ACTIVE)
        self.assert_reason(c.do(on("ReKey", old, ttlv.interval("Offset", 0), ttlv.template(
            attribute("Activation Date", ttlv.date("AttributeValue", at))))), "InvalidField")

    def test_template(self):
        c = self.client(version=(1, 4))
        old = c.create(ttlv.name_attribute("old name"), attribute("x-a", "1"),
                       attribute("x-b", "2"))
        new = self.rekey(c, old, ttlv.template(ttlv.name_attribute("new name"),
                                               attribute("x-a", "3")))
        found = values(c, new)
        self.assertEqual(([n[0].value for n in found["Name"]], found["x-a"], found["x-b"]),
                         (["old name", "new name"], ["3"], ["2"]))
        self.assertNotIn("Name", values(c, old))
        again = self.rekey(c, new, ttlv.template(ttlv.name_attribute("old name")))
        self.assertEqual([n[0].value for n in values(c, again)["Name"]], ["old name", "new name"])
        self.assert_reason(c.do(on("ReKey", old, ttlv.template(attribute(
            "Cryptographic Length", integer("AttributeValue", 128))))), "InvalidField")

    def test_refused(self):
        c = self.client(version=(1, 4))
        secret = c.ok(ttlv.register_secret(b"x")).path("UniqueIdentifier")
        gone = c.create()
        c.ok(on("Destroy", gone))
        self.assert_reason(c.do(on("ReKey", secret)), "InvalidField")
        self.assert_reason(c.do(on("ReKey", gone)), "ItemNotFound")
        self.assert_reason(c.do(on("ReKey")), "MissingData")


class Limits(Case):
    @staticmethod
    def limits(total, unit):
        return attribute("Usage Limits", seq(
            "AttributeValue", ttlv.Node("UsageLimitsTotal", ttlv.LONG, total),
            enum("UsageLimitsUnit", unit)))

    @staticmethod
    def count(n):
        return ttlv.Node("UsageLimitsCount", ttlv.LONG, n)

    def left(self, c, uid):
        value = ttlv.seq("Attribute", *values(c, uid, "Usage Limits")["Usage Limits"][0])
        return value.path("UsageLimitsTotal"), value.path("UsageLimitsCount")

    def test_allocation(self):
        for version in ttlv.VERSIONS:
            with self.subTest(version=version):
                c = self.client(version=version)
                uid = self.register(c, bytes(16), ENCRYPT, self.limits(1000, 1))
                take = lambda n: on("GetUsageAllocation", uid, self.count(n))
                self.assertEqual(self.left(c, uid), (1000, 1000))
                self.assertEqual(c.ok(take(900)).path("UniqueIdentifier"), uid)
                self.assertEqual(self.left(c, uid), (1000, 100))
                self.assert_reason(c.do(take(101)), "PermissionDenied")
                c.ok(take(100))
                self.assertEqual(self.left(c, uid), (1000, 0))
                self.assert_reason(c.do(take(0)), "InvalidField")
                self.assert_reason(c.do(on("GetUsageAllocation", uid)), "MissingData")
                self.assert_reason(c.do(on("ModifyAttribute", uid, self.limits(5000, 1))),
                                   "PermissionDenied")
                fresh = self.rekey_left(c, uid)
                self.assertEqual(fresh, (1000, 1000))

    def rekey_left(self, c, uid):
        return self.left(c, c.ok(on("ReKey", uid)).path("UniqueIdentifier"))

    def test_allocation_refused(self):
        c = self.client(version=(1, 4))
        free = self.register(c, bytes(16), ENCRYPT)
        self.assert_reason(c.do(on("GetUsageAllocation", free, self.count(1))),
                           "IllegalOperation")
        asleep = self.register(c, bytes(16), ENCRYPT, self.limits(9, 1), active=False)
        self.assert_reason(c.do(on("GetUsageAllocation", asleep, self.count(1))),
                           "PermissionDenied")

    def test_the_gateway_counts_itself(self):
        c = self.client(version=(1, 4))
        block = lambda uid, n=32, **k: on("Encrypt", uid, parameters(ECB), data(bytes(n)), **k)
        by_byte = self.register(c, bytes(16), ENCRYPT | DECRYPT, self.limits(64, 1))
        c.ok(block(by_byte))
        self.assertEqual(self.left(c, by_byte), (64, 32))
        c.ok(on("Decrypt", by_byte, parameters(ECB), data(bytes(32))))
        self.assertEqual(self.left(c, by_byte), (64, 32), "processing is not limited")
        self.assert_reason(c.do(block(by_byte, 15)), "InvalidField")
        self.assertEqual(self.left(c, by_byte), (64, 32), "nothing was encrypted")
        c.ok(block(by_byte))
        self.assert_reason(c.do(block(by_byte)), "PermissionDenied")
        by_object = self.register(c, bytes(16), ENCRYPT, self.limits(2, 2))
        c.call(block(by_object, ubid=b"1"), block(by_object, 16, ubid=b"2"))
        self.assertEqual(self.left(c, by_object), (2, 0))
        self.assert_reason(c.do(on("Encrypt", by_object, parameters(ECB), data(bytes(16)),
                                   boolean("InitIndicator", True))), "FeatureNotSupported")

    def test_wrapping_counts(self):
        c = self.client(version=(1, 4))
        kek = self.register(c, bytes(16), WRAP, self.limits(2, 2))
        key, short = c.create(), c.ok(ttlv.register_secret(b"short")).path("UniqueIdentifier")
        self.assert_reason(c.do(on("Get", short, specification(kek))), "InvalidField")
        self.assertEqual(self.left(c, kek), (2, 2))
        c.call(on("Get", key, specification(kek), ubid=b"1"),
               on("Get", key, specification(kek), ubid=b"2"))
        self.assertEqual(self.left(c, kek), (2, 0))
        self.assert_reason(c.do(on("Get", key, specification(kek))), "PermissionDenied")

    def test_check(self):
        c = self.client(version=(1, 4))
        uid = self.register(c, bytes(16), ENCRYPT, self.limits(10, 1))
        mask = lambda m: integer("CryptographicUsageMask", m)
        lease = lambda s: ttlv.interval("LeaseTime", s)
        self.assertEqual(c.ok(on("Check", uid, self.count(10), mask(ENCRYPT), lease(10))).tags(),
                         ["UniqueIdentifier"])
        denied = c.ok(on("Check", uid, self.count(11), mask(ENCRYPT | DECRYPT), lease(999999)))
        self.assertEqual(denied.tags(), ["UsageLimitsCount", "CryptographicUsageMask",
                                         "LeaseTime"])
        self.assertEqual(c.ok(on("Check", uid, mask(MAC))).tags(), ["CryptographicUsageMask"])
        self.assertEqual(self.left(c, uid), (10, 10))
        self.assert_reason(c.do(on("Check", "nobody")), "ItemNotFound")

    def test_lease(self):
        c = self.client(version=(1, 0))
        uid = c.create()
        answer = c.ok(on("ObtainLease", uid))
        self.assertEqual(answer.tags(), ["UniqueIdentifier", "LeaseTime", "LastChangeDate"])
        self.assertEqual([answer.path("LeaseTime")], values(c, uid, "Lease Time")["Lease Time"])

    def test_nothing_is_under_way(self):
        c = self.client(version=(1, 0))
        value = octets("AsynchronousCorrelationValue", b"whatever")
        answer = c.ok(item("Cancel", value))
        self.assertEqual(answer.value[0], value)
        self.assertEqual(answer.path("CancellationResult"), 5)
        self.assert_reason(c.do(item("Poll", value)), "ItemNotFound")
        self.assert_reason(c.do(item("Poll")), "MissingData")


if __name__ == "__main__":
    if MISSING:
        kf.skip_all("python3-cryptography is not installed: " + MISSING)
    kf.main()
