# SPDX-License-Identifier: Apache-2.0
"""What is done with keys: wrapping, ciphers, MACs, held against python3-cryptography."""

import hashlib
import hmac
import os
import time

import kf
import ttlv
from ttlv import attribute, boolean, enum, integer, item, octets, on, revoke, seq, text

try:
    from cryptography.hazmat.primitives import cmac, keywrap, padding
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    MISSING = None
except ImportError as e:
    MISSING = str(e)

CBC, ECB, CTR, GCM, KWP, NIST = 1, 2, 6, 9, 0xC, 0xD
NO_ENCODING, TTLV_ENCODING = 1, 2
ENCRYPT, DECRYPT, WRAP, UNWRAP, MAC, MAC_VERIFY, DERIVE = 4, 8, 0x10, 0x20, 0x80, 0x100, 0x200


class Case(kf.SharedCase):
    def register(self, c, material, mask, *more, active=True, **block):
        """A key with known bytes; its uid."""
        uid = c.ok(ttlv.register(material, *more, mask=mask, **block)).path("UniqueIdentifier")
        if active and c.state(uid) != ttlv.ACTIVE:
            c.ok(on("Activate", uid))
        return uid


def specification(uid, mode=NIST, encoding=NO_ENCODING, method=1, names=(), more=None):
    parameters = seq("CryptographicParameters", enum("BlockCipherMode", mode)) if mode else None
    return seq("KeyWrappingSpecification", enum("WrappingMethod", method),
               seq("EncryptionKeyInformation", ttlv.uid(uid), parameters) if uid else None, more,
               *[text("AttributeName", n) for n in names],
               enum("EncodingOption", encoding) if encoding else None)


