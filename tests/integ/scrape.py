# SPDX-License-Identifier: Apache-2.0
"""Asks a gateway's stats socket, and reads what Prometheus would read."""

import http.client
import os
import re
import socket

SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (-?[0-9.]+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Local(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def get(gateway, path, accept=None, method="GET", last=False):
    """(status, content type, body).  last: the client says that it will ask no more."""
    c = Local(os.path.join(gateway.dir, "stats.sock"))
    try:
        headers = {"Accept": accept} if accept else {}
        c.request(method, path, headers=dict(headers, Connection="close") if last else headers)
        answer = c.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        c.close()


class Metrics(dict):
    """Samples by name and labels: m["keyferry_x", "a=1", "b=2"], labels in order of name."""

    def __init__(self, text):
        super().__init__()
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = SAMPLE.match(line).groups()
            key = (name,) + tuple(sorted("%s=%s" % p for p in LABEL.findall(labels or "")))
            if key in self:
                raise AssertionError("twice: %s" % line)
            self[key] = float(value)

    def of(self, name, *labels):
        return self[("keyferry_" + name,) + tuple(sorted(labels))]


def metrics(gateway):
    status, kind, text = get(gateway, "/metrics")
    if status != 200 or "version=0.0.4" not in kind:
        raise AssertionError("%d %s" % (status, kind))
    return Metrics(text)
