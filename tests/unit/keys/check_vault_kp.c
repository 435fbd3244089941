/* SPDX-License-Identifier: Apache-2.0 */
/* The vault `keyprotect' over a Key Protect that misbehaves in every way that is known. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "kpcase.h"

START_TEST(test_life)
{
	struct object *o = kprig_object(rig, 256);
	struct secret *made = NULL, *got = NULL;
	char name[100];
	bool found;

	ck_assert_int_eq(kprig_make(rig, o, &made), ERR_OK);
	ck_assert_uint_eq(secret_len(made), 32);
	ck_assert_int_eq(secret_bytes(made)[0], 'B'); /* the HSM's */
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_str_eq(rig->order, "wp"); /* two calls */
	snprintf(name, sizeof(name), "vmware_kmip_%s", o->uid);
	ck_assert_str_eq(rig->keys[0].name, name);
	ck_assert_mem_eq(o->record, rig->keys[0].id, 36);
	ck_assert_int_eq(kprig_unwrap(rig, o, &got), ERR_OK);
	ck_assert(secret_equal(made, got));
	secret_unref(got);
	ck_assert(strcmp(rig->order, "wpum") == 0 || strcmp(rig->order, "wpmu") == 0);
	ck_assert_int_eq(kprig_probe(rig, o, &found), ERR_OK);
	ck_assert(found);
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 0);
	ck_assert_int_eq(kprig_unwrap(rig, o, &got), ERR_NO_OBJECT);
	ck_assert_int_eq(kprig_probe(rig, o, &found), ERR_OK);
	ck_assert(!found);
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK); /* again */
	ck_assert_uint_eq(rig->tokens, 1);
	secret_unref(made);
}
END_TEST

START_TEST(test_key_sources)
{
	struct object *o = kprig_object(rig, 128);
	struct secret *key = NULL, *mine = secret_new(32, SECRET_TRANSIENT), *got;

	ck_assert_int_eq(kprig_make(rig, o, &key), ERR_OK); /* the HSM makes 256 bits only */
	ck_assert_uint_eq(secret_len(key), 16);
	secret_unref(key);
	memset(secret_bytes(mine), 7, 32);
	o = kprig_object(rig, 256);
	key = mine;
	ck_assert_int_eq(kprig_make(rig, o, &key), ERR_OK); /* import */
	ck_assert_ptr_eq(key, mine);
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_int_eq(kprig_unwrap(rig, o, &got), ERR_OK);
	ck_assert(secret_equal(mine, got));
	secret_unref(got);
	secret_unref(mine);
	rig->params.own_generator = true;
	kprig_vault(rig);
	key = NULL;
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), &key), ERR_OK);
	ck_assert(secret_bytes(key)[0] != secret_bytes(key)[1] ||
		  secret_bytes(key)[1] != secret_bytes(key)[2]);
	secret_unref(key);
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 0), NULL), ERR_ALGORITHM);
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 255), NULL), ERR_ALGORITHM);
}
END_TEST

/* What the object was when its record was made. */
START_TEST(test_recorded)
{
	struct object *o = kprig_object(rig, 256), *was, cut;
	const struct object_attr *at;

	ck_assert_int_eq(rig->vault->ops->recorded(o, rig->arena, &was), ERR_NO_KEY_VALUE);
	ck_assert_int_eq(
	    object_attr_set(o, rig->arena, "x-a", 3, 2, (const uint8_t *)"v", 1), ERR_OK);
	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert(object_attr_remove(o, "x-a", 2));
	ck_assert_int_eq(rig->vault->ops->recorded(o, rig->arena, &was), ERR_OK);
	at = object_attr_get(was, "x-a", 2);
	ck_assert(at != NULL && at->value_len == 1 && at->value[0] == 'v');
	ck_assert_str_eq(was->uid, o->uid);
	ck_assert_int_eq(was->state, o->state);
	cut = *o;
	for (cut.record_len = 1; cut.record_len < o->record_len; cut.record_len++)
		ck_assert_int_ne(rig->vault->ops->recorded(&cut, rig->arena, &was), ERR_OK);
}
END_TEST

