# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus and promtool: they read what the gateway shows, under load, and there is an
answer to all that the dashboard and the alert rules of contrib/ ask."""

import json
import math
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
import urllib.request

import cloud
import kf
import scrape
import ttlv
from certificate_authority import Ca

CONTRIB = os.path.join(kf.TOP, "contrib")
RULES = os.path.join(CONTRIB, "keyferry-alerts.yml")
RULE_TESTS = os.path.join(kf.TOP, "tests", "integ", "alerts_test.yml")
WINDOW = "10s"


def contents(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def dashboard_queries():
    """(panel's title, expression) with the variables replaced as Grafana would."""
    found = []

    def walk(value, title):
        if isinstance(value, dict):
            title = value.get("title", title)
            if "expr" in value:
                found.append((title, value["expr"].replace("$__rate_interval", WINDOW)
                              .replace("$instance", ".*")))
            for v in value.values():
                walk(v, title)
        elif isinstance(value, list):
            for v in value:
                walk(v, title)
    walk(json.loads(contents(os.path.join(CONTRIB, "keyferry-dashboard.json"))), "")
    return found


def promtool(*args, **kwargs):
    return subprocess.run(("promtool",) + args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, **kwargs)


class Server:
    """A Prometheus that scrapes one gateway every half second."""

    def __init__(self, target):
        self.dir = tempfile.mkdtemp(prefix="keyferry-prometheus-")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        with open(os.path.join(self.dir, "prometheus.yml"), "w", encoding="ascii") as f:
            json.dump({  # which is YAML as well
                "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms",
                           "evaluation_interval": "1s"},
                "rule_files": [RULES],
                "scrape_configs": [{"job_name": "keyferry",
                                    "static_configs": [{"targets": [target]}]}]}, f)
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=" + os.path.join(self.dir, "prometheus.yml"),
             "--storage.tsdb.path=" + os.path.join(self.dir, "data"),
             "--web.listen-address=127.0.0.1:%d" % self.port],
            stdout=self.log, stderr=self.log)

    def ask(self, path, **query):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (self.port, path,
                                                    urllib.parse.urlencode(query))
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def values(self, expression):
        """The numbers of an instant query's result."""
        return [float(sample["value"][1])
                for sample in self.ask("query", query=expression)["result"]]

    def is_up(self):
        try:
            return self.values("up") == [1]
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Load:
    """Clients that do a bit of everything, until they are stopped."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.ended = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self._run, args=(work,))
                        for work in (self._keys, self._keys, self._strangers, self._reloads)]
        for t in self.threads:
            t.start()

    def _run(self, work):
        n = 0
        while not self.ended.is_set():
            try:
                work(n)
            except Exception as e:  # told at the end
                self.failures.append(e)
                return
            n += 1

    def _keys(self, n):
        tenant = self.gateway.tenants[n % 2]
        with self.gateway.client(tenant.certificates[0]) as c:
            uid = c.create()
            for _ in range(5):
                c.key(uid)
            c.call(ttlv.item("Locate"))
            c.do(ttlv.on("Activate", uid))
            c.do(ttlv.on("Get", "nobody"))
        with self.gateway.client(tenant.certificates[0]) as c:
            if n % 10 == 2:
                self.gateway.control("cache flush")
            c.key(uid)
            c.do(ttlv.revoke(uid, 6))
            c.do(ttlv.on("Destroy", uid))

    def _strangers(self, _):
        with self._refused(), self.gateway.client(kf.AUTHORITY.make("stranger")) as c:
            c.ok(ttlv.item("DiscoverVersions"))
        self.ended.wait(0.2)

    @staticmethod
    def _refused():
        return unittest.TestCase().assertRaises((kf.Closed, ssl.SSLError, ConnectionError))

    def _reloads(self, _):
        self.gateway.control("reload")
        self.ended.wait(1)

    def stop(self):
        self.ended.set()
        for t in self.threads:
            t.join()
        if self.failures:
            raise self.failures[0]


class Rules(unittest.TestCase):
    def test_rules(self):
        done = promtool("check", "rules", "--lint-fatal", RULES)
        self.assertEqual(done.returncode, 0, done.stdout)
        done = promtool("test", "rules", RULE_TESTS)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_every_alert(self):
        """Each has a test in which it fires and one in which not, and says what to do."""
        text, tests = contents(RULES), contents(RULE_TESTS)
        alerts = re.findall(r"- alert: (\w+)", text)
        self.assertGreater(len(alerts), 15)
        for name in alerts:
            self.assertIn("- name: %s\n" % name, tests)
            self.assertIn("- name: %s is quiet\n" % name, tests)
            self.assertIn('alertname="%s"' % name, tests)
        self.assertEqual(len(re.findall(r"\n +description: >-\n +\w.{40}", text)), len(alerts))


class Scraped(kf.Case):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.ca = Ca(directory, "CA")
        cls.crl = cls.ca.crl("list.crl")
        cls.cloud = cloud.Cloud(directory)
        cls.addClassCleanup(cls.cloud.stop)

    def setUp(self):
        far = kf.Tenant("far", kf.AUTHORITY.make("far"), options='revocation-bound = "5s"',
                        vault=self.cloud.vault())
        near = kf.Tenant("near", kf.AUTHORITY.make("near"), options="born-active = false\n"
                         '  client-ca = {"%s"}\n  client-subject = "CN=x"\n  crl-file = {"%s"}'
                         % (self.ca.pem, self.crl),
                         vault='vault local { root-key-file = "near.root" }')
        self.gw = self.gateway(tenants=[far, near], options='stats-listen = "127.0.0.1:0"')
        self.target = self.gw.await_log(r"stats: listening").rsplit("address=", 1)[1]

    def test_metrics(self):
        load = Load(self.gw)
        try:
            kf.eventually(lambda: scrape.metrics(self.gw).of(
                "operations_total", "operation=Destroy", "result=OK") > 5, "some work", 60)
            text = scrape.get(self.gw, "/metrics")[2]
        finally:
            load.stop()
        done = promtool("check", "metrics", input=text)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_queries(self):
        server = Server(self.target)
        self.addCleanup(server.stop)
        load = Load(self.gw)
        try:
            kf.eventually(server.is_up, "the first scrape", 60)
            self.expect_answers(server, load)
        finally:
            load.stop()
        self.expect_sound_rules(server)

    def expect_answers(self, server, load):
        queries = dashboard_queries()
        self.assertGreater(len(queries), 40)
        used = set(re.findall(r"keyferry_[a-z_]+", contents(RULES)))
        used.update(*(re.findall(r"keyferry_[a-z_]+", q) for _, q in queries))
        queries += [("metric", name) for name in sorted(used)]
        missing = []

        def answered():
            missing[:] = [q for q in queries
                          if not any(math.isfinite(v) for v in server.values(q[1]))]
            return not missing or load.failures
        try:
            kf.eventually(answered, "answers", 120)
        except AssertionError:
            self.fail("no answer to:\n%s" % "\n".join("%s: %s" % q for q in missing))

    def expect_sound_rules(self, server):
        """They were evaluated, and a healthy gateway raises no alarm but for those strangers."""
        rules = [r for g in server.ask("rules")["groups"] for r in g["rules"]]
        self.assertGreater(len(rules), 15)
        for r in rules:
            self.assertEqual((r["health"], r.get("lastError", "")), ("ok", ""), r["name"])
        firing = {a["labels"]["alertname"] for a in server.ask("alerts")["alerts"]
                  if a["state"] == "firing"}
        self.assertLessEqual(firing, {"KeyferryClientsRefused"})
        # this machine may stand still for longer than the half second that a scrape has
        most = "max(max_over_time(scrape_samples_post_metric_relabeling[5m]))"
        self.assertGreater(server.values(most)[0], 900)
        self.assertGreater(server.values("avg_over_time(up[5m])")[0], 0.5)


if __name__ == "__main__":
    for needed in ("prometheus", "promtool"):
        if shutil.which(needed) is None:
            kf.skip_all("%s is not installed (Debian package prometheus)" % needed)
    kf.main()
