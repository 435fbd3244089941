# SPDX-License-Identifier: Apache-2.0
"""Key Protect for a test's gateways: keyferry-sim over TLS, with an instance, a service ID for each
role and root keys, and keys of somebody else's that bear our prefix."""

import os
import sys

import kf

sys.path.insert(0, os.path.join(kf.TOP, "tests", "sim"))
import simulator  # noqa: E402  (its folder is not ours)

PREFIX = "vmware_kmip"
STRANGERS = 7
PAGE = 5000  # the most that a list shows at once


class Cloud(simulator.Sim):
    """strangers: how many keys the hosted service left behind.  hpcs: not Key Protect."""

    def __init__(self, directory, strangers=STRANGERS, hpcs=False):
        server = kf.AUTHORITY.make("key-protect", names=("*.api.eu-de.localhost",))
        super().__init__(server.pem, server.key)
        self.dir, self.ca = directory, server.pem
        if hpcs:
            self.use_hpcs()
        self.root = self.create("root")["id"]
        self.fill(strangers)

    def fill(self, count):
        if count:
            self.admin("POST", "/instances/%s/fill" % self.instance,
                       {"count": count, "prefix": PREFIX + "_"})

    def api_key(self, role):
        """The file of the service ID's API key."""
        path = os.path.join(self.dir, role + ".apikey")
        if not os.path.exists(path):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
                f.write(role + "\n")
        return path

    def host_of_its_own(self):
        """The instance under a name that begins with its id, as new ones have it."""
        return "%s.api.eu-de.localhost:%s" % (self.instance, self.place.split(":")[1])

    def vault(self, role="Manager", root=None, prefix=PREFIX, options="", host=None):
        """A tenant's vault section.  host: another name for where the keys are."""
        return ('vault keyprotect {\n    url = "https://%s"\n'
                '    iam-url = "https://%s/identity/token"\n    instance = "%s"\n'
                '    root-key = "%s"\n    api-key-file = "%s"\n    ca-file = "%s"\n'
                '    name-prefix = "%s"\n    %s\n  }' % (
                    host or self.place, self.api, self.instance, root or self.root, self.api_key(role),
                    self.ca, prefix, options))

    def await_rights(self, count):
        """So many looks at rights are over, of which a gateway has one for each root key soon after its
        start, and which send an empty list of keys: a fault that is set from now on meets none."""
        tried = lambda: sum(e["operation"] == "kms.secrets.create" and e["status"] == 400
                            for e in self.admin("GET", "/journal")["entries"])
        kf.eventually(lambda: tried() >= count, "rights are known", 30)

    def records(self, uid=None, prefix=PREFIX):
        """The names of the records that are there: all, or those of one object."""
        names, page = [], None
        while page is None or len(page) == PAGE:
            page = self.names("?limit=%d&offset=%d&extractable=true" % (PAGE, len(names)))
            names += page
        return [n for n in names
                if n.startswith(prefix + "_") and (uid is None or n == "%s_%s" % (prefix, uid))]
