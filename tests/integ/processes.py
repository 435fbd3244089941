# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells of another process, which may end at any moment."""

import os
import subprocess


def _fields(pid):
    """Of proc(5)'s stat, from the state on."""
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()


def state(pid):
    return _fields(pid)[0]


def ended(pid):
    """Its parent may not have looked yet."""
    try:
        return state(pid) in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # before it was opened; since then
        return True


def cpu_seconds(pid):
    """What it has had of a core so far."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status(pid):
    """proc(5)'s status."""
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def children(pid):
    """{name: process id} of those that it has."""
    pids = subprocess.run(["pgrep", "-P", str(pid)], check=False, stdout=subprocess.PIPE,
                          text=True).stdout.split()
    return {status(int(child))["Name"]: int(child) for child in pids}


def descriptors(pid):
    """How many it has open."""
    return len(os.listdir("/proc/%d/fd" % pid))
