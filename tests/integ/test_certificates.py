# SPDX-License-Identifier: Apache-2.0
"""Who may come in: client certificates of every kind, against TLS 1.2 and 1.3 and against ECDSA and
RSA server certificates; what the log says about it; and that tenants do not see each other."""

import itertools
import os
import re
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

import kf
import rawtls
import ttlv

T12, T13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
# (client certificate, let in, the alert in Python's words, words of the log line)
MATRIX = (
    ("right", True, None, None),
    ("right-rsa", True, None, None),
    ("other-tenant", True, None, None),
    ("no-eku", True, None, None),
    ("none", False, "(certificate required|handshake failure)", "no certificate|none"),
    ("unknown", False, "unknown ca", "not known|unknown"),
    ("same-name", False, "unknown ca", "not known|unknown"),
    ("expired", False, "certificate expired", "expired"),
    ("not-yet-valid", False, "certificate expired", "not valid yet"),
    ("wrong-key", False, "decrypt error|handshake failure|internal error", ""),
)


def certificates():
    """All client certificates by their name in the matrix."""
    a = kf.AUTHORITY
    right = a.make("right", subject="/CN=kmipClient20250331120000")
    return {
        "right": right,
        "right-rsa": a.make("right-rsa", "rsa"),
        "other-tenant": a.make("other-tenant"),
        "no-eku": a.make("no-eku", start=-1, end=30),
        "none": None,
        "unknown": a.make("unknown"),
        "same-name": a.make("same-name", subject="/CN=kmipClient20250331120000"),
        "expired": a.make("expired", start=-30, end=-1),
        "not-yet-valid": a.make("not-yet-valid", start=1, end=30),
        "wrong-key": a.forge("wrong-key", right),
    }


def tenants(options=""):
    c = certificates()
    return [kf.Tenant("a", c["right"], c["right-rsa"], c["no-eku"], c["expired"],
                      c["not-yet-valid"], options=options),
            kf.Tenant("b", c["other-tenant"])]


def discover(gw, certificate, tls):
    """Handshake and DiscoverVersions; returns the TLS error's text, or None."""
    try:
        with kf.Client(gw, certificate, tls=tls) as c:
            try:
                c.sock.sendall(ttlv.request((1, 1), ttlv.item("DiscoverVersions")).encode())
                c.sock.settimeout(10)
                if c.sock.recv(1) == b"":
                    return "closed"
            except (ssl.SSLError, ConnectionError) as e:
                return str(e)
            return None
    except (ssl.SSLError, ConnectionError) as e:
        return str(e)


class Matrix(kf.Case):
    def matrix(self, server, tls):
        gw = self.gateway(tenants=tenants(), servers=[server])
        known = certificates()
        for name, let_in, alert, words in MATRIX:
            with self.subTest(certificate=name):
                at = gw.mark()
                error = discover(gw, known[name], tls)
                if let_in:
                    self.assertIsNone(error)
                    continue
                self.assertIsNotNone(error, "let in")
                self.assertRegex(error.lower(), alert)
                line = gw.await_log("refused|handshake", at)
                if words:
                    self.assertRegex(line, words)
                if known[name] and name != "wrong-key":
                    self.assertIn(known[name].digest, line)
        self.assertIsNone(discover(gw, known["right"], tls))
        gw.assert_idle()
        counted = gw.metrics()
        self.assertEqual(counted["handshakes_refused_total"] + counted["handshakes_failed_total"],
                         sum(not m[1] for m in MATRIX))
        self.assertEqual(counted["handshakes_ok_total"], sum(m[1] for m in MATRIX) + 1)

    def test_tls12_ecdsa(self):
        self.matrix(kf.AUTHORITY.make("server-ec"), T12)

    def test_tls12_rsa(self):
        self.matrix(kf.AUTHORITY.make("server-rsa", "rsa"), T12)

    def test_tls13_ecdsa(self):
        self.matrix(kf.AUTHORITY.make("server-ec"), T13)

    def test_tls13_rsa(self):
        self.matrix(kf.AUTHORITY.make("server-rsa", "rsa"), T13)


