# SPDX-License-Identifier: Apache-2.0
"""Several gateways of one machine at one port (listen-shared), each with a state directory of its
own, over one instance of Key Protect."""

import shutil
import socket
import tempfile

import cloud
import kf
import ttlv

CONNECTIONS = 1000
CLIENTS = 24  # to meet only one of the two: once in eight million runs


class Instances(kf.Case):
    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory)
        self.addCleanup(self.cloud.stop)

    def instance(self, port, options="listen-shared = true\ndrain-timeout = 2min"):
        gw = self.gateway(start=False, options=options, tenants=[
            kf.Tenant("a", kf.AUTHORITY.make("vcenter"), vault=self.cloud.vault("Manager"))])
        gw.listen = "127.0.0.1:%d" % port
        gw.configure()
        return gw

    def two(self):
        first = self.instance(0).start()
        return first, self.instance(first.port).start()

    def test_both_serve(self):
        """Whoever of them a connection comes to, keys are the same."""
        both = self.two()
        with both[0].client() as c:
            uid = c.create()
            key = c.key(uid)
        for n in range(CLIENTS):
            with both[n % 2].client() as c:
                self.assertEqual(c.key(uid), key)
        for gw in both:
            self.assertGreater(gw.metrics()["handshakes_ok_total"], 0)
        self.assertGreaterEqual(sum(gw.metrics()["items_ok_total"] for gw in both), CLIENTS + 2)

    def test_the_kernel_splits(self):
        both = self.two()
        before = [gw.metrics()["sessions_total"] for gw in both]
        for _ in range(CONNECTIONS):
            socket.create_connection(("127.0.0.1", both[0].port), timeout=30).close()

        def split():
            return [gw.metrics()["sessions_total"] - n for gw, n in zip(both, before)]
        kf.eventually(lambda: sum(split()) == CONNECTIONS, "all are accepted", 60)
        for n in split():
            self.assertTrue(0.4 * CONNECTIONS <= n <= 0.6 * CONNECTIONS, split())

    def test_the_other_serves_on(self):
        first, second = self.two()
        with first.client() as c:
            uid = c.create()
        first.stop()
        for _ in range(CLIENTS):
            with second.client() as c:
                c.key(uid)
        first.listen = second.listen
        first.configure()
        first.start()
        for _ in range(CLIENTS):
            with first.client() as c:
                c.ok(ttlv.item("DiscoverVersions"))

    def test_one_that_drains_takes_no_share(self):
        first, second = self.two()
        data = ttlv.request((1, 1), ttlv.create()).encode()
        while first.metrics()["sessions"] == 0:
            c = first.client()
            self.addCleanup(c.close)
            c.ok(ttlv.item("DiscoverVersions"))
            c.send(data[:100])  # its end is waited for
        first.ctl("drain")
        before = second.metrics()["handshakes_ok_total"]
        for _ in range(CLIENTS):
            with second.client() as c:
                c.ok(ttlv.item("DiscoverVersions"))
        self.assertEqual(second.metrics()["handshakes_ok_total"], before + CLIENTS)
        self.assertTrue(first.metrics()["sessions"] > 0 and first.process.poll() is None)

    def test_both_have_to_say_so(self):
        """Whoever does not want company has none."""
        first = self.instance(0).start()
        with self.assertRaisesRegex(AssertionError, "another process listens there"):
            self.instance(first.port, options="").start()


if __name__ == "__main__":
    kf.main()
