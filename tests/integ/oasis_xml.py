# SPDX-License-Identifier: Apache-2.0
"""OASIS test cases: messages in KMIP's XML encoding, made into TTLV, and answers held against them.

Tags and enumerations come from the gateway's own table, include/kmip/kmip.def; what a test case
says in names is thereby a check of that table, too.
"""

import datetime
import hashlib
import os
import re
import time
import xml.etree.ElementTree

import kf
import ttlv

KINDS = {"Structure": ttlv.STRUCT, "Integer": ttlv.INT, "LongInteger": ttlv.LONG,
         "BigInteger": ttlv.BIGINT, "Enumeration": ttlv.ENUM, "Boolean": ttlv.BOOL,
         "TextString": ttlv.TEXT, "ByteString": ttlv.BYTES, "DateTime": ttlv.DATE,
         "Interval": ttlv.INTERVAL}
KIND_NAMES = {number: name for name, number in KINDS.items()}

# What a server chooses for itself; an answer has these, with values of its own.
FREE_TEXTS = {"ResultMessage", "VendorIdentification", "ServerCorrelationValue",
              "ClientCorrelationValue"}
FREE_STRUCTURES = {"ServerInformation", "RandomNumberGenerator"}
FREE_DATES = {"TimeStamp", "InitialDate", "LastChangeDate", "OriginalCreationDate",
              "ActivationDate", "DeactivationDate", "DestroyDate", "CompromiseDate"}
FREE_BYTES = {"KeyMaterial", "Key", "DigestValue"}
OPTIONAL = {"ClientCorrelationValue", "ServerCorrelationValue"}  # in the header of an answer
NOW_TOLERANCE = 120  # seconds that a case may take


def normalized(text):
    """A name as it stands in XML, by the rules of KMIP's XML encoding."""
    text = re.sub(r"[()]", " ", text)
    text = re.sub(r"\W([A-Za-z][a-z])", r" \1", text)
    words = re.sub(r"[^\w\s]", "_", text).split()
    digits = re.match(r"\d*", words[0]).group()
    words[0] = words[0][len(digits):] + digits
    return "".join(w[:1].upper() + w[1:] for w in words)


class Tables:
    """kmip.def."""

    def __init__(self):
        with open(os.path.join(kf.TOP, "include", "kmip", "kmip.def"), encoding="ascii") as f:
            text = f.read()
        self.tags, self.titles, self.values, by_symbol = {}, {}, {}, {}
        for symbol, number, name in re.findall(r'TAG\((\w+), (\w+),\s*"([^"]*)"\)', text):
            self.tags[normalized(name)] = int(number, 16)
            self.titles[normalized(name)] = name
            by_symbol[symbol] = normalized(name)
        for symbol, number, name in re.findall(r'ENUM\((\w+), \w+, (\w+), \w+,\s*"([^"]*)"\)',
                                               text):
            self.values.setdefault(by_symbol[symbol], {})[normalized(name)] = int(number, 16)
        self.names = {number: name for name, number in self.tags.items()}

    def tag_name(self, number):
        return self.names.get(number, "%06x" % number)

    def value(self, meaning, name):
        """The number of an enumeration's or a mask's value; meaning: the tag that it belongs to."""
        if name.lower().startswith("0x"):
            return int(name, 16)
        if meaning == "AttributeReference":
            return self.tags[name]
        return self.values[meaning][name]

    def value_name(self, meaning, number):
        if meaning == "AttributeReference":
            return self.tag_name(number)
        for name, n in self.values.get(meaning, {}).items():
            if n == number:
                return name
        return number


class Element:
    """One element of a message as the test case has it; placeholders are not replaced yet."""

    def __init__(self, node, tables, attribute=None):
        self.name = node.tag
        if self.name == "TTLV":
            self.number = int(node.get("tag"), 16)
        else:
            self.number = tables.tags[self.name]
        self.kind = KINDS[node.get("type", "Structure")]
        self.text = node.get("value", "")
        if self.name == "AttributeName":
            self.text = " ".join(self.text.split())  # some files break the line in a name
        # What the value means: an Attribute Value is what the attribute's name says.
        self.meaning = attribute if attribute and self.name == "AttributeValue" else self.name
        name = node.find("AttributeName")
        inside = normalized(name.get("value")) if name is not None else None
        self.children = [Element(child, tables, inside) for child in node]

    def all(self, name):
        return [c for c in self.children if c.name == name]

    def one(self, name):
        (found,) = self.all(name)
        return found


