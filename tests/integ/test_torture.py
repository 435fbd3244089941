# SPDX-License-Identifier: Apache-2.0
"""Every allocation fails once: while it starts, in handshakes, in each operation, in commands, in a
reload, while it stops; in the gateway and in its storage child, under OpenSSL, libevent, libcurl,
yajl and SQLite as well.

Whatever fails, nothing crashes or hangs, no answer is wrong, what was acknowledged is there after
the next start, and nothing has leaked when the process ends.  A start asks for memory 26,000 times, but
from 4,000 stacks: KEYFERRY_LONG=1 has each of them fail at its first time, its last and one between,
else a sample of these, which KEYFERRY_SEED repeats.  KEYFERRY_TORTURE="STEP PROCESS N" does one, and
prints the stack of what failed; "STEP PROCESS N-M" does each of them.
"""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import unittest

import faults
import kf
import ttlv
from ttlv import attribute, get_attributes, on, revoke

EVERY = 10 ** 9
SAMPLES = EVERY if kf.LONG else 15 if kf.VAULT == "local" else 8  # of each step in each process
RELOADS = EVERY if kf.LONG else 60  # each sets up TLS anew
STARTS = EVERY if kf.LONG else 15
DRAINS = 200 if kf.LONG else 5
ONLY = os.environ.get("KEYFERRY_TORTURE")
PROCESSES = ("daemon", "store")
TIMEOUT = 20.0  # no wait of the gateway's own is that short: who needs it hangs
CRYPTO = "a cryptographic operation failed"  # what OpenSSL says when it has no memory
# What libraries leak when an allocation of theirs fails: how the stack of the block looks, and why.
# Nothing of it grows: each is met once in a process, when it starts or ends.
LIBRARY_LEAKS = (
    (r"OPENSSL_init_crypto|OSSL_LIB_CTX_new",
     "OpenSSL 3.0's library context, not undone when it could not be made; the start ends there"),
    (r"(OBJ_NAME_do_all|EVP_\w+_fetch|OSSL_DECODER_do_all_provided|OSSL_\w+_fetch)",
     "OpenSSL 3.0's table of algorithms' names: a name that could not be entered is not freed, and "
     "at exit the whole table stays when the clean-up itself finds no memory"),
    (r"EVP_PKEY_fromdata", "OpenSSL 3.0: numbers of an RSA key that could not be put together"),
    (r"OSSL_PROVIDER_try_load",
     "OpenSSL 3.0: a part of a library context that was made and could not be entered into it; the "
     "gateway does without that context of its own, and does not try again"),
)
# What libraries end the process on, with a text of their own.
LIBRARY_ABORTS = (
    (r"mem_sec\.c:\d+: OpenSSL internal error: assertion failed: sh\.",
     "OpenSSL 3.0's secure heap, whose tables do not fit while it is made: the start ends there"),
)
SIGNS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion")


class Refused(Exception):
    """What may come of a failed allocation: an error of the gateway's, or a session that ends."""


def only(name, process=None):
    """Whether KEYFERRY_TORTURE lets it be done."""
    return not ONLY or ONLY.split()[:1 if process is None else 2] == [
        name, process][:1 if process is None else 2]


def chosen(rnd, numbers, most):
    """Which allocations fail."""
    if ONLY:
        first, _, last = ONLY.split()[2].partition("-")
        return range(int(first), int(last or first) + 1)
    return numbers if len(numbers) <= most else sorted(rnd.sample(numbers, most))


def may_fail(result):
    """A result that must be right, or say that the gateway failed."""
    if result.status == ttlv.SUCCESS:
        return result
    if result.reason_name != "GeneralFailure" and result.message != CRYPTO:
        raise AssertionError("unexpected: %r" % result)
    raise Refused(result.reason_name)


