# SPDX-License-Identifier: Apache-2.0
"""Test cases in a notation of our own, one text for all protocol versions in which a case exists.

    case NAME FIRST-LAST          the versions; what follows, up to the next case, is the case
    header FIELDS                 further fields of the next request's header
    > OPERATION FIELDS            an item of a request; several in a row are one message, and get
    > OPERATION #01 FIELDS        Unique Batch Item IDs when these are given
    < FIELDS                      the answer to each, in the same order
    < !REASON                     it fails
    < ~ FIELDS                    it is undone
    macro NAME A B ... / end      lines that `use NAME value value' puts in, with %A for a value
    let NAME FIELDS               what @NAME stands for

A line that begins with white space continues the one before.  FIELDS are separated by commas; a
field is a tag's name with its value or, in braces, its fields.  $0, $1: Unique Identifiers; $CASE:
the case's name with its version.  [1.1-] before a line or a field: in these versions only.

Attributes stand as 2.x has them, by their tags, in Attributes, NewAttribute and AttributeReference;
for 1.x these become what the operation has there.  x-NAME is a vendor's attribute, of the type that
int: or date: says, or else a text.  NAME:1 has Attribute Index 1 in 1.x.
"""

import re
import xml.etree.ElementTree

from oasis_xml import Case

INTEGERS = {"CryptographicLength", "CryptographicUsageMask", "DataLength", "TagLength",
            "IterationCount",
            "MaximumItems", "OffsetItems", "LocatedItems", "ProtectionStorageMask"}
LONGS = {"UsageLimitsTotal", "UsageLimitsCount"}
ENUMERATIONS = {"OpaqueDataType"}  # those that have no values of the standard's own
BOOLEANS = {"RandomIV", "InitIndicator", "FinalIndicator", "Fresh", "Sensitive", "AlwaysSensitive",
            "Extractable", "NeverExtractable", "BatchOrderOption", "ReplaceExisting",
            "PredictionResistance"}
BYTES = {"KeyMaterial", "KeyValue", "Key", "Data", "IVCounterNonce", "MACData", "DigestValue",
         "OpaqueDataValue", "InitializationVector", "DerivationData", "Salt",
         "AuthenticatedEncryptionTag", "CorrelationValue", "UniqueBatchItemID",
         "AuthenticatedEncryptionAdditionalData", "ShortUniqueIdentifier"}
TEXTS = {"UniqueIdentifier", "LinkedObjectIdentifier"}  # 2.x has enumerations of these names
KINDS = {"Integer": INTEGERS, "LongInteger": LONGS, "Boolean": BOOLEANS, "ByteString": BYTES,
         "Interval": {"LeaseTime"}, "TextString": TEXTS, "Enumeration": ENUMERATIONS}
TEMPLATED = {"Create", "Register", "ReKey", "DeriveKey"}  # in 1.x their attributes stand in a Template-Attribute
VERSIONS = ((1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0), (2, 1))
TOKEN = re.compile(r'\s*(\[[0-9.]*-[0-9.]*\]|[{},]|"[^"]*"|[^\s{},"]+)')


def span(text):
    """The versions of `1.1-1.4', `1.1-' or `-1.4'."""
    first, last = text.strip("[]").split("-")
    return tuple(v for v in VERSIONS if (not first or v >= number(first)) and
                 (not last or v <= number(last)))


def number(text):
    return tuple(int(n) for n in text.split("."))


def element(name, kind=None, value=None, children=()):
    made = xml.etree.ElementTree.Element(name)
    if kind:
        made.set("type", kind)
        made.set("value", value)
    made.extend(children)
    return made


