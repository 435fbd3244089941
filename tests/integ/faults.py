# SPDX-License-Identifier: Apache-2.0
"""Counting and arming a gateway's faults from outside: the file that a test build maps, too."""

import ctypes
import mmap
import os
import re

import kf

PROCESSES = ("daemon", "store", "audit")


class _Place(ctypes.Structure):
    """As in src/base/fault_test.c."""
    _fields_ = [("passes", ctypes.c_uint64), ("fail_at", ctypes.c_uint64),
                ("failed", ctypes.c_uint64)]


def names():
    with open(os.path.join(kf.TOP, "include", "base", "fault.def"), encoding="ascii") as f:
        return re.findall(r"^FAULT\((\w+)\)", f.read(), re.M)


class Faults:
    """of("daemon"): its numbers, which are those of the process itself."""

    def __init__(self, path):
        self.env = {"KEYFERRY_FAULT_FILE": path}
        self.names = names()
        size = len(PROCESSES) * len(self.names) * ctypes.sizeof(_Place)
        with open(path, "wb") as f:
            f.truncate(size)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), size)

    def of(self, process, name="ALLOC"):
        number = PROCESSES.index(process) * len(self.names) + self.names.index(name)
        return _Place.from_buffer(self.map, number * ctypes.sizeof(_Place))

    def passes(self, process):
        return self.of(process).passes

    def failed(self):
        return sum(self.of(p).failed for p in PROCESSES)

    def arm(self, process, n):
        """The n-th allocation from now fails."""
        place = self.of(process)
        place.fail_at = place.passes + n

    def disarm(self):
        for p in PROCESSES:
            self.of(p).fail_at = 0
