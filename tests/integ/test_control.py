# SPDX-License-Identifier: Apache-2.0
"""What an administrator does to sessions and keys from the control socket."""

import json

import kf
import ttlv


class Case(kf.SharedCase):
    @classmethod
    def arguments(cls):
        return {"tenants": [kf.Tenant("a", kf.AUTHORITY.make("vcenter")),
                            kf.Tenant("b", kf.AUTHORITY.make("second"))]}

    def json(self, *args):
        return json.loads(self.gw.ctl("--json", *args).stdout.splitlines()[0])

    def fails(self, *args, say=""):
        done = self.gw.ctl(*args, check=False)
        self.assertGreater(done.returncode, 0)
        self.assertIn(say, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)


class Sessions(Case):
    def other(self):
        return self.client(kf.AUTHORITY.make("second"))

    def number(self, client):
        address = "127.0.0.1:%d" % client.sock.getsockname()[1]
        return kf.eventually(lambda: [s["id"] for s in self.json("sessions")
                                      if s["from"] == address and s["tenant"]], "a session")[0]

    def test_one(self):
        c, stays = self.client(), self.client()
        c.create()
        stays.create()
        self.assertEqual(self.json("sessions", "close", str(self.number(c))),
                         {"sessions-closed": 1})
        self.assertTrue(c.is_closed())
        stays.create()

    def test_request_under_way(self):
        """It is answered, and what it changed is there, before the session ends."""
        c, after = self.client(), self.client()
        message = ttlv.request((1, 1), ttlv.create()).encode()
        c.send(message[:20])
        number = self.number(c)
        kf.eventually(lambda: [s for s in self.json("sessions")
                               if s["id"] == number and s["state"] == "reading"], "half a request")
        self.json("sessions", "close", str(number))
        c.send(message[20:])
        uid = c.receive().items[0].payload.path("UniqueIdentifier")
        self.assertTrue(c.is_closed())
        self.assertTrue(after.key(uid))

    def test_many(self):
        mine, others = [self.client() for _ in range(3)], [self.other() for _ in range(2)]
        for c in mine + others:
            c.ok(ttlv.item("DiscoverVersions"))
        digest = kf.AUTHORITY.make("second").digest
        with_colons = ":".join(digest[i:i + 2] for i in range(0, 64, 2)).upper()
        self.assertEqual(self.json("sessions", "close", "--sha256", with_colons),
                         {"sessions-closed": 2})
        for c in others:
            self.assertTrue(c.is_closed())
        for c in mine:
            c.ok(ttlv.item("DiscoverVersions"))
        self.assertEqual(self.json("sessions", "close", "--tenant", "a"), {"sessions-closed": 3})
        for c in mine:
            self.assertTrue(c.is_closed())

    def test_misuse(self):
        c = self.client()
        c.create()
        self.fails("sessions", "close", say="which")
        self.fails("sessions", "close", "0", say="number")
        self.fails("sessions", "close", "1x", say="number")
        self.fails("sessions", "close", "999999999", say="no such session")
        self.fails("sessions", "close", "--tenant", "nobody", say="no such session")
        self.fails("sessions", "close", "--sha256", "abcd", say="whole SHA-256")
        # a number and a tenant: both have to hold
        self.fails("sessions", "close", str(self.number(c)), "--tenant", "b",
                   say="no such session")
        c.create()


if __name__ == "__main__":
    kf.main()
