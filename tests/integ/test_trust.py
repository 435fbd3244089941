# SPDX-License-Identifier: Apache-2.0
"""How vCenter comes to be trusted: the four ways that its dialogue offers, the refused client that
is accepted afterwards, and our own certificates, which end or change."""

import json
import os
import re
import signal
import ssl
import stat
import subprocess
import time

import kf
import ttlv
from certificate_authority import Ca

T12, T13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = (T12, T13)


def files(*paths):
    return "{%s}" % ", ".join('"%s"' % p for p in paths)


class Case(kf.Case):
    def known(self):
        return kf.AUTHORITY.make("known")

    def start(self, a="", b="", certificates=None, **kwargs):
        """Tenants a and b; a trusts one client unless told otherwise."""
        known = [self.known()] if certificates is None else certificates
        return self.gateway(tenants=[kf.Tenant("a", *known, options=a), kf.Tenant("b", options=b)],
                            **kwargs)

    @staticmethod
    def write(gw, name, text):
        path = os.path.join(gw.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def trusted(self, gw, certificate, tls=None):
        """Whether the client comes as far as an answer; False when it is refused with an alert.
        It shows what it has, however weak."""
        try:
            with kf.Client(gw, certificate, tls=tls, ciphers="DEFAULT:@SECLEVEL=0") as c:
                c.ok(ttlv.item("DiscoverVersions"))
            return True
        except (ssl.SSLError, kf.Closed) as e:
            self.assertRegex(str(e).lower(), "alert|unknown ca|expired|denied|decrypt")
            return False
        except ConnectionError as e:
            self.fail("closed without an alert: %s" % e)

    def assert_trusted(self, gw, certificate, msg=None):
        for tls in BOTH:
            self.assertTrue(self.trusted(gw, certificate, tls), msg)

    def assert_refused(self, gw, certificate, msg=None):
        for tls in BOTH:
            self.assertFalse(self.trusted(gw, certificate, tls), msg)

    def tenant_of(self, gw, certificate):
        """The client makes a key; whose is it?"""
        with kf.Client(gw, certificate) as c:
            uid = c.create()
        return json.loads(gw.ctl("--json", "keys", "show", uid).stdout)["tenant"]

    def pending(self, gw):
        return gw.control("trust pending")[0]

    def await_pending(self, gw, certificate):
        return kf.eventually(lambda: next((p for p in self.pending(gw)
                                           if p["sha256"] == certificate.digest), None),
                             "pending certificate")

    def listed(self, gw, certificate):
        found = [c for c in gw.control("trust list")[0] if c["sha256"] == certificate.digest]
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def fails(self, gw, *args, say="", **kwargs):
        done = gw.ctl(*args, check=False, **kwargs)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, say)
        return done


