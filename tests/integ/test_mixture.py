# SPDX-License-Identifier: Apache-2.0
"""Everything at once: sessions that behave beside sessions that break their records, stop in the
middle, reset, half close, send on without reading, or damage what they send; beside reloads, changes
of trust, sessions that are ended, caches that are emptied, storage children that stall or are killed,
and a key manager that fails for a moment.

Whoever behaves is answered rightly, or told that the gateway failed; nobody sees another tenant's
key; what was acknowledged is there, then and after the next start, and stands in the audit log; and
when all have gone nothing is left open, held or under way.  KEYFERRY_LONG=1: much longer.
KEYFERRY_SEED repeats what each of them draws.
"""

import collections
import contextlib
import os
import signal
import socket
import ssl
import threading
import time

import flood
import kf
import rawtls
import trail
import ttlv
from byhand import ByHand
from ttlv import item, on

SESSIONS = 400 if kf.LONG else 20 if kf.VAULT == "local" else 8  # of each client
RUDE, HONEST = 8, 2  # clients, and of the latter so many for each tenant
VERSIONS = ((1, 0), (1, 1), (1, 2), (1, 4), (2, 0))
TLS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
COMPROMISED = 2  # for which a key need not be active
TIMEOUT = 30.0
LIMITS = "tenant-request-rate-max = %d\n  tenant-sessions-max = %d"
STALL = 4.0  # seconds, which is longer than a request may take
PATIENCE = 120.0  # seconds more, in which whoever behaves gets enough answers
NAMES = {number: name for name, number in ttlv.OPS.items()}
GONE = (OSError, ssl.SSLError, kf.Closed)


# What a rude client does with a message; pause() takes a moment.

def pipelines(c, message, rnd, _):
    c.sock.sendall(c.encrypted(message * rnd.randrange(1, 6)))


def breaks_a_record(c, message, rnd, pause):
    c.sock.sendall(c.encrypted(message) + rawtls.record(rawtls.DATA, rnd.randbytes(32)))
    pause()


def sends_plain_bytes(c, message, rnd, pause):
    c.sock.sendall(c.encrypted(message) + rnd.randbytes(rnd.randrange(1, 100)))
    pause()


def resets(c, message, *_):
    c.sock.sendall(c.encrypted(message))
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, flood.RESET)


def half_closes(c, message, _, pause):
    c.sock.sendall(c.encrypted(message))
    c.sock.shutdown(socket.SHUT_WR)
    pause()


def cuts_a_record(c, message, rnd, pause):
    data = c.encrypted(message)
    at = rnd.randrange(len(data))
    c.sock.sendall(data[:at])
    pause()
    if rnd.random() < 0.5:
        c.sock.sendall(data[at:])


def cuts_a_message(c, message, rnd, pause):
    c.sock.sendall(c.encrypted(message[:rnd.randrange(1, len(message))]))
    pause()


def damages_a_message(c, message, rnd, pause):
    damaged = bytearray(message)
    damaged[rnd.randrange(8, len(damaged))] ^= 1 << rnd.randrange(8)  # so no Get becomes a Destroy
    c.sock.sendall(c.encrypted(bytes(damaged)))
    pause()


def says_farewell(c, message, _, pause):
    c.sock.sendall(c.encrypted(message))
    with contextlib.suppress(ssl.SSLError):  # it waits for the other's
        c.tls.unwrap()
    c.sock.sendall(c.outgoing.read())
    pause()


MANNERS = (pipelines, breaks_a_record, sends_plain_bytes, resets, half_closes, cuts_a_record,
           cuts_a_message, damages_a_message, says_farewell)


