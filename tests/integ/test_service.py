# SPDX-License-Identifier: Apache-2.0
"""keyferryd under a service manager: sockets that outlive it, readiness, watchdog."""

import os
import random
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import kf
import ledgers
import supervisor
import ttlv
import unit
from ttlv import on

UNIT = unit.Unit(os.path.join(kf.TOP, "etc", "keyferryd.service"))
ROUNDS = 20 if kf.LONG else 3
OLDER = os.environ.get("KEYFERRY_OLDER")  # another release's gateway: takes turns with today's


class Load:
    """vCenter's kind of client: connects, asks once, leaves; until told to stop.  And some that stay."""

    def __init__(self, gw, uid, key, count=4, kept=2):
        self.gw, self.uid, self.key, self.kept = gw, uid, key, kept
        self.answered, self.made, self.crossed = 0, 0, 0
        self.refused, self.broken, self.wrong = [], [], []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(visit,))
                        for visit in [self.ask_once] * count + [self.stay] * kept]
        for t in self.threads:
            t.start()

    def ask(self, c):
        got = c.do(on("Get", self.uid))
        if got.status != ttlv.SUCCESS or got.key != self.key:
            self.wrong.append(repr(got))
        with self.lock:
            self.answered += 1

    def make(self, c):
        c.create()
        with self.lock:
            self.answered += 1
            self.made += 1

    def ask_once(self):
        with self.gw.client(timeout=60) as c:
            self.ask(c)

    def stay(self):
        """Asks, and makes keys, until the gateway says goodbye; what crosses with that is asked again, on another
        session."""
        with self.gw.client(timeout=60) as c:
            self.ask(c)
            while not self.over.is_set() and not c.hears(random.uniform(0, 0.02)):
                try:
                    random.choice((self.ask, self.make))(c)
                except kf.NoAnswer:
                    with self.lock:
                        self.crossed += 1
                    return

    def run(self, visit):
        while not self.over.is_set():
            try:
                visit()
            except ConnectionRefusedError as e:
                self.refused.append(e)
            except (OSError, ssl.SSLError, kf.Closed) as e:
                self.broken.append(e)

    def more(self, count):
        """Waits until so many more are answered."""
        goal = self.answered + count
        kf.eventually(lambda: self.answered >= goal, "answers", 120)

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()