class FourStyles(Case):
    def test_certificate_of_vcenter(self):
        """vCenter made it; the administrator pastes it."""
        vcenter = kf.AUTHORITY.make("vc-own", "rsa", subject="/CN=kmipClient20260101120000")
        gw = self.start()
        self.assert_refused(gw, vcenter)
        done = gw.ctl("trust", "add", "b", input=self.read(vcenter.pem))
        self.assertIn(vcenter.digest, done.stdout)
        self.assert_trusted(gw, vcenter)
        self.assertEqual(self.tenant_of(gw, vcenter), "b")
        self.assertEqual(self.listed(gw, vcenter)["from"], "command")
        self.assertIsNotNone(self.listed(gw, vcenter)["last-seen"])
        self.assertEqual(self.pending(gw), [])  # it was there, refused, and is not any more
        gw.kill()  # nothing is lost without a stop
        gw.start()
        self.assert_trusted(gw, vcenter)
        self.fails(gw, "trust", "add", "a", vcenter.pem, say="already, for tenant b")
        root = Ca(gw.dir, "root")
        self.assertIn("client-ca", gw.ctl("trust", "add", "a", root.pem).stdout)
        self.fails(gw, "trust", "add", "nobody", self.known().pem, say="no such tenant")

    def test_what_is_pasted_is_checked(self):
        gw = self.start()
        good = kf.AUTHORITY.make("pasted")
        expired = kf.AUTHORITY.make("pasted-expired", start=-30, end=-1)
        costly = kf.AUTHORITY.make("costly", "rsa", exponent=2 ** 32 + 1)
        weak = kf.AUTHORITY.make("weak", "rsa", bits=1024)
        for text, say in ((self.read(good.key), "private key"),
                          (self.read(good.pem) + self.read(good.key), "private key"),
                          (self.read(good.pem) + self.read(expired.pem), "more than one"),
                          ("hello", "no certificate"), ("", "no certificate"),
                          (self.read(good.pem)[:200], "no certificate"),
                          (self.read(expired.pem), "expired"),
                          (self.read(costly.pem), "exponent of more than 32 bits"),
                          (self.read(weak.pem), "too weak.*2048 bits")):
            self.fails(gw, "trust", "add", "a", input=text, say=say)
        self.assertFalse(os.path.exists(os.path.join(gw.state_dir, "trust")))
        gw.tenants[0].options = "read-only-certificates = %s" % files(costly.pem)
        gw.configure()
        self.fails(gw, "reload", say="costly.pem: its RSA key has a public exponent")

    def test_weak_keys_are_refused(self):
        """By `trust accept', at a reload and at the start; how a pinned one is signed is no matter."""
        weak = kf.AUTHORITY.make("weak", "rsa", bits=1024)
        key = kf.AUTHORITY.make("strong", "rsa")
        old = os.path.join(os.path.dirname(key.pem), "old.pem")
        kf.openssl("req", "-x509", "-new", "-sha1", "-key", key.key, "-subj", "/CN=old", "-out", old)
        gw = self.start()
        self.assert_refused(gw, weak)
        self.await_pending(gw, weak)
        self.fails(gw, "trust", "accept", weak.digest, "a", say="too weak")
        gw.ctl("trust", "add", "a", old)
        self.assert_trusted(gw, kf.Certificate(old, key.key))
        gw.tenants[0].options = "read-only-certificates = %s" % files(weak.pem)
        gw.configure()
        mark = gw.mark()
        self.fails(gw, "reload", say="weak.pem: its key is too weak")
        gw.await_log("weak.pem: its key is too weak", mark)
        gw.stop()
        mark = gw.mark()
        self.assertRaisesRegex(AssertionError, "did not start", gw.start)
        gw.await_log("weak.pem: its key is too weak", mark)

    def test_upload(self):
        """We make both; the administrator uploads them."""
        gw = self.start()
        for name, option in (("ec", ("--ec",)), ("rsa", ())):
            pem, key = (os.path.join(gw.dir, name + end) for end in (".pem", ".key"))
            gw.ctl("trust", "make", "--days", "400", *option, "b", pem, key)
            self.assertEqual(stat.S_IMODE(os.stat(key).st_mode), 0o600)
            self.assertIn("BEGIN PRIVATE KEY", self.read(key))
            text = kf.openssl("x509", "-in", pem, "-noout", "-text").decode()
            self.assertRegex(text, "Public-Key: \\(%s bit\\)" % {"ec": 256, "rsa": 3072}[name])
            self.assertIn("TLS Web Client Authentication", text)
            kf.openssl("x509", "-in", pem, "-noout", "-checkend", str(399 * 86400))
            made = kf.Certificate(pem, key)
            self.assert_trusted(gw, made)
            self.assertEqual(self.tenant_of(gw, made), "b")
            before = self.read(key)
            self.fails(gw, "trust", "make", "b", pem, key, say="there already")
            self.assertEqual(self.read(key), before)
        pem, key = (os.path.join(gw.dir, "x" + end) for end in (".pem", ".key"))
        self.fails(gw, "trust", "make", "nobody", pem, key, say="no such tenant")
        self.fails(gw, "trust", "make", "--days", "0", "b", pem, key, say="3650")
        self.assertFalse(os.path.exists(pem) or os.path.exists(key))

    def request(self, gw, name, kind="EC", option="ec_paramgen_curve:P-256"):
        key, csr = (os.path.join(gw.dir, name + end) for end in (".key", ".csr"))
        kf.openssl("genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", key)
        kf.openssl("req", "-new", "-key", key, "-subj", "/O=VMware/CN=" + name, "-out", csr)
        return key, csr

    def test_request(self):
        """vCenter keeps its key; the administrator brings a request and takes a certificate."""
        gw = self.start()
        issuers = set()
        for name, kind, option in (("ec-1", "EC", "ec_paramgen_curve:P-256"),
                                   ("rsa-1", "RSA", "rsa_keygen_bits:2048")):
            key, csr = self.request(gw, name, kind, option)
            pem = os.path.join(gw.dir, name + ".pem")
            gw.ctl("trust", "sign", "b", csr, pem)
            made = kf.Certificate(pem, key)
            self.assert_trusted(gw, made)
            self.assertEqual(self.tenant_of(gw, made), "b")
            signer = os.path.join(gw.state_dir, "signing", "b")
            kf.openssl("verify", "-CAfile", signer + ".pem", "-purpose", "sslclient", pem)
            self.assertEqual(stat.S_IMODE(os.stat(signer + ".key").st_mode), 0o600)
            text = kf.openssl("x509", "-in", pem, "-noout", "-subject", "-issuer",
                              "-nameopt", "RFC2253").decode().splitlines()
            self.assertEqual(text[0], "subject=CN=%s,O=VMware" % name)
            issuers.add(text[1])
        self.assertEqual(len(issuers), 1)
        # what it signs is pinned: to have been signed by it is not enough
        key, csr = self.request(gw, "beside")
        pem = os.path.join(gw.dir, "beside.pem")
        kf.openssl("x509", "-req", "-in", csr, "-CA", signer + ".pem", "-CAkey", signer + ".key",
                   "-set_serial", "7", "-days", "30", "-out", pem)
        self.assert_refused(gw, kf.Certificate(pem, key))

    def test_authority_after_a_crash(self):
        """Killed at each step of making the tenant's authority, then asked again."""
        if kf.shutil.which("strace") is None:
            self.skipTest("there is no strace (Debian package strace)")
        gw = self.start()
        _, csr = self.request(gw, "crash")
        signer = os.path.join(gw.state_dir, "signing", "b")
        steps, whole = 0, False
        while not whole:
            steps += 1
            kf.shutil.rmtree(os.path.dirname(signer), ignore_errors=True)
            pem = os.path.join(gw.dir, "crash-%d.pem" % steps)
            self.die_at_step(gw, steps, "trust", "sign", "b", csr, pem)
            whole = os.path.exists(signer + ".key")
            kept = self.read(signer + ".key") if whole else None
            self.assertFalse(os.path.exists(pem))
            for n in range(2):
                pem = os.path.join(gw.dir, "after-%d-%d.pem" % (steps, n))
                gw.ctl("trust", "sign", "b", csr, pem)
                kf.openssl("verify", "-CAfile", signer + ".pem", pem)
            if whole:
                self.assertEqual(self.read(signer + ".key"), kept)
            self.assertEqual(sorted(os.listdir(os.path.dirname(signer))), ["b.key", "b.pem"])
        self.assertGreater(steps, 6)  # a directory, two files: written, renamed, synced
        # what an older gateway may have left: a key alone
        os.unlink(signer + ".pem")
        gw.ctl("trust", "sign", "b", csr, os.path.join(gw.dir, "last.pem"))
        kf.openssl("verify", "-CAfile", signer + ".pem", os.path.join(gw.dir, "last.pem"))

    @staticmethod
    def die_at_step(gw, n, *args):
        """keyferryctl, killed when it enters the n-th call that makes something durable."""
        calls = "mkdirat,renameat,?renameat2,unlinkat,fsync"
        done = subprocess.run(
            ["strace", "-o", "/dev/null", "-e", "trace=" + calls, "-e",
             "inject=%s:signal=KILL:when=%d" % (calls, n), kf.program("keyferryctl"), "-c", gw.conf] +
            list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False,
            text=True)
        if done.returncode != -signal.SIGKILL:
            raise AssertionError("not killed: %r" % done)

    @staticmethod
    def tree(top):
        """Names, and what is in files; of a link only that it is one."""
        found = {}
        for path in [os.path.join(f, n) for f, ds, fs in os.walk(top) for n in ds + fs]:
            plain = os.path.isfile(path) and not os.path.islink(path)
            found[os.path.relpath(path, top)] = Case.read(path) if plain else None
        return found

    def test_links_lead_root_nowhere(self):
        """The daemon's user may put anything into its state directory, and root signs."""
        gw, daemon, stranger = self.start(), 65533, 65532
        _, csr = self.request(gw, "linked")
        signing, away = (os.path.join(gw.state_dir, "signing"), os.path.join(gw.dir, "away"))
        os.mkdir(away, 0o700)
        gw.ctl("trust", "sign", "b", csr, os.path.join(gw.dir, "before.pem"))
        for name in ("b.pem", "b.key"):
            kf.shutil.copy(os.path.join(signing, name), os.path.join(away, name))
        self.write(gw, "away/a.pem.new", "precious")
        self.write(gw, "away/a.key", "precious")
        before = self.tree(away)

        def own(*paths, user=daemon):
            for path in paths if os.geteuid() == 0 else ():
                os.lchown(path, user, user)

        def refused(say, tenant="b"):
            out = os.path.join(gw.dir, "out.pem")
            self.fails(gw, "trust", "sign", tenant, csr, out, say=say)
            self.assertEqual(self.tree(away), before)
            self.assertFalse(os.path.exists(out))
        own(gw.state_dir)
        kept = signing + ".kept"
        os.rename(signing, kept)
        os.symlink(away, signing)
        own(signing)
        for tenant in ("a", "b"):  # a has none yet: what is in the way would be removed
            refused("signing: is a symbolic link", tenant)
        os.unlink(signing)
        # its own directory will do, but for links in it
        for n, (name, say) in enumerate((("b.key", "b.key: is a symbolic link"),
                                         ("b.pem", "b.pem: is a symbolic link"))):
            os.mkdir(signing, 0o700)
            gw.ctl("trust", "sign", "b", csr, os.path.join(gw.dir, "own-%d.pem" % n))
            path = os.path.join(signing, name)
            os.unlink(path)
            os.symlink(os.path.join(away, name), path)
            own(signing, path)
            refused(say)
            os.symlink(os.path.join(away, "a.pem.new"), os.path.join(signing, "a.pem.new"))
            os.symlink(os.path.join(away, "a.key"), os.path.join(signing, "a.pem"))
            gw.ctl("trust", "sign", "a", csr, os.path.join(gw.dir, "beside-%d.pem" % n))
            self.assertEqual(self.tree(away), before)
            self.assertFalse(os.path.islink(os.path.join(signing, "a.pem")))
            kf.shutil.rmtree(signing)
        os.rename(kept, signing)
        os.chmod(signing, 0o770)
        refused(r"signing: is open to group or others \(mode 0770\): chmod 0700 /")
        os.chmod(signing, 0o700)
        if os.geteuid() == 0:
            own(signing, user=stranger)
            refused("signing: belongs to another user")
            own(signing, user=0)
            moved = gw.state_dir + ".moved"
            os.rename(gw.state_dir, moved)
            os.symlink(away, gw.state_dir)
            own(gw.state_dir)
            refused("state: is a symbolic link that belongs to another user")
            os.unlink(gw.state_dir)
            os.rename(moved, gw.state_dir)
        gw.ctl("trust", "sign", "b", csr, os.path.join(gw.dir, "after.pem"))
        kf.openssl("verify", "-CAfile", os.path.join(signing, "b.pem"),
                   os.path.join(gw.dir, "before.pem"), os.path.join(gw.dir, "after.pem"))
        own(gw.state_dir, user=0)

    def test_a_lost_answer(self):
        """What was made may be trusted: it is kept, and can be trusted again."""
        gw = self.start()
        _, csr = self.request(gw, "asks")
        paths = [os.path.join(gw.dir, n) for n in ("lost.pem", "lost.key", "signed.pem")]
        for made, args in ((paths[:2], ["make", "--ec", "b"] + paths[:2]),
                           (paths[2:], ["sign", "b", csr, paths[2]])):
            child = gw.child_pid()
            os.kill(child, signal.SIGSTOP)
            mark = gw.mark()
            with subprocess.Popen([kf.program("keyferryctl"), "-c", gw.conf, "trust"] + args,
                                  stderr=subprocess.PIPE, text=True) as asking:
                gw.await_log('command="trust add"', mark)
                gw.kill()
                os.kill(child, signal.SIGCONT)
                said = asking.stderr.read()
            self.assertEqual(asking.returncode, 3)
            self.assertIn("trust add b " + made[0], said)
            for path in made:
                self.assertTrue(os.path.exists(path), path)
            kf.eventually(lambda c=child: not os.path.exists("/proc/%d" % c), "the child's end")
            gw.start()
            certificate = kf.Certificate(made[0], paths[1])
            if self.listed(gw, certificate) is None:
                gw.ctl("trust", "add", "b", made[0])
            self.assertEqual(self.listed(gw, certificate)["tenant"], "b")
        self.assert_trusted(gw, kf.Certificate(*paths[:2]))
        # where nobody was asked nothing is left
        gw.stop()
        again = [os.path.join(gw.dir, n) for n in ("again.pem", "again.key")]
        done = gw.ctl("trust", "make", "--ec", "b", *again, check=False)
        self.assertEqual(done.returncode, 3)
        self.assertFalse(os.path.exists(again[0]) or os.path.exists(again[1]))

    def test_an_answer_that_leaves_it_open(self):
        """The storage dies amid it, and nobody knows whether a reload finds the certificate."""
        gw = self.start()
        _, csr = self.request(gw, "asks")
        paths = [os.path.join(gw.dir, n) for n in ("open.pem", "open.key", "signed.pem")]
        for made, args in ((paths[:2], ["make", "--ec", "b"] + paths[:2]),
                           (paths[2:], ["sign", "b", csr, paths[2]])):
            child, mark = gw.child_pid(), gw.mark()
            os.kill(child, signal.SIGSTOP)
            with subprocess.Popen([kf.program("keyferryctl"), "-c", gw.conf, "trust"] + args,
                                  stderr=subprocess.PIPE, text=True) as asking:
                gw.await_log('command="trust add"', mark)
                os.kill(child, signal.SIGKILL)
                said = asking.stderr.read()
            self.assertEqual(asking.returncode, 3, said)
            self.assertIn("give trust remove", said)
            self.assertIn("trust add b " + made[0], said)
            for path in made:
                self.assertTrue(os.path.exists(path), path)
            kf.eventually(lambda p=made[0]: gw.ctl("trust", "add", "b", p,
                                                   check=False).returncode == 0, "the next child")
        self.assert_trusted(gw, kf.Certificate(*paths[:2]))

    def test_bad_requests(self):
        gw = self.start()
        pem = os.path.join(gw.dir, "out.pem")
        _, weak = self.request(gw, "weak", "RSA", "rsa_keygen_bits:1024")
        _, good = self.request(gw, "good")
        der = bytearray(kf.openssl("req", "-in", good, "-outform", "DER"))
        der[-5] ^= 1  # in the signature
        forged = os.path.join(gw.dir, "forged.csr")
        kf.openssl("req", "-inform", "DER", "-out", forged, input=bytes(der))
        for csr, say in ((weak, "too weak"), (forged, "not signed by its own key"),
                         (self.known().pem, "no request")):
            self.fails(gw, "trust", "sign", "a", csr, pem, say=say)
        self.fails(gw, "trust", "sign", "nobody", good, pem, say="no such tenant")
        self.fails(gw, "trust", "sign", "../a", good, pem, say="no tenant's id")
        self.assertFalse(os.path.exists(pem))


