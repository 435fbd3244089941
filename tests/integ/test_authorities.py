# SPDX-License-Identifier: Apache-2.0
"""Clients that are known by an authority and a rule: chains, revocation lists; and sessions whose
certificates end while they are open."""

import contextlib
import datetime
import os
import re
import signal
import ssl
import time

import kf
import scrape
import ttlv
import virtual
from certificate_authority import Ca
from test_trust import Case, files


class Authorities(Case):
    """vCenter's root certificate, and a rule."""

    @staticmethod
    def options(rule, *cas):
        return 'client-ca = %s\n  client-subject = "%s"' % (files(*(c.pem for c in cas)), rule)

    def setUp(self):
        super().setUp()
        self.dir = kf.tempfile.mkdtemp(prefix="keyferry-ca-")
        self.addCleanup(kf.shutil.rmtree, self.dir, ignore_errors=True)
        self.ca = Ca(self.dir, "CA")

    def test_signed_and_named(self):
        gw = self.start(a=self.options("CN=vpxd*, O=vc1", self.ca), certificates=[],
                        b=self.options("subject=CN=vpxd-2,O=vc2", self.ca))
        one = self.ca.client("one", "/O=vc1/CN=vpxd-17", extensions="\n")
        two = self.ca.client("two", "/O=vc2/CN=vpxd-2")
        self.assert_trusted(gw, one)
        self.assertEqual(self.tenant_of(gw, one), "a")
        self.assertEqual(self.tenant_of(gw, two), "b")
        refused = (self.ca.client("other", "/O=vc3/CN=vpxd-17"),
                   self.ca.client("more", "/O=vc2/OU=x/CN=vpxd-2"),
                   self.ca.client("twice", "/O=vc1/CN=vpxd-1/CN=vpxd-1"),
                   Ca(self.dir, "CA2").client("stranger", "/O=vc1/CN=vpxd-17"),
                   kf.AUTHORITY.make("claims", subject="/O=vc1/CN=vpxd-17"))
        for c in refused:
            self.assert_refused(gw, c, c.pem)
        for c in refused[1:]:  # so many are kept from one address
            self.assertEqual(self.await_pending(gw, c)["why"], "the certificate is not known")
        rows = [c for c in gw.control("trust list")[0] if c["rights"] == "authority"]
        self.assertEqual([(r["tenant"], r["rule"]) for r in rows],
                         [("a", "CN=vpxd*, O=vc1"), ("b", "subject=CN=vpxd-2,O=vc2")])
        # one that the rule does not take can be trusted all the same
        gw.ctl("trust", "accept", refused[1].digest, "b")
        self.assert_trusted(gw, refused[1])

    def test_chains(self):
        middle = Ca(self.dir, "Middle", self.ca)
        fake = self.ca.client("fake", "/O=vc1/CN=vpxd-fake")
        gw = self.start(a=self.options("CN=vpxd*", self.ca), certificates=[])
        self.assert_trusted(gw, middle.client("deep", "/CN=vpxd", beside=middle))
        self.assert_refused(gw, middle.client("gap", "/CN=vpxd"))
        expired = self.ca.client("expired", "/CN=vpxd-old", days=-1)
        self.assert_refused(gw, expired)
        self.assertRegex(self.await_pending(gw, expired)["why"], "authority")
        self.assert_refused(gw, self.ca.client("ca", "/CN=vpxd-ca", extensions=
                                               "basicConstraints=CA:TRUE\n"
                                               "keyUsage=digitalSignature,keyCertSign\n"))
        self.assert_refused(gw, self.ca.client("usage", "/CN=vpxd-u",
                                               extensions="keyUsage=keyEncipherment\n"))
        # a client of the authority is no authority
        forger = Ca.__new__(Ca)
        forger.dir, forger.name, forger.pem, forger.key = self.dir, "f", fake.pem, fake.key
        self.assert_refused(gw, forger.client("forged", "/CN=vpxd-2", beside=forger))

    def test_weak_chains(self):
        gw = self.start(a=self.options("CN=vpxd*", self.ca), certificates=[])
        self.assert_trusted(gw, self.ca.client("strong", "/CN=vpxd-1", bits=2048))
        weak = (self.ca.client("key", "/CN=vpxd-2", bits=1024),
                self.ca.client("sha1", "/CN=vpxd-3", digest="sha1"),
                self.ca.client("md5", "/CN=vpxd-4", digest="md5"))
        for c in weak:
            self.assert_refused(gw, c, c.pem)
            self.assertRegex(self.await_pending(gw, c)["why"], "key or a signature.*too weak")
        self.assertEqual(scrape.metrics(gw).of("clients_refused_total", "reason=weak"), 6)

    def test_reload_takes_it_away(self):
        gw = self.start(a=self.options("CN=vpxd*", self.ca), certificates=[self.known()])
        c = kf.Client(gw, self.ca.client("one", "/CN=vpxd-1"))
        stays = gw.client(self.known())
        self.addCleanup(c.close)
        self.addCleanup(stays.close)
        c.ok(ttlv.item("DiscoverVersions"))
        gw.ctl("reload")
        c.ok(ttlv.item("DiscoverVersions"))
        gw.tenants[0].options = self.options("CN=other*", self.ca)
        gw.configure()
        mark = gw.mark()
        gw.ctl("reload")
        self.assertIn("sessions-closed=1", gw.await_log("reloaded", mark))
        self.assertTrue(c.is_closed())
        stays.ok(ttlv.item("DiscoverVersions"))

    def test_its_tenant_was_away(self):
        """Two reloads, quicker than sessions can be looked through."""
        gw = self.start(a=self.options("CN=vpxd*", self.ca), certificates=[])
        gw.tenants[1].options = self.options("CN=other*", self.ca)
        gw.configure()
        gw.ctl("reload")
        client, tenants = self.ca.client("one", "/CN=vpxd-1"), list(gw.tenants)
        with contextlib.ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(kf.Client(gw, client)).ok(ttlv.item("DiscoverVersions"))
            for present in (tenants[1:], tenants):
                gw.tenants[:] = present
                gw.configure()
                gw.ctl("reload")
            self.assertEqual(self.tenant_of(gw, client), "a")
        self.assertIsNone(gw.process.poll())

    def test_pinning_moves_a_session(self):
        gw = self.start(a=self.options("CN=vpxd*", self.ca), certificates=[])
        moved, stays = (self.ca.client(n, "/CN=vpxd-" + n) for n in ("moved", "stays"))
        other = kf.Client(gw, stays)
        self.addCleanup(other.close)
        other.ok(ttlv.item("DiscoverVersions"))
        for command, tenant in (("add", "b"), ("remove", "a")):
            with kf.Client(gw, moved) as c:
                c.ok(ttlv.item("DiscoverVersions"))
                gw.ctl("trust", command, *(["b", moved.pem] if command == "add" else
                                           [moved.digest]))
                self.assertTrue(c.is_closed())
            self.assertEqual(self.tenant_of(gw, moved), tenant)
            other.ok(ttlv.item("DiscoverVersions"))

    def test_overlaps_are_refused(self):
        gw = self.start(a=self.options("CN=vpxd*", self.ca), certificates=[])
        client = self.ca.client("one", "/CN=vpxd-1")
        for rule in ("CN=*-1", "O=x", "subject=CN=vpxd-9"):
            gw.tenants[1].options = self.options(rule, self.ca)
            gw.configure()
            self.fails(gw, "reload", say="as well; give each tenant")
            self.assert_trusted(gw, client)
        for bad, say in (("CN=*", "every subject"), ("hello", "of the form"), ("CN=x", "no auth")):
            gw.tenants[1].options = self.options(bad, client if bad == "CN=x" else self.ca)
            gw.configure()
            self.fails(gw, "reload", say=say)

    def test_leaf_of_any_length(self):
        """Base64 pads two of three lengths, and ends there; a certificate that follows is no part
        of the leaf."""
        for n in (17, 18, 19):
            with open(os.path.join(self.dir, "CA.srl"), "w", encoding="ascii") as f:
                f.write("7F" * n + "\n")
            client = self.ca.client("long%d" % n, "/CN=vpxd-1", beside=self.ca)
            self.assertEqual(client.der, kf.openssl("x509", "-in", client.pem, "-outform", "DER"))

    def test_fits_two(self):
        middle = Ca(self.dir, "Middle", self.ca)
        gw = self.start(a=self.options("CN=vpxd*", self.ca), b=self.options("CN=*-1", middle),
                        certificates=[])
        both = middle.client("both", "/CN=vpxd-1", beside=middle)
        self.assert_refused(gw, both)
        self.assertIn("more than one tenant", self.await_pending(gw, both)["why"])
        gw.ctl("trust", "accept", both.digest, "b")  # pinning says whose it is
        self.assertEqual(self.tenant_of(gw, both), "b")


