/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a state directory, offline: checks that each key in them can be had, and restores. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "db_ledger.h"
#include "disk.h"
#include "envelope.h"
#include "keys/store.h"

enum { ARENA_MAX = 4 * OBJECT_SIZE_MAX };

struct verify {
	struct db ledger, vault;
	sqlite3_stmt *objects, *record;
	struct rootkeys roots;
	struct envelope_crypto *crypto;
	struct store_counts counts;
};

/* The key has to come out, and to be the one that the object was made with. */
static bool
opens(struct verify *v, const struct object *o)
{
	struct secret *key;
	uint8_t digest[32];
	bool same;

	if (envelope_open(v->crypto, &v->roots, o, &key) != ERR_OK)
		return false;
	same = envelope_digest(v->crypto, key, digest) == ERR_OK &&
	    memcmp(digest, o->digest, sizeof(digest)) == 0;
	secret_unref(key);
	return same;
}

/* Whether the vault's file has the record that the ledger's has a copy of. */
static enum err
find_record(struct verify *v, const struct object *o, bool *found)
{
	bool row;
	enum err e;

	sqlite3_reset(v->record);
	db_bind_text(v->record, 1, o->tenant);
	db_bind_text(v->record, 2, o->uid);
	e = db_step(&v->vault, v->record, &row);
	if (e == ERR_OK)
		*found = row && (size_t)sqlite3_column_bytes(v->record, 0) == o->record_len &&
		    memcmp(sqlite3_column_blob(v->record, 0), o->record, o->record_len) == 0;
	sqlite3_reset(v->record);
	return e;
}

/* intent: a destroy was under way, so that the record may be gone already. */
static enum err
verify_object(struct verify *v, const uint8_t *body, size_t len, bool intent)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct object *o = NULL;
	struct unpack u;
	bool found = false;
	enum err e = ERR_OK;

	unpack_init(&u, body, len);
	if (a != NULL)
		o = object_unpack(&u, a);
	v->counts.objects++;
	if (a == NULL) {
		e = ERR_NO_MEMORY;
	} else if (o == NULL || !unpack_done(&u)) {
		v->counts.damaged++;
	} else if (object_is_destroyed(o)) {
		v->counts.destroyed++;
	} else if (o->record == NULL) {
		v->counts.missing++;
	} else {
		e = find_record(v, o, &found);
		if (e == ERR_OK && !found && !intent)
			v->counts.missing++;
		else if (e == ERR_OK && opens(v, o))
			v->counts.verified++;
		else if (e == ERR_OK)
			v->counts.damaged++;
	}
	arena_free(a);
	return e;
}

static enum err
verify_all(struct verify *v)
{
	bool row;
	enum err e;

	v->objects = db_prepare(&v->ledger,
	    "SELECT o.body, EXISTS (SELECT 1 FROM intents i WHERE i.tenant = o.tenant AND"
	    " i.uid = o.uid AND i.destroy) FROM objects o ORDER BY o.id");
	v->record = db_prepare(&v->vault, "SELECT record FROM records WHERE tenant = ?1 AND uid = ?2");
	if (v->objects == NULL || v->record == NULL)
		return ERR_CORRUPT;
	while ((e = db_step(&v->ledger, v->objects, &row)) == ERR_OK && row) {
		e = verify_object(v, sqlite3_column_blob(v->objects, 0),
		    (size_t)sqlite3_column_bytes(v->objects, 0),
		    sqlite3_column_int(v->objects, 1) != 0);
		if (e != ERR_OK)
			break;
	}
	return e;
}

enum err
store_verify_copy(const char *dir, const char *root_key_file, struct store_counts *counts,
    const char **why)
{
	struct verify *v = alloc_zero(sizeof(*v));
	enum err e;

	*why = "out of memory";
	if (v == NULL)
		return ERR_NO_MEMORY;
	v->crypto = envelope_crypto_new();
	e = v->crypto != NULL ? rootkeys_load(&v->roots, root_key_file, why) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = db_open_copy(&v->ledger, &db_ledger_schema, dir, why);
	if (e == ERR_OK)
		e = db_open_copy(&v->vault, &db_vault_schema, dir, why);
	if (e == ERR_OK) {
		*why = "a file of the copy cannot be read to its end";
		e = verify_all(v);
	}
	if (e == ERR_OK && v->counts.missing + v->counts.damaged > 0) {
		*why = "records are missing or damaged, or were wrapped by another root key";
		e = ERR_INTEGRITY;
	}
	if (e == ERR_OK || e == ERR_INTEGRITY)
		*counts = v->counts;
	sqlite3_finalize(v->objects);
	sqlite3_finalize(v->record);
	if (v->ledger.h != NULL)
		db_close(&v->ledger);
	if (v->vault.h != NULL)
		db_close(&v->vault);
	rootkeys_fini(&v->roots);
	envelope_crypto_free(v->crypto);
	alloc_free(v);
	return e;
}

static enum err
copy_file(const char *from, const char *to, const char *name)
{
	char source[DISK_PATH_MAX], target[DISK_PATH_MAX];

	if (!disk_join(source, from, name) || !disk_join(target, to, name))
		return ERR_STORAGE;
	return disk_copy(source, target);
}

enum err
store_restore(const char *from, const char *to, const char *root_key_file,
    struct store_counts *counts, const char **why)
{
	enum err e;
	int lock;

	*why = "the state directory cannot be made";
	if (mkdir(to, 0700) != 0 && errno != EEXIST)
		return ERR_STORAGE;
	*why = "the state directory is not empty: move away what is in it";
	if (!disk_dir_empty(to))
		return ERR_IN_USE;
	e = disk_check_dir(to, why);
	if (e == ERR_OK)
		e = disk_lock(to, &lock, why);
	if (e != ERR_OK)
		return e;
	*why = "the backup cannot be copied into the state directory";
	e = copy_file(from, to, db_ledger_schema.file);
	if (e == ERR_OK)
		e = copy_file(from, to, db_vault_schema.file);
	if (e == ERR_OK && (disk_sync_dir(to) != 0 || disk_sync_parent(to) != 0))
		e = ERR_STORAGE;
	if (e == ERR_OK)
		e = store_verify_copy(to, root_key_file, counts, why);
	close(lock);
	return e;
}