class Wrapping(Case):
    KEY, KEK = bytes(range(32)), bytes(range(100, 132))

    def setUp(self):
        super().setUp()
        self.c = self.client(version=(1, 4))
        self.kek = self.register(self.c, self.KEK, WRAP | UNWRAP)
        self.key = self.register(self.c, self.KEY, ENCRYPT, active=False)

    def get(self, uid, spec, c=None, **kwargs):
        return (c or self.c).ok(on("Get", uid, spec), **kwargs).one("SymmetricKey").one("KeyBlock")

    def test_no_encoding(self):
        block = self.get(self.key, specification(self.kek))
        self.assertEqual(block.tags(), ["KeyFormatType", "KeyValue", "CryptographicAlgorithm",
                                        "CryptographicLength", "KeyWrappingData"])
        wrapped = block.path("KeyValue", "KeyMaterial")
        self.assertEqual(keywrap.aes_key_unwrap(self.KEK, wrapped), self.KEY)
        data = block.one("KeyWrappingData")
        self.assertEqual(data.path("WrappingMethod"), 1)
        self.assertEqual(data.path("EncryptionKeyInformation", "UniqueIdentifier"), self.kek)
        self.assertEqual(data.path("EncryptionKeyInformation", "CryptographicParameters",
                                   "BlockCipherMode"), NIST)
        self.assertEqual(data.path("EncodingOption"), NO_ENCODING)

    def test_padded(self):
        block = self.get(self.key, specification(self.kek, mode=KWP))
        wrapped = block.path("KeyValue", "KeyMaterial")
        self.assertEqual(keywrap.aes_key_unwrap_with_padding(self.KEK, wrapped), self.KEY)

    def test_ttlv_encoding(self):
        """What is said when nothing is said about it, and all that there was in KMIP 1.0."""
        for version, encoding in (((1, 0), None), ((1, 2), None), ((1, 4), TTLV_ENCODING)):
            with self.subTest(version=version):
                block = self.get(self.key, specification(self.kek, encoding=encoding),
                                 self.client(version=version))
                (value,) = block.all("KeyValue")
                self.assertEqual(value.kind, ttlv.BYTES)
                self.assertEqual(block.one("KeyWrappingData").get("EncodingOption"), encoding,
                                 "said if it was asked for")
                plain = ttlv.decode(keywrap.aes_key_unwrap(self.KEK, value.value))
                self.assertEqual(plain, seq("KeyValue", octets("KeyMaterial", self.KEY)))

    def test_attributes_are_wrapped_too(self):
        self.c.ok(on("AddAttribute", self.key, attribute("x-owner", "backup")))
        block = self.get(self.key, specification(
            self.kek, encoding=TTLV_ENCODING, names=("x-owner", "Cryptographic Length")))
        plain = ttlv.decode(keywrap.aes_key_unwrap(self.KEK, block.path("KeyValue")))
        self.assertEqual([(a.path("AttributeName"), a.path("AttributeValue"))
                          for a in plain.all("Attribute")],
                         [("x-owner", "backup"), ("Cryptographic Length", 256)])
        self.assert_reason(self.c.do(on("Get", self.key, specification(
            self.kek, names=("x-owner",)))), "EncodingOptionError")

    def test_other_objects(self):
        secret = self.c.ok(ttlv.register_secret(b"sixteen letters.")).path("UniqueIdentifier")
        payload = self.c.ok(on("Get", secret, specification(self.kek)))
        wrapped = payload.path("SecretData", "KeyBlock", "KeyValue", "KeyMaterial")
        self.assertEqual(keywrap.aes_key_unwrap(self.KEK, wrapped), b"sixteen letters.")
        short = self.c.ok(ttlv.register_secret(b"short")).path("UniqueIdentifier")
        self.assert_reason(self.c.do(on("Get", short, specification(self.kek))), "InvalidField")
        opaque = self.c.ok(ttlv.register_opaque(b"sixteen letters.")).path("UniqueIdentifier")
        self.assert_reason(self.c.do(on("Get", opaque, specification(self.kek))), "InvalidField")

    def test_registered_wrapped(self):
        """A key that comes wrapped is given back as it came, and used for nothing."""
        wrapped = keywrap.aes_key_wrap(self.KEK, self.KEY)
        data = seq("KeyWrappingData", enum("WrappingMethod", 1),
                   seq("EncryptionKeyInformation", ttlv.uid("somebody's")),
                   enum("EncodingOption", NO_ENCODING))
        uid = self.register(self.c, wrapped, ENCRYPT | WRAP, length=256, wrapping=data)
        block = self.c.ok(on("Get", uid)).one("SymmetricKey").one("KeyBlock")
        self.assertEqual(block.path("KeyValue", "KeyMaterial"), wrapped)
        self.assertEqual(block.path("CryptographicLength"), 256)
        self.assertEqual(block.one("KeyWrappingData"), data)
        for refused in (on("Get", uid, specification(self.kek)),
                        on("Get", self.key, specification(uid)),
                        on("Get", uid, enum("KeyWrapType", 1))):
            self.assert_reason(self.c.do(refused), "IllegalOperation")

    def test_refused(self):
        plain = self.register(self.c, self.KEK, ENCRYPT)
        asleep = self.register(self.c, self.KEK, WRAP, active=False)
        hmac = self.register(self.c, self.KEK, WRAP, algorithm=9)
        gone = self.register(self.c, self.KEK, WRAP)
        self.c.ok(revoke(gone, 6))
        for spec, *reasons in (
                (specification(plain), "PermissionDenied"),
                (specification(asleep), "PermissionDenied"),
                (specification(gone), "PermissionDenied"),
                (specification(hmac), "InvalidField"),
                (specification(self.key), "InvalidField"),
                (specification("nobody"), "ItemNotFound"),
                (specification(None), "MissingData"),
                (specification(self.kek, mode=CBC), "FeatureNotSupported"),
                (specification(self.kek, method=2), "FeatureNotSupported"),
                (specification(self.kek, encoding=3), "EncodingOptionError")):
            with self.subTest(spec=spec):
                self.assert_reason(self.c.do(on("Get", self.key, spec)), *reasons)
        self.assert_reason(self.c.do(on("Get", self.key, enum("KeyFormatType", 7),
                                        specification(self.kek))), "EncodingOptionError")
        self.c.ok(on("Destroy", gone))
        two = self.client(version=(2, 1))
        for kek, reason in (("nobody", "WrappingObjectNotFound"),
                            (50 * "x", "WrappingObjectNotFound"),
                            (gone, "WrappingObjectDestroyed")):
            self.assert_reason(two.do(on("Get", self.key, specification(kek))), reason)
            self.assert_reason(self.c.do(on("Get", self.key, specification(kek))), "ItemNotFound")

    def test_sensitive_ones_leave_wrapped_only(self):
        flag = lambda name, value: attribute(name, boolean("AttributeValue", value))
        sensitive = self.register(self.c, self.KEY, ENCRYPT, flag("Sensitive", True))
        kept = self.register(self.c, self.KEY, ENCRYPT, flag("Extractable", False))
        self.assertEqual(self.c.do(on("Get", sensitive)).reason, 0x16)
        # a client that can read the wrapping key could read what it wraps
        self.assertEqual(self.c.do(on("Get", sensitive, specification(self.kek))).reason, 0x16)
        for hiding in (flag("Sensitive", True), flag("Extractable", False)):
            kek = self.register(self.c, self.KEK, WRAP, hiding)
            block = self.get(sensitive, specification(kek))
            wrapped = block.path("KeyValue", "KeyMaterial")
            self.assertEqual(keywrap.aes_key_unwrap(self.KEK, wrapped), self.KEY)
        for spec in (None, specification(self.kek)):
            self.assertEqual(self.c.do(on("Get", kept, spec)).reason, 0x17)

    def test_what_hides_a_sensitive_key(self):
        """No wrapping key that decrypts, block by block, or that could be read once."""
        flag = lambda name, value: attribute(name, boolean("AttributeValue", value))
        sensitive = self.register(self.c, self.KEY, ENCRYPT, flag("Sensitive", True))
        for name, hidden in (("Sensitive", True), ("Extractable", False)):
            kek = self.register(self.c, self.KEK, WRAP | DECRYPT, flag(name, hidden))
            self.assert_reason(self.c.do(on("Get", sensitive, specification(kek))), "Sensitive")
            self.get(self.key, specification(kek))
            for unwraps in (0, UNWRAP):
                kek = self.register(self.c, self.KEK, WRAP | ENCRYPT | unwraps,
                                    flag(name, not hidden))
                self.c.ok(on("ModifyAttribute", kek, flag(name, hidden)))
                self.assert_reason(self.c.do(on("Get", sensitive, specification(kek))),
                                   "Sensitive")
                kek = self.register(self.c, self.KEK, WRAP | ENCRYPT | unwraps,
                                    flag(name, hidden))
                self.get(sensitive, specification(kek))


