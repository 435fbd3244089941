# SPDX-License-Identifier: Apache-2.0
"""Reload with many tenants while all of them are at work, whose clients are pinned or known by one
authority and a rule for each tenant: no request fails, no session of a tenant that was not touched
closes, and a broken file changes nothing."""

import contextlib
import datetime
import os
import re
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import kf
import scrape
import ttlv

TENANTS = 2000
THREADS = 8
HELD = 40  # sessions that stay open all the while, each of a tenant of its own


class Maker:
    """Certificates, made in the process itself: two thousand runs of openssl would take minutes."""

    def __init__(self, directory):
        self.dir, self.signer, self.issuer = directory, None, None

    def name(self, name):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
                          x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Acme")])

    def make(self, name, signed=False, authority=False):
        key, subject = ec.generate_private_key(ec.SECP256R1()), self.name(name)
        now = datetime.datetime.utcnow()
        order = x509.CertificateBuilder(self.issuer if signed else subject, subject,
                                        key.public_key(), x509.random_serial_number(),
                                        now - datetime.timedelta(days=1),
                                        now + datetime.timedelta(days=365))
        if authority:
            self.signer, self.issuer = key, subject
            order = order.add_extension(x509.BasicConstraints(True, None), True)
            order = order.add_extension(x509.KeyUsage(False, False, False, False, False, True,
                                                      True, False, False), True)
        made = order.sign(self.signer if signed else key, hashes.SHA256())
        pem, key_path = (os.path.join(self.dir, name + end) for end in (".pem", ".key"))
        with open(pem, "wb") as f:
            f.write(made.public_bytes(serialization.Encoding.PEM))
        with open(key_path, "wb") as f:
            f.write(key.private_bytes(serialization.Encoding.PEM,
                                      serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()))
        return kf.Certificate(pem, key_path)


