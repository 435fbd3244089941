# SPDX-License-Identifier: Apache-2.0
"""A unit of systemd without systemd: what it says of a process is done to this one, and the program
takes its place.

    unit.py UNIT PROGRAM [ARGUMENT]...

UNIT_USER=N      the user and group, for root only: then the process loses its capabilities, too,
                 and sees the files as ProtectSystem=strict and ProcSubset=pid leave them
UNIT_WRITES=DIR  where it may write all the same
UNIT_WITHOUT=N   a system call that its filter shall not allow after all
UNIT_STRICT=1    what the filter does not allow kills

Not done: namespaces of devices, of /tmp and of IPC, and what systemd forbids beside the list of calls
that the unit allows (clocks, modules, the kernel's log: that list has none of them)."""

import ctypes
import os
import re
import resource
import subprocess
import sys

ALLOW, KILL, ERRNO = 0x7fff0000, 0x80000000, 0x00050000  # libseccomp's actions
EQ, GT, MASKED_EQ = 4, 6, 7  # how it compares
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
SET_ID = (0o4000, 0o2000)
NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
FAMILIES_MAX = 64
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CLONE_NEWNS, MS_BIND, MS_PRIVATE_ALL = 0x20000, 0x1000, 0x44000
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1

libc = ctypes.CDLL(None, use_errno=True)


class Unit:
    """What a unit's file says: for each name all its values, in order."""

    def __init__(self, path):
        self.said = {}
        with open(path, encoding="utf-8") as f:
            for name, value in re.findall(r"^(\w+)=(.*)$", f.read(), re.MULTILINE):
                self.said.setdefault(name, []).append(value)

    def one(self, name):
        values = self.said[name]
        assert len(values) == 1, (name, values)
        return values[0]

    def size(self, name):
        number, suffix = re.fullmatch(r"([0-9]+)([KMG]?)", self.one(name)).groups()
        return int(number) << {"": 0, "K": 10, "M": 20, "G": 30}[suffix]

    def calls(self):
        """The system calls that SystemCallFilter= leaves, as this machine's systemd knows its sets."""
        sets = known_sets()
        left = expand("@default", sets)
        for line in self.said["SystemCallFilter"]:
            names = set().union(*(expand(n, sets) for n in line.lstrip("~").split()))
            left = left - names if line.startswith("~") else left | names
        return left


def known_sets():
    sets, at = {}, None
    for line in subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            at = sets.setdefault(word, [])
        elif not line.startswith(" "):
            at = None  # a comment on sets, or calls of none
        elif at is not None and word and word[0] != "#":
            at.append(word)
    return sets


def expand(name, sets):
    if not name.startswith("@"):
        return {name}
    return set().union(*(expand(n, sets) for n in sets[name]))


class Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("first", ctypes.c_uint64),
                ("second", ctypes.c_uint64)]


class Filter:
    """One filter of system calls; those of a process all have to agree to a call."""

    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p

    def __init__(self, otherwise):
        self.context = ctypes.c_void_p(self.seccomp.seccomp_init(ctypes.c_uint32(otherwise)))
        assert self.context, "no filter can be made here"

    def add(self, action, name, *compares):
        number = self.seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # another architecture's
        rc = self.seccomp.seccomp_rule_add_array(
            self.context, ctypes.c_uint32(action), number, len(compares),
            (Compare * len(compares))(*(Compare(*c) for c in compares)))
        assert rc == 0, (name, compares, rc)

    def load(self):
        rc = self.seccomp.seccomp_load(self.context)
        assert rc == 0, rc