def parameters(mode=None, pad=None, algorithm=None, random_iv=None, hashing=None, tag=None):
    return seq("CryptographicParameters",
               enum("BlockCipherMode", mode) if mode else None,
               enum("PaddingMethod", pad) if pad else None,
               enum("HashingAlgorithm", hashing) if hashing else None,
               enum("CryptographicAlgorithm", algorithm) if algorithm else None,
               boolean("RandomIV", random_iv) if random_iv is not None else None,
               integer("TagLength", tag) if tag else None)


def data(value):
    return octets("Data", value)


def iv(value):
    return octets("IVCounterNonce", value)


class Ciphers(Case):
    DATA = b"a page of data, not a multiple of a block"

    def reference(self, key, mode, vector, pad):
        padder = padding.PKCS7(128).padder()
        plain = padder.update(self.DATA) + padder.finalize() if pad == 3 else self.DATA
        made = {ECB: lambda: modes.ECB(), CBC: lambda: modes.CBC(vector),
                CTR: lambda: modes.CTR(vector)}[mode]()
        encryptor = Cipher(algorithms.AES(key), made).encryptor()
        return encryptor.update(plain) + encryptor.finalize()

    def test_modes(self):
        for version in ((1, 2), (1, 3), (1, 4)):
            c = self.client(version=version)
            for size in (16, 24, 32):
                key = os.urandom(size)
                uid = self.register(c, key, ENCRYPT | DECRYPT)
                for mode, vector, pad in ((ECB, None, 3), (CBC, os.urandom(16), 3),
                                          (CTR, os.urandom(16), None)):
                    with self.subTest(version=version, bits=8 * size, mode=mode):
                        how = (parameters(mode, pad),)
                        given = (iv(vector),) if vector else ()
                        made = c.ok(on("Encrypt", uid, *how, data(self.DATA), *given))
                        self.assertEqual(made.tags(), ["UniqueIdentifier", "Data"])
                        self.assertEqual(made.path("Data"),
                                         self.reference(key, mode, vector, pad))
                        back = c.ok(on("Decrypt", uid, *how, data(made.path("Data")), *given))
                        self.assertEqual(back.path("Data"), self.DATA)

    def test_gcm(self):
        c = self.client(version=(1, 4))
        key, nonce, aad = os.urandom(32), os.urandom(12), b"header"
        uid = self.register(c, key, ENCRYPT | DECRYPT)
        extra = octets("AuthenticatedEncryptionAdditionalData", aad)
        made = c.ok(on("Encrypt", uid, parameters(GCM, tag=16), data(self.DATA), iv(nonce), extra))
        encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(aad)
        self.assertEqual(made.path("Data"),
                         encryptor.update(self.DATA) + encryptor.finalize())
        self.assertEqual(made.path("AuthenticatedEncryptionTag"), encryptor.tag)
        decrypt = lambda tag, *more: on("Decrypt", uid, parameters(GCM), data(made.path("Data")),
                                        iv(nonce), *more,
                                        octets("AuthenticatedEncryptionTag", tag))
        self.assertEqual(c.ok(decrypt(encryptor.tag, extra)).path("Data"), self.DATA)
        self.assert_reason(c.do(decrypt(encryptor.tag)), "CryptographicFailure")
        self.assert_reason(c.do(decrypt(bytes(16), extra)), "CryptographicFailure")
        self.assert_reason(c.do(on("Decrypt", uid, parameters(GCM), data(made.path("Data")),
                                   iv(nonce))), "MissingData")

    def test_random_iv(self):
        c = self.client(version=(1, 4))
        key = os.urandom(32)
        uid = self.register(c, key, ENCRYPT | DECRYPT)
        seen = set()
        for mode, size in ((CBC, 16), (CTR, 16), (GCM, 12)):
            how = parameters(mode, 3 if mode == CBC else None, random_iv=True)
            made = c.ok(on("Encrypt", uid, how, data(self.DATA)))
            self.assertEqual(len(made.path("IVCounterNonce")), size)
            seen.add(made.path("IVCounterNonce"))
        self.assertEqual(len(seen), 3)
        self.assert_reason(c.do(on("Encrypt", uid, parameters(CBC, 3), data(self.DATA))),
                           "InvalidMessage")

    def test_parameters_of_later_parts(self):
        """They may be said again, and are those of the first part."""
        c = self.client(version=(1, 4))
        key, vector = os.urandom(16), os.urandom(16)
        uid = self.register(c, key, ENCRYPT)
        begin = on("Encrypt", uid, parameters(CBC, 3), data(self.DATA[:16]), iv(vector),
                   boolean("InitIndicator", True))
        end = lambda first, how: on(
            "Encrypt", uid, how, data(self.DATA[16:]),
            octets("CorrelationValue", first.path("CorrelationValue")),
            boolean("FinalIndicator", True))
        for other in (parameters(CBC), parameters(CTR), parameters(CBC, 3, random_iv=True)):
            self.assert_reason(c.do(end(c.ok(begin), other)), "InvalidField")
        first = c.ok(begin)
        self.assertEqual(first.path("Data") + c.ok(end(first, parameters(CBC, 3))).path("Data"),
                         self.reference(key, CBC, vector, 3))

    def test_parameters_of_the_key(self):
        c = self.client(version=(1, 4))
        key = os.urandom(16)
        how = ttlv.Node("AttributeValue", ttlv.STRUCT, parameters(ECB, 3).value)
        uid = self.register(c, key, ENCRYPT, attribute("Cryptographic Parameters", how))
        self.assertEqual(c.ok(on("Encrypt", uid, data(self.DATA))).path("Data"),
                         self.reference(key, ECB, None, 3))
        bare = self.register(c, key, ENCRYPT)
        self.assert_reason(c.do(on("Encrypt", bare, data(self.DATA))), "MissingData")

    def test_refused(self):
        c = self.client(version=(1, 4))
        uid = self.register(c, os.urandom(16), ENCRYPT | DECRYPT)
        tdes = self.register(c, os.urandom(24), ENCRYPT, algorithm=2, length=168)
        secret = c.ok(ttlv.register_secret(b"0123456789abcdef", mask=ENCRYPT)).path(
            "UniqueIdentifier")
        block = data(bytes(16))
        for wrong, reason in (
                (on("Encrypt", uid, parameters(ECB), data(bytes(15))), "InvalidField"),
                (on("Encrypt", uid, parameters(ECB, 5), block), "InvalidField"),
                (on("Encrypt", uid, parameters(0xB), block), "InvalidField"),
                (on("Encrypt", uid, parameters(CBC), block, iv(bytes(8))), "InvalidField"),
                (on("Encrypt", uid, parameters(ECB, algorithm=2), block), "InvalidField"),
                (on("Encrypt", uid, parameters(CTR), block, iv(bytes(16)),
                    octets("AuthenticatedEncryptionAdditionalData", b"x")), "InvalidField"),
                (on("Encrypt", uid, parameters(ECB)), "MissingData"),
                (on("Encrypt", None, parameters(ECB), block), "MissingData"),
                (on("Encrypt", tdes, parameters(ECB), block), "InvalidField"),
                (on("Encrypt", secret, parameters(ECB), block), "InvalidField"),
                (on("Encrypt", "nobody", parameters(ECB), block), "ItemNotFound"),
                (on("MAC", uid, parameters(), block), "PermissionDenied"),
                (on("Decrypt", uid, parameters(ECB, 3), data(bytes(16))), "CryptographicFailure")):
            with self.subTest(wrong=wrong):
                self.assert_reason(c.do(wrong), reason)


