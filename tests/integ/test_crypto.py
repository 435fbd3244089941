# SPDX-License-Identifier: Apache-2.0
"""What is done with keys: wrapping, ciphers, MACs, held against python3-cryptography."""

import hashlib
import hmac
import os
import time
import unittest

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
        self.assertEqual((found["Name"][0][0].value, found["x-a"], found["x-b"]),
                         ("new name", ["3"], ["2"]))
        self.assertEqual(values(c, old)["Name"][0][0].value, "old name")
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
