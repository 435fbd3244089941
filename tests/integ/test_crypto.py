# SPDX-License-Identifier: Apache-2.0
"""What is done with keys: wrapping, held against python3-cryptography."""

import unittest

import kf
import ttlv
from ttlv import attribute, boolean, enum, integer, item, octets, on, revoke, seq, text

try:
    from cryptography.hazmat.primitives import keywrap
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
        wrapped = self.get(sensitive, specification(self.kek)).path("KeyValue", "KeyMaterial")
        self.assertEqual(keywrap.aes_key_unwrap(self.KEK, wrapped), self.KEY)
        for spec in (None, specification(self.kek)):
            self.assertEqual(self.c.do(on("Get", kept, spec)).reason, 0x17)


if __name__ == "__main__":
    if MISSING:
        kf.skip_all("python3-cryptography is not installed: " + MISSING)
    kf.main()
