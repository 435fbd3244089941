#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs keyferry-bench against a gateway, nginx and HAProxy in turn, and compares what each operation
costs the server: its CPU time (user and system), which a busy machine moves far less than the time
on the clock, as medians of rounds; for idle sessions, resident memory.

nginx has one worker, HAProxy one thread; both ask for a client certificate, as the gateway does, and
answer GET / with a constant of the size of a Get's answer.  contrib/bench/run.sh calls it."""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

ANSWER = "x" * 240  # makes with its header about what a Get's answer has
SERVERS = "gateway", "nginx", "haproxy"

# name: what it is, the mode, its options.  Memory first, while all servers are fresh.
CASES = {
    "idle": ("memory of an idle session (bytes)", "idle", ["-n", 3000, "-d", "1s"]),
    "full12": ("full handshake, Get; TLS 1.2 (us)", "fetches", ["-t", "1.2", "-c", 2000]),
    "full13": ("full handshake, Get; TLS 1.3 (us)", "fetches", ["-t", "1.3", "-c", 2000]),
    "resumed12": ("resumed, Get; TLS 1.2 (us)", "fetches", ["-t", "1.2", "-c", 3000, "-r"]),
    "resumed13": ("resumed, Get; TLS 1.3 (us)", "fetches", ["-t", "1.3", "-c", 3000, "-r"]),
    "keepalive": ("Get on an open session (us)", "gets", ["-n", 64, "-c", 60000]),
    "storm": ("2,000 connections at once (us)", "storm", ["-t", "1.2", "-n", 2000]),
}
USUAL = "idle,full12,full13,keepalive,storm"

NGINX = """worker_processes 1;
daemon off;
pid {0}/nginx-{1}.pid;
error_log {0}/nginx-{1}.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600;
  client_body_temp_path {0}/nginx-tmp; proxy_temp_path {0}/nginx-tmp;
  fastcgi_temp_path {0}/nginx-tmp; uwsgi_temp_path {0}/nginx-tmp; scgi_temp_path {0}/nginx-tmp;
  server {{
    listen 127.0.0.1:{2} ssl backlog=4096;
    ssl_certificate {0}/server-{1}.pem;
    ssl_certificate_key {0}/server-{1}.key;
    ssl_client_certificate {0}/ca.pem;
    ssl_verify_client on;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:bench:50m;
    location / {{ return 200 "{3}"; }}
  }}
}}
"""
HAPROXY = """global
  nbthread 1
  maxconn 9000
  tune.ssl.cachesize 100000
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  timeout http-keep-alive 600s
frontend bench
  bind 127.0.0.1:{2} backlog 4096 ssl crt {0}/haproxy-{1}.pem ca-file {0}/ca.pem verify required
  http-request return status 200 content-type text/plain string {3}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def await_listening(name, port, process):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    sys.exit("%s does not start; what it says is above" % name)


def worker_of(pid):
    """nginx's worker, which does all of the work."""
    return int(read("/proc/%d/task/%d/children" % (pid, pid)).split()[0])


def start_peers(where, kind):
    """name: (port, pid of who does the work), and the processes to end."""
    write("%s/haproxy-%s.pem" % (where, kind),
          "".join(read("%s/server-%s%s" % (where, kind, end)) for end in (".pem", ".key")))
    found, processes = {}, []
    for name, text, command in (("nginx", NGINX, ["nginx", "-p", where, "-c"]),
                                ("haproxy", HAPROXY, ["haproxy", "-f"])):
        port = free_port()
        conf = write("%s/%s-%s.conf" % (where, name, kind), text.format(where, kind, port, ANSWER))
        process = subprocess.Popen(command + [conf], stdout=subprocess.DEVNULL)
        processes.append(process)
        await_listening(name, port, process)
        found[name] = port, worker_of(process.pid) if name == "nginx" else process.pid
    return found, processes


def measure(options, kind, server, port, pid, case):
    """What one operation cost, or None with a line on what went wrong."""
    _, mode, arguments = CASES[case]
    command = [options.bench, "-s", "127.0.0.1:%d" % port, "--ca", options.workdir + "/ca.pem",
               "--cert", "%s/client-%s.pem" % (options.workdir, kind),
               "--key", "%s/client-%s.key" % (options.workdir, kind), "--pid", str(pid), "--json"]
    command += ["--http"] if server != "gateway" else []
    done = subprocess.run(command + [str(a) for a in arguments] + [mode], check=False,
                          stdout=subprocess.PIPE)
    result = json.loads(done.stdout) if done.returncode < 2 else {"failures": ["no result"]}
    if result["failures"]:
        print("%s %s %s: %s" % (kind, case, server, result["failures"]))
        return None
    if case.startswith("resumed") and result["resumed"] < 0.9 * result["done"]:
        print("%s %s %s: only %d of %d resumed" % (kind, case, server, result["resumed"],
                                                    result["done"]))
        return None
    if case == "idle":
        return result["server_memory_per_session"]
    return result["server_cpu_ns_per_operation"] / 1000


def compare(options, kind, servers, out):
    complete = True
    for case in options.only.split(","):
        got = {name: [] for name in SERVERS}
        for _ in range(1 if case == "idle" else options.rounds):
            for name in SERVERS:
                got[name].append(measure(options, kind, name, *servers[name], case))
        if any(None in values for values in got.values()):
            complete = False
            continue
        median = {name: statistics.median(values) for name, values in got.items()}
        best = min(median["nginx"], median["haproxy"])
        print("%-4s %-36s %9.1f %9.1f %9.1f   %.2f" % (
            kind, CASES[case][0], *[median[n] for n in SERVERS], median["gateway"] / best),
              flush=True)
        out.write("\t".join(["%s %s" % (case, kind.upper())] +
                            ["%.4f" % (median[n] / best) for n in SERVERS]) + "\n")
    return complete


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the program keyferry-bench")
    parser.add_argument("--workdir", required=True, help="certificates, as run.sh makes them")
    parser.add_argument("--target", required=True, help="KIND:PORT:PID of the gateway")
    parser.add_argument("--request", help="for other programs in this one's place; not used")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--only", default=USUAL, help="cases, of " + ",".join(CASES))
    options = parser.parse_args()
    kind, port, pid = options.target.split(":")
    if any(case not in CASES for case in options.only.split(",")):
        parser.error("--only: cases are " + ",".join(CASES))
    os.makedirs(options.workdir + "/nginx-tmp", exist_ok=True)
    servers, processes = start_peers(options.workdir, kind)
    servers["gateway"] = int(port), int(pid)
    print("%-41s %9s %9s %9s   %s" % ("", *SERVERS, "to the better"))
    try:
        with open(options.workdir + "/compare.tsv", "a", encoding="ascii") as out:
            return 0 if compare(options, kind, servers, out) else 1
    finally:
        for process in processes:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
