/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for the check programs of the gate. */
#include "rqrig.h"

#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret.h"

struct loop *loop;
struct memkeys mem;
struct tenant *tenant;
struct buf msg;
struct buf answer;
unsigned answers, version_major, version_minor;
struct parts *parts;
size_t response_max;
uint8_t client;
bool read_only;
size_t msg_mark;
static unsigned items;
static size_t heap_base; /* what OpenSSL's generator keeps */

void
setup(void)
{
	unsigned char seed[16];
	bool locked;

	clock_test_freeze(WALL);
	fault_test_clear();
	log_set_level(LOG_ERROR);
	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	ck_assert_int_eq(RAND_bytes(seed, sizeof(seed)), 1);
	ck_assert_int_eq(RAND_priv_bytes(seed, sizeof(seed)), 1);
	heap_base = secret_heap_used();
	loop = loop_new();
	memkeys_init(&mem, loop);
	tenant = memkeys_tenant(&mem, "t1");
	parts = parts_new(loop);
	response_max = 64 << 10;
	client = 1;
	read_only = false;
	buf_init(&msg, 1 << 20);
	buf_init(&answer, 1 << 20);
	answers = 0;
	version_major = 1;
	version_minor = 1;
}

void
teardown(void)
{
	ck_assert_int_eq(metric_get(METRIC_REQUESTS), 0);
	ck_assert_uint_eq(secret_heap_used(), heap_base);
	ck_assert_uint_eq(tenant->refs, 1);
	parts_free(parts);
	tenant_unref(tenant);
	memkeys_fini(&mem);
	buf_fini(&msg);
	buf_fini(&answer);
	loop_free(loop);
}

int
rqrig_main(const char *name, const struct rqcase *cases, size_t count)
{
	Suite *s = suite_create(name);
	SRunner *r = srunner_create(s);
	int failed;

	for (size_t i = 0; i < count; i++) {
		TCase *t = tcase_create(cases[i].name);

		tcase_add_checked_fixture(t, setup, teardown);
		tcase_add_loop_test(t, cases[i].test, 0, cases[i].times);
		suite_add_tcase(s, t);
	}
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

/* --- building requests --- */

void
begin(unsigned count, uint32_t continuation, uint32_t max_response)
{
	size_t header, version;

	buf_reset(&msg);
	items = 0;
	msg_mark = ttlv_begin(&msg, TAG_REQUEST_MESSAGE);
	header = ttlv_begin(&msg, TAG_REQUEST_HEADER);
	version = ttlv_begin(&msg, TAG_PROTOCOL_VERSION);
	ttlv_put_int(&msg, TAG_PROTOCOL_VERSION_MAJOR, (int32_t)version_major);
	ttlv_put_int(&msg, TAG_PROTOCOL_VERSION_MINOR, (int32_t)version_minor);
	ttlv_end(&msg, version);
	if (max_response > 0)
		ttlv_put_int(&msg, TAG_MAXIMUM_RESPONSE_SIZE, (int32_t)max_response);
	if (continuation > 0)
		ttlv_put_enum(&msg, TAG_BATCH_ERROR_CONTINUATION_OPTION, continuation);
	ttlv_put_int(&msg, TAG_BATCH_COUNT, (int32_t)count);
	ttlv_end(&msg, header);
}

static size_t item_mark, payload_mark;

void
item_begin(uint32_t operation, const char *uid)
{
	char ubid[8] = "QLKC";

	item_mark = ttlv_begin(&msg, TAG_BATCH_ITEM);
	ttlv_put_enum(&msg, TAG_OPERATION, operation);
	ubid[4] = (char)++items;
	ttlv_put_bytes(&msg, TAG_UNIQUE_BATCH_ITEM_ID, ubid, sizeof(ubid));
	payload_mark = ttlv_begin(&msg, TAG_REQUEST_PAYLOAD);
	if (uid != NULL)
		ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, uid, strlen(uid));
}

void
item_end(void)
{
	ttlv_end(&msg, payload_mark);
	ttlv_end(&msg, item_mark);
}

void
simple(uint32_t operation, const char *uid)
{
	item_begin(operation, uid);
	item_end();
}

void
put_attr_enum(const char *name, uint32_t v)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE);

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
	ttlv_put_enum(&msg, TAG_ATTRIBUTE_VALUE, v);
	ttlv_end(&msg, at);
}

void
put_attr_int(const char *name, int32_t v)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE);

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
	ttlv_put_int(&msg, TAG_ATTRIBUTE_VALUE, v);
	ttlv_end(&msg, at);
}

void
put_attr_text(const char *name, const char *v)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE);

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
	ttlv_put_text(&msg, TAG_ATTRIBUTE_VALUE, v, strlen(v));
	ttlv_end(&msg, at);
}

void
put_attr_bool(const char *name, bool v)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE);

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
	ttlv_put_bool(&msg, TAG_ATTRIBUTE_VALUE, v);
	ttlv_end(&msg, at);
}

