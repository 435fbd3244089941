/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of several items: what they hand on, where they stop, and what has no room. */
#include <string.h>

#include "base/fault.h"
#include "base/metric.h"
#include "keys/lookup.h"

#include "rqrig.h"

START_TEST(placeholder_runs_through_a_batch)
{
	begin(4, 0, 0);
	create_item();
	add_item(NULL, "x-Name", "vm-1");
	simple(KMIP_OPERATION_ACTIVATE, NULL);
	simple(KMIP_OPERATION_GET, NULL);
	run();
	for (unsigned i = 0; i < 4; i++)
		expect_ok(i);
	ck_assert_uint_eq(mem.commits, 1);
	one(KMIP_OPERATION_GET, NULL, FAILED, KMIP_RESULT_REASON_MISSING_DATA);
}
END_TEST

static void
locate_item(const char *name, int32_t max)
{
	item_begin(KMIP_OPERATION_LOCATE, NULL);
	if (max > 0)
		ttlv_put_int(&msg, TAG_MAXIMUM_ITEMS, max);
	put_attr_text("x-Name", name);
	item_end();
}

static unsigned
located(unsigned n)
{
	struct seen s;
	struct ttlv_reader r;
	struct ttlv t;
	unsigned count = 0;

	ck_assert(item(n, &s));
	ck_assert_uint_eq(s.status, KMIP_RESULT_STATUS_SUCCESS);
	ttlv_enter(&r, &s.payload);
	while (ttlv_next(&r, &t))
		count += t.tag == TAG_UNIQUE_IDENTIFIER;
	return count;
}

START_TEST(locate_sees_its_own_message)
{
	char old[UID_TEXT_LEN + 1];

	create_one(old);
	begin(1, 0, 0);
	add_item(old, "x-Name", "vm");
	run();
	begin(8, 0, 0);
	create_item();
	add_item(NULL, "x-Name", "vm");
	locate_item("vm", 0); /* both */
	locate_item("vm", 1);
	simple(KMIP_OPERATION_DESTROY, old);
	locate_item("vm", 0); /* the new one, which becomes the placeholder */
	simple(KMIP_OPERATION_DESTROY, NULL);
	locate_item("vm", 0);
	run();
	ck_assert_uint_eq(located(2), 2);
	ck_assert_uint_eq(located(3), 1);
	ck_assert_uint_eq(located(5), 1);
	expect_ok(6);
	ck_assert_uint_eq(located(7), 0);
}
END_TEST

START_TEST(stop_is_the_default)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	begin(3, 0, 0);
	add_item(uid, "x-a", "1");
	simple(KMIP_OPERATION_GET, "no-such");
	add_item(uid, "x-b", "2");
	run();
	expect_ok(0);
	expect(1, FAILED, NOT_FOUND);
	expect_count(2);
	ck_assert_uint_eq(mem.commits, 2); /* what succeeded before the error stays */
}
END_TEST

START_TEST(continue_goes_on)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	begin(3, KMIP_CONTINUE_CONTINUE, 0);
	add_item(uid, "x-a", "1");
	simple(KMIP_OPERATION_GET, "no-such");
	add_item(uid, "x-b", "2");
	run();
	expect_ok(0);
	expect(1, FAILED, NOT_FOUND);
	expect_ok(2);
}
END_TEST

START_TEST(undo_leaves_nothing)
{
	begin(4, KMIP_CONTINUE_UNDO, 0);
	create_item();
	add_item(NULL, "x-a", "1");
	simple(KMIP_OPERATION_GET, NULL);
	simple(KMIP_OPERATION_GET, "no-such");
	run();
	for (unsigned i = 0; i < 3; i++) {
		struct seen s;

		ck_assert(item(i, &s));
		ck_assert_uint_eq(s.status, KMIP_RESULT_STATUS_OPERATION_UNDONE);
		ck_assert(s.payload.value == NULL); /* no key that will never be */
	}
	expect(3, FAILED, NOT_FOUND);
	ck_assert_uint_eq(mem.commits + mem.stores, 0);
}
END_TEST

