# SPDX-License-Identifier: Apache-2.0
"""Malformed and hostile messages, one named case each: the right Result Reason or a closed session,
and afterwards a gateway that answers others and has nothing left over."""

import socket
import ssl
import struct
import time

import kf
import ttlv
from ttlv import (BOOL, BYTES, DATE, ENUM, INT, INTERVAL, LONG, STRUCT, TEXT, attribute, element,
                  enum, get_attributes, integer, item, octets, on, request, seq, text, ubid)

CEILING = 64 * 1024
V = (1, 1)


# What is expected of a case.

class Expect:
    """Answers in order: 'ok' or a tuple of Result Reasons; then whether the session is closed."""

    def __init__(self, *answers, closed=False):
        self.answers, self.closed = answers, closed


def fails(*reasons):
    """An error answer; the session goes on."""
    return Expect(reasons)


def ends(*reasons):
    """An error answer, then the session is closed."""
    return Expect(reasons, closed=True)


OK = Expect("ok")
CLOSED = Expect(closed=True)
INVALID = fails("InvalidMessage")
MISSING = fails("MissingData")


# Raw pieces, which may lie.

def raw(tag, *parts, length=None):
    return element(tag, STRUCT, b"".join(parts), length=length)


def number(tag, value):
    return element(tag, INT, struct.pack(">i", value))


def version(major=1, minor=1):
    return raw("ProtocolVersion", number("ProtocolVersionMajor", major),
               number("ProtocolVersionMinor", minor))


def header(count=1, extra=b"", first=None):
    return raw("RequestHeader", version() if first is None else first, extra,
               number("BatchCount", count))


DISCOVER = raw("BatchItem", enum("Operation", 0x1E).encode(), raw("RequestPayload"))
GOOD = raw("RequestMessage", header(), DISCOVER)


def message(*parts):
    return raw("RequestMessage", *parts)


def payload(operation, *parts):
    """A message with one item whose payload is made of raw parts."""
    return message(header(), raw("BatchItem", enum("Operation", operation).encode(),
                                 raw("RequestPayload", *parts)))


def with_header(*extra):
    return message(header(extra=b"".join(n.encode() for n in extra)), DISCOVER)


def nested(levels, tag=0x540001):
    """Structures in each other, without their end known by anything but their lengths."""
    out = b""
    for _ in range(levels):
        out = element(tag, STRUCT, out)
    return out


def extension(critical, inner=b""):
    return raw("MessageExtension", text("VendorIdentification", "somebody").encode(),
               ttlv.boolean("CriticalityIndicator", critical).encode(),
               raw("VendorExtension", inner))


def extended(ext):
    return message(header(), raw("BatchItem", enum("Operation", 0x1E).encode(),
                                 raw("RequestPayload"), ext))


def sized(total):
    """A good message of exactly that many bytes."""
    room = total - len(extended(extension(False, element(0x540001, BYTES, b""))))
    return extended(extension(False, element(0x540001, BYTES, b"a" * room)))


def one(*items, **kwargs):
    return request(V, *items, **kwargs).encode()


def create(*attributes, kind=2):
    return one(item("Create", enum("ObjectType", kind), ttlv.template(*attributes)))


AES = ttlv.aes_attributes()
UID = ttlv.uid("01890000-0000-7000-8000-000000000000")
GET = ttlv.OPS["Get"]