START_TEST(test_store_again)
{
	struct object *o = kpcase_key();

	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_uint_eq(rig->posts, 0);
}
END_TEST

START_TEST(test_too_large)
{
	static uint8_t big[8000];
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(object_attr_set(o, rig->arena, "x-big", 5, 0, big, 7000), ERR_OK);
	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	o = kprig_object(rig, 256);
	ck_assert_int_eq(object_attr_set(o, rig->arena, "x-big", 5, 0, big, 7400), ERR_OK);
	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_TOO_MANY_ATTRIBUTES);
}
END_TEST

/* Bound to tenant, uid and content: nothing else opens it. */
START_TEST(test_binding)
{
	struct object *o = kpcase_key(), other = *o, *third = kpcase_key();
	uint8_t *copy = arena_copy(rig->arena, o->record, o->record_len);
	int64_t alarms = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);
	int64_t failed = metric_get_by(METRIC_KEYPROTECT_OPERATIONS_TOTAL, LABEL_VAULT_CALL_UNWRAP,
	    ERR_INTEGRITY);

	strcpy(other.tenant, "west");
	ck_assert_int_eq(kprig_unwrap(rig, &other, NULL), ERR_INTEGRITY);
	ck_assert_int_eq(metric_get_by(METRIC_KEYPROTECT_OPERATIONS_TOTAL, LABEL_VAULT_CALL_UNWRAP,
	    ERR_INTEGRITY), failed + 1);
	other = *third;
	other.record = o->record;
	other.record_len = o->record_len;
	ck_assert_int_eq(kprig_unwrap(rig, &other, NULL), ERR_INTEGRITY); /* another's */
	other = *o;
	other.record = copy;
	copy[36 + 1 + 4 + 36 + 8 + 4 + 4 + 4 + 3] ^= 1; /* usage mask */
	ck_assert_int_eq(kprig_unwrap(rig, &other, NULL), ERR_INTEGRITY);
	copy[36 + 1 + 4 + 36 + 8 + 4 + 4 + 4 + 3] ^= 1;
	memcpy(copy, third->record, 36); /* points at a record of another name */
	ck_assert_int_eq(kprig_unwrap(rig, &other, NULL), ERR_INTEGRITY);
	snprintf(rig->keys[0].name, sizeof(rig->keys[0].name), "older_%s", o->uid);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK); /* the prefix was another then */
	snprintf(rig->keys[0].name, sizeof(rig->keys[0].name), "older%s", o->uid);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_INTEGRITY);
	snprintf(rig->keys[0].name, sizeof(rig->keys[0].name), "vmware_kmip_%s", o->uid);
	memcpy(copy, "../../../../../../../../../../../../", 36);
	rig->metas = 0;
	ck_assert_int_eq(kprig_unwrap(rig, &other, NULL), ERR_INTEGRITY);
	ck_assert_uint_eq(rig->metas, 0);
	rig->wrong_key = true;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_INTEGRITY);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL), alarms + 7);
	other = *o;
	for (other.record_len = 0; other.record_len < o->record_len; other.record_len++)
		ck_assert_int_eq(kprig_unwrap(rig, &other, NULL), ERR_INTEGRITY);
}
END_TEST

/* --- the root key --- */

START_TEST(test_root_key_states)
{
	struct object *o = kpcase_key();

	rig->root_state = 3;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_NO_ROOT_KEY);
	rig->root_state = 2;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_NO_ROOT_KEY);
	ck_assert(rig->suspended);
	rig->root_state = 5;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_NO_ROOT_KEY);
	ck_assert(!rig->suspended);
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_NO_ROOT_KEY);
	rig->root_state = 1;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	ck_assert_uint_le(rig->unwraps, 6); /* nothing was repeated */
}
END_TEST

