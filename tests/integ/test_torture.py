# SPDX-License-Identifier: Apache-2.0
"""Every allocation fails once, in memory and in the secure heap: while it starts, in handshakes, in
each operation, in commands, in a reload, while it stops; in the gateway and in its children, under
OpenSSL, libevent, libcurl, yajl and SQLite as well.

Whatever fails, nothing crashes or hangs, no answer is wrong, nobody gets in who must not, what was
acknowledged is there after the next start and stands in the audit log, and nothing has leaked when
the process ends.  A start asks for memory 26,000 times, but from 4,000 stacks: KEYFERRY_LONG=1 has
each of them fail at its first time, its last and one between, else a sample of these, which
KEYFERRY_SEED repeats.  KEYFERRY_TORTURE="STEP PLACE N" does one, and prints the stack of what
failed; "STEP PLACE N-M" does what is chosen between them, "STEP PLACE" and "STEP" all that is
chosen there, and "STEP..." goes on from that step.  KEYFERRY_PART="K/N" does the Kth of N parts.
"""

import os
import re
import signal
import socket
import ssl
import unittest

import faults
import kf
from torture import Refused, World
from torture_steps import STEPS
from ttlv import item, name_attribute, on

EVERY = 10 ** 9
SAMPLES = EVERY if kf.LONG else 5 if kf.VAULT == "local" else 3  # of each step in each process
RELOADS = EVERY if kf.LONG else 40  # each sets up TLS anew
STARTS = EVERY if kf.LONG else 15
DRAINS = EVERY if kf.LONG else 6
ONLY = os.environ.get("KEYFERRY_TORTURE", "").split()
ONE = len(ONLY) == 3 and "-" not in ONLY[2]
# What libraries leak when an allocation of theirs fails: how the stack of the block looks, and why.
# Nothing of it grows: each is met once in a process, when it starts or ends.
LIBRARY_LEAKS = (
    (r"OPENSSL_init_crypto|OSSL_LIB_CTX_new",
     "OpenSSL 3.0's library context, not undone when it could not be made; the start ends there"),
    (r"(OBJ_NAME_do_all|EVP_\w+_fetch|OSSL_DECODER_do_all_provided|OSSL_\w+_fetch)",
     "OpenSSL 3.0's table of algorithms' names: a name that could not be entered is not freed, and "
     "at exit the whole table stays when the clean-up itself finds no memory"),
    (r"RAND_get0_(primary|public)",
     "OpenSSL 3.0's generators of random numbers: at exit, when the end of a library context finds "
     "no memory for the list of what is to be ended, all that hangs in it stays"),
    (r"EVP_PKEY_fromdata", "OpenSSL 3.0: numbers of an RSA key that could not be put together"),
    (r"OSSL_PROVIDER_try_load",
     "OpenSSL 3.0: a part of a library context that was made and could not be entered into it; the "
     "gateway does without that context of its own, and does not try again"),
)
FEW = 8  # objects in a process's life: ours would come again, as a step does
# What libraries end the process on, with a text of their own.
LIBRARY_ABORTS = (
    (r"mem_sec\.c:\d+: OpenSSL internal error: assertion failed: sh\.",
     "OpenSSL 3.0's secure heap, whose tables do not fit while it is made: the start ends there"),
)
SIGNS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion")


class Leaked(Exception):
    """A block, and who asked for it is not known."""


def failed_in_library(log):
    """Whether OpenSSL asked for the memory that was refused last, as the trace says."""
    traces = re.findall(r"^ +#0 [^\n]* in __sanitizer_print_stack_trace .*?^$", log, re.M | re.S)
    frames = traces[-1].splitlines()[1:] if traces else []
    asked = [f for f in frames if "/base/fault_test.c:" not in f and "/base/alloc.c:" not in f]
    return bool(asked) and re.search(r"/lib(crypto|ssl)\.so", asked[0]) is not None


