# SPDX-License-Identifier: Apache-2.0
"""A gateway whose keys are in Key Protect: what its operations cost there, which rights it needs, and
what tenants, keys in memory and root keys that go have to do with it."""

import contextlib
import os
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import uuid

import cloud
import kf
import ttlv
import virtual
from ttlv import ACTIVE, attribute, on

QUIET = 'revocation-bound = "1h"'  # after its first rounds the watch keeps still


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


class ManyCalls(kf.Case):
    def test_busy_instances_on_one_host_are_no_outage(self):
        """Each instance has its ceiling of calls, and no call waits for a connection besides."""
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        c = cloud.Cloud(directory)
        self.addCleanup(c.stop)
        ids = [c.instance, str(uuid.uuid4())]
        c.admin("POST", "/setup", {"instances": [{"id": i, "root-keys": ["root"]} for i in ids]})
        c.identity("Manager", [{"instance": i, "roles": ["Manager"]} for i in ids])
        tenants = []
        for n, instance in enumerate(ids):
            c.instance = instance
            tenants.append(kf.Tenant("t%d" % n, kf.AUTHORITY.make("client-%d" % n), options=QUIET,
                                     vault=c.vault(root="root")))
        gw = self.gateway(tenants=tenants)
        uids = []
        for t in tenants:
            with gw.client(t.certificates[0]) as k:
                uids.append([k.create() for _ in range(16)])
        kf.eventually(lambda: gw.metrics()["watch_rounds_total"] >= 4, "the first rounds", 20)
        gw.control("cache flush")
        before = gw.metrics()["keyprotect_outages_total"]
        c.fault(operation="kms.secrets.unwrap", delay_ms=3300)
        failed = []

        def fetch(i):
            n, m = divmod(i, 16)
            with gw.client(tenants[n].certificates[0]) as k:
                result = k.do(on("Get", uids[n][m]))
                if result.status != ttlv.SUCCESS:
                    failed.append(repr(result))
        kf.in_parallel(32, fetch)
        self.assertEqual(failed, [])
        self.assertEqual(gw.metrics()["keyprotect_outages_total"], before)


class CloudCase(kf.Case):
    role = "Manager"
    vault_options = ""
    options = QUIET

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory)
        self.addCleanup(self.cloud.stop)
        self.begin()

    def begin(self):
        self.gw = self.gateway(tenants=[self.tenant()])
        self.await_first_rounds()
        self.cloud.clear_journal()

    def await_first_rounds(self):
        """Two, and the look at our rights that follows."""
        kf.eventually(lambda: self.gw.metrics()["watch_failures_total"] >= 1 or
                      (self.gw.metrics()["watch_rounds_total"] >= 2 and
                       self.cloud.counts().get("kms.secrets.create", 0) >= 1),
                      "the first rounds", 20)

    def tenant(self, **more):
        return kf.Tenant("a", kf.AUTHORITY.make("vcenter"), options=self.options, vault=self.cloud.vault(
            self.role, options=self.vault_options, **more))

    def calls(self):
        """Since the last time, by operation."""
        found = self.cloud.counts()
        self.cloud.clear_journal()
        return {name: n for name, n in found.items() if n}


