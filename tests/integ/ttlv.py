# SPDX-License-Identifier: Apache-2.0
"""TTLV and KMIP messages, written apart from the gateway's own codec, for its tests.

A Node is (tag, type, value); a structure's value is a list of Nodes.  decode() is strict, so that
every answer of the gateway is checked for lengths, padding and types on the way.
"""

import struct

STRUCT, INT, LONG, BIGINT, ENUM, BOOL, TEXT, BYTES, DATE, INTERVAL, EXTENDED = range(1, 12)
FIXED = {INT: (4, ">i"), LONG: (8, ">q"), ENUM: (4, ">I"), BOOL: (8, ">Q"), DATE: (8, ">q"),
         INTERVAL: (4, ">I"), EXTENDED: (8, ">q")}

TAGS = {
    "AsynchronousIndicator": 0x420007, "Attribute": 0x420008, "AttributeIndex": 0x420009,
    "AttributeName": 0x42000A, "AttributeValue": 0x42000B, "Authentication": 0x42000C,
    "BatchCount": 0x42000D, "BatchErrorContinuationOption": 0x42000E, "BatchItem": 0x42000F,
    "BatchOrderOption": 0x420010, "CompromiseOccurrenceDate": 0x420021, "Credential": 0x420023,
    "CredentialType": 0x420024, "CredentialValue": 0x420025, "CriticalityIndicator": 0x420026,
    "CryptographicAlgorithm": 0x420028, "CryptographicLength": 0x42002A,
    "CryptographicUsageMask": 0x42002C, "Digest": 0x420034, "DigestValue": 0x420035,
    "HashingAlgorithm": 0x420038, "KeyBlock": 0x420040, "KeyCompressionType": 0x420041,
    "KeyFormatType": 0x420042, "KeyMaterial": 0x420043, "KeyValue": 0x420045,
    "KeyWrappingSpecification": 0x420047, "MaximumItems": 0x42004F,
    "MaximumResponseSize": 0x420050, "MessageExtension": 0x420051, "Name": 0x420053,
    "NameType": 0x420054, "NameValue": 0x420055, "ObjectType": 0x420057, "Operation": 0x42005C,
    "ProtocolVersion": 0x420069, "ProtocolVersionMajor": 0x42006A,
    "ProtocolVersionMinor": 0x42006B, "QueryFunction": 0x420074, "RequestHeader": 0x420077,
    "RequestMessage": 0x420078, "RequestPayload": 0x420079, "ResponseHeader": 0x42007A,
    "ResponseMessage": 0x42007B, "ResponsePayload": 0x42007C, "ResultMessage": 0x42007D,
    "ResultReason": 0x42007E, "ResultStatus": 0x42007F, "RevocationMessage": 0x420080,
    "RevocationReason": 0x420081, "RevocationReasonCode": 0x420082, "ServerInformation": 0x420088,
    "State": 0x42008D, "StorageStatusMask": 0x42008E, "SymmetricKey": 0x42008F,
    "Template": 0x420090, "TemplateAttribute": 0x420091, "TimeStamp": 0x420092, "UniqueBatchItemID": 0x420093,
    "UniqueIdentifier": 0x420094, "Username": 0x420099, "VendorExtension": 0x42009C,
    "VendorIdentification": 0x42009D, "Password": 0x4200A1, "OffsetItems": 0x4200D4,
    "LocatedItems": 0x4200D5, "ClientCorrelationValue": 0x420105,
    "ServerCorrelationValue": 0x420106, "Key": 0x42003F, "OpaqueDataType": 0x420059,
    "OpaqueDataValue": 0x42005A, "OpaqueObject": 0x42005B, "SecretData": 0x420085,
    "SecretDataType": 0x420086, "BlockCipherMode": 0x420011, "CryptographicParameters": 0x42002B,
    "DerivationData": 0x420030, "DerivationMethod": 0x420031, "DerivationParameters": 0x420032,
    "EncryptionKeyInformation": 0x420036, "IterationCount": 0x42003C, "IVCounterNonce": 0x42003D,
    "KeyWrappingData": 0x420046, "LeaseTime": 0x420049, "Offset": 0x420058,
    "PaddingMethod": 0x42005F, "Salt": 0x420084, "UsageLimitsCount": 0x420096,
    "UsageLimitsTotal": 0x420097, "UsageLimitsUnit": 0x420098, "ValidityIndicator": 0x42009B,
    "WrappingMethod": 0x42009E, "EncodingOption": 0x4200A3, "Data": 0x4200C2,
    "DataLength": 0x4200C4, "RandomIV": 0x4200C5, "MACData": 0x4200C6,
    "TagLength": 0x4200CE, "CorrelationValue": 0x4200D6, "InitIndicator": 0x4200D7,
    "FinalIndicator": 0x4200D8, "KeyWrapType": 0x4200F8,
    "AuthenticatedEncryptionAdditionalData": 0x4200FE, "AuthenticatedEncryptionTag": 0x4200FF,
    "LinkType": 0x42004B, "LinkedObjectIdentifier": 0x42004C,
    "AsynchronousIndicator": 0x420007, "AsynchronousCorrelationValue": 0x420006, "CancellationResult": 0x420012,
    "InitializationVector": 0x42003A, "LastChangeDate": 0x420048,
    # 2.x, and attributes that have their tag on the wire there
    "ActivationDate": 0x420001, "ArchiveDate": 0x420005, "ApplicationData": 0x420002, "ApplicationNamespace": 0x420003,
    "ApplicationSpecificInformation": 0x420004, "DeactivationDate": 0x42002F,
    "InitialDate": 0x420039, "ObjectGroup": 0x420056, "ObjectGroupMember": 0x4200AC,
    "AlternativeName": 0x4200BF, "AlternativeNameValue": 0x4200C0,
    "AlternativeNameType": 0x4200C1, "CapabilityInformation": 0x4200F7,
    "ProfileInformation": 0x4200EB, "ProfileName": 0x4200EC, "StreamingCapability": 0x4200EF,
    "AsynchronousCapability": 0x4200F0, "AttestationCapability": 0x4200F1, "UnwrapMode": 0x4200F2,
    "DestroyAction": 0x4200F3, "ShreddingAlgorithm": 0x4200F4, "RNGMode": 0x4200F5,
    "BatchUndoCapability": 0x4200F9, "BatchContinueCapability": 0x4200FA,
    "QuantumSafeCapability": 0x420148, "Description": 0x4200FC,
    "Comment": 0x4200FD, "ReplaceExisting": 0x420124, "Sensitive": 0x420120,
    "Extractable": 0x420122, "Fresh": 0x4200A8,
    "RNGParameters": 0x4200D9, "Attributes": 0x420125, "ProductName": 0x420131,
    "ShortUniqueIdentifier": 0x420136, "NISTKeyType": 0x42013A, "AttributeReference": 0x42013B,
    "CurrentAttribute": 0x42013C, "NewAttribute": 0x42013D, "LogMessage": 0x420141,
    "ProtectionLevel": 0x420145, "ProtectionPeriod": 0x420146, "QuantumSafe": 0x420147,
    "Ephemeral": 0x420154, "AdjustmentType": 0x420158, "ProtectionStorageMask": 0x42015E,
    "ProtectionStorageMasks": 0x42015F, "InteropFunction": 0x420160,
    "InteropIdentifier": 0x420161, "AdjustmentValue": 0x420162, "RotateInterval": 0x42016A,
    "RotateAutomatic": 0x42016B, "RotateOffset": 0x42016C, "RotateGeneration": 0x42016E,
    "RotateName": 0x42016F, "RotateNameValue": 0x420170, "RotateNameType": 0x420171,
}
NAMES = {number: name for name, number in TAGS.items()}

