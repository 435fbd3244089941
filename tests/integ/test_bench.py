# SPDX-License-Identifier: Apache-2.0
"""keyferry-bench: each mode, briefly, against a gateway whose own metrics have to agree."""

import json
import os
import subprocess
import tempfile
import unittest

import kf
import scrape

# Sessions still closing are counted when they are gone.
SETTLED = "sessions_active", "handshakes_active"


class Bench(kf.Case):
    def setUp(self):
        super().setUp()
        self.gw = self.gateway()
        self.certificate = kf.AUTHORITY.make("vcenter")
        self.ca = self.gw.ca()

    def run_bench(self, *args, status=0, certificate=None, ca=None):
        certificate = certificate or self.certificate
        done = subprocess.run(
            [kf.program("keyferry-bench"), "--server", "127.0.0.1:%d" % self.gw.port,
             "--cert", certificate.pem, "--key", certificate.key, "--ca", ca or self.ca, "--json",
             *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(done.stderr, b"")
        return json.loads(done.stdout)

    def measure(self, *args):
        """The program's document, and what the gateway's counters grew by."""
        before = self.settled()
        result = self.run_bench(*args)
        after = self.settled()
        histogram = sum(p["count"] for p in result["latency"]["histogram"])
        self.assertEqual(histogram, result["done"])
        self.assertEqual((result["failed"], result["failures"]), (0, []))
        grown = {name: after.of(name) - before.of(name)
                 for name in ("handshakes_ok_total", "sessions_total")}
        grown["operations"] = {
            operation: self.operations(after, operation) - self.operations(before, operation)
            for operation in ("Get", "Create", "Discover Versions", "Activate", "Get Attributes",
                              "Add Attribute")}
        self.assertEqual(grown["handshakes_ok_total"], result["handshakes"])
        self.assertEqual(grown["sessions_total"], result["handshakes"])
        return result, grown["operations"]

    def settled(self):
        def look():
            m = scrape.metrics(self.gw)
            return m if all(m.of(name) == 0 for name in SETTLED) else None
        return kf.eventually(look, "all sessions are gone")

    @staticmethod
    def operations(metrics, operation):
        return sum(value for key, value in metrics.items()
                   if key[0] == "keyferry_operations_total" and "operation=" + operation in key)

    def test_handshakes(self):
        for version in ("1.2", "1.3"):
            result, counts = self.measure("-t", version, "-c", "20", "-n", "4", "handshakes")
            self.assertEqual((result["done"], result["handshakes"], result["messages"]),
                             (20, 20, 0))
            self.assertEqual(sum(counts.values()), 0)

    def test_fetches(self):
        result, counts = self.measure("-c", "20", "-n", "4", "-k", "3", "fetches")
        self.assertEqual((result["done"], result["handshakes"]), (20, 23))
        self.assertEqual((counts["Get"], counts["Create"]), (20, 3))

    def test_fetches_at_a_rate(self):
        result, counts = self.measure("-c", "30", "-R", "200", "-n", "8", "fetches")
        self.assertEqual((result["done"], counts["Get"]), (30, 30))

    def test_gets(self):
        result, counts = self.measure("-c", "200", "-n", "4", "gets")
        self.assertEqual((result["done"], result["opened"], result["handshakes"]), (200, 4, 5))
        self.assertEqual((counts["Get"], counts["Create"]), (200, 1))

    def test_creates(self):
        result, counts = self.measure("-c", "40", "-n", "4", "creates")
        self.assertEqual((result["done"], result["opened"], counts["Create"]), (40, 4, 40))

    def test_idle(self):
        result, counts = self.measure("-n", "70", "-d", "100ms", "idle")
        self.assertEqual((result["done"], result["opened"], sum(counts.values())), (70, 70, 0))

    def test_storm(self):
        result, counts = self.measure("-n", "60", "storm")
        self.assertEqual((result["done"], counts["Get"]), (60, 60))

    def test_day(self):
        result, counts = self.measure("-c", "40", "-n", "3", "day")
        self.assertEqual(result["done"], 40)
        self.assertEqual(result["handshakes"], 40 + 2 * 3 + 1)  # a new key takes four; one before
        self.assertEqual(counts, {"Get": 2 * 3, "Create": 3, "Discover Versions": 2 * (7 + 2 + 4),
                                  "Activate": 2, "Get Attributes": 2 * (2 + 1 + 6),
                                  "Add Attribute": 2 * 6})

    def test_one_key_that_is_not_there(self):
        result = self.run_bench("-c", "3", "-n", "1", "-u", "no-such-key", "fetches", status=1)
        self.assertEqual((result["done"], result["failed"]), (0, 3))
        self.assertEqual(result["failures"], [{"why": "KMIP: no such object", "count": 3}])

    def test_stranger(self):
        """Whom the gateway does not know: told, not counted as done."""
        stranger = kf.AUTHORITY.make("stranger")
        result = self.run_bench("-t", "1.2", "-c", "2", "-n", "1", "handshakes", status=1,
                                certificate=stranger)
        self.assertEqual((result["done"], result["failed"]), (0, 2))
        self.assertEqual(sum(f["count"] for f in result["failures"]), 2)

    def test_wrong_server(self):
        result = self.run_bench("-c", "2", "-n", "1", "handshakes", status=1,
                                ca=kf.AUTHORITY.make("stranger").pem)
        self.assertEqual((result["done"], result["failed"]), (0, 2))

    def test_server_that_is_gone(self):
        self.gw.stop()
        result = self.run_bench("-c", "2", "-n", "1", "handshakes", status=1)
        self.assertEqual(result["failures"], [{"why": "Connection refused", "count": 2}])

    def test_patience(self):
        """A gateway that does not answer: the operation fails in time, and the run ends."""
        os.kill(self.gw.process.pid, 19)
        try:
            result = self.run_bench("-c", "2", "-n", "2", "-p", "300ms", "handshakes", status=1)
        finally:
            os.kill(self.gw.process.pid, 18)
        self.assertEqual(result["failures"],
                         [{"why": "no answer within the patience", "count": 2}])

    def test_overload(self):
        """contrib/bench/overload.py: all phases, and figures that fit together."""
        program = os.path.join(kf.TOP, "contrib", "bench", "overload.py")
        done = subprocess.run(
            [program, "--bench", kf.program("keyferry-bench"), "--server",
             "127.0.0.1:%d" % self.gw.port, "--cert", self.certificate.pem, "--key",
             self.certificate.key, "--ca", self.ca, "--measure", "1", "--duration", "1", "--patience",
             "1", "--connections", "8", "--gets", "20", "--json"], stdout=subprocess.PIPE,
            check=True, timeout=120)
        found = json.loads(done.stdout)
        self.assertGreater(found["capacity_per_s"], 0)
        self.assertLessEqual(found["answered_per_s"], found["offered_per_s"])
        self.assertAlmostEqual(found["answered_share"],
                               found["answered_per_s"] / found["capacity_per_s"])
        self.assertEqual(found["gets_failed"], 0)
        self.assertTrue(1 <= found["gets"] <= 21, found)  # 20 are begun, or fewer: time decides
        self.assertGreaterEqual(found["gets_p99_us"], found["gets_p50_us"])

    def test_wrong_options(self):
        for args in (("nonsense",), (), ("-n", "0", "gets"), ("-c", "1", "storm"),
                     ("--http", "day"), ("-t", "1.1", "gets")):
            with tempfile.TemporaryFile() as out:
                status = subprocess.call(
                    [kf.program("keyferry-bench"), "-s", "127.0.0.1:1", "--cert", "x", "--key", "x",
                     "--ca", "x", *args], stdout=out, stderr=out)
            self.assertEqual(status, 2, args)


if __name__ == "__main__":
    kf.main()