class Calls(CloudCase):
    def test_what_operations_cost(self):
        with self.gw.client() as c:
            c.ok(ttlv.item("DiscoverVersions"))
            c.ok(ttlv.item("Query", ttlv.enum("QueryFunction", 1)))
            self.assertEqual(self.calls(), {})
            uid = c.create()
            self.assertEqual(self.calls(), {"kms.secrets.wrap": 1, "kms.secrets.create": 1})
            key = c.key(uid)
            self.assertEqual(self.calls(), {})  # it was made here a moment ago
            c.ok(on("AddAttribute", uid, attribute("x-Name", "vm")))
            self.assertEqual(c.state(uid), ACTIVE)
            c.ok(ttlv.item("Locate"))
            self.assertEqual(self.calls(), {})
            self.gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
            self.assertEqual(self.calls(), {"kms.secrets.unwrap": 1, "kms.secrets.readmetadata": 1})
            self.assertEqual(c.key(uid), key)
            self.assertEqual(self.calls(), {})

    def test_cold_get_takes_one_round_trip(self):
        with self.gw.client() as c:
            uid = c.create()
            self.gw.control("cache flush")
            self.cloud.clear_journal()
            self.cloud.fault(operation="kms.secrets.*", delay_ms=300)
            c.key(uid)
        counts = self.cloud.admin("GET", "/counts")["operations"]
        self.assertEqual({name for name, n in counts.items() if n["calls"]},
                         {"kms.secrets.unwrap", "kms.secrets.readmetadata"})
        a, b = sorted(self.cloud.admin("GET", "/journal")["entries"], key=lambda e: e["arrived-ms"])
        self.assertLess(b["arrived-ms"], a["arrived-ms"] + a["took-ms"])  # not in a row

    def test_one_unwrap_for_all_who_want_a_cold_key(self):
        clients = [self.gw.client() for _ in range(1000 if kf.LONG else 200)]
        try:
            uid = clients[0].create()
            key = clients[0].key(uid)
            self.gw.control("cache flush")
            self.cloud.clear_journal()
            self.cloud.fault(operation="kms.secrets.unwrap", delay_ms=500)
            for c in clients:
                c.send(ttlv.request(c.version, on("Get", uid)))
            for c in clients:
                self.assertEqual(c.receive().items[0].key, key)
        finally:
            for c in clients:
                c.close()
        self.assertEqual(self.calls(), {"kms.secrets.unwrap": 1, "kms.secrets.readmetadata": 1})
        self.gw.assert_idle()

    def test_one_token_for_any_number_of_requests(self):
        self.gw.stop()
        self.cloud.clear_journal()
        self.gw.start()
        kf.in_parallel(24, lambda n: self.gw.client().create())
        self.assertEqual(self.calls()["iam.token"], 1)


DESTROYER = "service role Manager is needed to destroy keys"
MAKER = "service role Writer is needed to make keys"