class Pending(Case):
    def test_refused_then_accepted(self):
        gw = self.start()
        clients = [kf.AUTHORITY.make("late-%s" % kind, kind) for kind in ("ec", "rsa")]
        for client, tls in zip(clients, BOTH):
            for _ in range(3):
                self.assertFalse(self.trusted(gw, client, tls))
            seen = kf.eventually(lambda c=client: next(
                (p for p in self.pending(gw) if p["sha256"] == c.digest and p["count"] == 3), None),
                                 "three refusals")
            self.assertEqual(seen["why"], "the certificate is not known")
            self.assertEqual(seen["addresses"], ["127.0.0.1"])
            self.assertIn("CN=late-", seen["subject"])
        client, other = clients
        shown = gw.ctl("trust", "pending").stdout
        self.assertIn(client.digest, shown)
        for digest in (client.digest[:-1], client.digest[:8], client.digest + "0", "x" * 64, ""):
            self.fails(gw, "trust", "accept", digest, "b", say="whole SHA-256")
        self.fails(gw, "trust", "accept", "0" * 64, "b", say="no refused certificate")
        self.fails(gw, "trust", "accept", client.digest, "nobody", say="no such tenant")
        self.assert_refused(gw, client)
        colons = ":".join(re.findall("..", client.digest.upper()))  # as openssl prints it
        mark = gw.mark()
        gw.ctl("trust", "accept", colons, "b")
        self.assertIn(client.digest, gw.await_log("notice trust: trusted", mark))
        self.assert_trusted(gw, client)
        self.assertEqual(self.tenant_of(gw, client), "b")
        self.assertEqual([p["sha256"] for p in self.pending(gw)], [other.digest])
        self.assertEqual(gw.stop(), 0)
        gw.start()
        self.assert_trusted(gw, client)
        self.assertEqual(self.pending(gw), [])  # it is not kept

    def test_what_is_not_proven_is_not_listed(self):
        gw = self.start()
        owner = kf.AUTHORITY.make("owner")
        forged = kf.AUTHORITY.forge("owner-forged", owner)
        expired = kf.AUTHORITY.make("pending-expired", start=-9, end=-2)
        self.assert_refused(gw, forged)
        self.assert_refused(gw, kf.AUTHORITY.forge("known-forged", self.known()))
        self.assert_refused(gw, None)
        self.assertEqual(kf.eventually(lambda: gw.metrics()["handshakes_refused_total"] +
                                       gw.metrics()["handshakes_failed_total"], "refusals"), 6)
        self.assertEqual(self.pending(gw), [])
        self.assertRegex(gw.await_log("client refused.*%s" % owner.digest), "key-proven=no")
        self.fails(gw, "trust", "accept", owner.digest, "a", say="no refused certificate")
        self.assert_refused(gw, expired)
        self.await_pending(gw, expired)
        self.fails(gw, "trust", "accept", expired.digest, "a", say="has expired")

    def test_a_known_one_that_has_expired(self):
        expired = kf.AUTHORITY.make("pending-expired", start=-9, end=-2)
        gw = self.start(certificates=[expired, self.known()])
        self.assert_refused(gw, expired)
        self.assertIn("has expired", self.await_pending(gw, expired)["why"])

    def test_nothing_of_theirs_is_read(self):
        """In TLS 1.3 a client sends its request before it can know that it is refused."""
        gw = self.start()
        stranger = kf.AUTHORITY.make("hasty")
        for tls in BOTH:
            try:
                c = kf.Client(gw, stranger, tls=tls)
            except (ssl.SSLError, ConnectionError):
                self.assertEqual(tls, T12)  # there it never saw the end of the handshake
                continue
            self.assertEqual(tls, T13)
            with c:
                with self.assertRaisesRegex(kf.Closed, "(?i)unknown.ca"):
                    c.call(ttlv.create())
        gw.assert_idle()
        counted = gw.metrics()
        self.assertEqual(counted["requests_total"], 0)
        self.assertEqual(counted["handshakes_refused_total"], 2)
        self.assertEqual(counted["handshakes_ok_total"], 0)

    def test_subjects_are_escaped(self):
        gw = self.start()
        odd = kf.AUTHORITY.make("odd", subject="/CN=a\x1b[31mb\nc=\\\"d")
        mark = gw.mark()
        self.assertFalse(self.trusted(gw, odd))
        self.await_pending(gw, odd)
        for text in (gw.ctl("trust", "pending").stdout, gw.ctl("--json", "trust", "pending").stdout,
                     gw.log(mark)):
            self.assertNotIn("\x1b", text)
            for line in text.splitlines():
                self.assertFalse(line.startswith("c="), line)
        gw.ctl("trust", "accept", odd.digest, "b")
        self.assert_trusted(gw, odd)
        self.assertNotIn("\x1b", gw.ctl("trust", "list").stdout)

    def test_whose_dates_cannot_be_read(self):
        """It is listed all the same."""
        gw, plain = self.start(), kf.AUTHORITY.make("plain")
        month = re.search(rb"\x17\x0d\d\d(\d\d)\d{8}Z\x30", plain.der).span(1)  # of its end
        der = plain.der[:month[0]] + b"13" + plain.der[month[1]:]
        odd = kf.Certificate(self.write(gw, "odd.pem", ssl.DER_cert_to_PEM_cert(der)), plain.key)
        self.assert_refused(gw, odd)
        shown = self.await_pending(gw, odd)
        self.assertEqual((shown["subject"], shown["expires"]), ("CN=plain", None))
        self.assertIn(odd.digest, gw.ctl("trust", "pending").stdout)

    def test_long_subjects_are_cut(self):
        """In the log, the audit file and the lists, with a sign that there was more."""
        gw = self.start(options='audit-file = "%s"' % os.path.join(self.directory(), "audit"))
        for n in (5, 150):  # attributes; the second one is as long as a handshake lets it be
            long = kf.AUTHORITY.make("long-%d" % n, subject="/CN=a" + n * ("/OU=" + 60 * "\x1b"))
            mark = gw.mark()
            self.assertFalse(self.trusted(gw, long))
            shown = self.await_pending(gw, long)["subject"]
            self.assertEqual((len(shown), shown[:7], shown[-3:]), (255, "OU=\\1B\\", "..."))
            line = gw.await_log("client refused.*" + long.digest, mark)
            self.assertLess(len(line), 1024)
            self.assertIn('..." key-proven=yes', line)
            told = kf.eventually(lambda: self.audit_lines(long.digest), "its line")
            self.assertEqual([t["subject"] for t in told], [shown])

    def audit_lines(self, about):
        with open(os.path.join(self.directory(), "audit"), encoding="ascii") as f:
            return [json.loads(l) for l in f if about in l and l.endswith("\n")]

    def directory(self):
        if not hasattr(self, "made"):
            self.made = kf.tempfile.mkdtemp(prefix="keyferry-trust-")
            self.addCleanup(kf.shutil.rmtree, self.made, ignore_errors=True)
        return self.made

    def test_the_list_is_bounded(self):
        gw = self.start()
        many = [kf.AUTHORITY.make("many-%d" % n) for n in range(7)]
        for c in many:
            self.assertFalse(self.trusted(gw, c))
        kf.eventually(lambda: gw.metrics()["handshakes_refused_total"] == 7, "seven refusals")
        self.assertEqual({p["sha256"] for p in self.pending(gw)}, {c.digest for c in many[-4:]})


