# SPDX-License-Identifier: Apache-2.0
"""Reads an audit log."""

import collections
import json


def word(name):
    """An operation's name, as the audit log and the tests have it."""
    return "".join(c for c in name if c.isalnum()).lower()


def read_lines(path, growing=False):
    """Every line is whole and is JSON; of a file that grows, the last may be half there."""
    with open(path, encoding="utf-8") as f:
        data = f.read()
    if growing:
        data = data[:data.rfind("\n") + 1]
    if data and not data.endswith("\n"):
        raise AssertionError("%s ends in the middle of a line" % path)
    return [json.loads(line) for line in data.splitlines()]


def done(lines):
    """A Counter of (operation, uid), of (operation, None) as not all answers have it, and of
    ("command", its name): what was done."""
    found = collections.Counter()
    for line in lines:
        if line["event"] == "command":
            found["command", line["command"][0]] += line["result"] == "done"
        elif line["event"] == "request" and line["result"] == "Success":
            what = word(line["operation"])
            found.update({(what, None), (what, line.get("uid"))})
    return found
