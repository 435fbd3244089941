# SPDX-License-Identifier: Apache-2.0
"""PyKMIP's own client against the gateway, over every protocol version; and ttlv.py against
PyKMIP's encoder, so that the other tests stand on something."""

import hashlib
import hmac
import logging
import ssl
import time
import unittest

import kf
import ttlv

try:
    from kmip.core import attributes as kattributes
    from kmip.core import enums
    from kmip.core.exceptions import OperationFailure
    from kmip.core import objects as kobjects
    from kmip.core import primitives
    from kmip.core.factories.attributes import AttributeFactory
    from kmip.core.factories.payloads.response import ResponsePayloadFactory
    from kmip.core.messages import contents, payloads
    from kmip.core.utils import BytearrayStream
    from kmip.pie import objects as pobjects
    from kmip.pie.client import ProxyKmipClient
    from kmip.pie.exceptions import KmipOperationFailure
    from kmip.services.kmip_client import KMIPProxy
    MISSING = None
except ImportError as e:
    MISSING = str(e)
    KMIPProxy = object

VERSIONS = ("KMIP_1_0", "KMIP_1_1", "KMIP_1_2", "KMIP_1_3", "KMIP_1_4", "KMIP_2_0")
# Of its clients' functions: those that ask a server nothing; those whose operations are younger
# than 1.0; those that are for pairs of keys, which the gateway does not have.
NO_OPERATION = {"open", "close", "kmip_version", "get_supported_conformance_clauses",
                "get_supported_authentication_suites", "is_conformance_clause_supported",
                "is_authentication_suite_supported", "is_profile_supported"}
SINCE = {"discover_versions": "KMIP_1_1", "encrypt": "KMIP_1_2", "decrypt": "KMIP_1_2",
         "mac": "KMIP_1_2", "set_attribute": "KMIP_2_0"}
REFUSED = {"create_key_pair", "rekey_key_pair", "sign", "signature_verify"}


def functions():
    """Of its client, and what only the one below has: its own it asks that one for."""
    return {name: cls for cls in (KMIPProxy, ProxyKmipClient) for name in vars(cls)
            if not name.startswith("_") and name not in NO_OPERATION}


def make_socket(self, sock):
    """PyKMIP wraps its socket in a way that newer Pythons and OpenSSLs no longer have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(self.ca_certs)
    context.load_cert_chain(self.certfile, self.keyfile)
    self.socket = context.wrap_socket(sock)
    self.socket.settimeout(self.timeout)


def factory(kind, value):
    return AttributeFactory().create_attribute(kind, value)


def custom(name, value, index=None):
    """PyKMIP's attribute factory knows no x- attributes."""
    return kobjects.Attribute(
        attribute_name=kobjects.Attribute.AttributeName(name),
        attribute_index=None if index is None else kobjects.Attribute.AttributeIndex(index),
        attribute_value=kattributes.CustomAttribute(value))