class Case:
    """Requests with the answers that they should get: one file, or a tree that was made."""

    def __init__(self, name, root):
        self.name, self.root = name, root
        version = self.root.find("RequestMessage/RequestHeader/ProtocolVersion")
        self.version = tuple(int(version.find(n).get("value"))
                             for n in ("ProtocolVersionMajor", "ProtocolVersionMinor"))
        # The cases of the tape library, and those of the array, work on one object in turn.
        self.group = re.sub(r"-\d+-", "-", name) if name.startswith(("TL-M", "SASED-M")) \
            else name

    @classmethod
    def read(cls, path):
        return cls(os.path.splitext(os.path.basename(path))[0],
                   xml.etree.ElementTree.parse(path).getroot())

    def _requested(self, name, attribute):
        """Values of a tag or of the attribute of that name in the requests."""
        found = set()
        for request in self.root.iter("RequestMessage"):
            found.update(e.get("value") for e in request.iter(name))
            for a in request.iter("Attribute"):
                if a.find("AttributeName").get("value") == attribute:
                    found.add(a.find("AttributeValue").get("value"))
        return found

    def _listed(self, name):
        """What the answers to Query are to list."""
        found = set()
        for item in self.root.iterfind("ResponseMessage/BatchItem"):
            payload = item.find("ResponsePayload")
            if item.find("Operation").get("value") == "Query" and payload is not None:
                found.update(e.get("value") for e in payload.findall(name))
        return found

    def operations(self):
        return self._requested("Operation", None) | self._listed("Operation")

    def object_types(self):
        return self._requested("ObjectType", "Object Type") | self._listed("ObjectType")

    def algorithms(self):
        return self._requested("CryptographicAlgorithm", "Cryptographic Algorithm")

    def steps(self, tables):
        """Pairs of request and response."""
        messages = [Element(n, tables) for n in self.root]
        names = [m.name for m in messages]
        if not names or names != ["RequestMessage", "ResponseMessage"] * (len(names) // 2):
            raise ValueError("%s: requests and responses do not take turns" % self.name)
        return list(zip(messages[::2], messages[1::2]))


class Run:
    """The state of a case, or of several that belong together: what placeholders stand for."""

    def __init__(self, tables):
        self.tables = tables
        self.now = int(time.time())
        self.uids = {}   # placeholder: Unique Identifier
        self.bytes = {}  # key material in the test case: the server's; and placeholders
        self.given = set()  # literal dates and byte strings that a request had
        self.requests = []  # items of the last request
        self.lists = set()

    # From XML to values.

    def _date(self, text):
        found = re.fullmatch(r"\$NOW([+-]\d+)?", text)
        if found:
            return self.now + int(found.group(1) or 0)
        return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())

    def _integer(self, el):
        try:
            return int(el.text, 0)
        except ValueError:
            return sum(self.tables.value(el.meaning, name)
                       for name in re.split(r"[\s|]+", el.text.strip()))

    def _own_bytes(self, el):
        """What the server gave under that name; $NAME:16: so many of ours."""
        name, _, length = el.text.partition(":")
        if name not in self.bytes and length:
            self.bytes[name] = os.urandom(int(length))
        return self.bytes[name]

    def value(self, el):
        """An element's value, for a Node."""
        if el.kind in (ttlv.INT, ttlv.LONG, ttlv.INTERVAL):
            return self._integer(el)
        if el.kind == ttlv.ENUM:
            return self.tables.value(el.meaning, el.text)
        if el.kind == ttlv.BOOL:
            return {"true": True, "false": False}[el.text]
        if el.kind in (ttlv.BYTES, ttlv.BIGINT):
            return self._own_bytes(el) if el.text.startswith("$") else bytes.fromhex(el.text)
        if el.kind == ttlv.DATE:
            return self._date(el.text)
        return self.uids[el.text] if el.text.startswith("$") else el.text

    def request(self, el):
        """A request as a Node; remembers what the client gave."""
        if el.kind == ttlv.STRUCT:
            if el.name == "RequestMessage":
                self.requests = el.all("BatchItem")
            return ttlv.Node(el.number, el.kind, [self.request(c) for c in el.children])
        if el.kind in (ttlv.DATE, ttlv.BYTES):
            self.given.add(el.text)
        return ttlv.Node(el.number, el.kind, self.value(el))

    # Comparing.  Each returns None, or the first difference in words.

    def difference(self, want, answer):
        """An answer against what the test case has."""
        if len(want.children) != len(answer.value):
            return "%d items instead of %d" % (len(answer.value) - 1, len(want.children) - 1)
        for n, part in enumerate(want.children):
            path = part.name
            if n > 0:
                path = "item %d, %s" % (n, self.requests[n - 1].one("Operation").text)
                self.lists = self._open_lists(self.requests[n - 1])
            found = self._refused(part, answer.value[n], path) or \
                self._compare(part, answer.value[n], path)
            if found:
                return found
        return None

    def _refused(self, want, got, path):
        """What an item that should not fail says."""
        if want.name != "BatchItem" or want.all("ResultReason") or not got.all("ResultReason"):
            return None
        return "%s: fails, %s, %s" % (path, self.tables.value_name(
            "ResultReason", got.path("ResultReason")), got.get("ResultMessage"))

    @staticmethod
    def _open_lists(request):
        """The lists in the answer to this item that may have more than the test case has."""
        operation = request.one("Operation").text
        if operation == "Query":
            return {"Operation", "ObjectType", "ApplicationNamespace"}
        if operation == "DiscoverVersions" and not request.one("RequestPayload").children:
            return {"ProtocolVersion"}
        return set()

    def _compare(self, want, got, path):
        if want.kind != got.kind:
            return "%s: a %s instead of a %s" % (path, KIND_NAMES[got.kind],
                                                 KIND_NAMES[want.kind])
        if want.kind == ttlv.STRUCT:
            if want.meaning in FREE_STRUCTURES:
                return None
            return self._children(want, got, path)
        return self._value(want, got, path)

    def _label(self, node):
        """What a list may have in any order is told apart by this."""
        name = self.tables.tag_name(node.tag)
        if name == "AttributeReference":
            return (name, self.tables.tag_name(node.value) if node.kind == ttlv.ENUM
                    else node.path("AttributeName"), 0)
        if name == "Attribute":
            return (name, node.path("AttributeName"), node.get("AttributeIndex", 0))
        if name == "AttributeName":
            return (name, node.value, 0)
        return (name, "", 0)

    def _want_label(self, el):
        if el.name == "AttributeReference":
            return (el.name, el.text or el.one("AttributeName").text, 0)
        if el.name == "Attribute":
            index = el.all("AttributeIndex")
            return (el.name, el.one("AttributeName").text, self.value(index[0]) if index else 0)
        if el.name == "AttributeName":
            return (el.name, el.text, 0)
        return (el.name, "", 0)

    def _without_lists(self, want, got, path):
        """Takes out what Query or Discover Versions list beyond what the test case has."""
        if want.name == "ResponseHeader":
            return ([e for e in want.children if e.name not in OPTIONAL],
                    [n for n in got.value if self.tables.tag_name(n.tag) not in OPTIONAL], None)
        if want.name != "ResponsePayload" or not self.lists:
            return want.children, got.value, None
        rest = []
        listed = [n for n in got.value if self.tables.tag_name(n.tag) in self.lists]
        for el in want.children:
            if el.name not in self.lists:
                rest.append(el)
            elif not any(n.tag == el.number and self._compare(el, n, path) is None
                         for n in listed):
                return [], [], "%s: does not list %s %s" % (path, el.name, el.text)
        return rest, [n for n in got.value if n not in listed], None

    def _children(self, want, got, path):
        wanted, found, missing = self._without_lists(want, got, path)
        if missing:
            return missing
        labels = sorted(wanted, key=self._want_label), sorted(found, key=self._label)
        names = [self._want_label(e) for e in labels[0]], [self._label(n) for n in labels[1]]
        for said, some, others in (("lacks", names[0], names[1]), ("has also", names[1],
                                                                   names[0])):
            more = [" ".join(str(p) for p in n if p) for n in some
                    if some.count(n) > others.count(n)]
            if more:
                return "%s: %s %s" % (path, said, ", ".join(dict.fromkeys(more)))
        order = [e.name for e in wanted], [self.tables.tag_name(n.tag) for n in found]
        if order[0] != order[1] and want.name != "Attributes":
            return "%s: order %s instead of %s" % (path, order[1], order[0])
        for el, node in zip(*labels):
            name = self._want_label(el)[1] if el.name == "Attribute" else el.name
            different = self._compare(el, node, "%s/%s" % (path, name))
            if different:
                return different
        return None

    def _is_free(self, want, got):
        """Is the value the server's own, and possible?"""
        if want.text.startswith("$SHORT_"):
            uid = self.uids[want.text.replace("SHORT_", "")]
            return got.value == hashlib.sha256(uid.encode()).digest()
        if want.kind == ttlv.BYTES and want.text.startswith("$"):
            return self._bind_bytes(want, got)
        if want.meaning in FREE_TEXTS:
            return True
        if want.meaning in FREE_DATES and want.text not in self.given:
            return want.text[0] != "$" or abs(got.value - time.time()) < NOW_TOLERANCE
        if want.meaning in FREE_DATES and want.text == "$NOW":
            return abs(got.value - time.time()) < NOW_TOLERANCE
        if want.meaning in FREE_BYTES and want.text not in self.given:
            same = len(got.value) == len(want.text) // 2
            if want.meaning == "DigestValue":
                return same
            return same and self.bytes.setdefault(want.text, got.value) == got.value
        return False

    def _bind_bytes(self, want, got):
        """The server's own bytes, which later requests give back; $NAME:16 says how many."""
        name, _, length = want.text.partition(":")
        return (not length or len(got.value) == int(length)) and \
            self.bytes.setdefault(name, got.value) == got.value

    def _value(self, want, got, path):
        if want.kind == ttlv.TEXT and want.text.startswith("$") and want.text not in self.uids:
            if not got.value or got.value in self.uids.values():
                return "%s: %r is not a new identifier" % (path, got.value)
            self.uids[want.text] = got.value
        bound = want.kind == ttlv.BYTES and want.text.startswith("$")
        if self._is_free(want, got) or (not bound and self.value(want) == got.value):
            return None
        shown = got.value
        if want.kind == ttlv.ENUM:
            shown = self.tables.value_name(want.meaning, shown)
        elif isinstance(shown, bytes):
            shown = "%d bytes" % len(shown) if want.meaning in FREE_BYTES else shown.hex()
        return "%s: %s instead of %s" % (path, shown, want.text)