/* After a failed Create, Destroy without an identifier must not mean the one before. */
START_TEST(failure_ends_the_placeholder)
{
	begin(3, KMIP_CONTINUE_CONTINUE, 0);
	create_item();
	simple(KMIP_OPERATION_CREATE, NULL);
	simple(KMIP_OPERATION_DESTROY, NULL);
	run();
	expect_ok(0);
	expect(1, FAILED, KMIP_RESULT_REASON_MISSING_DATA);
	expect(2, FAILED, KMIP_RESULT_REASON_MISSING_DATA);
	one(KMIP_OPERATION_GET, uid_of(0), 0, 0);
}
END_TEST

/* An item whose answer has no room fails, so its change must not be made. */
START_TEST(no_room_for_an_answer_changes_nothing)
{
	static char label[8000];
	char uid[UID_TEXT_LEN + 1];
	struct seen s;

	create_one(uid);
	memset(label, 'v', sizeof(label) - 1);
	begin(10, KMIP_CONTINUE_CONTINUE, 0);
	for (int i = 0; i < 10; i++) {
		char name[8] = "x-0";

		name[2] = (char)('0' + i);
		add_item(uid, name, label);
	}
	run();
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.reason, KMIP_RESULT_REASON_RESPONSE_TOO_LARGE);
	ck_assert_uint_eq(mem.commits, 1);
}
END_TEST

/* The data that each of them is completed with is told in the answer. */
static void
put_informations(void)
{
	static const char name[] = "Application Specific Information", space[] = "keyferry";

	for (int i = 0; i < 20; i++) {
		size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE), value;

		ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
		value = ttlv_begin(&msg, TAG_ATTRIBUTE_VALUE);
		ttlv_put_text(&msg, TAG_APPLICATION_NAMESPACE, space, strlen(space));
		ttlv_end(&msg, value);
		ttlv_end(&msg, at);
	}
}

/* A key, or one made from that. */
static void
key_item(uint32_t operation, const char *uid)
{
	size_t at, params;

	item_begin(operation, operation == KMIP_OPERATION_RE_KEY ? uid : NULL);
	if (operation != KMIP_OPERATION_RE_KEY)
		ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	if (operation == KMIP_OPERATION_DERIVE_KEY) {
		ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, uid, strlen(uid));
		ttlv_put_enum(&msg, TAG_DERIVATION_METHOD, KMIP_DERIVATION_METHOD_HASH);
		at = ttlv_begin(&msg, TAG_DERIVATION_PARAMETERS);
		params = ttlv_begin(&msg, TAG_CRYPTOGRAPHIC_PARAMETERS);
		ttlv_put_enum(&msg, TAG_HASHING_ALGORITHM, KMIP_HASHING_ALGORITHM_SHA_256);
		ttlv_end(&msg, params);
		ttlv_end(&msg, at);
	}
	at = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", KMIP_CRYPTOGRAPHIC_USAGE_MASK_DERIVE_KEY);
	put_attr_int("Cryptographic Length", 256);
	if (uid != NULL)
		put_informations();
	ttlv_end(&msg, at);
	item_end();
}

/* Nor is the old key's: it does not say that it is replaced by what there is not. */
START_TEST(no_room_to_tell_of_a_new_key_changes_nothing)
{
	static const uint32_t operations[] = {KMIP_OPERATION_RE_KEY, KMIP_OPERATION_DERIVE_KEY};
	char uid[UID_TEXT_LEN + 1];
	unsigned commits;

	tenant->born_active = true;
	begin(1, 0, 0);
	key_item(KMIP_OPERATION_CREATE, NULL);
	run();
	expect_ok(0);
	strcpy(uid, uid_of(0));
	commits = mem.commits;
	response_max = 1024;
	begin(2, KMIP_CONTINUE_CONTINUE, 0);
	key_item(operations[_i], uid);
	add_item(uid, "x-a", "1");
	run();
	expect(0, FAILED, KMIP_RESULT_REASON_RESPONSE_TOO_LARGE);
	expect_ok(1);
	ck_assert_uint_eq(mem.commits, commits + 1);
	response_max = 64 << 10;
	one(KMIP_OPERATION_GET_ATTRIBUTES, uid, 0, 0);
	ck_assert_ptr_null(memmem(answer.data, answer.len, "Link", 4));
	begin(1, 0, 0);
	key_item(operations[_i], uid);
	run();
	expect_ok(0);
	one(KMIP_OPERATION_GET_ATTRIBUTES, uid, 0, 0);
	ck_assert_ptr_nonnull(memmem(answer.data, answer.len, "Link", 4));
}
END_TEST

