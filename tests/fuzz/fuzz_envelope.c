/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what lies packed on the disk: an object, and the record with its key.  The input is tried
 * as an object; and as alterations (u16 where, u8 what) of a good record, which then must not open.
 */
#include <string.h>

#include "base/secret.h"
#include "envelope.h"
#include "fuzz.h"
#include "state.h"

enum { INPUT_MAX = 64 << 10, ARENA_MAX = 1 << 20 };

static struct state state;
static struct rootkeys roots;
static struct envelope_crypto *crypto;

static void
start(void)
{
	const char *why;
	bool locked;

	MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
	state_init(&state);
	crypto = envelope_crypto_new();
	MUST(crypto != NULL && rootkeys_load(&roots, state.root, &why) == ERR_OK);
}

/* What is read can be written, and comes back as the same bytes from then on. */
static void
fuzz_object(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct buf first, second;
	struct secret *key = NULL;
	struct object *o;
	enum err e;

	MUST(a != NULL);
	e = object_unpack(data, size, a, &o);
	MUST(e == ERR_OK || e == ERR_CORRUPT);
	if (e == ERR_OK) {
		buf_init(&first, ARENA_MAX);
		buf_init(&second, ARENA_MAX);
		object_pack(&first, o);
		/* earlier releases packed less */
		MUST(buf_error(&first) == ERR_OK && first.len >= size);
		MUST(object_unpack(first.data, first.len, a, &o) == ERR_OK);
		object_pack(&second, o);
		MUST(second.len == first.len && memcmp(second.data, first.data, first.len) == 0);
		buf_fini(&first);
		buf_fini(&second);
		if (o->record != NULL && envelope_open(crypto, &roots, o, SECRET_TRANSIENT, &key) == ERR_OK)
			secret_unref(key);
	}
	arena_free(a);
}

static void
fuzz_record(const uint8_t *p, size_t size)
{
	struct object o = state.object;
	uint8_t *record = malloc(o.record_len);
	struct secret *key = NULL;
	bool same;
	enum err e;

	MUST(record != NULL);
	memcpy(record, o.record, o.record_len);
	for (; size >= 3; p += 3, size -= 3)
		record[((size_t)p[0] << 8 | p[1]) % o.record_len] ^= p[2];
	o.record_len -= size < o.record_len ? size : 0; /* what is left over cuts it */
	same = o.record_len == state.object.record_len &&
	    memcmp(record, state.object.record, o.record_len) == 0;
	o.record = record;
	e = envelope_open(crypto, &roots, &o, SECRET_TRANSIENT, &key);
	MUST((e == ERR_OK) == same);
	MUST(e == ERR_OK || e == ERR_INTEGRITY || e == ERR_SCHEMA || e == ERR_NO_ROOT_KEY ||
	    e == ERR_NO_SECURE_MEMORY);
	secret_unref(key);
	free(record);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX)
		return 0;
	if (crypto == NULL)
		start();
	fuzz_object(data, size);
	fuzz_record(data, size);
	return 0;
}