class Honest:
    """A client that makes keys, and what it knows of them."""

    def __init__(self, mixture, number, side):
        self.gw, self.side = mixture.gw, side
        self.rnd = kf.random_for("honest %d" % number)
        self.keys, self.destroyed = {}, []
        self.acknowledged, self.counts = collections.Counter(), collections.Counter()

    def lacks(self):
        """Whether most of its sessions fell into outages, which it runs through at full speed."""
        return self.counts["done"] <= SESSIONS / 2

    def session(self):
        try:
            with self.gw.client(self.side.certificate, timeout=TIMEOUT, tls=self.rnd.choice(TLS),
                                version=self.rnd.choice(VERSIONS[:3])) as c:
                self.makes_a_key(c)
                for _ in range(self.rnd.randrange(4)):
                    self.gets(c, self.rnd.choice(sorted(self.keys)) if self.keys else None)
                self.reaches_across(c)
                if len(self.keys) > 5:
                    self.ends_a_key(c)
            self.counts["sessions"] += 1
        except socket.timeout as e:
            raise AssertionError("it hangs") from e
        except GONE:
            if not self.side.is_limited:
                raise
            self.counts["ended"] += 1

    def do(self, c, what, *reasons):
        """Its result, which is a right one; or None when the gateway failed."""
        result = c.do(what)
        if result.status == ttlv.SUCCESS and not reasons:
            self.counts["done"] += 1
            self.acknowledged[trail.word(NAMES[result.operation]), result.uid] += 1
            return result
        if result.status == ttlv.SUCCESS or result.reason_name not in reasons + ("GeneralFailure",):
            raise AssertionError("unexpected: %r" % result)
        self.counts["failed" if result.reason_name == "GeneralFailure" else "refused"] += 1
        return None

    def makes_a_key(self, c):
        made = self.do(c, ttlv.create())
        if made is not None:
            self.keys[made.uid] = None
            self.do(c, on("Activate", made.uid))
            self.side.uids.append(made.uid)

    def gets(self, c, uid):
        got = self.do(c, on("Get", uid)) if uid else None
        if got is not None:
            assert len(got.key) == 32 and self.keys[uid] in (None, got.key), uid
            self.keys[uid] = got.key

    def reaches_across(self, c):
        """For another tenant's key."""
        if self.side.other.uids:
            uid = self.rnd.choice(self.side.other.uids)
            for what in (on("Get", uid), ttlv.revoke(uid), on("Destroy", uid)):
                self.do(c, what, "ItemNotFound")

    def ends_a_key(self, c):
        uid = self.rnd.choice(sorted(self.keys))
        del self.keys[uid]  # whatever becomes of it: nobody knows when an answer is lost
        if self.do(c, ttlv.revoke(uid, COMPROMISED)) and self.do(c, on("Destroy", uid)):
            self.destroyed.append(uid)

    def check(self):
        with self.gw.client(self.side.certificate, timeout=TIMEOUT) as c:
            for uid, key in self.keys.items():
                found = self.sure(c, uid).key
                assert len(found) == 32 and key in (None, found), uid
            for uid in self.destroyed:
                assert self.sure(c, uid).status == ttlv.FAILED, uid

    @staticmethod
    def sure(c, uid):
        """What a Get says when the storage is there."""
        def get():
            result = c.do(on("Get", uid))
            return None if result.status and result.reason_name == "GeneralFailure" else result
        return kf.eventually(get, "the storage is back", 30)


class Side:
    """A tenant, as its clients see it."""

    def __init__(self, tenant, late, is_limited):
        self.tenant, self.certificate = tenant, tenant.certificates[0]
        self.late = late  # a certificate that is trusted now and then, or never
        self.is_limited = is_limited  # so its sessions may be refused, and are ended
        self.uids, self.other = [], None


class Rude:
    """A client that does not wait for its answers."""

    lacks = staticmethod(lambda: False)

    def __init__(self, mixture, number):
        self.gw, self.sides = mixture.gw, mixture.sides
        self.rnd = kf.random_for("rude %d" % number)
        self.counts = collections.Counter()

    def pause(self):
        time.sleep(self.rnd.random() / 4)  # so that the gateway sees it at another moment

    def message(self, side):
        version = self.rnd.choice(VERSIONS)
        uid = self.rnd.choice(side.uids + ["nobody's"])
        foreign = self.rnd.choice(side.other.uids + ["nobody's"])
        create = ttlv.create() if version[0] == 1 else ttlv.create2()
        return ttlv.request(version, self.rnd.choice((
            on("Get", uid), on("Get", uid), item("Locate"), create, on("Destroy", foreign),
            on("Get", foreign), on("GetAttributeList", uid)))).encode()

    def session(self):
        side = self.rnd.choice(self.sides)
        certificate = self.rnd.choice((side.certificate, side.certificate, side.late))
        with contextlib.suppress(*GONE):
            c = ByHand(self.gw, certificate, self.rnd.choice(TLS))
            with c.sock:
                c.finish()
                for _ in range(self.rnd.randrange(1, 4)):
                    does = self.rnd.choice(MANNERS)
                    self.counts[does.__name__] += 1
                    does(c, self.message(side), self.rnd, self.pause)