class Rights(CloudCase):
    def health(self):
        return " ".join(repr(line) for line in self.gw.control("health"))

    def test_writer_cannot_destroy(self):
        self.gw.tenants = [kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                                     vault=self.cloud.vault("Writer"))]
        self.gw.configure()
        self.gw.control("reload")
        kf.eventually(lambda: DESTROYER in self.health(), "health says so beforehand", 20)
        self.assertNotIn(MAKER, self.health())
        with self.gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            c.ok(ttlv.revoke(uid))
            self.assert_reason(c.do(on("Destroy", uid)), "PermissionDenied")
            self.gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
        self.assertIn(DESTROYER, self.health())

    def test_reader_cannot_create(self):
        self.gw.tenants = [kf.Tenant("a", kf.AUTHORITY.make("vcenter"),
                                     vault=self.cloud.vault("Reader"))]
        self.gw.configure()
        self.gw.control("reload")
        kf.eventually(lambda: DESTROYER in self.health() and MAKER in self.health(),
                      "health says so beforehand", 20)
        with self.gw.client() as c:
            self.assert_reason(c.do(ttlv.create()), "PermissionDenied")
            self.assertEqual(c.ok(ttlv.item("Locate")).all("UniqueIdentifier"), [])

    def test_api_key_is_replaced(self):
        """Without a restart; the old token is used as long as it is good."""
        path = self.cloud.api_key("Manager")
        with self.gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            self.cloud.identity("Manager", [], deleted=True)
            self.cloud.identity("Second", [{"instance": self.cloud.instance, "roles": ["Manager"]}])
            self.cloud.void_tokens()
            with open(path + ".new", "w", encoding="ascii") as f:
                f.write("Second\n")
            os.chmod(path + ".new", 0o600)
            os.rename(path + ".new", path)
            self.gw.control("cache flush")
            self.assertEqual(c.key(uid), key)

    def trust(self, text):
        """A file of authorities, which is another one than there was before."""
        path = os.path.join(self.gw.dir, "authorities.pem")
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(path + ".new", path)
        if self.cloud.ca != path:
            self.cloud.ca = path
            self.gw.tenants = [self.tenant()]
            self.gw.configure()

    def test_authorities_are_replaced(self):
        """In the same file: what a reload finds there is trusted."""
        good = read(self.cloud.ca)
        self.trust(read(kf.AUTHORITY.make("vcenter").pem))
        self.gw.ctl("reload")
        with self.gw.client() as c:
            self.assert_reason(c.do(ttlv.create()), "GeneralFailure")
            self.trust(good)
            self.gw.ctl("reload")
            kf.eventually(lambda: c.do(ttlv.create()).status == ttlv.SUCCESS, "they are trusted", 20)

    def test_what_is_no_authority_is_refused(self):
        self.trust(read(self.cloud.ca))
        self.gw.ctl("reload")
        test = [kf.program("keyferryd"), "-t", "-c", self.gw.conf]
        for junk in ("", "hello\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            self.trust(junk)
            for done in (self.gw.ctl("reload", check=False), subprocess.run(
                    test, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)):
                self.assertNotEqual(done.returncode, 0, junk)
                self.assertRegex(done.stderr, "ca-file %s(: certificate 1| holds no)" % self.cloud.ca)

    def test_credentials_are_not_logged(self):
        """Neither the API key nor a token, on the level debug: when all is well, when IAM does not
        know the key, and when the token is refused."""
        secret, path = "kf-" + os.urandom(16).hex(), self.cloud.api_key("Manager")
        self.gw.control("log-level", "=debug")
        with self.gw.client() as c:
            uid = c.create()
            for known in (False, True):
                if known:
                    self.cloud.identity(secret, [{"instance": self.cloud.instance,
                                                  "roles": ["Manager"]}])
                with open(path + ".new", "w", encoding="ascii") as f:
                    f.write(secret + "\n")
                os.chmod(path + ".new", 0o600)
                os.rename(path + ".new", path)
                self.cloud.void_tokens()
                self.gw.control("cache flush")
                if known:
                    kf.eventually(lambda: c.do(ttlv.on("Get", uid)).status == ttlv.SUCCESS,
                                  "the new key serves", 120)
                else:
                    self.cloud.identity("Manager", [], deleted=True)
                    self.assertEqual(c.do(ttlv.on("Get", uid)).status, ttlv.FAILED)
        log = self.gw.log()
        self.assertIn("debug", log)
        self.assertNotIn(secret, log)
        self.assertNotRegex(log, "Bearer|Authorization|access_token|eyJ")

    def test_health_says_how_the_key_manager_is(self):
        self.assertIn("fresh", self.health())
        self.assertNotIn("service role", self.health())
        self.assertEqual(len(self.cloud.records()), cloud.STRANGERS)  # nothing was made to try it
        done = self.gw.ctl("health")
        self.assertIn("key manager of a", done.stdout)


class CacheCommands(CloudCase):
    """What is in memory, of whom, and out of it."""

    def tenants(self):
        return [kf.Tenant(n, kf.AUTHORITY.make("vcenter-" + n), options=self.options,
                          vault=self.cloud.vault(prefix="kmip_" + n)) for n in "ab"]

    def test_list_and_flush(self):
        self.gw.tenants = self.tenants()
        self.gw.configure()
        self.gw.control("reload")
        made = {}
        for t in self.gw.tenants:
            with self.gw.client(t.certificates[0]) as c:
                made[t.name] = [c.create() for _ in range(3)]
                keys = [c.key(uid) for uid in made[t.name]]
                c.key(made[t.name][0])
        listed = self.gw.control("cache list")[0]
        self.assertEqual({(k["tenant"], k["uid"]) for k in listed},
                         {(n, uid) for n, uids in made.items() for uid in uids})
        self.assertEqual((listed[0]["uid"], listed[0]["hits"]), (made["b"][0], 2))  # used last
        self.assertEqual({k["key-manager"] for k in listed}, {"fresh"})
        self.assertEqual({k["uid"] for k in self.gw.control("cache list", "=a")[0]}, set(made["a"]))
        text = self.gw.ctl("cache", "list").stdout + repr(listed)
        for uid in made["a"] + made["b"]:
            self.assertIn(uid, text)
        for key in keys:
            self.assertNotIn(key.hex(), text.lower())
        self.assertNotEqual(self.gw.ctl("cache", "flush", "nobody", check=False).returncode, 0)
        self.assertIn("3", self.gw.ctl("cache", "flush", "a").stdout)
        self.assertEqual({k["tenant"] for k in self.gw.control("cache list")[0]}, {"b"})
        self.assertEqual(self.gw.metrics()["cache_keys"], 3)
        self.cloud.clear_journal()
        with self.gw.client(self.gw.tenants[0].certificates[0]) as c:
            c.key(made["a"][1])
        self.assertEqual(self.calls()["kms.secrets.unwrap"], 1)
        self.assertEqual(self.gw.control("cache flush")[0], {"keys-wiped": 4})
        self.assertEqual(self.gw.control("cache list")[0], [])


class Warm(CloudCase):
    """The newest keys are in memory soon after a start, and the rest is not."""

    options = QUIET + " warm-keys = 3"

    def test_warm_at_start(self):
        with self.gw.client() as c:
            keys = {}
            for _ in range(5):
                uid = c.create()
                keys[uid] = c.key(uid)
                time.sleep(0.002)  # identifiers are in order of time
            gone = list(keys)[-1]
            c.ok(ttlv.revoke(gone))
            c.ok(on("Destroy", gone))
        newest = list(keys)[1:4]
        self.gw.stop()
        self.gw.start()
        self.gw.await_log("notice warm: keys were taken into memory tenant=a keys=3 left=0", 0, 30)
        self.assertEqual(self.gw.metrics()["warmed_total"], 3)
        self.assertEqual({k["uid"] for k in self.gw.control("cache list")[0]}, set(newest))
        self.cloud.clear_journal()
        with self.gw.client() as c:
            for uid in newest:
                self.assertEqual(c.key(uid), keys[uid])
            self.assertEqual(self.calls().get("kms.secrets.unwrap", 0), 0)
            oldest = list(keys)[0]
            self.assertEqual(c.key(oldest), keys[oldest])

    def test_one_key_manager_is_away(self):
        """The keys of the others become warm all the same; its own, when it is back."""
        there = [kf.Tenant(n, kf.AUTHORITY.make("warm-" + n), options=self.options,
                           vault=self.cloud.vault(self.role, prefix="warm-" + n)) for n in "bcd"]
        gw = self.gateway(tenants=there)
        for t in there:
            with gw.client(t.certificates[0]) as c:
                c.create()
        gw.stop()
        vaults = [t.vault for t in there]
        for t in there[:2]:
            t.vault, n = re.subn(r' url = "https://[^"]*"', ' url = "https://127.0.0.1:1"', t.vault)
            self.assertEqual(n, 1)
        gw.configure()
        mark = gw.mark()
        gw.start()
        gw.await_log("keys were taken into memory tenant=d keys=1 left=0", mark, 30)
        gw.await_log("warn warm: keys cannot be .* tenant=b keys=0 left=0 error=VAULT_DOWN", mark)
        gw.tenants = [there[0], there[2]]  # c has gone
        there[0].vault = vaults[0]
        gw.configure()
        gw.ctl("reload")
        virtual.Clock(gw, self.cloud).until(
            lambda: "keys were taken into memory tenant=b keys=1 left=0" in gw.log(mark),
            "the keys of b", 90)
        self.assertEqual(gw.metrics()["warmed_total"], 2)


class OtherKind(kf.Case):
    """No tenant is given another kind of vault than its keys are in."""

    def setUp(self):
        super().setUp()
        self.cloud = kf.the_cloud()
        self.names = ["there", "here", "none"]
        self.local, self.far = ({n: v(n) for n in self.names} for v in (
            lambda n: 'vault local { root-key-file = "%s.root" }' % n,
            lambda n: self.cloud.vault(prefix="kind-" + n)))
        self.tenants = [kf.Tenant(n, kf.AUTHORITY.make("kind-" + n), vault=self.local[n])
                        for n in self.names]
        self.tenants[0].vault = self.far["there"]
        self.gw = self.gateway(tenants=self.tenants)
        self.keys = [self.make(t) for t in self.tenants[:2]]

    def client(self, tenant):
        return self.gw.client(tenant.certificates[0])

    def make(self, tenant):
        with self.client(tenant) as c:
            uid = c.create()
            return uid, c.key(uid)

    def assert_served(self):
        for t, (uid, key) in zip(self.tenants, self.keys):
            with self.client(t) as c:
                self.assertEqual(c.key(uid), key)

    def configure(self, tenant, vault):
        tenant.vault = vault
        self.gw.configure()

    def checks(self, name):
        """The state of that check of health, if it is there."""
        return [x["state"] for x in self.gw.control("health")[0] if x["check"] == name]

    def start_anew(self):
        self.gw.stop()
        mark = self.gw.mark()
        self.gw.start()
        return mark

    def reload_refused(self, tenant, say):
        """It changes nothing."""
        with self.assertRaisesRegex(AssertionError, 'nothing changed: tenant "%s": %s' % (tenant.name, say)):
            self.gw.control("reload")
        mark = self.gw.mark()
        self.gw.process.send_signal(signal.SIGHUP)
        self.gw.await_log("error daemon: reload refused; .*" + say, mark)
        self.assert_served()
        self.make(tenant)  # as before
        self.assertEqual(self.checks("reload"), ["bad"])

    def assert_makes_none(self, tenant):
        self.assertEqual(self.checks("vault of " + tenant.name), ["bad"])
        with self.client(tenant) as c:
            for make in (ttlv.create(), ttlv.register(os.urandom(32))):
                result = c.do(make)
                self.assert_reason(result, "CryptographicFailure")
                self.assertIn("another kind of vault", result.message)

    def refused(self, tenant, is_in, vault):
        """By a reload; after a start there are no keys of this tenant, nor does it get any, and all else is
        as it was."""
        before = tenant.vault
        self.configure(tenant, vault)
        kinds = (is_in, vault.split()[1])
        self.reload_refused(tenant, "it has keys of the vault %s, which could not be fetched with the vault %s" % kinds)
        mark = self.start_anew()
        self.assertRegex(self.gw.log(mark), "error daemon: a tenant's keys are in another kind of vault.* "
                         "tenant=%s vault=%s keys-in=%s" % (tenant.name, kinds[1], is_in))
        at = self.tenants.index(tenant)
        self.assert_makes_none(tenant)
        with self.client(tenant) as c:
            self.assert_reason(c.do(on("Get", self.keys[at][0])), "CryptographicFailure")
        for other in self.tenants:
            if other is not tenant:
                self.make(other)
                self.assertEqual(self.checks("vault of " + other.name), [])
        self.gw.control("reload")  # of something else
        self.assert_makes_none(tenant)
        self.configure(tenant, before)
        self.gw.control("reload")
        self.assertEqual(self.checks("vault of " + tenant.name), [])
        self.assert_served()
        self.make(tenant)

    def test_kind_is_not_changed_under_keys(self):
        there, here, none = self.tenants
        self.make(none)
        self.refused(there, "keyprotect", self.local["there"])
        self.refused(here, "local", self.far["here"])

        self.tenants.remove(none)  # away and back does not hide it
        self.gw.configure()
        self.gw.control("reload")
        none.vault = self.far["none"]
        self.tenants.append(none)
        self.gw.configure()
        with self.assertRaisesRegex(AssertionError, '"none": it has keys of the vault local'):
            self.gw.control("reload")
        self.configure(none, self.local["none"])
        self.gw.control("reload")
        self.make(none)
        self.assert_served()

    def test_keys_that_cannot_be_looked_at(self):
        """Of one tenant: the others are looked at all the same, and this one by the next reload."""
        there, here, _ = self.tenants
        self.gw.stop()
        self.spoil_uid(self.keys[0][0], "x" * 200)
        self.configure(here, self.far["here"])
        mark = self.gw.mark()
        self.gw.start()
        self.assertRegex(self.gw.log(mark), "warn daemon: it cannot be told .* tenant=there vault=keyprotect")
        self.assert_makes_none(here)
        self.assertEqual(self.checks("vault of there"), ["warning"])
        self.make(there)
        self.gw.control("reload")
        self.assertEqual(self.checks("vault of there"), ["warning"])
        self.spoil_uid("x" * 200, self.keys[0][0])
        self.gw.control("reload")
        self.assertEqual(self.checks("vault of there"), [])
        self.gw.stop()
        self.configure(here, self.local["here"])
        self.gw.start()
        self.assert_served()

    def spoil_uid(self, uid, other):
        with contextlib.closing(sqlite3.connect(os.path.join(self.gw.state_dir, "ledger.db"))) as db, db:
            db.execute("UPDATE objects SET uid = ? WHERE uid = ?", (other, uid))

    def test_kind_of_a_tenant_without_keys(self):
        """By a restart: a reload cannot know that no request is making one."""
        none = self.tenants[2]
        self.configure(none, self.far["none"])
        self.reload_refused_quietly(none)
        self.start_anew()
        self.assertEqual(self.checks("vault of none"), [])
        uid, _ = self.make(none)
        with self.client(none) as c:
            c.ok(ttlv.revoke(uid))
            c.ok(on("Destroy", uid))
        self.assertEqual(self.cloud.records(uid, prefix="kind-none"), [])
        self.configure(none, self.local["none"])
        self.reload_refused_quietly(none)
        self.start_anew()
        self.make(none)
        self.assert_served()

    def reload_refused_quietly(self, tenant):
        with self.assertRaisesRegex(AssertionError, 'nothing changed: tenant "%s": its vault is .* at a restart only'
                                    % tenant.name):
            self.gw.control("reload")

    def test_keys_of_both_kinds(self):
        """As earlier releases left them: whoever has keys that can be fetched goes on, whichever is newer."""
        none = self.tenants[2]
        other = self.gateway(tenants=[kf.Tenant("none", none.certificates[0], vault=self.far["none"])])
        with other.client(none.certificates[0]) as c:
            far = c.create()
            key = c.key(far)
            time.sleep(1.1)
            strays = [self.make(none)[0] for _ in range(2)]
            with self.client(none) as k:
                for uid in strays:
                    k.ok(on("Activate", uid))
            self.configure(none, self.far["none"])
            self.start_anew()
            self.assert_makes_none(none)
            with self.client(none) as k:
                self.assertEqual(k.key(far), key)  # found in Key Protect
            mark = self.gw.mark()
            self.gw.control("reload")
            both = ("warn daemon: a tenant has keys of another kind of vault among its newest: .* tenant=none "
                    "vault=keyprotect keys=1 other=local other-keys=2 newest-other=(%s|%s)" % tuple(strays))
            self.assertRegex(self.gw.log(mark), both)
            self.assertIn("new keys are made again", self.gw.log(mark))
            self.assertEqual(self.checks("vault of none"), [])

            self.assertRegex(self.gw.log(self.start_anew()), both)
            self.assertEqual(self.checks("vault of none"), [])
            self.assert_served()
            with self.client(none) as k:
                self.assertEqual(k.key(far), key)
                uids = [far, k.create()]
                for uid in uids:
                    k.ok(ttlv.revoke(uid))
                    k.ok(on("Destroy", uid))
        self.start_anew()
        self.assert_makes_none(none)
        self.assert_served()
        self.gw.ctl("keys", "purge", "--tenant", "none", "--state", "Active", "--force", "--missing", "--really")
        self.gw.control("reload")
        self.assertEqual(self.checks("vault of none"), [])
        self.make(none)


class Sealed(CloudCase):
    """HPCS whose crypto unit has no master key, and root keys that are away."""

    def test_root_key_is_disabled_deleted_and_back(self):
        with self.gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            for away, back, wait in (("disable", "enable", 40), ("delete", "restore", 40)):
                self.cloud.customer(self.cloud.root, away)
                self.gw.control("cache flush")
                self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
                self.assert_reason(c.do(ttlv.create()), "CryptographicFailure")
                self.cloud.advance(wait)
                self.cloud.customer(self.cloud.root, back)
                kf.eventually(lambda: c.do(on("Get", uid)).status == ttlv.SUCCESS,
                              "the key after %s" % back, 30)
                self.assertEqual(c.key(uid), key)

    def test_sealed(self):
        with self.gw.client() as c:
            uid = c.create()
            self.cloud.settings(sealed=1)
            self.gw.control("cache flush")
            self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
            self.cloud.settings(sealed=0)
            kf.eventually(lambda: c.do(on("Get", uid)).status == ttlv.SUCCESS, "the key again", 30)


class Shared(CloudCase):
    """Three tenants under one root key, each with a prefix of its own."""

    def begin(self):
        self.cloud.clear_journal()
        self.tenants = {name: self.tenant_of(name) for name in "abc"}
        self.gw = self.gateway(tenants=list(self.tenants.values()))
        self.await_first_rounds()

    def tenant_of(self, name, options=QUIET):
        return kf.Tenant(name, kf.AUTHORITY.make("vcenter-" + name), options=options,
                         vault=self.cloud.vault(prefix="kmip-" + name))

    def reload(self, names, **options):
        self.gw.tenants = [self.tenant_of(n, options[n]) if n in options else self.tenants[n]
                           for n in names]
        self.gw.configure()
        self.gw.control("reload")

    def client(self, name):
        return self.gw.client(self.tenants[name].certificates[0])

    def cached(self):
        return sorted(key["tenant"] for key in self.gw.control("cache list")[0])

    def test_one_watch(self):
        self.assertEqual(self.gw.metrics()["watch_rounds_total"], 2)
        self.assertEqual(self.calls(), {"iam.token": 1, "kms.secrets.readmetadata": 1,
                                        "kms.secrets.wrap": 1, "kms.secrets.unwrap": 1,
                                        "kms.secrets.delete": 1, "kms.secrets.create": 1,
                                        "kms.secrets.list": 2})

    def test_tenants_come_and_go(self):
        keys = {}
        for name in "abc":
            with self.client(name) as c:
                uid = c.create()
                keys[name] = uid, c.key(uid)
        self.assertEqual(self.cached(), ["a", "b", "c"])
        self.reload("ac")
        kf.eventually(lambda: self.cached() == ["a", "c"], "the keys of b out of memory")
        self.cloud.clear_journal()
        for name in "ac":
            with self.client(name) as c:
                self.assertEqual(c.key(keys[name][0]), keys[name][1])
        self.assertEqual(self.calls(), {})
        self.assertEqual(self.cloud.records(keys["b"][0], "kmip-b"), ["kmip-b_" + keys["b"][0]])
        self.reload("abc")
        with self.client("b") as c:
            self.assertEqual(c.key(keys["b"][0]), keys["b"][1])
        self.gw.assert_idle()

    def test_a_shorter_bound_holds_after_a_reload(self):
        with self.client("a") as a, self.client("c") as c:
            kept, gone = a.create(), c.create()
            key = a.key(kept)
            c.key(gone)
            self.reload("abc", c='revocation-bound = "5s"')
        with self.client("a") as a, self.client("c") as c:
            self.assertEqual(c.do(on("Get", gone)).status, ttlv.SUCCESS)
            record = next(k["id"] for k in self.cloud.call(
                "GET", "/keys?limit=5000&extractable=true").json["resources"]
                          if k["name"] == "kmip-c_" + gone)
            self.cloud.customer(record, "delete")
            kf.eventually(lambda: c.do(on("Get", gone)).status != ttlv.SUCCESS,
                          "the end of the key that was deleted", 30)
            self.assert_reason(c.do(on("Get", gone)), "ItemNotFound")
            self.assertEqual(a.key(kept), key)

    def test_rebuild_of_one(self):
        for name in "ab":
            with self.client(name) as c:
                c.create()
        said = self.gw.control("keys rebuild", "tenant=a")
        self.assertEqual(said[-1], {"tenant": "a", "records": 1, "done": 1, "adopted": 0,
                                    "foreign": 0, "left": 0})


class Unknown(CloudCase):
    def test_looking_for_it_holds_nobody(self):
        """A key that another gateway may just have made is looked for, while all others are served."""
        clock = virtual.Clock(self.gw, self.cloud)
        with self.gw.client() as c, self.gw.client() as waiting:
            uid = c.create()
            key = c.key(uid)
            began, looked = clock.now, self.gw.metrics()["lookups_total"]
            waiting.send(ttlv.request(waiting.version, on("Get", uid[:-12] + "0123456789ab")))
            kf.eventually(lambda: self.gw.metrics()["lookups_total"] > looked, "a look-up", 20)
            for _ in range(20):
                self.assertEqual(c.key(uid), key)
            self.assertEqual(select.select([waiting.sock], [], [], 0)[0], [])
            self.assert_reason(clock.during(waiting.receive).items[0], "ItemNotFound")
            self.assertLess(clock.now - began, 6)


if __name__ == "__main__":
    kf.main()
