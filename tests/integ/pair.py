# SPDX-License-Identifier: Apache-2.0
"""Two gateways with nothing shared but an instance of Key Protect."""

import contextlib
import shutil
import tempfile
import threading
import time

import cloud
import kf
import ttlv
from ttlv import DESTROYED, on

BOUND_S = 6
ROUNDS = 3  # of the watch, within the bound
WITHIN = 40  # seconds, for what no bound is promised: until lists and deletions are sure


class Pair(kf.Case):
    role = "Manager"
    strangers = cloud.STRANGERS
    list_lag_s = 0

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory, self.strangers)
        self.addCleanup(self.cloud.stop)
        self.first, self.second = (self.gateway(tenants=[t]) for t in self.two_tenants())

    def two_tenants(self):
        """The same one at either gateway."""
        return self.tenant(), self.tenant()

    def tenant(self, role=None, **options):
        return kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                         options='revocation-bound = "%ds"' % BOUND_S,
                         vault=self.cloud.vault(role or self.role, **options))

    def states(self, uid):
        """What both gateways say, after each has been asked for the key."""
        found = []
        for gw in (self.first, self.second):
            with gw.client() as c:
                c.do(on("Get", uid))
                found.append(c.state(uid))
        return found

    def rounds(self):
        return [gw.metrics()["watch_rounds_total"] for gw in (self.first, self.second)]

    def await_rounds(self, enough=lambda: False):
        """After as many rounds as the bound has, however long they take on this machine.  Those that
        were under way do not count: one over what is new, one over all."""
        last = [n + 2 + ROUNDS + self.list_lag_s for n in self.rounds()]
        kf.eventually(lambda: enough() or all(n >= m for n, m in zip(self.rounds(), last)),
                      "the bound is over", 120)

    def await_revoked(self, uid, state):
        self.await_rounds(lambda: self.states(uid) == [state] * 2)
        self.assertEqual(self.states(uid), [state] * 2)

    def await_destroyed(self, uid):
        """Both have noted it; that no key is served any more has a bound, and this has none."""
        kf.eventually(lambda: self.states(uid) == [DESTROYED] * 2, "Destroyed at both", WITHIN)

    def after_bound(self):
        """To be called at once: what was proved before this moment is no proof after it."""
        time.sleep(BOUND_S + self.list_lag_s + 0.2)

    def assert_gone(self, uid):
        """To be called at once: from the bound on nobody serves the key."""
        self.after_bound()
        self.assertEqual(self.keys(uid), ["ItemNotFound"] * 2)

    def assert_gone_after_rounds(self, uid):
        """For a key that has a record of which not everybody knows yet."""
        self.await_rounds()
        self.assertEqual(self.keys(uid), ["ItemNotFound"] * 2)

    def keys(self, uid):
        """What both gateways give out: the key, or the Result Reason."""
        found = []
        for gw in (self.first, self.second):
            with gw.client() as c:
                result = c.do(on("Get", uid))
                found.append(result.key if result.status == ttlv.SUCCESS else result.reason_name)
        return found

    def create(self, gw, *more):
        with gw.client() as c:
            return c.create(*more)

    @contextlib.contextmanager
    def gets_at_the_other(self, keys):
        """Meanwhile the second gateway, whose memory is emptied all the time, gives out each key."""
        stop = threading.Event()
        failures, gets = [], [0]

        def fetch():
            with self.second.client() as c:
                while not stop.is_set():
                    self.second.control("cache flush")
                    for uid, key in keys.items():
                        result = c.do(on("Get", uid))
                        gets[0] += 1
                        if result.status != ttlv.SUCCESS or result.key != key:
                            failures.append(repr(result))
        reader = threading.Thread(target=fetch)
        reader.start()
        over = lambda: failures or not reader.is_alive()
        try:
            kf.eventually(lambda: gets[0] > 0 or over(), "the first Get", 60)
            yield
            kf.eventually(lambda: gets[0] > 2 * len(keys) or over(), "each was given out twice", 60)
        finally:
            stop.set()
            reader.join()
        self.assertEqual(failures, [])
        self.assertGreater(gets[0], 2 * len(keys))