class Codec(unittest.TestCase):
    """ttlv.py writes what PyKMIP writes."""

    def same(self, theirs, ours, version="KMIP_1_1"):
        stream = BytearrayStream()
        theirs.write(stream, kmip_version=enums.KMIPVersion[version])
        self.assertEqual(bytes(stream.buffer), ours.encode())

    def test_primitives(self):
        for theirs, ours in (
                (primitives.Integer(-7, enums.Tags.MAXIMUM_ITEMS),
                 ttlv.integer("MaximumItems", -7)),
                (primitives.Boolean(True, enums.Tags.BATCH_ORDER_OPTION),
                 ttlv.boolean("BatchOrderOption", True)),
                (primitives.TextString("hello", enums.Tags.UNIQUE_IDENTIFIER),
                 ttlv.uid("hello")),
                (primitives.ByteString(b"12345678", enums.Tags.UNIQUE_BATCH_ITEM_ID),
                 ttlv.octets("UniqueBatchItemID", b"12345678")),
                (primitives.DateTime(1234567890, enums.Tags.TIME_STAMP),
                 ttlv.date("TimeStamp", 1234567890))):
            self.same(theirs, ours)

    def test_create(self):
        mask = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
        template = kobjects.TemplateAttribute(attributes=[
            factory(enums.AttributeType.CRYPTOGRAPHIC_ALGORITHM, enums.CryptographicAlgorithm.AES),
            factory(enums.AttributeType.CRYPTOGRAPHIC_USAGE_MASK, mask),
            factory(enums.AttributeType.CRYPTOGRAPHIC_LENGTH, 256)])
        theirs = payloads.CreateRequestPayload(enums.ObjectType.SYMMETRIC_KEY, template)
        self.same(theirs, ttlv.create().one("RequestPayload"))

    def test_get_attributes(self):
        theirs = payloads.GetAttributesRequestPayload("abc", ["State", "x-Name"])
        self.same(theirs, ttlv.get_attributes("abc", "State", "x-Name").one("RequestPayload"))

    def test_strict(self):
        good = ttlv.request((1, 1), ttlv.item("DiscoverVersions")).encode()
        self.assertEqual(ttlv.decode(good).encode(), good)
        for bad in (good[:-1], good + b"\0", good[:7] + b"\x61" + good[8:],
                    ttlv.element("UniqueIdentifier", ttlv.TEXT, b"abc", pad=b"\0\0\1\0\0"),
                    ttlv.element("BatchCount", ttlv.INT, b"12345678")):
            self.assertRaises(ttlv.Malformed, ttlv.decode, bad)


