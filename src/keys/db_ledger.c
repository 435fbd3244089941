/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's file: its tables and statements, reading an object, and changing some together. */
#include "db_ledger.h"

#include "base/clock.h"
#include "db_rows.h"
#include "wire.h"

enum { ARENA_MAX = 2 * WIRE_FRAME_MAX };

/*
 * body is the packed object and the truth; the columns beside it are what objects are found by.
 * attrs holds a row for each different attribute, names one for each Name in use.
 * claims are names that messages with intents are about to give.  kind of an intent is enum
 * change_kind.  backup is empty before the first one.  uses has a row for each object: since when
 * uses of it are recorded, and the last one.
 */
static const char *const migrations[] = {
    ("CREATE TABLE objects ("
    " id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, uid TEXT NOT NULL,"
    " revision INTEGER NOT NULL, type INTEGER NOT NULL, state INTEGER NOT NULL,"
    " algorithm INTEGER NOT NULL, length INTEGER NOT NULL, usage_mask INTEGER NOT NULL,"
    " revocation INTEGER NOT NULL, date_initial INTEGER, date_activation INTEGER,"
    " date_process_start INTEGER, date_protect_stop INTEGER, date_deactivation INTEGER,"
    " date_destroy INTEGER, date_compromise_occurrence INTEGER, date_compromise INTEGER,"
    " date_last_change INTEGER, date_original_creation INTEGER, body BLOB NOT NULL,"
    " UNIQUE (tenant, uid));"
    "CREATE INDEX objects_newest ON objects (tenant, date_initial, uid, state);"
    "CREATE INDEX objects_state ON objects (tenant, state, date_initial, uid, date_activation,"
    " date_deactivation);"
    "CREATE INDEX objects_type ON objects (tenant, type, date_initial, uid, state);"
    "CREATE TABLE attrs ("
    " tenant TEXT NOT NULL, key BLOB NOT NULL, object INTEGER NOT NULL,"
    " PRIMARY KEY (tenant, key, object)) WITHOUT ROWID;"
    "CREATE TABLE names ("
    " tenant TEXT NOT NULL, key BLOB NOT NULL, object INTEGER NOT NULL,"
    " PRIMARY KEY (tenant, key)) WITHOUT ROWID;"
    "CREATE TABLE intents ("
    " id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, uid TEXT NOT NULL,"
    " kind INTEGER NOT NULL, owner INTEGER NOT NULL, UNIQUE (tenant, uid));"
    "CREATE INDEX intents_owner ON intents (owner);"
    "CREATE TABLE claims ("
    " tenant TEXT NOT NULL, key BLOB NOT NULL, owner INTEGER NOT NULL,"
    " PRIMARY KEY (tenant, key)) WITHOUT ROWID;"
    "CREATE INDEX claims_owner ON claims (owner);"
    "CREATE TABLE backup ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), time INTEGER NOT NULL,"
    " last_object INTEGER NOT NULL)"),
    ("CREATE TABLE uses ("
    " object INTEGER PRIMARY KEY, since INTEGER NOT NULL, time INTEGER);"
    "INSERT INTO uses (object, since) SELECT id, CAST(strftime('%s', 'now') AS INTEGER)"
    " FROM objects"),
    ("ALTER TABLE objects ADD COLUMN date_archive INTEGER;"
    "DROP INDEX objects_newest;"
    "CREATE INDEX objects_newest ON objects (tenant, date_initial, uid, state, type, date_archive);"
    "CREATE INDEX objects_archived ON objects (tenant, date_initial, uid)"
    " WHERE date_archive IS NOT NULL"),
};