class Writer:
    """Makes the elements of one case in one version."""

    def __init__(self, tables, name, version):
        self.tables, self.name, self.version = tables, name, version
        self.old = version < (2, 0)

    def substituted(self, text):
        text = text.replace("$CASE", self.name)
        return re.sub(r"\$(\d+)\b", r"$UNIQUE_IDENTIFIER_\1", text)

    def kind(self, name):
        for kind, names in KINDS.items():
            if name in names:
                return kind
        if name.endswith("Date"):
            return "DateTime"
        return "Enumeration" if name in self.tables.values else "TextString"

    # Fields: (name, text) or (name, [fields]), those of other versions left out.

    def fields(self, tokens):
        """Takes fields up to a closing brace or the end."""
        found = []
        while tokens and tokens[0] != "}":
            here = True
            if tokens[0].startswith("["):
                here = self.version in span(tokens.pop(0))
            name = tokens.pop(0)
            if tokens and tokens[0] == "{":
                tokens.pop(0)
                value = self.fields(tokens)
                tokens.pop(0)
            else:
                words = []
                while tokens and tokens[0] not in ",}":
                    words.append(tokens.pop(0).strip('"'))
                value = self.substituted(" ".join(words))
            if here:
                found.append((name, value))
            if tokens and tokens[0] == ",":
                tokens.pop(0)
        return found

    def parse(self, text):
        tokens = TOKEN.findall(text)
        if "".join(tokens) != re.sub(r"\s", "", text) and '"' not in text:
            raise ValueError("not understood: %s" % text)
        found = self.fields(tokens)
        if tokens:
            raise ValueError("one brace too many: %s" % text)
        return found

    # Elements.

    def plain(self, name, value):
        if isinstance(value, list):
            return element(name, children=[self.plain(*f) for f in value])
        if name == "ServerInformation":
            return element(name)
        return element(name, self.kind(name), value)

    def attribute_value(self, name, value):
        """As Attribute Value, whatever the attribute is."""
        if isinstance(value, list):
            return element("AttributeValue", children=[self.plain(*f) for f in value])
        kind = self.kind(name)
        if name.startswith("x-"):
            for prefix, other in (("int:", "Integer"), ("date:", "DateTime")):
                if value.startswith(prefix):
                    kind, value = other, value[len(prefix):]
        return element("AttributeValue", kind, value)

    def title(self, name):
        return name if name.startswith("x-") else self.tables.titles[name]

    def attribute(self, name, value):
        name, _, index = name.partition(":")
        if self.old:
            indexes = [element("AttributeIndex", "Integer", index)] if index else []
            return element("Attribute", children=[
                element("AttributeName", "TextString", self.title(name)), *indexes,
                self.attribute_value(name, value)])
        if not name.startswith("x-"):
            return self.plain(name, value)
        return element("Attribute", children=[
            element("VendorIdentification", "TextString", "x"),
            element("AttributeName", "TextString", name[2:]), self.attribute_value(name, value)])

    def reference(self, name):
        if self.old:
            return element("AttributeName", "TextString", self.title(name))
        if not name.startswith("x-"):
            return element("AttributeReference", "Enumeration", name)
        return element("AttributeReference", children=[
            element("VendorIdentification", "TextString", "x"),
            element("AttributeName", "TextString", name[2:])])

    def payload(self, operation, fields, request):
        made = []
        for name, value in fields:
            if name == "AttributeReference":
                made.append(self.reference(value))
            elif name in ("Attributes", "NewAttribute"):
                attributes = [self.attribute(*f) for f in value]
                if not self.old:
                    made.append(element(name, children=attributes))
                elif request and operation in TEMPLATED:
                    made.append(element("TemplateAttribute", children=attributes))
                else:
                    made.extend(attributes)
            else:
                made.append(self.plain(name, value))
        return made

    def header(self, name, fields, count):
        version = element("ProtocolVersion", children=[
            element("ProtocolVersion" + part, "Integer", str(n))
            for part, n in zip(("Major", "Minor"), self.version)])
        return element(name, children=[version, *fields,
                                       element("BatchCount", "Integer", str(count))])