/* --- the fault table: what a call meets, and what the one who waits is told --- */

#define SEALED                                                                                     \
	"{\"resources\":[{\"errorMsg\":\"Bad Request: rpc error: [Got error "                      \
	"CKR_IBM_WK_NOT_INITIALIZED, from libep11.so in m_UnwrapKey]\"}]}"

enum { ANY = 1000 };
static const struct row {
	const char *name;
	enum spoil spoil;
	int status;
	unsigned times;
	const char *extra, *body;
	enum err unwrap;
	unsigned calls; /* of unwrap */
} rows[] = {
    {"reset once", SPOIL_RESET_BEFORE, 0, 1, NULL, NULL, ERR_OK, 2},
    {"reset twice", SPOIL_RESET_AFTER, 0, 2, NULL, NULL, ERR_OK, 3},
    /* libcurl tries a kept connection that breaks once more by itself */
    {"reset always", SPOIL_RESET_BEFORE, 0, 99, NULL, NULL, ERR_VAULT_DOWN, ANY},
    {"cut", SPOIL_CUT, 0, 1, NULL, NULL, ERR_OK, 2},
    {"hang once", SPOIL_HANG_BEFORE, 0, 1, NULL, NULL, ERR_OK, 2},
    {"hang always", SPOIL_HANG_BEFORE, 0, 99, NULL, NULL, ERR_DEADLINE, 2},
    {"500 once", SPOIL_STATUS, 500, 1, NULL, "oops", ERR_OK, 2},
    {"503 twice", SPOIL_STATUS, 503, 2, NULL, "<html>", ERR_OK, 3},
    {"502 always", SPOIL_STATUS, 502, 99, NULL, "", ERR_VAULT_DOWN, 3},
    {"HTML with 200", SPOIL_STATUS, 200, 1, NULL, "<html>login</html>", ERR_OK, 2},
    {"empty 200", SPOIL_STATUS, 200, 1, NULL, "", ERR_OK, 2},
    {"other JSON", SPOIL_STATUS, 200, 1, NULL, "{\"hello\":1}", ERR_VAULT_DOWN, 1},
    {"bad JSON", SPOIL_STATUS, 200, 1, NULL, "{\"plaintext\":", ERR_VAULT_DOWN, 1},
    {"bad base64", SPOIL_STATUS, 200, 1, NULL, "{\"plaintext\":\"====\"}", ERR_VAULT_DOWN, 1},
    {"429 once", SPOIL_STATUS, 429, 1, NULL, "", ERR_OK, 2},
    {"429 after 2 s", SPOIL_STATUS, 429, 1, "Retry-After: 2\r\n", "", ERR_OK, 2},
    {"429 too late", SPOIL_STATUS, 429, 1, "Retry-After: 60\r\n", "", ERR_VAULT_DOWN, 1},
    {"401 once", SPOIL_STATUS, 401, 1, NULL, "", ERR_OK, 2},
    {"401 always", SPOIL_STATUS, 401, 99, NULL, "", ERR_VAULT_DENIED, 2},
    {"403", SPOIL_STATUS, 403, 1, NULL, KP_BODY("RESOURCE_OWNER_ERR"), ERR_VAULT_DENIED, 1},
    {"404", SPOIL_STATUS, 404, 1, NULL, KP_BODY("KEY_NOT_FOUND_ERR"), ERR_NO_ROOT_KEY, 1},
    {"somebody's 404", SPOIL_STATUS, 404, 1, NULL, "<html>no such page</html>", ERR_OK, 2},
    {"410", SPOIL_STATUS, 410, 1, NULL, KP_BODY("KEY_DELETED_ERR"), ERR_NO_ROOT_KEY, 1},
    {"somebody's 410", SPOIL_STATUS, 410, 99, NULL, "gone", ERR_VAULT_DOWN, 3},
    {"409", SPOIL_STATUS, 409, 1, NULL, KP_BODY("KEY_ACTION_INVALID_STATE_ERR"), ERR_NO_ROOT_KEY,
	1},
    {"422", SPOIL_STATUS, 422, 1, NULL, KP_BODY("UNPROCESSABLE_CIPHERTEXT_ERR"), ERR_INTEGRITY, 1},
    {"older 422", SPOIL_STATUS, 400, 1, NULL, KP_BODY("UNDEFINED_REASON"), ERR_INTEGRITY, 1},
    {"400", SPOIL_STATUS, 400, 1, NULL, KP_BODY("INVALID_FIELD_ERR"), ERR_INTERNAL, 1},
    {"sealed", SPOIL_STATUS, 400, 1, NULL, SEALED, ERR_NO_ROOT_KEY, 1},
    {"sealed 500", SPOIL_STATUS, 500, 1, NULL, SEALED, ERR_NO_ROOT_KEY, 1},
    {"redirect", SPOIL_STATUS, 302, 99, "Location: http://127.0.0.1:1/\r\n", "", ERR_VAULT_DOWN, 3},
};

