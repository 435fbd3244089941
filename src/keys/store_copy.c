/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a state directory, offline: checks that each key in them can be had, and restores. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/secret.h"
#include "db_ledger.h"
#include "db_whole.h"
#include "disk.h"
#include "envelope.h"
#include "keys/store.h"
#include "kprecord.h"

/*
 * Keys of root key files that are kept: half of what the secure heap of keyferryctl holds.  There may be
 * any number of tenants, and one file has ROOT_KEYS_MAX at most.
 */
enum { ROOTS_KEPT = 2048 };

/* A root key file that was read: tenants may share one, or have their own. */
struct loaded {
	struct list link;
	char *path;
	struct rootkeys keys;
};

struct verify {
	struct db ledger, vault;
	sqlite3_stmt *objects, *record;
	const struct store_root_keys *roots;
	struct list loaded; /* the one that was used last comes last */
	size_t roots_count;
	struct envelope_crypto *crypto;
	struct store_counts counts;
	const char *why; /* NULL: nothing particular */
};

static void
drop_first(struct verify *v)
{
	struct loaded *l = CONTAINER_OF(list_pop(&v->loaded), struct loaded, link);

	v->roots_count -= l->keys.count;
	rootkeys_fini(&l->keys);
	alloc_free(l->path);
	alloc_free(l);
}

static enum err
load_roots(struct verify *v, const char *path, struct rootkeys **out)
{
	static char sentence[DISK_PATH_MAX + 256];
	struct loaded *new = alloc_zero(sizeof(*new));
	const char *why = "out of memory";
	enum err e = ERR_NO_MEMORY;

	while (v->roots_count > ROOTS_KEPT - ROOT_KEYS_MAX)
		drop_first(v);
	if (new != NULL)
		new->path = alloc_text(path);
	if (new != NULL && new->path != NULL)
		e = rootkeys_load(&new->keys, path, &why);
	if (e != ERR_OK) {
		snprintf(sentence, sizeof(sentence), "%s: %s", path, why);
		v->why = sentence;
		if (new != NULL)
			alloc_free(new->path);
		alloc_free(new);
		return e;
	}
	list_append(&v->loaded, &new->link);
	v->roots_count += new->keys.count;
	*out = &new->keys;
	return ERR_OK;
}

/* NULL when the tenant has no root key file that is known. */
static enum err
find_roots(struct verify *v, const char *tenant, struct rootkeys **out)
{
	const char *path = v->roots->file(v->roots->arg, tenant);

	*out = NULL;
	if (path == NULL)
		return ERR_OK;
	LIST_FOREACH(it, &v->loaded) {
		struct loaded *l = CONTAINER_OF(it, struct loaded, link);

		if (strcmp(l->path, path) == 0) {
			list_remove(&l->link);
			list_append(&v->loaded, &l->link);
			*out = &l->keys;
			return ERR_OK;
		}
	}
	return load_roots(v, path, out);
}

static void
drop_roots(struct verify *v)
{
	while (!list_empty(&v->loaded))
		drop_first(v);
}

