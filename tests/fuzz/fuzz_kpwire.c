/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what Key Protect may answer, and the records that anybody who may write in the
 * instance can put there: bodies in JSON, and envelopes.
 */
#include <string.h>

#include "base/secret.h"
#include "envelope.h"
#include "fuzz.h"
#include "kpwire.h"

enum { ARENA_MAX = 1 << 20 };

static void
on_key(void *arg, const struct kp_key *k)
{
	size_t *count = arg;

	(*count)++;
	MUST(strlen(k->id) == UID_TEXT_LEN && kp_is_key_name(k->id));
	MUST(k->state >= -1 && k->state <= 5);
	(void)kp_key_is_destroyed(k, &(struct kp_ours){.count = 0});
	(void)kp_read_date(k->deletion_date);
}

static void
fuzz_answers(const uint8_t *data, size_t size)
{
	struct kp_action action = {.version = ""};
	struct kp_error error;
	size_t rows = 0, count = 0;

	for (unsigned status = 200; status < 600; status += 1 + status % 7)
		(void)kp_classify(status, status % 2 == 0, data, size, &error);
	if (kp_read_keys(data, size, on_key, &count, &rows) == ERR_OK)
		MUST(rows == count);
	if (kp_read_action(data, size, &action) == ERR_OK)
		kp_action_fini(&action);
}

/* What was read can be written, and read again as the same. */
static void
fuzz_envelope(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct envelope_clear clear, again;
	struct object *o, *copy;
	struct unpack u;
	struct buf b;

	MUST(a != NULL);
	unpack_init(&u, data, size);
	if (envelope_read_object(&u, a, &clear, &o) == ERR_OK) {
		MUST(clear.len <= size && o->attrs_count <= OBJECT_ATTRS_MAX);
		buf_init(&b, ARENA_MAX);
		envelope_pack_clear(&b, o, clear.sequence);
		MUST(buf_error(&b) == ERR_OK);
		unpack_init(&u, b.data, b.len);
		MUST(envelope_read_object(&u, a, &again, &copy) == ERR_OK);
		MUST(again.sequence == clear.sequence && again.len == b.len);
		MUST(copy->state == o->state && copy->attrs_count == o->attrs_count);
		buf_fini(&b);
	}
	unpack_init(&u, data, size);
	MUST(envelope_read_clear(&u, &clear) != ERR_NO_MEMORY);
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct arena *a;
	const uint8_t *payload;
	size_t len;
	bool locked;

	if (!ready)
		MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
	ready = true;
	if (size > 1 << 16)
		return 0;
	fuzz_answers(data, size);
	fuzz_envelope(data, size);
	a = arena_new(ARENA_MAX);
	MUST(a != NULL);
	if (kp_read_payload(data, size, a, KP_PAYLOAD_MAX, &payload, &len) == ERR_OK)
		fuzz_envelope(payload, len);
	arena_free(a);
	return 0;
}
