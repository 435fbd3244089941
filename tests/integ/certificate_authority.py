# SPDX-License-Identifier: Apache-2.0
"""Authorities that sign certificates and revocation lists."""

import os
import time

import kf


class Ca:
    """An authority as vCenter's, made with openssl."""

    def __init__(self, directory, name, signer=None):
        self.dir, self.name = directory, name
        self.pem, self.key = (os.path.join(directory, name + end) for end in (".pem", ".key"))
        kf.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out",
                   self.key)
        if signer is None:
            kf.openssl("req", "-x509", "-new", "-key", self.key, "-subj", "/O=vsphere/CN=" + name,
                       "-days", "3650", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                       "-out", self.pem)
        else:
            signer.sign(self.key, "/O=vsphere/CN=" + name, self.pem,
                        "basicConstraints=critical,CA:TRUE\n"
                        "keyUsage=keyCertSign,cRLSign\n")

    def sign(self, key, subject, pem, extensions="keyUsage=digitalSignature\n", days=30,
             digest="sha256"):
        conf = pem + ".ext"
        with open(conf, "w", encoding="ascii") as f:
            f.write(extensions)
        csr = kf.openssl("req", "-new", "-key", key, "-subj", subject)
        kf.openssl("x509", "-req", "-" + digest, "-CA", self.pem, "-CAkey", self.key,
                   "-CAcreateserial", "-days", str(days), "-extfile", conf, "-out", pem, input=csr)

    def client(self, name, subject, beside=None, bits=None, **kwargs):
        """beside: an authority whose certificate the client shows as well.  bits: of an RSA key."""
        pem, key = (os.path.join(self.dir, name + end) for end in (".pem", ".key"))
        kind = ("RSA", "rsa_keygen_bits:%d" % bits) if bits else ("EC", "ec_paramgen_curve:P-256")
        kf.openssl("genpkey", "-algorithm", kind[0], "-pkeyopt", kind[1], "-out", key)
        self.sign(key, subject, pem, **kwargs)
        if beside:
            with open(beside.pem, encoding="ascii") as f, open(pem, "a", encoding="ascii") as to:
                to.write(f.read())
        return kf.Certificate(pem, key)


    def crl(self, name, *revoked, begins=-1, ends=30, extensions=""):
        """A list of its own; days from now.  What it lists stays listed by later ones."""
        path = os.path.join(self.dir, name)
        conf, index = (os.path.join(self.dir, self.name + end) for end in (".cnf", ".index"))
        day = lambda n: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + n * 86400))
        with open(conf, "w", encoding="ascii") as f:
            f.write("[ca]\ndefault_ca = d\n[d]\ndatabase = %s\ndefault_md = sha256\n[e]\n%s\n"
                    % (index, extensions))
        with open(index, "a", encoding="ascii"):
            pass
        ca = ("ca", "-config", conf, "-cert", self.pem, "-keyfile", self.key)
        for c in revoked:
            kf.openssl(*ca, "-revoke", c.pem)
        more = ("-crlexts", "e") if extensions else ()
        kf.openssl(*ca, "-gencrl", *more, "-crl_lastupdate", day(begins), "-crl_nextupdate",
                   day(ends), "-out", path)
        return path
