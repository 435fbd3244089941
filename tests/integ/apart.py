# SPDX-License-Identifier: Apache-2.0
"""A gateway, its clients and its attackers are on machines of their own.  Here they share one, whose
cores they would take from each other: so the gateway has one for itself, and on the others honest
clients come before those that flood.  What a client waits is then what the gateway makes it wait."""

import contextlib
import functools
import os

FIRST = -19  # of the ranks of the groups in which the kernel puts each session's processes


def _go_first():
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _go_as_usual():
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@functools.lru_cache(maxsize=None)
def possible():
    """Two cores are needed, and the right to go before others."""
    if len(os.sched_getaffinity(0)) < 2:
        return False
    try:
        _go_first()
        _go_as_usual()
    except PermissionError:
        return False
    return True


def _descendants(pid):
    children = []
    with contextlib.suppress(FileNotFoundError):  # of a kernel that does not tell
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
            children = [int(c) for c in f.read().split()]
    return [pid] + [d for c in children for d in _descendants(c)]


def _rank_first(pid):
    """Its session; a kernel that has no such groups needs none."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        with open("/proc/%d/autogroup" % pid, "w", encoding="ascii") as f:
            f.write("%d" % FIRST)


@contextlib.contextmanager
def kept(gateway):
    """The gateway, which was started in a session of its own, has a core, and this thread goes before
    all others on the rest, where what it starts runs too.  Yields whether that is so."""
    if not possible():
        yield False
        return
    before = os.sched_getaffinity(0)
    first, *others = sorted(before)
    for pid in _descendants(gateway.process.pid):
        os.sched_setaffinity(pid, {first})
    _rank_first(gateway.process.pid)
    os.sched_setaffinity(0, others)
    _go_first()
    try:
        yield True
    finally:
        _go_as_usual()
        os.sched_setaffinity(0, before)