class Service(kf.Case):
    def supervisor(self, watchdog_us=0, start=True, drain=10):
        gw = supervisor.Supervisor(options="drain-timeout = %ds" % drain)
        gw.watchdog_us = watchdog_us
        self.addCleanup(self._end, gw)
        return gw.start() if start else gw

    def a_key(self, gw):
        with gw.client() as c:
            uid = c.create()
            return uid, c.key(uid)

    def test_takes_the_socket(self):
        gw = self.supervisor()
        line = gw.await_log("daemon: listening")
        self.assertIn("address=127.0.0.1:%d" % gw.port, line)
        self.assertEqual(gw.log().count("daemon: listening"), 1)  # not what the file says as well
        self.assert_fine(gw)
        self.assert_is_gateways_alone(gw)

    def test_takes_several(self):
        gw = self.supervisor(start=False)
        gw.sockets = 3
        gw.start()
        self.assertEqual(gw.log().count("daemon: listening"), 3)
        self.assert_fine(gw)
        self.assert_is_gateways_alone(gw)

    def assert_is_gateways_alone(self, gw):
        if os.getuid() != 0:
            with self.subTest("who cannot be traced does not show what it holds"):
                self.skipTest("only root sees what the children hold")
            return
        # nobody but the gateway has it: a child that had could answer after its end
        for pid in subprocess.run(["pgrep", "-P", str(gw.process.pid)], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout.split():
            held = {os.readlink("/proc/%s/fd/%s" % (pid, fd))
                    for fd in os.listdir("/proc/%s/fd" % pid)}
            mine = os.readlink("/proc/self/fd/%d" % gw.socket.fileno())
            self.assertNotIn(mine, held)

    def test_says_how_it_is(self):
        gw = self.supervisor(watchdog_us=400000)
        for _ in range(3):
            gw.heard("WATCHDOG=1")
        gw.process.send_signal(signal.SIGHUP)
        gw.heard("RELOADING=1")
        self.assertIn("STATUS=Serving", gw.heard("READY=1"))
        gw.process.send_signal(signal.SIGTERM)
        gw.heard("STOPPING=1")
        self.assertEqual(gw.stop(), 0)

    def reload_state(self, gw):
        return next(h["state"] for h in gw.control("health")[0] if h["check"] == "reload")

    def test_a_refused_reload_is_told(self):
        """systemctl reload says that it worked, as a signal was sent: what came of it is the status."""
        gw = self.supervisor()
        self.assertEqual(self.reload_state(gw), "good")
        with open(gw.conf, encoding="utf-8") as f:
            good = f.read()
        with open(gw.conf, "w", encoding="utf-8") as f:
            f.write(good + "\nlistne = {}\n")
        gw.process.send_signal(signal.SIGHUP)
        gw.heard("RELOADING=1")
        said = gw.heard("READY=1")
        self.assertRegex("\n".join(said), "^STATUS=reload refused: .*listne[^\n]*$")
        self.assertEqual(self.reload_state(gw), "bad")
        with open(gw.conf, "w", encoding="utf-8") as f:
            f.write(good)
        gw.ctl("reload")
        gw.heard("STATUS=Serving")
        self.assertEqual(self.reload_state(gw), "good")
        self.assert_fine(gw)

    def test_a_long_migration(self):
        """Whoever waits for the start hears that it goes on; else it would be killed in the midst."""
        gw = self.supervisor(start=False)
        known = ledgers.read(1, gw.state_dir)
        ledgers.put_root(gw, known)
        ledgers.multiply(gw.state_dir, 12)
        gw.launch()
        gw.heard("EXTEND_TIMEOUT_USEC=120000000", 120)
        gw.process.send_signal(signal.SIGHUP)  # which would end it, and is not lost
        gw.heard("READY=1", 120)
        gw.await_log("daemon: reloaded ")
        self.assertEqual(gw.log().count("daemon: bringing the ledger to this release's schema"), 1)
        self.assert_fine(gw)
        gw.heard("READY=1")  # after the reload
        self.assertEqual(gw.restart(), 0)
        self.assertNotIn("EXTEND_TIMEOUT_USEC=120000000", gw.heard("READY=1"))

    def test_a_long_stop(self):
        """Half a request has all of drain-timeout; whoever waits for the end hears how long that is."""
        gw = self.supervisor(drain=3)
        with gw.client() as c:
            c.ok(ttlv.item("DiscoverVersions"))
            c.send(ttlv.request((1, 1), ttlv.create()).encode()[:20])
            self.assertEqual(gw.stop_within(1), 0)
            self.assertTrue(c.is_closed())
        self.assertIn("drain-timeout has passed", gw.log())

    def test_no_watchdog_unasked(self):
        gw = self.supervisor()
        self.assert_fine(gw)
        gw.process.send_signal(signal.SIGTERM)
        self.assertNotIn("WATCHDOG=1", gw.heard("STOPPING=1"))

    def hang(self, gw):
        """The loop does not turn any more, in a process that is well else."""
        with open(os.path.join(gw.dir, "hangs"), "w", encoding="ascii"):
            pass
        hung = os.path.join(gw.dir, "hangs.%d" % gw.process.pid)
        kf.eventually(lambda: os.path.exists(hung), "it hangs", 30)

    def test_hangs_and_is_restarted(self):
        gw = self.supervisor(watchdog_us=400000, start=False)
        gw.start(env={"LD_PRELOAD": os.environ["KEYFERRY_STALL_SO"], "KEYFERRY_STALL_LOOP": "1",
                      "KEYFERRY_STALL": os.path.join(gw.dir, "hangs"),
                      "ASAN_OPTIONS": "verify_asan_link_order=0"})
        uid, key = self.a_key(gw)
        gw.heard("WATCHDOG=1")
        self.hang(gw)
        with gw.client(connect=False) as c:
            c.sock = c.context.wrap_socket(socket.create_connection(c.address, 60),
                                           do_handshake_on_connect=False)
            c.sock.setblocking(False)
            with self.assertRaises(ssl.SSLWantReadError):
                c.sock.do_handshake()  # it says hello, and nobody listens
            self.assertEqual(gw.restart_silent(), -signal.SIGABRT)
            c.sock.settimeout(60)
            self.assertEqual(c.key(uid), key)

    def judge(self, load, restarts):
        """No connection is refused and no request broken: of a session that stays the last one may cross with
        the goodbye to it."""
        self.assertEqual((load.wrong, load.refused, load.broken), ([], [], []))
        self.assertLessEqual(load.crossed, load.kept * restarts)

    def test_restart_under_load(self):
        gw = self.supervisor(start=False)
        gw.daemon = OLDER
        gw.start()
        load = Load(gw, *self.a_key(gw))
        try:
            for n in range(ROUNDS):
                load.more(10)
                gw.daemon = OLDER if n % 2 else None
                self.assertEqual(gw.restart(), 0)
                gw.heard("READY=1")
            load.more(10)
        finally:
            load.stop()
        print("%d answered over %d restarts, %d asked again" % (load.answered, ROUNDS, load.crossed),
              flush=True)
        self.judge(load, ROUNDS)
        self.assertEqual(gw.stop(), 0)
        # what has crossed is not begun: else who asks again has two keys
        self.assertEqual(ledgers.count(gw.state_dir), 1 + load.made)

    def test_upgrade_under_load(self):
        """Clients wait for the files of each earlier release to be brought up to date, and are served."""
        for version in ledgers.versions():
            with self.subTest(version=version):
                gw = self.supervisor(start=False)
                known = ledgers.read(version, gw.state_dir)
                ledgers.put_root(gw, known)
                ledgers.multiply(gw.state_dir, 10)
                uid, key = next((uid, bytes.fromhex(o["key"])) for uid, o in known["objects"].items()
                                if o["state"] == ttlv.ACTIVE and o["key"])
                load = Load(gw, uid, key)
                try:
                    gw.start()
                    load.more(20)
                    self.assertEqual(gw.restart(), 0)
                    load.more(20)
                finally:
                    load.stop()
                self.judge(load, 1)

    def start_again(self, gw):
        """As the unit has it: a pause, a look at the configuration, and then the gateway."""
        time.sleep(int(re.fullmatch("([0-9]+)ms", UNIT.one("RestartSec")).group(1)) / 1000)
        subprocess.run([kf.program("keyferryd"), *UNIT.one("ExecStartPre").split()[1:], "-c", gw.conf],
                       check=True, stdout=subprocess.DEVNULL)
        gw.start()

    def test_crash_under_load(self):
        """What is being served is lost; what waits is served by the next one, within a second."""
        gw = self.supervisor()
        load = Load(gw, *self.a_key(gw))
        took = []
        try:
            for _ in range(ROUNDS):
                load.more(10)
                before = len(load.broken)
                gw.kill()
                began = time.monotonic()
                self.start_again(gw)
                load.more(1)
                took.append(time.monotonic() - began)
                self.assertLessEqual(len(load.broken) - before, len(load.threads))
        finally:
            load.stop()
        self.assertEqual((load.wrong, load.refused), ([], []))
        print("answers again after %s s" % ", ".join("%.2f" % t for t in took), flush=True)
        if kf.LONG and not kf.SANITIZED:  # where nothing else runs beside it
            self.assertLess(max(took), 1.0)

    def test_refuses_what_does_not_listen(self):
        gw = self.supervisor(start=False)
        gw.socket.close()
        gw.socket = socket.socket()  # bound to nothing
        gw.socket.set_inheritable(True)
        gw.launch()
        self.assertEqual(gw._gone(30), 1)
        self.assertIn("socket 1 of the service manager is no listening", gw.log())


if __name__ == "__main__":
    kf.main()
