# SPDX-License-Identifier: Apache-2.0
"""Old files and new: what each schema version has written is served by today's gateway, and brought to
today's schema; what a later release has written is refused and left alone; old backups restore."""

import hashlib
import json
import os
import shutil

import kf
import ledgers
import ttlv
from ttlv import attribute, name_attribute, on

# What clients are told of an object, and where the ledger has it.
DATES = {"Initial Date": "date_initial", "Activation Date": "date_activation",
         "Process Start Date": "date_process_start", "Protect Stop Date": "date_protect_stop",
         "Deactivation Date": "date_deactivation", "Destroy Date": "date_destroy",
         "Compromise Occurrence Date": "date_compromise_occurrence",
         "Compromise Date": "date_compromise", "Last Change Date": "date_last_change",
         "Original Creation Date": "date_original_creation", "Archive Date": "date_archive"}
# Columns that change when a key is served, recovered or archived again.
IN_USE = {"revision", "body", "time", "date_last_change", "date_archive"}


def digests(folder):
    """{file name: digest of its bytes}, of those that hold something: an index of a log is made anew"""
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith("-shm"):
            continue
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        if data:
            found[name] = hashlib.sha256(data).hexdigest()
    return found


class Upgrade(kf.Case):
    def old(self, version):
        """A gateway on the files of that version, not started yet; and what is known of them."""
        gw = self.gateway(start=False)
        known = ledgers.read(version, gw.state_dir)
        ledgers.put_root(gw, known)
        self.assertLessEqual(set(known["objects"]), set(known["rows"]))
        self.assertEqual(ledgers.count(gw.state_dir, "intents"), known["intents"])
        return gw, known

    def fresh_shapes(self):
        gw = self.gateway()
        with gw.client() as c:
            c.create()
        gw.stop()
        return self.shapes(gw.state_dir)

    def shapes(self, state_dir):
        found = {}
        for name in ledgers.FILES:
            db = ledgers.connect(state_dir, name)
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            found[name] = ledgers.shape(db)
            db.close()
        return found

    def check_served(self, c, uid, o):
        """The key, or that there is none."""
        if o["state"] == ttlv.DESTROYED:
            self.assertEqual(c.do(on("Get", uid)).status, ttlv.FAILED)
        elif "archived" in o:
            self.assert_reason(c.do(on("Get", uid)), "ObjectArchived")
            c.ok(on("Recover", uid))
            self.assertEqual(c.key(uid).hex(), o["key"])
            c.ok(on("Archive", uid))
        elif o["key"]:
            self.assertEqual(c.key(uid).hex(), o["key"])
        else:
            c.ok(on("Get", uid))

    def check_attributes(self, c, uid, o, row):
        found = ttlv.Result(c.call(ttlv.get_attributes(uid)).items[0].node).attributes()
        part = lambda name, tag: [ttlv.seq("Attribute", *v).path(tag) for v in found.get(name, [])]
        self.assertEqual(found.get("State", [None]), [o["state"]])
        self.assertEqual({n: v for n, v in found.items() if n.startswith("x-")},
                         {n: [v] for n, v in o["labels"].items()})
        self.assertEqual(part("Name", "NameValue"), [o["name"]] if o["name"] else [])
        self.assertEqual({n: found[n] for n in DATES if n in found},
                         {n: [row[at]] for n, at in DATES.items() if row.get(at) is not None})
        self.assertEqual(found["Object Type"], [row["type"]])
        self.assertEqual(part("Revocation Reason", "RevocationReasonCode"),
                         [row["revocation"]] if row["revocation"] else [])
        self.assertEqual(part("Revocation Reason", "RevocationMessage"),
                         [ledgers.REASON] if row["revocation"] else [])
        content = bytes.fromhex(o["key"]) if o["key"] else ledgers.CONTENTS.get(row["type"])
        if content:
            self.assertEqual(part("Digest", "DigestValue"), [hashlib.sha256(content).digest()])

    def check_found(self, c, objects):
        """By name, by label, and at all; names are still taken."""
        here = {uid for uid, o in objects.items() if o["state"] != ttlv.DESTROYED
                and "archived" not in o}
        located = lambda *what: [n.value for n in c.ok(ttlv.item("Locate", *what)).all(
            "UniqueIdentifier")]
        self.assertLessEqual(here, set(located()))
        for uid, o in objects.items():
            if o["name"]:
                self.assertEqual(located(name_attribute(o["name"])), [uid] if uid in here else [])
            if o["name"] and uid in here:
                self.assert_reason(c.do(ttlv.create(name_attribute(o["name"]))), "IllegalOperation")
        labels = {pair for o in objects.values() for pair in o["labels"].items()}
        self.assertTrue(labels)
        for pair in labels:
            self.assertEqual(set(located(attribute(*pair))),
                             {uid for uid in here if pair in objects[uid]["labels"].items()})

    def check_objects(self, gw, known):
        """All is as known["rows"] and the rest of known say."""
        with gw.client() as c:
            for uid, o in known["objects"].items():
                self.check_attributes(c, uid, o, known["rows"][uid])
            for uid, o in known["objects"].items():
                self.check_served(c, uid, o)
            self.check_found(c, known["objects"])
            c.key(c.create())

    def check_files(self, gw, known):
        """Of a gateway that is stopped: the rows are what they were, what was begun is ended, and what is in
        the vault is in the ledger."""
        rows = ledgers.rows(gw.state_dir)
        for uid, row in known["rows"].items():
            kept = set(row) - IN_USE
            self.assertEqual({k: rows[uid][k] for k in kept}, {k: row[k] for k in kept})
            self.assertGreaterEqual(rows[uid]["time"] or 0, row.get("time") or 0)
        for table in ("intents", "claims"):
            self.assertEqual(ledgers.count(gw.state_dir, table), 0)
        self.assertEqual(ledgers.records(gw.state_dir), {
            uid for uid, row in rows.items() if row["state"] != ttlv.DESTROYED})
        known["rows"] = rows

    def test_each_version(self):
        today = self.fresh_shapes()
        for version in ledgers.versions():
            with self.subTest(version=version):
                gw, known = self.old(version)
                gw.start()
                kf.eventually(lambda gw=gw: gw.metrics()["changes_in_doubt"] == 0, "it recovers")
                self.check_objects(gw, known)
                self.assertEqual(gw.stop(), 0)
                self.assertEqual(self.shapes(gw.state_dir), today)
                self.check_files(gw, known)
                gw.start()
                self.check_objects(gw, known)

    def test_what_was_begun_is_ended(self):
        for version in ledgers.versions():
            with self.subTest(version=version):
                gw, known = self.old(version)
                uid = next(u for u, o in known["objects"].items() if o["name"] == "ready")
                ledgers.begin_again(gw.state_dir, uid)
                self.assertIn(uid, ledgers.records(gw.state_dir))
                del known["objects"][uid], known["rows"][uid]
                gw.start()
                kf.eventually(lambda gw=gw: gw.metrics()["changes_in_doubt"] == 0, "it recovers")
                self.check_objects(gw, known)
                self.assertEqual(gw.stop(), 0)
                self.check_files(gw, known)

    def test_each_version_is_kept(self):
        """Fails when a schema has changed: then today's files have to be written down, too."""
        today = self.fresh_shapes()
        newest, kept = ledgers.versions()[-1], {name: set() for name in ledgers.FILES}
        for version in ledgers.versions():
            gw, _ = self.old(version)
            shapes = self.shapes(gw.state_dir)
            for name in ledgers.FILES:
                kept[name].add(shapes[name][0])
            if version == newest:
                self.assertEqual(shapes, today, "see tests/integ/ledgers.py")
        for name in ledgers.FILES:
            self.assertEqual(kept[name], set(range(1, today[name][0] + 1)), name)

    def test_later_release(self):
        """Whichever file it is, and with the log of a crash beside it."""
        for name in ledgers.FILES:
            for crashed in (False, True):
                with self.subTest(file=name, crashed=crashed):
                    gw = self.gateway()
                    with gw.client() as c:
                        c.create()
                    gw.stop()
                    self.make_later(gw, name)
                    if crashed:
                        self.leave_log(gw, name)
                    before, at = digests(gw.state_dir), gw.mark()
                    self.assertEqual(name + "-wal" in before, crashed)
                    with self.assertRaises(AssertionError):
                        gw.start()
                    self.assertEqual(gw.process.wait(20), 1)
                    gw.process = None
                    self.assertRegex(gw.log(at), "cannot start .*a later release wrote these files: "
                                     "nothing was changed; use that release again, or restore")
                    self.assertEqual(digests(gw.state_dir), before)

    def make_later(self, gw, name):
        db = ledgers.connect(gw.state_dir, name)
        db.execute("PRAGMA user_version = %d" % (ledgers.pragma(db, "user_version") + 1))
        db.close()

    def leave_log(self, gw, name):
        """As a process that was killed leaves it: its files are copied while it has them open."""
        db = ledgers.connect(gw.state_dir, name)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE later (a)")
        kept = os.path.join(gw.dir, "kept")
        os.makedirs(kept, exist_ok=True)
        for n in (name, name + "-wal"):
            shutil.copy(os.path.join(gw.state_dir, n), kept)
        db.close()
        for n in (name, name + "-wal"):
            shutil.copy(os.path.join(kept, n), gw.state_dir)

    def test_old_backup(self):
        for version in ledgers.versions():
            with self.subTest(version=version):
                gw = self.gateway(start=False)
                copy = os.path.join(gw.dir, "copy")
                os.mkdir(copy, 0o700)
                known = ledgers.read(version, copy)
                ledgers.put_root(gw, known)
                before = digests(copy)
                counts = json.loads(gw.ctl("--json", "verify", copy).stdout)
                self.assertEqual((counts["missing"], counts["damaged"]), (0, 0))
                self.assertGreaterEqual(counts["verified"], len(known["objects"]) - 1)
                gw.ctl("restore", copy)
                self.assertEqual(digests(copy), before)
                gw.start()
                self.check_objects(gw, known)
                self.assertEqual(gw.stop(), 0)
                self.check_files(gw, known)

    def test_backup_of_a_later_release(self):
        gw = self.gateway()
        copy = os.path.join(gw.dir, "copy")
        os.mkdir(copy, 0o700)
        gw.control("backup", "=" + copy)
        gw.stop()
        shutil.move(gw.state_dir, gw.state_dir + ".old")
        db = ledgers.connect(copy, "ledger.db")
        db.execute("PRAGMA user_version = 99")
        db.close()
        done = gw.ctl("restore", copy, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("a later release wrote these files", done.stderr)


if __name__ == "__main__":
    kf.main()