static const char *const sql[] = {
    [GET] = "SELECT o.id, o.revision, o.body, u.since, u.time FROM objects o"
	    " LEFT JOIN uses u ON u.object = o.id WHERE o.tenant = ?1 AND o.uid = ?2",
    [INSERT] = "INSERT INTO objects (tenant, uid, revision, type, state, algorithm, length,"
	       " usage_mask, revocation, date_initial, date_activation, date_process_start,"
	       " date_protect_stop, date_deactivation, date_destroy, date_compromise_occurrence,"
	       " date_compromise, date_last_change, date_original_creation, date_archive,"
	       " body) VALUES"
	       " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
	       " ?18, ?19, ?20, ?21)",
    [UPDATE] = "UPDATE objects SET revision = ?3, type = ?4, state = ?5, algorithm = ?6,"
	       " length = ?7, usage_mask = ?8, revocation = ?9, date_initial = ?10,"
	       " date_activation = ?11, date_process_start = ?12, date_protect_stop = ?13,"
	       " date_deactivation = ?14, date_destroy = ?15, date_compromise_occurrence = ?16,"
	       " date_compromise = ?17, date_last_change = ?18, date_original_creation = ?19,"
	       " date_archive = ?20, body = ?21 WHERE tenant = ?1 AND uid = ?2",
    [ATTR_PUT] = "INSERT OR IGNORE INTO attrs (tenant, key, object) VALUES (?1, ?2, ?3)",
    [ATTR_DELETE] = "DELETE FROM attrs WHERE tenant = ?1 AND key = ?2 AND object = ?3",
    [NAME_HOLDER] = ("SELECT o.uid, o.id FROM names n JOIN objects o ON o.id = n.object"
		     " WHERE n.tenant = ?1 AND n.key = ?2"),
    [NAME_PUT] = "INSERT OR IGNORE INTO names (tenant, key, object) VALUES (?1, ?2, ?3)",
    [NAME_DELETE] = "DELETE FROM names WHERE tenant = ?1 AND key = ?2 AND object = ?3",
    [CLAIM_PUT] = "INSERT INTO claims (tenant, key, owner) VALUES (?1, ?2, ?3)",
    [CLAIM_OWNER] = "SELECT owner FROM claims WHERE tenant = ?1 AND key = ?2",
    [CLAIMS_DROP] = "DELETE FROM claims WHERE owner = ?1",
    [INTENT_GET] = "SELECT owner, kind FROM intents WHERE tenant = ?1 AND uid = ?2",
    [INTENT_PUT] = "INSERT INTO intents (tenant, uid, kind, owner) VALUES (?1, ?2, ?3, ?4)",
    [INTENT_DELETE] = "DELETE FROM intents WHERE tenant = ?1 AND uid = ?2 AND owner = ?3",
    [INTENTS_DROP] = "DELETE FROM intents WHERE owner = ?1",
    [INTENTS_LIST] = ("SELECT owner, tenant, uid, kind, id FROM intents WHERE id > ?2"
		      " ORDER BY id LIMIT ?1"),
    [BACKUP_GET] = ("SELECT (SELECT time FROM backup),"
		    " coalesce((SELECT max(id) FROM objects), 0) -"
		    " coalesce((SELECT last_object FROM backup), 0)"),
    [USE_PUT] = "INSERT INTO uses (object, since) VALUES (?1, ?2)",
    [USE_NOTE] = "UPDATE uses SET time = ?3 WHERE object ="
		 " (SELECT id FROM objects WHERE tenant = ?1 AND uid = ?2)"
		 " AND coalesce(time, 0) < ?3",
};

const struct db_schema db_ledger_schema = {
    .file = "ledger.db",
    .shared = true,
    .application_id = 0x4b464c47, /* "KFLG" */
    .migrations = migrations,
    .version = sizeof(migrations) / sizeof(*migrations),
    .sql = sql,
    .sql_count = sizeof(sql) / sizeof(*sql),
};

enum err
db_bind_uid(struct db *db, enum ledger_stmt n, const char *tenant, const char *uid,
    sqlite3_stmt **out)
{
	sqlite3_stmt *st = db_stmt(db, n);

	if (st == NULL)
		return db_error(db);
	db_bind_text(st, 1, tenant);
	db_bind_text(st, 2, uid);
	*out = st;
	return ERR_OK;
}

enum err
db_ledger_load(struct db *db, struct unpack *u, struct buf *answer)
{
	char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1];
	sqlite3_stmt *st = NULL;
	bool row;
	enum err e;

	unpack_text(u, tenant, sizeof(tenant));
	unpack_text(u, uid, sizeof(uid));
	if (!unpack_done(u))
		return ERR_INTERNAL;
	e = db_bind_uid(db, GET, tenant, uid, &st);
	if (e == ERR_OK)
		e = db_step(db, st, &row);
	if (e != ERR_OK || !row)
		return e != ERR_OK ? e : ERR_NO_OBJECT;
	pack_bytes(answer, sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2));
	for (int i = 3; i <= 4; i++)
		pack_u64(answer, sqlite3_column_type(st, i) == SQLITE_NULL
			? (uint64_t)NO_DATE
			: (uint64_t)sqlite3_column_int64(st, i));
	sqlite3_reset(st);
	return buf_error(answer);
}

/* --- changes --- */