OPS = {
    "Create": 1, "Register": 3, "Locate": 8, "Get": 0xA, "GetAttributes": 0xB,
    "GetAttributeList": 0xC, "AddAttribute": 0xD, "ModifyAttribute": 0xE, "DeleteAttribute": 0xF,
    "ReKey": 4, "DeriveKey": 5, "Check": 9, "ObtainLease": 0x10, "GetUsageAllocation": 0x11,
    "Cancel": 0x19, "Poll": 0x1A, "Activate": 0x12, "Revoke": 0x13, "Destroy": 0x14,
    "Archive": 0x15, "Recover": 0x16, "Query": 0x18, "DiscoverVersions": 0x1E,
    "Encrypt": 0x1F, "Decrypt": 0x20, "MAC": 0x23, "MACVerify": 0x24, "RNGRetrieve": 0x25,
    "RNGSeed": 0x26, "Hash": 0x27, "Import": 0x2A, "Export": 0x2B,
}
SINCE = {**dict.fromkeys(range(0x1F, 0x28), (1, 2)), 0x2A: (1, 4), 0x2B: (1, 4)}  # others: 1.0
OPS_2 = {"Log": 0x2C, "AdjustAttribute": 0x30, "SetAttribute": 0x31, "Interop": 0x34, "Ping": 0x3B}

