/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes a whole request: bytes of a message in, the answer out, over a ledger and a vault in
 * memory that hold one key.  Whatever comes in gets exactly one well-formed answer; and so does the
 * same in each other version of KMIP.
 */
#include <stdint.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret.h"
#include "kmip/message.h"
#include "kmip/names.h"
#include "kmip/ttlv.h"

#include "../../src/gate/request.h"
#include "../support/memkeys.h"

#include "fuzz.h"

#define STORED_UID "00000000-0000-7000-8000-000000000001"
enum { INPUT_MAX = 64 << 10, TURNS_MAX = 4000 };

static struct loop *loop;
static struct memkeys mem;
static unsigned answers;

static void
answered(void *user, struct buf *b)
{
	struct ttlv root;

	(void)user;
	answers++;
	MUST(buf_error(b) == ERR_OK);
	MUST(ttlv_check(b->data, b->len, 1 << 20, &root) == ERR_OK);
}

static void
done(struct wait *w, enum err e)
{
	(void)w;
	MUST(e == ERR_OK);
}

/* An Active key with a name, so that messages which know its identifier reach far. */
static void
add_key(void)
{
	static const uint8_t name_value[] = "\x07vm-1";
	struct arena *a = arena_new(1 << 20);
	struct object o = {.tenant = "fuzz", .uid = STORED_UID, .type = 2, .state = OBJECT_ACTIVE,
	    .algorithm = 3, .length = 256, .usage_mask = 0x3ff};
	struct change ch = {.kind = CHANGE_INSERT, .object = &o};
	struct ledger_changes lc = {.changes = &ch, .count = 1};

	MUST(a != NULL);
	for (int i = 0; i < DATE_COUNT; i++)
		o.date[i] = NO_DATE;
	o.date[DATE_INITIAL] = o.date[DATE_ACTIVATION] = clock_wall();
	o.record = arena_zalloc(a, 32);
	o.record_len = 32;
	MUST(object_attr_set(&o, a, "x-Name", 6, 0, name_value, 5) == ERR_OK);
	lc.wait.done = done;
	mem.ledger.ops->commit(&mem.ledger, &lc);
	loop_turn(loop, false);
	arena_free(a);
}

static void
start(void)
{
	bool locked;

	clock_test_freeze(1800000000);
	log_set_level(LOG_ERROR);
	MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
	loop = loop_new();
	MUST(loop != NULL);
}

static void
run(const uint8_t *data, size_t size)
{
	struct request_params p = {.loop = loop, .server_name = "fuzz", .response_max = 256 << 10,
	    .items_max = KMIP_ITEMS_MAX, .client = memkeys_client(), .answered = answered};
	struct request *rq;

	memkeys_init(&mem, loop);
	add_key();
	answers = 0;
	p.deadline = clock_now() + NS_PER_S;
	p.tenant = memkeys_tenant(&mem, "fuzz");
	p.parts = parts_new(loop);
	MUST(p.parts != NULL);
	MUST(rq_start(&rq, &p, data, size));
	for (int i = 0; i < TURNS_MAX && answers == 0; i++) {
		loop_turn(loop, false);
		clock_test_advance(NS_PER_S / 500); /* what iterates for long meets its deadline */
	}
	loop_turn(loop, false);
	MUST(answers == 1);
	MUST(metric_get(METRIC_REQUESTS) == 0);
	MUST(p.tenant->refs == 1);
	parts_free(p.parts);
	tenant_unref(p.tenant);
	memkeys_fini(&mem);
}

/*
 * The four bytes of a version's part, where every client has them: message, header and version are
 * structures that begin with one another, and the parts are integers.
 */
static uint8_t *
version_part(uint8_t *data, size_t size, size_t at, uint32_t tag)
{
	const uint8_t head[] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 8), (uint8_t)tag, TTLV_INTEGER,
	    0, 0, 0, 4};

	return size >= at + 16 && memcmp(data + at, head, sizeof(head)) == 0 ? data + at + 8 : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy, *major, *minor;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	if (loop == NULL)
		start();
	run(data, size);
	copy = malloc(size);
	MUST(copy != NULL);
	memcpy(copy, data, size);
	major = version_part(copy, size, 24, TAG_PROTOCOL_VERSION_MAJOR);
	minor = version_part(copy, size, 40, TAG_PROTOCOL_VERSION_MINOR);
	for (size_t i = 0; major != NULL && minor != NULL && i < kmip_versions_count; i++) {
		major[3] = (uint8_t)(kmip_versions[i] >> 4);
		minor[3] = (uint8_t)(kmip_versions[i] & 15);
		if (memcmp(copy, data, size) != 0)
			run(copy, size);
	}
	free(copy);
	return 0;
}