class Traces(unittest.TestCase):
    FRAME = "    #%d 0x7f %s\n"
    PRINTS = FRAME % (0, "in __sanitizer_print_stack_trace asan_stack.cpp:87")
    ALLOC = FRAME % (1, "in alloc_bytes ../../src/base/alloc.c:44")
    OURS = PRINTS + ALLOC + FRAME % (2, "in db_open ../../src/keys/db.c:1") + "\n"
    THEIRS = PRINTS + ALLOC + FRAME % (2, "in X (/lib/libcrypto.so.3+0x1)") + "\n"

    def test_the_last_one_tells_who_asked(self):
        for traces, theirs in (("", False), (self.OURS, False), (self.THEIRS, True),
                               (self.OURS + "a line\n" + self.THEIRS, True),
                               (self.THEIRS + "a line\n" + self.OURS, False)):
            self.assertEqual(failed_in_library(traces + "a line\n"), theirs, traces)


def only(name, place=None):
    """Whether KEYFERRY_TORTURE lets it be done."""
    if not ONLY:
        return True
    if ONLY[0].endswith("..."):
        every = [*STEPS, "start", "drain", "drain_command"]
        return every.index(name) >= every.index(ONLY[0][:-3])
    return ONLY[0] == name and (place is None or ONLY[1:2] in ([], [place]))


def chosen(rnd, numbers, most):
    """Which allocations fail."""
    if ONLY[2:]:
        first, _, last = ONLY[2].partition("-")
        return [n for n in numbers if int(first) <= n <= int(last)] if last else [int(first)]
    return kf.part(numbers) if len(numbers) <= most else sorted(rnd.sample(numbers, most))


def reached(numbers, count):
    """Whether one of them has to fail, of so many allocations."""
    return any(n <= count for n in numbers)