REASONS = {
    "ItemNotFound": 1, "ResponseTooLarge": 2, "AuthenticationNotSuccessful": 3,
    "InvalidMessage": 4, "OperationNotSupported": 5, "MissingData": 6, "InvalidField": 7,
    "FeatureNotSupported": 8, "OperationCanceledByRequester": 9, "CryptographicFailure": 0xA,
    "IllegalOperation": 0xB, "PermissionDenied": 0xC, "ObjectArchived": 0xD,
    "IndexOutOfBounds": 0xE, "ApplicationNamespaceNotSupported": 0xF,
    "KeyFormatTypeNotSupported": 0x10, "KeyCompressionTypeNotSupported": 0x11,
    "EncodingOptionError": 0x12, "KeyValueNotPresent": 0x13, "Sensitive": 0x16,
    "NotExtractable": 0x17, "ObjectAlreadyExists": 0x18, "GeneralFailure": 0x100,
    # 2.x
    "NumericRange": 0x1B, "InvalidDataType": 0x1C, "ReadOnlyAttribute": 0x1D,
    "MultiValuedAttribute": 0x1E, "UnsupportedAttribute": 0x1F,
    "AttributeInstanceNotFound": 0x20, "AttributeNotFound": 0x21, "AttributeReadOnly": 0x22,
    "AttributeSingleValued": 0x23, "InvalidAttribute": 0x2C, "InvalidAttributeValue": 0x2D,
    "IncompatibleCryptographicUsageMask": 0x29, "InvalidObjectType": 0x30,
    "NonUniqueNameAttribute": 0x35, "ObjectDestroyed": 0x36, "ObjectNotFound": 0x37,
    "UnknownMessageExtension": 0x3C, "UnsupportedProtocolVersion": 0x3F,
    "WrongKeyLifecycleState": 0x43, "WrappingObjectArchived": 0x40, "WrappingObjectDestroyed": 0x41,
    "WrappingObjectNotFound": 0x42, "ProtectionStorageUnavailable": 0x44,
}
REASON_NAMES = {number: name for name, number in REASONS.items()}

SUCCESS, FAILED, PENDING, UNDONE = range(4)
PRE_ACTIVE, ACTIVE, DEACTIVATED, COMPROMISED, DESTROYED, DESTROYED_COMPROMISED = range(1, 7)
VERSIONS = ((1, 0), (1, 1), (1, 2), (1, 3), (1, 4))
VERSIONS_2 = ((2, 0), (2, 1))


class Malformed(Exception):
    """The bytes are not TTLV."""