class Revocations(Case):
    """Lists of the authorities, made by openssl."""

    def setUp(self):
        super().setUp()
        self.dir = kf.tempfile.mkdtemp(prefix="keyferry-crl-")
        self.addCleanup(kf.shutil.rmtree, self.dir, ignore_errors=True)
        self.ca = Ca(self.dir, "CA")
        self.good, self.bad = (self.ca.client(n, "/CN=vpxd-" + n) for n in ("good", "bad"))

    def options(self, *crls):
        return Authorities.options("CN=vpxd*", self.ca) + "\n  crl-file = %s" % files(*crls)

    def reload(self, gw, *crls):
        mark = gw.mark()
        gw.tenants[0].options = self.options(*crls)
        gw.configure()
        gw.ctl("reload")
        return gw.await_log("reloaded", mark)

    def refused_as(self, gw, certificate, why, reason):
        before = scrape.metrics(gw).of("clients_refused_total", "reason=" + reason)
        self.assert_refused(gw, certificate)
        self.assertRegex(self.await_pending(gw, certificate)["why"], why)
        self.assertEqual(scrape.metrics(gw).of("clients_refused_total", "reason=" + reason),
                         before + 2)

    def test_revoking_ends_sessions(self):
        gw = self.start(a=self.options(self.ca.crl("1.crl")), certificates=[])
        one, two = gw.client(self.good), gw.client(self.bad)
        for c in (one, two):
            self.addCleanup(c.close)
            c.ok(ttlv.item("DiscoverVersions"))
        listed = [c for c in gw.control("trust list")[0] if c["rights"] == "authority"]
        self.assertIn("crl-until", listed[0])
        self.assertIn("sessions-closed=1", self.reload(gw, self.ca.crl("2.crl", self.bad)))
        self.assertTrue(two.is_closed())
        one.ok(ttlv.item("DiscoverVersions"))
        self.refused_as(gw, self.bad, "was revoked", "revoked")
        self.assert_trusted(gw, self.good)
        # pinning says otherwise, and without lists nobody asks
        gw.ctl("trust", "accept", self.bad.digest, "a")
        self.assert_trusted(gw, self.bad)
        gw.ctl("trust", "remove", self.bad.digest)
        gw.tenants[0].options = Authorities.options("CN=vpxd*", self.ca)
        gw.configure()
        gw.ctl("reload")
        self.assert_trusted(gw, self.bad)

    def test_revoking_ends_many_sessions(self):
        """More than are looked at in one go: no request of the others is served meanwhile."""
        gw = self.start(a=self.options(self.ca.crl("1.crl")), certificates=[])
        with contextlib.ExitStack() as stack:
            stays = [stack.enter_context(gw.client(self.good)) for _ in range(3)]
            many = [stack.enter_context(gw.client(self.bad)) for _ in range(120)]
            for c in stays + many:
                c.ok(ttlv.item("DiscoverVersions"))
            line = self.reload(gw, self.ca.crl("2.crl", self.bad))
            for c in many:
                with self.assertRaises((kf.Closed, OSError)):
                    c.do(ttlv.item("DiscoverVersions"))
            for c in stays:
                c.ok(ttlv.item("DiscoverVersions"))
            closed = [int(re.search(r"sessions-closed=(\d+)", text).group(1)) for text in (
                line, gw.await_log("all sessions were looked through"))]
            self.assertTrue(0 < closed[0] < len(many), closed)
            # those that asked before their turn came are not among them
            self.assertTrue(0 < sum(closed) <= len(many), closed)

    def test_both_forms_and_several(self):
        other = Ca(self.dir, "Other")
        pem = self.ca.crl("list.crl", self.bad)
        der = os.path.join(self.dir, "list.der")
        kf.openssl("crl", "-in", pem, "-outform", "DER", "-out", der)
        gw = self.start(a=self.options(der, other.crl("other.crl")), certificates=[])
        self.assert_trusted(gw, self.good)
        self.assert_refused(gw, self.bad)
        both = os.path.join(self.dir, "both.crl")
        with open(both, "w", encoding="ascii") as f:
            f.write(self.read(os.path.join(self.dir, "other.crl")) + self.read(pem))
        self.reload(gw, both)
        self.assert_trusted(gw, self.good)
        self.assert_refused(gw, self.bad)

    def test_who_is_not_covered_is_refused(self):
        """Expired, not valid yet, of another authority, and signed by somebody else."""
        other, namesake = Ca(self.dir, "Other"), Ca(self.dir, "Fake")
        os.rename(namesake.pem, namesake.pem + ".old")
        kf.openssl("req", "-x509", "-new", "-key", namesake.key, "-subj", "/O=vsphere/CN=CA",
                   "-out", namesake.pem)
        gw = self.start(a=self.options(self.ca.crl("now.crl")), certificates=[])
        self.assert_trusted(gw, self.good)
        mark = gw.mark()
        for crl in (self.ca.crl("old.crl", begins=-9, ends=-2),
                    self.ca.crl("soon.crl", begins=2, ends=9),
                    other.crl("other.crl"), namesake.crl("fake.crl")):
            self.reload(gw, crl)
            self.refused_as(gw, self.good, "no valid revocation list", "no revocation list")
        gw.await_log("warn trust: a revocation list has expired.*tenant=a", mark)
        gw.await_log("warn trust: a revocation list does not hold yet: clients .*tenant=a from=", mark)
        self.reload(gw, os.path.join(self.dir, "old.crl"), self.ca.crl("new.crl"))
        self.assert_trusted(gw, self.good)

    def test_those_in_between_as_well(self):
        middle = Ca(self.dir, "Middle", self.ca)
        deep = middle.client("deep", "/CN=vpxd-deep", beside=middle)
        of_root, of_middle = self.ca.crl("root.crl"), middle.crl("middle.crl")
        gw = self.start(a=self.options(of_root), certificates=[])
        self.refused_as(gw, deep, "no valid revocation list", "no revocation list")
        self.reload(gw, of_root, of_middle)
        self.assert_trusted(gw, deep)
        self.reload(gw, self.ca.crl("root2.crl", middle), of_middle)
        self.refused_as(gw, deep, "on the way to the tenant's authority, was revoked", "revoked")
        # an authority that is trusted by itself needs nobody's word
        gw.tenants[0].options = Authorities.options("CN=vpxd*", middle) + "\n  crl-file = %s" % (
            files(of_middle))
        gw.configure()
        gw.ctl("reload")
        self.assert_trusted(gw, deep)

    def test_a_list_that_expires(self):
        gw = self.start(a=self.options(self.ca.crl("short.crl", ends=1)), certificates=[self.known()],
                        options="idle-timeout = 7d")
        clock = virtual.Clock(gw)
        session, stays = gw.client(self.good), gw.client(self.known())
        for c in (session, stays):
            self.addCleanup(c.close)
            c.ok(ttlv.item("DiscoverVersions"))
        mark = gw.mark()
        clock.jump(wall=86400 + 1)
        clock.advance(61)
        self.assertTrue(session.is_closed())
        gw.await_log("expired, or what vouches for it", mark)
        self.refused_as(gw, self.good, "no valid revocation list", "no revocation list")
        stays.ok(ttlv.item("DiscoverVersions"))

    def test_a_list_that_expires_while_the_gateway_stops(self):
        """When what looks after lists is gone, and the last uses wait for the disk."""
        ends = time.time() + 12
        gw = self.start(a=self.options(self.ca.crl("short.crl", ends=12 / 86400)),
                        certificates=[self.known()])
        with gw.client(self.known()) as c:
            uid = c.create()
            child = gw.child_pid()
            os.kill(child, signal.SIGSTOP)
            c.key(uid)
        gw.process.terminate()
        gw.await_log("daemon: stopped")
        self.assertLess(time.time(), ends)
        time.sleep(ends + 1.5 - time.time())
        os.kill(child, signal.SIGCONT)
        self.assertEqual(gw._gone(30), 0)

    def of_lists(self, gw):
        return next(c for c in gw.control("health")[0] if c["check"] == "revocation lists")

    def test_the_end_of_a_list_is_told(self):
        """In its last quarter, and once it has come; until a reload brings a newer one."""
        gw = self.start(a=self.options(self.ca.crl("week.crl", begins=-6, ends=1)), certificates=[])
        gw.await_log("warn expiry: a revocation list expires soon .*tenant=a .*issuer=.*CN=CA")
        self.assertEqual(self.of_lists(gw)["state"], "warning")
        self.assertIn("expired: 0, due to be replaced: 1", self.of_lists(gw)["say"])
        m, now = scrape.metrics(gw), time.time()
        for name, when in (("expiry", 86400), ("due", 86400 - 7 * 86400 / 4)):
            self.assertAlmostEqual(m.of("revocation_list_%s_timestamp_seconds" % name, "tenant=a"),
                                   now + when, delta=300)
        mark = gw.mark()
        self.reload(gw, self.ca.crl("fresh.crl", ends=30))
        self.assertEqual(self.of_lists(gw)["state"], "good")
        self.assertNotRegex(gw.log()[mark:], "expiry: a revocation list")
        clock = virtual.Clock(gw)
        clock.jump(wall=30 * 86400 + 60)
        self.assertEqual(self.of_lists(gw)["state"], "bad")
        self.assertIn("expired: 1, due to be replaced: 0", self.of_lists(gw)["say"])
        self.assertEqual(scrape.get(gw, "/health")[0], 503)
        self.reload(gw, os.path.join(self.dir, "fresh.crl"))
        gw.await_log("warn expiry: a revocation list has expired.*tenant=a", mark)
        self.refused_as(gw, self.good, "no valid revocation list", "no revocation list")
        self.reload(gw, self.ca.crl("next.crl", ends=90))
        self.assertEqual(self.of_lists(gw)["state"], "good")
        self.assertAlmostEqual(
            scrape.metrics(gw).of("revocation_list_expiry_timestamp_seconds", "tenant=a"),
            now + 90 * 86400, delta=300)
        gw.tenants[0].options = Authorities.options("CN=vpxd*", self.ca)
        gw.configure()
        gw.ctl("reload")
        self.assertIn("there is none", self.of_lists(gw)["say"])

    def test_an_older_list_does_not_take_over(self):
        """One that holds for longer says nothing of those who were revoked since."""
        old, new = self.ca.crl("old.crl", begins=-9, ends=60), self.ca.crl("new.crl", self.bad, ends=1)
        gw = self.start(a=self.options(old, new), certificates=[])
        clock = virtual.Clock(gw)
        self.refused_as(gw, self.bad, "was revoked", "revoked")
        session = gw.client(self.good)
        self.addCleanup(session.close)
        session.ok(ttlv.item("DiscoverVersions"))
        clock.jump(wall=86400 + 1)
        clock.advance(61)
        self.assertTrue(session.is_closed())
        for certificate in (self.bad, self.good):
            self.refused_as(gw, certificate, "no valid revocation list", "no revocation list")

    def test_a_list_that_is_still_to_begin(self):
        """As one that was published early, or by a clock that is ahead: until then the one before it
        counts, and from then on it alone does."""
        now = self.ca.crl("now.crl")
        gw = self.start(a=self.options(now), certificates=[], options="idle-timeout = 7d")
        clock = virtual.Clock(gw)
        good, bad = gw.client(self.good), gw.client(self.bad)
        for c in (good, bad):
            self.addCleanup(c.close)
            c.ok(ttlv.item("DiscoverVersions"))
        mark = gw.mark()
        soon = self.ca.crl("soon.crl", self.bad, begins=1, ends=9)
        self.assertIn("sessions-closed=0", self.reload(gw, soon, now))
        gw.await_log("warn trust: .*does not hold yet: the one before it counts.*tenant=a from=", mark)
        for c in (good, bad):
            c.ok(ttlv.item("DiscoverVersions"))
        for c in (self.good, self.bad):
            self.assert_trusted(gw, c)
        row = [c for c in gw.control("trust list")[0] if c["rights"] == "authority"][0]
        self.assertLess(row["crl-from"], row["crl-until"])
        idle = gw.client(self.bad)
        self.addCleanup(idle.close)
        idle.ok(ttlv.item("DiscoverVersions"))
        mark = gw.mark()
        clock.jump(wall=86400 + 1)
        self.assertRaises(kf.Closed, bad.do, ttlv.item("DiscoverVersions"))
        clock.advance(61)
        self.assertTrue(idle.is_closed())
        gw.await_log("notice session: closing .*was revoked since", mark)
        good.ok(ttlv.item("DiscoverVersions"))
        self.refused_as(gw, self.bad, "was revoked", "revoked")
        self.assert_trusted(gw, self.good)
        self.assertEqual(gw.metrics()["sessions_expired_total"], 2)
        # the older one, which holds for longer, does not come back
        clock.jump(wall=9 * 86400)
        clock.advance(61)
        self.assertTrue(good.is_closed())
        for c in (self.good, self.bad):
            self.refused_as(gw, c, "no valid revocation list", "no revocation list")

    def test_a_list_begins_for_many_sessions(self):
        """More than are looked at in one go."""
        now = self.ca.crl("now.crl")
        gw = self.start(a=self.options(now, self.ca.crl("soon.crl", self.bad, begins=1)),
                        certificates=[], options="idle-timeout = 7d")
        clock = virtual.Clock(gw)
        with contextlib.ExitStack() as stack:
            stays = [stack.enter_context(gw.client(self.good)) for _ in range(40)]
            many = [stack.enter_context(gw.client(self.bad)) for _ in range(80)]
            for c in stays + many:
                c.ok(ttlv.item("DiscoverVersions"))
            clock.jump(wall=86400 + 1)
            clock.advance(61)
            for c in many:
                self.assertTrue(c.is_closed())
            for c in stays:
                c.ok(ttlv.item("DiscoverVersions"))
            self.assertEqual(gw.metrics()["sessions_expired_total"], len(many))

    def test_broken_lists_change_nothing(self):
        gw = self.start(a=self.options(self.ca.crl("good.crl")), certificates=[])
        session = gw.client(self.good)
        self.addCleanup(session.close)
        good = self.read(os.path.join(self.dir, "good.crl"))
        der = kf.openssl("crl", "-in", os.path.join(self.dir, "good.crl"), "-outform", "DER")
        path = os.path.join(self.dir, "broken.crl")
        kf.openssl("ca", "-config", os.path.join(self.dir, "CA.cnf"), "-cert", self.ca.pem,
                   "-keyfile", self.ca.key, "-gencrl", "-md", "sha1", "-crldays", "9", "-out", path)
        weak = self.read(path).encode()
        delta = self.read(self.ca.crl("delta.crl", extensions="deltaCRL = critical,ASN1:INTEGER:1"))
        for data, say in ((b"", "no revocation list"), (b"hello", "no revocation list"),
                          (self.read(self.ca.pem).encode(), "no revocation list"),
                          (good[:200].encode(), "damaged"), (der[:-1], "damaged"),
                          (der + b"x", "damaged"), (weak, "SHA-1 or MD5"),
                          (delta.encode(), "delta list"),
                          (None, "does not exist")):
            if data is None:
                os.unlink(path)
            else:
                with open(path, "wb") as f:
                    f.write(data)
            gw.tenants[0].options = self.options(path)
            gw.configure()
            self.fails(gw, "reload", say="broken.crl.*" + say)
            session.ok(ttlv.item("DiscoverVersions"))


