# SPDX-License-Identifier: Apache-2.0
"""Hostile and unlucky clients: who stops, drips, lies, breaks off or floods, at each point of the
protocol.  Each connection ends, is counted once and for its reason, and costs others nothing: honest
clients are asked beside them all the time, and each of their answers has to come."""

import collections
import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

import apart
import flood
import kf
import processes
import rawtls
import scrape
import ttlv
from byhand import ByHand
from kf import LONG
from rawtls import extension, hello, record, usual_extensions
from test_limits import raise_descriptors
from ttlv import item, on

T12, T13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
OUTCOMES = ("ok", "refused", "failed", "timeout", "silent", "left", "over_share", "stalled")
REASONS = ("not TLS", "version", "algorithms", "malformed", "too long", "proof", "alert", "closed",
           "reset", "memory")
RESET = struct.pack("ii", 1, 0)


class Hand(ByHand):
    """A client whose flights are cut as one likes."""

    def __init__(self, gw, certificate, tls, timeout=60.0):
        super().__init__(gw, certificate)
        context = kf.context(certificate, (tls, tls))
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def flight(self):
        """What it says next; None when it has nothing to say before it has heard more."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read() or None

    def next_flight(self):
        data = self.flight()
        while data is None:
            self.hear()
            data = self.flight()
        return data

    def leave(self, how):
        """FIN, RST, or half: no more is sent, and the end awaited."""
        with contextlib.suppress(OSError):
            if how == "RST":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif how == "half":
                self.sock.shutdown(socket.SHUT_WR)
                wait_for_end(self.sock)
        self.sock.close()


def wait_for_end(sock, seconds=60.0):
    """Reads until the gateway has closed it."""
    sock.settimeout(seconds)
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass


class Case(kf.Case):
    def setUp(self):
        raise_descriptors()
        self.vcenter = kf.AUTHORITY.make("vcenter")

    def start(self, options="", **kwargs):
        self.gw = self.gateway(options='log-level = "info"\n' + options, **kwargs)
        self.honest = self.gw.client()
        self.addCleanup(self.honest.close)
        self.uid = self.honest.create()
        self.key = self.honest.key(self.uid)
        self.fresh = kf.context(self.vcenter)
        self.served = 0
        return self.gw

    def serve_honest(self, sessions=1, gets=1):
        """A client that is there already, and others that come for a key."""
        for _ in range(gets):
            self.assertEqual(self.honest.key(self.uid), self.key)
        for _ in range(sessions):
            self.fetch()
        self.served += sessions + gets

    def fetch(self, source=None):
        with kf.Client(self.gw, None, connect=False, timeout=120) as c:
            c.context, c.source = self.fresh, source
            c.connect()
            self.assertEqual(c.key(self.uid), self.key)

    def raw(self, data=b"", timeout=60.0):
        s = socket.create_connection(("127.0.0.1", self.gw.port), timeout=timeout)
        self.addCleanup(s.close)
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
        return s

    def counts(self):
        m = scrape.metrics(self.gw)
        found = {name: m.of("handshakes_%s_total" % name) for name in OUTCOMES}
        found.update({r: m.of("handshake_failures_total", "reason=" + r) for r in REASONS})
        found["sessions"] = m.of("sessions_total")
        work = {key[1]: value for key, value in m.items()
                if key[0] == "keyferry_handshake_work_seconds_sum"}
        found["timed"] = sum(value for key, value in m.items()
                             if key[0] == "keyferry_handshake_work_seconds_count")
        found["for nothing"] = sum(work.values()) - work.get("result=ok", 0)
        return found

    def balanced(self):
        """The counts, once each connection has one outcome and a time that it took of the loop, and each
        failure one reason."""
        counts = {}

        def look():
            counts.update(self.counts())
            return (sum(counts[name] for name in OUTCOMES) == counts["sessions"] == counts["timed"]
                    and
                    sum(counts[r] for r in REASONS) == counts["failed"])
        kf.eventually(look, counts, 60)
        return counts

    def idle(self):
        """Only the honest client is left."""
        kf.eventually(lambda: self.gw.metrics()["sessions"] == 1, "all others are gone", 60)

    @contextlib.contextmanager
    def counted(self, **expect):
        """Each connection made meanwhile has one outcome, and a failure one reason; others are served
        beside them.  expect: outcomes and reasons that have to have grown by that much; other outcomes
        but ok may not."""
        before = self.balanced()
        served = self.served
        grown = {}
        yield grown
        self.idle()
        after = self.balanced()
        grown.update({name: int(after[name] - before[name]) for name in after})
        self.assertGreater(self.served, served)
        for name in OUTCOMES[1:] if expect else ():
            self.assertEqual(grown[name], expect.pop(name, 0), (name, grown))
        for name, count in expect.items():
            self.assertEqual(grown[name.replace("_", " ")], count, (name, grown))


class Slow(Case):
    def expect_no_keys(self, heap):
        """But those that the vault keeps opened for a while."""
        def none_left():
            self.gw.control("cache flush")
            return self.gw.metrics()["secure_heap_used"] <= heap
        kf.eventually(none_left, "no key is left")

    def test_every_byte_on_its_own(self):
        """The record's header, the hello, the certificates, the message: all in single bytes."""
        self.start('handshake-timeout = "5min"\nrequest-timeout = "5min"')
        heap = self.gw.metrics()["secure_heap_used"]
        request = ttlv.request((1, 1), on("Get", self.uid)).encode()
        with self.counted(failed=0):
            for tls in (T12, T13):
                h = Hand(self.gw, self.vcenter, tls)
                for _ in range(2):
                    for n, byte in enumerate(h.next_flight()):
                        h.sock.sendall(bytes([byte]))
                        if n < 100:  # by the next answer this byte was taken on its own
                            self.serve_honest(sessions=0)
                        elif n % 200 == 0:
                            self.serve_honest()
                while not self.is_done(h):
                    h.hear()
                for n, byte in enumerate(request):
                    for piece in h.encrypted(bytes([byte])):
                        h.sock.sendall(bytes([piece]))
                    if n % 40 == 0:
                        self.serve_honest()
                self.assertEqual(ttlv.Answer(self.answer(h)).items[0].status, ttlv.SUCCESS)
                h.sock.close()
        self.assertGreaterEqual(self.gw.metrics()["handshakes_dripped_total"], 1)
        self.expect_no_keys(heap)

    @staticmethod
    def is_done(h):
        try:
            h.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    @staticmethod
    def answer(h):
        data = b""
        while len(data) < 8 or len(data) < 8 + int.from_bytes(data[4:8], "big"):
            try:
                data += h.tls.read(65536)
            except ssl.SSLWantReadError:
                h.hear()
        return data

    def stop_at(self, tls, point):
        """A client that goes so far and no further."""
        h = Hand(self.gw, self.vcenter, tls)
        self.addCleanup(h.sock.close)
        if point == "connected":
            return h
        first = h.next_flight()
        h.sock.sendall({"record header": first[:3], "hello": first[:60]}.get(point, first))
        if point in ("record header", "hello", "hello said"):
            return h
        second = h.next_flight()
        h.sock.sendall(second[:len(second) // 2] if point == "certificates" else second)
        if point == "certificates":
            return h
        while not self.is_done(h):
            h.hear()
        request = ttlv.request((1, 1), on("Get", self.uid)).encode()
        cut = {"open": 0, "message header": 4, "message": len(request) - 1,
               "answer": len(request)}[point]
        if cut:
            h.sock.sendall(h.encrypted(request[:cut]))
        return h

    BEFORE = ("connected", "record header", "hello", "hello said", "certificates")
    AFTER = ("message header", "message", "answer", "open")

    def test_stops_for_good(self):
        """All at once: each runs into its deadline, which no byte extends."""
        self.start('handshake-timeout = "5s"\nrequest-timeout = "5s"\nidle-timeout = "5s"')
        self.honest.close()
        several = []
        before = self.counts()
        for tls in (T12, T13):
            for point in self.BEFORE + self.AFTER:
                several.append(self.stop_at(tls, point))
        for h in several:
            wait_for_end(h.sock)
            h.sock.close()
        self.gw.assert_idle(seconds=60)
        after, m = self.counts(), self.gw.metrics()
        self.assertEqual(after["timeout"] - before["timeout"], 2 * len(self.BEFORE))
        self.assertEqual(after["ok"] - before["ok"], 2 * len(self.AFTER))
        self.assertEqual(after["failed"], before["failed"])
        self.assertEqual(m["request_timeout_total"], 4)  # header and message
        self.assertGreaterEqual(m["idle_timeout_total"], 4)  # nothing more, and after an answer
        self.assert_fine(self.gw)

    def test_leaves_at_each_point(self):
        """By the end of the connection, by a reset, and by half of it."""
        self.start()
        heap = self.gw.metrics()["secure_heap_used"]
        with self.counted() as grown:
            for tls in (T12, T13):
                for how in ("FIN", "RST", "half"):
                    for point in self.BEFORE + self.AFTER:
                        self.stop_at(tls, point).leave(how)
                    self.serve_honest()
        self.assertEqual(grown["ok"], 6 * len(self.AFTER) + 6)
        self.assertEqual(grown["failed"] + grown["left"], 6 * len(self.BEFORE), grown)
        self.assertEqual(grown["closed"] + grown["reset"], grown["failed"], grown)
        self.expect_no_keys(heap)

    def rest_of(self, h):
        """What the gateway says yet, decrypted."""
        with contextlib.suppress(kf.Closed, ConnectionError):
            while True:
                h.hear()
        data = b""
        with contextlib.suppress(ssl.SSLError):
            while piece := h.tls.read(65536):
                data += piece
        return data

    def test_half_closed(self):
        """Who shuts down its side, with a goodbye or without, has left: its session ends at once, not with
        a deadline.  A whole request before it is answered as a whole or not at all, by what comes first;
        half of one never, and it is no bad request."""
        self.start('request-timeout = "5min"\nidle-timeout = "1h"')
        request = ttlv.request((1, 1), on("Get", self.uid)).encode()
        answers = []
        before = self.gw.metrics()
        with self.counted(failed=0):
            for tls in (T12, T13):
                for goodbye in (False, True):
                    for size in (len(request), len(request) - 1, 4):
                        h = self.stop_at(tls, "open")
                        h.sock.sendall(h.encrypted(request[:size]))
                        if goodbye:
                            with contextlib.suppress(ssl.SSLError):
                                h.tls.unwrap()
                            h.sock.sendall(h.outgoing.read())
                        h.sock.shutdown(socket.SHUT_WR)
                        answer = self.rest_of(h)
                        h.sock.close()
                        if size < len(request):
                            self.assertEqual(answer, b"")
                        elif answer:
                            answers.append(ttlv.Answer(answer).items[0].key)
                self.serve_honest()
        self.assertEqual(set(answers) - {self.key}, set())
        after = self.gw.metrics()
        for name in ("requests_bad_total", "request_timeout_total", "idle_timeout_total"):
            self.assertEqual(after[name], before[name], name)
        print("%d of 4 requests answered to who shut down its side" % len(answers), flush=True)

    def test_alerts_at_each_point(self):
        """Fatal ones end it; those that warn, some of them, as well in the end."""
        self.start()
        with self.counted() as grown:
            h = self.stop_at(T12, "hello said")  # whoever leaves as well may be seen by that alone
            h.sock.sendall(rawtls.alert(rawtls.FATAL, rawtls.INTERNAL))
            wait_for_end(h.sock)
            for tls in (T12, T13):
                for point in self.BEFORE + ("open", "message header"):
                    for what in ((rawtls.FATAL, rawtls.INTERNAL), (rawtls.WARNING,
                                                                   rawtls.CLOSE_NOTIFY)):
                        h = self.stop_at(tls, point)
                        with contextlib.suppress(ConnectionError):
                            h.sock.sendall(rawtls.alert(*what))
                        h.leave("half")
                self.serve_honest()
            h = self.stop_at(T12, "hello said")  # the others may have gone before theirs is read
            h.sock.sendall(rawtls.alert(rawtls.FATAL, rawtls.INTERNAL))
            wait_for_end(h.sock)
            h.sock.close()
            s = self.raw()
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    s.sendall(rawtls.alert(rawtls.WARNING, rawtls.CANCELLED))
            wait_for_end(s)
            s.close()
        self.assertEqual(grown["ok"], 2 * 2 * 2 + 2)
        self.assertGreaterEqual(grown["alert"], 1)
        self.assertEqual((grown["refused"], grown["timeout"]), (0, 0))

    def test_does_not_read(self):
        """Asks and never reads: held back, and ended when that takes too long."""
        self.start('request-timeout = "1s"')
        h = self.stop_at(T13, "open")
        many = ttlv.request((1, 1), *[on("Get", self.uid, ubid=b"%d" % n)
                                      for n in range(20)]).encode()
        h.sock.setblocking(False)
        rest = b""

        def ended():
            nonlocal rest
            with contextlib.suppress(BlockingIOError):
                for _ in range(100):
                    rest = rest or h.encrypted(many)
                    rest = rest[h.sock.send(rest):]
            self.serve_honest()
            return False
        with self.assertRaises(ConnectionError):
            kf.eventually(ended, "it is ended", 120)
        self.assertEqual(self.gw.metrics()["request_timeout_total"], 1)
        h.sock.close()
        self.idle()


# What a client may begin with: the reason that it is counted for, or None: it is answered, and then
# leaves.
OPENINGS = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n", "not TLS"),
    "HTTP through a proxy": (b"CONNECT kms:443 HTTP/1.1\r\n\r\n", "not TLS"),
    "KMIP without TLS": (ttlv.request((1, 1), item("DiscoverVersions")).encode(), "not TLS"),
    "a hello of SSL 2": (rawtls.sslv2_hello(), ("version", "malformed", "not TLS")),
    "zeros": (bytes(100), "not TLS"),
    "TLS 1.0": (hello(usual_extensions(False), version=0x0301), "version"),
    "SSL 3": (hello(usual_extensions(False), version=0x0300), "version"),
    "only a version to come": (hello([extension(43, b"\2\x7f\x1c")] + usual_extensions(False)),
                               "version"),
    "no algorithm that we have": (hello(usual_extensions(False), suites=(0x0005, 0x000A)),
                                  "algorithms"),
    "no algorithm at all": (hello(suites=()), ("malformed", "algorithms")),
    "a curve that we do not have": (
        hello([extension(10, b"\0\2\0\x16")] + usual_extensions()[1:]), ("algorithms",
                                                                        "malformed")),
    "a share that is no point": (
        hello(usual_extensions()[:-1] + [extension(51, rawtls.vector(
            rawtls.numbers(23) + rawtls.vector(b"\4" + bytes(64), 2), 2))]), "malformed"),
    "a record that is too long": (record(rawtls.HANDSHAKE, bytes(100), length=0x4900), "too long"),
    "a hello of 16 MiB": (record(rawtls.HANDSHAKE, b"\1\xff\xff\xff" + bytes(1000)), "too long"),
    "a hello that lies about its length": (
        record(rawtls.HANDSHAKE, rawtls.hello_message(length=40)), "malformed"),
    "an alert": (rawtls.alert(rawtls.FATAL, rawtls.UNEXPECTED), "malformed"),
    "an alert of three bytes": (record(rawtls.ALERT, b"\2\0\0"), "malformed"),
    "data": (record(rawtls.DATA, bytes(100)), "malformed"),
    "ChangeCipherSpec": (record(rawtls.CCS, b"\1"), "malformed"),
    "a heartbeat": (record(rawtls.HEARTBEAT, b"\1\xff\xff" + bytes(20)), "malformed"),
    "a record of no kind": (record(99, bytes(20)), ("malformed", "not TLS")),
    "empty records": (record(rawtls.HANDSHAKE, b"") * 100, "malformed"),
    "Finished": (record(rawtls.HANDSHAKE, b"\x14\0\0\x0c" + bytes(12)), "malformed"),
    "two hellos": (hello() * 2, "malformed"),
    "compression only": (hello(usual_extensions(False), suites=rawtls.SUITES_12,
                               compressions=b"\1"), "malformed"),
    "compression as well": (hello(usual_extensions(False), suites=rawtls.SUITES_12,
                                  compressions=b"\1\0"), None),
    "no compression method": (hello(compressions=b""), "malformed"),
    "a session id of 33 bytes": (hello(session=bytes(33)), "malformed"),
    "an extension twice": (hello(usual_extensions() + [extension(13, rawtls.vector(
        rawtls.numbers(0x0403), 2))]), "malformed"),
    "an unknown extension twice": (
        hello(usual_extensions() + 2 * [extension(0xFE00, b"")]), ("malformed", None)),
    "1,000 unknown extensions": (
        hello(usual_extensions() + [extension(0xF000 + n, b"x") for n in range(1000)]), None),
    "an extension of 60 kB": (hello(usual_extensions() + [extension(0xFE00, bytes(60000))]), None),
    "an extension that is longer than all": (
        hello(usual_extensions() + [struct.pack(">HH", 0xFE00, 60000)]), "malformed"),
    "a hello in records of a byte": (rawtls.in_records(rawtls.hello_message(), 1), None),
    "a server name with a zero": (
        hello(usual_extensions() + [extension(0, rawtls.vector(b"\0" + rawtls.vector(
            b"a\0b", 2), 2))]), "malformed"),
    "odd groups and signatures": (
        hello([extension(10, rawtls.vector(rawtls.numbers(*range(1, 3000), 23), 2))] +
              usual_extensions()[1:]), None),
    "early data without a key for it": (
        hello(usual_extensions() + [extension(42, b"")]) +
        record(rawtls.DATA, bytes(16384)) * 8, "malformed"),
}


class Odd(Case):
    def test_openings(self):
        """Whatever comes first: an answer or the end, counted for its reason."""
        self.start('handshake-timeout = "20s"')
        for case, (data, reasons) in OPENINGS.items():
            reasons = reasons if isinstance(reasons, tuple) else (reasons,)
            with self.subTest(case=case):
                answered = b""
                with self.counted() as grown:
                    s = self.raw(data)
                    if None in reasons:
                        with contextlib.suppress(ConnectionError):
                            answered = s.recv(1)
                            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                            s.close()
                    else:
                        wait_for_end(s)
                        s.close()
                    self.serve_honest(sessions=0)
                if None in reasons and answered == b"\x16":
                    self.assertEqual(grown["closed"] + grown["reset"], 1, grown)
                else:
                    self.assertEqual(sum(grown[r] for r in reasons if r), 1, grown)
                self.assertEqual(grown["failed"], 1)
        self.serve_honest()

    def test_nothing_is_compressed(self):
        """Who offers to compress is answered without."""
        self.start()
        with self.raw(OPENINGS["compression as well"][0]) as s:
            kind, answer = rawtls.read_record(s)
            self.assertEqual(kind, rawtls.HANDSHAKE)
            suite, compression = rawtls.chosen(answer)
            self.assertIn(suite, rawtls.SUITES_12)
            self.assertEqual(compression, 0)
        self.serve_honest(sessions=0)

    def s_client(self, tls, *talk):
        """What openssl's client printed.  talk: pairs of a line that it is told, or None, and what it
        then prints; each once the last was done, as what stands in one read is no command."""
        with subprocess.Popen(
                ["stdbuf", "-o0", "openssl", "s_client", "-connect", "127.0.0.1:%d" % self.gw.port,
                 tls, "-cert", self.vcenter.pem, "-key", self.vcenter.key], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
            said = bytearray()
            reader = threading.Thread(target=lambda: [said.extend(b) for b in iter(
                lambda: p.stdout.read1(4096), b"")])
            reader.start()
            kf.eventually(lambda: self.gw.metrics()["sessions"] == 2 and
                          self.gw.metrics()["handshakes"] == 0, "it is there", 60)
            for n, (line, text) in enumerate(talk, 1):
                if line is not None:
                    p.stdin.write(line + b"\n")
                    p.stdin.flush()
                times = [t for _, t in talk[:n]].count(text)
                kf.eventually(lambda: said.count(text) >= times, "%r, %d times" % (text, times), 60)
                self.serve_honest(sessions=0)
            p.stdin.close()
            p.wait(60)
            reader.join()
            return said.decode()

    def test_renegotiation(self):
        self.start()
        with self.counted(failed=0):
            said = self.s_client("-tls1_2", (b"R", b"no renegotiation"))
        self.assertRegex(said, "RENEGOTIATING(.|\n)*no renegotiation")
        self.serve_honest()

    def test_key_updates(self):
        self.start()
        with self.counted(failed=0):
            said = self.s_client("-tls1_3", *[(b"K", b"KEYUPDATE"), (b"k", b"KEYUPDATE")] * 5)
        self.assertEqual(said.count("KEYUPDATE"), 10)
        self.serve_honest()

    def test_early_data(self):
        """Where sessions are resumed a ticket says that none is taken."""
        self.start("tls { resumption = true }")
        with self.counted(failed=0):
            said = self.s_client("-tls1_3", (None, b"Max Early Data"))
        self.assertIn("New Session Ticket", said)
        self.assertRegex(said, "Max Early Data: 0")
        self.serve_honest()

    def long_chain(self, name, size, certificates):
        """A client that shows so many certificates, each of some so many bytes."""
        with open(os.path.join(kf.AUTHORITY.dir, name + ".cnf"), "w", encoding="ascii") as f:
            f.write("[req]\ndistinguished_name = d\nx509_extensions = e\n[d]\n[e]\n"
                    "nsComment = %s\n" % ("x" * size))
        made = kf.Certificate(*(os.path.join(kf.AUTHORITY.dir, name + end)
                                for end in (".pem", ".key")))
        kf.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                   "-nodes", "-config", f.name, "-subj", "/CN=" + name, "-days", "30", "-keyout",
                   made.key, "-out", made.pem)
        with open(made.pem, encoding="ascii") as f:
            text = f.read()
        with open(made.pem, "w", encoding="ascii") as f:
            f.write(text * certificates)
        return made

    def test_huge_certificates(self):
        """100 kB of certificates are not read; 30 kB are, and their owner is refused in order."""
        self.start()
        for name, size, certificates, reason in (("huge", 100000, 1, "too long"),
                                                 ("many", 1000, 100, "too long"),
                                                 ("large", 30000, 1, None)):
            client = self.long_chain(name, size, certificates)
            for tls in (T12, T13):
                with self.subTest(name=name, tls=tls), self.counted() as grown:
                    with self.assertRaises((ssl.SSLError, ConnectionError, kf.Closed)):
                        with kf.Client(self.gw, client, tls=tls) as c:
                            c.ok(item("DiscoverVersions"))
                    self.serve_honest()
                self.assertEqual(grown["refused"], 0 if reason else 1, grown)
                self.assertEqual(grown["failed"], 1 if reason else 0, grown)
                self.assertEqual(grown["too long"], 1 if reason else 0, grown)


class Floods(Case):
    """A program beside us keeps as many connections open as it can.  Honest clients come all the
    same, one after the other: from an address that is known, and each from a new one; and one asks whose
    session is open.  Where the gateway has a core of its own (apart.py) nobody known is cut off, and in the
    long run they wait for no more than twice as long as without the flood, and SLACK."""

    HONEST = 200 if LONG else 10
    FIRST_SECONDS = 10 if LONG else 0  # told by themselves: the flood's addresses are new
    KINDS = ("known", "new", "Get")
    # In seconds: of the turns of handshakes (1 ms, and the step that was begun then), those that a session
    # waits for: with its connection, its hello and its Finished.
    SLACK = 0.010

    def start(self, options="", **kwargs):
        self.newcomers = 0
        self.cut = collections.Counter()
        super().start('handshake-timeout = "5min"\n' + options, own_session=True, **kwargs)

    def fetch(self, source=None):
        """Somebody who is cut off comes again, and is counted."""
        end = time.monotonic() + 120
        while True:
            try:
                return super().fetch(source)
            except (ConnectionError, ssl.SSLError, kf.Closed):
                self.cut["new" if source else "known"] += 1
                self.assertLess(time.monotonic(), end)

    def come(self, kind):
        if kind == "Get":
            self.serve_honest(sessions=0)
        elif kind == "known":
            self.serve_honest(gets=0)
        else:
            self.newcomers += 1
            self.fetch("127.2.%d.%d" % (self.newcomers // 250, self.newcomers % 250 + 1))

    def measure(self, seconds=0):
        """p99, in seconds, of HONEST of each kind, or of those of this time, if they are more."""
        took = {kind: [] for kind in self.KINDS}
        end = time.perf_counter() + seconds
        while len(took["Get"]) < self.HONEST or time.perf_counter() < end:
            for kind, several in took.items():
                began = time.perf_counter()
                self.come(kind)
                several.append(time.perf_counter() - began)
            self.assert_limits()
        return {kind: sorted(t)[int(0.99 * (len(t) - 1))] for kind, t in took.items()}

    def is_not_held_back(self):
        """Whether clients come in without waiting until the patience with somebody of the flood is over.
        That happens while its addresses are new, and not again."""
        before = self.gw.metrics()["handshakes_ceiling_total"]
        self.serve_honest(sessions=10)
        return self.gw.metrics()["handshakes_ceiling_total"] - before < 5

    def assert_limits(self):
        m = self.gw.metrics()
        self.assertLessEqual(m["handshakes"], m["handshakes_limit"])
        self.assertLessEqual(m["sessions"], m["sessions_limit"])

    def flood(self, kind, addresses, connections, full=True, certificate=None):
        """full: it comes to fill the ceiling of handshakes."""
        with apart.kept(self.gw) as judged:
            normal = self.measure()
            with flood.Running(self.gw, kind, addresses, connections, certificate) as f:
                first = self.measure(self.FIRST_SECONDS)
                ceiling = min(self.gw.metrics()["handshakes_limit"], connections)
                if full:
                    kf.eventually(lambda: self.gw.metrics()["handshakes"] >= ceiling, "a flood", 60)
                else:
                    opened = f.opened()
                    kf.eventually(lambda: f.opened() > opened + 50, "a flood", 60)
                kf.eventually(self.is_not_held_back, "the flood is known", 120)
                began, busy = time.perf_counter(), processes.cpu_seconds(self.gw.process.pid)
                beside = self.measure()
                busy = processes.cpu_seconds(self.gw.process.pid) - busy
                busy /= time.perf_counter() - began
                opened = f.opened()
        self.idle()
        counts = self.balanced()
        self.tell("%s, %d connections from %d addresses (%d in all, which took %.1f s of the loop; the "
                  "gateway %d %% busy)" % (kind, connections, addresses, opened, counts["for nothing"],
                                           100 * busy), without=normal, first=first, beside=beside)
        self.judge(judged, normal, beside)
        return counts

    def tell(self, what, **p99):
        print("%s: p99 in ms: %s; cut off: %s" % (what, ", ".join(
            "%s: %s" % (when, " ".join("%s %.1f" % (kind, 1e3 * took[kind]) for kind in self.KINDS))
            for when, took in p99.items()), dict(self.cut) or "nobody"), flush=True)

    def judge(self, judged, normal, beside, waits=0.0):
        """waits: seconds that are promised to a session at most, more than usual."""
        if not judged:
            if LONG:
                self.skipTest("not judged: the gateway has no core of its own")
            return
        self.assertEqual(self.cut["known"], 0)
        for kind, more in (("known", waits), ("Get", 0)) if LONG else ():
            self.assertLessEqual(beside[kind], 2 * normal[kind] + self.SLACK + more, kind)

    def test_one_address_has_all_handshakes(self):
        """It fills the ceiling, and the queue behind it."""
        self.start("handshakes-max = 64")
        counts = self.flood("hello", 1, 150)
        self.assertGreater(counts["over_share"], 0, counts)

    def test_one_address_has_all_sessions(self):
        """The same with a ceiling of sessions."""
        self.start("sessions-max = 64")
        with apart.kept(self.gw) as judged, flood.Running(self.gw, "hello", 1, 150):
            kf.eventually(lambda: self.gw.metrics()["sessions"] == 64, "a flood", 60)
            self.serve_honest(3, 3)
            self.assert_limits()
        self.assertEqual(self.cut["known"] * judged, 0)
        self.idle()
        self.assertGreater(self.counts()["over_share"], 0)

    def test_many_addresses_have_all_handshakes(self):
        addresses = 1000 if LONG else 150
        self.start("handshakes-max = %d" % (addresses // 2))
        counts = self.flood("hello", addresses, addresses)
        self.assertGreater(counts["stalled"], 0, counts)
        self.assertEqual(counts["over_share"], 0, counts)
        self.assertGreater(counts["for nothing"], 0, counts)

    def test_silent(self):
        self.start("handshakes-max = 64")
        counts = self.flood("silent", 100, 150)
        self.assertGreater(counts["silent"], 0, counts)

    def test_flood_from_a_known_address(self):
        """Such as that behind which honest hosts are: whoever comes waits in the kernel's queue behind the
        flood, which has half a second for each place above a quarter of them (check_relief:
        a_queue_moves_by_the_ceiling).  Open sessions do not wait, and nobody is cut off."""
        ceiling, connections = 64, 150
        batches = 1 + (connections - ceiling) // (ceiling - ceiling // 4 - 1)
        self.start("handshakes-max = %d" % ceiling)
        with apart.kept(self.gw) as judged:
            normal = self.measure()
            with flood.Running(self.gw, "hello", 0, connections):
                kf.eventually(lambda: self.gw.metrics()["handshakes"] == ceiling, "a flood", 60)
                beside = self.measure(self.FIRST_SECONDS)
        self.tell("a flood from a known address", without=normal, beside=beside)
        self.judge(judged, normal, beside, 0.51 * (batches + 1))  # and what was left of one
        self.idle()
        self.assertGreater(self.counts()["over_share"], 0)

    def test_drips(self):
        self.start()
        self.flood("drip", 50, 1000 if LONG else 100, full=False)
        self.assertGreater(self.gw.metrics()["handshakes_dripped_total"], 0)

    def test_no_tls(self):
        self.start()
        counts = self.flood("garbage", 50, 20, full=False)
        self.assertGreater(counts["not TLS"] + counts["left"], 50)

    def test_strangers(self):
        """What costs most: all of a handshake, with a certificate that nobody knows."""
        self.start()
        counts = self.flood("stranger", 50, 20, full=False, certificate=kf.AUTHORITY.make("nobody"))
        self.assertGreater(counts["refused"] + counts["left"], 50)
        self.assertGreater(counts["refused"], 0)
        self.assertGreater(counts["for nothing"], 0)

    def test_resets(self):
        self.start()
        counts = self.flood("reset", 50, 20, full=False)
        self.assertGreater(counts["reset"] + counts["left"], 50)

    def test_hosts_behind_one_address(self):
        """All from one address, and more than the ceiling: none is ended.  None is slow: they have machines
        of their own."""
        hosts = 2000 if LONG else 40
        self.start("" if LONG else "handshakes-max = 10")
        with self.counted() as grown, apart.kept(self.gw) as judged:
            with subprocess.Popen(
                    (["chrt", "-f", "2"] if judged else []) +
                    [kf.program("keyferry-bench"), "-s", "127.0.0.1:%d" % self.gw.port, "--cert",
                     self.vcenter.pem, "--key", self.vcenter.key, "--ca", self.gw.ca(), "-n",
                     str(hosts), "-p", "5min", "-q", "storm"], stdout=subprocess.DEVNULL) as storm:
                kf.eventually(lambda: self.serve_honest(sessions=0) or storm.poll() is not None,
                              "all have been served", 600)
            self.assertEqual(storm.returncode, 0)
        self.assertEqual(grown["ok"], grown["sessions"], grown)
        self.assertGreaterEqual(grown["ok"], hosts)
        if not LONG:  # nobody said how many the ceiling is
            self.assertGreaterEqual(self.gw.metrics()["handshakes_ceiling_total"], 1)

    def test_many_sessions(self):
        """As many as descriptors allow; those who come and ask beside them are served."""
        count = 9500 if LONG else 300
        self.start()
        request = ttlv.request((1, 1), on("Get", self.uid)).encode()
        several = []
        with apart.kept(self.gw) as judged:
            normal = self.measure()
            for n in range(count):
                raw = socket.create_connection(("127.0.0.1", self.gw.port), timeout=120)
                several.append(self.fresh.wrap_socket(raw))
                if n % 100 == 0:
                    self.serve_honest()
            kf.eventually(lambda: self.gw.metrics()["sessions"] == count + 1, "only these are left",
                          60)
            beside = self.measure()
        for s in several:
            s.sendall(request)
        for s in several:
            self.assertEqual(ttlv.Answer(self.read(s)).items[0].key, self.key)
        self.tell("%d sessions" % count, without=normal, beside=beside)
        self.judge(judged, normal, beside)
        for s in several:
            s.close()
        self.idle()

    @staticmethod
    def read(s):
        data = s.recv(65536)
        while len(data) < 8 + int.from_bytes(data[4:8], "big"):
            data += s.recv(65536)
        return data


if __name__ == "__main__":
    kf.main()