FRAMING = {
    "length 2^31-1": (raw("RequestMessage", length=0x7FFFFFFF), ends("InvalidMessage")),
    "length 2^32-1": (raw("RequestMessage", length=0xFFFFFFFF), ends("InvalidMessage")),
    "length 2^31": (raw("RequestMessage", length=0x80000000), ends("InvalidMessage")),
    "length 2^32-8": (raw("RequestMessage", length=0xFFFFFFF8), ends("InvalidMessage")),
    "length beyond the ceiling by 8": (raw("RequestMessage", length=CEILING),
                                       ends("InvalidMessage")),
    "as large as the ceiling": (sized(CEILING), OK),
    "larger than the ceiling": (sized(CEILING + 8), ends("InvalidMessage")),
    "no Request Message but a Response Message": (b"\x42\x00\x7b" + GOOD[3:],
                                                  ends("InvalidMessage")),
    "Request Message as Integer": (b"\x42\x00\x78\x02" + GOOD[4:], ends("InvalidMessage")),
    "eight zero bytes": (bytes(8), ends("InvalidMessage")),
    "eight 0xff bytes": (b"\xff" * 8, ends("InvalidMessage")),
    "an HTTP request": (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", ends("InvalidMessage")),
    "TTLV of KMIP 2.x in JSON": (b'{"tag":"RequestMessage"}', ends("InvalidMessage")),
    "empty Request Message": (raw("RequestMessage"), fails("MissingData", "InvalidMessage")),
    "two requests at once": (GOOD * 2, Expect("ok", "ok")),
    "forty requests at once": (GOOD * 40, Expect(*["ok"] * 40)),
    "good, bad and good at once": (GOOD + message(header(count=0), DISCOVER) + GOOD,
                                   Expect("ok", ("InvalidMessage",), "ok")),
    "garbage after a good request": (GOOD + b"garbage, and more of it",
                                     Expect("ok", ("InvalidMessage",), closed=True)),
    "zeros after a good request": (GOOD + bytes(64),
                                   Expect("ok", ("InvalidMessage",), closed=True)),
}

ENCODING = {
    "length of the message not a multiple of 8": (
        raw("RequestMessage", header(), DISCOVER, b"\0" * 4, length=100), ends("InvalidMessage")),
    "child longer than its parent": (
        message(raw("RequestHeader", version(), length=4096), DISCOVER), INVALID),
    "child reaches one element too far": (
        message(raw("RequestHeader", version(), length=48), number("BatchCount", 1), DISCOVER),
        fails("InvalidMessage", "MissingData")),
    "four bytes left over in a structure": (
        message(header(), raw("BatchItem", enum("Operation", 0x1E).encode(),
                              element("RequestPayload", STRUCT, b"\0" * 4))), INVALID),
    "structure with an odd length": (
        message(header(), raw("BatchItem", enum("Operation", 0x1E).encode(),
                              element("RequestPayload", STRUCT, b"\0" * 8, length=7))), INVALID),
    "padding of an Integer": (
        payload(GET, element("UniqueIdentifier", INT, b"\0\0\0\1", pad=b"\0\0\0\1")), INVALID),
    "padding of a Text String": (
        payload(GET, element("UniqueIdentifier", TEXT, b"abc", pad=b"\0\0\0\0x")), INVALID),
    "padding of a Byte String": (
        message(header(), raw("BatchItem", enum("Operation", 0x1E).encode(),
                              element("UniqueBatchItemID", BYTES, b"abc", pad=b"\xff" * 5),
                              raw("RequestPayload"))), INVALID),
    "padding of an Enumeration": (
        message(header(), raw("BatchItem", element("Operation", ENUM, b"\0\0\0\x1e",
                                                   pad=b"zzzz"), raw("RequestPayload"))),
        INVALID),
    "Integer of 8 bytes": (
        message(raw("RequestHeader", version(), element("BatchCount", INT, bytes(8))), DISCOVER),
        INVALID),
    "Integer of 0 bytes": (
        message(raw("RequestHeader", version(), element("BatchCount", INT, b"")), DISCOVER),
        INVALID),
    "Enumeration of 3 bytes": (
        message(header(), raw("BatchItem", element("Operation", ENUM, b"\0\0\x1e"),
                              raw("RequestPayload"))), INVALID),
    "Boolean of 4 bytes": (
        message(header(extra=element("BatchOrderOption", BOOL, b"\0\0\0\1")), DISCOVER), INVALID),
    "Boolean of value 2": (
        message(header(extra=element("BatchOrderOption", BOOL, b"\0" * 7 + b"\2")), DISCOVER),
        INVALID),
    "Boolean with a bit far up": (
        message(header(extra=element("BatchOrderOption", BOOL, b"\x80" + b"\0" * 6 + b"\1")),
                DISCOVER), INVALID),
    "Date-Time of 4 bytes": (
        message(header(extra=element("TimeStamp", DATE, b"\0\0\0\1")), DISCOVER), INVALID),
    "Long Integer of 4 bytes": (
        extended(extension(False, element(0x540001, LONG, b"\0\0\0\1"))), INVALID),
    "Interval of 8 bytes": (
        extended(extension(False, element(0x540001, INTERVAL, bytes(8)))), INVALID),
    "type 0": (extended(extension(False, element(0x540001, 0, b""))), INVALID),
    "type 11": (extended(extension(False, element(0x540001, 11, bytes(8)))), INVALID),
    "type 255": (extended(extension(False, element(0x540001, 255, bytes(8)))), INVALID),
    "Text String that is not UTF-8": (
        payload(GET, element("UniqueIdentifier", TEXT, b"\xff\xfe\xfd")), INVALID),
    "Text String with an overlong NUL": (
        payload(GET, element("UniqueIdentifier", TEXT, b"a\xc0\x80")), INVALID),
    "Text String with a surrogate": (
        payload(GET, element("UniqueIdentifier", TEXT, b"\xed\xa0\x80")), INVALID),
    "Text String with a NUL": (
        payload(GET, element("UniqueIdentifier", TEXT, b"abc\0def")), INVALID),
    "nesting 32": (extended(extension(False, nested(32 - 4))), OK),
    "nesting 33": (extended(extension(False, nested(33 - 4))), INVALID),
    "nesting 8000": (extended(extension(False, nested(8000))), INVALID),
    "nesting 10000": (extended(extension(False, nested(10000))), ends("InvalidMessage")),
    "8000 empty structures": (extended(extension(False, element(0x540001, STRUCT, b"") * 8000)),
                              OK),
}

HEADER = {
    "no Request Header": (message(DISCOVER), fails("MissingData", "InvalidMessage")),
    "header last": (message(DISCOVER, header()), fails("MissingData", "InvalidMessage")),
    "two headers": (message(header(), header(), DISCOVER), INVALID),
    "no Protocol Version": (message(header(first=b""), DISCOVER),
                            fails("MissingData", "InvalidMessage")),
    "no major version": (message(header(first=raw("ProtocolVersion",
                                                  number("ProtocolVersionMinor", 1))), DISCOVER),
                         fails("MissingData", "InvalidMessage")),
    "no minor version": (message(header(first=raw("ProtocolVersion",
                                                  number("ProtocolVersionMajor", 1))), DISCOVER),
                         fails("MissingData", "InvalidMessage")),
    "version as Text String": (message(header(first=text("ProtocolVersion", "1.1").encode()),
                                       DISCOVER), INVALID),
    "no Batch Count": (message(raw("RequestHeader", version()), DISCOVER),
                       fails("MissingData", "InvalidMessage")),
    "Batch Count 0": (message(header(count=0), DISCOVER), INVALID),
    "Batch Count 0 and no item": (message(header(count=0)), INVALID),
    "Batch Count 2 for one item": (one(item("DiscoverVersions", ubid=ubid(1)), count=2), INVALID),
    "Batch Count 1 for two items": (message(header(count=1), DISCOVER, DISCOVER), INVALID),
    "Batch Count -1": (message(header(count=-1), DISCOVER), INVALID),
    "Batch Count 2^31-1": (message(header(count=0x7FFFFFFF), DISCOVER), INVALID),
    "Batch Count as Enumeration": (
        message(raw("RequestHeader", version(), enum("BatchCount", 1).encode()), DISCOVER),
        INVALID),
    "129 items": (one(*[item("DiscoverVersions", ubid=ubid(n)) for n in range(129)]), INVALID),
    "128 items": (one(*[item("DiscoverVersions", ubid=ubid(n)) for n in range(128)]),
                  Expect("ok")),
    "Asynchronous Indicator true": (
        with_header(ttlv.boolean("AsynchronousIndicator", True)),
        fails("FeatureNotSupported", "OperationNotSupported")),
    "Asynchronous Indicator false": (
        with_header(ttlv.boolean("AsynchronousIndicator", False)), OK),
    "Maximum Response Size 0": (with_header(integer("MaximumResponseSize", 0)),
                                fails("InvalidField", "ResponseTooLarge")),
    "Maximum Response Size -1": (with_header(integer("MaximumResponseSize", -1)),
                                 fails("InvalidField", "ResponseTooLarge")),
    "Maximum Response Size too small": (with_header(integer("MaximumResponseSize", 64)),
                                        fails("ResponseTooLarge")),
    "Batch Error Continuation 9": (with_header(enum("BatchErrorContinuationOption", 9)),
                                   fails("InvalidField", "InvalidMessage")),
    "fields of the header out of order": (
        with_header(ttlv.boolean("BatchOrderOption", True), integer("MaximumResponseSize", 4096)),
        fails("InvalidMessage", "MissingData")),
    "unknown field in the header": (
        message(header(extra=number(0x4200FF, 1)), DISCOVER),
        fails("InvalidMessage", "MissingData")),
    "credential of an unknown type": (
        with_header(seq("Authentication", seq(
            "Credential", enum("CredentialType", 1),
            octets("CredentialValue", b"not a structure")))), INVALID),
    "credential without a value": (
        with_header(seq("Authentication", seq("Credential", enum("CredentialType", 1)))),
        fails("MissingData", "InvalidMessage")),
    "empty Authentication": (with_header(seq("Authentication")),
                             fails("MissingData", "InvalidMessage")),
}
for _major, _minor in ((0, 9), (1, 5), (1, 17), (2, 2), (3, 0), (9, 9), (-1, 1), (257, 1)):
    HEADER["version %d.%d" % (_major, _minor)] = (
        message(header(first=version(_major, _minor)), DISCOVER),
        INVALID if _major not in (2, 3, 9) else fails("UnsupportedProtocolVersion"))

ITEMS = {
    "no Operation": (message(header(), raw("BatchItem", raw("RequestPayload"))),
                     fails("MissingData", "InvalidMessage")),
    "Operation as Integer": (message(header(), raw("BatchItem", number("Operation", 0x1E),
                                                   raw("RequestPayload"))), INVALID),
    "Operation after the payload": (
        message(header(), raw("BatchItem", raw("RequestPayload"),
                              enum("Operation", 0x1E).encode())),
        fails("MissingData", "InvalidMessage")),
    "empty item": (message(header(), raw("BatchItem")), fails("MissingData", "InvalidMessage")),
    "no payload": (message(header(), raw("BatchItem", enum("Operation", GET).encode())),
                   fails("MissingData", "InvalidMessage")),
    "payload as Byte String": (
        message(header(), raw("BatchItem", enum("Operation", GET).encode(),
                              element("RequestPayload", BYTES, b""))), INVALID),
    "two payloads": (
        message(header(), raw("BatchItem", enum("Operation", GET).encode(),
                              raw("RequestPayload"), raw("RequestPayload"))), INVALID),
    "two items without Unique Batch Item ID": (
        message(header(count=2), DISCOVER, DISCOVER), fails("MissingData", "InvalidMessage")),
    "one of two items without Unique Batch Item ID": (
        one(item("DiscoverVersions", ubid=b"1"), item("DiscoverVersions")),
        fails("MissingData", "InvalidMessage")),
    "Unique Batch Item ID as Text String": (
        message(header(), raw("BatchItem", enum("Operation", 0x1E).encode(),
                              text("UniqueBatchItemID", "1").encode(), raw("RequestPayload"))),
        INVALID),
    "Operation 0": (one(item(0)), fails("OperationNotSupported", "InvalidMessage")),
    "Operation 0x7fffffff": (one(item(0x7FFFFFFF)), fails("OperationNotSupported")),
    "Operation 0x80000001": (one(item(0x80000001)), fails("OperationNotSupported")),
    "Operation Register": (one(item("Register")), MISSING),
    "Operation Encrypt, which 1.1 does not have": (
        one(item(0x1F)), fails("OperationNotSupported")),
    "critical extension": (extended(extension(True)), fails("FeatureNotSupported")),
    "extension that is not critical": (extended(extension(False)), OK),
    "extension without Criticality Indicator": (
        extended(raw("MessageExtension", text("VendorIdentification", "x").encode(),
                     raw("VendorExtension"))), fails("MissingData", "InvalidMessage")),
    "extension tag after the items": (message(header(), DISCOVER, number(0x540001, 1)), OK),
    "unknown tag after the items": (message(header(), DISCOVER, number(0x4200FF, 1)), INVALID),
}

PAYLOADS = {
    "Get without Unique Identifier": (one(on("Get")), fails("MissingData", "ItemNotFound")),
    "Get with an empty Unique Identifier": (one(on("Get", "")), fails("ItemNotFound")),
    "Get with a Unique Identifier of 60000": (one(on("Get", "a" * 60000)), fails("ItemNotFound")),
    "Get with a Unique Identifier as Integer": (
        one(item("Get", integer("UniqueIdentifier", 1))), INVALID),
    "Get with a Unique Identifier as Byte String": (
        one(item("Get", octets("UniqueIdentifier", b"1"))), INVALID),
    "Get with two Unique Identifiers": (one(item("Get", UID, UID)), INVALID),
    "Get with a path": (one(on("Get", "../../etc/passwd")), fails("ItemNotFound")),
    "Get with SQL": (one(on("Get", "' OR 1=1 --")), fails("ItemNotFound")),
    "Get with a line break": (one(on("Get", "a\nerror forged: line")), fails("ItemNotFound")),
    "Get with a field of another operation": (
        one(item("Get", UID, enum("ObjectType", 2))), INVALID),
    "Get with an unknown key format": (
        one(item("Get", UID, enum("KeyFormatType", 0x7777))),
        fails("KeyFormatTypeNotSupported", "InvalidField")),
    "Get with a compression type": (
        one(item("Get", UID, enum("KeyCompressionType", 2))),
        fails("KeyCompressionTypeNotSupported")),
    "Get with half a wrapping specification": (
        one(item("Get", UID, seq("KeyWrappingSpecification", enum(0x42009E, 1)))),
        MISSING),
    "Create without Object Type": (one(item("Create", ttlv.template(*AES))), MISSING),
    "Create without Template-Attribute": (one(item("Create", enum("ObjectType", 2))), MISSING),
    "Create of a Certificate": (create(*AES, kind=1), fails("InvalidField",
                                                             "OperationNotSupported")),
    "Create of Object Type 99": (create(*AES, kind=99), fails("InvalidField")),
    "Create with an empty template": (create(), MISSING),
    "Create without algorithm": (create(*AES[1:]), MISSING),
    "Create without length": (create(*AES[:2]), MISSING),
    "Create of AES-255": (create(*ttlv.aes_attributes(255)), fails("InvalidField")),
    "Create of AES-0": (create(*ttlv.aes_attributes(0)), fails("InvalidField", "MissingData")),
    "Create of AES with length -256": (create(*ttlv.aes_attributes(-256)), fails("InvalidField")),
    "Create of AES with length 2^31-1": (create(*ttlv.aes_attributes(0x7FFFFFFF)),
                                         fails("InvalidField")),
    "Create of a DES key": (
        create(attribute("Cryptographic Algorithm", enum("AttributeValue", 1)), *AES[1:]),
        fails("InvalidField")),
    "Create with an unknown algorithm": (
        create(attribute("Cryptographic Algorithm", enum("AttributeValue", 0x6666)), *AES[1:]),
        fails("InvalidField")),
    "Create with the algorithm as Integer": (
        create(attribute("Cryptographic Algorithm", integer("AttributeValue", 3)), *AES[1:]),
        fails("InvalidField", "InvalidMessage")),
    "Create with an attribute without name": (
        create(seq("Attribute", integer("AttributeValue", 3)), *AES),
        fails("InvalidMessage", "MissingData")),
    "Create with an attribute without value": (
        create(attribute("x-a", None), *AES), fails("MissingData", "InvalidMessage")),
    "Create with an attribute's name as Integer": (
        create(seq("Attribute", integer("AttributeName", 3), integer("AttributeValue", 3)), *AES),
        INVALID),
    "Create with an unknown attribute": (create(attribute("Colour", "red"), *AES),
                                         fails("InvalidField")),
    "Create with a State": (
        create(attribute("State", enum("AttributeValue", 2)), *AES),
        fails("PermissionDenied", "InvalidField")),
    "Create with two algorithms": (create(AES[0], *AES),
                                   fails("IllegalOperation", "InvalidField", "IndexOutOfBounds",
                                         "InvalidMessage")),
    "Create with a Name that is no structure": (create(attribute("Name", "plain"), *AES),
                                                fails("InvalidField", "InvalidMessage")),
    "Create with a Name of an unknown type": (
        create(attribute("Name", seq("AttributeValue", text("NameValue", "n"),
                                     enum("NameType", 77))), *AES), fails("InvalidField")),
    "Create with a value of 60000": (create(attribute("x-a", "a" * 60000), *AES),
                                     fails("InvalidField", "IndexOutOfBounds")),
    "AddAttribute without attribute": (one(item("AddAttribute", UID)), MISSING),
    "AddAttribute with an empty name": (
        one(item("AddAttribute", UID, attribute("", "a"))),
        fails("InvalidField", "InvalidMessage", "ItemNotFound")),
    "DeleteAttribute without name": (one(item("DeleteAttribute", UID)), MISSING),
    "Revoke without reason": (one(item("Revoke", UID)), MISSING),
    "Revoke without reason code": (one(item("Revoke", UID, seq("RevocationReason"))), MISSING),
    "Revoke with reason code 99": (one(ttlv.revoke(UID.value, 99)), fails("InvalidField")),
    "Query without function": (one(item("Query")), fails("MissingData", "InvalidMessage")),
    "Query of function 99": (one(item("Query", enum("QueryFunction", 99))),
                             fails("InvalidField")),
    "Query of a function as Integer": (one(item("Query", integer("QueryFunction", 1))), INVALID),
    "DiscoverVersions with half a version": (
        one(item("DiscoverVersions", seq("ProtocolVersion", integer("ProtocolVersionMajor", 1)))),
        fails("MissingData", "InvalidMessage")),
    "GetAttributes with one name twice": (one(get_attributes(UID.value, "State", "State")),
                                          INVALID),
    "Locate with Maximum Items -1": (one(item("Locate", integer("MaximumItems", -1))),
                                     fails("InvalidField")),
    "Locate with an attribute without value": (
        one(item("Locate", attribute("x-a", None))), fails("MissingData", "InvalidMessage")),
    "Locate with Offset Items before 1.3": (one(item("Locate", integer("OffsetItems", 1))),
                                            INVALID),
    "Create with half a template's name": (
        create(seq("Name", text("NameValue", "t"))), fails("InvalidField")),
    "Create with a template that is not there": (
        create(seq("Name", text("NameValue", "t"), enum("NameType", 1))),
        fails("ItemNotFound")),
    "Create with a template's name as Text": (
        create(text("Name", "t")), fails("InvalidMessage", "ItemNotFound", "InvalidField")),
    "Register of a Template without one": (
        one(item("Register", enum("ObjectType", 6), ttlv.template())), MISSING),
    "Register of a key as a Template": (
        one(item("Register", enum("ObjectType", 6), ttlv.template(), seq("SymmetricKey"))),
        fails("MissingData", "InvalidMessage")),
    "Archive with rubbish": (one(item("Archive", UID, seq("TemplateAttribute"))), INVALID),
    "Recover of nothing": (one(item("Recover")), MISSING),
    "Activate with rubbish": (one(item("Activate", UID, seq("TemplateAttribute"))), INVALID),
}

SILENT = {
    "nothing at all": b"",
    "one byte": GOOD[:1],
    "half a header": GOOD[:4],
    "a header alone": GOOD[:8],
    "half a message": GOOD[:50],
    "all but one byte": GOOD[:-1],
    "a good header that announces the most": raw("RequestMessage", length=CEILING - 8),
}
TABLES = {"framing": FRAMING, "encoding": ENCODING, "header": HEADER, "items": ITEMS,
          "payloads": PAYLOADS}


class Malformed(kf.SharedCase):
    gateway_args = {"options": 'request-timeout = "2s"'}

    def check(self, client, expect):
        for wanted in expect.answers:
            answer = client.receive()
            if wanted == "ok":
                for result in answer.items:
                    self.assertEqual(result.status, ttlv.SUCCESS, result)
                continue
            self.assertEqual(len(answer.items), 1, answer.node)
            self.assert_reason(answer.items[0], *wanted)
            self.assertTrue(answer.items[0].message)
        if expect.closed:
            self.assertTrue(client.is_closed(), "not closed")
        else:
            client.ok(item("DiscoverVersions"))

    def table(self, name):
        # What OpenSSL and SQLite keep for good is there once a first request was worked on.
        self.assert_fine(self.gw)
        self.gw.assert_idle()
        heap = self.gw.metrics()["secure_heap_used"]
        for case, (data, expect) in TABLES[name].items():
            with self.subTest(case=case), self.gw.client() as c, self.gw.client() as bystander:
                c.send(data)
                self.check(c, expect)
                bystander.ok(item("DiscoverVersions"))
        self.gw.assert_idle(heap)

    def test_framing(self):
        self.table("framing")

    def test_encoding(self):
        self.table("encoding")

    def test_header(self):
        self.table("header")

    def test_items(self):
        self.table("items")

    def test_payloads(self):
        self.table("payloads")

    def test_there_are_enough_cases(self):
        self.assertGreaterEqual(sum(map(len, TABLES.values())) + len(SILENT), 150)

    def test_client_leaves_in_the_middle(self):
        heap = self.gw.metrics()["secure_heap_used"]
        for case, data in SILENT.items():
            for how in ("close_notify", "FIN", "RST"):
                with self.subTest(case=case, how=how):
                    c = self.gw.client()
                    if data:
                        c.send(data)
                    if how == "close_notify":
                        c.sock.settimeout(10)
                        try:
                            c.sock.unwrap()
                        except (ssl.SSLError, OSError):
                            pass
                    elif how == "RST":
                        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                          struct.pack("ii", 1, 0))
                    c.close()
        self.gw.assert_idle(heap)
        self.assert_fine(self.gw)

    def test_client_stays_in_the_middle(self):
        """All at once: each half request runs into the deadline, nobody else is held up."""
        waiting = {case: self.client() for case in SILENT if SILENT[case]}
        for case, c in waiting.items():
            c.send(SILENT[case])
        at = time.monotonic()
        while time.monotonic() < at + 1:
            self.assert_fine(self.gw)
        for case, c in waiting.items():
            with self.subTest(case=case):
                self.assertTrue(c.is_closed(), "not closed")
        self.assertGreater(time.monotonic(), at + 1.5)
        self.assertLess(time.monotonic(), at + 8)
        self.gw.assert_idle()

    def test_byte_by_byte(self):
        with self.gw.client() as c:
            for byte in GOOD:
                c.send(bytes([byte]))
            self.assertEqual(c.receive().items[0].status, ttlv.SUCCESS)
            for byte in GOOD * 2:
                c.send(bytes([byte]))
            for _ in range(2):
                self.assertEqual(c.receive().items[0].status, ttlv.SUCCESS)

    def test_split_at_every_byte(self):
        with self.gw.client() as c:
            for at in range(1, len(GOOD)):
                c.send(GOOD[:at])
                time.sleep(0.0005)
                c.send(GOOD[at:])
                self.assertEqual(c.receive().items[0].status, ttlv.SUCCESS)

    def test_every_length_field(self):
        """Each length field of a good Create, set to values that lie."""
        good = one(ttlv.create(ubid=b"abcdefgh"))
        fields = []

        def walk(at, end):
            while at < end:
                (length,) = struct.unpack_from(">I", good, at + 4)
                fields.append(at + 4)
                if good[at + 3] == STRUCT:
                    walk(at + 8, at + 8 + length)
                at += 8 + length + -length % 8
        walk(0, len(good))
        self.assertGreater(len(fields), 20)
        for at in fields[1:]:
            (length,) = struct.unpack_from(">I", good, at)
            with self.gw.client() as c:
                for lie in (0, 1, length - 1, length + 1, length + 8, length - 8, 0x7FFFFFFF,
                            0xFFFFFFFF, 0xFFFFFFF9):
                    if lie == length or lie < 0:
                        continue
                    c.send(good[:at] + struct.pack(">I", lie) + good[at + 4:])
                    answer = c.receive()
                    self.assertNotEqual(answer.items[0].status, ttlv.SUCCESS, (at, lie))
        self.gw.assert_idle()

    def test_every_byte(self):
        """Each byte of a good Get, changed at random: an answer or a close, never a hang."""
        rnd = kf.random_for("every byte")
        with self.gw.client() as c:
            good = one(on("Get", c.create(), ubid=ubid(1)))
        c = self.gw.client()
        for at in range(8, len(good)):
            for _ in range(2):
                data = bytearray(good)
                data[at] ^= rnd.randrange(1, 256)
                c.send(bytes(data))
                c.receive()
        c.close()
        self.gw.assert_idle()

    def test_slow_reader(self):
        """Asks and asks and never reads: it is held back, others are not."""
        c = self.client()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sock.setblocking(False)
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            try:
                c.sock.send(GOOD * 8)
            except (ssl.SSLWantWriteError, BlockingIOError):
                break
            except (ssl.SSLError, ConnectionError):
                break
        start = time.monotonic()
        self.assert_fine(self.gw)
        self.assertLess(time.monotonic() - start, 2)
        c.close()
        self.gw.assert_idle()

    def test_log_cannot_be_forged(self):
        with self.gw.client() as c:
            c.do(on("Get", "a\nerror daemon: forged uid=\"x\""))
        log = self.gw.log(self.log_mark)
        self.assertIn("forged", log)
        for line in log.splitlines():
            self.assertNotRegex(line, r"^\S+ error daemon: forged")
            self.assertNotRegex(line, r'uid="x"')


if __name__ == "__main__":
    kf.main()