class Handshake(kf.SharedCase):
    @classmethod
    def arguments(cls):
        return {"tenants": tenants()}

    def server_certificate(self, certificate, tls, ciphers=None):
        """The certificate that the server shows, even where it then refuses."""
        command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % self.gw.port,
                   "-tls1_2" if tls == T12 else "-tls1_3"]
        if certificate:
            command += ["-cert", certificate.pem, "-key", certificate.key]
        if ciphers:
            command += ["-cipher", ciphers]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20, check=False, text=True)
        pem = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", done.stdout,
                        re.DOTALL)
        self.assertIsNotNone(pem, done.stdout)
        return ssl.PEM_cert_to_DER_cert(pem.group(0))

    def test_both_server_certificates_side_by_side(self):
        right = certificates()["right"]
        ec, rsa = kf.server_certificates()
        self.assertEqual(self.server_certificate(right, T12, "ECDHE+ECDSA"), ec.der)
        self.assertEqual(self.server_certificate(right, T12, "ECDHE+aRSA"), rsa.der)
        self.assertIn(self.server_certificate(right, T13), (ec.der, rsa.der))

    def test_server_certificate_is_shown_to_all(self):
        """vCenter's first step: it fetches the certificate before it has one of its own."""
        shown = [c.der for c in kf.server_certificates()]
        for tls, name in itertools.product((T12, T13), ("none", "unknown", "expired")):
            with self.subTest(tls=tls, certificate=name):
                self.assertIn(self.server_certificate(certificates()[name], tls), shown)

    def test_old_protocols_are_refused(self):
        """By the gateway: no library of the client's has a say in it."""
        for version in (0x0301, 0x0302):
            with self.subTest(version=hex(version)):
                with socket.create_connection(("127.0.0.1", self.gw.port), timeout=10) as s:
                    s.sendall(rawtls.hello(rawtls.usual_extensions(False), version=version,
                                           suites=rawtls.SUITES_OLD))
                    self.assertEqual(rawtls.read_record(s), (rawtls.ALERT, bytes(
                        [rawtls.FATAL, rawtls.PROTOCOL_VERSION])))
        self.assert_fine(self.gw)

    def test_no_cbc_without_the_switch(self):
        right = certificates()["right"]
        with self.assertRaises(ssl.SSLError):
            kf.Client(self.gw, right, tls=T12, ciphers="AES128-SHA256:@SECLEVEL=0")

    def test_no_resumption(self):
        """A ticket would let recorded TLS 1.2 sessions be read by whoever gets its key."""
        right = certificates()["right"]
        with kf.Client(self.gw, right, tls=T12) as c:
            session = c.sock.session
            self.assertFalse(session is not None and session.has_ticket)
            c.ok(ttlv.item("DiscoverVersions"))
        raw = socket.create_connection(("127.0.0.1", self.gw.port), timeout=10)
        with kf.context(right, (T12, T12)).wrap_socket(raw) as again:
            self.assertFalse(again.session_reused)

    def test_not_tls_at_all(self):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, b"\x16\x03\x01\xff\xff" + b"a" * 70000,
                     ttlv.request((1, 1), ttlv.item("DiscoverVersions")).encode()):
            with socket.create_connection(("127.0.0.1", self.gw.port), timeout=10) as s:
                with kf.contextlib.suppress(ConnectionError):
                    s.sendall(data)
                    while s.recv(4096):
                        pass
            self.assert_fine(self.gw)

    def test_bare_probes_are_silent(self):
        """Half of vCenter's connections: a handshake and nothing else."""
        at = self.gw.mark()
        for _ in range(5):
            self.gw.client().close()
        with socket.create_connection(("127.0.0.1", self.gw.port), timeout=10):
            pass
        self.gw.assert_idle()
        for line in self.gw.log(at).splitlines():
            self.assertNotRegex(line, r"\b(error|warn|notice) ")


class Switches(kf.Case):
    def switched(self, *switches, **kwargs):
        """A gateway with these in its section tls."""
        return self.gateway(tls="\n  ".join(switches), **kwargs)

    def test_resumption(self):
        """Who was taken out cannot resume, though the tickets' key has stayed."""
        with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="keyferry-ticket-") as key:
            key.write(os.urandom(32).hex().encode())
            key.flush()
            gw = self.switched("resumption = true", "resumption-tls12 = true",
                               'ticket-key-file = "%s"' % key.name, tenants=tenants())
            right, other = certificates()["right"], certificates()["other-tenant"]
            for n, tls in enumerate((T12, T13), 1):
                reused, session = kf.resume(gw, right, tls, None)
                self.assertFalse(reused)
                reused, session = kf.resume(gw, right, tls, session)
                self.assertTrue(reused)
                self.assertEqual(gw.metrics()["handshakes_resumed_total"], n)
            _, others = kf.resume(gw, other, T13, None)
            with open(gw.conf, encoding="utf-8") as f:
                conf = f.read()
            with open(gw.conf, "w", encoding="utf-8") as f:
                f.write(re.sub('"%s", *' % re.escape(right.pem), "", conf))
            gw.ctl("reload")
            self.assertTrue(kf.resume(gw, other, T13, others)[0])
            with self.assertRaisesRegex((ssl.SSLError, kf.Closed), "(?i)unknown.ca"):
                kf.resume(gw, right, T13, session)

    def test_nothing_is_resumed_by_default(self):
        gw = self.gateway(tenants=tenants())
        for tls in (T12, T13):
            _, session = kf.resume(gw, certificates()["right"], tls, None)
            self.assertFalse(kf.resume(gw, certificates()["right"], tls, session)[0])

    def test_legacy_cbc(self):
        gw = self.switched("legacy-cbc = true", tenants=tenants(),
                           servers=[kf.AUTHORITY.make("server-rsa", "rsa")])
        with kf.Client(gw, certificates()["right"], tls=T12, ciphers="AES128-SHA256") as c:
            self.assertEqual(c.sock.cipher()[0], "AES128-SHA256")
            c.key(c.create())

    def test_accept_expired(self):
        options = "accept-expired-until = \"%s\"" % time.strftime(
            "%Y-%m-%d", time.gmtime(time.time() + 2 * 86400))
        gw = self.gateway(tenants=tenants(options))
        for tls in (T12, T13):
            for name in ("expired", "not-yet-valid"):
                self.assertIsNone(discover(gw, certificates()[name], tls), name)
            self.assertIsNotNone(discover(gw, certificates()["unknown"], tls))

    def test_accept_expired_has_an_end(self):
        gw = self.gateway(tenants=tenants("accept-expired-until = \"2020-01-01\""))
        self.assertRegex(discover(gw, certificates()["expired"], T13).lower(), "expired")

    def test_one_certificate_from_many_addresses(self):
        gw = self.gateway(tenants=tenants())
        right = certificates()["right"]
        open_now = []
        for n in range(2, 12):
            raw = socket.create_connection(("127.0.0.1", gw.port), timeout=10,
                                           source_address=("127.0.0.%d" % n, 0))
            c = kf.Client(gw, right, connect=False)
            c.sock = c.context.wrap_socket(raw)
            self.addCleanup(c.close)
            open_now.append(c)
        for c in open_now:
            c.ok(ttlv.item("DiscoverVersions"))