/* It is there and will be back, or it is gone: the one who asked is told which. */
START_TEST(test_suspended)
{
	static const struct {
		int status;
		const char *body;
		bool suspended, sealed;
	} all[] = {
	    {409, KP_BODY("KEY_ACTION_INVALID_STATE_ERR"), true, false},
	    {400, SEALED, true, true},
	    {500, SEALED, true, true},
	    {410, KP_BODY("KEY_DELETED_ERR"), false, false},
	    {404, KP_BODY("KEY_NOT_FOUND_ERR"), false, false},
	};
	struct object *o = kpcase_key();
	struct kpjob j = {false};
	struct vault_unwrap u = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};
	const char *complaint;

	rig->fault = (struct spoiled){
	    "POST", "/unwrap", 1, SPOIL_STATUS, all[_i].status, NULL, all[_i].body};
	rig->vault->ops->unwrap(rig->vault, &u);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_NO_ROOT_KEY);
	ck_assert_int_eq(u.suspended, all[_i].suspended);
	complaint = rig->vault->ops->complaint(rig->vault);
	ck_assert_int_eq(
	    complaint != NULL && strstr(complaint, "not initialised") != NULL, all[_i].sealed);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
}
END_TEST

START_TEST(test_faults_unwrap)
{
	const struct row *t = &rows[_i];
	struct object *o = kpcase_key();
	unsigned before = rig->kp.requests;
	int64_t alarms = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);
	enum err e;

	rig->fault =
	    (struct spoiled){"POST", "/unwrap", t->times, t->spoil, t->status, t->extra, t->body};
	e = kprig_unwrap(rig, o, NULL);
	ck_assert_msg(e == t->unwrap, "%s: %s", t->name, err_name(e));
	ck_assert_msg(t->calls == ANY || rig->kp.requests - before - rig->metas == t->calls,
	    "%s: %u", t->name, rig->kp.requests - before - rig->metas);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL) - alarms, e == ERR_INTEGRITY);
	rig->fault.times = 0;
	clock_test_advance(60 * NS_PER_S); /* whatever was held back may go again */
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
}
END_TEST

/* Of what is wrong with the record itself. */
START_TEST(test_faults_metadata)
{
	static const struct {
		int status;
		const char *body;
		enum err e;
	} all[] = {
	    {404, KP_BODY("KEY_NOT_FOUND_ERR"), ERR_NO_OBJECT},
	    {410, KP_BODY("KEY_DELETED_ERR"), ERR_NO_OBJECT},
	    {404, "nginx", ERR_VAULT_DOWN},
	    {500, "", ERR_VAULT_DOWN},
	    {403, "", ERR_VAULT_DENIED},
	    {200, "{\"metadata\":{}}", ERR_VAULT_DOWN},
	    {200, "{\"resources\":[{\"id\":\"00000000-0000-4000-8000-000000000001\"}]}",
		ERR_INTEGRITY},
	};
	struct object *o = kpcase_key();

	clock_test_advance(10 * NS_PER_S); /* no lag any more */
	rig->fault = (struct spoiled){
	    "GET", "/metadata", 99, SPOIL_STATUS, all[_i].status, "", all[_i].body};
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), all[_i].e);
	ck_assert_int_eq(rig->record_only, all[_i].status == 403);
}
END_TEST

