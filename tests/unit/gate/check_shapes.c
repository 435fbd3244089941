/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages made at random out of the specification's tables, for every operation of the gateway in
 * every version.  What is written, read and written again are the same bytes; no request that the
 * tables allow is one that the gateway cannot read; and its answers are as the tables have them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/gate/op.h"
#include "../kmip/values.h"
#include "base/clock.h"
#include "kmip/attr.h"
#include "kmip/message.h"

#include "keyitems.h"
#include "shape.h"

static const int versions[] = {
    KMIP_1_0, KMIP_1_1, KMIP_1_2, KMIP_1_3, KMIP_1_4, KMIP_2_0, KMIP_2_1};
enum { VERSIONS = sizeof(versions) / sizeof(versions[0]), OPS_MAX = 64, ELEMENTS = 8192 };

static uint64_t seed;
static unsigned rounds;
static char one_uid[UID_TEXT_LEN + 1], other_uid[UID_TEXT_LEN + 1];

static struct maker
maker_of(struct arena *a, uint32_t operation, int version, bool fits)
{
	return (struct maker){.arena = a, .operation = operation, .version = version, .fits = fits,
	    .uid = one_uid, .kek = other_uid};
}

static const struct op *
op_of(size_t n, int version)
{
	const struct op *op = op_at(n);

	return op != NULL && op->since <= version ? op : NULL;
}

START_TEST(every_operation_has_tables)
{
	const struct op *op;

	for (size_t n = 0; (op = op_at(n)) != NULL; n++)
		ck_assert_msg(shape_of_operation(op->operation) != NULL, "%s: what is in it?",
		    kmip_value_name(SET_OPERATION, op->operation));
}
END_TEST

/* --- the codec --- */

/* The children of t, read and written again by the shape, are what they were. */
static void
expect_same(const struct ttlv *t, const struct shape *fields, int version, const char *what)
{
	struct arena *a = arena_new(1 << 20);
	struct ttlv_reader r;
	const char *wrong;
	struct buf b;

	buf_init(&b, 1 << 20);
	ttlv_enter(&r, t);
	wrong = shape_copy(&b, a, &r, fields, version);
	ck_assert_msg(wrong == NULL, "%s in %x: %s", what, (unsigned)version, wrong);
	ck_assert_int_eq(buf_error(&b), ERR_OK);
	ck_assert_msg(b.len == t->len && (b.len == 0 || memcmp(b.data, t->value, b.len) == 0),
	    "%s in %x: written again it is something else", what, (unsigned)version);
	buf_fini(&b);
	arena_free(a);
}

static void
put_request_header(struct maker *m, struct buf *b, unsigned count)
{
	size_t mark = ttlv_begin(b, TAG_REQUEST_HEADER);

	kmip_put_version(b, m->version);
	shape_make(m, b, shape_request_header);
	ttlv_put_int(b, TAG_BATCH_COUNT, (int32_t)count);
	ttlv_end(b, mark);
}

static void
put_request_item(struct maker *m, struct buf *b, unsigned n)
{
	uint8_t ubid[4] = {(uint8_t)n, 1, 2, 3};
	size_t mark = ttlv_begin(b, TAG_BATCH_ITEM), payload;

	ttlv_put_enum(b, TAG_OPERATION, m->operation);
	ttlv_put_bytes(b, TAG_UNIQUE_BATCH_ITEM_ID, ubid, 1 + values_below(sizeof(ubid)));
	payload = ttlv_begin(b, TAG_REQUEST_PAYLOAD);
	shape_make(m, b, shape_of_operation(m->operation)->request);
	ttlv_end(b, payload);
	ttlv_end(b, mark);
}

/* What kmip_request_read() made of the message, written as a message. */
static void
write_again(struct buf *b, const struct kmip_request *rq, const struct ttlv *header)
{
	size_t message = ttlv_begin(b, TAG_REQUEST_MESSAGE), mark;

	ttlv_put_raw(b, header->tag, header->type, header->value, header->len);
	for (unsigned i = 0; i < rq->count; i++) {
		const struct kmip_item *it = &rq->items[i];

		mark = ttlv_begin(b, TAG_BATCH_ITEM);
		ttlv_put_enum(b, TAG_OPERATION, it->operation);
		ttlv_put_bytes(b, TAG_UNIQUE_BATCH_ITEM_ID, it->ubid.value, it->ubid.len);
		ttlv_put_raw(b, TAG_REQUEST_PAYLOAD, TTLV_STRUCTURE, it->payload.value,
		    it->payload.len);
		ttlv_end(b, mark);
	}
	ttlv_end(b, message);
}