class Node:
    """One element."""

    def __init__(self, tag, kind, value):
        self.tag = TAGS[tag] if isinstance(tag, str) else tag
        self.kind = kind
        self.value = value

    def __repr__(self):
        name = NAMES.get(self.tag, "%06x" % self.tag)
        if self.kind == STRUCT:
            return "%s{%s}" % (name, ", ".join(map(repr, self.value)))
        return "%s=%r" % (name, self.value)

    def __eq__(self, other):
        return (self.tag, self.kind, self.value) == (other.tag, other.kind, other.value)

    def all(self, name):
        """The children with that tag."""
        return [n for n in self.value if n.tag == TAGS[name]]

    def one(self, name):
        """The only child with that tag."""
        found = self.all(name)
        if len(found) != 1:
            raise AssertionError("%d of %s in %r" % (len(found), name, self))
        return found[0]

    def get(self, name, default=None):
        """The value of the only child with that tag, or the default when there is none."""
        return self.one(name).value if self.all(name) else default

    def path(self, *names):
        """The value that a path of tags leads to."""
        node = self
        for name in names:
            node = node.one(name)
        return node.value

    def tags(self):
        """The names of the children, in order."""
        return [NAMES.get(n.tag, hex(n.tag)) for n in self.value]

    def encode(self):
        """The wire form."""
        if self.kind == STRUCT:
            body = b"".join(n.encode() for n in self.value)
        elif self.kind in FIXED:
            body = struct.pack(FIXED[self.kind][1], self.value)
        elif self.kind == TEXT:
            body = self.value.encode("utf-8")
        else:
            body = bytes(self.value)
        return element(self.tag, self.kind, body)


def element(tag, kind, body, length=None, pad=None):
    """Wire form of any element; length and padding can be made to lie."""
    if isinstance(tag, str):
        tag = TAGS[tag]
    if pad is None:
        pad = b"\0" * (-len(body) % 8)
    length = len(body) if length is None else length
    return tag.to_bytes(3, "big") + bytes([kind]) + struct.pack(">I", length) + body + pad