class OtherTenant(kf.SharedCase):
    """A key of another tenant does not exist."""

    @classmethod
    def arguments(cls):
        return {"tenants": tenants()}

    def setUp(self):
        super().setUp()
        self.mine = self.client(certificates()["right"])
        self.theirs = self.client(certificates()["other-tenant"])

    @staticmethod
    def operations(u):
        return {
            "Get": ttlv.on("Get", u, ubid=b"12345678"),
            "GetAttributes": ttlv.get_attributes(u, "State"),
            "GetAttributeList": ttlv.on("GetAttributeList", u),
            "AddAttribute": ttlv.on("AddAttribute", u, ttlv.attribute("x-a", "b")),
            "ModifyAttribute": ttlv.on("ModifyAttribute", u, ttlv.attribute("x-Name", "b")),
            "DeleteAttribute": ttlv.on("DeleteAttribute", u, ttlv.text("AttributeName", "x-Name")),
            "Activate": ttlv.on("Activate", u),
            "Revoke": ttlv.revoke(u),
            "Destroy": ttlv.on("Destroy", u),
        }

    def test_same_answer_as_for_an_unknown_one(self):
        uid = self.mine.create(ttlv.attribute("x-Name", "secret-vm"))
        unknown = uid[:-4] + ("0000" if uid[-4:] != "0000" else "1111")
        for name in self.operations(uid):
            with self.subTest(operation=name):
                answers = [self.theirs.call(self.operations(u)[name]) for u in (uid, unknown)]
                self.assert_reason(answers[0].items[0], "ItemNotFound")
                plain = []
                for a in answers:
                    data = a.data
                    at = data.index(b"\x42\x00\x92\x09") + 8
                    plain.append(data[:at] + bytes(8) + data[at + 8:])
                self.assertEqual(plain[0], plain[1])
                self.assertNotIn("secret-vm", repr(answers[0].node))
        self.assertEqual(self.mine.state(uid), ttlv.PRE_ACTIVE)

    def test_locate_sees_only_ones_own(self):
        mine = self.mine.create(ttlv.name_attribute("same name"))
        theirs = self.theirs.create(ttlv.name_attribute("same name"))
        for c, expected in ((self.mine, mine), (self.theirs, theirs)):
            found = c.ok(ttlv.item("Locate", ttlv.name_attribute("same name")))
            self.assertEqual([n.value for n in found.all("UniqueIdentifier")], [expected])
        found = [n.value for n in self.theirs.ok(ttlv.item("Locate")).all("UniqueIdentifier")]
        self.assertNotIn(mine, found)

    def test_time_does_not_tell(self):
        """Medians of interleaved samples; the bound is wide, the machine may be busy: what tells does
        so each time."""
        uid = self.mine.create()
        unknown = uid[:-4] + ("0000" if uid[-4:] != "0000" else "1111")
        seen = []
        for _ in range(3):
            a, b = self.medians(uid, unknown)
            if abs(a - b) < max(a, b) * 0.25:
                return
            seen.append((a, b))
        self.fail(seen)

    def medians(self, *uids):
        taken = {uid: [] for uid in uids}
        for _ in range(300):
            for uid, times in taken.items():
                start = time.perf_counter()
                self.theirs.do(ttlv.on("Get", uid))
                times.append(time.perf_counter() - start)
        return [statistics.median(t) for t in taken.values()]


if __name__ == "__main__":
    kf.main()
