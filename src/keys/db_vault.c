/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded vault's records: tenant and uid to envelope. */
#include <string.h>

#include "db_ledger.h"
#include "keys/object.h"

static const char *const migrations[] = {
    "CREATE TABLE records ("
    " tenant TEXT NOT NULL, uid TEXT NOT NULL, record BLOB NOT NULL,"
    " PRIMARY KEY (tenant, uid)) WITHOUT ROWID",
};

enum stmt { GET, PUT, DELETE };
static const char *const sql[] = {
    [GET] = "SELECT record FROM records WHERE tenant = ?1 AND uid = ?2",
    [PUT] = "INSERT INTO records (tenant, uid, record) VALUES (?1, ?2, ?3)",
    [DELETE] = "DELETE FROM records WHERE tenant = ?1 AND uid = ?2",
};

const struct db_schema db_vault_schema = {
    .file = "vault.db",
    .application_id = 0x4b465654, /* "KFVT" */
    .migrations = migrations,
    .version = sizeof(migrations) / sizeof(*migrations),
    .sql = sql,
    .sql_count = sizeof(sql) / sizeof(*sql),
};

/* A statement with the tenant and uid of the body bound to it. */
struct place {
	char tenant[TENANT_ID_MAX + 1];
	char uid[UID_TEXT_LEN + 1];
};

static enum err
bind_place(struct db *db, enum stmt n, const struct place *at, sqlite3_stmt **out)
{
	sqlite3_stmt *st = db_stmt(db, n);

	if (st == NULL)
		return db_error(db);
	db_bind_text(st, 1, at->tenant);
	db_bind_text(st, 2, at->uid);
	*out = st;
	return ERR_OK;
}

static void
unpack_place(struct unpack *u, struct place *at)
{
	unpack_text(u, at->tenant, sizeof(at->tenant));
	unpack_text(u, at->uid, sizeof(at->uid));
}

/* A record never changes: the same one again is a repeat, another one is a fault. */
enum err
db_vault_store(struct db *db, struct unpack *u, struct buf *answer)
{
	struct place at;
	const uint8_t *record;
	sqlite3_stmt *st = NULL;
	size_t len;
	bool row, same;
	enum err e;

	(void)answer;
	unpack_place(u, &at);
	record = unpack_bytes(u, &len);
	if (!unpack_done(u))
		return ERR_INTERNAL;
	e = bind_place(db, GET, &at, &st);
	if (e == ERR_OK)
		e = db_step(db, st, &row);
	if (e != ERR_OK)
		return e;
	if (row) {
		same = (size_t)sqlite3_column_bytes(st, 0) == len &&
		    memcmp(sqlite3_column_blob(st, 0), record, len) == 0;
		sqlite3_reset(st);
		return same ? ERR_OK : ERR_CONFLICT;
	}
	e = bind_place(db, PUT, &at, &st);
	if (e != ERR_OK)
		return e;
	sqlite3_bind_blob64(st, 3, record, len, SQLITE_STATIC);
	return db_run(db, st);
}

enum err
db_vault_destroy(struct db *db, struct unpack *u, struct buf *answer)
{
	struct place at;
	sqlite3_stmt *st = NULL;
	enum err e;

	(void)answer;
	unpack_place(u, &at);
	if (!unpack_done(u))
		return ERR_INTERNAL;
	e = bind_place(db, DELETE, &at, &st);
	return e == ERR_OK ? db_run(db, st) : e;
}

enum err
db_vault_probe(struct db *db, struct unpack *u, struct buf *answer)
{
	struct place at;
	sqlite3_stmt *st = NULL;
	bool row;
	enum err e;

	unpack_place(u, &at);
	if (!unpack_done(u))
		return ERR_INTERNAL;
	e = bind_place(db, GET, &at, &st);
	if (e == ERR_OK)
		e = db_step(db, st, &row);
	if (e != ERR_OK)
		return e;
	pack_u8(answer, row);
	sqlite3_reset(st);
	return ERR_OK;
}
