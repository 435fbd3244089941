# SPDX-License-Identifier: Apache-2.0
"""Virtual time: the clocks of a gateway (a test build) and of its key managers, stopped and moved
together; and sessions that get keys all the while."""

import collections
import threading
import time

import kf
import ttlv
from ttlv import on

# asked, at: by then it was begun and answered, virtually
Got = collections.namedtuple("Got", "asked at took uid reason")


class Clock:
    """Stands still but in advance().  now: seconds since it was stopped."""

    def __init__(self, gateway, *clouds):
        self.gateway, self.clouds = gateway, clouds
        self.now = self.reaches = 0.0
        self.whole = 0
        gateway.control("test freeze")
        for c in clouds:
            c.admin("POST", "/clock", {"stop": True})

    def advance(self, seconds, pace=1, step=100, slice_s=1.0, tick=500):
        """pace: of virtual to real time while a call to a key manager is under way.  tick: between
        two steps, in real microseconds; 0: nobody is there who would need them."""
        end = self.now + seconds
        while self.now < end - 1e-6:
            self._slice(min(slice_s, end - self.now), pace, step, tick)

    def _slice(self, seconds, pace, step, tick):
        self.reaches = self.now + seconds
        self.gateway.control("test advance", "ms=%d" % round(1000 * seconds), "step=%d" % step,
                             "pace=%d" % pace, "tick=%d" % tick, timeout=600)
        self.now = self.reaches
        self._move_clouds(int(self.now + 1e-6) - self.whole)

    def _move_clouds(self, seconds):
        self.whole += seconds
        for c in self.clouds:
            if seconds > 0:
                c.advance(seconds)

    def until(self, check, what, seconds, pace=1, slice_s=0.5):
        """Lets time pass until check() is true; returns how long that took at most."""
        began = self.now
        while not check():
            if self.now - began > seconds:
                raise AssertionError("not within %g virtual seconds: %s" % (seconds, what))
            self.advance(slice_s, pace)
        return self.now - began

    def during(self, work):
        """Runs it in a thread of its own while time passes slowly; returns what it returned."""
        came = []

        def run():
            try:
                came.append((work(), None))
            except BaseException as e:  # raised below, in the thread of the test
                came.append((None, e))
        threading.Thread(target=run).start()
        self.until(lambda: came, "something ends", 300, slice_s=0.02)
        if came[0][1] is not None:
            raise came[0][1]
        return came[0][0]

    def stall(self, seconds):
        """All at once, as for a process that was stopped."""
        self.gateway.control("test stall", "ms=%d" % round(1000 * seconds))
        self.now = self.reaches = self.now + seconds
        self._move_clouds(int(self.now + 1e-6) - self.whole)

    def jump(self, wall=0, boot=0):
        """The wall clock and that of the machine alone, as a suspension or a hand does."""
        self.gateway.control("test jump", "wall=%d" % (1000 * wall), "boot=%d" % (1000 * boot))


class Load:
    """Sessions that get keys, each one after the other, until stop()."""

    def __init__(self, clock, gateway, certificate, keys, sessions=3, pause=0.002):
        """keys: {uid: key bytes}.  pause: between two Gets of a session."""
        self.clock, self.keys, self.pause = clock, keys, pause
        self.got, self.broken = [], []
        self.over = threading.Event()
        self.clients = [gateway.client(certificate) for _ in range(sessions)]
        self.threads = [threading.Thread(target=self._run, args=(c,)) for c in self.clients]
        for t in self.threads:
            t.start()

    def _run(self, client):
        try:
            while not self.over.is_set():
                for uid, key in list(self.keys.items()):
                    self._get(client, uid, key)
        except BaseException as e:  # told by stop()
            self.broken.append(e)

    def _get(self, client, uid, key):
        asked, started = self.clock.reaches, time.monotonic()
        result = client.do(on("Get", uid))
        took = time.monotonic() - started
        good = result.status == ttlv.SUCCESS
        if good and result.key != key:
            raise AssertionError("another key than before")
        self.got.append(Got(asked, self.clock.reaches, took, uid, None if good else result.reason_name))
        if self.pause:
            time.sleep(self.pause)

    def mark(self):
        return len(self.got)

    def settle(self):
        """Some rounds more, while time passes slowly: a Get may wait for something."""
        at = self.mark()
        self.clock.until(lambda: self.broken or
                         len(self.got) >= at + 2 * len(self.keys) * len(self.clients),
                         "Gets are answered", 60, slice_s=0.02)

    def stop(self, close=True):
        """Ends the Gets, and the sessions if wanted; what was got.  Time passes until then."""
        self.over.set()
        self.clock.until(lambda: not any(t.is_alive() for t in self.threads),
                         "the last Gets are answered", 60, slice_s=0.02)
        if close:
            self.close()
        if self.broken:
            raise self.broken[0]
        return self.got

    def close(self):
        for c in self.clients:
            c.close()


def last_success(got, uid=None):
    """By when, or None."""
    times = [g.at for g in got if g.reason is None and uid in (None, g.uid)]
    return max(times) if times else None


def percentiles(got):
    """For people: how long the Gets took."""
    took = sorted(g.took for g in got)
    if not took:
        return "no Gets"
    at = lambda p: 1000 * took[min(len(took) - 1, int(p * len(took)))]
    return "%d Gets, p50 %.2f ms, p99 %.2f ms, most %.2f ms" % (
        len(took), at(.5), at(.99), at(1))