/* Protocol Version and Batch Count stand around the header's other fields. */
static void
check_header(const struct ttlv *header, int version)
{
	struct ttlv_reader r;
	struct ttlv t, inner = *header;

	ttlv_enter(&r, header);
	ck_assert(ttlv_next(&r, &t));
	inner.value = r.p;
	inner.len = (uint32_t)(r.end - r.p) - 16;
	expect_same(&inner, shape_request_header, version, "the header");
}

static void
request_round_trip(const struct buf *b, int version)
{
	struct kmip_request rq;
	struct ttlv_reader r;
	struct ttlv root, header;
	struct buf again;
	enum err e = kmip_request_read(&rq, b->data, b->len);

	ck_assert_msg(e == ERR_OK, "%x: %s", (unsigned)version, err_name(e));
	ck_assert_int_eq(rq.version, version);
	ck_assert_int_eq(ttlv_check(b->data, b->len, ELEMENTS, &root), ERR_OK);
	ttlv_enter(&r, &root);
	ck_assert(ttlv_next(&r, &header));
	check_header(&header, version);
	for (unsigned i = 0; i < rq.count; i++) {
		uint32_t operation = rq.items[i].operation;

		expect_same(&rq.items[i].payload, shape_of_operation(operation)->request, version,
		    kmip_value_name(SET_OPERATION, operation));
	}
	buf_init(&again, 1 << 20);
	write_again(&again, &rq, &header);
	ck_assert_uint_eq(again.len, b->len);
	ck_assert_mem_eq(again.data, b->data, b->len);
	buf_fini(&again);
	kmip_request_fini(&rq);
}

/* Two items in a message, whose header is made at random, too. */
static void
request_of(struct maker *m)
{
	struct buf b;
	size_t mark;

	buf_init(&b, 1 << 20);
	mark = ttlv_begin(&b, TAG_REQUEST_MESSAGE);
	put_request_header(m, &b, 2);
	put_request_item(m, &b, 0);
	put_request_item(m, &b, 1);
	ttlv_end(&b, mark);
	request_round_trip(&b, m->version);
	buf_fini(&b);
}

/* Round by round all operations of the version. */
static void
each_operation(int n, void (*check)(struct maker *m))
{
	int version = versions[n];
	const struct op *op;

	values_seed(seed + (uint64_t)n);
	for (unsigned round = 0; round < rounds; round++) {
		struct arena *a = arena_new(1 << 20);

		for (size_t i = 0; op_at(i) != NULL; i++) {
			struct maker m;

			if ((op = op_of(i, version)) == NULL)
				continue;
			m = maker_of(a, op->operation, version, round % 2 == 0);
			check(&m);
		}
		arena_free(a);
	}
}

START_TEST(requests_in_every_version)
{
	each_operation(_i, request_of);
}
END_TEST

/* One item of an answer. */
static void
check_response(const struct buf *b, uint32_t operation, int version)
{
	struct ttlv_reader r, in;
	struct ttlv root, t, payload;

	ck_assert_int_eq(ttlv_check(b->data, b->len, ELEMENTS, &root), ERR_OK);
	ttlv_enter(&r, &root);
	ck_assert(ttlv_need(&r, TAG_RESPONSE_HEADER, TTLV_STRUCTURE, &t));
	expect_same(&t, shape_response_header, version, "the answer's header");
	ck_assert(ttlv_need(&r, TAG_BATCH_ITEM, TTLV_STRUCTURE, &t));
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);
	ttlv_enter(&in, &t);
	ck_assert(ttlv_need(&in, TAG_OPERATION, TTLV_ENUM, &t));
	ttlv_opt(&in, TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES, &t);
	ck_assert(ttlv_need(&in, TAG_RESULT_STATUS, TTLV_ENUM, &t));
	ck_assert_uint_eq(ttlv_uint(&t), KMIP_RESULT_STATUS_SUCCESS);
	ck_assert(ttlv_need(&in, TAG_RESPONSE_PAYLOAD, TTLV_STRUCTURE, &payload));
	ck_assert_int_eq(ttlv_finish(&in), ERR_OK);
	expect_same(&payload, shape_of_operation(operation)->response, version,
	    kmip_value_name(SET_OPERATION, operation));
}

/* Put together by the functions that write answers. */
static void
answer_of(struct maker *m)
{
	struct kmip_response rs;
	struct buf b, payload;
	size_t mark;

	buf_init(&payload, 1 << 20);
	mark = ttlv_begin(&payload, TAG_RESPONSE_PAYLOAD);
	shape_make(m, &payload, shape_of_operation(m->operation)->response);
	ttlv_end(&payload, mark);
	buf_init(&b, 1 << 20);
	kmip_response_begin(&rs, &b, m->version, WALL, 7);
	mark = b.len;
	kmip_response_item(
	    &rs, m->operation, NULL, ERR_OK, m->version, payload.data, payload.len);
	ck_assert_uint_eq(
	    b.len - mark, kmip_response_item_len(m->operation, NULL, ERR_OK, payload.len));
	kmip_response_end(&rs);
	check_response(&b, m->operation, m->version);
	buf_fini(&b);
	buf_fini(&payload);
}

