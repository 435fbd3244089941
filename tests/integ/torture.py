# SPDX-License-Identifier: Apache-2.0
"""A gateway whose allocations fail, and what its clients know for sure."""

import base64
import collections
import json
import os
import shutil
import socket
import ssl
import tempfile

import faults
import kf
import trail
import ttlv
from certificate_authority import Ca
from ttlv import get_attributes, on

TIMEOUT = 20.0  # no wait of the gateway's own is that short: who needs it hangs
CRYPTO = "a cryptographic operation failed"  # what OpenSSL says when it has no memory
OPERATIONS = {number: name for name, number in {**ttlv.OPS, **ttlv.OPS_2}.items()}


class Refused(Exception):
    """What may come of a failed allocation: an error of the gateway's, or a session that ends."""


class World:
    """A tenant with a pinned certificate, another one with an authority and its revocation list;
    tickets; an audit log without whose lines nothing is done."""

    def __init__(self, case, trace=False):
        self.shm = tempfile.mkdtemp(dir="/dev/shm", prefix="keyferry-torture-")
        case.addCleanup(shutil.rmtree, self.shm, ignore_errors=True)
        self.make_certificates()
        self.gw = case.gateway(start=False, tenants=self.tenants(), tls=self.tls())
        self.gw.options = 'audit-file = "%s"\naudit-required = true' % self.path("audit")
        self.gw.configure()
        self.faults = faults.Faults(self.path("faults"))
        self.trace = trace
        self.stacks = True  # of a leak, through libraries too: a start then takes four times as long
        self.keys = {}      # uid: key bytes, or None when they were never seen
        self.labels = {}    # uid: what its x-Name has to be
        self.undone = []    # objects that must not have one
        self.acknowledged = collections.Counter()  # (operation, uid), and ("command", its name)
        self.taken = [0, 0]    # of a limited key's uses: told, asked for
        self.trusted = None    # whether the late certificate is; None: who knows
        self.session = self.ticket = None
        self.shared, self.drawn, self.number = {}, [], 0  # of the steps

    def path(self, name):
        return os.path.join(self.gw.dir, name)

    def make_certificates(self):
        ca = Ca(self.shm, "CA")
        self.good, self.bad = (ca.client(n, "/CN=vpxd-" + n) for n in ("good", "bad"))
        self.late, self.stranger = (kf.AUTHORITY.make(n) for n in ("late", "stranger"))
        self.ca, self.crl = ca.pem, ca.crl("list.crl", self.bad)

    def tenants(self):
        options = 'client-ca = {"%s"}\n  client-subject = "CN=vpxd*"\n  crl-file = {"%s"}' % (
            self.ca, self.crl)
        return [kf.Tenant("a", kf.AUTHORITY.make("vcenter")), kf.Tenant("b", options=options)]

    def tls(self):
        path = os.path.join(self.shm, "ticket")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(os.urandom(32).hex())
        return 'resumption = true\n  resumption-tls12 = true\n  ticket-key-file = "%s"' % path

    def start(self):
        env = dict(self.faults.env)
        if self.stacks:
            env["ASAN_OPTIONS"] = "fast_unwind_on_malloc=0"
        if self.trace:
            env["KEYFERRY_FAULT_TRACE"] = "1"
        self.gw.start(env=env)

    # Sessions

    def connect(self, certificate=None, **kwargs):
        return self.gw.client(certificate, timeout=TIMEOUT, **kwargs)

    def c(self):
        """A session that is there before the step begins."""
        if self.session is None:
            self.session = self.connect()
        return self.session

    def drop(self):
        if self.session is not None:
            self.session.close()
            self.session = None

    # Requests

    def note(self, result, what):
        uid = result.payload.get("UniqueIdentifier") if result.payload else None
        self.acknowledged[trail.word(what), uid] += 1
        return result

    def judge(self, result, *reasons):
        """A result that must be right, or say that the gateway failed.  reasons: what is right
        instead of success."""
        if reasons and result.reason_name in reasons:
            return result
        if result.status == ttlv.SUCCESS and not reasons:
            return self.note(result, OPERATIONS[result.operation])
        if result.reason_name != "GeneralFailure" and result.message != CRYPTO:
            raise AssertionError("unexpected: %r" % result)
        raise Refused(result.reason_name)

    def do(self, item, *reasons, **kwargs):
        return self.judge(self.c().do(item, **kwargs), *reasons)

    def pay(self, item, **kwargs):
        return self.do(item, **kwargs).payload

    # Objects

    def made(self, *more):
        uid = self.do(ttlv.create(*more)).uid
        self.keys[uid] = None
        return uid

    def registered(self, material, mask, *more, **block):
        """An active key of known bytes."""
        uid = self.do(ttlv.register(material, *more, mask=mask, **block)).uid
        self.keys[uid] = material
        self.do(on("Activate", uid))
        return uid

    def a_key(self):
        """One that is there in each state of affairs: from before the faults."""
        return next(iter(self.keys))

    def forget(self, uid):
        """It may be gone, or not."""
        self.keys.pop(uid, None)
        self.labels.pop(uid, None)
        return uid

    def attributes(self, uid, *names):
        return self.do(get_attributes(uid, *names)).attributes()

    # Commands

    def control(self, command, *args):
        """The documents of a command, or what it was refused with."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT)
            s.connect(self.gw.socket_path)
            s.sendall("\t".join((command,) + args).encode() + b"\n")
            s.shutdown(socket.SHUT_WR)
            lines = b"".join(iter(lambda: s.recv(65536), b"")).split(b"\n")
        if lines[-1] or len(lines) < 2:
            raise Refused("cut short")
        last = json.loads(lines[-2])
        if last.get("status") != "ok":
            raise Refused(last)
        self.acknowledged["command", command] += 1
        return [json.loads(line) for line in lines[:-2]]

    def is_listed(self):
        """Whether the late certificate is trusted, as the list has it."""
        return any(row.get("sha256") == self.late.digest for row in self.control("trust list")[0])

    def trust_late(self):
        with open(self.late.pem, encoding="ascii") as f:
            der = ssl.PEM_cert_to_DER_cert(f.read())
        self.control("trust add", "=a", "der=" + base64.b64encode(der).decode())

    # What holds whatever failed

    def gets_in(self, certificate, **kwargs):
        """Whether the gateway answers whoever shows it."""
        try:
            with self.connect(certificate, **kwargs) as c:
                self.judge(c.do(ttlv.item("DiscoverVersions")))
            return True
        except (ssl.SSLError, ConnectionError, kf.Closed):
            return False

    def is_whole(self):
        """Each kind of client is served, and whoever must stay outside does."""
        for ciphers in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"):
            with self.connect(tls=ssl.TLSVersion.TLSv1_2, ciphers=ciphers) as c:
                assert c.key(self.a_key()) == self.keys[self.a_key()]
        for tls in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert self.gets_in(self.good, tls=tls), "the authority's client is refused"
            assert not self.gets_in(self.bad, tls=tls), "a revoked one is served"
        reused, _ = kf.resume(self.gw, self.good, ssl.TLSVersion.TLSv1_3, self.known_ticket())
        assert reused, "a ticket from before is not taken"

    def known_ticket(self):
        """One that a session of this gateway got, some time ago."""
        if self.ticket is None:
            _, self.ticket = kf.resume(self.gw, self.good, ssl.TLSVersion.TLSv1_3, None)
        return self.ticket

    def check(self):
        """All that was acknowledged is there."""
        with self.gw.client() as c:
            for uid, key in self.keys.items():
                material = c.key(uid)
                assert key is None or material == key, uid
                assert len(material) >= 16, uid
            for uid, value in self.labels.items():
                assert self.seen(c, uid) == value, (uid, value)
            for uid in self.undone:
                assert self.seen(c, uid) is None, uid
        if self.trusted is not None:
            assert self.gets_in(self.late) == self.trusted, "trust"

    @staticmethod
    def seen(c, uid):
        return c.do(get_attributes(uid, "x-Name")).attributes().get("x-Name", [None])[0]

    def check_audit(self):
        """Of a gateway that was stopped: no line of what was acknowledged is missing."""
        missing = self.acknowledged - trail.done(trail.read_lines(self.path("audit")))
        assert not missing, missing