class Message:
    """A request and its answer, as lines."""

    def __init__(self):
        self.header, self.requests, self.answers = "", [], []

    def elements(self, writer, step):
        items, answers = [], []
        for request, answer in zip(self.requests, self.answers):
            operation, _, rest = request.partition(" ")
            start = [element("Operation", "Enumeration", operation)]
            if rest.startswith("#"):
                batch, _, rest = rest.partition(" ")
                start.append(element("UniqueBatchItemID", "ByteString", batch[1:]))
            items.append(element("BatchItem", children=[*start, element(
                "RequestPayload",
                children=writer.payload(operation, writer.parse(rest), True))]))
            answers.append(element("BatchItem", children=[
                *start, *self.result(writer, operation, answer)]))
        fields = [writer.plain(*f) for f in writer.parse(self.header)]
        if not writer.old:
            fields.insert(0, element("ClientCorrelationValue", "TextString",
                                     "%s step=%d" % (writer.name, step)))
        request = writer.header("RequestHeader", fields, len(items))
        answer = writer.header("ResponseHeader", [element("TimeStamp", "DateTime", "$NOW")],
                               len(items))
        return [element("RequestMessage", children=[request, *items]),
                element("ResponseMessage", children=[answer, *answers])]

    @staticmethod
    def result(writer, operation, text):
        if text.startswith("!"):
            return [element("ResultStatus", "Enumeration", "OperationFailed"),
                    element("ResultReason", "Enumeration", text[1:].strip()),
                    element("ResultMessage", "TextString", "")]
        status = "OperationUndone" if text.startswith("~") else "Success"
        fields = writer.payload(operation, writer.parse(text.lstrip("~ ")), False)
        return [element("ResultStatus", "Enumeration", status),
                element("ResponsePayload", children=fields)]


def joined(path):
    """The lines of a file without comments, each with those that continue it."""
    lines = []
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                lines[-1] += " " + line.strip()
            else:
                lines.append(line.rstrip())
    return lines


def expanded(lines):
    """The lines with all macros put in."""
    macros, texts, made = {}, {}, []

    def put(line, into):
        line = re.sub(r"@([a-z0-9-]+)", lambda m: texts[m.group(1)], line)
        if line.startswith("use "):
            name, *values = line.split()[1:]
            parameters, body = macros[name]
            if len(values) != len(parameters):
                raise ValueError("%s: %d values" % (line, len(parameters)))
            for text in body:
                for parameter, value in zip(parameters, values):
                    text = re.sub("%" + parameter + r"\b", value, text)
                put(text, into)
        else:
            into.append(line)

    body = None
    for line in lines:
        if line.startswith("macro "):
            name, *parameters = line.split()[1:]
            body = []
            macros[name] = parameters, body
        elif line.startswith("let "):
            _, name, text = line.split(None, 2)
            texts[name] = re.sub(r"@([a-z0-9-]+)", lambda m: texts[m.group(1)], text)
        elif line == "end":
            body = None
        elif body is not None:
            body.append(line)
        else:
            put(line, made)
    return made


def messages(lines, version):
    """Of the lines of a case those for the version, message by message."""
    found = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if rest.startswith("["):
            condition, _, rest = rest.partition(" ")
            if version not in span(condition):
                continue
        if word == "header" or (word == ">" and (not found or found[-1].answers)):
            found.append(Message())
        if word == "header":
            found[-1].header = rest
        elif word in "><":
            (found[-1].requests if word == ">" else found[-1].answers).append(rest.strip())
        else:
            raise ValueError("not understood: %s" % line)
    for m in found:
        if len(m.requests) != len(m.answers) or not m.requests:
            raise ValueError("%s: %d answers" % (m.requests, len(m.answers)))
    return found


def load(path, tables):
    """All cases of a file, version by version."""
    found, name = {}, None
    for line in expanded(joined(path)):
        if line.startswith("case "):
            _, name, versions = line.split()
            if name in found:
                raise ValueError("%s stands twice" % name)
            found[name] = span(versions), []
        else:
            found[name][1].append(line)
    cases = []
    for name, (versions, lines) in found.items():
        for version in versions:
            writer = Writer(tables, "%s-%d%d" % ((name,) + version), version)
            root = element("KMIP")
            for step, message in enumerate(messages(lines, version)):
                root.extend(message.elements(writer, step))
            cases.append(Case(writer.name, root))
    return cases
