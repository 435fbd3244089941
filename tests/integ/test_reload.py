# SPDX-License-Identifier: Apache-2.0
"""Reload with many tenants while all of them are at work: no request fails, no session of a tenant
that was not touched closes, and a broken file changes nothing."""

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
import ttlv

TENANTS = 2000
THREADS = 8
HELD = 40  # sessions that stay open all the while, each of a tenant of its own


def quick_certificate(directory, name):
    """In the process itself: two thousand runs of openssl would take minutes."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(),
                                   now - datetime.timedelta(days=1),
                                   now + datetime.timedelta(days=365)).sign(key, hashes.SHA256())
    pem, key_path = (os.path.join(directory, name + end) for end in (".pem", ".key"))
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
                c = stack.enter_context(kf.Client(self.gw, t.certificates[0]))
                uid = c.create()
                known.append((c, uid, c.key(uid), t))
            turn = 0
            while not self.stop.is_set():
                c, uid, key, t = known[turn % len(known)]
                self.ask(c, uid, key)
                if turn % 5 == 0:  # and somebody comes anew
                    with kf.Client(self.gw, t.certificates[0]) as fresh:
                        self.ask(fresh, uid, key)
                    other = mine[turn % len(mine)]
                    with kf.Client(self.gw, other.certificates[0]) as fresh:
                        fresh.ok(ttlv.item("DiscoverVersions"))
                    with self.lock:
                        self.handshakes += 2
                turn += 1


class Reload(kf.Case):
    def setUp(self):
        super().setUp()
        self.dir = kf.tempfile.mkdtemp(prefix="keyferry-many-")
        self.addCleanup(kf.shutil.rmtree, self.dir, ignore_errors=True)

    def tenant(self, name):
        return kf.Tenant(name, quick_certificate(self.dir, name))

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
            # not by keyferryctl, which would stumble over a broken configuration itself
            with self.assertRaisesRegex(AssertionError, "nothing changed.*" +
                                        re.escape(os.path.basename(path))):
                gw.control("reload", timeout=60)
            self.assertTrue(self.refused(gw, added.certificates[0]))
        with open(path, "w", encoding="utf-8") as f:
            f.write(good)
        gw.tenants.remove(added)
        gw.configure()
        self.assertEqual(load.failures, [])

    def test_many_tenants_under_load(self):
        untouched = [self.tenant("t%04d" % n) for n in range(TENANTS - 3)]
        moved, changed, removed = (self.tenant(n) for n in ("moved", "changed", "removed"))
        gw = self.gateway(tenants=untouched + [moved, changed, removed], start=False)
        gw.start(seconds=120)
        self.assertEqual(gw.control("status")[0]["tenants"], TENANTS)
        with Load(gw, untouched) as load:
            kf.eventually(lambda: load.answers > 200 or load.failures, "work", 60)
            self.reload(gw, 0)

            session = self.held(gw, changed.certificates[0])
            old, changed.certificates = changed.certificates, [quick_certificate(self.dir, "new")]
            added = self.tenant("added")
            gw.tenants.append(added)
            gw.configure()
            self.assertTrue(self.refused(gw, added.certificates[0]))
            self.reload(gw, 1)
            self.assertTrue(session.is_closed())
            self.assertTrue(self.refused(gw, old[0]))
            self.held(gw, changed.certificates[0]).close()
            self.held(gw, added.certificates[0]).close()

            sessions = [self.held(gw, t.certificates[0]) for t in (removed, moved, moved)]
            gw.tenants.remove(removed)
            changed.certificates.append(moved.certificates.pop())  # to another tenant
            moved.certificates.append(quick_certificate(self.dir, "moved-new"))
            gw.configure()
            self.reload(gw, 3)
            for c in sessions:
                self.assertTrue(c.is_closed())
            self.assertTrue(self.refused(gw, removed.certificates[0]))

            self.broken(gw, load, moved.certificates[0].pem)
            self.broken(gw, load, os.path.join(gw.dir, "t0500.root"))
            self.broken(gw, load, gw.conf)
            extra = quick_certificate(self.dir, "by-command")
            gw.ctl("trust", "add", "t0000", extra.pem)
            self.held(gw, extra).close()
            self.reload(gw, 0)
            gw.ctl("trust", "remove", extra.digest)
            before = load.answers
            kf.eventually(lambda: load.answers > before + 200 or load.failures, "more work", 60)
        self.assertEqual(load.failures, [])
        self.assertEqual(gw.metrics()["reloads_failed_total"], 9)
        print("answers %d, handshakes %d, longest wait %.3f s" % (
            load.answers, load.handshakes, load.worst), flush=True)
        gw.assert_idle()


if __name__ == "__main__":
    kf.main()