def _decode(data, at, end, depth):
    if end - at < 8:
        raise Malformed("header cut off at %d" % at)
    tag, kind = int.from_bytes(data[at:at + 3], "big"), data[at + 3]
    (length,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    padded = length + (-length % 8)
    if padded > end - at:
        raise Malformed("length %d past the end at %d" % (length, at))
    body = bytes(data[at:at + length])
    if any(data[at + length:at + padded]):
        raise Malformed("padding at %d" % at)
    if kind == STRUCT:
        if length % 8 or depth == 32:
            raise Malformed("structure at %d" % at)
        children, p = [], at
        while p < at + length:
            child, p = _decode(data, p, at + length, depth + 1)
            children.append(child)
        return Node(tag, kind, children), at + padded
    if kind in FIXED:
        size, form = FIXED[kind]
        if length != size:
            raise Malformed("length %d of type %d at %d" % (length, kind, at))
        (value,) = struct.unpack(form, body)
        if kind == BOOL:
            if value > 1:
                raise Malformed("boolean at %d" % at)
            value = bool(value)
    elif kind == TEXT:
        value = body.decode("utf-8")
    elif kind in (BYTES, BIGINT):
        value = body
    else:
        raise Malformed("type %d at %d" % (kind, at))
    return Node(tag, kind, value), at + padded


def decode(data):
    """The one element that fills the bytes; raises Malformed."""
    node, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise Malformed("%d bytes too many" % (len(data) - end))
    return node


def seq(tag, *children):
    """A structure; None among the children is left out."""
    return Node(tag, STRUCT, [c for c in children if c is not None])


def integer(tag, value):
    return Node(tag, INT, value)


def enum(tag, value):
    return Node(tag, ENUM, value)


def boolean(tag, value):
    return Node(tag, BOOL, value)


def text(tag, value):
    return Node(tag, TEXT, value)


def octets(tag, value):
    return Node(tag, BYTES, value)


def date(tag, value):
    return Node(tag, DATE, value)


def interval(tag, value):
    return Node(tag, INTERVAL, value)


def uid(value):
    return text("UniqueIdentifier", value) if value is not None else None


def attribute(name, value, index=None):
    """An Attribute structure; value is a Node of any tag, a str (Text) or None (no value)."""
    if isinstance(value, str):
        value = text("AttributeValue", value)
    if value is not None:
        value = Node("AttributeValue", value.kind, value.value)
    return seq("Attribute", text("AttributeName", name),
               integer("AttributeIndex", index) if index is not None else None, value)


def name_attribute(value, index=None):
    return attribute("Name", seq("AttributeValue", text("NameValue", value), enum("NameType", 1)),
                     index)


def ubid(counter):
    """A Unique Batch Item ID as VMware's library makes it."""
    return b"QLKC" + struct.pack("<I", counter)


def item(operation, *payload, ubid=None, extension=None):
    """A batch item.  The operation's name or number; ubid: bytes."""
    if isinstance(operation, str):
        operation = OPS.get(operation) or OPS_2[operation]
    return seq("BatchItem", enum("Operation", operation),
               octets("UniqueBatchItemID", ubid) if ubid is not None else None,
               seq("RequestPayload", *payload), extension)


def request(version, *items, count=None, header=()):
    """A whole request as a Node.  header: further fields, between version and Batch Count."""
    return seq("RequestMessage",
               seq("RequestHeader",
                   seq("ProtocolVersion", integer("ProtocolVersionMajor", version[0]),
                       integer("ProtocolVersionMinor", version[1])),
                   *header,
                   integer("BatchCount", len(items) if count is None else count)),
               *items)


def template(*attributes):
    return seq("TemplateAttribute", *attributes)


def aes_attributes(length=256, mask=0xC):
    """The three attributes that vCenter sends, in its order."""
    return (attribute("Cryptographic Algorithm", enum("AttributeValue", 3)),
            attribute("Cryptographic Usage Mask", integer("AttributeValue", mask)),
            attribute("Cryptographic Length", integer("AttributeValue", length)))


def create(*more, length=256, mask=0xC, ubid=None):
    return item("Create", enum("ObjectType", 2), template(*aes_attributes(length, mask), *more),
                ubid=ubid)


def key_block(material, algorithm=3, length=None, kind=1, wrapping=None):
    """A Key Block; material: bytes, or a Node for Key Value."""
    value = material if isinstance(material, Node) else seq(
        "KeyValue", octets("KeyMaterial", material))
    return seq("KeyBlock", enum("KeyFormatType", kind), value,
               enum("CryptographicAlgorithm", algorithm) if algorithm else None,
               integer("CryptographicLength", length) if length else None, wrapping)


def register(material, *more, mask=0xC, **block):
    """Register of a symmetric key."""
    if not isinstance(material, Node):
        block.setdefault("length", 8 * len(material))
    return item("Register", enum("ObjectType", 2),
                template(attribute("Cryptographic Usage Mask", integer("AttributeValue", mask)),
                         *more), seq("SymmetricKey", key_block(material, **block)))


def register_secret(data, *more, mask=2, kind=1):
    """Register of Secret Data, a password."""
    return item("Register", enum("ObjectType", 7),
                template(attribute("Cryptographic Usage Mask", integer("AttributeValue", mask)),
                         *more),
                seq("SecretData", enum("SecretDataType", 1),
                    key_block(data, algorithm=None, kind=kind)))


def register_opaque(data, *more):
    """Register of an Opaque Object."""
    return item("Register", enum("ObjectType", 8), template(*more),
                seq("OpaqueObject", enum("OpaqueDataType", 0x80000001),
                    octets("OpaqueDataValue", data)))
# The same in 2.x, where attributes are elements of their own.

def vendor(name, value, by="x"):
    """A vendor's attribute; value is a Node of any tag, a str (Text) or None (a reference)."""
    if isinstance(value, str):
        value = text("AttributeValue", value)
    return seq("Attribute" if value is not None else "AttributeReference",
               text("VendorIdentification", by), text("AttributeName", name),
               Node("AttributeValue", value.kind, value.value) if value is not None else None)


def reference(name, by=None):
    """What names an attribute: by its tag, or a vendor's by its name."""
    return vendor(name, None, by) if by else enum("AttributeReference", TAGS[name])


def name2(value):
    return seq("Name", text("NameValue", value), enum("NameType", 1))


def create2(*more, length=256, mask=0xC, after=(), ubid=None):
    """after: what stands behind the attributes."""
    return item("Create", enum("ObjectType", 2), seq(
        "Attributes", enum("CryptographicAlgorithm", 3), integer("CryptographicUsageMask", mask),
        integer("CryptographicLength", length), *more), *after, ubid=ubid)


def on(operation, identifier=None, *payload, ubid=None):
    """An operation on one object; without identifier the ID Placeholder is meant."""
    return item(operation, uid(identifier), *payload, ubid=ubid)


def get_attributes(identifier, *names, ubid=None):
    return on("GetAttributes", identifier, *[text("AttributeName", n) for n in names], ubid=ubid)


def revoke(identifier, code=1, occurred=None, message=None, ubid=None):
    return on("Revoke", identifier,
              seq("RevocationReason", enum("RevocationReasonCode", code),
                  text("RevocationMessage", message) if message is not None else None),
              date("CompromiseOccurrenceDate", occurred) if occurred is not None else None,
              ubid=ubid)


class Result:
    """One item of an answer."""

    def __init__(self, node):
        self.node = node
        self.operation = node.get("Operation")
        self.ubid = node.get("UniqueBatchItemID")
        self.status = node.path("ResultStatus")
        self.reason = node.get("ResultReason")
        self.message = node.get("ResultMessage")
        found = node.all("ResponsePayload")
        self.payload = found[0] if found else None

    def __repr__(self):
        return "<%s>" % self.node

    @property
    def reason_name(self):
        return REASON_NAMES.get(self.reason, self.reason)

    @property
    def uid(self):
        return self.payload.path("UniqueIdentifier")

    @property
    def key(self):
        return self.payload.path("SymmetricKey", "KeyBlock", "KeyValue", "KeyMaterial")

    def attributes(self):
        """{name: [value, ...]} of all Attribute structures in the payload."""
        found = {}
        for a in self.payload.all("Attribute"):
            found.setdefault(a.path("AttributeName"), []).append(a.path("AttributeValue"))
        return found


class Answer:
    """A whole answer, checked for what every answer must have."""

    def __init__(self, data):
        self.size = len(data)
        self.data = data
        self.node = decode(data)
        if self.node.tag != TAGS["ResponseMessage"]:
            raise Malformed("not a Response Message")
        header = self.node.value[0]
        if ([t for t in header.tags() if t not in ("ClientCorrelationValue",
                                                   "ServerCorrelationValue")]
                != ["ProtocolVersion", "TimeStamp", "BatchCount"]):
            raise Malformed("header %r" % header)
        self.version = (header.path("ProtocolVersion", "ProtocolVersionMajor"),
                        header.path("ProtocolVersion", "ProtocolVersionMinor"))
        self.time = header.path("TimeStamp")
        self.items = [Result(n) for n in self.node.value[1:]]
        for n in self.node.value[1:]:
            self._check_item(n)
        if header.path("BatchCount") != len(self.items):
            raise Malformed("Batch Count")

    @staticmethod
    def _check_item(node):
        order = ["Operation", "UniqueBatchItemID", "ResultStatus", "ResultReason",
                 "ResultMessage", "ResponsePayload"]
        tags = node.tags()
        if tags != [t for t in order if t in tags]:
            raise Malformed("item fields %s" % tags)
        failed = node.path("ResultStatus") == FAILED
        if failed and ("ResultReason" not in tags or "ResponsePayload" in tags):
            raise Malformed("failed item %r" % node)
        if node.path("ResultStatus") == SUCCESS and "ResultReason" in tags:
            raise Malformed("successful item %r" % node)