/* A refusal of the record alone is one only beside a root key that opens. */
START_TEST(test_refused_record)
{
	struct object *o = kpcase_key();

	rig->fault = (struct spoiled){"GET", "/metadata", 99, SPOIL_STATUS, 403, "", ""};
	rig->root_state = 5;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_NO_ROOT_KEY);
	rig->root_state = 1;
	rig->wrong_key = true;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_INTEGRITY);
	rig->wrong_key = false;
	rig->oldest_token = 99;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_VAULT_DENIED);
	ck_assert(!rig->record_only);
	rig->oldest_token = 0;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_VAULT_DENIED);
	ck_assert(rig->record_only);
	rig->fault.times = 0;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	ck_assert(!rig->record_only);
}
END_TEST

/* What was made a moment ago may not show yet. */
START_TEST(test_lag)
{
	struct object *o = kpcase_key(), *late = kpcase_key();
	bool found;

	rig->lag = 3;
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	ck_assert_uint_eq(rig->metas, 4);
	rig->lag = 3;
	ck_assert_int_eq(kprig_probe(rig, o, &found), ERR_OK);
	ck_assert(found);
	clock_test_advance(70 * NS_PER_S);
	rig->lag = 1;
	ck_assert_int_eq(kprig_unwrap(rig, late, NULL), ERR_NO_OBJECT);
	rig->lag = 1;
	ck_assert_int_eq(kprig_probe(rig, late, &found), ERR_OK);
	ck_assert(!found);
}
END_TEST

/* --- create --- */

enum { MANY = 40 };

/* Many at once: one token, no more than the ceiling in flight. */
START_TEST(test_many)
{
	struct object *o = kpcase_key();
	struct kpjob j[MANY] = {{false}};
	struct vault_unwrap u[MANY];

	rig->params.in_flight_max = 4;
	kprig_vault(rig);
	for (int i = 0; i < MANY; i++) {
		u[i] = (struct vault_unwrap){
		    .wait = {.done = kpjob_done, .owner = &j[i]}, .object = o};
		rig->vault->ops->unwrap(rig->vault, &u[i]);
	}
	for (int i = 0; i < MANY; i++) {
		kprig_run(rig, &j[i]);
		ck_assert_int_eq(j[i].e, ERR_OK);
		secret_unref(u[i].key);
	}
	ck_assert_uint_eq(rig->tokens, 1);
	ck_assert_uint_le(rig->kp.accepted, 4 + 1);
}
END_TEST

/* Nobody who waits is behind background work. */
START_TEST(test_interactive_first)
{
	struct object *o = kpcase_key();

	rig->params.rate_max = 4;
	kprig_vault(rig);
	ck_assert_uint_lt(kprig_ahead(rig, rig->vault, rig->vault, o), 5);
}
END_TEST

/* The deadline of who asks counts, and the answer comes at it. */
START_TEST(test_deadline)
{
	struct object *o = kpcase_key();
	struct kpjob j = {false};
	struct vault_unwrap u = {.wait = {.done = kpjob_done, .owner = &j},
	    .object = o,
	    .terms.deadline = clock_now() + 2 * NS_PER_S};
	int64_t begun = clock_now();

	rig->fault = (struct spoiled){"POST", "/unwrap", 99, SPOIL_HANG_BEFORE, 0, NULL, NULL};
	rig->vault->ops->unwrap(rig->vault, &u);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_DEADLINE);
	ck_assert_int_le(clock_now() - begun, 2 * NS_PER_S + 50 * NS_PER_MS);
}
END_TEST

