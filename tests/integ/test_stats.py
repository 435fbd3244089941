# SPDX-License-Identifier: Apache-2.0
"""The stats socket: what it serves, to whom, and that what is counted is right."""

import http.client
import json
import os
import socket
import ssl
import stat
import time

import kf
import scrape
import ttlv

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
PLACES = 16  # for clients of each listener
OWN_LABELS = 250  # as many tenants have one, see keyferry-stats(7)


def turned_away(s):
    """Closed, with what it sent read (an end) or not (a reset)."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


class Pages(kf.SharedCase):
    gateway_args = {"options": 'stats-listen = "127.0.0.1:0"'}

    def test_formats(self):
        status, kind, text = scrape.get(self.gw, "/metrics")
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))
        status, kind, text = scrape.get(self.gw, "/metrics", OPENMETRICS)
        self.assertEqual((status, kind), (
            200, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        self.assertTrue(text.endswith("\n# EOF\n"))
        families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        self.assertEqual(len(families), len(set(families)))

    def port(self):
        return int(self.gw.await_log(r"stats: listening address=").rsplit(":", 1)[1])

    def test_places_of_their_own(self):
        """Whoever fills all places over TCP leaves those of the socket alone."""
        def begin():
            s = socket.create_connection(("127.0.0.1", self.port()), timeout=20)
            self.addCleanup(s.close)
            s.sendall(b"G")  # a request has begun, so it gives way to nobody
            return s
        busy = [begin() for _ in range(PLACES)]
        self.assertEqual(scrape.get(self.gw, "/ready")[0], 200)  # the loop has read them all
        self.assertTrue(turned_away(begin()))
        for _ in range(PLACES):
            self.assertEqual(scrape.get(self.gw, "/ready")[0], 200)
        busy[0].sendall(b"ET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200 OK", busy[0].recv(100))

    def test_over_tcp(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=20)
        self.addCleanup(c.close)
        for path, status in (("/ready", 200), ("/health", 200), ("/metrics", 200), ("/", 404)):
            c.request("GET", path)
            answer = c.getresponse()
            self.assertEqual(answer.status, status)
            self.assertTrue(answer.read())  # on one connection
        c.request("HEAD", "/metrics")
        answer = c.getresponse()
        self.assertGreater(int(answer.getheader("Content-Length")), 10000)
        self.assertEqual(answer.read(), b"")
        c.request("POST", "/metrics")
        self.assertEqual(c.getresponse().status, 405)

    def test_file(self):
        mode = os.stat(os.path.join(self.gw.dir, "stats.sock")).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o660)

    def test_health_is_keyferryctls(self):
        status, kind, text = scrape.get(self.gw, "/health")
        document = json.loads(text)
        self.assertEqual((status, kind), (200, "application/json"))
        self.assertEqual(document["checks"], self.gw.control("health")[0])
        self.assertIn(document["state"], ("good", "warning"))

    def test_operations(self):
        before = scrape.metrics(self.gw)
        with self.gw.client() as c:
            uid = c.create()
            for _ in range(3):
                c.key(uid)
            c.do(ttlv.on("Get", "nobody"))
        after = scrape.metrics(self.gw)

        def grown(name, *labels):
            return after.of(name, *labels) - before.get(
                ("keyferry_" + name,) + tuple(sorted(labels)), 0)
        self.assertEqual(grown("operations_total", "operation=Create", "result=OK"), 1)
        self.assertEqual(grown("operations_total", "operation=Get", "result=OK"), 3)
        self.assertEqual(grown("operations_total", "operation=Get", "result=NO_OBJECT"), 1)
        for outcome, operation, count in (("ok", "Create", 1), ("ok", "Get", 3),
                                          ("failed", "Get", 1)):
            labels = ("operation=" + operation, "outcome=" + outcome)
            self.assertEqual(grown("operation_duration_seconds_count", *labels), count)
            self.assertGreater(grown("operation_duration_seconds_sum", *labels), 0)
            self.assertEqual(grown("operation_duration_seconds_bucket", "le=+Inf", *labels), count)
        self.assertGreater(grown("store_call_duration_seconds_count"), 0)
        self.assertGreater(grown("received_bytes_total"), 5 * 100)
        self.assertGreater(grown("sent_bytes_total"), 3 * 32)

    def test_handshakes(self):
        before = scrape.metrics(self.gw)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.gw.client(tls=version).close()
            with self.assertRaises((kf.Closed, ssl.SSLError, ConnectionError)):
                with self.gw.client(kf.AUTHORITY.make("stranger"), tls=version) as c:
                    c.ok(ttlv.item("DiscoverVersions"))
        with self.assertRaises((kf.Closed, ssl.SSLError, ConnectionError)):
            with kf.Client(self.gw, None) as c:
                c.ok(ttlv.item("DiscoverVersions"))

        def all_seen():
            after = scrape.metrics(self.gw)
            grown = lambda name, *labels: after.of(name, *labels) - before.of(name, *labels)
            return [grown("handshake_duration_seconds_count", "result=" + r, "version=" + v)
                    for r in ("ok", "refused") for v in ("1.2", "1.3")] + [
                grown("clients_refused_total", "reason=" + r)
                for r in ("unknown", "no certificate", "expired")] == [1, 1, 1, 2, 2, 1, 0]
        kf.eventually(all_seen, "handshakes by result and version, refusals by reason")

    def test_process(self):
        m = scrape.metrics(self.gw)
        pid = self.gw.process.pid
        self.assertEqual(m.of("build_info", "version=" + self.gw.control("status")[0]["version"]),
                         1)
        self.assertAlmostEqual(m.of("process_open_fds"), len(os.listdir("/proc/%d/fd" % pid)),
                               delta=2)  # connections of the tests come and go
        with open("/proc/%d/statm" % pid, encoding="ascii") as f:
            resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.assertAlmostEqual(m.of("process_resident_memory_bytes") / resident, 1, delta=0.5)
        self.assertAlmostEqual(m.of("process_start_time_seconds"), time.time(), delta=600)
        self.assertEqual(m.of("store_up"), 1)
        self.assertEqual(m.of("draining"), 0)
        self.assertGreater(m.of("secure_heap_size_bytes"), m.of("secure_heap_used_bytes"))
        self.assertGreater(m.of("loop_lag_seconds_count"), 0)

    def test_expiry(self):
        m = scrape.metrics(self.gw)
        for name, labels, certificates in (
                ("server_certificate_expiry_timestamp_seconds", (), self.gw.servers),
                ("client_certificate_expiry_timestamp_seconds", ("tenant=a",),
                 self.gw.tenants[0].certificates)):
            ends = [kf.openssl("x509", "-in", c.pem, "-noout", "-enddate").decode()
                    .strip().split("=", 1)[1] for c in certificates]
            self.assertEqual(m.of(name, *labels), min(ssl.cert_time_to_seconds(e) for e in ends))


class Life(kf.Case):
    def test_not_ready_while_draining(self):
        gw = self.gateway(options='drain-timeout = "20s"')
        self.assertEqual(scrape.get(gw, "/ready")[::2], (200, "ready\n"))
        with gw.client() as c:
            message = ttlv.request(c.version, ttlv.item("DiscoverVersions")).encode()
            c.send(message[:-1])  # a request that is not all there yet is waited for
            kf.eventually(lambda: [s for s in gw.control("sessions")[0]
                                   if s["state"] == "reading"], "half a request")
            gw.control("drain")
            self.assertEqual(scrape.get(gw, "/ready")[::2], (503, "draining\n"))
            status, _, text = scrape.get(gw, "/health")
            self.assertEqual(status, 503)
            self.assertIn({"check": "accepting", "state": "bad",
                           "say": "draining: no new sessions"}, json.loads(text)["checks"])
            self.assertEqual(scrape.metrics(gw).of("draining"), 1)
            c.send(message[-1:])
            c.receive()
        self.assertEqual(gw._gone(20), 0)
        self.assertFalse(os.path.exists(os.path.join(gw.dir, "stats.sock")))

    def test_storage_child(self):
        gw = self.gateway()
        os.kill(gw.child_pid(), 9)
        kf.eventually(lambda: scrape.metrics(gw).of("store_restarts_total") == 1, "a new child")
        kf.eventually(lambda: scrape.get(gw, "/ready")[0] == 200, "ready again")

    def test_off_and_in_use(self):
        gw = self.gateway(start=False, options='stats-listen = ""')
        with open(gw.conf, encoding="utf-8") as f:
            text = f.read()
        with open(gw.conf, "w", encoding="utf-8") as f:
            f.write(text.replace('"%s"' % os.path.join(gw.dir, "stats.sock"), '""'))
        gw.start()
        self.assertFalse(os.path.exists(os.path.join(gw.dir, "stats.sock")))
        other = self.gateway(start=False)
        with open(os.path.join(other.dir, "stats.sock"), "w", encoding="ascii"):
            pass
        with self.assertRaisesRegex(AssertionError, "stats-socket: .*is not a socket"):
            other.start()

    def test_many_tenants(self):
        """Those beyond the cap share a label, and the soonest expiry is not lost in it."""
        soon = kf.AUTHORITY.make("soon", start=-1, end=20)
        tenants = [kf.Tenant("t%d" % i, kf.AUTHORITY.make("c%d" % i),
                             vault='vault local { root-key-file = "t0.root" }')
                   for i in range(OWN_LABELS + 2)]
        tenants[-2].certificates.append(soon)
        gw = self.gateway(tenants=tenants)
        m = scrape.metrics(gw)
        name = "client_certificate_expiry_timestamp_seconds"
        self.assertEqual(m.of("tenants"), OWN_LABELS + 2)
        self.assertEqual(len([k for k in m if k[0] == "keyferry_" + name]), OWN_LABELS + 1)
        self.assertIn(("keyferry_" + name, "tenant=t%d" % (OWN_LABELS - 1)), m)
        self.assertAlmostEqual(m.of(name, "tenant=(others)"), time.time() + 20 * 86400, delta=3600)


if __name__ == "__main__":
    kf.main()