static void
one_key_item(uint32_t operation, const char *uid)
{
	begin(1, 0, 0);
	key_item(operation, uid);
	run();
}

static void
add_one(const char *uid, const char *name)
{
	begin(1, 0, 0);
	add_item(uid, name, "1");
	run();
	expect_ok(0);
}

/* The last of its links does not stand in the way of anything else, and one that goes makes room. */
START_TEST(derive_key_leaves_room_for_others)
{
	char uid[UID_TEXT_LEN + 1], name[] = "x-a";
	struct seen s = {.status = KMIP_RESULT_STATUS_SUCCESS};
	unsigned derived = 0;
	size_t count;

	tenant->born_active = true;
	one_key_item(KMIP_OPERATION_CREATE, NULL);
	expect_ok(0);
	strcpy(uid, uid_of(0));
	for (; s.status == KMIP_RESULT_STATUS_SUCCESS; derived++) {
		count = mem.count;
		one_key_item(KMIP_OPERATION_DERIVE_KEY, uid);
		ck_assert(item(0, &s));
	}
	expect(0, FAILED, KMIP_RESULT_REASON_INDEX_OUT_OF_BOUNDS);
	ck_assert_uint_eq(mem.count, count); /* nothing was made */
	ck_assert_uint_gt(derived, 200);
	for (; name[2] < 'k'; name[2]++)
		add_one(uid, name);
	one_key_item(KMIP_OPERATION_RE_KEY, uid);
	expect_ok(0);
	one_key_item(KMIP_OPERATION_DERIVE_KEY, uid_of(0));
	expect_ok(0);
	for (int i = 0; i < 20; i++) {
		begin(1, 0, 0);
		item_begin(KMIP_OPERATION_DELETE_ATTRIBUTE, uid);
		ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "Link", 4);
		ttlv_put_int(&msg, TAG_ATTRIBUTE_INDEX, 100 + i);
		item_end();
		run();
		expect_ok(0);
	}
	one_key_item(KMIP_OPERATION_DERIVE_KEY, uid);
	expect_ok(0);
}
END_TEST

START_TEST(create_and_destroy_in_one_message)
{
	begin(2, 0, 0);
	create_item();
	simple(KMIP_OPERATION_DESTROY, NULL);
	run();
	expect_ok(0);
	expect_ok(1);
	ck_assert_uint_eq(mem.stores, 0);
	one(KMIP_OPERATION_GET, uid_of(0), FAILED, NOT_FOUND);
}
END_TEST

START_TEST(max_response_changes_nothing)
{
	struct seen s;

	begin(1, 0, 64);
	create_item();
	run();
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.status, FAILED);
	ck_assert_uint_eq(s.reason, KMIP_RESULT_REASON_RESPONSE_TOO_LARGE);
	ck_assert_uint_eq(mem.commits + mem.stores, 0);
}
END_TEST

/* --- dates that have come --- */

static void
put_date(const char *name, int64_t when)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE);

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
	ttlv_put_date_time(&msg, TAG_ATTRIBUTE_VALUE, when);
	ttlv_end(&msg, at);
}

static void
encrypt_item(const char *uid)
{
	static const uint8_t block[16];
	size_t mark;

	item_begin(KMIP_OPERATION_ENCRYPT, uid);
	mark = ttlv_begin(&msg, TAG_CRYPTOGRAPHIC_PARAMETERS);
	ttlv_put_enum(&msg, TAG_BLOCK_CIPHER_MODE, KMIP_BLOCK_CIPHER_MODE_ECB);
	ttlv_end(&msg, mark);
	ttlv_put_bytes(&msg, TAG_DATA, block, sizeof(block));
	item_end();
}

