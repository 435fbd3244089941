# SPDX-License-Identifier: Apache-2.0
"""Limits: many idle sessions, descriptors that run out, deadlines, ceilings; and that what waits is
served afterwards."""

import contextlib
import os
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import time

import kf
import processes
import ttlv
from byhand import ByHand
from ttlv import enum, item, on

IDLE = 5000 if kf.LONG else 500
HANDSHAKES = 500


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Many(kf.Case):
    def setUp(self):
        hard = raise_descriptors()
        if hard < IDLE + 200:
            self.fail("RLIMIT_NOFILE is %d: raise it to %d (ulimit -n)" % (hard, IDLE + 200))

    def busy(self, c, rounds=60):
        """How long Create and Get take, sorted."""
        taken = []
        for _ in range(rounds):
            start = time.perf_counter()
            c.key(c.create())
            taken.append(time.perf_counter() - start)
        return sorted(taken)

    def test_idle_sessions_and_a_busy_one(self):
        gw = self.gateway()
        with gw.client() as c:
            self.busy(c, 5)
            alone = self.busy(c)
        idle = [None] * IDLE

        def connect(n):
            for i in range(n, IDLE, 4):
                idle[i] = gw.client(timeout=120)
        kf.in_parallel(4, connect)
        self.assertEqual(gw.metrics()["sessions"], IDLE)
        with gw.client() as c:
            among = self.busy(c)
        print("Create and Get: median %.1f ms alone, %.1f ms among %d idle sessions" % (
            statistics.median(alone) * 1e3, statistics.median(among) * 1e3, IDLE), flush=True)
        self.assertLess(statistics.median(among), 3 * statistics.median(alone) + 0.02)
        self.assertLess(among[int(len(among) * 0.95)], 0.5)
        for c in idle[::50]:
            c.ok(item("DiscoverVersions"))
        for c in idle:
            c.close()
        gw.assert_idle(seconds=60)

    def test_handshakes_at_once(self):
        """Each has its private key in the secure heap: there is room for all."""
        gw = self.gateway(options='handshake-timeout = "120s"')
        with gw.client() as c:
            c.key(c.create())
        vcenter = kf.AUTHORITY.make("vcenter")
        several = [ByHand(gw, vcenter) for _ in range(HANDSHAKES)]
        for h in several:
            h.step()
        kf.eventually(lambda: gw.metrics()["handshakes"] == HANDSHAKES, "all under way", 60)
        for h in several:
            h.finish()
        for h in several:
            self.assertEqual(h.discover(), b"\x42")
        counted = gw.metrics()
        self.assertEqual(counted["handshakes_failed_total"], 0)
        self.assertEqual(counted["handshakes_ok_total"], HANDSHAKES + 1)
        for h in several:
            h.sock.close()
        gw.assert_idle(seconds=60)


class Descriptors(kf.Case):
    def limit(self, gw, count):
        subprocess.run(["prlimit", "--pid", str(gw.process.pid),
                        "--nofile=%d:%d" % (count, count)], check=True)

    def test_out_of_descriptors(self):
        gw = self.gateway()
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
        gw.assert_idle()
        used = len(os.listdir("/proc/%d/fd" % gw.process.pid)) if os.geteuid() == 0 else 24
        self.limit(gw, used + 8)
        good, waiting = [], []
        for _ in range(40):
            raw = socket.create_connection(("127.0.0.1", gw.port), timeout=10)
            raw.settimeout(20)
            (good if len(good) < 4 else waiting).append(raw)
            if len(good) <= 4 and not waiting:
                c = kf.Client(gw, kf.AUTHORITY.make("vcenter"), connect=False)
                c.sock = c.context.wrap_socket(raw)
                good[-1] = c
        gw.await_log("descriptors|too many open files|Too many open files")
        before = processes.cpu_seconds(gw.process.pid)
        for _ in range(20):
            self.assertEqual(good[0].key(uid), key)
            time.sleep(0.05)
        self.assertLess(processes.cpu_seconds(gw.process.pid) - before, 0.8, "it spins")
        self.assertGreaterEqual(len([line for line in gw.log().splitlines()
                                     if "escriptors" in line or "open files" in line]), 1)
        for c in good[1:]:
            c.close()
        for raw in waiting[:-1]:
            raw.close()
        c = kf.Client(gw, kf.AUTHORITY.make("vcenter"), connect=False)
        c.sock = c.context.wrap_socket(waiting[-1])
        self.assertEqual(c.key(uid), key)
        c.close()
        good[0].close()
        gw.assert_idle()
        self.assertGreaterEqual(gw.metrics()["listener_pauses_total"], 1)
        self.assert_fine(gw)

    def test_few_descriptors_from_the_start(self):
        """A ceiling of sessions that leaves room for all else; those above it wait."""
        gw = self.gateway(start=False)
        gw.limit = ["prlimit", "--nofile=64:64"]
        gw.start()
        with gw.client() as c:
            uid = c.create()
        several = []
        for _ in range(80):
            raw = socket.create_connection(("127.0.0.1", gw.port), timeout=10)
            several.append(raw)
        kf.eventually(lambda: gw.metrics()["sessions"] >= 20, "sessions")
        self.assertLess(gw.metrics()["sessions"], 64)
        for raw in several:
            raw.close()
        with gw.client() as c:
            self.assertEqual(len(c.key(uid)), 32)
        gw.assert_idle()