class Load:
    """Clients of the tenants that nobody touches: each makes a key, then reads it, on sessions that
    stay and on new ones; every failure is kept."""

    def __init__(self, gw, tenants):
        self.gw, self.tenants = gw, tenants
        self.stop, self.failures, self.answers, self.worst = threading.Event(), [], 0, 0.0
        self.handshakes = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.guard, args=(n,)) for n in range(THREADS)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()

    def guard(self, n):
        try:
            self.run(n)
        except BaseException as e:  # told by the test
            self.failures.append("thread %d: %r" % (n, e))

    def ask(self, client, uid, key):
        began = time.monotonic()
        if client.key(uid) != key:
            raise AssertionError("another key")
        with self.lock:
            self.answers += 1
            self.worst = max(self.worst, time.monotonic() - began)

    def run(self, n):
        mine = self.tenants[n::THREADS]
        known = []
        with contextlib.ExitStack() as stack:
            for t in mine[:HELD // THREADS]:
                c = stack.enter_context(kf.Client(self.gw, t.client))
                uid = c.create()
                known.append((c, uid, c.key(uid), t))
            turn = 0
            while not self.stop.is_set():
                c, uid, key, t = known[turn % len(known)]
                self.ask(c, uid, key)
                if turn % 5 == 0:  # and somebody comes anew
                    with kf.Client(self.gw, t.client) as fresh:
                        self.ask(fresh, uid, key)
                    other = mine[turn % len(mine)]
                    with kf.Client(self.gw, other.client) as fresh:
                        fresh.ok(ttlv.item("DiscoverVersions"))
                    with self.lock:
                        self.handshakes += 2
                turn += 1


class Reload(kf.Case):
    def setUp(self):
        super().setUp()
        self.dir = kf.tempfile.mkdtemp(prefix="keyferry-many-")
        self.addCleanup(kf.shutil.rmtree, self.dir, ignore_errors=True)
        self.maker = Maker(self.dir)
        self.ca = self.maker.make("authority", authority=True)

    def tenant(self, name):
        """One with a pinned client."""
        t = kf.Tenant(name, self.maker.make(name))
        t.client = t.certificates[0]
        return t

    def rule(self, pattern):
        return 'client-ca = {"%s"}\n  client-subject = "CN=%s, O=Acme"' % (self.ca.pem, pattern)

    def ruled(self, name):
        """One whose clients an authority vouches for, as it does for those of others."""
        t = kf.Tenant(name, options=self.rule("vc-*.%s.example.com" % name))
        t.client = self.maker.make("vc-1.%s.example.com" % name, signed=True)
        return t

    def reload(self, gw, closed):
        mark = gw.mark()
        gw.ctl("reload")
        line = gw.await_log("notice daemon: reloaded", mark)
        self.assertIn("sessions-closed=%d " % closed, line + " ")
        return line

    def held(self, gw, certificate):
        c = kf.Client(gw, certificate)
        self.addCleanup(c.close)
        c.ok(ttlv.item("DiscoverVersions"))
        return c

    def refused(self, gw, certificate):
        try:
            with kf.Client(gw, certificate) as c:
                c.ok(ttlv.item("DiscoverVersions"))
            return False
        except (ssl.SSLError, kf.Closed):
            return True

    def reload_refused(self, gw, why):
        """Not by keyferryctl, which would stumble over a broken configuration itself."""
        with self.assertRaisesRegex(AssertionError, "nothing changed.*" + why):
            gw.control("reload", timeout=60)

    def overlapping(self, gw, load):
        """Nor of one in which a client could be meant by two tenants, of two thousand."""
        added = self.tenant("never-either")
        added.options = self.rule("vc-7*.t0501.*")
        gw.tenants.append(added)
        gw.configure()
        self.reload_refused(gw, 'tenant .{0,2}never-either.*t0501')
        self.assertTrue(self.refused(gw, added.client))
        gw.tenants.remove(added)
        gw.configure()
        self.assertEqual(load.failures, [])

    def broken(self, gw, load, path):
        """Nothing of a reload with a broken file is taken over."""
        with open(path, encoding="utf-8") as f:
            good = f.read()
        added = self.tenant("never")
        gw.tenants.append(added)
        gw.configure()
        for text in ("", "broken\n", good[:len(good) // 2]):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            self.reload_refused(gw, re.escape(os.path.basename(path)))
            self.assertTrue(self.refused(gw, added.certificates[0]))
        with open(path, "w", encoding="utf-8") as f:
            f.write(good)
        gw.tenants.remove(added)
        gw.configure()
        self.assertEqual(load.failures, [])

    def rules_change(self, gw):
        """A tenant's rule takes other clients from now on; then it has none any more."""
        other = self.maker.make("esx-1", signed=True)
        for options, taken in ((self.rule("esx-*"), True), ("", False)):
            session = self.held(gw, other if not taken else self.changed.client)
            self.changed.options = options
            gw.configure()
            self.reload(gw, 1)
            self.assertTrue(session.is_closed())
            self.assertTrue(self.refused(gw, self.changed.client))
            if taken:
                self.held(gw, other).close()
        self.assertTrue(self.refused(gw, other))

    def pins_change(self, gw):
        """Certificates are exchanged, added and moved, and a tenant is taken out."""
        moved, removed = self.moved, self.removed
        session = self.held(gw, moved.client)
        moved.certificates = [self.maker.make("new")]
        added = self.tenant("added")
        gw.tenants.append(added)
        gw.configure()
        self.assertTrue(self.refused(gw, added.client))
        self.reload(gw, 1)
        self.assertTrue(session.is_closed())
        self.assertTrue(self.refused(gw, moved.client))
        self.held(gw, moved.certificates[0]).close()
        self.held(gw, added.client).close()

        sessions = [self.held(gw, c) for c in (removed.client, moved.certificates[0],
                                               moved.certificates[0])]
        gw.tenants.remove(removed)
        added.certificates.append(moved.certificates.pop())  # to another tenant
        moved.certificates.append(self.maker.make("moved-new"))
        gw.configure()
        self.reload(gw, 3)
        for c in sessions:
            self.assertTrue(c.is_closed())
        self.assertTrue(self.refused(gw, removed.client))

    def test_many_tenants_under_load(self):
        untouched = [self.ruled("t%04d" % n) if n % 2 else self.tenant("t%04d" % n)
                     for n in range(TENANTS - 3)]
        self.moved, self.removed = (self.tenant(n) for n in ("moved", "removed"))
        self.changed = self.ruled("changed")
        gw = self.gateway(tenants=untouched + [self.moved, self.changed, self.removed],
                          start=False)
        gw.start(seconds=120)
        self.assertEqual(gw.control("status")[0]["tenants"], TENANTS)
        with Load(gw, untouched) as load:
            kf.eventually(lambda: load.answers > 200 or load.failures, "work", 60)
            self.reload(gw, 0)
            self.pins_change(gw)
            self.rules_change(gw)
            self.broken(gw, load, self.moved.certificates[0].pem)
            self.broken(gw, load, self.ca.pem)
            self.broken(gw, load, os.path.join(gw.dir, "t0500.root"))
            self.broken(gw, load, gw.conf)
            self.overlapping(gw, load)
            extra = self.maker.make("by-command")
            gw.ctl("trust", "add", "t0000", extra.pem)
            self.held(gw, extra).close()
            self.reload(gw, 0)
            gw.ctl("trust", "remove", extra.digest)
            before = load.answers
            kf.eventually(lambda: load.answers > before + 200 or load.failures, "more work", 60)
            worst = scrape.metrics(gw).of("loop_lag_worst_seconds")
        self.assertEqual(load.failures, [])
        self.assertEqual(gw.metrics()["reloads_failed_total"], 13)
        print("answers %d, handshakes %d, longest wait %.3f s, the loop's latest %.3f s" % (
            load.answers, load.handshakes, load.worst, worst), flush=True)
        gw.assert_idle()


if __name__ == "__main__":
    kf.main()
