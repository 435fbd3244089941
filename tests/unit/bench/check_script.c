/* SPDX-License-Identifier: Apache-2.0 */
/* What clients do, and what they make of the answers. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kmip/message.h"
#include "kmip/names.h"
#include "kmip/ttlv.h"

#include "script.h"

static struct script_memory m;

/* The answer to one item with a payload, or with an error. */
static void
answer(struct buf *b, uint32_t operation, enum err e, const struct buf *payload)
{
	const struct ttlv none = {0};
	struct kmip_response rs;

	buf_init(b, 10000);
	kmip_response_begin(&rs, b, KMIP_1_1, 1, 0);
	kmip_response_item(&rs, operation, &none, e, KMIP_1_1,
	    payload != NULL ? payload->data : NULL, payload != NULL ? payload->len : 0);
	kmip_response_end(&rs);
}

START_TEST(a_create_tells_the_uid)
{
	struct buf b, p;
	size_t mark;

	buf_init(&p, 1000);
	mark = ttlv_begin(&p, TAG_RESPONSE_PAYLOAD);
	ttlv_put_enum(&p, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	ttlv_put_text(&p, TAG_UNIQUE_IDENTIFIER, "some-key", 8);
	ttlv_end(&p, mark);
	answer(&b, KMIP_OPERATION_CREATE, ERR_OK, &p);
	ck_assert(script_read(b.data, b.len, STEP_CREATE, &m));
	ck_assert_str_eq(m.uid, "some-key");
	/* there is no key in it */
	ck_assert(!script_read(b.data, b.len, STEP_GET, &m));
	ck_assert(!script_read(b.data, b.len - 8, STEP_CREATE, &m));
	buf_fini(&b);
	buf_fini(&p);
}
END_TEST

START_TEST(an_active_key_is_not_activated)
{
	static const enum step steps[] = {STEP_STATE, STEP_ACTIVATE, STEP_CLOSE, STEP_END};
	static const uint32_t states[] = {KMIP_STATE_PRE_ACTIVE, KMIP_STATE_ACTIVE};

	for (size_t i = 0; i < 2; i++) {
		struct buf b, p;
		size_t mark, attribute;

		buf_init(&p, 1000);
		mark = ttlv_begin(&p, TAG_RESPONSE_PAYLOAD);
		ttlv_put_text(&p, TAG_UNIQUE_IDENTIFIER, "key", 3);
		attribute = ttlv_begin(&p, TAG_ATTRIBUTE);
		ttlv_put_text(&p, TAG_ATTRIBUTE_NAME, "State", 5);
		ttlv_put_enum(&p, TAG_ATTRIBUTE_VALUE, states[i]);
		ttlv_end(&p, attribute);
		ttlv_end(&p, mark);
		answer(&b, KMIP_OPERATION_GET_ATTRIBUTES, ERR_OK, &p);
		ck_assert(script_read(b.data, b.len, STEP_STATE, &m));
		ck_assert_ptr_eq(script_next(steps, &m), steps + 1 + i);
		buf_fini(&b);
		buf_fini(&p);
	}
}
END_TEST

START_TEST(a_failed_item_is_told)
{
	struct buf b;

	answer(&b, KMIP_OPERATION_GET, ERR_NO_OBJECT, NULL);
	ck_assert(!script_read(b.data, b.len, STEP_GET, &m));
	ck_assert_str_eq(m.why, "KMIP: no such object");
	buf_fini(&b);
}
END_TEST

START_TEST(every_step_is_a_request_that_the_gateway_reads)
{
	for (int step = STEP_DISCOVER; step <= STEP_LABEL_MACHINE; step++) {
		struct kmip_request rq;
		struct ask a;

		script_ask(&a, (enum step)step, "key");
		ck_assert_int_eq(buf_error(&a.b), ERR_OK);
		ck_assert_int_eq(kmip_request_read(&rq, a.b.data, a.b.len), ERR_OK);
		kmip_request_fini(&rq);
		ask_fini(&a);
	}
}
END_TEST

/* Half of a day's operations are a handshake and nothing else; a key takes four connections. */
START_TEST(a_day_is_mixed)
{
	unsigned handshakes = 0, connects = 0, creates = 0;

	for (uint64_t n = 0; n < 200; n++) {
		const enum step *s = script_of(MODE_DAY, false, n);

		handshakes += s[0] == STEP_CONNECT && s[1] == STEP_CLOSE;
		for (; *s != STEP_END; s++) {
			connects += *s == STEP_CONNECT;
			creates += *s == STEP_CREATE;
		}
	}
	ck_assert_uint_eq(handshakes, 100);
	ck_assert_uint_eq(creates, 10);
	ck_assert_uint_eq(connects, 200 + 3 * 10);
}
END_TEST

START_TEST(an_open_session_is_not_opened_again)
{
	ck_assert_int_eq(script_of(MODE_GETS, true, 0)[0], STEP_GET);
	ck_assert_int_eq(script_of(MODE_GETS, false, 0)[0], STEP_CONNECT);
	ck_assert_int_eq(script_of(MODE_CREATES, true, 0)[0], STEP_CREATE);
}
END_TEST

static size_t
http(const char *s)
{
	return script_frame_http((const uint8_t *)s, strlen(s));
}

START_TEST(frames)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 3\r\n\r\nabc";

	ck_assert_uint_eq(http("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"), 0);
	ck_assert_uint_eq(http(ok), sizeof(ok) - 1);
	ck_assert_uint_eq(http("HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nabc"), SIZE_MAX);
	ck_assert_uint_eq(http("HTTP/1.1 200 OK\r\nX: y\r\n\r\n"), SIZE_MAX);
	ck_assert_uint_eq(script_frame_kmip((const uint8_t *)"\x42\x00\x7b\x01\0\0\0", 7), 0);
	ck_assert_uint_eq(script_frame_kmip((const uint8_t *)"\x42\x00\x7b\x01\0\0\0\x10", 8), 24);
	ck_assert_uint_eq(script_frame_kmip((const uint8_t *)"HTTP/1.1", 8), SIZE_MAX);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("script");
	TCase *t = tcase_create("script");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, a_create_tells_the_uid);
	tcase_add_test(t, an_active_key_is_not_activated);
	tcase_add_test(t, a_failed_item_is_told);
	tcase_add_test(t, every_step_is_a_request_that_the_gateway_reads);
	tcase_add_test(t, a_day_is_mixed);
	tcase_add_test(t, an_open_session_is_not_opened_again);
	tcase_add_test(t, frames);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