class Ends(Case):
    """Certificates that expire while their sessions are open, on virtual time."""

    def until(self, certificate):
        text = kf.openssl("x509", "-in", certificate.pem, "-noout", "-enddate").decode()
        return ssl.cert_time_to_seconds(text.strip().split("=")[1])

    def open(self, a="", **kwargs):
        """A session of a certificate that ends within two days, and one of another."""
        self.soon = kf.AUTHORITY.make("ends", start=-1, end=1)
        gw = self.start(a=a, certificates=[self.known(), self.soon],
                        options="idle-timeout = 7d", **kwargs)
        self.clock = virtual.Clock(gw)
        self.session, self.stays = gw.client(self.soon), gw.client(self.known())
        for c in (self.session, self.stays):
            self.addCleanup(c.close)
            c.ok(ttlv.item("DiscoverVersions"))
        return gw

    def go_to(self, gw, second):
        """Seconds since 1970, less a hundredth; the last of them pass, the others are jumped over."""
        now = gw.control("test advance", "ms=1", "step=1")[0]["wall-ms"]
        self.clock.jump(wall=second - now // 1000 - 70)
        self.clock.advance(70 - now % 1000 / 1000 - 0.01, step=1000, slice_s=50)

    def assert_expired(self, gw, session, mark, count=1):
        self.assertTrue(session.is_closed())
        gw.await_log("notice session: closing .*certificate has expired", mark)
        self.assertEqual(gw.metrics()["sessions_expired_total"], count)
        self.stays.ok(ttlv.item("DiscoverVersions"))

    def test_in_that_second(self):
        gw = self.open()
        self.go_to(gw, self.until(self.soon))
        self.session.create()
        mark = gw.mark()
        self.clock.advance(0.02)
        self.assert_expired(gw, self.session, mark)
        self.assert_refused(gw, self.soon)

    def test_no_end(self):
        """99991231, as certificates have it that do not end (RFC 5280, 4.1.2.5)."""
        end = (datetime.date(9999, 12, 31) - datetime.date.today()).days - 1
        gw = self.start(certificates=[kf.AUTHORITY.make("far", start=-1, end=end)])
        with gw.client() as c:
            c.create()

    def test_what_came_before_is_answered(self):
        gw = self.open()
        self.go_to(gw, self.until(self.soon))
        child, mark = gw.child_pid(), gw.mark()
        os.kill(child, signal.SIGSTOP)
        self.session.send(ttlv.request((1, 1), ttlv.create()))
        kf.eventually(lambda: gw.metrics()["requests"] == 1, "the request")
        self.clock.advance(0.02)
        gw.await_log("certificate has expired", mark)
        os.kill(child, signal.SIGCONT)
        self.assertEqual(ttlv.Result(self.session.receive().items[0].node).status, ttlv.SUCCESS)
        self.assert_expired(gw, self.session, mark)

    def test_a_clock_that_is_set(self):
        gw = self.open()
        other = gw.client(self.soon)
        self.addCleanup(other.close)
        other.ok(ttlv.item("DiscoverVersions"))
        mark = gw.mark()
        self.clock.jump(wall=2 * 86400)
        self.assertRaises(kf.Closed, self.session.do, ttlv.create())
        self.assert_expired(gw, self.session, mark)
        self.clock.advance(61)
        self.assert_expired(gw, other, mark, 2)

    def test_accepted_for_a_while(self):
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 3 * 86400))
        gw = self.open('accept-expired-until = "%s"' % day)
        self.clock.jump(wall=2 * 86400)
        self.session.create()
        mark = gw.mark()
        self.clock.jump(wall=2 * 86400)
        self.clock.advance(61)
        self.assert_expired(gw, self.session, mark)
        # and a reload that takes the date away closes at once
        self.clock.jump(wall=-2 * 86400)
        with gw.client(self.soon) as c:
            c.create()
            gw.tenants[0].options = ""
            gw.configure()
            mark = gw.mark()
            gw.ctl("reload")
            self.assertIn("sessions-closed=1", gw.await_log("reloaded", mark))
            self.assertTrue(c.is_closed())

    def test_known_by_an_authority(self):
        directory = kf.tempfile.mkdtemp(prefix="keyferry-ca-")
        self.addCleanup(kf.shutil.rmtree, directory, ignore_errors=True)
        ca = Ca(directory, "CA")
        client = ca.client("one", "/CN=vpxd-1", days=2)  # valid before the clock stands still
        gw = self.open(Authorities.options("CN=vpxd*", ca))
        with gw.client(client) as c:
            self.go_to(gw, self.until(client))
            c.create()
            mark = gw.mark()
            self.clock.advance(0.02)
            self.assert_expired(gw, c, mark, 2)


if __name__ == "__main__":
    kf.main()
