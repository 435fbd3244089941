# SPDX-License-Identifier: Apache-2.0
"""vCenter's conversation, message by message as it was seen on the wire: request bytes, and the
answers checked field by field."""

import base64
import re
import threading

import kf
import ttlv
from ttlv import ACTIVE, PRE_ACTIVE, SUCCESS, ubid

# What every message of vCenter begins with: Request Message, its length, and a Request Header with
# Protocol Version 1.1 and Batch Count.
HEADER = ("42007701 00000038 42006901 00000020 42006A02 00000004 00000001 00000000"
          "42006B02 00000004 00000001 00000000 42000D02 00000004 %08X 00000000")

# Written out by hand, so that a fault of ttlv.py cannot hide in both request and check.
DISCOVER = ("42007801 00000060" + HEADER % 1 +
            "42000F01 00000018 42005C05 00000004 0000001E 00000000 42007901 00000000")
PING = ("42007801 00000070" + HEADER % 1 +
        "42000F01 00000028 42005C05 00000004 0000001E 00000000"
        "42009308 00000008 514C4B43 01000000 42007901 00000000")
QUERY = ("42007801 00000080" + HEADER % 1 +
         "42000F01 00000038 42005C05 00000004 00000018 00000000"
         "42009308 00000008 514C4B43 01000000"
         "42007901 00000010 42007405 00000004 00000003 00000000")
CREATE = ("42007801 00000130" + HEADER % 1 +
          "42000F01 000000E8 42005C05 00000004 00000001 00000000"
          "42009308 00000008 514C4B43 01000000"
          "42007901 000000C0 42005705 00000004 00000002 00000000 42009101 000000A8"
          "42000801 00000030 42000A07 00000017 43727970746F6772617068696320416C676F726974686D00"
          "42000B05 00000004 00000003 00000000"
          "42000801 00000030 42000A07 00000018 43727970746F67726170686963205573616765204D61736B"
          "42000B02 00000004 0000000C 00000000"
          "42000801 00000030 42000A07 00000014 43727970746F67726170686963204C656E67746800000000"
          "42000B02 00000004 00000100 00000000")
LABELS = (("x-Product_Version", "7.0.3 build-19480866"), ("x-Vendor", "VMware, Inc."),
          ("x-Product", "VMware vSphere"))


def unspaced(hexadecimal):
    return bytes.fromhex(hexadecimal.replace(" ", ""))


def padded(n):
    return n + -n % 8


def answer_size(payload, with_ubid=True, operation=True):
    """The size of an answer with one successful item: header 8+72, item 8 + fields."""
    return 8 + 80 + 8 + (16 if operation else 0) + (16 if with_ubid else 0) + 16 + 8 + payload


