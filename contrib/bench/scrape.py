#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scrapes the statistics of a gateway that runs, one time after the other, and shows what each time
costs its process.

usage: scrape.py STATS-SOCKET [TIMES]"""

import http.client
import re
import socket
import statistics
import struct
import sys
import time


class Local(http.client.HTTPConnection):
    """HTTP over the UNIX socket; knows who listens there."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def pid(self):
        raw = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", raw)[0]


def scrape(path):
    """(text, process)"""
    c = Local(path)
    try:
        c.request("GET", "/metrics")
        pid = c.pid()
        return c.getresponse().read().decode(), pid
    finally:
        c.close()


def cpu_ms(pid):
    with open("/proc/%d/schedstat" % pid, encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e6


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    path, times = sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 200
    text, pid = scrape(path)
    before, waits = cpu_ms(pid), []
    for _ in range(times):
        began = time.monotonic()
        text, pid = scrape(path)
        waits.append((time.monotonic() - began) * 1000)
    used = (cpu_ms(pid) - before) / times
    worst = float(re.search(r"^keyferry_loop_lag_worst_seconds (\S+)", text, re.M).group(1))
    print("%d bytes, %d lines: %.2f ms of CPU each, answered after %.2f ms (median), %.2f ms (most); "
          "the loop's latest %.2f ms" % (len(text), text.count("\n"), used,
                                         statistics.median(waits), max(waits), worst * 1000))


if __name__ == "__main__":
    main()
