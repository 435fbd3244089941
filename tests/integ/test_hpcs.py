# SPDX-License-Identifier: Apache-2.0
"""A gateway whose keys are in Hyper Protect Crypto Services, or in an instance of Key Protect with a
host name of its own (Key Protect Dedicated): the same API under other names, with other limits."""

import shutil
import tempfile

import cloud
import kf
import ttlv
from ttlv import ACTIVE, COMPROMISED, DEACTIVATED, PRE_ACTIVE, on, revoke

QUIET = 'revocation-bound = "1h"'
WATCHFUL = 'revocation-bound = "5s"'
KEY_COMPROMISE = 2


class HpcsCase(kf.Case):
    hpcs = True
    options = QUIET

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="keyferry-cloud-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.cloud = cloud.Cloud(directory, hpcs=self.hpcs)
        self.addCleanup(self.cloud.stop)

    def serve(self, options=None, **vault):
        """A gateway, once its watch has asked."""
        tenant = kf.Tenant("a", kf.AUTHORITY.make("vcenter"), options=options or self.options,
                           vault=self.cloud.vault(**vault))
        gw = self.gateway(tenants=[tenant])
        kf.eventually(lambda: gw.metrics()["watch_rounds_total"] >= 2, "the first rounds", 20)
        return gw

    def says(self, gw, sentence):
        return any(sentence in repr(line) for line in gw.control("health"))


class Conversation(HpcsCase):
    def journal(self):
        return self.cloud.admin("GET", "/journal")["entries"]

    def converse(self, gw):
        """What becomes of a key from its making to its end."""
        with gw.client() as c:
            uid = c.create()
            self.assertEqual(c.state(uid), PRE_ACTIVE)
            c.ok(on("Activate", uid))
            self.assertEqual(c.state(uid), ACTIVE)
            key = c.key(uid)
            gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
            self.cloud.customer(self.cloud.root, "rotate")
            done = gw.control("keys rewrap", timeout=60)[-1]
            self.assertEqual((done["rewrapped"], done["left"]), (1, 0))
            gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
            c.ok(revoke(uid, KEY_COMPROMISE))
            self.assertEqual(c.state(uid), COMPROMISED)
            gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
            c.ok(on("Destroy", uid))
            self.assert_reason(c.do(on("Get", uid)), "ItemNotFound")
        kf.eventually(lambda: not self.cloud.records(uid), "no record is left", 20)

    def converse_at(self, host):
        self.cloud.settings(rotate_interval_s=0)
        gw = self.serve("born-active = false\n  " + QUIET, host=host)
        self.cloud.clear_journal()
        self.converse(gw)
        calls = [e for e in self.journal() if e["operation"].startswith("kms.secrets.")]
        self.assertGreater(len(calls), 10)
        self.assertEqual({e["instance"] for e in calls}, {self.cloud.instance})

    def test_under_a_name_with_its_id(self):
        """https://INSTANCE.api.REGION..., as instances have been named since 2024."""
        self.converse_at(self.cloud.host_of_its_own())

    def test_under_a_shared_name_with_its_port(self):
        """https://api.REGION...:PORT, as older ones are."""
        self.converse_at("localhost:%s" % self.cloud.place.split(":")[1])

    def test_under_a_name_that_the_certificate_lacks(self):
        gw = self.gateway(tenants=[kf.Tenant(
            "a", kf.AUTHORITY.make("vcenter"), options=QUIET,
            vault=self.cloud.vault(host=self.cloud.host_of_its_own().replace("eu-de", "eu-gb")))])
        with gw.client() as c:
            self.assert_reason(c.do(ttlv.create()), "GeneralFailure")
        self.assertEqual(len(self.cloud.records()), cloud.STRANGERS)


class Dedicated(Conversation):
    """Key Protect Dedicated: an instance of Key Protect under a name with its id."""

    hpcs = False


