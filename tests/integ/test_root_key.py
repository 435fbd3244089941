#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A root key file of the embedded vault that is mixed up: a reload refuses it, and a start makes no
keys with it, so that none is lost when the right one is back."""

import os

import kf
from ttlv import create, on


class RootKey(kf.Case):
    def two(self):
        return self.gateway(tenants=[kf.Tenant(n, kf.AUTHORITY.make("root-" + n)) for n in "ab"])

    def path(self, gw, tenant=0):
        return os.path.join(gw.dir, gw.tenants[tenant].name + ".root")

    def read(self, gw, tenant=0):
        with open(self.path(gw, tenant), encoding="ascii") as f:
            return f.read()

    def write(self, gw, text, tenant=0):
        with open(self.path(gw, tenant), "w", encoding="ascii") as f:
            f.write(text)

    def line(self, version):
        return "%d %s\n" % (version, os.urandom(32).hex())

    def client(self, gw, tenant=0):
        return kf.Client(gw, gw.tenants[tenant].certificates[0])

    def make(self, gw, count=3, tenant=0):
        with self.client(gw, tenant) as c:
            return {uid: c.key(uid) for uid in [c.create() for _ in range(count)]}

    def assert_served(self, gw, keys, tenant=0):
        with self.client(gw, tenant) as c:
            for uid, key in keys.items():
                self.assertEqual(c.key(uid), key)

    def complaints(self, gw):
        return [(x["check"], x["state"]) for x in gw.control("health")[0]
                if x["check"].startswith("root key of")]

    def create_refused(self, gw):
        with self.client(gw) as c:
            found = c.do(create())
        self.assertIn("root key does not open", found.message)

    def reload_refused(self, gw, why):
        pid = gw.process.pid
        with self.assertRaisesRegex(AssertionError, 'nothing changed: tenant "a": .*a.root: ' + why):
            gw.control("reload")
        self.assertEqual((gw.process.poll(), gw.control("status")[0]["pid"]), (None, pid))
        self.assertEqual(self.complaints(gw), [])

    def test_reload_refuses_another_root_key(self):
        gw = self.two()
        keys, others = self.make(gw), self.make(gw, tenant=1)
        first = self.read(gw)
        self.write(gw, self.line(1))
        self.reload_refused(gw, "a version has another root key")
        keys.update(self.make(gw, 1))
        self.write(gw, self.line(2))
        self.reload_refused(gw, "a version is missing")
        keys.update(self.make(gw, 1))
        self.assert_served(gw, keys)
        self.assert_served(gw, others, 1)

        self.write(gw, first)
        gw.control("reload")
        both = first + self.line(2)
        self.write(gw, both)
        gw.control("reload")
        self.write(gw, first)  # what would wrap next
        self.reload_refused(gw, "a version is missing")
        keys.update(self.make(gw, 1))
        self.write(gw, self.line(1) + both.split("\n")[1])
        self.reload_refused(gw, "a version has another root key")
        self.write(gw, both)
        gw.control("reload")
        self.assert_served(gw, keys)
        gw.stop()
        gw.start()
        self.assert_served(gw, keys)
        keys.update(self.make(gw, 1))
        self.assertEqual(self.complaints(gw), [])

    def wrong_start(self, gw, text, others):
        gw.stop()
        self.write(gw, text)
        mark = gw.mark()
        gw.start()
        kf.eventually(lambda: self.complaints(gw) == [("root key of a", "bad")], "health says so")
        self.assertIn("the root key does not open the tenant's keys: no new ones are made tenant=a",
                      gw.log(mark))
        self.create_refused(gw)
        self.create_refused(gw)
        self.assertEqual(gw.log(mark).count("does not open the tenant's keys"), 1)
        others.update(self.make(gw, 1, tenant=1))
        self.assert_served(gw, others, 1)

    def test_start_with_another_root_key_makes_no_keys(self):
        gw = self.two()
        keys, others, right = self.make(gw), self.make(gw, tenant=1), self.read(gw)
        self.wrong_start(gw, self.line(1), others)
        with self.client(gw) as c:
            for uid in keys:
                self.assertEqual(c.do(on("Get", uid)).status, 1)
        self.create_refused(gw)
        gw.control("reload")  # which does not make it worse
        self.create_refused(gw)
        self.write(gw, right)
        gw.control("reload")
        keys.update(self.make(gw, 1))
        self.assert_served(gw, keys)
        self.assertEqual(self.complaints(gw), [])

        self.write(gw, right + self.line(2))
        gw.control("reload")
        keys.update(self.make(gw, 1))
        both = self.read(gw)
        for text in (right, self.line(2), right + self.line(2)):  # an older file, and wrong ones
            self.wrong_start(gw, text, others)
        gw.stop()
        self.write(gw, both)
        gw.start()
        keys.update(self.make(gw, 1))
        self.assert_served(gw, keys)
        self.assert_served(gw, others, 1)
        self.assertEqual(self.complaints(gw), [])

    def alarms(self, gw):
        """Keys under an alarm, and the state of the check."""
        health = gw.control("health")[0]
        [state] = [x["state"] for x in health if x["check"] == "integrity"]
        return [x["say"] for x in health if x["check"] == "keys of a"], state

    def lose_first(self, gw):
        """Keys of two versions, and a start with the second alone: the keys of each, and both lines."""
        old = self.make(gw)
        both = self.read(gw) + self.line(2)
        self.write(gw, both)
        gw.control("reload")
        new = self.make(gw)
        gw.stop()
        self.write(gw, both.splitlines()[1] + "\n")
        gw.start()
        return old, new, both

    def test_older_version_that_is_missing(self):
        gw = self.two()
        old, new, both = self.lose_first(gw)
        first, mark = next(iter(old)), gw.mark()
        self.assert_served(gw, new)
        self.assertEqual(self.alarms(gw), ([], "good"))
        with self.client(gw) as c:
            for _ in range(2):
                self.assertIn("root key", c.do(on("Get", first)).message)
        line = gw.await_log("error integrity: integrity alarm: the root key version that wrapped "
                            "this key is missing from root-key-file", mark)
        self.assertIn("tenant=a uid=%s version=1" % first, line)
        self.assertEqual(gw.log(mark).count(" error integrity: "), 1)
        self.assertEqual(gw.metrics()["integrity_alarms_total"], 2)
        [say], state = self.alarms(gw)
        self.assertEqual(state, "bad")
        self.assertRegex(say, "asked for 2 times: %s; version 1 of the root key, which wrapped it, is "
                              "missing from root-key-file$" % first)
        gw.control("reload")  # the same file
        self.assertEqual(self.alarms(gw)[1], "bad")
        self.write(gw, both)
        gw.control("reload")
        gw.await_log("notice integrity: integrity alarm is over", mark)
        self.assertEqual(self.alarms(gw), ([], "good"))
        self.assertEqual(gw.metrics()["integrity_alarm_keys"], 0)
        self.assert_served(gw, old)

    def test_first_keys_need_no_proof(self):
        """Of a tenant that has none, or that a reload brings."""
        gw = self.gateway()
        gw.stop()
        self.write(gw, self.line(1))
        gw.start()
        keys = self.make(gw)
        gw.tenants.append(kf.Tenant("b", kf.AUTHORITY.make("root-b")))
        gw.configure()
        gw.control("reload")
        others = self.make(gw, tenant=1)
        self.assert_served(gw, keys)
        self.assert_served(gw, others, 1)
        right = self.read(gw, 1)
        b = gw.tenants.pop()
        gw.configure()
        gw.control("reload")
        gw.tenants.append(b)  # and comes back with another file
        self.write(gw, self.line(1), 1)
        gw.configure()
        gw.control("reload")
        kf.eventually(lambda: self.complaints(gw) == [("root key of b", "bad")], "health says so")
        self.write(gw, right, 1)
        gw.control("reload")
        self.assert_served(gw, others, 1)
        self.make(gw, tenant=1)


if __name__ == "__main__":
    kf.main()
