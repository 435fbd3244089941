# SPDX-License-Identifier: Apache-2.0
"""A system call that this kernel does not have, for a program and its children:

    lacks.py CALL PROGRAM [ARGUMENT]..."""

import os
import sys

import unit


def main():
    call, program = sys.argv[1], sys.argv[2:]
    unit.must(unit.libc.prctl(unit.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    filter_ = unit.Filter(unit.ALLOW)
    filter_.add(unit.ERRNO | unit.ENOSYS, call)
    filter_.load()
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