class PyKmip(kf.SharedCase):
    @classmethod
    def setUpClass(cls):
        logging.disable(logging.CRITICAL)
        original = KMIPProxy._create_socket
        KMIPProxy._create_socket = make_socket
        cls.addClassCleanup(setattr, KMIPProxy, "_create_socket", original)
        cls.done, cls.tests = set(), set()
        for name, owner in functions().items():
            cls.note_use(owner, name)
        super().setUpClass()

    @classmethod
    def note_use(cls, owner, name):
        """That it was answered, in which version."""
        original = getattr(owner, name)

        def noted(self, *args, **kwargs):
            answer = original(self, *args, **kwargs)
            cls.done.add((name, self.kmip_version.name))
            return answer
        setattr(owner, name, noted)
        cls.addClassCleanup(setattr, owner, name, original)

    @classmethod
    def tearDownClass(cls):
        """After all tests, each function has been used in each version that has its operation."""
        super().tearDownClass()
        if cls.tests != set(unittest.TestLoader().getTestCaseNames(cls)):
            return
        wanted = {(name, v) for name in set(functions()) - REFUSED for v in VERSIONS
                  if v >= SINCE.get(name, v)}
        print("PyKMIP: %d functions, %d of them for pairs of keys; the others in %d versions: "
              "%d uses wanted, %d not seen" % (len(functions()), len(REFUSED), len(VERSIONS),
                                               len(wanted), len(wanted - cls.done)))
        if wanted - cls.done:
            raise AssertionError("not used: %s" % sorted(wanted - cls.done))

    def setUp(self):
        super().setUp()
        self.tests.add(self._testMethodName)

    def pie(self, version):
        vcenter = kf.AUTHORITY.make("vcenter")
        ca = kf.AUTHORITY.make("server-ec").pem
        client = ProxyKmipClient(
            hostname="127.0.0.1", port=self.gw.port, cert=vcenter.pem, key=vcenter.key, ca=ca,
            config="nothing", kmip_version=enums.KMIPVersion[version])
        client.open()
        self.addCleanup(client.close)
        return client

    def each_version(self, test):
        for version in VERSIONS:
            with self.subTest(version=version):
                test(self.pie(version), version)

    def test_whole_life(self):
        self.each_version(self.whole_life)

    def whole_life(self, c, version):
        mask = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
        name = "life-%s" % version
        uid = c.create(enums.CryptographicAlgorithm.AES, 256, name=name,
                       cryptographic_usage_mask=mask)
        key = c.get(uid)
        self.assertEqual(key.cryptographic_algorithm, enums.CryptographicAlgorithm.AES)
        self.assertEqual((key.cryptographic_length, len(key.value)), (256, 32))
        self.assertEqual(self.state(c, uid), enums.State.PRE_ACTIVE)
        c.activate(uid)
        self.assertEqual(self.state(c, uid), enums.State.ACTIVE)
        self.assertEqual(c.get(uid).value, key.value)
        self.attributes(c, uid, name)
        if version < "KMIP_2":
            self.labels(c, uid)
            refused = enums.ResultReason.PERMISSION_DENIED
        else:
            self.attributes_2(c, uid)
            refused = enums.ResultReason.WRONG_KEY_LIFECYCLE_STATE
        with self.assertRaises(KmipOperationFailure) as caught:
            c.destroy(uid)
        self.assertEqual(caught.exception.reason, refused)
        c.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid, "the VM is gone")
        self.assertEqual(self.state(c, uid), enums.State.DEACTIVATED)
        c.destroy(uid)
        self.assertEqual(self.state(c, uid), enums.State.DESTROYED)
        with self.assertRaises(KmipOperationFailure):
            c.get(uid)
        self.assertNotIn(uid, c.locate(attributes=[factory(enums.AttributeType.NAME, name)]))

    def state(self, c, uid):
        _, found = c.get_attributes(uid, ["State"])
        return found[0].attribute_value.value

    def attributes(self, c, uid, name):
        listed = c.get_attribute_list(uid)
        for expected in ("Unique Identifier", "Object Type", "Cryptographic Algorithm",
                         "Cryptographic Length", "Cryptographic Usage Mask", "State",
                         "Initial Date", "Activation Date", "Last Change Date", "Name", "Digest"):
            self.assertIn(expected, listed)
        got, found = c.get_attributes(uid, ["Name", "Cryptographic Length", "Initial Date",
                                            "Cryptographic Usage Mask", "Object Type"])
        self.assertEqual(got, uid)
        values = {a.attribute_name.value: a.attribute_value for a in found}
        self.assertEqual(values["Name"].name_value.value, name)
        self.assertEqual(values["Cryptographic Length"].value, 256)
        self.assertEqual(values["Cryptographic Usage Mask"].value, 0xC)
        self.assertEqual(values["Object Type"].value, enums.ObjectType.SYMMETRIC_KEY)
        self.assertLess(abs(values["Initial Date"].value - time.time()), 300)
        self.assertEqual(c.locate(attributes=[factory(enums.AttributeType.NAME, name)]), [uid])
        everything = c.locate(maximum_items=1000, attributes=[
            factory(enums.AttributeType.CRYPTOGRAPHIC_ALGORITHM, enums.CryptographicAlgorithm.AES),
            factory(enums.AttributeType.STATE, enums.State.ACTIVE)])
        self.assertIn(uid, everything)
        self.assertEqual(len(c.locate(maximum_items=1)), 1)

    def labels(self, c, uid):
        """PyKMIP has Modify and Delete Attribute, but no Add Attribute: that is done by hand."""
        with self.gw.client(version=tuple(map(int, c.kmip_version.name[-3:].split("_")))) as raw:
            raw.ok(ttlv.on("AddAttribute", uid, ttlv.attribute("x-Component", "ESXi Server")))
        _, found = c.get_attributes(uid, ["x-Component"])
        self.assertEqual(found[0].attribute_value.value, "ESXi Server")
        _, changed = c.modify_attribute(uid, attribute=custom("x-Component", "Virtual Machine", 0))
        self.assertEqual(changed.attribute_value.value, "Virtual Machine")
        self.assertIn("x-Component", c.get_attribute_list(uid))
        _, gone = c.delete_attribute(uid, attribute_name="x-Component")
        self.assertEqual(gone.attribute_value.value, "Virtual Machine")
        _, found = c.get_attributes(uid, ["x-Component"])
        self.assertEqual(found, [])

    def attributes_2(self, c, uid):
        """What PyKMIP can do with attributes in 2.0: it has no vendors' there, and no Add."""
        names = lambda: [a.attribute_value.name_value.value
                         for a in c.get_attributes(uid, ["Name"])[1]]
        value = lambda v: kattributes.Name.create(v, enums.NameType.UNINTERPRETED_TEXT_STRING)
        old = names()[0]
        for current in (None, kobjects.CurrentAttribute(attribute=value(old))):
            new = "%s-%s" % (old, current is not None)
            c.modify_attribute(uid, current_attribute=current,
                               new_attribute=kobjects.NewAttribute(attribute=value(new)))
            self.assertEqual(names(), [new])
            c.modify_attribute(uid, new_attribute=kobjects.NewAttribute(attribute=value(old)))
        with self.assertRaises(OperationFailure) as caught:
            c.modify_attribute(uid, current_attribute=kobjects.CurrentAttribute(
                attribute=value("other")), new_attribute=kobjects.NewAttribute(
                    attribute=value("new")))
        self.assertEqual(caught.exception.reason,
                         enums.ResultReason.ATTRIBUTE_INSTANCE_NOT_FOUND)
        for sensitive in (True, False):
            self.assertEqual(c.set_attribute(uid, attribute_name="Sensitive",
                                             attribute_value=sensitive), uid)
            _, found = c.get_attributes(uid, ["Sensitive"])
            self.assertEqual([a.attribute_value.value for a in found], [sensitive])
        with self.assertRaises(OperationFailure) as caught:
            c.set_attribute(uid, attribute_name="State", attribute_value=enums.State.ACTIVE)
        self.assertEqual(caught.exception.reason, enums.ResultReason.READ_ONLY_ATTRIBUTE)
        got, gone = c.delete_attribute(uid, current_attribute=kobjects.CurrentAttribute(
            attribute=value(old)))
        self.assertEqual((got, gone, names()), (uid, None, []))
        c.set_attribute(uid, attribute_name="Name", attribute_value=old)

    def test_register(self):
        """Objects that a client has already, and gets back as they were."""
        def register(c, version):
            mask = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
            for obj in (
                    pobjects.SymmetricKey(enums.CryptographicAlgorithm.AES, 128, bytes(range(16)),
                                          masks=mask, name="key-%s" % version),
                    pobjects.SymmetricKey(enums.CryptographicAlgorithm.TRIPLE_DES, 192,
                                          bytes(range(24)), masks=mask),
                    pobjects.SecretData(b"a password", enums.SecretDataType.PASSWORD,
                                        masks=[enums.CryptographicUsageMask.VERIFY]),
                    pobjects.OpaqueObject(b"anything", enums.OpaqueDataType.NONE)):
                uid = c.register(obj)
                got = c.get(uid)
                self.assertIsInstance(got, type(obj))
                self.assertEqual(got.value, obj.value)
                c.destroy(uid)
        self.each_version(register)

    def test_encrypt_and_mac(self):
        """Encrypt, Decrypt and MAC, which came with 1.2."""
        u, modes = enums.CryptographicUsageMask, enums.BlockCipherMode
        for version in VERSIONS[2:]:
            with self.subTest(version=version):
                c = self.pie(version)
                uid = c.create(enums.CryptographicAlgorithm.AES, 256,
                               cryptographic_usage_mask=[u.ENCRYPT, u.DECRYPT, u.MAC_GENERATE])
                c.activate(uid)
                how = {"block_cipher_mode": modes.CBC,
                       "padding_method": enums.PaddingMethod.PKCS5}
                secret, _ = c.encrypt(b"some data", uid, how, bytes(16))
                self.assertEqual(len(secret), 16)
                self.assertEqual(c.decrypt(secret, uid, how, bytes(16)), b"some data")
                got, mac = c.mac(b"some data", uid, enums.CryptographicAlgorithm.HMAC_SHA256)
                self.assertEqual(got, uid)
                key = c.get(uid).value
                self.assertEqual(mac, hmac.digest(key, b"some data", "sha256"))
                c.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid)
                with self.assertRaises(KmipOperationFailure) as caught:
                    c.encrypt(b"some data", uid, how, bytes(16))
                self.assertEqual(caught.exception.reason,
                                 enums.ResultReason.PERMISSION_DENIED if version < "KMIP_2"
                                 else enums.ResultReason.WRONG_KEY_LIFECYCLE_STATE)
                self.assertEqual(c.decrypt(secret, uid, how, bytes(16)), b"some data")

    def test_derive_rekey_and_check(self):
        """Derive Key, Re-key and Check."""
        def derive(c, version):
            u, m = enums.CryptographicUsageMask, enums.DerivationMethod
            base = c.register(pobjects.SymmetricKey(
                enums.CryptographicAlgorithm.AES, 128, bytes(range(16)), masks=[u.DERIVE_KEY],
                name="base-%s" % version))
            c.activate(base)
            sha256 = {"hashing_algorithm": enums.HashingAlgorithm.SHA_256}
            for method, how, want in (
                    (m.PBKDF2, {"cryptographic_parameters": sha256, "salt": b"salt",
                                "iteration_count": 1000},
                     hashlib.pbkdf2_hmac("sha256", bytes(range(16)), b"salt", 1000, 16)),
                    (m.HMAC, {"cryptographic_parameters": sha256, "derivation_data": b"x"},
                     hmac.digest(bytes(range(16)), b"x", "sha256")[:16]),
                    (m.HASH, {"cryptographic_parameters": sha256},
                     hashlib.sha256(bytes(range(16))).digest()[:16])):
                uid = c.derive_key(
                    enums.ObjectType.SYMMETRIC_KEY, [base], method, how,
                    cryptographic_length=128,
                    cryptographic_algorithm=enums.CryptographicAlgorithm.AES,
                    cryptographic_usage_mask=[u.ENCRYPT])
                self.assertEqual(c.get(uid).value, want)
            if version > "KMIP_2":  # where one of its clients would send a Template-Attribute
                new = c.proxy.rekey(base, offset=0)["unique_identifier"]
                self.done.add(("rekey", version))
            else:
                new = c.rekey(base, offset=0)
            self.assertNotEqual(c.get(new).value, bytes(range(16)))
            self.assertEqual(c.check(new, cryptographic_usage_mask=[u.DERIVE_KEY]), new)
        self.each_version(derive)

    def test_archive_and_recover(self):
        """Its payloads, which its client has no functions for."""
        original = ResponsePayloadFactory.create
        made = {enums.Operation.ARCHIVE: payloads.ArchiveResponsePayload,
                enums.Operation.RECOVER: payloads.RecoverResponsePayload}
        ResponsePayloadFactory.create = lambda self, operation: (
            made[operation]() if operation in made else original(self, operation))
        self.addCleanup(setattr, ResponsePayloadFactory, "create", original)

        def archive(c, _version):
            uid = c.create(enums.CryptographicAlgorithm.AES, 256)
            key = c.get(uid).value
            send = c.proxy.send_request_payload
            answer = send(enums.Operation.ARCHIVE, payloads.ArchiveRequestPayload(uid))
            self.assertEqual(answer.unique_identifier, uid)
            with self.assertRaises(KmipOperationFailure) as caught:
                c.get(uid)
            self.assertEqual(caught.exception.reason, enums.ResultReason.OBJECT_ARCHIVED)
            answer = send(enums.Operation.RECOVER, payloads.RecoverRequestPayload(uid))
            self.assertEqual(answer.unique_identifier, uid)
            self.assertEqual(c.get(uid).value, key)
        self.each_version(archive)

    def test_pairs_of_keys_are_refused(self):
        def refuse(c, _version):
            how = enums.CryptographicAlgorithm.RSA
            uid = c.create(enums.CryptographicAlgorithm.AES, 256)
            for call in (lambda: c.create_key_pair(how, 2048), lambda: c.sign(b"data", uid),
                         lambda: c.signature_verify(b"data", b"signature", uid)):
                with self.assertRaises(KmipOperationFailure) as caught:
                    call()
                self.assertEqual(caught.exception.reason,
                                 enums.ResultReason.OPERATION_NOT_SUPPORTED)
            answer = c.proxy.rekey_key_pair(private_key_uuid=kattributes.PrivateKeyUniqueIdentifier(
                uid))
            self.assertEqual(answer.result_reason.value,
                             enums.ResultReason.OPERATION_NOT_SUPPORTED)
            self.assertEqual(len(c.get(uid).value), 32)
        self.each_version(refuse)

    def test_query_and_versions(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                proxy = self.pie(version).proxy
                q = enums.QueryFunction
                result = proxy.query(query_functions=[
                    q.QUERY_OPERATIONS, q.QUERY_OBJECTS, q.QUERY_SERVER_INFORMATION])
                self.assertEqual(result.result_status.value, enums.ResultStatus.SUCCESS)
                o = enums.Operation
                self.assertLessEqual(
                    {o.CREATE, o.GET, o.GET_ATTRIBUTES, o.GET_ATTRIBUTE_LIST, o.ADD_ATTRIBUTE,
                     o.MODIFY_ATTRIBUTE, o.DELETE_ATTRIBUTE, o.ACTIVATE, o.REVOKE, o.DESTROY,
                     o.LOCATE, o.QUERY}, set(result.operations))
                self.assertIn(enums.ObjectType.SYMMETRIC_KEY, result.object_types)
                self.assertTrue(result.vendor_identification)
                if version == "KMIP_1_0":
                    continue  # Discover Versions came with 1.1
                result = proxy.discover_versions()
                self.assertEqual(result.result_status.value, enums.ResultStatus.SUCCESS)
                self.assertEqual([(v.major, v.minor) for v in result.protocol_versions],
                                 [(2, 1), (2, 0), (1, 4), (1, 3), (1, 2), (1, 1), (1, 0)])
                result = proxy.discover_versions(
                    protocol_versions=[contents.ProtocolVersion(1, 2),
                                       contents.ProtocolVersion(9, 9)])
                self.assertEqual([(v.major, v.minor) for v in result.protocol_versions], [(1, 2)])

    def test_failures_are_told(self):
        def failures(c, version):
            missing = (enums.ResultReason.ITEM_NOT_FOUND if version < "KMIP_2" else
                       enums.ResultReason.OBJECT_NOT_FOUND)
            for call in (lambda: c.get("nobody"), lambda: c.activate("nobody"),
                         lambda: c.destroy("nobody"), lambda: c.get_attribute_list("nobody")):
                with self.assertRaises(KmipOperationFailure) as caught:
                    call()
                self.assertEqual(caught.exception.reason, missing)
            uid = c.create(enums.CryptographicAlgorithm.AES, 128)
            self.assertEqual(len(c.get(uid).value), 16)
            c.activate(uid)
            with self.assertRaises(KmipOperationFailure) as caught:
                c.activate(uid)
            self.assertIn(caught.exception.reason, (
                enums.ResultReason.ILLEGAL_OPERATION, enums.ResultReason.PERMISSION_DENIED,
                enums.ResultReason.WRONG_KEY_LIFECYCLE_STATE))
        self.each_version(failures)

    def test_compromise(self):
        def compromise(c, _):
            uid = c.create(enums.CryptographicAlgorithm.AES, 192)
            c.revoke(enums.RevocationReasonCode.KEY_COMPROMISE, uid, "lost",
                     compromise_occurrence_date=int(time.time()) - 3600)
            self.assertEqual(self.state(c, uid), enums.State.COMPROMISED)
            c.destroy(uid)
            self.assertEqual(self.state(c, uid), enums.State.DESTROYED_COMPROMISED)
        self.each_version(compromise)


if __name__ == "__main__":
    if MISSING:
        kf.skip_all("PyKMIP is not installed (Debian: python3-pykmip): " + MISSING)
    kf.main()