class Macs(Case):
    DATA = b"what has to stay as it is"
    DIGESTS = {7: "sha1", 8: "sha224", 9: "sha256", 0xA: "sha384", 0xB: "sha512"}

    def verdict(self, c, uid, how, mac):
        return c.ok(on("MACVerify", uid, how, data(self.DATA), octets("MACData", mac))).path(
            "ValidityIndicator")

    def test_hmac(self):
        for version in ((1, 2), (1, 4)):
            c = self.client(version=version)
            for algorithm, name in self.DIGESTS.items():
                with self.subTest(version=version, digest=name):
                    key = os.urandom(40)
                    uid = self.register(c, key, MAC | MAC_VERIFY, algorithm=algorithm)
                    mac = c.ok(on("MAC", uid, data(self.DATA))).path("MACData")
                    self.assertEqual(mac, hmac.digest(key, self.DATA, name))
                    how = parameters(algorithm=algorithm)
                    self.assertEqual(self.verdict(c, uid, how, mac), 1)
                    self.assertEqual(self.verdict(c, uid, how, mac[:-1]), 2)
                    self.assertEqual(self.verdict(c, uid, how, bytes(len(mac))), 2)

    def test_cmac(self):
        c = self.client(version=(1, 4))
        for size in (16, 24, 32):
            key = os.urandom(size)
            uid = self.register(c, key, MAC | MAC_VERIFY)
            reference = cmac.CMAC(algorithms.AES(key))
            reference.update(self.DATA)
            mac = c.ok(on("MAC", uid, parameters(7), data(self.DATA))).path("MACData")
            self.assertEqual(mac, reference.finalize())
            self.assertEqual(self.verdict(c, uid, parameters(algorithm=3), mac), 1)

    def test_hash(self):
        c = self.client(version=(1, 2))
        for hashing, name in ((4, "sha1"), (5, "sha224"), (6, "sha256"), (7, "sha384"),
                              (8, "sha512")):
            digest = c.ok(item("Hash", parameters(hashing=hashing), data(self.DATA)))
            self.assertEqual(digest.tags(), ["Data"])
            self.assertEqual(digest.path("Data"), hashlib.new(name, self.DATA).digest())
        self.assert_reason(c.do(item("Hash", parameters(hashing=3), data(b""))), "InvalidField")
        self.assert_reason(c.do(item("Hash", data(b"x"))), "MissingData")

    def test_random(self):
        c = self.client(version=(1, 2))
        self.assertEqual(c.ok(item("RNGSeed", data(bytes(100)))).path("DataLength"), 100)
        drawn = {c.ok(item("RNGRetrieve", integer("DataLength", 32))).path("Data")
                 for _ in range(16)}
        self.assertEqual([len(d) for d in drawn], [32] * 16)