START_TEST(answers_in_every_version)
{
	each_operation(_i, answer_of);
}
END_TEST

/* --- the gateway --- */

/* True when the message says so of the only item. */
static bool
says(const char *text)
{
	struct ttlv_reader r, in;
	struct ttlv root, t;

	ck_assert_int_eq(ttlv_check(answer.data, answer.len, ELEMENTS, &root), ERR_OK);
	ttlv_enter(&r, &root);
	ttlv_next(&r, &t);
	ttlv_next(&r, &t);
	ttlv_enter(&in, &t);
	while (ttlv_next(&in, &t))
		if (t.tag == TAG_RESULT_MESSAGE)
			return ttlv_is_text(&t, text);
	return false;
}

/* Two keys that may be used, one of which has attributes; or another that may be activated. */
static void
make_keys(uint32_t operation)
{
	bool is_new = operation == KMIP_OPERATION_ACTIVATE || operation == KMIP_OPERATION_DESTROY;

	version_major = 1;
	version_minor = 4;
	make_key(one_uid, &active_now, &no_date);
	items_dates[0] = is_new ? no_date : active_now;
	act(item_create, NULL);
	items_dates[0] = no_date;
	memcpy(other_uid, uid_of(0), sizeof(other_uid));
}

/* Asks the gateway; true when it did what it was asked for. */
static bool
ask(struct arena *a, const struct op *op, int version, unsigned round)
{
	struct maker m = maker_of(a, op->operation, version, round % 4 != 0);
	struct seen s;

	m.uid = round % 3 == 0 ? other_uid : one_uid;
	m.kek = round % 3 == 0 ? one_uid : other_uid;
	version_major = (unsigned)version >> 4;
	version_minor = (unsigned)version & 15;
	begin(1, 0, 0);
	item_begin(op->operation, NULL);
	shape_make(&m, &msg, shape_of_operation(op->operation)->request);
	item_end();
	run();
	ck_assert(item(0, &s));
	ck_assert_msg(!says(err_text(ERR_INVALID_MESSAGE)), "%s in %x cannot be read",
	    kmip_value_name(SET_OPERATION, op->operation), (unsigned)version);
	if (s.status != KMIP_RESULT_STATUS_SUCCESS)
		return false;
	check_response(&answer, op->operation, version);
	return true;
}

START_TEST(the_gateway_in_every_version)
{
	unsigned done[OPS_MAX] = {0}, lacking = 1;
	int version = versions[_i];
	const struct op *op;

	values_seed(seed + (uint64_t)_i);
	/* what is rarely drawn rightly has more rounds */
	for (unsigned round = 0; round < rounds || (lacking > 0 && round < 50 * rounds); round++) {
		struct arena *a = arena_new(1 << 20);

		lacking = 0;
		if (round % 4 == 0) { /* what is kept has a ceiling */
			teardown();
			setup_kek();
		}
		for (size_t n = 0; op_at(n) != NULL; n++) {
			if ((op = op_of(n, version)) == NULL || (round >= rounds && done[n] > 0))
				continue;
			make_keys(op->operation);
			done[n] += ask(a, op, version, round);
			lacking += done[n] == 0 && op->operation != KMIP_OPERATION_POLL;
		}
		arena_free(a);
	}
	for (size_t n = 0; op_at(n) != NULL; n++)
		if ((op = op_of(n, version)) != NULL && op->operation != KMIP_OPERATION_POLL)
			ck_assert_msg(done[n] > 0, "%s was never done in %x",
			    kmip_value_name(SET_OPERATION, op->operation), (unsigned)version);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shapes");
	TCase *codec = tcase_create("codec"), *gate = tcase_create("gate");
	SRunner *sr = srunner_create(s);
	int failed;

	seed = values_first_seed();
	rounds = getenv("KEYFERRY_LONG") != NULL ? 2000 : 40;
	tcase_set_timeout(codec, 3600);
	tcase_set_timeout(gate, 3600);
	tcase_add_test(codec, every_operation_has_tables);
	tcase_add_loop_test(codec, requests_in_every_version, 0, VERSIONS);
	tcase_add_loop_test(codec, answers_in_every_version, 0, VERSIONS);
	tcase_add_checked_fixture(gate, setup_kek, teardown);
	tcase_add_loop_test(gate, the_gateway_in_every_version, 0, VERSIONS);
	suite_add_tcase(s, codec);
	suite_add_tcase(s, gate);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