def forbid_arguments(unit):
    """MemoryDenyWriteExecute=, RestrictAddressFamilies=, RestrictNamespaces=, RestrictSUIDSGID=."""
    filter_ = Filter(ALLOW)
    assert unit.one("MemoryDenyWriteExecute") == "yes"
    both = PROT_WRITE | PROT_EXEC
    filter_.add(ERRNO | EPERM, "mmap", (2, MASKED_EQ, both, both))
    filter_.add(ERRNO | EPERM, "mprotect", (2, MASKED_EQ, PROT_EXEC, PROT_EXEC))
    filter_.add(ERRNO | EPERM, "pkey_mprotect", (2, MASKED_EQ, PROT_EXEC, PROT_EXEC))
    filter_.add(ERRNO | EPERM, "shmat", (2, MASKED_EQ, SHM_EXEC, SHM_EXEC))
    families = [FAMILIES[name] for name in unit.one("RestrictAddressFamilies").split()]
    filter_.add(ERRNO | EAFNOSUPPORT, "socket", (0, GT, FAMILIES_MAX, 0))
    for n in range(FAMILIES_MAX + 1):
        if n not in families:
            filter_.add(ERRNO | EAFNOSUPPORT, "socket", (0, EQ, n, 0))
    assert unit.one("RestrictNamespaces") == "yes"
    for flag in NAMESPACES:
        filter_.add(ERRNO | EPERM, "clone", (0, MASKED_EQ, flag, flag))
    filter_.add(ERRNO | ENOSYS, "clone3")
    for name in ("unshare", "setns"):
        filter_.add(ERRNO | EPERM, name)
    assert unit.one("RestrictSUIDSGID") == "yes"
    for bit in SET_ID:
        for at, names in ((1, ("chmod", "fchmod", "mkdir")), (2, ("fchmodat", "mkdirat"))):
            for name in names:
                filter_.add(ERRNO | EPERM, name, (at, MASKED_EQ, bit, bit))
    filter_.load()


def filter_calls(unit, calls, strict):
    """SystemCallFilter=, whose other calls fail as SystemCallErrorNumber= says."""
    assert unit.one("SystemCallErrorNumber") == "EPERM"
    filter_ = Filter(KILL if strict else ERRNO | EPERM)
    for name in sorted(calls):
        filter_.add(ALLOW, name)
    filter_.load()


def must(rc, what):
    if rc != 0:
        sys.exit("unit.py: %s: %s" % (what, os.strerror(ctypes.get_errno())))


def mount_setattr(path, flags, add, clear):
    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]

    attributes = Attributes(add, clear, 0, 0)
    must(libc.syscall(ctypes.c_long(SYS_MOUNT_SETATTR), AT_FDCWD, path, ctypes.c_uint(flags),
                      ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes))), path)


def protect_files(unit, writes):
    assert (unit.one("ProtectSystem"), unit.one("ProcSubset")) == ("strict", "pid")
    must(libc.unshare(CLONE_NEWNS), "no mounts of its own")
    must(libc.mount(None, b"/", None, MS_PRIVATE_ALL, None), "/")
    must(libc.mount(writes, writes, None, MS_BIND, None), writes)
    mount_setattr(b"/", AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0)
    mount_setattr(writes, 0, 0, MOUNT_ATTR_RDONLY)
    must(libc.mount(b"proc", b"/proc", b"proc", 0,
                    b"subset=pid,hidepid=" + unit.one("ProtectProc").encode()), "/proc")


def limit(unit):
    os.umask(int(unit.one("UMask"), 8))
    for name in ("MEMLOCK", "NOFILE", "CORE"):
        which = getattr(resource, "RLIMIT_" + name)
        most = unit.size("Limit" + name)
        try:
            resource.setrlimit(which, (most, most))
        except ValueError:  # it may not be raised here, so the process has less
            resource.setrlimit(which, (resource.getrlimit(which)[1],) * 2)


def become(unit, user):
    assert unit.one("CapabilityBoundingSet") == unit.one("AmbientCapabilities") == ""
    number = 0
    while libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    assert number > 30, number
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def main():
    unit, program = Unit(sys.argv[1]), sys.argv[2:]
    user, writes, without, strict = (os.environ.pop("UNIT_" + name, None)
                                     for name in ("USER", "WRITES", "WITHOUT", "STRICT"))
    calls = unit.calls() - {without}
    limit(unit)
    if user:
        protect_files(unit, os.fsencode(writes))
        become(unit, int(user))
    assert unit.one("NoNewPrivileges") == "yes"
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    forbid_arguments(unit)
    filter_calls(unit, calls, strict)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