class Limits(HpcsCase):
    def full(self, gw):
        return self.says(gw, "the instance holds as many keys as it may")

    def test_full(self):
        """50,000 keys are the most; what is there is served, and room is noticed."""
        instance = [i for i in self.cloud.admin("GET", "/")["instances"]
                    if i["id"] == self.cloud.instance][0]
        self.assertEqual(instance["settings"]["keys-max"], 50000)
        gw = self.serve()
        self.cloud.settings(keys_max=instance["keys"] + 1)
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            self.assertFalse(self.full(gw))
            for _ in range(3):
                result = c.do(ttlv.create())
                self.assert_reason(result, "GeneralFailure")
                self.assertIn("holds as many keys as it may", repr(result))
            self.assertTrue(self.full(gw))
            self.assertEqual(gw.log().count("the instance holds as many keys as it may"), 1)
            self.assert_reason(c.do(revoke(uid)), "GeneralFailure")  # that needs a successor
            self.assertEqual(c.state(uid), ACTIVE)
            gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
            self.cloud.settings(keys_max=50000)
            kf.eventually(lambda: c.do(revoke(uid)).status == ttlv.SUCCESS, "room for it", 30)
            self.assertEqual(c.state(uid), DEACTIVATED)
            c.create()
            self.assertFalse(self.full(gw))
        kf.eventually(lambda: gw.metrics()["changes_in_doubt"] == 0, "nothing in doubt", 60)
        gw.assert_idle()

    def test_root_key_that_has_expired(self):
        """Only an Active one can be rotated; one that is Deactivated unwraps and wraps no more."""
        later = self.cloud.admin("GET", "/")["clock"][:10]
        root = self.cloud.create("brief", expirationDate="%d-%s" % (int(later[:4]) + 1,
                                                                   "06-01T00:00:00Z"))["id"]
        gw = self.serve(WATCHFUL, root=root)
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
            self.cloud.admin("POST", "/instances/%s/keys/%s/rotate" % (self.cloud.instance, root),
                             {})
            gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
            self.cloud.advance(3 * 366 * 86400)
            self.cloud.admin("POST", "/instances/%s/keys/%s/rotate" % (self.cloud.instance, root),
                             {}, expect=409)
            self.assert_reason(c.do(ttlv.create()), "CryptographicFailure")
            gw.control("cache flush")
            self.assertEqual(c.key(uid), key)
            gw.stop()
            gw.start()
        kf.eventually(lambda: self.says(gw, "the root key is deactivated"), "health says so", 30)
        with gw.client() as c:
            self.assertEqual(c.key(uid), key)


class NotInitialised(HpcsCase):
    """The crypto units have no master key, or another one."""

    options = WATCHFUL

    def test_sealed_and_back(self):
        gw = self.serve()
        with gw.client() as c:
            uids = [c.create() for _ in range(4)]
            keys = [c.key(uid) for uid in uids]
            self.assertEqual(gw.metrics()["cache_keys"], 4)
            self.cloud.settings(sealed=1)
            kf.eventually(lambda: gw.metrics()["cache_keys"] == 0, "the keys are wiped", 30)
            self.assertTrue(self.says(gw, "suspended since"))
            self.assertTrue(self.says(gw, "the crypto units are not initialised"))
            for uid in uids:
                self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
            self.assert_reason(c.do(ttlv.create()), "CryptographicFailure")
            self.assertEqual([c.state(uid) for uid in uids], [ACTIVE] * 4)
            self.assertNotIn("the root key is gone", gw.log())
            self.cloud.settings(sealed=0)
            kf.eventually(lambda: self.says(gw, "fresh since"), "it heals by itself", 30)
            self.assertEqual([c.key(uid) for uid in uids], keys)
            self.assertFalse(self.says(gw, "the crypto units"))
            c.create()
        self.assertEqual(gw.metrics()["integrity_alarms_total"], 0)

    def test_a_get_finds_out_first(self):
        gw = self.serve(QUIET)
        with gw.client() as c:
            warm, cold = c.create(), c.create()
            key = c.key(warm)
            self.cloud.settings(sealed=1)
            self.assertEqual(c.key(warm), key)  # within the bound
            gw.control("cache flush", "=a")
            self.assertEqual(c.do(on("Get", cold)).reason_name, "CryptographicFailure")
            self.assertTrue(self.says(gw, "suspended since"))
            self.assertTrue(self.says(gw, "the crypto units are not initialised"))
            self.assert_reason(c.do(on("Get", warm)), "CryptographicFailure")
            self.cloud.settings(sealed=0)
            self.assertEqual(c.key(warm), key)
            self.assertTrue(self.says(gw, "fresh since"))

    def test_started_while_it_is_sealed(self):
        gw = self.serve()
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
        gw.stop()
        self.cloud.settings(sealed=1)
        gw.start()
        with gw.client() as c:
            c.ok(ttlv.item("DiscoverVersions"))
            self.assert_reason(c.do(on("Get", uid)), "CryptographicFailure")
            self.cloud.settings(sealed=0)
            kf.eventually(lambda: c.do(on("Get", uid)).status == ttlv.SUCCESS, "the key", 30)
            self.assertEqual(c.key(uid), key)


if __name__ == "__main__":
    kf.main()
