# SPDX-License-Identifier: Apache-2.0
"""Attributes that two gateways share, with `attributes = shared'."""

import os
import threading

import kf
import ttlv
from pair import Pair, WITHIN
from ttlv import DEACTIVATED, get_attributes, on, revoke

# The short tier draws a role: each takes more than a minute of waiting.
DRAWN = kf.random_for("role").choice(("Manager", "Writer"))


class SharedAttributes(Pair):
    """What clients set at one gateway is seen at the other, for a record more."""

    def tenant(self, **options):
        return super().tenant(options="attributes = shared", **options)

    def setUp(self):
        if self.role != DRAWN and not kf.LONG:
            self.skipTest("the other role was drawn")
        super().setUp()
        for gw in (self.first, self.second):
            kf.eventually(lambda gw=gw: gw.metrics()["watch_rounds_total"] >= 2, "its rounds", 20)

    def label(self, gw, uid, **labels):
        with gw.client() as c:
            for name, value in labels.items():
                c.ok(on("AddAttribute", uid, ttlv.attribute("x-" + name, value)))

    def labels(self, gw, uid):
        with gw.client() as c:
            found = ttlv.Result(c.call(get_attributes(uid)).items[0].node).attributes()
        return {name: values for name, values in found.items() if name.startswith("x-")}

    def await_labels(self, uid, labels):
        for gw in (self.second, self.first):
            kf.eventually(lambda gw=gw: self.labels(gw, uid) == labels, "labels %s" % labels,
                          WITHIN)

    def settled(self):
        """Nothing waits at either gateway, and each object has one record."""
        kf.eventually(lambda: all(gw.metrics()["attributes_waiting"] == 0
                                  for gw in (self.first, self.second)), "nothing waits", WITHIN)

    def test_labels_are_seen_at_the_other(self):
        uids = [self.create(self.first) for _ in range(3)]
        keys = {uid: self.keys(uid)[0] for uid in uids}
        self.settled()
        self.cloud.clear_journal()
        for uid in uids:
            self.label(self.first, uid, a="1", b="2", c="3", vm=uid)
        for uid in uids:
            self.await_labels(uid, {"x-a": ["1"], "x-b": ["2"], "x-c": ["3"], "x-vm": [uid]})
        self.settled()
        counts = self.cloud.counts()
        self.assertEqual((counts["kms.secrets.create"], counts["kms.secrets.wrap"]), (3, 3))
        for uid in uids:
            self.assertEqual(self.keys(uid), [keys[uid]] * 2)
            if self.role == "Manager":
                kf.eventually(lambda uid=uid: len(self.cloud.records(uid)) == 1,
                              "the old record is retired", WITHIN)
        for gw in (self.first, self.second):
            gw.assert_idle()

    def test_both_change_one_key_under_gets(self):
        uid = self.create(self.first)
        key = self.keys(uid)[0]
        failures, stop = [], threading.Event()

        def fetch(gw):
            with gw.client() as c:
                while not stop.is_set():
                    gw.control("cache flush")
                    result = c.do(on("Get", uid))
                    if result.status != ttlv.SUCCESS or result.key != key:
                        failures.append(repr(result))
        readers = [threading.Thread(target=fetch, args=(gw,)) for gw in (self.first, self.second)]
        for t in readers:
            t.start()
        try:
            self.label(self.first, uid, east="1")
            self.label(self.second, uid, west="2")
            self.await_labels(uid, {"x-east": ["1"], "x-west": ["2"]})
            self.settled()
        finally:
            stop.set()
            for t in readers:
                t.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.labels(self.first, uid), self.labels(self.second, uid))

    def test_killed_before_they_were_written(self):
        uid = self.create(self.first)
        key = self.keys(uid)[0]
        self.label(self.first, uid, vm="mail")
        self.first.kill()
        self.assertEqual(self.labels(self.second, uid), {})
        self.first.start()
        self.await_labels(uid, {"x-vm": ["mail"]})
        self.assertEqual(self.keys(uid), [key] * 2)

    def test_revocation_brings_them_along(self):
        """Its successor says all: no further one is needed."""
        uid = self.create(self.first)
        self.keys(uid)
        self.settled()
        self.cloud.clear_journal()
        self.label(self.first, uid, vm="mail")
        with self.first.client() as c:
            c.ok(revoke(uid))
        self.await_revoked(uid, DEACTIVATED)
        self.assertEqual(self.labels(self.second, uid), {"x-vm": ["mail"]})
        self.settled()
        self.assertEqual(self.cloud.counts()["kms.secrets.create"], 1)

    def test_ledger_is_lost(self):
        uid = self.create(self.first)
        self.label(self.first, uid, vm="mail")
        self.await_labels(uid, {"x-vm": ["mail"]})
        self.first.stop()
        for name in os.listdir(self.first.state_dir):
            os.unlink(os.path.join(self.first.state_dir, name))
        self.first.start()
        self.first.ctl("keys", "rebuild")
        self.assertEqual(self.labels(self.first, uid), {"x-vm": ["mail"]})

    def test_switched_on_one_after_the_other(self):
        """The first has shared its labels before the second begins, which deletes nothing."""
        for gw in (self.first, self.second):
            gw.tenants = [Pair.tenant(self)]
            gw.configure()
            gw.control("reload")
        uid = self.create(self.first)
        self.keys(uid)
        self.label(self.first, uid, vm="mail")
        self.label(self.second, uid, host="esx1")
        taken = self.second.metrics()["adoptions_total"]
        for gw in (self.first, self.second):
            gw.tenants = [self.tenant()]
            gw.configure()
            gw.control("reload")
            kf.eventually(lambda: self.second.metrics()["adoptions_total"] > taken,
                          "the first one's record at the second", WITHIN)
            self.assertEqual(self.labels(self.first, uid), {"x-vm": ["mail"]})
        self.await_labels(uid, {"x-vm": ["mail"], "x-host": ["esx1"]})


class WriterSharedAttributes(SharedAttributes):
    role = "Writer"


    def test_revoked_while_this_gateway_was_away_for_two_hours(self):
        uid = self.create(self.first)
        self.keys(uid)
        self.second.stop()
        with self.first.client() as c:
            c.ok(revoke(uid))
        self.cloud.advance(7200)
        self.second.start()
        kf.eventually(lambda: self.states(uid) == [DEACTIVATED] * 2, "Deactivated at both", WITHIN)


if __name__ == "__main__":
    kf.main()