class World:
    """A gateway with its faults, and what its clients know for sure."""

    def __init__(self, gw):
        self.gw = gw
        self.faults = faults.Faults(os.path.join(gw.dir, "faults"))
        self.keys = {}     # uid: key bytes, or None when they were never seen
        self.session = None
        self.spare = []    # active keys without a further use
        self.number = 0
        self.template = None

    def start(self):
        """With stacks of leaks as a whole, though that takes time at each allocation."""
        self.gw.start(env=dict(self.faults.env, ASAN_OPTIONS="fast_unwind_on_malloc=0",
                               **({"KEYFERRY_FAULT_TRACE": "1"} if ONLY else {})))

    def connect(self):
        return self.gw.client(timeout=TIMEOUT)

    def c(self):
        """A session that is there before the step begins."""
        if self.session is None:
            self.session = self.connect()
        return self.session

    def drop(self):
        if self.session is not None:
            self.session.close()
            self.session = None

    def do(self, item):
        return may_fail(self.c().do(item))

    def made(self, *more):
        uid = self.do(ttlv.create(*more)).uid
        self.keys[uid] = None
        return uid

    def a_key(self):
        """One that is there in each state of affairs: from before the faults."""
        return next(iter(self.keys))

    # Before a step nothing fails.

    def prepare(self, name):
        self.do(ttlv.item("DiscoverVersions"))  # the session may have ended behind an answer
        if name in ("revoke", "destroy", "activate", "add", "modify", "delete", "archive"):
            self.spare.append(self.made())
        uid = self.spare[-1] if self.spare else None
        if name in ("revoke", "destroy"):
            self.do(on("Activate", uid))
        if name == "destroy":
            self.do(revoke(uid))
        if name in ("modify", "delete"):
            self.do(on("AddAttribute", uid, attribute("x-Name", "vm")))
        if name == "template_is_used" and self.template is None:
            self.template = self.do(ttlv.item(
                "Register", ttlv.enum("ObjectType", 6), ttlv.template(),
                ttlv.seq("Template", ttlv.name_attribute("torture"), *ttlv.aes_attributes()))).uid
        if name == "handshake":
            self.drop()

    # The steps.  Each raises Refused, or what the session ended with, or has the right answer.

    def handshake(self):
        with self.connect() as c:
            may_fail(c.do(ttlv.item("DiscoverVersions")))

    def create(self):
        self.number += 1
        self.made(ttlv.name_attribute("torture %d" % self.number), attribute("x-Note", "t"))

    def get(self):
        uid = self.a_key()
        assert self.do(on("Get", uid)).key == self.keys[uid], "another key"

    def locate(self):
        name = ttlv.name_attribute("first")
        found = self.do(ttlv.item("Locate", name)).payload.all("UniqueIdentifier")
        assert [n.value for n in found] == [self.a_key()], found

    def attributes(self):
        result = ttlv.Result(self.c().call(get_attributes(self.a_key())).items[0].node)
        assert may_fail(result).attributes()["Name"], "no name"

    def activate(self):
        self.do(on("Activate", self.spare[-1]))
        self.expect_state(ttlv.ACTIVE)

    def revoke(self):
        self.do(revoke(self.spare[-1]))
        self.expect_state(ttlv.DEACTIVATED)

    def destroy(self):
        uid = self.spare[-1]
        self.keys.pop(uid)  # when it is refused the key may be there or not
        self.do(on("Destroy", uid))

    def template_is_used(self):
        uid = self.do(ttlv.item("Create", ttlv.enum("ObjectType", 2), ttlv.template(ttlv.seq(
            "Name", ttlv.text("NameValue", "torture"), ttlv.enum("NameType", 1))))).uid
        self.keys[uid] = None

    def transfer(self):
        """A key comes with all its attributes, and goes again."""
        self.number += 1
        uid, key = "00000000-0000-4000-8000-%012d" % self.number, os.urandom(32)
        newest = {"version": (1, 4)}
        uid = may_fail(self.c().do(ttlv.item(  # maybe one of the gateway's own
            "Import", ttlv.uid(uid), ttlv.enum("ObjectType", 2), *ttlv.aes_attributes(),
            attribute("x-Note", "t"), ttlv.seq("SymmetricKey", ttlv.key_block(key))), **newest)).uid
        self.keys[uid] = key
        assert may_fail(self.c().do(on("Export", uid), **newest)).key == key, "another key"

    def archive(self):
        uid = self.spare[-1]
        self.keys.pop(uid)  # when it is refused the key may be archived
        self.do(on("Archive", uid))
        self.do(on("Recover", uid))

    def add(self):
        self.do(on("AddAttribute", self.spare[-1], attribute("x-Name", "vm")))

    def modify(self):
        self.do(on("ModifyAttribute", self.spare[-1], attribute("x-Name", "other", 0)))

    def delete(self):
        self.do(on("DeleteAttribute", self.spare[-1], ttlv.text("AttributeName", "x-Name")))

    def query(self):
        self.do(ttlv.item("Query", ttlv.enum("QueryFunction", 1)))

    def expect_state(self, state):
        """Whoever was told has to find it so; the fault may hit this answer instead."""
        uid = self.spare[-1]
        result = ttlv.Result(self.c().call(get_attributes(uid, "State")).items[0].node)
        got = may_fail(result).attributes()["State"][0]
        assert got == state, (got, state)

    def control(self, command):
        """The document of a command, or what it was refused with."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT)
            s.connect(self.gw.socket_path)
            s.sendall(command.encode() + b"\n")
            s.shutdown(socket.SHUT_WR)
            lines = b"".join(iter(lambda: s.recv(65536), b"")).split(b"\n")
        if lines[-1] or len(lines) < 2:
            raise Refused("cut short")
        last = json.loads(lines[-2])
        if last.get("status") != "ok":
            raise Refused(last)
        return json.loads(b"".join(lines[:-2]) or b"null")

    def status(self):
        assert self.control("status")["version"]

    def list(self):
        listed = {key["uid"] for key in self.control("keys list")}
        assert listed >= set(self.keys), set(self.keys) - listed

    def sessions(self):
        assert self.control("sessions")

    def reload(self):
        self.control("reload")

    def reload_is_whole(self):
        """What it took into use serves every kind of client."""
        for ciphers in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"):
            with self.gw.client(tls=ssl.TLSVersion.TLSv1_2, ciphers=ciphers, timeout=TIMEOUT) as c:
                assert c.key(self.a_key()) == self.keys[self.a_key()]

    def stats(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT)
            s.connect(os.path.join(self.gw.dir, "stats.sock"))
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b"".join(iter(lambda: s.recv(65536), b""))
        if not data.startswith(b"HTTP/1.1 200"):
            raise Refused(data[:40])
        assert data.rstrip().endswith(b"# EOF") or b"keyferry_" in data, data[-200:]


STEPS = ("handshake", "create", "get", "locate", "attributes", "activate", "revoke", "destroy",
         "add", "modify", "delete", "archive", "transfer", "template_is_used", "query", "status",
         "list", "sessions", "stats", "reload")


@unittest.skipUnless(os.environ.get("KEYFERRY_TESTING") == "1",
                     "faults are only in builds with -Dtesting=true")
class Torture(kf.Case):
    def setUp(self):
        self.known = {}  # why: how many

    def world(self):
        w = World(self.gateway(start=False))
        w.start()
        uid = w.made(ttlv.name_attribute("first"))
        w.keys[uid] = w.do(on("Get", uid)).key
        return w

    def try_step(self, w, name):
        """True when it was done, false when it was refused."""
        try:
            getattr(w, name)()
            return True
        except Refused:
            return False
        except socket.timeout as e:
            raise AssertionError("it hangs") from e
        except (OSError, ssl.SSLError, kf.Closed):
            w.drop()
            return False

    def settled(self, w):
        """Work that goes on behind an answer has ended, and the storage child is there."""
        def quiet():
            try:
                last = w.gw.metrics()
            except (AssertionError, OSError):
                return False
            return last["requests"] == 0 and last["store_calls"] == 0 and last["storage_pid"] > 0
        kf.eventually(quiet, "it settles", 30)

    def again(self, w, name):
        """What a step needs, and the step, without faults: done soon, whatever was before."""
        def done():
            try:
                w.prepare(name)
                return True
            except (Refused, OSError, kf.Closed):
                w.drop()
                return False
        self.settled(w)
        kf.eventually(done, "%s can be prepared" % name, 30)
        self.settled(w)

    def cost(self, w, name):
        """The stacks of its allocations, once it is warm."""
        for _ in range(3):
            self.again(w, name)
            with w.faults.stacks() as stacks:
                self.assertTrue(self.try_step(w, name), name)
        return stacks

    def one(self, w, name, process, n):
        self.again(w, name)
        failed = w.faults.failed()
        w.faults.arm(process, n)
        done = self.try_step(w, name)
        w.faults.disarm()
        self.assertIsNone(w.gw.process.poll(), "the gateway ended")
        if name == "reload":
            w.reload_is_whole()
        hit = w.faults.failed() > failed
        if not done:
            self.assertTrue(hit, "refused without a fault")
        return hit, done

    def try_all(self, w, name, rnd):
        told = []
        cost = self.cost(w, name)
        for process in PROCESSES:
            if not only(name, process):
                continue
            hits = refused = 0
            for n in chosen(rnd, faults.telling(cost[process], rnd),
                            RELOADS if name == "reload" else SAMPLES):
                with self.subTest(step=name, process=process, n=n):
                    hit, done = self.one(w, name, process, n)
                    hits += hit
                    refused += not done
            told.append("%s %d of %d, %d refused" % (process, hits, len(cost[process]), refused))
        print("%-10s %s" % (name, "; ".join(told)), flush=True)

    def check_keys(self, w):
        with w.gw.client() as c:
            for uid, key in w.keys.items():
                material = c.key(uid)
                self.assertEqual(len(material), 32)
                if key is not None:
                    self.assertEqual(material, key, uid)

    def test_every_step(self):
        rnd = kf.random_for("torture")
        w = self.world()
        self.addCleanup(w.drop)
        for name in STEPS:
            if only(name):
                self.try_all(w, name, rnd)
        w.drop()
        self.settled(w)
        self.check_keys(w)
        w.gw.assert_idle()
        self.stops(w)
        w.start()
        self.check_keys(w)
        self.stops(w)
        self.tell_known()
        print("%d keys, %d allocations failed" % (len(w.keys), w.faults.failed()), flush=True)

    # Starting and stopping.

    def launch(self, w, process, n):
        """Starts it with a fault; False when it refused, and said why."""
        gw = w.gw
        w.faults.of(process).passes = 0
        w.faults.of(process).fail_at = n
        at = gw.mark()
        try:
            w.start()
            return True
        except AssertionError:
            aborts = [why for pattern, why in LIBRARY_ABORTS if re.search(pattern, gw.log(at))]
            if gw.process.poll() == -signal.SIGABRT and aborts:
                gw.process = None
                self.known[aborts[0]] = self.known.get(aborts[0], 0) + 1
                return False
            self.assertIn(gw.process.poll(), (1, 2), gw.log(at)[-6000:])
            self.assertRegex(gw.log(at), r"cannot start|memory|keyferryd.conf")
            gw.process = None
            self.forgive(gw, at)
            return False
        finally:
            w.faults.of(process).fail_at = 0

    def forgive(self, gw, at):
        """Counts leaks of libraries that are known; True when there were any, and none else."""
        blocks = (re.findall(r"^Direct leak of.*?^$", gw.log(at), re.M | re.S) or
                  re.findall(r"^Indirect leak of.*?^$", gw.log(at), re.M | re.S))  # rings
        for block in blocks:
            known = [why for pattern, why in LIBRARY_LEAKS if re.search(pattern, block)]
            self.assertTrue(known, block)
            self.known[known[0]] = self.known.get(known[0], 0) + 1
        if blocks:
            os.truncate(gw.log_path, 0)  # else they would be found once more
        log = gw.log(0 if blocks else at)
        for sign in SIGNS:
            self.assertNotIn(sign, log)
        return bool(blocks)

    def stops(self, w):
        at = w.gw.mark()
        status = w.gw.stop()
        log = w.gw.log(at)[-6000:]
        if not self.forgive(w.gw, at):
            self.assertEqual(status, 0, log)
        return log

    def tell_known(self):
        for why, count in self.known.items():
            print("%d times: %s" % (count, why), flush=True)

    def test_every_start(self):
        rnd = kf.random_for("start")
        w = self.world()
        w.drop()
        self.stops(w)
        for process in PROCESSES:
            w.faults.of(process).passes = 0
        with w.faults.stacks() as stacks:
            w.start()
        self.stops(w)
        for process in PROCESSES:
            if not only("start", process):
                continue
            refused = 0
            numbers = chosen(rnd, faults.telling(stacks[process], rnd), STARTS)
            for at, n in enumerate(numbers):
                if at % 500 == 499:
                    print("start      %s up to %d" % (process, n), flush=True)
                with self.subTest(step="start", process=process, n=n):
                    if self.launch(w, process, n):
                        try:
                            self.settled(w)
                            self.check_keys(w)
                        finally:
                            self.stops(w)
                    else:
                        refused += 1
            print("start      %s %d of %d, %d refused" % (process, len(numbers), len(
                stacks[process]), refused), flush=True)
        self.tell_known()

    def test_every_drain(self):
        """While it stops, with a session open and a use that is to be written."""
        rnd = kf.random_for("drain")
        w = self.world()
        w.drop()
        self.assertNotIn("not written", self.stops(w))
        for process in PROCESSES:
            if not only("drain", process):
                continue
            for n in chosen(rnd, range(1, DRAINS), DRAINS):
                with self.subTest(step="drain", process=process, n=n):
                    w.start()
                    w.drop()
                    self.assertEqual(w.do(on("Get", w.a_key())).key, w.keys[w.a_key()])
                    w.faults.arm(process, n)
                    self.stops(w)
                    w.faults.disarm()
        w.drop()
        w.start()
        self.check_keys(w)
        self.stops(w)
        self.tell_known()


if __name__ == "__main__":
    kf.main()
