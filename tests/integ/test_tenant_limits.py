# SPDX-License-Identifier: Apache-2.0
"""A tenant's own limits: sessions beyond them are closed, requests beyond them wait, and other
tenants notice neither."""

import os
import threading
import time

import kf
import rawtls
import scrape
import ttlv
from byhand import ByHand

ASK = ttlv.item("DiscoverVersions")


class Limits(kf.Case):
    def start(self, limits, **kwargs):
        """Tenant a has limits; b has none."""
        return self.gateway(tenants=[kf.Tenant("a", kf.AUTHORITY.make("vcenter"), options=limits),
                                     kf.Tenant("b", kf.AUTHORITY.make("second"))], **kwargs)

    def client(self, gw, tenant):
        c = gw.client(gw.tenants[tenant].certificates[0])
        self.addCleanup(c.close)
        return c

    def there(self, gw, tenant):
        """A session that was let in."""
        c = self.client(gw, tenant)
        c.ok(ASK)
        return c

    def tenant(self, gw):
        return gw.control("tenants")[0][0]

    def limited(self, gw, limits):
        gw.tenants[0].options = limits
        gw.configure()
        gw.ctl("reload")

    def in_line(self, gw, count):
        """That many clients whose requests have come; most of them wait, as one a second may go."""
        self.there(gw, 0).close()
        clients = [self.client(gw, 0) for _ in range(count)]
        for c in clients:
            c.send(ttlv.request(c.version, ASK))

        def come():
            m = gw.metrics()
            return m["requests_total"] + m["requests_held"] == 1 + count and m
        self.assertGreater(kf.eventually(come, "all have come")["requests_held"], 0)
        self.assertGreater(self.tenant(gw)["requests-waiting"], 0)
        self.assertGreater(scrape.metrics(gw).of("requests_held_active"), 0)
        return clients

    def test_sessions(self):
        gw = self.start("tenant-sessions-max = 2")
        first, second = self.there(gw, 0), self.there(gw, 0)
        for _ in range(3):
            self.assertTrue(self.client(gw, 0).is_closed())
        others = [self.there(gw, 1) for _ in range(5)]
        told = self.tenant(gw)
        self.assertEqual((told["sessions"], told["sessions-max"], told["sessions-refused"]),
                         (2, 2, 3))
        self.assertIn("sessions-refused", gw.ctl("tenants").stdout)
        m = scrape.metrics(gw)
        self.assertEqual(m.of("tenant_limits_reached_total", "limit=sessions"), 3)
        self.assertEqual(m.of("tenant_sessions", "tenant=a"), 2)
        self.assertEqual(m.of("tenant_sessions", "tenant=b"), 5)
        line, = [l for l in gw.log().splitlines() if "as many sessions as it may" in l]
        self.assertIn("tenant=a limit=2", line)  # once, not three times
        first.close()
        kf.eventually(lambda: self.tenant(gw)["sessions"] == 1, "one has gone")
        third = self.there(gw, 0)

        self.limited(gw, "tenant-sessions-max = 1")
        for c in [second, third] + others:  # who is there stays
            c.ok(ASK)
        self.assertTrue(self.client(gw, 0).is_closed())
        self.assertEqual(self.tenant(gw)["sessions-refused"], 4)  # a reload forgets nothing
        self.limited(gw, "")
        self.there(gw, 0)
        for c in [second, third] + others:
            c.close()

    def test_requests(self):
        """All succeed, no faster than they may, and the other tenant is through long before."""
        rate, wanted = 10, 40
        gw = self.start("tenant-request-rate-max = %d" % rate)
        done, failures = [], []

        def work():
            try:
                with gw.client(gw.tenants[0].certificates[0]) as c:
                    uid = c.create()
                    while len(done) < wanted:
                        c.key(uid)
                        done.append(time.monotonic())
            except BaseException as e:  # told by the test
                failures.append(e)
        threads = [threading.Thread(target=work) for _ in range(4)]
        began = time.monotonic()
        for t in threads:
            t.start()
        kf.eventually(lambda: self.tenant(gw)["requests-delayed"] > 0 or failures, "a delay", 30)
        other = self.there(gw, 1)
        uid = other.create()
        for _ in range(5 * wanted):
            other.key(uid)
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        self.assertLessEqual(len(done), rate * (done[-1] - began + 1) + 1)
        told = self.tenant(gw)
        self.assertEqual((told["request-rate-max"], told["requests-waiting"]), (rate, 0))
        self.assertEqual(scrape.metrics(gw).of("tenant_limits_reached_total", "limit=requests"),
                         told["requests-delayed"])
        self.assertEqual(gw.metrics()["items_failed_total"], 0)
        line = gw.await_log("more requests than it may")
        self.assertIn("tenant=a limit=%d" % rate, line)

    def test_not_beyond_the_deadline(self):
        """What cannot be done in time is told so, and takes no place of what still can."""
        gw = self.start("tenant-request-rate-max = 1", options='request-timeout = "3s"')
        began = time.monotonic()
        clients = self.in_line(gw, 20)
        results = [c.receive().items[0] for c in clients]
        late = [r for r in results if r.status != ttlv.SUCCESS]
        self.assertGreater(len(late), 0)
        self.assertGreater(len(results) - len(late), 0)
        self.assertLessEqual(len(results) - len(late), time.monotonic() - began + 1)
        for r in late:
            self.assertIn("the time allowed", r.message)
        self.limited(gw, "")
        for c in clients:
            c.ok(ASK)  # the session goes on
            c.close()

    def test_who_leaves_keeps_nobody(self):
        gw = self.start("tenant-request-rate-max = 1")
        clients = self.in_line(gw, 20)
        for c in clients[:-1]:
            c.close()
        kf.eventually(lambda: self.tenant(gw)["requests-waiting"] <= 1, "they have left")
        self.assertEqual(clients[-1].receive().items[0].status, ttlv.SUCCESS)
        clients[-1].close()
        gw.assert_idle()

    def broken_behind(self, gw, tail):
        """A client whose request waits in line, and behind it a record that ends the stream."""
        c = ByHand(gw, gw.tenants[0].certificates[0])
        self.addCleanup(c.sock.close)
        c.finish()
        c.sock.sendall(c.encrypted(ttlv.request((1, 1), ASK).encode()) + tail)
        return c

    def test_a_broken_record_behind_a_held_request(self):
        """The stream is over when the request's turn comes, or its time: it is not begun, and the
        goodbye of the stream is not cut off."""
        tails = {"a record that fails": rawtls.record(23, os.urandom(32)),
                 "an alert in the clear": rawtls.alert(2, 20)}
        for options in ("", 'request-timeout = "1s"'):
            for name, tail in tails.items():
                with self.subTest(options=options, tail=name):
                    gw = self.start("tenant-request-rate-max = 1", options=options)
                    self.there(gw, 0).close()
                    asked = gw.metrics()["requests_total"]
                    clients = [self.broken_behind(gw, tail) for _ in range(3)]
                    kf.eventually(lambda: gw.metrics()["sessions"] == 0, "all have ended", 10)
                    self.assertEqual(gw.metrics()["requests_held"], 0)
                    self.assertLess(gw.metrics()["requests_total"], asked + len(clients))
                    self.there(gw, 1).close()
                    for c in clients:
                        c.sock.close()
                    gw.assert_idle()

    def test_reload_goes_on(self):
        """In line before it, in line after it, and out of it once there is no limit."""
        gw = self.start("tenant-request-rate-max = 1", options='request-timeout = "1min"')
        clients = self.in_line(gw, 30)
        gw.ctl("reload")
        self.assertGreater(self.tenant(gw)["requests-waiting"], 0)
        states = [s["state"] for s in gw.control("sessions")[0]]
        self.assertIn("limited", states)
        self.limited(gw, "")
        for c in clients:
            self.assertEqual(c.receive().items[0].status, ttlv.SUCCESS)
            c.ok(ASK)

    def test_stop_answers_them(self):
        gw = self.start("tenant-request-rate-max = 1")
        clients = self.in_line(gw, 8)
        gw.process.terminate()
        for c in clients:
            self.assertEqual(c.receive().items[0].status, ttlv.SUCCESS)
            self.assertTrue(c.is_closed())
        self.assertEqual(gw.stop(), 0)


if __name__ == "__main__":
    kf.main()