class Deadlines(kf.Case):
    def test_handshake(self):
        gw = self.gateway(options='handshake-timeout = "300ms"')
        hello = ByHand(gw, kf.AUTHORITY.make("vcenter"))
        with kf.contextlib.suppress(ssl.SSLWantReadError):
            hello.tls.do_handshake()
        data = hello.outgoing.read()
        silent = socket.create_connection(("127.0.0.1", gw.port), timeout=10)
        half = socket.create_connection(("127.0.0.1", gw.port), timeout=10)
        half.sendall(data[:50])
        hello.sock.sendall(data)  # and never the client's Finished
        start = time.monotonic()
        for s in (silent, half, hello.sock):
            s.settimeout(10)
            with kf.contextlib.suppress(ConnectionError):
                while s.recv(65536):
                    pass
            self.assertLess(time.monotonic() - start, 3)
            s.close()
        gw.assert_idle()
        self.assertEqual(gw.metrics()["handshakes_timeout_total"], 3)
        self.assert_fine(gw)

    def test_handshakes_while_the_process_stands_still(self):
        """What was said meanwhile is heard, however long that was."""
        gw = self.gateway(options='handshake-timeout = "3s"')
        several = [ByHand(gw, kf.AUTHORITY.make("vcenter")) for _ in range(40)]
        kf.eventually(lambda: gw.metrics()["sessions"] == 40, "all have come")
        gw.process.send_signal(signal.SIGSTOP)
        for by_hand in several:
            by_hand.step()
        time.sleep(4)
        gw.process.send_signal(signal.SIGCONT)
        for by_hand in several:
            by_hand.finish()
            by_hand.discover()
            by_hand.sock.close()
        gw.assert_idle()
        self.assertEqual(gw.metrics()["handshakes_timeout_total"], 0)

    def test_drip_does_not_extend_the_handshake(self):
        gw = self.gateway(options='handshake-timeout = "500ms"')
        s = socket.create_connection(("127.0.0.1", gw.port), timeout=10)
        start = time.monotonic()
        with self.assertRaises(ConnectionError):
            for byte in b"\x16\x03\x01\x01\x00" + bytes(400):
                s.sendall(bytes([byte]))
                time.sleep(0.05)
        self.assertLess(time.monotonic() - start, 4)
        s.close()
        gw.assert_idle()

    def test_idle(self):
        gw = self.gateway(options='idle-timeout = "3s"')
        with gw.client() as lazy, gw.client() as busy:
            start = time.monotonic()
            lazy.ok(item("DiscoverVersions"))
            while time.monotonic() < start + 4.5:
                busy.ok(item("DiscoverVersions"))
                time.sleep(0.1)
            self.assertTrue(lazy.is_closed(1))
        gw.assert_idle()
        self.assertEqual(gw.metrics()["idle_timeout_total"], 1)

    def test_request(self):
        gw = self.gateway(options='request-timeout = "300ms"')
        data = ttlv.request((1, 1), item("DiscoverVersions")).encode()
        with gw.client() as c:
            start = time.monotonic()
            with self.assertRaises(kf.Closed):
                for byte in data[:-1]:
                    c.send(bytes([byte]))
                    time.sleep(0.02)
                c.receive()
            self.assertLess(time.monotonic() - start, 4)
        gw.assert_idle()
        self.assertEqual(gw.metrics()["request_timeout_total"], 1)


