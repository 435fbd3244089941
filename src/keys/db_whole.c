/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a start finds both files of a state directory. */
#include "db_whole.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/why.h"
#include "db_ledger.h"
#include "disk.h"
#include "keys/object.h"
#include "kprecord.h"

/*
 * how: SQLITE_ACCESS_EXISTS minds only what has something in it.  SQLite says of what it could not look at
 * that it is not there, and leaves errno as the system had it.
 */
static enum err
look_for(sqlite3_vfs *vfs, const char *dir, const char *file, const char *end, int how, bool *found,
    const char **why)
{
	char path[DISK_PATH_MAX], name[DISK_PATH_MAX + 16];
	int there = 0;

	*why = "the path of the state directory is too long";
	if (!disk_join(path, dir, file))
		return ERR_STORAGE;
	snprintf(name, sizeof(name), "%s%s", path, end);
	errno = 0;
	*why = "the state directory cannot be looked into";
	if (vfs->xAccess(vfs, name, how, &there) != SQLITE_OK)
		return ERR_STORAGE;
	if (there == 0 && errno != 0 && errno != ENOENT)
		return why_say(why, ERR_STORAGE, "its file %s%s cannot be looked at: %s", file, end,
		    strerror(errno));
	*found = there != 0;
	return ERR_OK;
}

static enum err
look_for_log(sqlite3_vfs *vfs, const struct db_schema *schema, const char *dir, const char **why)
{
	bool file = false, log = false;
	enum err e = look_for(vfs, dir, schema->file, "", SQLITE_ACCESS_EXISTS, &file, why);

	if (e == ERR_OK)
		e = look_for(vfs, dir, schema->file, "-wal", SQLITE_ACCESS_EXISTS, &log, why);
	if (e != ERR_OK || file || !log)
		return e;
	return why_say(why, ERR_CORRUPT, "its file %s is missing or empty, but its log %s-wal is not: "
	    "put the file back, or restore a backup", schema->file, schema->file);
}

static enum err
look_for_restore(sqlite3_vfs *vfs, const char *dir, const char **why)
{
	bool cut = false;
	enum err e = look_for(vfs, dir, DB_WHOLE_RESTORING, "", SQLITE_ACCESS_READWRITE, &cut, why);

	if (e != ERR_OK || !cut)
		return e;
	*why = "a restore into it was cut off: move away what is in it, and restore again";
	return ERR_CORRUPT;
}

enum err
db_whole_logs(const char *dir, const char *name, const char **why)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(name);
	enum err e;

	*why = "out of memory";
	if (vfs == NULL)
		return ERR_NO_MEMORY;
	e = look_for_restore(vfs, dir, why);
	if (e == ERR_OK)
		e = look_for_log(vfs, &db_ledger_schema, dir, why);
	return e == ERR_OK ? look_for_log(vfs, &db_vault_schema, dir, why) : e;
}

static enum err
look_for_file(sqlite3_vfs *vfs, const struct db_schema *schema, const char *dir, const char **why)
{
	bool found = false;
	enum err e = look_for(vfs, dir, schema->file, "", SQLITE_ACCESS_EXISTS, &found, why);

	if (e != ERR_OK || found)
		return e;
	return why_say(why, ERR_CORRUPT, "its file %s is missing or empty, and was not when the gateway "
	    "started: put back, or mount, what was in it, or restore a backup", schema->file);
}

enum err
db_whole_still(const char *dir, const char *name, const char **why)
{
	enum err e = db_whole_logs(dir, name, why);

	if (e == ERR_OK)
		e = look_for_file(sqlite3_vfs_find(name), &db_ledger_schema, dir, why);
	return e == ERR_OK ? look_for_file(sqlite3_vfs_find(name), &db_vault_schema, dir, why) : e;
}

/* What cannot be understood counts as one of ours: whoever refuses to start loses nothing. */
static enum err
is_in_vault(const void *body, size_t len, bool *found)
{
	struct arena *a = arena_new(OBJECT_ARENA_MAX + len); /* it may be a foreign one */
	char elsewhere[UID_TEXT_LEN + 1] = "";
	struct object *o;
	enum err e = a != NULL ? object_unpack(body, len, a, &o) : ERR_NO_MEMORY;

	if (e == ERR_OK)
		kprecord_id(elsewhere, o);
	arena_free(a);
	if (e == ERR_NO_MEMORY)
		return e;
	*found = elsewhere[0] == '\0';
	return ERR_OK;
}

static enum err
find_in_vault(struct db *ledger, sqlite3_stmt *st, bool *found)
{
	bool row = true;
	enum err e = ERR_OK;

	while (e == ERR_OK && !*found) {
		e = db_step(ledger, st, &row);
		if (e != ERR_OK || !row)
			return e;
		e = is_in_vault(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0), found);
	}
	return e;
}

/* Whether an object that was not destroyed has its record in the vault's file. */
static enum err
needs_vault(struct db *ledger, bool *found)
{
	char sql[96];
	sqlite3_stmt *st;
	enum err e;

	snprintf(sql, sizeof(sql), "SELECT body FROM objects WHERE state NOT IN (%d, %d)",
	    OBJECT_DESTROYED, OBJECT_DESTROYED_COMPROMISED);
	st = db_prepare(ledger, sql);
	e = st != NULL ? find_in_vault(ledger, st, found) : db_error(ledger);
	sqlite3_finalize(st);
	return e;
}

static enum err
has_records(struct db *vault, bool *found)
{
	sqlite3_stmt *st = db_prepare(vault, "SELECT 1 FROM records LIMIT 1");
	enum err e = st != NULL ? db_step(vault, st, found) : db_error(vault);

	sqlite3_finalize(st);
	return e;
}

enum err
db_whole_pair(struct db *ledger, struct db *vault, const char **why)
{
	struct db *lost = ledger->found == 0 ? ledger : vault, *there = lost == ledger ? vault : ledger;
	bool keys = false;
	enum err e;

	if (lost->found > 0 || there->found == 0)
		return ERR_OK;
	e = lost == ledger ? has_records(vault, &keys) : needs_vault(ledger, &keys);
	if (e != ERR_OK)
		return why_say(why, e, "its file %s cannot be read: %s", there->schema->file, err_text(e));
	if (!keys)
		return ERR_OK;
	return why_say(why, ERR_CORRUPT, "its file %s is missing or empty, but %s tells of keys: put the "
	    "file back, or move both away and restore a backup", lost->schema->file, there->schema->file);
}