class WhoMay(Case):
    """State, mask and right."""

    @classmethod
    def arguments(cls):
        cls.reader = kf.AUTHORITY.make("reader")
        return {"tenants": [kf.Tenant(
            "a", kf.AUTHORITY.make("vcenter"),
            options='read-only-certificates = "%s"' % cls.reader.pem)]}

    def test_read_only(self):
        """Who may read keys may use them; nothing is changed by it."""
        c = self.client(version=(1, 4))
        uid = self.register(c, os.urandom(16), ENCRYPT)
        block = on("Encrypt", uid, parameters(ECB), data(bytes(16)))
        made = c.ok(block).path("Data")
        with self.gw.client(self.reader, version=(1, 4)) as reader:
            self.assertEqual(reader.ok(block).path("Data"), made)

    def test_process_start_and_protect_stop(self):
        c = self.client(version=(1, 4))
        now = int(time.time())
        at = lambda name, when: attribute(name, ttlv.date("AttributeValue", when))
        early, late = now - 1000, now + 100000
        for start, stop, encrypts, decrypts in ((early, late, True, True),
                                                (late, late + 1, True, False),
                                                (early, early + 1, False, True)):
            uid = self.register(c, os.urandom(16), ENCRYPT | DECRYPT,
                                at("Activation Date", early), at("Process Start Date", start),
                                at("Protect Stop Date", stop))
            for operation, allowed in (("Encrypt", encrypts), ("Decrypt", decrypts)):
                result = c.do(on(operation, uid, parameters(ECB), data(bytes(16))))
                if allowed:
                    self.assertEqual(result.status, ttlv.SUCCESS, result)
                else:
                    self.assert_reason(result, "PermissionDenied")


if __name__ == "__main__":
    if MISSING:
        kf.skip_all("python3-cryptography is not installed: " + MISSING)
    kf.main()
