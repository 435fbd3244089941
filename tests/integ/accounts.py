# SPDX-License-Identifier: Apache-2.0
"""What clients and administrators count themselves, to be compared with what the gateway says."""

import collections
import os
import re
import signal
import socket
import ssl
import threading
import time

import kf
import scrape
import ttlv

NAMES = {number: re.sub("(?<=[a-z])(?=[A-Z])", " ", name) for name, number in ttlv.OPS.items()}


class Client(kf.Client):
    """A session whose requests, answers and bytes are counted; it knows the server's certificate."""

    def __init__(self, gateway, certificate, **kwargs):
        self.count = gateway.count
        super().__init__(gateway, certificate, connect=False, **kwargs)
        for s in gateway.servers:
            self.context.load_verify_locations(s.pem)
        self.count("sessions_total")
        self.connect()

    def send(self, data):
        data = data.encode() if isinstance(data, ttlv.Node) else data
        super().send(data)
        self.count("requests_total")
        self.count("received_bytes_total", len(data))

    def receive(self):
        answer = super().receive()
        self.count("sent_bytes_total", answer.size)
        for item in answer.items:
            good = item.status == ttlv.SUCCESS
            self.count("items_ok_total" if good else "items_failed_total")
            self.count((NAMES[item.operation], "ok" if good else "failed"))
        return answer


class Gateway(kf.Gateway):
    """One whose clients, commands and audit files are counted."""

    def __init__(self, **kwargs):
        self.counted, self.lock, self.audits = collections.Counter(), threading.Lock(), []
        super().__init__(**kwargs)
        self.audit = os.path.join(self.dir, "audit.jsonl")
        self.audits.append(self.audit)
        self.options += '\naudit-file = "%s"' % self.audit
        self.configure()

    def count(self, what, n=1):
        with self.lock:
            self.counted[what] += n

    def control(self, command, *args, **kwargs):
        self.count("control_commands_total")
        return super().control(command, *args, **kwargs)

    def client(self, certificate=None, **kwargs):
        c = Client(self, certificate or self.tenants[0].certificates[-1], **kwargs)
        self.count("handshakes_ok_total")
        return c

    def probe(self):
        """A connection without a word, as vCenter looks whether anybody is there."""
        self.count("sessions_total")
        self.count("strangers")
        socket.create_connection(("127.0.0.1", self.port), 20).close()

    def refuse(self, certificate):
        """Somebody whose certificate is not accepted, whatever it asks for."""
        self.count("handshakes_refused_total")
        try:
            with Client(self, certificate) as c:
                c.sock.sendall(ttlv.request((1, 1), ttlv.item("DiscoverVersions")).encode())
                if c.sock.recv(1) != b"":
                    raise AssertionError("let in")
        except (ssl.SSLError, ConnectionError):
            pass

    def reload(self, by_signal=False):
        """Waits until it is done: a signal says nothing."""
        self.count("reloads_total")
        if by_signal:
            self.process.send_signal(signal.SIGHUP)
        else:
            self.control("reload", timeout=60)
        want = self.counted["reloads_total"]
        kf.eventually(lambda: scrape.metrics(self).of("reloads_total") == want, "it reloads", 60)

    def rotate_audit(self):
        """What logrotate does."""
        self.audits.insert(-1, "%s.%d" % (self.audit, len(self.audits)))
        os.rename(self.audit, self.audits[-2])
        self.reload(by_signal=True)

    def events(self):
        """How many audit lines of each event there are, whole ones."""
        found = collections.Counter()
        for path in self.audits:
            with open(path, "rb") as f:
                found.update(re.findall(rb'"event":"([a-z-]+)"[^\n]*\n', f.read()))
        return {name.decode(): n for name, n in found.items()}


def _sums(page):
    """What the page says, in the words of our counts."""
    found = collections.Counter()
    for (name, *labels), value in page.items():
        given = dict(label.split("=", 1) for label in labels)
        name = name.replace("keyferry_", "", 1)
        if name == "operations_total":
            found[given["operation"], "ok" if given["result"] == "OK" else "failed"] += value
        elif name == "operation_duration_seconds_count":
            found["timed", given["operation"], given["outcome"]] += value
        elif name == "handshake_duration_seconds_count":
            found["handshakes timed", given["result"]] += value
        elif not labels:
            found[name] += value
    found["strangers"] = found["handshakes_left_total"] + found["handshakes_failed_total"]
    return found


def _differences(gateway):
    """{what: (counted by us, by the gateway)}"""
    with gateway.lock:
        ours = dict(gateway.counted)
    theirs, events = _sums(scrape.metrics(gateway)), gateway.events()
    operations = {what: n for what, n in ours.items() if isinstance(what, tuple)}
    ours.update({("timed",) + what: n for what, n in operations.items()})
    ours["handshakes timed", "ok"] = ours["handshakes_ok_total"]
    ours["handshakes timed", "refused"] = ours.get("handshakes_refused_total", 0)
    theirs["request lines"] = events.get("request", 0)
    ours["request lines"] = sum(operations.values())
    theirs["command lines"] = events.get("command", 0)
    ours["command lines"] = ours["control_commands_total"]
    ours["audit_lines_total"] = sum(events.values())
    ours.update({nothing: 0 for nothing in (
        "audit_lost_total", "audit_failures_total", "audit_left_out_total", "log_lost_total",
        "requests_bad_total", "request_timeout_total", "handshakes_timeout_total",
        "reloads_failed_total", "store_restarts_total", "integrity_alarms_total",
        "listener_pauses_total", "changes_in_doubt", "requests", "sessions", "handshakes")})
    names = set(ours) | {k for k in theirs if isinstance(k, tuple) and k[0] != "handshakes timed"}
    return {k: (ours.get(k, 0), theirs[k]) for k in names if ours.get(k, 0) != theirs[k]}


def balance(gateway, seconds=20.0):
    """Both say the same, once all that was done is over."""
    end = time.monotonic() + seconds
    while True:
        wrong = _differences(gateway)
        if not wrong:
            return
        if time.monotonic() > end:
            raise AssertionError("counted by the clients, and by the gateway: %s" % wrong)
        time.sleep(0.05)