/* The key has to come out, and to be the one that the object was made with. */
static enum err
open_record(struct verify *v, const struct object *o)
{
	struct rootkeys *roots;
	struct secret *key;
	uint8_t digest[32];
	enum err e = find_roots(v, o->tenant, &roots);

	if (e != ERR_OK)
		return e;
	if (roots == NULL) {
		v->counts.unverified++;
		return ERR_OK;
	}
	e = envelope_open(v->crypto, roots, o, SECRET_TRANSIENT, &key);
	if (e == ERR_NO_MEMORY || e == ERR_NO_SECURE_MEMORY)
		return e; /* says nothing about the record */
	if (e == ERR_OK) {
		e = envelope_digest(v->crypto, key, digest);
		secret_unref(key);
	}
	if (e == ERR_OK && memcmp(digest, o->digest, sizeof(digest)) == 0)
		v->counts.verified++;
	else
		v->counts.damaged++;
	return ERR_OK;
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

/* By its record: the configuration may be another one, or not be read. */
static bool
is_elsewhere(const struct object *o)
{
	char id[UID_TEXT_LEN + 1];

	kprecord_id(id, o);
	return id[0] != '\0';
}

/* intent: a destroy was under way, so that the record may be gone already. */
static enum err
verify_object(struct verify *v, const struct object *o, bool intent)
{
	bool found = false;
	enum err e = ERR_OK;

	if (object_is_destroyed(o)) {
		v->counts.destroyed++;
	} else if (is_elsewhere(o)) {
		v->counts.elsewhere++;
	} else if (o->record == NULL) {
		v->counts.missing++;
	} else {
		e = find_record(v, o, &found);
		if (e == ERR_OK && !found && !intent)
			v->counts.missing++;
		else if (e == ERR_OK)
			e = open_record(v, o);
	}
	return e;
}

static enum err
verify_row(struct verify *v, const void *body, size_t len, bool intent)
{
	struct arena *a = arena_new(OBJECT_ARENA_MAX + len); /* it may be a foreign one */
	struct object *o;
	enum err e = a != NULL ? object_unpack(body, len, a, &o) : ERR_NO_MEMORY;

	v->counts.objects++;
	if (e == ERR_OK) {
		e = verify_object(v, o, intent);
	} else if (e == ERR_CORRUPT) {
		v->counts.damaged++;
		e = ERR_OK;
	}
	arena_free(a);
	return e;
}

/* What is read here has been the same in all schema versions: a backup may have any. */
static enum err
verify_all(struct verify *v)
{
	bool row;
	enum err e;

	v->objects = db_prepare(&v->ledger,
	    "SELECT o.body, EXISTS (SELECT 1 FROM intents i WHERE i.tenant = o.tenant AND"
	    " i.uid = o.uid AND i.kind = ?1) FROM objects o ORDER BY o.id");
	v->record = db_prepare(&v->vault, "SELECT record FROM records WHERE tenant = ?1 AND uid = ?2");
	if (v->objects == NULL)
		return db_error(&v->ledger);
	if (v->record == NULL)
		return db_error(&v->vault);
	sqlite3_bind_int(v->objects, 1, CHANGE_DESTROY);
	while ((e = db_step(&v->ledger, v->objects, &row)) == ERR_OK && row) {
		e = verify_row(v, sqlite3_column_blob(v->objects, 0),
		    (size_t)sqlite3_column_bytes(v->objects, 0),
		    sqlite3_column_int(v->objects, 1) != 0);
		if (e != ERR_OK)
			break;
	}
	return e;
}

/* What the counts amount to. */
static enum err
judge(const struct store_counts *n, const char **why)
{
	if (n->missing + n->damaged > 0) {
		*why = "records are missing or damaged, or were wrapped by another root key";
		return ERR_INTEGRITY;
	}
	if (n->unverified > 0) {
		*why = "no root key file is known for some tenants: their keys were not unwrapped";
		return ERR_NO_ROOT_KEY;
	}
	return ERR_OK;
}

static enum err
verify_dir(struct verify *v, const char *dir, const struct db_schema *ledger, const char **why)
{
	enum err e = db_open_copy(&v->ledger, ledger, dir, why);

	if (e == ERR_OK)
		e = db_open_copy(&v->vault, &db_vault_schema, dir, why);
	if (e != ERR_OK)
		return e;
	e = verify_all(v);
	if (e != ERR_OK)
		*why = v->why != NULL ? v->why : "a file of the copy cannot be read to its end";
	return e;
}

/* ledger: by which name the copy has it. */
static enum err
verify_copy(const char *dir, const struct db_schema *ledger, const struct store_root_keys *roots,
    struct store_counts *counts, const char **why)
{
	struct verify *v = alloc_zero(sizeof(*v));
	enum err e = ERR_NO_MEMORY;

	*why = "out of memory";
	if (v == NULL)
		return ERR_NO_MEMORY;
	v->roots = roots;
	list_init(&v->loaded);
	v->crypto = envelope_crypto_new();
	if (v->crypto != NULL)
		e = verify_dir(v, dir, ledger, why);
	if (e == ERR_OK) {
		*counts = v->counts;
		e = judge(counts, why);
	}
	sqlite3_finalize(v->objects);
	sqlite3_finalize(v->record);
	if (v->ledger.h != NULL)
		db_close(&v->ledger);
	if (v->vault.h != NULL)
		db_close(&v->vault);
	drop_roots(v);
	envelope_crypto_free(v->crypto);
	alloc_free(v);
	return e;
}

enum err
store_verify_copy(const char *dir, const struct store_root_keys *roots,
    struct store_counts *counts, const char **why)
{
	return verify_copy(dir, &db_ledger_schema, roots, counts, why);
}

static enum err
copy_file(const char *from, const char *name, const char *to, const char *as)
{
	char source[DISK_PATH_MAX], target[DISK_PATH_MAX];

	if (!disk_join(source, from, name) || !disk_join(target, to, as))
		return ERR_STORAGE;
	return disk_copy(source, target);
}

static enum err
copy_trust(const char *from, const char *to)
{
	char source[DISK_PATH_MAX], target[DISK_PATH_MAX];

	if (!disk_join(source, from, DISK_TRUST) || !disk_join(target, to, DISK_TRUST))
		return ERR_STORAGE;
	return disk_copy_tree(source, target, DISK_TRUST_DEPTH);
}

static enum err
complete(const char *to)
{
	char copy[DISK_PATH_MAX], ledger[DISK_PATH_MAX];

	if (!disk_join(copy, to, DB_WHOLE_RESTORING) || !disk_join(ledger, to, db_ledger_schema.file))
		return ERR_STORAGE;
	return rename(copy, ledger) == 0 && disk_sync_dir(to) == 0 ? ERR_OK : ERR_STORAGE;
}

static enum err
copy_all(const char *from, const char *to)
{
	const char *vault = db_vault_schema.file;
	enum err e = copy_file(from, db_ledger_schema.file, to, DB_WHOLE_RESTORING);

	if (e == ERR_OK && disk_sync_dir(to) != 0)
		e = ERR_STORAGE;
	if (e == ERR_OK)
		e = copy_file(from, vault, to, vault);
	if (e == ERR_OK)
		e = copy_trust(from, to);
	if (e == ERR_OK && (disk_sync_dir(to) != 0 || disk_sync_parent(to) != 0))
		e = ERR_STORAGE;
	return e;
}

/* The counts tell what a gateway would miss: it may start all the same, and serve the others. */
static bool
is_usable(enum err e)
{
	return e == ERR_OK || e == ERR_INTEGRITY || e == ERR_NO_ROOT_KEY;
}

/*
 * The ledger gets its name last: as long as it has another one, no gateway starts on half a copy, nor on one
 * that could not be read to its end.
 */
static enum err
fill(const char *from, const char *to, const struct store_root_keys *roots,
    struct store_counts *counts, const char **why)
{
	struct db_schema ledger = db_ledger_schema;
	enum err e;

	ledger.file = DB_WHOLE_RESTORING;
	*why = "the backup cannot be copied into the state directory";
	e = copy_all(from, to);
	if (e == ERR_OK)
		e = verify_copy(to, &ledger, roots, counts, why);
	if (!is_usable(e) || complete(to) == ERR_OK)
		return e;
	*why = "the ledger cannot be given its name in the state directory";
	return ERR_STORAGE;
}

bool
store_is_in(int dir)
{
	struct stat st;

	return fstatat(dir, db_ledger_schema.file, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

enum err
store_restore(const char *from, const char *to, const struct store_root_keys *roots,
    struct store_counts *counts, const char **why)
{
	enum err e = db_check_copy(&db_ledger_schema, from, why);
	int lock;

	if (e == ERR_OK)
		e = db_check_copy(&db_vault_schema, from, why);
	if (e != ERR_OK)
		return e;
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
	e = fill(from, to, roots, counts, why);
	close(lock);
	return e;
}