class Server(Case):
    def fingerprint(self, certificate, digest):
        return kf.openssl("x509", "-in", certificate.pem, "-noout", "-fingerprint",
                          "-" + digest).decode().split("=")[1].strip()

    def test_show(self):
        gw = self.start()
        shown = gw.control("trust show")
        self.assertEqual(len(shown), 2)
        for document, certificate in zip(shown, gw.servers):
            self.assertEqual(document["use"], "now")
            for digest in ("sha1", "sha256"):
                self.assertEqual(document[digest], self.fingerprint(certificate, digest))
            text = kf.openssl("x509", "-in", certificate.pem, "-noout", "-subject", "-issuer",
                              "-serial", "-nameopt", "RFC2253").decode().splitlines()
            self.assertEqual(text, ["subject=" + document["subject"],
                                    "issuer=" + document["issuer"],
                                    "serial=" + document["serial"]])
            self.assertLess(document["not-before"], document["not-after"])
        self.assertIn(shown[0]["sha1"], gw.ctl("trust", "show").stdout)

    def test_the_next_certificate(self):
        """vCenter trusts it before it is used; the change closes no session."""
        following = kf.AUTHORITY.make("server-next")
        options = "next-certificate = %s" % files(following.pem)
        gw = self.gateway(tenants=[kf.Tenant("a", self.known())], start=False,
                          servers=[kf.AUTHORITY.make("server-ec")])
        first = self.read(gw.conf)
        self.write(gw, "keyferryd.conf", first.replace("tls {", "tls {\n  " + options, 1))
        gw.start()
        shown = gw.control("trust show")
        self.assertEqual([s["use"] for s in shown], ["now", "next"])
        self.assertEqual(shown[1]["sha256"], self.fingerprint(following, "sha256"))
        self.assertEqual(self.served(gw), gw.servers[0].der)
        session = gw.client()
        self.addCleanup(session.close)
        gw.servers = [following]
        gw.configure()
        mark = gw.mark()
        gw.ctl("reload")
        self.assertIn("sessions-closed=0", gw.await_log("reloaded", mark))
        session.ok(ttlv.item("DiscoverVersions"))
        self.assertEqual(self.served(gw), following.der)
        self.assertEqual([s["use"] for s in gw.control("trust show")], ["now"])
        self.write(gw, "keyferryd.conf", first.replace(
            "tls {", 'tls {\n  next-certificate = {"none.pem"}', 1))
        self.fails(gw, "reload", say="none.pem")

    def served(self, gw):
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", gw.port)))

    def test_expiry(self):
        soon = kf.AUTHORITY.make("ends-soon", start=-1, end=20)
        ended = kf.AUTHORITY.make("has-ended", start=-9, end=-1)
        server = kf.AUTHORITY.make("server-soon", start=-1, end=10)
        gw = self.start(certificates=[self.known(), soon, ended], servers=[server])
        log = gw.log()
        for certificate, what, words in ((soon, "client", "expires soon"),
                                         (ended, "client", "has expired"),
                                         (server, "server", "expires soon")):
            line = next(l for l in log.splitlines() if certificate.digest in l and "expiry" in l)
            self.assertRegex(line, "warn expiry: a certificate %s .*%s" % (words, what))
        self.assertNotRegex(log, "expiry.*" + self.known().digest)
        checks = {c["check"]: c for c in gw.control("health")[0]}
        self.assertEqual(checks["server certificates"]["state"], "warning")
        self.assertEqual(checks["client certificates"]["state"], "bad")
        now = time.time()
        counted = gw.metrics()
        self.assertAlmostEqual(counted["server_certificate_expiry_timestamp_seconds"],
                               now + 10 * 86400, delta=300)
        self.assertIn("expired: 1, to expire within 30 days: 1", checks["client certificates"]["say"])
        gw.tenants[0].certificates = [self.known()]
        gw.servers = [kf.AUTHORITY.make("server-ec")]
        gw.configure()
        gw.ctl("reload")
        checks = {c["check"]: c for c in gw.control("health")[0]}
        self.assertEqual({checks["server certificates"]["state"],
                          checks["client certificates"]["state"]}, {"good"})


if __name__ == "__main__":
    kf.main()