static enum err
unpack_changes(struct unpack *u, struct arena *a, struct row_change **out, size_t *count)
{
	size_t n = unpack_u32(u), len;
	struct row_change *all;
	enum err e;

	if (u->bad || n > WIRE_CHANGES_MAX)
		return ERR_INTERNAL;
	all = arena_array(a, n, sizeof(*all));
	if (all == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < n; i++) {
		uint8_t kind = unpack_u8(u);
		const uint8_t *at = unpack_bytes(u, &len);

		if (u->bad || kind >= CHANGE_KINDS)
			return ERR_INTERNAL;
		all[i].kind = (enum change_kind)kind;
		e = object_unpack(at, len, a, &all[i].object);
		if (e != ERR_OK)
			return e == ERR_NO_MEMORY ? e : ERR_INTERNAL;
	}
	*out = all;
	*count = n;
	return unpack_done(u) ? ERR_OK : ERR_INTERNAL;
}

/* The row has to be as the change was made from it. */
static enum err
check_row(struct db *db, struct arena *a, struct row_change *c, bool load)
{
	sqlite3_stmt *st = NULL;
	uint64_t revision;
	bool row;
	enum err e;

	e = db_bind_uid(db, GET, c->object->tenant, c->object->uid, &st);
	if (e == ERR_OK)
		e = db_step(db, st, &row);
	if (e != ERR_OK)
		return e;
	if (!row)
		return c->kind == CHANGE_INSERT || c->kind == CHANGE_ADOPT ? ERR_OK : ERR_NO_OBJECT;
	c->id = sqlite3_column_int64(st, 0);
	revision = (uint64_t)sqlite3_column_int64(st, 1);
	if (c->kind == CHANGE_INSERT || revision != c->object->revision) {
		e = ERR_CONFLICT;
	} else if (load) {
		e = object_unpack(sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2), a,
		    &c->old);
	}
	sqlite3_reset(st);
	return e;
}

static bool
needs_intent(enum change_kind kind)
{
	return kind != CHANGE_UPDATE && kind != CHANGE_ADOPT;
}

static enum err
check_changes(struct db *db, struct arena *a, uint64_t owner, struct row_change *all, size_t count,
    bool commit)
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		e = check_row(db, a, &all[i], commit);
		if (e == ERR_OK)
			e = db_intent_check(db, owner, &all[i],
			    commit && (owner != 0 || needs_intent(all[i].kind)));
	}
	return e;
}

enum err
db_ledger_prepare(struct db *db, struct unpack *u, struct buf *answer)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct attr_keys *k = a != NULL ? arena_zalloc(a, sizeof(*k)) : NULL;
	uint64_t owner = unpack_u64(u);
	struct row_change *all = NULL;
	size_t count = 0;
	enum err e;

	(void)answer;
	e = k != NULL ? unpack_changes(u, a, &all, &count) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = check_changes(db, a, owner, all, count, false);
	for (size_t i = 0; i < count && e == ERR_OK; i++)
		e = db_names_claim(db, owner, all, count, &all[i], k);
	for (size_t i = 0; i < count && e == ERR_OK; i++)
		e = db_intent_put(db, owner, &all[i]);
	arena_free(a);
	return e;
}

static void
bind_columns(sqlite3_stmt *st, const struct object *o, const struct buf *body)
{
	sqlite3_bind_int64(st, 3, (int64_t)o->revision);
	sqlite3_bind_int64(st, 4, o->type);
	sqlite3_bind_int64(st, 5, o->state);
	sqlite3_bind_int64(st, 6, o->algorithm);
	sqlite3_bind_int64(st, 7, o->length);
	sqlite3_bind_int64(st, 8, o->usage_mask);
	sqlite3_bind_int64(st, 9, o->revocation_code);
	for (int i = 0; i < DATE_COUNT; i++)
		if (o->date[i] != NO_DATE)
			sqlite3_bind_int64(st, 10 + i, o->date[i]);
	sqlite3_bind_blob64(st, 10 + DATE_COUNT, body->data, body->len, SQLITE_STATIC);
}

/* Uses of the row that was inserted last are recorded from now on. */
static enum err
begin_uses(struct db *db, struct row_change *c)
{
	int64_t since = clock_wall(), made = c->object->date[DATE_INITIAL];
	sqlite3_stmt *st;

	c->id = sqlite3_last_insert_rowid(db->h);
	st = db_stmt(db, USE_PUT);
	if (st != NULL) {
		sqlite3_bind_int64(st, 1, c->id);
		sqlite3_bind_int64(st, 2, made != NO_DATE && made > since ? made : since);
	}
	return db_run(db, st);
}