@kf.testing_only
class Torture(kf.Case):
    def setUp(self):
        self.known = {}  # why: how many

    def world(self):
        w = World(self, trace=ONE)
        self.addCleanup(w.drop)
        w.start()
        uid = w.made(name_attribute("first"))
        w.keys[uid] = w.do(on("Get", uid)).key
        return w

    def try_step(self, w, step):
        """Goes on with it; true when it was done, false when it was refused."""
        try:
            next(step, None)
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
            return last["requests"] == 0 and last["store_calls"] == 0 and last["storage_pid"] > 0 \
                and last["storage_reader_pid"] > 0
        kf.eventually(quiet, "it settles", 30)

    def again(self, w, name):
        """The step, made ready without faults: soon, whatever was before."""
        def ready():
            step = STEPS[name].run(w)
            try:
                w.do(item("DiscoverVersions"))  # the session may have ended behind an answer
                next(step)
                return step
            except (Refused, OSError, kf.Closed):
                w.drop()
                return None
        self.settled(w)
        step = kf.eventually(ready, "%s is ready" % name, 30)
        self.settled(w)
        return step

    def look(self, w, name, step):
        """What became of it, without faults."""
        self.settled(w)
        self.assertTrue(self.try_step(w, step), name)
        if name == "reload":
            w.is_whole()

    def cost(self, w, name):
        """The stacks of its allocations, once it is warm; and how many there are at least."""
        runs = []
        for _ in range(3):
            step = self.again(w, name)
            with w.faults.stacks() as stacks:
                self.assertTrue(self.try_step(w, step), name)
            self.look(w, name, step)
            runs.append(stacks)
        return stacks, {p: min(len(run[p]) for run in runs) for p in stacks}

    def one(self, w, name, place, n):
        step = self.again(w, name)
        failed = w.faults.failed()
        w.faults.arm(place, n)
        done = self.try_step(w, step)
        w.faults.disarm()
        self.assertIsNone(w.gw.process.poll(), "the gateway ended")
        self.look(w, name, step)
        hit = w.faults.failed() > failed
        if not done:
            self.assertTrue(hit, "refused without a fault")
        return hit, done

    @staticmethod
    def places(name):
        return [p for p in faults.PLACES if only(name, p)]

    def try_all(self, w, name):
        told = []
        cost, least = self.cost(w, name)
        self.assertGreater(least["daemon"], 0, "nothing in %s can fail" % name)
        for place in self.places(name):
            hits = refused = 0
            rnd = kf.random_for("torture %s %s" % (name, place))
            numbers = chosen(rnd, faults.telling(cost[place], rnd),
                             RELOADS if name == "reload" else SAMPLES)
            for n in numbers:
                with self.subTest(step=name, place=place, n=n):
                    hit, done = self.one(w, name, place, n)
                    hits += hit
                    refused += not done
            if not hits and reached(numbers, least[place]):
                with self.subTest(step=name, place=place):  # unless it has become warmer
                    _, least = self.cost(w, name)
                    self.assertFalse(reached(numbers, least[place]), "nothing failed")
            if cost[place]:
                told.append("%s %d of %d, %d refused" % (
                    place, hits, len(cost[place]), refused))
        print("%-16s %s" % (name, "; ".join(told)), flush=True)

    def test_all_that_can_be_asked_for_has_a_step(self):
        """Operations and commands: but for drain, whose step is below."""
        with open(os.path.join(kf.TOP, "src", "gate", "op.def"), encoding="ascii") as f:
            rows = re.findall(r"^OP\((\w+)", f.read(), re.M)
        self.assertGreater(len(rows), 30)
        rows += ["help"] + [row["command"] for row in self.gateway().control("help")]
        self.assertEqual(sorted(rows), sorted([r for s in STEPS.values() for r in s.rows] + ["drain"]))

    def test_every_step(self):
        w = self.world()
        for name in STEPS:
            if only(name):
                self.try_all(w, name)
        w.drop()
        self.settled(w)
        w.check()
        w.gw.assert_idle()
        self.stops(w)
        w.check_audit()
        w.start()
        w.check()
        self.stops(w)
        self.tell_known()
        print("%d keys, %d allocations failed" % (len(w.keys), w.faults.failed()), flush=True)

    # Starting and stopping.

    def is_warm(self, w, at):
        """What it does of itself after a start is done, as far as it is told."""
        return kf.VAULT == "local" or "the key manager answers" in w.gw.log(at)

    def launch(self, w, place, n):
        """Starts it with a fault, which is there until something fails or it has done all that it does of
        itself; False when it refused, and said why."""
        gw = w.gw
        w.faults.of(place).passes = 0
        w.faults.of(place).fail_at = n
        at, failed = gw.mark(), w.faults.failed()
        try:
            w.start()
            kf.eventually(lambda: w.faults.failed() > failed or self.is_warm(w, at), "it is warm", 30)
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
            self.forgive(w, at)
            return False
        finally:
            w.faults.of(place).fail_at = 0

    def forgive(self, w, at):
        """Counts leaks of libraries that are known; True when there were any, and none else.  Ours may
        look like them: so what failed has to be the library's, or else they have to be few."""
        log, last = w.gw.log(), w.gw.log(at)
        if any(sign in log for sign in SIGNS):
            os.truncate(w.gw.log_path, 0)  # else it would be found once more
        blocks = (re.findall(r"^Direct leak of.*?^$", last, re.M | re.S) or
                  re.findall(r"^Indirect leak of.*?^$", last, re.M | re.S))  # rings
        if blocks and not w.stacks:
            raise Leaked(blocks[0])
        for block in blocks:
            known = [why for pattern, why in LIBRARY_LEAKS if re.search(pattern, block)]
            self.assertTrue(known, block)
            self.known[known[0]] = self.known.get(known[0], 0) + 1
        for sign in SIGNS:
            self.assertNotIn(sign, log[:len(log) - len(last)] if blocks and "Leak" in sign else log)
        if blocks:
            objects = sum(int(n) for n in re.findall(r"leak of .* in (\d+) object", last))
            self.assertTrue(failed_in_library(log) if w.trace else objects <= FEW, last[-6000:])
        return bool(blocks)

    def stops(self, w, end=None):
        """end: ends it, and has its status; else a signal does."""
        at = w.gw.mark()
        status = (end or w.gw.stop)()
        log = w.gw.log(at)[-6000:]
        if not self.forgive(w, at):
            self.assertEqual(status, 0, log)
        return log

    def tell_known(self):
        for why, count in self.known.items():
            print("%d times: %s" % (count, why), flush=True)

    def serves(self, w):
        """A storage child whose start failed may end only now, and comes again."""
        with w.gw.client() as c:
            result = c.do(on("Get", w.a_key()))
            if result.status:
                self.assertEqual(result.reason_name, "GeneralFailure")
            return result.status == 0

    def starts(self, w, place, n):
        """Starts it with a fault, looks at it and stops it; False when it refused."""
        if not self.launch(w, place, n):
            return False
        try:
            self.settled(w)
            kf.eventually(lambda: self.serves(w), "it serves", 30)
            w.check()
        except BaseException:
            w.gw.kill()
            raise
        self.stops(w)
        return True

    def starts_without(self, w, place, n):
        """The same; and once more where something leaked whose stack was not taken."""
        w.stacks = ONE
        try:
            return self.starts(w, place, n)
        except Leaked as first:
            w.stacks = w.trace = True
            known = sum(self.known.values())
            started = self.starts(w, place, n)
            self.assertGreater(sum(self.known.values()), known, first)
            return started
        finally:
            w.stacks, w.trace = True, ONE

    def test_every_start(self):
        w = self.world()
        w.drop()
        self.stops(w)
        for place in faults.PLACES:
            w.faults.of(place).passes = 0
        at = w.gw.mark()
        with w.faults.stacks() as stacks:
            w.start()
            kf.eventually(lambda: self.is_warm(w, at), "it is warm", 30)
        self.stops(w)
        for place in self.places("start"):
            refused, failed = 0, w.faults.failed()
            rnd = kf.random_for("start " + place)
            numbers = chosen(rnd, faults.telling(stacks[place], rnd), STARTS)
            for at, n in enumerate(numbers):
                if at % 500 == 499:
                    print("start      %s up to %d" % (place, n), flush=True)
                with self.subTest(step="start", place=place, n=n):
                    refused += not self.starts_without(w, place, n)
            hits = w.faults.failed() - failed
            if reached(numbers, len(stacks[place]) // 2):  # not each asks for just as much
                self.assertGreater(hits, 0, "nothing failed")
            print("start      %s %d of %d, %d refused" % (place, hits, len(
                stacks[place]), refused), flush=True)
        self.tell_known()

    def drain(self, w):
        """A session is open, and a use is to be written."""
        w.start()
        w.drop()
        self.assertEqual(w.do(on("Get", w.a_key())).key, w.keys[w.a_key()])
        self.settled(w)

    @staticmethod
    def drain_by_command(w):
        """Where that is refused it has changed nothing."""
        try:
            w.control("drain")
            return w.gw._gone(40)
        except (Refused, OSError):
            w.faults.disarm()
        try:
            drains = w.gw.control("status")[0]["draining"]  # the answer may be all that was missing
        except (AssertionError, OSError):
            drains = True
        return w.gw._gone(40) if drains else w.gw.stop()

    def drains(self, name, end):
        """end: given the world, as stops() has it."""
        w = self.world()
        self.stops(w)
        w.trace = True
        self.drain(w)
        with w.faults.stacks() as stacks:
            self.assertNotIn("not written", self.stops(w, end(w)))
        total = 0
        for place in self.places(name):
            rnd = kf.random_for("%s %s" % (name, place))
            numbers = chosen(rnd, faults.telling(stacks[place], rnd), DRAINS)
            failed = w.faults.failed()
            for n in numbers:
                with self.subTest(step=name, place=place, n=n):
                    self.drain(w)
                    w.faults.arm(place, n)
                    self.stops(w, end(w))
                    w.faults.disarm()
            hits = w.faults.failed() - failed
            total += hits
            print("%-10s %s %d of %d" % (name, place, hits, len(stacks[place])), flush=True)
        if not ONLY and kf.PARTS == 1:
            self.assertGreater(total, 0, "nothing failed")  # what a place asks for varies
        w.check_audit()
        w.drop()
        w.start()
        w.check()
        self.stops(w)
        self.tell_known()

    def test_every_drain(self):
        self.drains("drain", lambda w: w.gw.stop)

    def test_every_drain_by_command(self):
        self.drains("drain_command", lambda w: lambda: self.drain_by_command(w))


if __name__ == "__main__":
    kf.main()