class VCenter(kf.SharedCase):
    def exchange(self, client, data):
        client.send(data)
        answer = client.receive()
        self.assertEqual(answer.version, (1, 1))
        return answer

    def check_item(self, result, operation, counter):
        self.assertEqual(result.status, SUCCESS, result)
        self.assertEqual(result.operation, ttlv.OPS[operation])
        self.assertEqual(result.ubid, ubid(counter) if counter else None)
        self.assertIsNone(result.message)
        return result.payload

    def discover(self, client, ping=False):
        answer = self.exchange(client, unspaced(PING if ping else DISCOVER))
        self.assertEqual(len(answer.items), 1)
        payload = self.check_item(answer.items[0], "DiscoverVersions", 1 if ping else None)
        versions = [(v.path("ProtocolVersionMajor"), v.path("ProtocolVersionMinor"))
                    for v in payload.all("ProtocolVersion")]
        self.assertEqual(versions, [(2, 1), (2, 0), (1, 4), (1, 3), (1, 2), (1, 1), (1, 0)])
        self.assertEqual(answer.size, answer_size(40 * len(versions), ping))
        return answer

    def create(self, client):
        answer = self.exchange(client, unspaced(CREATE))
        payload = self.check_item(answer.items[0], "Create", 1)
        self.assertEqual(payload.tags(), ["ObjectType", "UniqueIdentifier"])
        self.assertEqual(payload.path("ObjectType"), 2)
        identifier = payload.path("UniqueIdentifier")
        self.assertEqual(answer.size, answer_size(16 + 8 + padded(len(identifier))))
        return identifier

    def absent_attribute(self, client, identifier, name):
        request = ttlv.request((1, 1), ttlv.get_attributes(identifier, name, ubid=ubid(1)))
        answer = self.exchange(client, request)
        payload = self.check_item(answer.items[0], "GetAttributes", 1)
        self.assertEqual(payload.tags(), ["UniqueIdentifier"])
        self.assertEqual(payload.path("UniqueIdentifier"), identifier)
        self.assertEqual(answer.size, answer_size(8 + padded(len(identifier))))

    def label(self, client, identifier, labels):
        for name, _ in labels:
            self.absent_attribute(client, identifier, name)
        items = [ttlv.on("AddAttribute", identifier, ttlv.attribute(name, value), ubid=ubid(n))
                 for n, (name, value) in enumerate(labels, 1)]
        answer = self.exchange(client, ttlv.request((1, 1), *items))
        self.assertEqual(len(answer.items), 3)
        for n, ((name, value), result) in enumerate(zip(labels, answer.items), 1):
            payload = self.check_item(result, "AddAttribute", n)
            self.assertEqual(payload.tags(), ["UniqueIdentifier", "Attribute"])
            self.assertEqual(payload.path("UniqueIdentifier"), identifier)
            added = payload.one("Attribute")
            self.assertEqual(added.path("AttributeName"), name)
            self.assertEqual(added.path("AttributeValue"), value)
            self.assertEqual(added.one("AttributeValue").kind, ttlv.TEXT)
            self.assertEqual(added.get("AttributeIndex", 0), 0)

    def get(self, client, identifier):
        answer = self.exchange(client, ttlv.request(
            (1, 1), ttlv.on("Get", identifier, ubid=ubid(1))))
        payload = self.check_item(answer.items[0], "Get", 1)
        self.assertEqual(payload.tags(), ["ObjectType", "UniqueIdentifier", "SymmetricKey"])
        self.assertEqual(payload.path("ObjectType"), 2)
        self.assertEqual(payload.path("UniqueIdentifier"), identifier)
        block = payload.one("SymmetricKey").one("KeyBlock")
        self.assertEqual(block.tags(), ["KeyFormatType", "KeyValue", "CryptographicAlgorithm",
                                        "CryptographicLength"])
        self.assertEqual(block.path("KeyFormatType"), 1)
        self.assertEqual(block.path("CryptographicAlgorithm"), 3)
        self.assertEqual(block.path("CryptographicLength"), 256)
        self.assertEqual(block.one("KeyValue").tags(), ["KeyMaterial"])
        key = block.path("KeyValue", "KeyMaterial")
        self.assertEqual(len(key), 32)
        self.assertEqual(answer.size, answer_size(16 + 8 + padded(len(identifier)) +
                                                  8 + 8 + 16 + 8 + 40 + 16 + 16))
        return key

    def get_state(self, client, identifier):
        answer = self.exchange(client, ttlv.request(
            (1, 1), ttlv.get_attributes(identifier, "State", ubid=ubid(1))))
        payload = self.check_item(answer.items[0], "GetAttributes", 1)
        self.assertEqual(payload.tags(), ["UniqueIdentifier", "Attribute"])
        state = payload.one("Attribute")
        self.assertEqual(state.tags(), ["AttributeName", "AttributeValue"])
        self.assertEqual(state.path("AttributeName"), "State")
        self.assertEqual(state.one("AttributeValue").kind, ttlv.ENUM)
        self.assertEqual(answer.size, answer_size(8 + padded(len(identifier)) + 8 + 16 + 16))
        return state.path("AttributeValue")

    def activate(self, client, identifier):
        answer = self.exchange(client, ttlv.request(
            (1, 1), ttlv.on("Activate", identifier, ubid=ubid(1))))
        payload = self.check_item(answer.items[0], "Activate", 1)
        self.assertEqual(payload.tags(), ["UniqueIdentifier"])
        self.assertEqual(payload.path("UniqueIdentifier"), identifier)
        self.assertEqual(answer.size, answer_size(8 + padded(len(identifier))))

    def new_key(self, component, together=False):
        """The four sessions of one new key; the last three one after the other or at once."""
        with self.gw.client() as s1:
            self.discover(s1)
            identifier = self.create(s1)
        keys = []

        def s2():
            with self.gw.client() as c:
                self.discover(c)
                self.label(c, identifier, LABELS)

        def s3():
            with self.gw.client() as c:
                self.discover(c)
                keys.append(self.get(c, identifier))
                self.assertEqual(self.get_state(c, identifier), PRE_ACTIVE)
                self.activate(c, identifier)
                self.assertEqual(self.get_state(c, identifier), ACTIVE)

        def s4():
            with self.gw.client() as c:
                self.discover(c)
                self.label(c, identifier, (("x-Identifier", "4225ae1a-7fb5-4b3c-8e67-55"),
                                           ("x-Component", component),
                                           ("x-Name", "esx-01.lab.example")))
        steps = (s2, s3, s4)
        if together:
            kf.in_parallel(3, lambda n: steps[n]())
        else:
            for step in steps:
                step()
        return identifier, keys[0]

    def test_requests_have_the_sizes_seen(self):
        self.assertEqual(len(unspaced(DISCOVER)), 104)
        self.assertEqual(len(unspaced(PING)), 120)
        self.assertEqual(len(unspaced(QUERY)), 136)
        self.assertEqual(len(unspaced(CREATE)), 312)
        self.assertEqual(ttlv.request((1, 1), ttlv.create(ubid=ubid(1))).encode(),
                         unspaced(CREATE))
        self.assertEqual(ttlv.request((1, 1), ttlv.item("DiscoverVersions")).encode(),
                         unspaced(DISCOVER))
        identifier = "1"
        items = [ttlv.on("AddAttribute", identifier, ttlv.attribute(n, v), ubid=ubid(i))
                 for i, (n, v) in enumerate(LABELS, 1)]
        self.assertEqual(len(ttlv.request((1, 1), *items).encode()), 440)
        self.assertEqual(len(ttlv.request((1, 1), ttlv.on("Get", identifier,
                                                          ubid=ubid(1))).encode()), 136)
        self.assertEqual(len(ttlv.request((1, 1), ttlv.get_attributes(
            identifier, "State", ubid=ubid(1))).encode()), 152)
        self.assertEqual(len(ttlv.request((1, 1), ttlv.get_attributes(
            identifier, "x-Product_Version", ubid=ubid(1))).encode()), 168)

    def test_answers_have_the_sizes_seen(self):
        """With the one-letter uid and the six versions of the server in the record."""
        self.assertEqual(answer_size(40 * 6, False), 376)
        self.assertEqual(answer_size(40 * 6), 392)
        self.assertEqual(answer_size(16 + 16), 184)
        self.assertEqual(answer_size(16), 168)
        self.assertEqual(answer_size(16 + 16 + 8 + 8 + 16 + 8 + 40 + 16 + 16), 296)
        self.assertEqual(answer_size(16 + 8 + 16 + 16), 208)

    def test_trust(self):
        """A bare probe, then two DiscoverVersions, then the Query of the trust step."""
        self.client().close()
        c = self.client()
        self.discover(c)
        self.discover(c, ping=True)
        answer = self.exchange(c, unspaced(QUERY))
        payload = self.check_item(answer.items[0], "Query", 1)
        self.assertEqual(payload.tags(), ["VendorIdentification"])
        self.assertTrue(payload.path("VendorIdentification"))

    def test_one_key(self):
        identifier, key = self.new_key("Virtual Machine")
        with self.gw.client() as c:
            self.assertEqual(self.get(c, identifier), key)
            found = ttlv.Result(c.call(ttlv.get_attributes(
                identifier, "x-Name", "x-Vendor")).items[0].node).attributes()
            self.assertEqual(found, {"x-Name": ["esx-01.lab.example"],
                                     "x-Vendor": ["VMware, Inc."]})

    def test_one_key_on_parallel_sessions(self):
        for _ in range(5):
            self.new_key("ESXi Server", together=True)

    def test_two_keys_at_once(self):
        """The first encrypted virtual machine on a host: host key and VM key."""
        made = {}
        kinds = ("ESXi Server", "Virtual Machine")
        kf.in_parallel(2, lambda n: made.update({n: self.new_key(kinds[n], together=True)}))
        self.assertNotEqual(made[0][0], made[1][0])
        self.assertNotEqual(made[0][1], made[1][1])

    def test_key_is_there_on_another_session_at_once(self):
        with self.gw.client() as a, self.gw.client() as b:
            for _ in range(20):
                self.get(b, self.create(a))

    def test_same_key_fetched_by_many(self):
        """A boot storm in small: 24 sessions, two keys."""
        with self.gw.client() as c:
            uids = [self.create(c) for _ in range(2)]
            keys = [self.get(c, u) for u in uids]
        barrier = threading.Barrier(24)

        def fetch(n):
            with self.gw.client() as c:
                barrier.wait(30)
                self.discover(c)
                self.assertEqual(self.get(c, uids[n % 2]), keys[n % 2])
        kf.in_parallel(24, fetch)

    def test_missing_key(self):
        """Item Not Found with a text, the Unique Batch Item ID echoed."""
        c = self.client()
        request = ttlv.request((1, 1), ttlv.on("Get", "no-such-key", ubid=ubid(1)))
        result = self.exchange(c, request).items[0]
        self.assertEqual(result.operation, ttlv.OPS["Get"])
        self.assertEqual(result.ubid, ubid(1))
        self.assert_reason(result, "ItemNotFound")
        self.assertTrue(result.message)

    def test_failing_item_of_a_batch(self):
        """The second of three fails; by default nothing after it runs, what went before stays."""
        c = self.client()
        identifier = self.create(c)
        items = [ttlv.on("AddAttribute", u, ttlv.attribute("x-Vendor%d" % n, "VMware, Inc."),
                         ubid=ubid(n)) for n, u in enumerate((identifier, "nobody", identifier), 1)]
        answer = self.exchange(c, ttlv.request((1, 1), *items))
        self.assertEqual(len(answer.items), 2)
        self.check_item(answer.items[0], "AddAttribute", 1)
        self.assertEqual(answer.items[1].ubid, ubid(2))
        self.assertEqual(answer.items[1].operation, ttlv.OPS["AddAttribute"])
        self.assert_reason(answer.items[1], "ItemNotFound")
        payload = c.ok(ttlv.get_attributes(identifier, "x-Vendor1", "x-Vendor3"))
        self.assertEqual([a.path("AttributeName") for a in payload.all("Attribute")],
                         ["x-Vendor1"])

    def test_user_and_password(self):
        """With a user and a password set, vCenter sends them; nobody asks for them."""
        credential = ttlv.seq("Authentication", ttlv.seq(
            "Credential", ttlv.enum("CredentialType", 1),
            ttlv.seq("CredentialValue", ttlv.text("Username", "vcenter"),
                     ttlv.text("Password", "s3cret-never-logged"))))
        c = self.client()
        answer = c.call(ttlv.create(ubid=ubid(1)), header=[credential])
        identifier = self.check_item(answer.items[0], "Create", 1).path("UniqueIdentifier")
        self.get(c, identifier)
        answer = c.call(ttlv.on("Activate", identifier, ubid=ubid(1)), header=[credential])
        self.check_item(answer.items[0], "Activate", 1)
        self.assertNotIn("s3cret", self.gw.log())

    def test_key_bytes_are_not_logged(self):
        """Nor the first eight of them: in hexadecimal, in base64 as they travel to Key Protect, or as
        they are, which the log escapes."""
        self.addCleanup(self.gw.ctl, "log-level", self.gw.control("log-level")[0]["log-level"])
        self.gw.ctl("log-level", "debug")
        mark = self.gw.mark()
        _, key = self.new_key("Virtual Machine")
        with open(self.gw.log_path, "rb") as f:
            log = f.read()
        self.assertIn(b" debug ", log[mark:])
        as_it_was = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), log)
        self.assertNotIn(key.hex()[:16].encode(), log.lower())
        self.assertNotIn(base64.b64encode(key)[:10], log)
        self.assertNotIn(key[:8], log)
        self.assertNotIn(key[:8], as_it_was)


class AfterRestart(kf.Case):
    def test_everything_is_there_after_sigkill(self):
        gw = self.gateway()
        with gw.client() as c:
            identifier = c.create()
            c.ok(ttlv.on("Activate", identifier))
            c.ok(ttlv.on("AddAttribute", identifier, ttlv.attribute("x-Name", "vm-17")))
            key = c.key(identifier)
            # that it was served is noted behind the answer when the disk is slow
            kf.eventually(lambda: gw.metrics()["requests"] == 0, "it is noted")
            before = c.ok(ttlv.get_attributes(identifier)).value
        gw.kill()
        gw.start()
        with gw.client() as c:
            self.assertEqual(c.key(identifier), key)
            self.assertEqual(c.ok(ttlv.get_attributes(identifier)).value, before)
            self.assertEqual(c.state(identifier), ACTIVE)


if __name__ == "__main__":
    kf.main()
