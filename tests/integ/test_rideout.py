# SPDX-License-Identifier: Apache-2.0
"""Riding out on virtual time, under load: an outage of the key manager, whatever its kind, fails no
Get of a warm key until ride-out-max, and then with its reason; blips wipe nothing; clocks that jump
make the gateway ask first."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import cloud
import kf
import scrape
import ttlv
import virtual
from ttlv import on

BOUND = 60
RIDE = 3600 if kf.LONG else 900
KEYS = 3
SESSIONS = 8
# From the end of an outage to the next call, at most: the breaker is open for 16 s, IAM is asked
# again after 30 s.
AGAIN = 30 + 16
REFUSED = '{"metadata":{},"resources":[{"errorMsg":"Bad Request: no","reasons":[{"code":"INVALID_QUERY_PARAM_ERR"}]}]}'
HTML = {"status": 200, "body": "<html>maintenance</html>", "content_type": "text/html"}


class VirtualCase(kf.Case):
    """A gateway with one tenant whose keys are in memory, on virtual time."""

    options = 'revocation-bound = "%ds" ride-out-max = "%ds"' % (BOUND, RIDE)
    host = None
    gateway_class = kf.Gateway

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory)
        self.addCleanup(self.cloud.stop)
        self.certificate = kf.AUTHORITY.make("vcenter")
        self.gw = self.make_gateway()
        self.load = None
        self.addCleanup(self.end_load)
        self.begin()

    def vault(self):
        return self.cloud.vault()

    def make_gateway(self):
        return self.gateway(tenants=[kf.Tenant("a", self.certificate, options=self.options,
                                               vault=self.vault())],
                            options='log-level = "notice"')

    def begin(self):
        self.clock = virtual.Clock(self.gw, self.cloud)
        with self.gw.client() as c:
            made = [c.create() for _ in range(KEYS)]
            self.keys = {uid: c.key(uid) for uid in made}
        self.clock.until(lambda: "fresh since" in self.state(), "it is heard", 30)

    def start_load(self):
        self.load = virtual.Load(self.clock, self.gw, self.certificate, self.keys, SESSIONS)

    def end_load(self):
        load, self.load = self.load, None
        return load.stop() if load is not None else []

    def state(self, tenant="a"):
        return next(line["say"] for line in self.gw.control("health")[0]
                    if line["check"] == "key manager of " + tenant)

    def get(self, c, uid):
        return self.clock.during(lambda: c.do(on("Get", uid)))

    def served(self, c):
        return all([self.get(c, uid).status == ttlv.SUCCESS for uid in self.keys])

    def outage(self, mode):
        self.cloud.admin("POST", "/outage", {"mode": mode, "port": "api"})

    def unwraps(self):
        return self.cloud.counts().get("kms.secrets.unwrap", 0)

    def assert_quiet(self, at, patterns=("custody:",)):
        """Nothing of the kind was logged since."""
        self.assertEqual([line for line in self.gw.log(at).splitlines()
                          if any(p in line for p in patterns)], [])


# Half a minute of real time each: the short tier draws one.
WAYS = ("test_reset", "test_tls_broken", "test_503", "test_refusal_of_a_load_balancer", "test_hanging")
DRAWN = WAYS if kf.LONG else kf.random_for("outage").sample(WAYS, 1)


class Outages(VirtualCase):
    """Each kind of outage: (how it begins, how it ends, pace)."""

    def setUp(self):
        if self._testMethodName in WAYS and self._testMethodName not in DRAWN:
            self.skipTest("another was drawn: in the long tests")
        super().setUp()

    def failing(self, **rule):
        return (lambda: self.cloud.fault(port="api", **rule),
                lambda: self.cloud.admin("DELETE", "/faults"))

    def mode(self, mode):
        return lambda: self.outage(mode), lambda: self.outage("none")

    def ride(self, begin, end, pace=1):
        self.start_load()
        self.clock.advance(BOUND)
        self.load.settle()
        before, at = self.load.mark(), self.gw.mark()
        outages = self.gw.metrics()["custody_riding_out_total"]
        began = self.clock.now
        begin()
        self.clock.advance(RIDE - BOUND / 2 - (self.clock.now - began), pace, step=250)
        self.load.settle()
        self.assertRegex(self.state(), r"^riding out since \S+ until \S+;")
        warm = self.load.mark()
        # the last good check began at most this long before the outage
        self.clock.advance(BOUND, pace)
        self.load.settle()
        over = self.load.mark()
        self.assertIn("cut off since", self.state())
        self.clock.advance(BOUND, pace)
        self.load.settle()
        self.back(end)
        got = self.end_load()
        self.assertEqual([g for g in got[:warm] if g.reason is not None], [])
        failed = [g for g in got if g.reason is not None]
        self.assertEqual({g.reason for g in failed}, {"GeneralFailure"})
        self.assertGreaterEqual(failed[0].at - began, RIDE - BOUND / 3 * 1.1)
        self.assertEqual([g for g in got[over:self.over] if g.reason is None], [])
        log = [line for line in self.gw.log(at).splitlines() if " custody: " in line]
        self.assertEqual(len(log), 3, log)  # riding out, cut off, fresh
        self.assertEqual(self.gw.metrics()["custody_riding_out_total"], outages + 1)
        print("before: %s\nriding: %s\nback after %.1f s, of which %.1f s after it was heard" % (
            virtual.percentiles(got[:before]), virtual.percentiles(got[before:warm]),
            *self.took))

    def back(self, end):
        """It answers again: served soon, without a herd."""
        self.over = self.load.mark()
        ended = self.clock.now
        end()
        self.cloud.clear_journal()
        heard = self.clock.until(lambda: self.answered() > 0, "it is asked again", 2 * AGAIN,
                                 slice_s=0.2)
        at = self.load.mark()
        self.clock.until(lambda: {g.uid for g in self.load.got[at:] if g.reason is None} ==
                         set(self.keys), "keys are served", BOUND, slice_s=0.2)
        self.took = (self.clock.now - ended, self.clock.now - ended - heard)
        self.assertLessEqual(self.took[1], BOUND / 3)
        self.clock.advance(BOUND / 3)
        self.load.settle()
        self.assertIn("fresh since", self.state())
        counts = self.cloud.admin("GET", "/counts")["operations"]
        # each key once, two probes of the breaker before, and the watch's
        self.assertLessEqual(counts["kms.secrets.unwrap"]["calls"], KEYS + 2 + 2)
        self.assertLessEqual(counts["kms.secrets.unwrap"]["under-way-max"], KEYS + 1)
        self.assertLessEqual(counts.get("iam.token", {"calls": 0})["calls"], 1)

    def answered(self):
        return sum(n["calls"] - n["failed"] for name, n in
                   self.cloud.admin("GET", "/counts")["operations"].items() if name != "iam.token")

    def test_refused(self):
        self.ride(*self.mode("refuse"))

    def test_reset(self):
        self.ride(*self.mode("reset"))

    def test_tls_broken(self):
        self.ride(*self.mode("handshake"))

    def test_503(self):
        self.ride(*self.failing(status=503))

    def test_html(self):
        self.ride(*self.failing(**HTML))

    def test_refusal_of_a_load_balancer(self):
        """Nothing that Key Protect says: an outage like another."""
        self.ride(*self.failing(**dict(HTML, status=405)))

    def test_hanging(self):
        self.ride(*self.failing(end="hang"), pace=200)

    def test_over_in_time(self):
        """Back before ride-out-max: no Get ever failed, and each key is asked for once at most."""
        self.start_load()
        for mode in ("refuse", "handshake", "reset"):
            self.outage(mode)
            self.clock.advance(RIDE / 2, step=250)
            self.assertIn("riding out since", self.state())
            self.back(lambda: self.outage("none"))
        got = self.end_load()
        self.assertEqual([g for g in got if g.reason is not None], [])


class Unproved(VirtualCase):
    """Rounds end in what is neither an outage nor a refusal, while Gets are answered."""

    def test_health(self):
        with self.gw.client() as c:
            self.cloud.fault(operation="kms.secrets.list", status=400, body=REFUSED,
                             content_type="application/json")
            for _ in range(5):
                self.clock.advance(BOUND / 2)
                self.assertTrue(self.served(c))
            line = next(h for h in self.gw.control("health")[0]
                        if h["check"] == "key manager of a")
            self.assertEqual(line["state"], "bad", line)
            self.assertIn("fresh since", line["say"])
            self.cloud.admin("DELETE", "/faults")
            self.clock.until(lambda: self.gw.control("health")[0] and next(
                h for h in self.gw.control("health")[0]
                if h["check"] == "key manager of a")["state"] == "good", "proved again", BOUND)


class NameLost(Outages):
    """The name of the key manager is no longer found.  libcurl remembers it for a minute."""

    test_refused = test_reset = test_tls_broken = test_503 = test_html = test_hanging = None
    test_over_in_time = test_refusal_of_a_load_balancer = None
    name = "kp.test"

    def vault(self):
        return self.cloud.vault().replace("https://127.0.0.1:", "https://%s:" % self.name)

    def make_gateway(self):
        if not kf.LONG:
            self.skipTest("takes a minute of real time: in the long tests")
        gw = kf.Gateway(tenants=[kf.Tenant("a", self.certificate, options=self.options,
                                           vault=self.vault())], options='log-level = "notice"')
        self.addCleanup(self._end, gw)
        self.hosts, resolv = (os.path.join(gw.dir, n) for n in ("hosts", "resolv.conf"))
        self.set_name(True)
        with open(resolv, "w", encoding="ascii") as f:
            f.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        plain = gw.command
        gw.command = lambda: ["unshare", "-m", "sh", "-c",
                              'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf '
                              '&& shift && exec "$@"', self.hosts, resolv] + plain()
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            self.skipTest("only root may give a process a hosts file of its own")
        return gw.start()

    def set_name(self, known):
        with open(self.hosts, "w", encoding="ascii") as f:
            f.write("127.0.0.1 localhost %s\n" % (self.name if known else ""))

    def lose(self):
        self.set_name(False)
        self.outage("refuse")  # ends the connections that are kept
        time.sleep(61)
        self.clock.advance(BOUND / 3)
        self.outage("none")

    def test_name_lost(self):
        self.ride(self.lose, lambda: self.set_name(True))


class Blips(VirtualCase):
    """What is no outage and no revocation wipes nothing."""

    def quiet(self, act, seconds, undo=None):
        """Loads do not notice it, and the cache stays as it is."""
        before, at = self.gw.metrics(), self.gw.mark()
        self.start_load()
        self.load.settle()
        act()
        self.clock.advance(seconds, step=250)
        if undo is not None:
            undo()
        self.clock.advance(2 * BOUND)
        self.load.settle()
        self.assertEqual([g for g in self.end_load() if g.reason is not None], [])
        after = self.gw.metrics()
        self.assertEqual(after["cache_wipes_total"], before["cache_wipes_total"])
        self.assertEqual(after["cache_keys"], KEYS)
        self.assertIn("fresh since", self.state())
        return at

    def heal(self):
        self.cloud.admin("DELETE", "/faults")

    def test_iam_is_away(self):
        """Shorter than what is left of the token."""
        at = self.quiet(lambda: self.cloud.fault(operation="iam.token", status=503), 600, self.heal)
        self.assert_quiet(at)

    def test_iam_refuses_for_a_while(self):
        refusal = '{"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found"}'
        at = self.quiet(lambda: self.cloud.fault(
            operation="iam.token", status=400, body=refusal, content_type="application/json"), 600,
            self.heal)
        self.assert_quiet(at)

    def test_one_refusal(self):
        for status in (401, 403):
            at = self.quiet(lambda status=status: self.cloud.fault(
                operation="kms.secrets.*", status=status, count=2), BOUND)
            self.assert_quiet(at)

    def test_one_record_refused(self):
        """A grant that one record lacks says nothing of the others, nor in an outage that follows."""
        bad, *good = self.keys
        found = self.cloud.call("GET", "/keys?limit=5000&extractable=true").json["resources"]
        record = next(k["id"] for k in found if k["name"].endswith(bad))
        before, at = self.gw.metrics(), self.gw.mark()
        self.gw.control("cache flush")
        self.cloud.fault(path="*%s*" % record, status=403)
        self.cloud.fault(operation="kms.secrets.list", delay_ms=1000)  # in each round one is refused
        with self.gw.client() as c:
            for _ in range(2 * BOUND):
                self.assert_reason(self.get(c, bad), "PermissionDenied")
                for uid in good:
                    self.assertEqual(self.get(c, uid).key, self.keys[uid])
                self.clock.advance(0.5)
            self.assertIn("fresh since", self.state())
            self.assert_quiet(at)
            self.outage("refuse")
            self.clock.advance(2 * BOUND)
            for uid in good:
                self.assertEqual(self.get(c, uid).key, self.keys[uid])
            self.assertNotEqual(self.get(c, bad).status, ttlv.SUCCESS)
        self.assertIn("riding out since", self.state())
        self.assertEqual(self.gw.metrics()["cache_wipes_total"], before["cache_wipes_total"])

    def test_api_key_is_changed(self):
        """The old one and all its tokens are worth nothing from one moment to the next."""
        path = self.cloud.api_key("Manager")

        def change():
            self.cloud.identity("Second", [
                {"instance": self.cloud.instance, "roles": ["Manager"]}])
            with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT, 0o600), "w",
                      encoding="ascii") as f:
                f.write("Second\n")
            os.rename(path + ".new", path)
            self.cloud.identity("Manager", [], deleted=True)
            self.cloud.void_tokens()
        self.assert_quiet(self.quiet(change, BOUND))

    def test_short_outage(self):
        """Shorter than the bound: a blip, which the state does not even show."""
        at = self.quiet(lambda: self.outage("refuse"), BOUND / 2, lambda: self.outage("none"))
        self.assert_quiet(at)


class Strict(VirtualCase):
    """Tenant b rides out nothing, tenant a as usual."""

    def make_gateway(self):
        self.strict = kf.AUTHORITY.make("vcenter-b")
        tenants = [kf.Tenant("a", self.certificate, options=self.options, vault=self.vault()),
                   kf.Tenant("b", self.strict, vault=self.cloud.vault(prefix="kmip_b"),
                             options='revocation-bound = "%ds" ride-out-max = "0"' % BOUND)]
        return self.gateway(tenants=tenants, options='log-level = "notice"')

    def test_ride_out_max_of_zero(self):
        with self.gw.client(self.strict) as b, self.gw.client() as a:
            uid = b.create()
            b.key(uid)
            self.clock.advance(BOUND)
            self.assertEqual(self.get(b, uid).status, ttlv.SUCCESS)
            self.outage("refuse")
            self.clock.advance(BOUND / 2)  # nobody knows better within the bound
            self.assertEqual(self.get(b, uid).status, ttlv.SUCCESS)
            self.clock.advance(BOUND / 2 + 1)
            self.assert_reason(self.get(b, uid), "GeneralFailure")
            self.assertTrue(self.served(a))
            self.assertIn("cut off since", self.state("b"))
            self.assertIn("riding out since", self.state("a"))
            states = scrape.metrics(self.gw)
            for of in (("tenant=a", "state=riding out"), ("tenant=b", "state=cut off")):
                self.assertEqual(states.of("key_manager_state", *of), 1, of)
            told = self.gw.control("top", "once=yes")[0]["key-managers"]
            self.assertEqual((told.get("riding out"), told.get("cut off")), (1, 1))
            self.outage("none")
            self.clock.until(lambda: self.get(b, uid).status == ttlv.SUCCESS, "served again",
                             2 * AGAIN)


class Restart(VirtualCase):
    def test_restart_in_an_outage(self):
        """What is not in memory fails and says why; it heals by itself."""
        self.outage("refuse")
        self.gw.kill()
        self.gw.start()
        self.clock = virtual.Clock(self.gw)
        with self.gw.client() as c:
            for _ in range(3):
                self.clock.advance(BOUND)
                for uid in self.keys:
                    result = self.get(c, uid)
                    self.assert_reason(result, "GeneralFailure")
                    self.assertIn("key manager is not available", result.message)
                c.ok(ttlv.item("Locate"))
            self.assertIn("cut off since", self.state())
            self.outage("none")
            took = self.clock.until(lambda: self.served(c), "keys are served", 2 * AGAIN)
            for uid, key in self.keys.items():
                self.assertEqual(self.get(c, uid).key, key)
        print("restarted in an outage: served %.1f s after its end" % took)

    def test_restart_after_revocation(self):
        self.cloud.customer(self.cloud.root, "delete")
        self.gw.kill()
        self.gw.start()
        self.clock = virtual.Clock(self.gw)
        with self.gw.client() as c:
            for uid in self.keys:
                self.assert_reason(self.get(c, uid), "CryptographicFailure")
            self.assertIn("revoked since", self.state())


class Reload(VirtualCase):
    warning = "options of the vault were changed in an outage"

    def reload(self, options):
        at = self.gw.mark()
        self.gw.tenants = [kf.Tenant("a", self.certificate, options=self.options,
                                     vault=self.cloud.vault(options=options))]
        self.gw.configure()
        self.gw.control("reload")
        return self.gw.log(at)

    def test_other_options_end_it(self):
        """As the manual says, and the log."""
        self.assertNotIn(self.warning, self.reload("call-rate-max = 45"))
        with self.gw.client() as c:
            self.assertTrue(self.served(c))
            self.outage("refuse")
            self.clock.advance(2 * BOUND)
            self.assertTrue(self.served(c))
            for options in 'call-rate-max = 45\n    call-timeout = "4s"', "call-rate-max = 40":
                lost = "timeout" not in options
                self.assertEqual(self.warning in self.reload(options), lost, options)
                self.assertEqual(self.served(c), not lost)
            self.outage("none")
            self.clock.until(lambda: self.served(c), "served again", 2 * AGAIN)


class Clocks(VirtualCase):
    """A clock that jumped, a process that was stopped: what was proved before proves nothing."""

    def connect(self):
        """A session of now: older ones are idle for longer than is allowed."""
        self.client = self.gw.client()
        self.addCleanup(self.client.close)

    def stopped(self, seconds):
        """A real SIGSTOP; time has gone on when it continues."""
        self.gw.process.send_signal(signal.SIGSTOP)
        mover = threading.Thread(target=self.clock.stall, args=(seconds,))
        mover.start()
        time.sleep(0.05)
        self.gw.process.send_signal(signal.SIGCONT)
        mover.join()

    JUMPS = {
        "the wall clock alone": lambda s: s.clock.jump(wall=2 * BOUND),
        "a suspended machine": lambda s: s.clock.jump(wall=3600, boot=3600),
        "boottime alone": lambda s: s.clock.jump(boot=2 * BOUND),
        "a paused virtual machine": lambda s: s.clock.jump(wall=3600),
        "a stopped process": lambda s: s.stopped(3600),
        "a stopped process, for two minutes": lambda s: s.stopped(120),
    }

    def test_proved_before_served(self):
        for name, jump in self.JUMPS.items():
            with self.subTest(jump=name):
                self.connect()
                self.assertTrue(self.served(self.client))
                # the watch's own is in one of the two at most: its rounds are 18 s apart or more
                self.assertIn(0, [self.unwraps_during(lambda: self.served(self.client))
                                  for _ in range(2)])
                self.assertGreaterEqual(self.unwraps_during(lambda: self.get_after(jump)), 1)
                self.clock.advance(BOUND)

    def get_after(self, jump):
        """The proof may be this key's own, or a check that was due at once."""
        jump(self)
        self.connect()
        uid = next(iter(self.keys))
        self.assertEqual(self.get(self.client, uid).key, self.keys[uid])

    def unwraps_during(self, work):
        self.cloud.clear_journal()
        work()
        return self.unwraps()

    def test_revoked_meanwhile(self):
        """The key manager said no while nobody listened: nothing is served after the jump."""
        for name, jump in self.JUMPS.items():
            with self.subTest(jump=name):
                self.cloud.customer(self.cloud.root, "disable")
                jump(self)
                self.connect()
                for uid in self.keys:
                    self.assert_reason(self.get(self.client, uid), "CryptographicFailure")
                self.clock.advance(31)
                self.cloud.customer(self.cloud.root, "enable")
                self.clock.until(lambda: self.served(self.client), "served again", 2 * BOUND)
                self.clock.advance(31)

    def test_under_way(self):
        """An answer that was true when it was sent, and arrives after the jump, opens nothing."""
        for name, jump in self.JUMPS.items():
            with self.subTest(jump=name):
                # a machine that stands still may let the answer in before the jump
                self.assertTrue(any(self.refused_under_way(jump) for _ in range(3)))

    def refused_under_way(self, jump):
        """False if the key was given out, and the answer may have been there before the jump."""
        self.connect()
        self.assertTrue(self.served(self.client))
        self.gw.control("cache flush")
        self.cloud.clear_journal()
        self.cloud.fault(operation="kms.secrets.unwrap", count=1, delay_after_ms=2000)
        uid, began = next(iter(self.keys)), time.monotonic()
        self.client.send(ttlv.request(self.client.version, on("Get", uid)))
        kf.eventually(lambda: self.unwraps() >= 1, "the key manager has answered", 20)
        self.cloud.customer(self.cloud.root, "disable")
        jump(self)
        in_time = time.monotonic() - began < 2
        reason = self.reason_under_way()
        self.clock.advance(31)
        self.cloud.customer(self.cloud.root, "enable")
        self.connect()
        self.clock.until(lambda: self.served(self.client), "served again", 2 * BOUND)
        self.clock.advance(31)
        if reason is not None or in_time:
            self.assertIn(reason, ("CryptographicFailure", "GeneralFailure", "closed"))
        return reason is not None

    def reason_under_way(self):
        """None: the key was given out."""
        try:
            got = self.clock.during(self.client.receive).items[0]
        except kf.Closed:
            return "closed"  # whoever was stopped for so long has no session left
        return None if got.status == ttlv.SUCCESS else got.reason_name

    def test_away_meanwhile(self):
        """An outage that was known before is no news any more: first asked, then ridden out."""
        self.connect()
        self.outage("refuse")
        self.clock.advance(2 * BOUND)
        self.assertIn("riding out since", self.state())
        self.assertTrue(self.served(self.client))
        before = self.gw.metrics()["keyprotect_calls_total"]
        self.clock.jump(wall=2 * BOUND)
        self.clock.advance(20)  # the breaker's pause
        self.assertTrue(self.served(self.client))
        self.assertGreater(self.gw.metrics()["keyprotect_calls_total"], before)
        self.clock.jump(wall=2 * RIDE)
        for uid in self.keys:
            self.assert_reason(self.get(self.client, uid), "GeneralFailure")


if __name__ == "__main__":
    kf.main()