class Administrator:
    """Changes what the others stand on."""

    def __init__(self, mixture):
        self.gw, self.limited = mixture.gw, mixture.sides[0]
        self.rnd, self.counts = kf.random_for("administrator"), collections.Counter()
        self.acts = [self.reload, self.trust_add, self.trust_remove, self.close, self.flush,
                     self.look] * 2 + [self.stall, self.kill] + (
                         [self.outage] if kf.VAULT == "keyprotect" else [])

    def act(self):
        act = self.rnd.choice(self.acts)
        self.counts[act.__name__] += 1
        act()
        time.sleep(self.rnd.random() / 2)  # long enough for some requests

    def reload(self):
        self.limited.tenant.options = LIMITS % (self.rnd.choice((0, 1, 5, 50)),
                                                self.rnd.choice((0, 5, 50)))
        self.gw.configure()
        self.gw.ctl("reload")

    def trust_add(self):
        self.gw.ctl("trust", "add", "a", self.limited.late.pem, check=False)  # it may be there

    def trust_remove(self):
        self.gw.ctl("trust", "remove", self.limited.late.digest, check=False)

    def close(self):
        self.gw.ctl("sessions", "close", "--tenant", "a", check=False)  # it may have none

    def flush(self):
        self.gw.ctl("cache", "flush")

    def look(self):
        for what in (("sessions",), ("keys", "list"), ("trust", "list"), ("status",)):
            self.gw.ctl(*what, check=False)  # a storage child may be away

    def child(self):
        return self.rnd.choice((self.gw.child_pid, self.gw.reader_pid))()

    def stall(self):
        with contextlib.suppress(ProcessLookupError):
            pid = self.child()
            if pid > 0:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.rnd.random() * STALL)
                os.kill(pid, signal.SIGCONT)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            pid = self.child()
            if pid > 0:
                os.kill(pid, signal.SIGKILL)

    def outage(self):
        cloud = kf.the_cloud()
        cloud.fault(port="api", **self.rnd.choice(({"status": 503}, {"status": 429},
                                                   {"end": "hang"})))
        time.sleep(self.rnd.random())
        cloud.admin("DELETE", "/faults")


class Mixture(kf.Case):
    def setUp(self):
        certificates = [kf.AUTHORITY.make(name) for name in ("vcenter", "second", "late", "stranger")]
        self.sides = [Side(kf.Tenant("a", certificates[0], options=LIMITS % (20, 25)),
                           certificates[2], True),
                      Side(kf.Tenant("b", certificates[1]), certificates[3], False)]
        for side, other in zip(self.sides, reversed(self.sides)):
            side.other = other
        self.gw = self.gateway(start=False, tenants=[side.tenant for side in self.sides])
        self.audit = os.path.join(self.gw.dir, "audit")
        self.gw.options = 'audit-file = "%s"\naudit-required = true\nrequest-timeout = 3s' % self.audit
        self.gw.configure()
        self.gw.start()

    def run_all(self, clients, administrator):
        done = threading.Event()

        def work(n):
            if n == len(clients):
                while not done.is_set():
                    administrator.act()
                return
            try:
                for _ in range(SESSIONS):
                    clients[n].session()
                patience = time.monotonic() + PATIENCE
                while clients[n].lacks() and time.monotonic() < patience:
                    clients[n].session()
            finally:
                ended.append(n)
                if len(ended) == len(clients):
                    done.set()
        ended = []
        kf.in_parallel(len(clients) + 1, work)

    def check_audit(self, honest):
        found = trail.done(trail.read_lines(self.audit))
        for client in honest:
            missing = client.acknowledged - found
            assert not missing, missing

    def test_everything_at_once(self):
        honest = [Honest(self, n, self.sides[n % 2]) for n in range(HONEST * 2)]
        rude = [Rude(self, n) for n in range(RUDE)]
        administrator = Administrator(self)
        self.run_all(honest + rude, administrator)
        self.assertIsNone(self.gw.process.poll(), "the gateway ended")
        for name, clients in (("honest", honest), ("rude", rude), ("acts", [administrator])):
            print("%s: %s" % (name, dict(sum((c.counts for c in clients), collections.Counter()))))
        for client in honest:
            self.assertFalse(client.lacks(), client.counts)
        self.gw.assert_idle(seconds=30)
        for again in (False, True):
            for client in honest:
                client.check()
            if not again:
                self.assertEqual(self.gw.stop(), 0)
                self.check_audit(honest)
                self.gw.start()


if __name__ == "__main__":
    kf.main()
