# SPDX-License-Identifier: Apache-2.0
"""keyferry-sim as a process of one's own, and a plain client of its ports."""

import base64
import http.client
import json
import os
import ssl
import subprocess
import urllib.parse
import uuid

FORM = "application/x-www-form-urlencoded"


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["resources"][0]["reasons"][0]["code"]

    @property
    def one(self):
        return self.json["resources"][0]


def exchange(host, method, path, body=None, headers=None, timeout=20, tls=None):
    """tls: the context of an HTTPS connection."""
    if tls is not None:
        connection = http.client.HTTPSConnection(host, timeout=timeout, context=tls)
    else:
        connection = http.client.HTTPConnection(host, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()


class Sim:
    """The process, and an instance with an identity for each role."""

    def __init__(self, cert=None, key=None):
        """cert, key: PEM files; with them the ports speak TLS, except for the admin's."""
        self.tls = ssl.create_default_context(cafile=cert) if cert else None
        self.process = subprocess.Popen(
            [os.environ["KEYFERRY_KEYFERRY_SIM"], "-l", "127.0.0.1:0", "-H", "127.0.0.1:0",
             "-A", "127.0.0.1:0"] + (["--cert", cert, "--key", key] if cert else []),
            stdout=subprocess.PIPE)
        line = json.loads(self.process.stdout.readline())
        self.api, self.hpcs, self.adm = (
            line[name].split("//")[1] for name in ("api", "hpcs", "admin"))
        self.instance, self.hpcs_instance = str(uuid.uuid4()), str(uuid.uuid4())
        self.place = self.api  # where the instance's keys are
        self.tokens = {}
        self.admin("POST", "/setup", {"instances": [
            {"id": self.instance}, {"id": self.hpcs_instance, "kind": "hpcs"}]})
        for role in ("Manager", "Writer", "Reader", "KeyPurge", "Viewer"):
            self.identity(role, [{"instance": self.instance, "roles": [role]},
                                 {"instance": self.hpcs_instance, "roles": [role]}])

    def use_hpcs(self):
        """From here on the instance is that of Hyper Protect Crypto Services."""
        self.instance, self.place = self.hpcs_instance, self.hpcs

    def stop(self):
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(20)

    def admin(self, method, path, body=None, expect=None):
        answer = exchange(self.adm, method, path, json.dumps(body) if body is not None else None)
        if expect is not None:
            assert answer.status == expect, (method, path, answer.status, answer.body)
        else:
            assert answer.status < 300, (method, path, answer.status, answer.body)
        return json.loads(answer.body) if answer.body else None

    def identity(self, name, grants, **more):
        self.admin("POST", "/setup", {"identities": [
            {"subject": "iam-ServiceId-" + name, "api-key": name, "grants": grants, **more}]})

    def counts(self):
        """Calls since clear_journal(), by operation."""
        return {name: count["calls"]
                for name, count in self.admin("GET", "/counts")["operations"].items()}

    def void_tokens(self):
        """Makes all tokens that were issued worthless."""
        self.admin("DELETE", "/tokens")
        self.tokens.clear()

    def clear_journal(self):
        self.admin("DELETE", "/journal")

    def customer(self, key, action, **more):
        """What the customer does in the console: delete, restore, purge, disable, enable, rotate."""
        self.admin("POST", "/instances/%s/keys/%s/%s" % (self.instance, key, action), more)

    def settings(self, **values):
        self.admin("PATCH", "/instances/" + self.instance,
                   {name.replace("_", "-"): value for name, value in values.items()})

    def advance(self, seconds):
        self.admin("POST", "/clock", {"advance-s": seconds})
        self.tokens.clear()

    def fault(self, **rule):
        return self.admin("POST", "/faults",
                          {name.replace("_", "-"): value for name, value in rule.items()})["id"]

    def form(self, **fields):
        return exchange(self.api, "POST", "/identity/token", urllib.parse.urlencode(fields),
                        {"Content-Type": FORM}, tls=self.tls)

    def token(self, api_key):
        if api_key not in self.tokens:
            answer = self.form(grant_type="urn:ibm:params:oauth:grant-type:apikey", apikey=api_key)
            assert answer.status == 200, answer.body
            self.tokens[api_key] = answer.json["access_token"]
        return self.tokens[api_key]

    def call(self, method, path, body=None, role="Manager", timeout=20, **headers):
        """headers: with underscores for hyphens; None takes a usual one away."""
        sent = {"Authorization": "Bearer " + self.token(role), "Bluemix-Instance": self.instance}
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value
        sent = {name: value for name, value in sent.items() if value is not None}
        return exchange(self.place, method, "/api/v2" + path, body, sent, timeout, self.tls)

    def create(self, name, role="Manager", ring=None, **fields):
        headers = {"Prefer": "return=representation"}
        if ring is not None:
            headers["X_Kms_Key_Ring"] = ring
        answer = self.call("POST", "/keys", envelope({"name": name, "extractable": False, **fields}),
                           role, **headers)
        assert answer.status == 201, answer.body
        return answer.one

    def record(self, name, **fields):
        return self.create(name, extractable=True,
                           payload=base64.b64encode(b"record").decode(), **fields)

    def names(self, query="", **headers):
        answer = self.call("GET", "/keys" + query, **headers)
        assert answer.status == 200, answer.body
        return [key["name"] for key in answer.json.get("resources", [])]


def envelope(*resources, kind="key"):
    return {"metadata": {"collectionType": "application/vnd.ibm.kms.%s+json" % kind,
                         "collectionTotal": len(resources)}, "resources": list(resources)}
