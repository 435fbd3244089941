# SPDX-License-Identifier: Apache-2.0
"""Counting and arming a gateway's faults from outside: the file that a test build maps, too."""

import contextlib
import ctypes
import mmap
import os
import re

import kf

PROCESSES = ("daemon", "store", "audit", "reader")
# What can fail: a process's memory; and the secure heap, which the daemon alone has.
PLACES = {**{p: (p, "ALLOC") for p in PROCESSES}, "secret": ("daemon", "SECRET_ALLOC")}


class _Place(ctypes.Structure):
    """As in src/base/fault_test.c."""
    _fields_ = [("passes", ctypes.c_uint64), ("fail_at", ctypes.c_uint64),
                ("failed", ctypes.c_uint64)]


def names():
    with open(os.path.join(kf.TOP, "include", "base", "fault.def"), encoding="ascii") as f:
        return re.findall(r"^FAULT\((\w+)\)", f.read(), re.M)


class _Stacks(ctypes.Structure):
    _fields_ = [("wanted", ctypes.c_uint64), ("hash", ctypes.c_uint64 * 65536)]


class Faults:
    """of("daemon"): the numbers of a place, which are those of the process itself."""

    def __init__(self, path):
        self.env = {"KEYFERRY_FAULT_FILE": path}
        self.names = names()
        self.behind = len(PROCESSES) * len(self.names) * ctypes.sizeof(_Place)
        size = self.behind + len(PROCESSES) * ctypes.sizeof(_Stacks)
        with open(path, "wb") as f:
            f.truncate(size)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), size)

    def of(self, place):
        process, name = PLACES[place]
        number = PROCESSES.index(process) * len(self.names) + self.names.index(name)
        return _Place.from_buffer(self.map, number * ctypes.sizeof(_Place))

    def passes(self, place):
        return self.of(place).passes

    def failed(self):
        return sum(self.of(p).failed for p in PLACES)

    def arm(self, place, n):
        """The n-th allocation from now fails."""
        numbers = self.of(place)
        numbers.fail_at = numbers.passes + n

    def disarm(self):
        for p in PLACES:
            self.of(p).fail_at = 0

    @contextlib.contextmanager
    def stacks(self):
        """Of what is asked for meanwhile: {place: [a number for each allocation's stack]}, filled at
        the end.  A process that is started meanwhile has to count from 0.  The secure heap is asked
        for so little that each time counts as from another stack."""
        notes = {p: _Stacks.from_buffer(self.map, self.behind + n * ctypes.sizeof(_Stacks))
                 for n, p in enumerate(PROCESSES)}
        found, before = {}, {p: self.passes(p) for p in PLACES}
        for note in notes.values():
            note.wanted = 1
        try:
            yield found
        finally:
            for p in PLACES:
                passes = range(before[p] + 1, self.passes(p) + 1)
                note = notes.get(p)
                found[p] = [note.hash[n % len(note.hash)] if note else n for n in passes]
            for note in notes.values():
                note.wanted = 0


def telling(stacks, rnd):
    """Which allocations of a run say what all of them do: of each stack the first, the last and one
    between.  What a loop asks for at each turn goes the same way when it cannot be had."""
    turns = {}
    for n, stack in enumerate(stacks, 1):
        turns.setdefault(stack, []).append(n)
    return sorted({n for found in turns.values() for n in (found[0], rnd.choice(found), found[-1])})
