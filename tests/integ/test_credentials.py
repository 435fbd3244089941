# SPDX-License-Identifier: Apache-2.0
"""Secrets that systemd hands over: "credential:NAME" in place of a path."""

import os
import shutil
import subprocess
import tempfile

import cloud
import kf
import ttlv


class Credentials(kf.Case):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="keyferry-credentials-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.env = {"CREDENTIALS_DIRECTORY": self.dir}

    def hand_over(self, name, path):
        """As systemd does: for the service's user by an access list, which shows as a group."""
        copy = os.path.join(self.dir, name)
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o440)
        return "credential:" + name

    def servers(self):
        return [kf.Certificate(self.hand_over(name + ".pem", c.pem),
                               self.hand_over(name + ".key", c.key))
                for name, c in zip(("ec", "rsa"), kf.server_certificates())]

    def converse(self, gw):
        with gw.client() as c:
            uid = c.create()
            key = c.key(uid)
        gw.stop()
        gw.start(env=self.env)
        with gw.client() as c:
            self.assertEqual(c.key(uid), key)

    def test_embedded_vault(self):
        root = os.path.join(self.dir, "made.root")
        subprocess.run([kf.program("keyferryctl"), "make-root-key", root], check=True)
        tenant = kf.Tenant("a", kf.AUTHORITY.make("vcenter"), vault='vault local { root-key-file = "%s" }'
                           % self.hand_over("root", root))
        gw = self.gateway(start=False, tenants=[tenant], servers=self.servers())
        gw.start(env=self.env)
        self.converse(gw)
        gw.ctl("status")  # whoever has no credentials can use the same configuration
        gw.ctl("reload")
        copy = os.path.join(self.dir, "copy")
        os.mkdir(copy)
        gw.ctl("backup", copy)
        self.assertIn("there are no credentials", gw.ctl("verify", copy, check=False).stderr)
        verified = gw.ctl("verify", copy, env=dict(os.environ, **self.env))
        self.assertIn("verified: 1,", verified.stdout)

    def test_key_protect(self):
        there = cloud.Cloud(self.dir)
        self.addCleanup(there.stop)
        name = self.hand_over("apikey", there.api_key("Manager"))
        vault = there.vault().replace(there.api_key("Manager"), name)
        self.assertIn('"%s"' % name, vault)
        gw = self.gateway(start=False, tenants=[
            kf.Tenant("a", kf.AUTHORITY.make("vcenter"), vault=vault)])
        gw.start(env=self.env)
        self.converse(gw)

    def refusal(self, gw, env):
        done = subprocess.run([kf.program("keyferryd"), "-t", "-c", gw.conf], env=env,
                              stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True,
                              check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_what_is_missing_is_told(self):
        gw = self.gateway(start=False, tenants=[kf.Tenant(
            "a", kf.AUTHORITY.make("vcenter"),
            vault='vault local { root-key-file = "credential:root" }')])
        said = self.refusal(gw, {k: v for k, v in os.environ.items()
                                 if k != "CREDENTIALS_DIRECTORY"})
        self.assertIn("credential:root: the root key file: there are no credentials", said)
        self.assertIn("LoadCredential=", said)
        said = self.refusal(gw, dict(os.environ, **self.env))
        self.assertIn("credential:root: the root key file does not exist", said)
        gw.tenants[0].vault = 'vault local { root-key-file = "credential:../root" }'
        gw.configure()
        self.assertIn("names no credential", self.refusal(gw, dict(os.environ, **self.env)))


if __name__ == "__main__":
    kf.main()
