/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the open files, by device and inode: SQLite itself compares no devices, and no logs. */
#include "db_names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/why.h"
#include "db_ledger.h"

static const struct {
	const struct db_schema *schema;
	const char *end;
} files[DB_NAMES] = {{&db_ledger_schema, ""}, {&db_ledger_schema, "-wal"}, {&db_ledger_schema, "-shm"},
    {&db_vault_schema, ""}, {&db_vault_schema, "-wal"}};

bool
db_name_note(struct db_name *n)
{
	struct stat st = {0};
	bool found = stat(n->path, &st) == 0;

	n->device = st.st_dev;
	n->inode = st.st_ino; /* no file has 0 */
	return found;
}

enum err
db_name_check(const struct db_name *n)
{
	struct stat st;

	if (stat(n->path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? ERR_STORAGE_MOVED : ERR_STORAGE;
	return st.st_dev == n->device && st.st_ino == n->inode ? ERR_OK : ERR_STORAGE_MOVED;
}

enum err
db_names_note(struct db_names *n, const char *dir, const char **why)
{
	char path[DISK_PATH_MAX];

	for (size_t i = 0; i < DB_NAMES; i++) {
		*why = "the path of the state directory is too long";
		if (!disk_join(path, dir, files[i].schema->file))
			return ERR_STORAGE;
		snprintf(n->of[i].path, sizeof(n->of[i].path), "%s%s", path, files[i].end);
		if (!db_name_note(&n->of[i]))
			return why_say(why, ERR_STORAGE, "its file %s%s was opened and cannot be looked at: %s",
			    files[i].schema->file, files[i].end, strerror(errno));
	}
	return ERR_OK;
}

enum err
db_names_check(const struct db_names *n)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < DB_NAMES; i++)
		e = db_name_check(&n->of[i]);
	return e;
}

bool
db_names_has(const struct db_names *n, const struct db_schema *schema)
{
	for (size_t i = 0; i < DB_NAMES; i++)
		if (files[i].schema == schema && files[i].end[0] == '\0')
			return db_name_check(&n->of[i]) == ERR_OK;
	return false;
}
