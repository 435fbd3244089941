# SPDX-License-Identifier: Apache-2.0
"""Boot storms: a site after a power cut, where thousands of hosts want cold keys at once from a key
manager that is slow and rationed.  In real time, at most as many hosts as descriptors allow."""

import collections
import heapq
import resource
import select
import shutil
import tempfile
import time

import cloud
import kf
import ttlv
from ttlv import on

SESSIONS = 9000 if kf.LONG else 300
KEYS, HOSTS = (2000, 1000) if kf.LONG else (160, 80)
RETRY_S = 10
QUIET = 'revocation-bound = "1h"'  # no unwraps by the watch
SPARE = 500  # descriptors for everything else


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def gets(uids):
    return [on("Get", uid, ubid=b"%d" % n) for n, uid in enumerate(uids)]


class Host(kf.Client):
    """A session that shares its TLS settings with the others."""

    shared = None

    def __init__(self, gateway, certificate):
        if Host.shared is None:
            Host.shared = kf.context(certificate)
        self.version, self.sock, self.source, self.timeout = (1, 1), None, None, 120.0
        self.context, self.address = Host.shared, ("127.0.0.1", gateway.port)
        self.connect()

    def ask(self, *uids):
        self.send(ttlv.request(self.version, *gets(uids)))


class Storm(kf.Case):
    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.descriptors = raise_descriptors()
        self.cloud = cloud.Cloud(directory)
        self.addCleanup(self.cloud.stop)
        self.certificate = kf.AUTHORITY.make("vcenter")
        self.hosts = []
        self.addCleanup(lambda: [h.close() for h in self.hosts])

    def start(self, vault="", options='request-timeout = "2min"', tenant=QUIET):
        self.gw = self.gateway(tenants=[kf.Tenant("a", self.certificate, options=tenant,
                                                  vault=self.cloud.vault(options=vault))],
                               options='log-level = "notice"\n' + options)

    def restart(self, vault):
        """With these settings, and nothing in memory."""
        self.gw.stop()
        self.gw.tenants[0].vault = self.cloud.vault(options=vault)
        self.gw.configure()
        self.gw.start()

    def make_keys(self, count):
        keys = {}
        with self.gw.client() as c:
            while len(keys) < count:
                batch = min(100, count - len(keys))
                answer = c.call(*[ttlv.create(ubid=b"%d" % n) for n in range(batch)])
                made = [r.uid for r in answer.items]
                answer = c.call(*gets(made))
                keys.update(zip(made, [r.key for r in answer.items]))
        return keys

    def connect(self, count):
        while len(self.hosts) < count:
            self.hosts.append(Host(self.gw, self.certificate))
        return self.hosts

    def test_many_sessions_few_keys(self):
        """However many want them: one unwrap for each key."""
        count = min(SESSIONS, self.descriptors - SPARE)
        self.start()
        keys = self.make_keys(3)
        uids = sorted(keys)
        self.connect(count)
        self.gw.control("cache flush")
        self.cloud.clear_journal()
        self.cloud.fault(operation="kms.secrets.unwrap", delay_ms=3000 if kf.LONG else 500)
        began = time.monotonic()
        for n, host in enumerate(self.hosts):
            host.ask(*(uids[n % 3:] + uids[:n % 3]))
        for host in self.hosts:
            results = host.receive().items
            self.assertEqual([r for r in results if r.status != ttlv.SUCCESS], [])
            self.assertEqual({r.uid: r.key for r in results}, keys)
        took = time.monotonic() - began
        counts = self.cloud.counts()
        self.assertEqual((counts["kms.secrets.unwrap"], counts["kms.secrets.readmetadata"]),
                         (3, 3), counts)
        print("%d sessions, 3 cold keys each: 3 unwraps, all served in %.1f s" % (count, took))

    def test_slow_unwrap_delays_its_waiters_alone(self):
        self.start('call-timeout = "20s"\n    operation-timeout = "20s"')
        keys = self.make_keys(12)
        slow, *others = keys
        waiting, *hosts = self.connect(len(keys) + 1)
        self.gw.control("cache flush")
        self.cloud.clear_journal()
        self.cloud.fault(operation="kms.secrets.unwrap", delay_ms=5000, count=1)
        waiting.ask(slow)
        kf.eventually(lambda: self.cloud.counts().get("kms.secrets.unwrap"), "it is asked for")
        hosts[0].ask(slow)
        for host, uid in zip(hosts[1:], others):
            host.ask(uid)
        for host, uid in zip(hosts[1:], others):
            self.assertEqual(host.receive().items[0].key, keys[uid])
            ready, _, _ = select.select([waiting.sock, hosts[0].sock], [], [], 0)
            self.assertEqual(ready, [])  # they wait yet, and nobody else does
        for host in (waiting, hosts[0]):
            self.assertEqual(host.receive().items[0].key, keys[slow])
        self.assertEqual(self.cloud.counts()["kms.secrets.unwrap"], len(keys))

    def test_power_cut(self):
        """Many hosts, keys of their own, and a key manager that takes its time and 50 calls/s."""
        self.start("call-rate-max = 10000\n    calls-max = 64", 'secure-heap-size = "16MiB"', "")
        keys = self.make_keys(KEYS)
        self.cloud.settings(rate_per_s=50, rate_burst=50)
        self.cloud.fault(operation="kms.secrets.*", delay_ms=80)
        self.restart("")
        self.connect(min(HOSTS, self.descriptors - SPARE))
        self.cloud.clear_journal()
        self.wanted = collections.defaultdict(list)
        for n, uid in enumerate(keys):
            self.wanted[self.hosts[n % len(self.hosts)]].append(uid)
        served, failed = self.storm(keys)
        self.assertEqual(set(served), set(keys))
        counts = {name: n for name, n in self.cloud.counts().items() if n}
        took = sorted(served.values())
        print("%d cold keys, %d hosts: served after %.1f s at first, %.1f s half of them, %.1f s the "
              "last; %d Gets to retry; calls: %s; throttled %d times" % (
                  len(keys), len(self.hosts), took[0], took[len(took) // 2], took[-1], failed,
                  counts, self.gw.metrics()["keyprotect_throttled_total"]))
        # what was answered was kept: no key was unwrapped again and again
        self.assertLess(counts["kms.secrets.unwrap"], 2 * len(keys) + 100)

    def storm(self, keys):
        """Each host asks for its keys, one after the other, and again after a pause if that fails;
        when each key was served, and how many Gets failed."""
        served, failed, began = {}, 0, time.monotonic()
        due = [(0.0, n) for n in range(len(self.hosts))]
        poll, by_fd = select.poll(), {}
        limit = 60 + 10 * len(keys) * 2 / 50
        while len(served) < len(keys):
            now = time.monotonic() - began
            self.assertLess(now, limit, "%d of %d keys served" % (len(served), len(keys)))
            while due and due[0][0] <= now:
                n = heapq.heappop(due)[1]
                host = self.hosts[n]
                host.ask(self.wanted[host][0])
                by_fd[host.sock.fileno()] = n
                poll.register(host.sock, select.POLLIN)
            for fd, _ in poll.poll(200):
                n = by_fd.pop(fd)
                poll.unregister(fd)
                host, now = self.hosts[n], time.monotonic() - began
                result = host.receive().items[0]
                if result.status == ttlv.SUCCESS:
                    uid = self.wanted[host].pop(0)
                    self.assertEqual(result.key, keys[uid])
                    served[uid] = now
                else:
                    failed += 1
                if self.wanted[host]:
                    wait = 0 if result.status == ttlv.SUCCESS else RETRY_S
                    heapq.heappush(due, (now + wait, n))
        return served, failed


if __name__ == "__main__":
    kf.main()
