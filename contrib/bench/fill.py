#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills the state directory of a gateway that is stopped with objects, for measuring: copies of the
tenant's newest one, in ledger and vault, under uids of their own.  Their keys do not open, since a
record is bound to its uid; who measures asks for keys that were created.

usage: fill.py STATE-DIRECTORY TENANT COUNT"""

import sqlite3
import sys
import uuid


def copies(count):
    """Time-ordered uids, older than any that the gateway makes."""
    for n in range(count):
        yield str(uuid.UUID(int=(n << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int >> 66)))


def fill(path, table, tenant, order, uids):
    with sqlite3.connect(path) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(%s)" % table) if row[1] != "id"]
        row = db.execute("SELECT %s FROM %s WHERE tenant = ? ORDER BY %s DESC LIMIT 1" % (
            ", ".join(names), table, order), (tenant,)).fetchone()
        if row is None:
            sys.exit("%s: tenant %s has nothing that could be copied" % (path, tenant))
        at = names.index("uid")
        db.executemany("INSERT INTO %s (%s) VALUES (%s)" % (
            table, ", ".join(names), ", ".join("?" * len(names))),
                       (row[:at] + (uid,) + row[at + 1:] for uid in uids))


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    directory, tenant, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    uids = list(copies(count))
    fill(directory + "/ledger.db", "objects", tenant, "id", uids)
    fill(directory + "/vault.db", "records", tenant, "uid", uids)


if __name__ == "__main__":
    main()
