# SPDX-License-Identifier: Apache-2.0
"""Clocks that are wrong or set, machines that were suspended, years far away: what lasts goes by the
monotonic clock, dates go by the wall clock, and nothing else depends on either."""

import calendar
import contextlib
import json
import os
import shutil
import socket
import tempfile
import time

import cloud
import kf
import ttlv
import virtual
from ttlv import ACTIVE, DEACTIVATED, PRE_ACTIVE, attribute, date, on

HOUR = 3600
LAST = 253402300799  # of the year 9999


def dated(name, when):
    return attribute(name, date("AttributeValue", when))


def at(*when):
    return calendar.timegm(when + (0,) * (6 - len(when)))


class TimeCase(kf.Case):
    """A gateway whose clock stands still, and sessions that were open before."""

    options = ""

    def setUp(self):
        self.clouds = []
        if kf.VAULT == "keyprotect":
            directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
            self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
            self.clouds.append(cloud.Cloud(directory))
            self.addCleanup(self.clouds[0].stop)
        # one that ends with the year 9999
        self.far = kf.AUTHORITY.make("far", start=-1, end=(LAST - time.time()) // 86400 - 1)
        vault = self.clouds[0].vault() + "\n  born-active = false" if self.clouds else None
        self.gw = self.gateway(start=False, tenants=[kf.Tenant("a", self.far, vault=vault)])
        self.audit = os.path.join(self.gw.dir, "audit.jsonl")
        self.gw.options = 'audit-file = "%s"\n%s' % (self.audit, self.options)
        self.gw.configure()
        self.gw.start()
        self.clock = virtual.Clock(self.gw, *self.clouds)

    def wall(self):
        return self.gw.control("test advance", "ms=0")[0]["wall-ms"] // 1000

    def go_to(self, when):
        """Seconds since 1970, by hand."""
        self.clock.jump(wall=when - self.wall())

    def audited(self, count):
        """The last lines of requests."""
        def lines():
            with open(self.audit, encoding="utf-8") as f:
                found = [json.loads(line) for line in f.read().split("\n")[:-1]]
            return [line for line in found if line["event"] == "request"]
        kf.eventually(lambda: len(lines()) >= count, "audit lines")
        return lines()

    def ask(self, c, item):
        """What may have to ask the key manager again: time passes slowly."""
        return self.clock.during(lambda: c.ok(item))

    def shown(self, uid):
        return self.gw.control("keys show", "=" + uid)[0]


class Steps(TimeCase):
    options = "handshake-timeout = 5min"

    def test_an_hour_forth_and_back(self):
        """Sessions, a half request and a half handshake notice nothing; lines have the new time."""
        silent = socket.create_connection(("127.0.0.1", self.gw.port), 20)
        self.addCleanup(silent.close)
        with self.gw.client() as c:
            uid = c.create()
            key, asked = c.key(uid), 2
            for step in (HOUR, -HOUR, -HOUR, HOUR):
                whole = ttlv.request(c.version, on("Get", uid)).encode()
                c.send(whole[:20])
                before = self.wall()
                self.clock.jump(wall=step)
                c.send(whole[20:])
                answer = self.clock.during(c.receive)
                self.assertEqual(answer.items[0].key, key)
                self.assertAlmostEqual(answer.time, before + step, delta=5)
                with self.gw.client() as other:
                    self.assertEqual(self.ask(other, on("Get", uid)).path(
                        "SymmetricKey", "KeyBlock", "KeyValue", "KeyMaterial"), key)
                asked += 2
                line = self.audited(asked)[-1]
                said = calendar.timegm(time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S"))
                self.assertAlmostEqual(said, before + step, delta=5)
                self.assertLess(line["duration-us"], 60e6)
        counted = self.gw.metrics()
        for nothing in ("handshakes_timeout_total", "idle_timeout_total", "request_timeout_total",
                        "sessions_expired_total", "audit_failures_total"):
            self.assertEqual(counted[nothing], 0, nothing)
        self.clock.advance(301, slice_s=50)  # longer steps are times that the process was away
        kf.eventually(lambda: self.gw.metrics()["handshakes_timeout_total"] == 1, "its time is up")

    def test_dates_are_the_wall_clocks(self):
        """Also those of keys that were changed and used while the clock was ahead."""
        with self.gw.client() as c:
            now = self.wall()
            uid = c.create(dated("Activation Date", now + HOUR // 2),
                           dated("Deactivation Date", now + 3 * HOUR // 2),
                           attribute("Usage Limits", ttlv.seq(
                               "AttributeValue", ttlv.Node("UsageLimitsTotal", ttlv.LONG, 9),
                               ttlv.enum("UsageLimitsUnit", 1))))
            for step, state in ((0, PRE_ACTIVE), (HOUR, ACTIVE), (HOUR, DEACTIVATED),
                                (-HOUR, ACTIVE), (-HOUR, PRE_ACTIVE), (HOUR, ACTIVE)):
                self.clock.jump(wall=step)
                self.assertEqual(c.state(uid), state)
                self.ask(c, on("AddAttribute", uid, attribute("x-note", "seen")))
                taken = c.do(on("GetUsageAllocation", uid, ttlv.Node("UsageLimitsCount", ttlv.LONG, 1)))
                self.assertEqual(taken.status == ttlv.SUCCESS, state == ACTIVE, taken)
                self.assertEqual(c.state(uid), state)
                self.assertEqual(self.shown(uid)["state"].replace("-", ""),
                                 {PRE_ACTIVE: "PreActive", ACTIVE: "Active",
                                  DEACTIVATED: "Deactivated"}[state])

    def test_suspended(self):
        """For longer than any token lives; what was idle before was not idle for longer."""
        with self.gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            for c_ in self.clouds:
                c_.advance(5 * HOUR)
            self.clock.jump(wall=5 * HOUR, boot=5 * HOUR)
            got = self.ask(c, on("Get", uid))
            self.assertEqual(got.path("SymmetricKey", "KeyBlock", "KeyValue", "KeyMaterial"), key)
            with self.gw.client() as other:
                self.ask(other, ttlv.create())
        self.assertEqual(self.gw.metrics()["idle_timeout_total"], 0)


class Far(TimeCase):
    """With tickets, whose keys are the hours'."""

    def setUp(self):
        super().setUp()
        self.gw.configure()
        with open(self.gw.conf, encoding="utf-8") as f:
            text = f.read().replace("tls {", "tls {\n  resumption = true\n  resumption-tls12 = true")
        with open(self.gw.conf, "w", encoding="utf-8") as f:
            f.write(text)
        self.gw.control("reload")

    def check(self, when):
        """Everything works at that time: what was made then."""
        self.go_to(when)
        with self.gw.client() as c:
            now = self.wall()
            made = self.ask(c, ttlv.create(dated("Deactivation Date", LAST)))
            uid = made.path("UniqueIdentifier")
            got = self.ask(c, on("Get", uid))
            found = ttlv.Result(c.call(ttlv.get_attributes(uid)).items[0].node).attributes()
            self.assertAlmostEqual(found["Initial Date"][0], now, delta=60)
            self.assertEqual(found["Deactivation Date"], [LAST])
            c.ok(on("Activate", uid))
            located = c.ok(ttlv.item("Locate", dated("Initial Date", found["Initial Date"][0])))
            self.assertIn(uid, [n.value for n in located.all("UniqueIdentifier")])
        year = "%04d-" % time.gmtime(now).tm_year
        shown = self.shown(uid)
        self.assertTrue(shown["created"].startswith(year), shown)
        self.assertEqual(shown["deactivated"], "9999-12-31T23:59:59.000Z")
        self.assertTrue(self.audited(1)[-1]["time"].startswith(year))
        self.gw.control("health")
        return uid, got.path("SymmetricKey", "KeyBlock", "KeyValue", "KeyMaterial")

    def test_years(self):
        """And when the clock is right again, what was made then is served as well.  Linux's clock ends
        in 2262."""
        made = {}
        for when in (at(2038, 1, 19, 3, 14, 7), at(2038, 1, 19, 3, 14, 8), at(2049, 12, 31, 23, 59),
                     at(2050, 1, 1), at(2106, 2, 7, 6, 28, 16), at(2200, 2, 28)):
            with self.subTest(when=when):
                uid, key = self.check(when)
                made[uid] = key
        self.assertEqual(self.gw.stop(), 0)
        self.gw.start()
        with self.gw.client() as c:
            self.assertEqual({uid: c.key(uid) for uid in made}, made)
            for uid in made:
                self.assertEqual(c.state(uid), ACTIVE)
            c.key(c.create())

    def test_a_clock_without_a_battery(self):
        """Nobody's certificate is valid yet, and those who are there are served.  Linux's clock begins
        in 1970."""
        with self.gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            for when in (600, 0, HOUR, 30 * 365 * 86400):
                with self.subTest(when=when):
                    self.go_to(when)
                    mark = self.gw.mark()
                    got = self.ask(c, on("Get", uid))
                    self.assertEqual(got.path("SymmetricKey", "KeyBlock", "KeyValue",
                                              "KeyMaterial"), key)
                    with contextlib.suppress(OSError, kf.Closed):
                        with self.gw.client() as other:
                            other.do(ttlv.item("DiscoverVersions"))
                            self.fail("let in")
                    line = self.gw.await_log("client refused .*not valid yet", mark)
                    self.assertTrue(line.startswith("%d-" % time.gmtime(when)[0]), line)
                    new = self.ask(c, ttlv.create()).path("UniqueIdentifier")
                    self.assertEqual(self.shown(new)["created"][:4], "%d" % time.gmtime(when)[0])
            self.go_to(int(time.time()))
            self.ask(c, on("Get", uid))
        with self.gw.client() as c:
            self.ask(c, on("Get", uid))
        self.assert_fine(self.gw)


class Dates(TimeCase):
    """What clients may say."""

    def written(self, c, uid):
        found = ttlv.Result(c.call(ttlv.get_attributes(uid)).items[0].node).attributes()
        return found["Deactivation Date"] + found["x-when"]

    def test_dates_that_can_be_written(self):
        """And kept: 2016's last second and the next, as seconds since 1970 know no leap second between
        them; and what 32 bits do not hold."""
        self.assertEqual(at(2017, 1, 1) - at(2016, 12, 31, 23, 59, 59), 1)
        made = {}
        with self.gw.client() as c:
            for when in (0, 1, at(2016, 12, 31, 23, 59, 59), at(2017, 1, 1), 2 ** 31 - 1, 2 ** 31,
                         2 ** 32 - 1, 2 ** 32, LAST):
                uid = c.create(dated("Deactivation Date", when), dated("x-when", when))
                made[uid] = when
                self.assertEqual(self.written(c, uid), [when, when])
                self.assertEqual(self.shown(uid)["deactivated"], "%04d-%02d-%02dT%02d:%02d:%02d.000Z" %
                                 time.gmtime(when)[:6])
        self.assertEqual(self.gw.stop(), 0)
        self.gw.start()
        with self.gw.client() as c:
            for uid, when in made.items():
                self.assertEqual(self.written(c, uid), [when, when])
                located = c.ok(ttlv.item("Locate", dated("Deactivation Date", when)))
                self.assertEqual([n.value for n in located.all("UniqueIdentifier")], [uid])

    def test_dates_that_cannot(self):
        with self.gw.client() as c:
            uid = c.create()
            for when in (-1, -2 ** 31, -2 ** 63, LAST + 1, 2 ** 63 - 1):
                with self.subTest(when=when):
                    self.assertEqual(c.do(ttlv.create(dated("Deactivation Date", when))).status,
                                     ttlv.FAILED)
                    self.assertEqual(c.do(on("AddAttribute", uid, dated(
                        "Deactivation Date", when))).status, ttlv.FAILED)
                    self.assert_reason(c.do(ttlv.revoke(uid, 2, occurred=when)), "InvalidField")
            self.assertEqual(c.state(uid), PRE_ACTIVE)
            c.ok(ttlv.revoke(uid, 2, occurred=LAST))


if __name__ == "__main__":
    kf.main()