void
create_item_with(const char *flag)
{
	size_t template;

	item_begin(KMIP_OPERATION_CREATE, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	template = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", 0x0c);
	put_attr_int("Cryptographic Length", 256);
	if (flag != NULL)
		put_attr_bool(flag, true);
	ttlv_end(&msg, template);
	item_end();
}

void
create_item(void)
{
	create_item_with(NULL);
}

void
add_item(const char *uid, const char *name, const char *value)
{
	item_begin(KMIP_OPERATION_ADD_ATTRIBUTE, uid);
	put_attr_text(name, value);
	item_end();
}

void
revoke_item(const char *uid, uint32_t reason)
{
	size_t mark;

	item_begin(KMIP_OPERATION_REVOKE, uid);
	mark = ttlv_begin(&msg, TAG_REVOCATION_REASON);
	ttlv_put_enum(&msg, TAG_REVOCATION_REASON_CODE, reason);
	ttlv_end(&msg, mark);
	item_end();
}

/* --- running them --- */

void
answered(void *user, struct buf *b)
{
	(void)user;
	answers++;
	buf_reset(&answer);
	buf_put(&answer, b->data, b->len);
}

struct request *
start(void)
{
	struct request_params p = {.loop = loop, .tenant = tenant, .server_name = "keyferry test",
	    .response_max = response_max, .items_max = 128, .deadline = clock_now() + 15 * NS_PER_S,
	    .id = 1, .client = memkeys_client(), .answered = answered, .parts = parts, .sha256 = {client},
	    .read_only = read_only};
	struct request *rq = NULL;

	ttlv_end(&msg, msg_mark);
	ck_assert(rq_start(&rq, &p, msg.data, msg.len));
	return rq;
}

void
turns(unsigned n)
{
	while (n-- > 0) {
		loop_turn(loop, false);
		clock_test_advance(NS_PER_MS / 10);
	}
}

void
run(void)
{
	unsigned before = answers;

	start();
	for (int i = 0; i < 2000 && answers == before; i++)
		loop_turn(loop, false);
	ck_assert_uint_eq(answers, before + 1);
	turns(2);
}

/* --- looking at answers --- */

/* The n-th item of the answer; false when there is none. */
bool
item(unsigned n, struct seen *out)
{
	struct ttlv root, t, version, major, minor;
	struct ttlv_reader r, h, v, b;

	memset(out, 0, sizeof(*out));
	ck_assert_int_eq(ttlv_check(answer.data, answer.len, 8192, &root), ERR_OK);
	ck_assert_uint_eq(root.tag, TAG_RESPONSE_MESSAGE);
	ttlv_enter(&r, &root);
	ck_assert(ttlv_need(&r, TAG_RESPONSE_HEADER, TTLV_STRUCTURE, &t));
	ttlv_enter(&h, &t);
	ck_assert(ttlv_need(&h, TAG_PROTOCOL_VERSION, TTLV_STRUCTURE, &version));
	ttlv_enter(&v, &version);
	ck_assert(ttlv_need(&v, TAG_PROTOCOL_VERSION_MAJOR, TTLV_INTEGER, &major));
	ck_assert(ttlv_need(&v, TAG_PROTOCOL_VERSION_MINOR, TTLV_INTEGER, &minor));
	ck_assert_uint_eq((unsigned)ttlv_int(&major), version_major);
	ck_assert_uint_eq((unsigned)ttlv_int(&minor), version_minor);
	do {
		if (!ttlv_opt(&r, TAG_BATCH_ITEM, TTLV_STRUCTURE, &t))
			return false;
	} while (n-- > 0);
	ttlv_enter(&b, &t);
	if (ttlv_opt(&b, TAG_OPERATION, TTLV_ENUM, &t))
		out->operation = ttlv_uint(&t);
	ttlv_opt(&b, TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES, &out->ubid);
	ck_assert(ttlv_need(&b, TAG_RESULT_STATUS, TTLV_ENUM, &t));
	out->status = ttlv_uint(&t);
	if (ttlv_opt(&b, TAG_RESULT_REASON, TTLV_ENUM, &t))
		out->reason = ttlv_uint(&t);
	ttlv_opt(&b, TAG_RESULT_MESSAGE, TTLV_TEXT, &t);
	ttlv_opt(&b, TAG_RESPONSE_PAYLOAD, TTLV_STRUCTURE, &out->payload);
	ck_assert_int_eq(ttlv_finish(&b), ERR_OK);
	return true;
}

void
expect(unsigned n, uint32_t status, uint32_t reason)
{
	struct seen s;

	ck_assert(item(n, &s));
	ck_assert_uint_eq(s.status, status);
	ck_assert_uint_eq(s.reason, reason);
	ck_assert(s.ubid.len == 8 && s.ubid.value[4] == n + 1);
	ck_assert((s.payload.value != NULL) == (status == 0));
}

void
expect_ok(unsigned n)
{
	expect(n, KMIP_RESULT_STATUS_SUCCESS, 0);
}

void
expect_count(unsigned n)
{
	struct seen s;

	ck_assert(!item(n, &s));
	ck_assert(n == 0 || item(n - 1, &s));
}

struct ttlv
field(unsigned n, uint32_t tag)
{
	struct seen s;
	struct ttlv_reader r;
	struct ttlv t;

	ck_assert(item(n, &s));
	ttlv_enter(&r, &s.payload);
	while (ttlv_next(&r, &t))
		if (t.tag == tag)
			return t;
	ck_abort_msg("no field %x in item %u", tag, n);
	return t;
}

const char *
uid_of(unsigned n)
{
	static char uid[UID_TEXT_LEN + 1];
	struct ttlv t = field(n, TAG_UNIQUE_IDENTIFIER);

	ck_assert_uint_eq(t.len, UID_TEXT_LEN);
	memcpy(uid, t.value, UID_TEXT_LEN);
	return uid;
}

const char *
create_one(char *uid)
{
	begin(1, 0, 0);
	create_item();
	run();
	expect_ok(0);
	return strcpy(uid, uid_of(0));
}

void
one(uint32_t operation, const char *uid, uint32_t status, uint32_t reason)
{
	begin(1, 0, 0);
	simple(operation, uid);
	run();
	expect(0, status, reason);
}