/* After some outages calls fail at once, without a call; then one tries, and all is well again. */
static unsigned
told_failures(int fd)
{
	static char text[256 * 1024];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	unsigned count = 0;

	text[n > 0 ? n : 0] = '\0';
	for (const char *at = text; (at = strstr(at, "warn keyprotect: call failed")) != NULL; at++)
		count++;
	return count + (strstr(text, "left-out=59") != NULL ? 100 : 0);
}

/* While access is withdrawn all calls fail alike: one line a minute, and how many there were. */
START_TEST(test_one_line_a_minute)
{
	static const char body[] =
	    "{\"resources\":[{\"errorMsg\":\"Unauthorized\",\"reasons\":[{\"code\":\"NO\"}]}]}";
	struct object *o = kpcase_key();
	int out[2];

	ck_assert_int_eq(pipe2(out, O_NONBLOCK), 0);
	log_set_output(out[1], false);
	log_set_level(LOG_INFO);
	rig->fault = (struct spoiled){.method = "POST", .path = "/unwrap", .times = 1000,
	    .spoil = SPOIL_STATUS, .status = 403, .body = body};
	clock_test_advance(60 * NS_PER_S - clock_now() % (60 * NS_PER_S)); /* a minute begins */
	for (int i = 0; i < 60; i++)
		ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_VAULT_DENIED);
	ck_assert_uint_eq(told_failures(out[0]), 1);
	rig->fault = (struct spoiled){.method = "POST", .path = "/wrap", .times = 1000,
	    .spoil = SPOIL_STATUS, .status = 400, .body = body};
	ck_assert_int_ne(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_OK);
	ck_assert_uint_eq(told_failures(out[0]), 1); /* another failure */
	rig->fault.path = "/unwrap";
	rig->fault.status = 403;
	clock_test_advance(60 * NS_PER_S);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_VAULT_DENIED);
	ck_assert_uint_eq(told_failures(out[0]), 100 + 1);
	log_set_output(-1, false);
	close(out[0]);
	close(out[1]);
}
END_TEST

START_TEST(test_breaker)
{
	struct object *o = kpcase_key();
	int64_t begun;
	unsigned calls;

	rig->fault = (struct spoiled){"POST", "/unwrap", 9999, SPOIL_STATUS, 503, NULL, ""};
	rig->params.rate_max = 1000;
	kprig_vault(rig);
	rig->fault.path = "/";
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_VAULT_DOWN);
	calls = rig->kp.requests;
	begun = clock_now();
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_VAULT_DOWN);
	ck_assert_uint_eq(rig->kp.requests, calls);
	ck_assert_int_eq(clock_now(), begun);
	clock_test_advance(2 * NS_PER_S);
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_VAULT_DOWN);
	ck_assert_uint_eq(rig->kp.requests, calls + 1);
	rig->fault.times = 0;
	clock_test_advance(20 * NS_PER_S);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
}
END_TEST

/* A call that was left with a moment only says nothing of the instance when the moment is over. */
START_TEST(test_no_time_is_no_outage)
{
	struct kpjob j;
	struct vault_make m;

	rig->fault = (struct spoiled){"POST", "/wrap", 99, SPOIL_HANG_BEFORE, 0, NULL, NULL};
	for (int i = 0; i < 12; i++) {
		j = (struct kpjob){false};
		m = (struct vault_make){.wait = {.done = kpjob_done, .owner = &j},
		    .object = kprig_object(rig, 256),
		    .arena = rig->arena,
		    .terms.deadline = clock_now() + 300 * NS_PER_MS};
		rig->vault->ops->make(rig->vault, &m);
		kprig_run(rig, &j);
		ck_assert_int_eq(j.e, ERR_DEADLINE);
	}
	rig->fault.times = 0;
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_OK);
}
END_TEST