/* A destroyed object's row stays, its wrapped key goes (secure_delete overwrites it). */
static enum err
write_row(struct db *db, struct row_change *c)
{
	struct object *o = c->object;
	struct buf body;
	sqlite3_stmt *st = NULL;
	enum err e;

	o->revision++;
	if (object_is_destroyed(o)) {
		o->record = NULL;
		o->record_len = 0;
	}
	buf_init(&body, WIRE_FRAME_MAX);
	object_pack(&body, o);
	e = buf_error(&body);
	if (e == ERR_OK)
		e = db_bind_uid(db, c->id != 0 ? UPDATE : INSERT, o->tenant, o->uid, &st);
	if (e == ERR_OK) {
		bind_columns(st, o, &body);
		e = db_run(db, st);
		sqlite3_clear_bindings(st);
	}
	buf_fini(&body);
	return e == ERR_OK && c->id == 0 ? begin_uses(db, c) : e;
}

enum err
db_rows_apply(struct db *db, struct arena *a, uint64_t owner, struct row_change *all, size_t count)
{
	struct attr_keys *k = arena_array(a, 2, sizeof(*k));
	enum err e = k != NULL ? ERR_OK : ERR_NO_MEMORY;

	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		e = write_row(db, &all[i]);
		if (e == ERR_OK)
			e = db_keys_drop(db, &all[i], &k[0], &k[1]);
	}
	for (size_t i = 0; i < count && e == ERR_OK; i++)
		e = db_keys_put(db, owner, &all[i], &k[0], &k[1]);
	return e;
}

/* An adoption by recovery settles the one intent that locks its object. */
static enum err
drop_committed(struct db *db, uint64_t owner, const struct row_change *all, size_t count)
{
	const struct object *o = count == 1 ? all[0].object : NULL;
	bool was;

	return o != NULL && all[0].kind == CHANGE_ADOPT
	    ? db_intent_settle(db, owner, o->tenant, o->uid, &was)
	    : db_intents_drop(db, owner);
}

enum err
db_ledger_commit(struct db *db, struct unpack *u, struct buf *answer)
{
	struct arena *a = arena_new(ARENA_MAX);
	uint64_t owner = unpack_u64(u);
	struct row_change *all = NULL;
	size_t count = 0;
	enum err e;

	(void)answer;
	e = a != NULL ? unpack_changes(u, a, &all, &count) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = check_changes(db, a, owner, all, count, true);
	if (e == ERR_OK)
		e = db_rows_apply(db, a, owner, all, count);
	if (e == ERR_OK && owner != 0)
		e = drop_committed(db, owner, all, count);
	arena_free(a);
	return e;
}

/* --- uses --- */

enum err
db_uses_note(struct db *db, struct unpack *u, struct buf *answer)
{
	char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1];
	size_t count = unpack_u32(u);
	sqlite3_stmt *st = NULL;
	int64_t when;
	enum err e = count <= LEDGER_USES_MAX ? ERR_OK : ERR_INTERNAL;

	(void)answer;
	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		unpack_text(u, tenant, sizeof(tenant));
		unpack_text(u, uid, sizeof(uid));
		when = (int64_t)unpack_u64(u);
		if (u->bad)
			return ERR_INTERNAL;
		e = db_bind_uid(db, USE_NOTE, tenant, uid, &st);
		if (e == ERR_OK) {
			sqlite3_bind_int64(st, 3, when);
			e = db_run(db, st);
			sqlite3_clear_bindings(st);
		}
	}
	return e == ERR_OK && !unpack_done(u) ? ERR_INTERNAL : e;
}

/* --- backups --- */

/* Not by db_stmt(): it is rare, and db may be a copy that is about to be closed. */
enum err
db_ledger_note_backup(struct db *db, int64_t when, int64_t last_object)
{
	sqlite3_stmt *st = db_prepare(db,
	    "INSERT OR REPLACE INTO backup (one, time, last_object) VALUES (1, ?1, ?2)");
	enum err e;

	if (st == NULL)
		return db_error(db);
	sqlite3_bind_int64(st, 1, when);
	sqlite3_bind_int64(st, 2, last_object);
	e = db_run(db, st);
	sqlite3_finalize(st);
	return e;
}

/* Rows of objects are never deleted, so that their ids count them. */
enum err
db_ledger_last_backup(struct db *db, int64_t *when, int64_t *newer)
{
	sqlite3_stmt *st = db_stmt(db, BACKUP_GET);
	bool row;
	enum err e;

	if (st == NULL)
		return db_error(db);
	e = db_step(db, st, &row);
	if (e != ERR_OK || !row)
		return e != ERR_OK ? e : ERR_STORAGE;
	*when = sqlite3_column_int64(st, 0);
	*newer = sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	return ERR_OK;
}
