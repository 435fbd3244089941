# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells of another process, which may end at any moment."""

import contextlib
import os


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


def family(pid):
    """It and its children."""
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
        return [pid] + [int(child) for child in f.read().split()]


def children(pid):
    """{name: process id} of those that it has."""
    return {status(child)["Name"]: child for child in family(pid)[1:]}


def arguments(pid):
    with open("/proc/%d/cmdline" % pid, encoding="utf-8", errors="replace") as f:
        return f.read().split("\0")


def descriptors(pid):
    """What each open one leads to, as proc(5) names it."""
    found = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
    return found


def calls_out(port):
    """The established connections of this machine but those to that port of it, as descriptors() names
    them."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    return {"socket:[%s]" % row[9] for row in rows
            if row[3] == "01" and int(row[1].partition(":")[2], 16) != port}
