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

# What those who do something count.
COUNTED = """
    sessions_total requests_total received_bytes_total sent_bytes_total items_ok_total
    items_failed_total handshakes_ok_total handshakes_refused_total idle_timeout_total reloads_total
    control_commands_total stats_requests_total custody_riding_out_total ride_out_gets_total""".split()
# What nothing of the kind causes.
NEVER = """
    audit_lost_total audit_failures_total audit_left_out_total audit_refused_total audit_queue_bytes
    log_lost_total requests_bad_total requests_too_large_total request_timeout_total
    handshakes_timeout_total handshakes_resumed_total handshakes_silent_total
    handshakes_over_share_total handshakes_stalled_total handshakes_turned_away_total
    handshakes_dripped_total handshakes_ceiling_total sessions_ceiling_total sessions_expired_total
    tenant_limits_reached_total reloads_failed_total store_restarts_total
    store_reader_restarts_total store_changes_failed_total store_finds_refused_total store_failing
    integrity_alarms_total integrity_alarm_keys listener_pauses_total changes_in_doubt
    custody_cut_off_total custody_revoked_total custody_suspended_total custody_withdrawn_total
    cache_evictions_total cache_wipes_total warmed_total keyprotect_throttled_total
    lookups_refused_total stats_refused_total draining requests_active requests_held_active
    sessions_active tenant_sessions handshakes_active""".split()
# Two numbers that have to be the same, as the gateway has both; or the first is not above the second.
SAME = (("store_call_duration_seconds_count", "store_calls_total"),
        ("cache_age_seconds_count", "cache_hits_total"),
        ("clients_refused_total", "handshakes_refused_total"))
NOT_ABOVE = (("store_commits_total", "store_calls_total"),
             ("watch_failures_total", "watch_rounds_total"),
             ("rewrapped_total", "store_calls_total"),
             ("adoptions_total", "store_calls_total"),
             ("attributes_shared_total", "keyprotect_calls_total"),
             ("keyprotect_retries_total", "keyprotect_calls_total"),
             ("keyprotect_outages_total", "keyprotect_calls_total"),
             ("keyprotect_breaks_total", "keyprotect_outages_total"),
             ("custody_riding_out_total", "custody_fresh_total"),
             ("cache_misses_total", "cache_loads_total"))
# What clients cannot foretell, and why.  A metric that is new has to find its place here or above.
UNKNOWN = {
    "times, and how long something takes": """
        cache_age_seconds client_certificate_expiry_timestamp_seconds handshake_duration_seconds
        handshake_work_seconds key_manager_proved_age_seconds loop_lag_seconds
        key_manager_ride_out_end_timestamp_seconds keyprotect_operation_duration_seconds
        loop_lag_worst_seconds operation_duration_seconds process_start_time_seconds
        revocation_list_due_timestamp_seconds revocation_list_expiry_timestamp_seconds
        server_certificate_expiry_timestamp_seconds store_call_duration_seconds
        store_last_backup_seconds store_wait_seconds token_age_seconds""",
    "what it is set to": """
        build_info handshakes_limit secure_heap_locked secure_heap_size_bytes sessions_limit""",
    "the soak looks at them itself": """
        process_open_fds process_resident_memory_bytes secure_heap_used_bytes iam_tokens_total""",
    "the order in which a crowd's packets come": """
        handshakes_crowded_total handshakes_latest_first_total cache_loads_shared_total""",
    "what goes on in the background just then": """
        attributes_waiting http_calls key_manager_state requests_restarted_total
        store_reads_again_total store_calls_active store_up""",
    "how often an outage's calls and tokens are tried": "iam_failures_total keyprotect_operations_total",
    "which gateway saw a key first": "lookups_total cache_keys cache_bytes",
    "how many keys were made since the last backup, on both": "store_objects_not_backed_up",
    "why a stranger left; their number is compared": """
        handshake_failures_total handshakes_left_total handshakes_failed_total""",
}

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

    def page(self):
        """What it says of itself."""
        self.count("stats_requests_total")
        return scrape.metrics(self)

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
        kf.eventually(lambda: self.page().of("reloads_total") == want, "it reloads", 60)

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
        elif not name.endswith(("_bucket", "_sum")):
            found[name] += value
    found["strangers"] = found["handshakes_left_total"] + found["handshakes_failed_total"]
    return found


def _look_for_places(page, ours):
    """Each metric is compared, or it is known why not; and what is compared is there."""
    there = {re.sub("_(bucket|sum|count)$", "", key[0].replace("keyferry_", "", 1)) for key in page}
    places = {re.sub("_count$", "", name) for name in ours if isinstance(name, str)}
    places |= {name for pair in SAME + NOT_ABOVE for name in pair}
    places |= {"operations_total", *" ".join(UNKNOWN.values()).split()}
    missing = {name for name in NEVER if name not in there}
    if there - places or missing:
        raise AssertionError("without a place in accounts.py: %s; not there: %s" % (
            sorted(there - places), sorted(missing)))


def _differences(gateway):
    """{what: (counted by us, by the gateway)}"""
    page = gateway.page()
    with gateway.lock:
        ours = {**dict.fromkeys(COUNTED, 0), **gateway.counted}
    theirs, events = _sums(page), gateway.events()
    operations = {what: n for what, n in ours.items() if isinstance(what, tuple)}
    ours.update({("timed",) + what: n for what, n in operations.items()})
    ours["handshakes timed", "ok"] = ours["handshakes_ok_total"]
    ours["handshakes timed", "refused"] = ours["handshakes_refused_total"]
    theirs["request lines"] = events.get("request", 0)
    ours["request lines"] = sum(operations.values())
    theirs["command lines"] = events.get("command", 0)
    ours["command lines"] = ours["control_commands_total"]
    ours["audit_lines_total"] = sum(events.values())
    ours.update({nothing: 0 for nothing in NEVER}, tenants=len(gateway.tenants))
    ours.update({same: theirs[name] for same, name in SAME})
    for less, more in NOT_ABOVE:
        ours["beyond", less, more] = 0
        theirs["beyond", less, more] = max(0, theirs[less] - theirs[more])
    _look_for_places(page, ours)
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
