/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzzers' state directory: made by the storage child's own code. */
#include "state.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "db_ledger.h"
#include "envelope.h"
#include "fuzz.h"
#include "store_exec.h"
#include "wire.h"

enum { FILE_MAX = 1 << 20, ARENA_MAX = 1 << 20, OWNER = 1 };

static const char root_text[] =
    "1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

void
state_frame(struct buf *in, uint64_t id, uint8_t kind, const void *body, size_t len)
{
	size_t at = wire_begin(in, id, kind);

	buf_put(in, body, len);
	wire_end(in, at);
	MUST(buf_error(in) == ERR_OK);
}

static void
make_object(struct state *s)
{
	static const uint8_t name[] = "vm-1";
	struct arena *a = s->arena = arena_new(ARENA_MAX);
	struct envelope_crypto *crypto = envelope_crypto_new();
	struct secret *key = secret_new(32, SECRET_TRANSIENT);
	struct object *o = &s->object;
	struct rootkeys roots;
	const char *why;

	MUST(a != NULL && crypto != NULL && key != NULL);
	MUST(rootkeys_load(&roots, s->root, &why) == ERR_OK);
	memset(secret_bytes(key), 0x5a, 32);
	strcpy(o->tenant, STATE_TENANT);
	strcpy(o->uid, "00000000-0000-7000-8000-000000000001");
	o->type = 2;
	o->state = OBJECT_ACTIVE;
	o->algorithm = 3;
	o->length = 256;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	o->date[DATE_INITIAL] = o->date[DATE_ACTIVATION] = clock_wall();
	MUST(object_attr_set(o, a, "Name", 4, 0, name, sizeof(name)) == ERR_OK);
	MUST(object_attr_set(o, a, "x-Name", 6, 0, name, sizeof(name)) == ERR_OK);
	MUST(envelope_digest(crypto, key, o->digest) == ERR_OK);
	MUST(envelope_seal(crypto, &roots, o, key, a, &o->record, &o->record_len) == ERR_OK);
	rootkeys_fini(&roots);
	secret_unref(key);
	envelope_crypto_free(crypto);
}

static void
pack_store(struct buf *b, const struct object *o)
{
	pack_text(b, o->tenant);
	pack_text(b, o->uid);
	pack_bytes(b, o->record, o->record_len);
}

/* Intent, record, row: as the gateway does it. */
static void
fill(struct state *s)
{
	const struct store_exec_params p = {.state_dir = s->dir, .part = STORE_WRITER};
	const struct change change = {.kind = CHANGE_INSERT, .object = &s->object};
	const struct ledger_changes changes = {.changes = &change, .count = 1, .owner = OWNER};
	struct store_exec *x;
	struct buf in, out, body;
	const char *why;

	MUST(store_exec_open(&x, &p, &why) == ERR_OK);
	buf_init(&in, FILE_MAX);
	buf_init(&out, FILE_MAX);
	buf_init(&body, FILE_MAX);
	wire_pack_changes(&body, &changes);
	state_frame(&in, 1, WIRE_PREPARE, body.data, body.len);
	MUST(store_exec_run(x, &in, &out, &why) == ERR_OK);
	state_frame(&in, 3, WIRE_COMMIT, body.data, body.len);
	buf_reset(&body);
	pack_store(&body, &s->object);
	state_frame(&in, 2, WIRE_VAULT_STORE, body.data, body.len);
	MUST(store_exec_run(x, &in, &out, &why) == ERR_OK);
	store_exec_close(x);
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&body);
}

/* As a backup leaves it: without a log. */
static void
take_file(const struct state *s, const char *name, struct buf *b)
{
	char path[2 * PLACE_PATH_MAX];
	sqlite3 *h;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	MUST(sqlite3_open(path, &h) == SQLITE_OK);
	MUST(sqlite3_exec(h, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(h);
	buf_init(b, FILE_MAX);
	MUST(buf_reserve(b, FILE_MAX) == ERR_OK);
	f = fopen(path, "r");
	MUST(f != NULL);
	b->len = fread(b->data, 1, FILE_MAX, f);
	MUST(b->len > 0 && b->len < FILE_MAX);
	fclose(f);
}

static const char *
root_of(void *arg, const char *tenant)
{
	const struct state *s = arg;

	return strcmp(tenant, STATE_TENANT) == 0 ? s->root : NULL;
}

void
state_init(struct state *s)
{
	clock_test_freeze(1760000000);
	*s = (struct state){.roots = {.file = root_of, .arg = s}};
	place_path(s->dir, "state");
	place_path(s->root, "root");
	place_file(s->root, root_text, strlen(root_text));
	MUST(mkdir(s->dir, 0700) == 0);
	make_object(s);
	fill(s);
	take_file(s, db_ledger_schema.file, &s->ledger);
	take_file(s, db_vault_schema.file, &s->vault);
}

void
state_put(const struct state *s, const struct buf *ledger, const struct buf *vault)
{
	char path[2 * PLACE_PATH_MAX];

	place_remove(s->dir);
	MUST(mkdir(s->dir, 0700) == 0);
	snprintf(path, sizeof(path), "%s/%s", s->dir, db_ledger_schema.file);
	place_file(path, ledger->data, ledger->len);
	snprintf(path, sizeof(path), "%s/%s", s->dir, db_vault_schema.file);
	place_file(path, vault->data, vault->len);
}