class Ceilings(kf.Case):
    def test_sessions(self):
        """The eleventh is not refused: it waits until one leaves."""
        gw = self.gateway(options="sessions-max = 10")
        several = [gw.client() for _ in range(10)]
        eleventh = ByHand(gw, kf.AUTHORITY.make("vcenter"))
        eleventh.step()
        eleventh.sock.settimeout(0.5)
        with self.assertRaises(socket.timeout):
            eleventh.sock.recv(1)
        eleventh.sock.settimeout(20)
        for c in several:
            c.ok(item("DiscoverVersions"))
        several[0].close()
        eleventh.finish()
        eleventh.discover()
        eleventh.sock.close()
        for c in several:
            c.close()
        gw.assert_idle()
        self.assertGreaterEqual(gw.metrics()["sessions_ceiling_total"], 1)

    def test_handshakes(self):
        gw = self.gateway(options='handshakes-max = 5\nhandshake-timeout = "1s"')
        with gw.client() as before:
            stale = [socket.create_connection(("127.0.0.1", gw.port), timeout=10)
                     for _ in range(5)]
            kf.eventually(lambda: gw.metrics()["handshakes"] == 5, "five handshakes")
            before.ok(item("DiscoverVersions"))
            self.assert_fine(gw)  # waits until the stale ones have run out of time
            for s in stale:
                s.close()
        gw.assert_idle()
        self.assertGreaterEqual(gw.metrics()["handshakes_ceiling_total"], 1)

    def test_silent_strangers_do_not_shut_the_door(self):
        """More connections than handshakes-max that say nothing, and a client who means it."""
        gw = self.gateway(options='handshakes-max = 32\nhandshake-timeout = "30s"')
        silent = [socket.create_connection(("127.0.0.1", gw.port), timeout=10)
                  for _ in range(80)]
        start = time.monotonic()
        self.assert_fine(gw)
        self.assertLess(time.monotonic() - start, 8)
        counts = gw.metrics()  # most are too many of one address
        self.assertGreater(counts["handshakes_over_share_total"], 0)
        self.assertGreaterEqual(
            counts["handshakes_over_share_total"] + counts["handshakes_silent_total"], 32)
        for s in silent:
            s.close()
        gw.assert_idle()

    def test_request_size(self):
        gw = self.gateway(options='request-size-max = "1KiB"')
        with gw.client() as c:
            c.send(ttlv.request((1, 1), on("Get", "a" * 2000)))
            self.assert_reason(c.receive().items[0], "InvalidMessage")
            self.assertTrue(c.is_closed())
        self.assertEqual(gw.metrics()["requests_too_large_total"], 1)
        self.assert_fine(gw)

    def test_items(self):
        gw = self.gateway(options="items-max = 2")
        with gw.client() as c:
            items = [item("DiscoverVersions", ubid=bytes([n])) for n in range(3)]
            self.assertEqual(len(c.call(*items[:2]).items), 2)
            self.assert_reason(c.call(*items).items[0], "InvalidMessage")

    def test_response_size(self):
        gw = self.gateway(options='response-size-max = "4KiB"')
        with gw.client() as c:
            for n in range(100):
                c.create()
            self.assert_reason(c.do(item("Locate")), "ResponseTooLarge")
            found = c.ok(item("Locate", ttlv.integer("MaximumItems", 50)))
            self.assertEqual(len(found.all("UniqueIdentifier")), 50)
            c.ok(item("Query", enum("QueryFunction", 1)))

    def test_locate_over_many(self):
        """An answer larger than any buffer, made whole."""
        gw = self.gateway()
        count = 5000 if kf.LONG else 1000
        with gw.client() as c:
            for at in range(0, count, 100):
                c.call(*[ttlv.create(ubid=ttlv.ubid(n)) for n in range(100)])
            found = c.ok(item("Locate"))
            uids = {n.value for n in found.all("UniqueIdentifier")}
        self.assertEqual(len(uids), count)
        gw.assert_idle()


class Garbage(kf.Case):
    def garbage(self, gw, count):
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", gw.port), timeout=60) as s:
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    while s.recv(100):
                        pass

    def test_does_not_flood_the_log(self):
        """20 lines a second, and then how many there were besides."""
        gw = self.gateway()
        gw.control("test freeze")  # all within a second
        mark = gw.mark()
        self.garbage(gw, 300)
        kf.eventually(lambda: gw.metrics()["handshakes_failed_total"] == 300, "300 failures")
        self.assertEqual(gw.log(mark).count("handshake failed"), 20)
        gw.control("test advance", "ms=1000")
        self.garbage(gw, 1)
        gw.await_log("left-out=280", mark)
        self.assertEqual(gw.log(mark).count("handshake failed"), 21)


if __name__ == "__main__":
    kf.main()