START_TEST(test_cancel_and_free)
{
	struct object *o = kpcase_key(), *fresh = kprig_object(rig, 256);
	struct kpjob j = {false};
	struct vault_unwrap u = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};
	struct vault_make m = {
	    .wait = {.done = kpjob_done, .owner = &j}, .object = fresh, .arena = rig->arena};
	struct vault_probe p = {
	    .wait = {.done = kpjob_done, .owner = &j}, .object = o};

	for (int turns = 0; turns < 12; turns++) {
		rig->vault->ops->unwrap(rig->vault, &u);
		rig->vault->ops->make(rig->vault, &m);
		rig->vault->ops->probe(rig->vault, &p);
		for (int i = 0; i < turns && !j.done; i++)
			loop_turn(rig->loop, false);
		if (j.done)
			break;
		wait_cancel(&u.wait);
		wait_cancel(&m.wait);
		wait_cancel(&p.wait);
		kprig_settle(rig);
		ck_assert(!j.done);
	}
	secret_unref(u.key);
	secret_unref(m.key);
	wait_cancel(&u.wait);
	wait_cancel(&m.wait);
	wait_cancel(&p.wait);
	j.done = false;
	u.key = NULL;
	rig->vault->ops->unwrap(rig->vault, &u);
	rig->vault->ops->free(rig->vault);
	rig->vault = NULL;
	kprig_settle(rig);
	ck_assert(j.done);
	ck_assert_int_eq(j.e, ERR_CANCELLED);
}
END_TEST

START_TEST(test_no_secure_memory)
{
	struct object *o = kpcase_key();

	fault_test_arm(FAULT_SECRET_ALLOC, 0, 1);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_NO_SECURE_MEMORY);
	fault_test_clear();
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
}
END_TEST

START_TEST(test_params)
{
	struct vault_kp_params p;
	struct vault *v;
	const char *why = NULL;

#define BAD(member, value)                                                                         \
	p = rig->params;                                                                           \
	p.member = value;                                                                          \
	ck_assert_int_eq(vault_kp_new(&v, &p, &why), ERR_CONFIG);                                  \
	ck_assert_ptr_nonnull(why)
	BAD(url, "ftp://x");
	BAD(route.allow_plain, false);
	BAD(instance, "x");
	BAD(instance, "11111111-2222-4333-8444-5555555555\r\n");
	BAD(root_key, "a/../b");
	BAD(root_key, "");
	BAD(key_ring, "a\r\nb");
	BAD(name_prefix, "");
	BAD(name_prefix, "a123456789012345678901234567890123456789012345678901234");
	BAD(rate_max, 0);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, test_life);
	tcase_add_test(t, test_key_sources);
	tcase_add_test(t, test_recorded);
	tcase_add_test(t, test_store_again);
	tcase_add_test(t, test_too_large);
	tcase_add_test(t, test_binding);
	tcase_add_test(t, test_root_key_states);
	tcase_add_loop_test(t, test_suspended, 0, 5);
	tcase_add_loop_test(t, test_faults_unwrap, 0, (int)(sizeof(rows) / sizeof(*rows)));
	tcase_add_loop_test(t, test_faults_metadata, 0, 7);
	tcase_add_test(t, test_refused_record);
	tcase_add_test(t, test_lag);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_interactive_first);
	tcase_add_test(t, test_deadline);
	tcase_add_test(t, test_one_line_a_minute);
	tcase_add_test(t, test_breaker);
	tcase_add_test(t, test_no_time_is_no_outage);
	tcase_add_test(t, test_cancel_and_free);
	tcase_add_test(t, test_no_secure_memory);
	tcase_add_test(t, test_params);
}

int
main(void)
{
	return kpcase_main("vault_kp", add);
}
