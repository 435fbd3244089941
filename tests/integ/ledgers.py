# SPDX-License-Identifier: Apache-2.0
"""State directories as releases before wrote them: tests/ledgers/N holds those of ledger schema N, as
SQL, with the root key and what is in them.  Whoever changes a schema writes the next one:

    KEYFERRY_KEYFERRYD=build/src/daemon/keyferryd python3 tests/integ/ledgers.py
"""

import json
import os
import re
import sqlite3
import sys

import kf
import ttlv
from ttlv import attribute, name_attribute, on

FOLDER = os.path.join(kf.TOP, "tests", "ledgers")
FILES = ("ledger.db", "vault.db")
UNTIL = 4102444800  # 2100, which no 32 bits hold
REASON = "as the test wants it"  # for which keys were revoked
CONTENTS = {7: b"password", 8: b"opaque"}  # of secret data, and of an opaque object


def versions():
    return sorted(int(n) for n in os.listdir(FOLDER) if n.isdigit())


def connect(state_dir, name):
    return sqlite3.connect(os.path.join(state_dir, name))


def pragma(db, name):
    return db.execute("PRAGMA " + name).fetchone()[0]


def shape(db):
    """(schema version, how each table and index was made)"""
    return pragma(db, "user_version"), sorted(
        re.sub(r"\s+", " ", sql) for sql, in
        db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def rows(state_dir):
    """{uid: {column of the ledger: value}}, of `uses' as well where that is there."""
    db = connect(state_dir, "ledger.db")
    db.row_factory = sqlite3.Row
    uses = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'uses'").fetchone()[0]
    found = {row["uid"]: dict(row) for row in db.execute("SELECT * FROM objects" + (
        " JOIN uses ON uses.object = objects.id" if uses else ""))}
    db.close()
    return found


def count(state_dir, table="objects"):
    """How many rows the ledger has there."""
    db = connect(state_dir, "ledger.db")
    found = db.execute("SELECT count(*) FROM " + table).fetchone()[0]
    db.close()
    return found


def records(state_dir):
    """The identifiers of all that is in the vault."""
    db = connect(state_dir, "vault.db")
    found = {uid for uid, in db.execute("SELECT uid FROM records")}
    db.close()
    return found


def read(version, state_dir):
    """Makes the files; returns what is known of them, with the ledger's rows."""
    folder = os.path.join(FOLDER, str(version))
    for name in FILES:
        with open(os.path.join(folder, name + ".sql"), encoding="utf-8") as f:
            db = connect(state_dir, name)
            db.executescript(f.read())
            db.close()
        os.chmod(os.path.join(state_dir, name), 0o600)
    with open(os.path.join(folder, "known.json"), encoding="utf-8") as f:
        return dict(json.load(f), rows=rows(state_dir))


def put_root(gw, known):
    """The root key goes where the gateway's tenant has it."""
    with open(os.path.join(gw.dir, "a.root"), "w", encoding="ascii") as f:
        f.write(known["root"])


def begin_again(state_dir, uid):
    """As a crash leaves an object that was being made: in the vault, with an intent for it."""
    db = connect(state_dir, "ledger.db")
    found, tenant = db.execute("SELECT id, tenant FROM objects WHERE uid = ?", (uid,)).fetchone()
    for table in ("attrs", "names"):
        db.execute("DELETE FROM %s WHERE object = ?" % table, (found,))
    db.execute("DELETE FROM objects WHERE id = ?", (found,))
    db.execute("INSERT INTO intents (tenant, uid, kind, owner) VALUES (?, ?, 0, 1)", (tenant, uid))
    db.commit()
    db.close()


def multiply(state_dir, rounds):
    """Doubles the number of objects so many times; those that are added are nobody's."""
    db = connect(state_dir, "ledger.db")
    for n in range(rounds):
        db.executescript("CREATE TEMP TABLE more AS SELECT * FROM objects;"
                         "UPDATE more SET id = NULL, uid = uid || char(97 + %d);"
                         "INSERT INTO objects SELECT * FROM more; DROP TABLE more" % n)
    db.close()


# What is written.

def objects(c):
    """Of every kind, in every state: {uid: what is known}"""
    made = {}

    def add(uid, state, key=None, name=None, labels=()):
        made[uid] = {"state": state, "key": key, "name": name, "labels": dict(labels)}
        return uid
    ready = c.create(name_attribute("ready"))
    add(ready, ttlv.PRE_ACTIVE, c.key(ready).hex(), "ready")
    for name, reason, state in (("active", None, ttlv.ACTIVE), ("ended", 5, ttlv.DEACTIVATED),
                                ("lost", 2, ttlv.COMPROMISED), ("gone", 5, ttlv.DESTROYED)):
        uid = c.create(name_attribute(name))
        c.ok(on("AddAttribute", uid, attribute("x-Vendor", "VMware, Inc.")))
        c.ok(on("Activate", uid))
        if reason:
            c.ok(ttlv.revoke(uid, reason, message=REASON))
        key = c.key(uid).hex()
        if state == ttlv.DESTROYED:
            c.ok(on("Destroy", uid))
        add(uid, state, key if state != ttlv.DESTROYED else None, name,
            {"x-Vendor": "VMware, Inc."})
    dated = c.create(attribute("Deactivation Date", ttlv.date("AttributeValue", UNTIL)),
                     attribute("Activation Date", ttlv.date("AttributeValue", 0)))
    add(dated, ttlv.ACTIVE, c.key(dated).hex())
    away = c.create()
    key = c.key(away).hex()
    put = c.do(on("Archive", away))
    if put.status == ttlv.SUCCESS:  # the first releases did not know it
        add(away, ttlv.PRE_ACTIVE, key)
        made[away]["archived"] = True
    for register, state in ((ttlv.register_secret(CONTENTS[7]), ttlv.PRE_ACTIVE),
                            (ttlv.register_opaque(CONTENTS[8]), None)):
        result = c.do(register)
        if result.status == ttlv.SUCCESS:  # nor these
            add(result.uid, state)
    return made


def interrupt(gw):
    """Kills it while keys are made, until an intent is left; where the files are then."""
    def create(_):
        try:
            with gw.client() as c:
                while True:
                    c.create()
        except (OSError, kf.Closed):
            pass
    for _ in range(100):
        gw.start()
        killer = kf.threading.Timer(0.03, gw.kill)
        killer.start()
        kf.in_parallel(3, create)
        killer.join()
        if count(gw.state_dir, "intents"):
            return
    raise AssertionError("no intent was left")


def dump(gw, folder, name):
    db = connect(gw.state_dir, name)
    with open(os.path.join(folder, name + ".sql"), "w", encoding="utf-8") as f:
        f.write("\n".join(db.iterdump()) + "\n")
        for p in ("application_id", "user_version"):
            f.write("PRAGMA %s = %d;\n" % (p, pragma(db, p)))
    db.close()


def write():
    gw = kf.Gateway()
    try:
        gw.start()
        with gw.client() as c:
            known = {"objects": objects(c)}
        copy = os.path.join(gw.dir, "copy")
        os.mkdir(copy, 0o700)
        gw.control("backup", "=" + copy)
        gw.stop()
        interrupt(gw)
        with open(os.path.join(gw.dir, "a.root"), encoding="ascii") as f:
            known["root"] = f.read()
        db = connect(gw.state_dir, "ledger.db")
        folder = os.path.join(FOLDER, str(pragma(db, "user_version")))
        db.close()
        known["intents"] = count(gw.state_dir, "intents")
        os.makedirs(folder, exist_ok=True)
        for name in FILES:
            dump(gw, folder, name)
        with open(os.path.join(folder, "known.json"), "w", encoding="utf-8") as f:
            json.dump(known, f, indent=1)
            f.write("\n")
        print(folder)
    finally:
        gw.clean()


if __name__ == "__main__":
    sys.exit(write())