static void
expect_state(unsigned n, uint32_t state)
{
	struct ttlv t = field(n, TAG_ATTRIBUTE);
	struct ttlv_reader r;

	ttlv_enter(&r, &t);
	ck_assert(ttlv_need(&r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t));
	ck_assert(ttlv_need(&r, TAG_ATTRIBUTE_VALUE, TTLV_ENUM, &t));
	ck_assert_uint_eq(ttlv_uint(&t), state);
}

static void
state_item(void)
{
	item_begin(KMIP_OPERATION_GET_ATTRIBUTES, NULL);
	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "State", 5);
	item_end();
}

/* The same as if each item were a message; what is stored is what clients said. */
START_TEST(dates_count_within_a_message)
{
	struct arena *a = arena_new(1 << 20);
	struct object *o;
	size_t at;

	version_minor = 4;
	begin(5, KMIP_CONTINUE_CONTINUE, 0);
	item_begin(KMIP_OPERATION_CREATE, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	at = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", 0x0c);
	put_attr_int("Cryptographic Length", 256);
	put_date("Activation Date", WALL - 100);
	put_date("Deactivation Date", _i == 0 ? WALL - 50 : WALL + 50);
	ttlv_end(&msg, at);
	item_end();
	if (_i == 0) {
		simple(KMIP_OPERATION_GET, NULL);
	} else {
		item_begin(KMIP_OPERATION_MODIFY_ATTRIBUTE, NULL);
		put_date("Deactivation Date", WALL - 50);
		item_end();
	}
	state_item();
	add_item(NULL, "x-Name", "vm");
	encrypt_item(NULL);
	run();
	for (unsigned i = 0; i < 4; i++)
		expect_ok(i);
	expect_state(2, OBJECT_DEACTIVATED);
	expect(4, FAILED, DENIED);
	ck_assert_int_eq(object_unpack(mem.objects[0].packed.data, mem.objects[0].packed.len, a, &o), ERR_OK);
	ck_assert_int_eq(o->state, OBJECT_ACTIVE);
	arena_free(a);
	one(KMIP_OPERATION_DESTROY, mem.objects[0].uid, 0, 0); /* it is not Active */
}
END_TEST

/* --- another gateway makes a successor meanwhile --- */

static const struct vault_ops *alone;
static bool is_gone; /* what is unwrapped next has been retired */
static int order;    /* of what the vault has to what the ledger knows */

static void
shared_unwrap(struct vault *v, struct vault_unwrap *c)
{
	if (!is_gone) {
		alone->unwrap(v, c);
		return;
	}
	is_gone = false;
	c->gone = GONE_LATELY;
	wait_finish_soon(loop, &c->wait, ERR_NO_OBJECT);
}

static void
shared_find(struct vault *v, struct vault_find *c)
{
	const struct mem_object *mo = memledger_find(&mem, c->tenant, c->uid);

	(void)v;
	ck_assert_ptr_nonnull(mo);
	ck_assert_int_eq(object_unpack(mo->packed.data, mo->packed.len, c->arena, &c->object), ERR_OK);
	wait_finish_soon(loop, &c->wait, ERR_OK);
}

static int
shared_order(const struct object *a, const struct object *b)
{
	(void)a;
	(void)b;
	return order;
}

static void
shared_retire(struct vault *v, struct vault_change *c)
{
	(void)v;
	(void)c;
}

static const struct {
	uint32_t operation, continuation;
	int order;
} successors[] = {
    {KMIP_OPERATION_REVOKE, KMIP_CONTINUE_STOP, 1},
    {KMIP_OPERATION_REVOKE, KMIP_CONTINUE_CONTINUE, 1},
    {KMIP_OPERATION_REVOKE, KMIP_CONTINUE_UNDO, 1},
    {KMIP_OPERATION_GET, KMIP_CONTINUE_STOP, 1},
    {KMIP_OPERATION_GET, KMIP_CONTINUE_UNDO, 1},
    {KMIP_OPERATION_REVOKE, KMIP_CONTINUE_STOP, 0}, /* the ledger has it all: nothing runs anew */
    {KMIP_OPERATION_GET, KMIP_CONTINUE_STOP, 0},
};

/* Another one uses the vault as well, and has replaced the record of a new key. */
static void
begin_behind(char *uid, int i)
{
	static struct vault_ops shared;

	create_one(uid);
	alone = mem.vault.ops;
	shared = *alone;
	shared.unwrap = shared_unwrap;
	shared.find = shared_find;
	shared.order = shared_order;
	shared.retire = shared_retire;
	mem.vault.ops = &shared;
	tenant->lookups = lookups_new(loop);
	ck_assert_ptr_nonnull(tenant->lookups);
	is_gone = true;
	order = successors[i].order;
	begin(2, successors[i].continuation, 0);
	add_item(uid, "x-Name", "vm-17");
	if (successors[i].operation == KMIP_OPERATION_REVOKE)
		revoke_item(uid, KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE);
	else
		simple(KMIP_OPERATION_GET, uid);
}

static void
end_behind(void)
{
	lookups_free(tenant->lookups);
	tenant->lookups = NULL;
}

static bool
is_named(const char *uid)
{
	one(KMIP_OPERATION_GET_ATTRIBUTES, uid, 0, 0);
	return memmem(answer.data, answer.len, "vm-17", 5) != NULL;
}

/* What the message did before stays: it is done again to what the successor says. */
START_TEST(successor_is_met_behind_a_change)
{
	int64_t restarted = metric_get(METRIC_REQUESTS_RESTARTED_TOTAL);
	char uid[UID_TEXT_LEN + 1];

	begin_behind(uid, _i);
	run();
	expect_ok(0);
	expect_ok(1);
	ck_assert(!is_gone);
	ck_assert(is_named(uid));
	ck_assert_int_eq(metric_get(METRIC_REQUESTS_RESTARTED_TOTAL), restarted + order);
	end_behind();
}
END_TEST

/* Without memory somewhere on the way the change is acknowledged and there, or neither. */
START_TEST(successor_is_met_without_memory)
{
	bool acknowledged, first = (_i & 1) != 0;
	char uid[UID_TEXT_LEN + 1];
	struct seen s;

	begin_behind(uid, first ? 0 : 3);
	start();
	fault_test_arm(FAULT_ALLOC, (unsigned)_i / 2, 1);
	turns(60);
	fault_test_clear();
	ck_assert_uint_eq(answers, 2);
	ck_assert(item(0, &s));
	acknowledged = s.status == KMIP_RESULT_STATUS_SUCCESS;
	ck_assert(is_named(uid) == acknowledged);
	end_behind();
}
END_TEST

int
main(void)
{
	const struct rqcase cases[] = {
	    {"placeholder", placeholder_runs_through_a_batch, 1},
	    {"locate in a batch", locate_sees_its_own_message, 1},
	    {"stop", stop_is_the_default, 1},
	    {"continue", continue_goes_on, 1},
	    {"undo", undo_leaves_nothing, 1},
	    {"failure and placeholder", failure_ends_the_placeholder, 1},
	    {"no room for an answer", no_room_for_an_answer_changes_nothing, 1},
	    {"no room to tell of a new key", no_room_to_tell_of_a_new_key_changes_nothing, 2},
	    {"room of a base", derive_key_leaves_room_for_others, 1},
	    {"create and destroy", create_and_destroy_in_one_message, 1},
	    {"maximum response size", max_response_changes_nothing, 1},
	    {"dates", dates_count_within_a_message, 2},
	    {"successor", successor_is_met_behind_a_change,
		sizeof(successors) / sizeof(successors[0])},
	    {"successor without memory", successor_is_met_without_memory, 60},
	};

	return rqrig_main("batch", cases, sizeof(cases) / sizeof(cases[0]));
}
