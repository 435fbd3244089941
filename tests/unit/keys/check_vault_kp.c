/* SPDX-License-Identifier: Apache-2.0 */
/* The vault `keyprotect` over a Key Protect that misbehaves in every way that is known. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "kprig.h"

static struct kprig *rig;
static size_t heap_used;

static void
setup(void)
{
	rig = kprig_new();
	heap_used = secret_heap_used();
}

static void
teardown(void)
{
	kprig_free(rig);
	ck_assert_uint_eq(secret_heap_used(), heap_used); /* no key and no token is left */
}

/* A key that is stored, and the counts of calls as if nothing had been. */
static struct object *
stored_key(void)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	rig->order[0] = '\0';
	rig->posts = rig->wraps = rig->lists = rig->metas = rig->deletes = rig->unwraps = 0;
	return o;
}

static unsigned
live_keys(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->keys_count; i++)
		n += rig->keys[i].state != 5;
	return n;
}

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
	ck_assert_uint_eq(live_keys(), 0);
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
	struct object *o = stored_key();

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
	ck_assert_int_eq(object_attr_set(o, rig->arena, "x-big", 5, 0, big, 7400), ERR_OK);
	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_TOO_MANY_ATTRIBUTES);
}
END_TEST

/* Bound to tenant, uid and content: nothing else opens it. */
START_TEST(test_binding)
{
	struct object *o = stored_key(), other = *o, *third = stored_key();
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
	struct object *o = stored_key();

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

#define KP_BODY(code)                                                                              \
	"{\"resources\":[{\"errorMsg\":\"Failed\",\"reasons\":[{\"code\":\"" code "\"}]}]}"
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
	struct object *o = stored_key();
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
	struct object *o = stored_key();
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
	struct object *o = stored_key();

	clock_test_advance(10 * NS_PER_S); /* no lag any more */
	rig->fault = (struct spoiled){
	    "GET", "/metadata", 99, SPOIL_STATUS, all[_i].status, "", all[_i].body};
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), all[_i].e);
}
END_TEST

/* What was made a moment ago may not show yet. */
START_TEST(test_lag)
{
	struct object *o = stored_key(), *late = stored_key();
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

static const struct {
	const char *name;
	enum spoil spoil;
	int status;
	unsigned times;
	const char *extra;
	unsigned lag;
	enum err e;
	unsigned posts, live; /* arrived and done; left behind */
	bool looks;
} creates[] = {
    {"reset before", SPOIL_RESET_BEFORE, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"reset after", SPOIL_RESET_AFTER, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"reset after, list lags", SPOIL_RESET_AFTER, 0, 1, NULL, 3, ERR_OK, 1, 1, true},
    {"cut", SPOIL_CUT, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"hang after", SPOIL_HANG_AFTER, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"503 after", SPOIL_STATUS_AFTER, 503, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"500 before", SPOIL_STATUS, 500, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"HTML", SPOIL_STATUS_AFTER, 200, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"429", SPOIL_STATUS, 429, 1, "Retry-After: 1\r\n", 0, ERR_OK, 1, 1, false},
    {"429 always", SPOIL_STATUS, 429, 99, NULL, 0, ERR_VAULT_DOWN, 0, 0, false},
    {"401 once", SPOIL_STATUS, 401, 1, NULL, 0, ERR_OK, 1, 1, false},
    {"401", SPOIL_STATUS, 401, 99, NULL, 0, ERR_VAULT_DENIED, 0, 0, false},
    {"403", SPOIL_STATUS, 403, 99, NULL, 0, ERR_VAULT_DENIED, 0, 0, false},
};

START_TEST(test_faults_create)
{
	struct object *o = kprig_object(rig, 256);
	enum err e;

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", creates[_i].times, creates[_i].spoil,
	    creates[_i].status, creates[_i].extra, NULL};
	rig->lag = creates[_i].lag;
	e = kprig_store(rig, o);
	ck_assert_msg(e == creates[_i].e, "%s: %s", creates[_i].name, err_name(e));
	ck_assert_uint_eq(rig->posts, creates[_i].posts);
	ck_assert_uint_eq(live_keys(), creates[_i].live);
	ck_assert_int_eq(rig->lists > 0, creates[_i].looks);
	rig->fault.times = 0;
	if (e == ERR_OK) {
		ck_assert_mem_eq(o->record, rig->keys[0].id, 36);
		ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	}
}
END_TEST

/* Nothing answers, and nothing was sent: told as such, and nothing is there. */
START_TEST(test_create_unreachable)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	httpd_stop(&rig->kp);
	ck_assert_int_eq(kprig_store(rig, o), ERR_VAULT_DOWN);
	httpd_start(&rig->kp, rig->loop); /* for the teardown */
}
END_TEST

/* Both posts were done and both answers lost, the first unseen for long: one is left. */
START_TEST(test_create_twice)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 2, SPOIL_RESET_AFTER, 0, NULL, NULL};
	rig->lag = 10;
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_uint_eq(rig->posts, 2);
	ck_assert_uint_eq(live_keys(), 1);
	ck_assert_int_eq(rig->keys[0].state, 1); /* the older one */
	ck_assert_mem_eq(o->record, rig->keys[0].id, 36);
}
END_TEST

/*
 * The answer to a successor's create is lost.  Its predecessor bears the same name: taking that for
 * the successor, and retiring it then, would lose the key.
 */
START_TEST(test_successor_is_not_its_predecessor)
{
	static const enum spoil how[] = {SPOIL_RESET_AFTER, SPOIL_STATUS_AFTER};
	struct object *o = stored_key(), next = *o;

	ck_assert_uint_eq(rig->vault->ops->sequence(o), 1);
	ck_assert_int_eq(kprig_make(rig, &next, NULL), ERR_OK);
	ck_assert_uint_eq(rig->vault->ops->sequence(&next), 2);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 1, how[_i], 503, NULL, NULL};
	rig->order[0] = '\0';
	ck_assert_int_eq(kprig_store(rig, &next), ERR_OK);
	ck_assert_uint_eq(live_keys(), 2);
	ck_assert_mem_eq(next.record, rig->keys[1].id, 36);
	ck_assert_int_eq(rig->keys[0].state, 1);
	ck_assert_ptr_nonnull(strchr(rig->order, 'r'));
	ck_assert_int_eq(kprig_unwrap(rig, &next, NULL), ERR_OK);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
}
END_TEST

START_TEST(test_create_forbidden)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 1, SPOIL_STATUS, 409, NULL,
	    KP_BODY("KEY_CREATE_IMPORT_ACCESS_ERR")};
	ck_assert_int_eq(kprig_store(rig, o), ERR_DENIED);
}
END_TEST

/* HPCS holds 50,000 keys.  There is no code that could be relied on. */
START_TEST(test_create_full)
{
	static const char *const bodies[] = {
	    KP_BODY("KEY_QUOTA_ERR"), KP_BODY("LIMIT_ERR")};
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){
	    "POST", "/api/v2/keys", 1, SPOIL_STATUS, 409, NULL, bodies[_i]};
	ck_assert_int_eq(kprig_store(rig, o), ERR_VAULT_FULL);
	ck_assert_uint_eq(live_keys(), 0);
	ck_assert_ptr_nonnull(strstr(rig->vault->ops->complaint(rig->vault), "as many keys"));
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
}
END_TEST

/* Who asked has gone: the record is made all the same. */
START_TEST(test_create_cancelled)
{
	struct object *o = kprig_object(rig, 256);
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->vault->ops->store(rig->vault, &c);
	wait_cancel(&c.wait);
	kprig_settle(rig);
	ck_assert(!j.done);
	ck_assert_uint_eq(live_keys(), 1);
}
END_TEST

/* --- destroy --- */

START_TEST(test_destroy_writer)
{
	struct object *o = stored_key();

	rig->writer_only = true;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_uint_eq(live_keys(), 1);
	ck_assert_uint_eq(rig->deletes, 2); /* with a newer token, once */
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_uint_eq(rig->deletes, 3); /* that was new enough */
	ck_assert_uint_eq(rig->tokens, 2);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	rig->writer_only = false;
	rig->fault = (struct spoiled){"DELETE", "/", 1, SPOIL_STATUS, 403, NULL, ""};
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	rig->fault = (struct spoiled){
	    "DELETE", "/", 1, SPOIL_STATUS, 409, NULL, KP_BODY("AUTHORIZATIONS_NOT_MET")};
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_uint_eq(live_keys(), 1);
}
END_TEST

START_TEST(test_faults_destroy)
{
	static const struct {
		enum spoil spoil;
		int status;
		unsigned times;
		const char *body;
		enum err e;
		unsigned live;
	} all[] = {
	    {SPOIL_RESET_BEFORE, 0, 1, NULL, ERR_OK, 0},
	    {SPOIL_RESET_AFTER, 0, 1, NULL, ERR_OK, 0}, /* then 410 */
	    {SPOIL_HANG_AFTER, 0, 1, NULL, ERR_OK, 0},
	    {SPOIL_STATUS_AFTER, 503, 1, "", ERR_OK, 0},
	    {SPOIL_STATUS, 500, 99, "", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 429, 99, "", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 404, 99, "nginx", ERR_VAULT_DOWN, 1}, /* no wrong success */
	    {SPOIL_STATUS, 410, 99, "nginx", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 200, 99, "<html>", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 404, 1, KP_BODY("KEY_NOT_FOUND_ERR"), ERR_OK, 0}, /* a lag */
	    {SPOIL_STATUS, 404, 99, KP_BODY("KEY_NOT_FOUND_ERR"), ERR_NO_OBJECT, 1},
	};
	struct object *o = stored_key();

	rig->fault = (struct spoiled){
	    "DELETE", "/", all[_i].times, all[_i].spoil, all[_i].status, NULL, all[_i].body};
	ck_assert_int_eq(kprig_destroy(rig, o), all[_i].e);
	ck_assert_uint_eq(live_keys(), all[_i].live);
}
END_TEST

/* Recovery knows the uid alone: by name, every record of it, and no other. */
START_TEST(test_destroy_by_name)
{
	struct object *o = stored_key(), *other = stored_key(), bare = {0};
	bool found;

	rig->keys[rig->keys_count] = rig->keys[0]; /* made twice */
	strcpy(rig->keys[rig->keys_count++].id, "00000000-0000-4000-8000-00000000000f");
	rig->keys[rig->keys_count] = rig->keys[0]; /* not ours: names are searched without case */
	rig->keys[rig->keys_count].name[0] = 'V';
	strcpy(rig->keys[rig->keys_count++].id, "00000000-0000-4000-8000-00000000000e");
	strcpy(bare.tenant, o->tenant);
	strcpy(bare.uid, o->uid);
	rig->too_broad = _i != 0;
	ck_assert_int_eq(kprig_destroy(rig, &bare), ERR_OK);
	ck_assert_int_eq(rig->keys[0].state, 5);
	ck_assert_int_eq(rig->keys[2].state, 5);
	ck_assert_uint_eq(live_keys(), 2);
	ck_assert_int_eq(kprig_probe(rig, other, &found), ERR_OK);
	ck_assert(found);
	clock_test_advance(10 * NS_PER_S);
	ck_assert_int_eq(kprig_destroy(rig, &bare), ERR_OK); /* none left */
	rig->fault = (struct spoiled){"GET", "/keys?", 99, SPOIL_STATUS, 500, NULL, ""};
	ck_assert_int_eq(kprig_probe(rig, &bare, &found), ERR_VAULT_DOWN);
}
END_TEST

/*
 * The configuration names another key ring or instance since: that nothing is found there says nothing
 * of the record.  It is destroyed when it, or what took its place, is there or was deleted.
 */
START_TEST(test_destroy_elsewhere)
{
	struct object *o = stored_key();
	struct fake_key record = rig->keys[0], next = record;

	clock_test_advance(100 * NS_PER_S);
	rig->keys_count = 0;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_NO_OBJECT);
	ck_assert_str_eq(rig->order, "ld");
	strcpy(next.id, "00000000-0000-4000-8000-00000000000f");
	rig->keys[0] = next;
	rig->keys_count = 1;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK); /* it was replaced, and is purged */
	ck_assert_int_eq(rig->keys[0].state, 5);
	rig->keys[0] = record;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_uint_eq(live_keys(), 0);
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
}
END_TEST

/* Unless an administrator says that nothing is left. */
START_TEST(test_destroy_missing)
{
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}, .missing_is_gone = true};

	c.object = stored_key();
	clock_test_advance(100 * NS_PER_S);
	if (_i == 0)
		rig->keys_count = 0;
	rig->vault->ops->destroy(rig->vault, &c);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_uint_eq(live_keys(), 0); /* what is there is destroyed all the same */
}
END_TEST

/* A list that is slow leaves the deletion its own time, within the request's. */
START_TEST(test_destroy_slow_list)
{
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}};
	int64_t began;

	rig->params.attempt_ns = 4 * NS_PER_S;
	kprig_vault(rig);
	c.object = stored_key();
	c.terms.deadline = clock_now() + (_i == 0 ? 15 : 11) * NS_PER_S;
	rig->fault = (struct spoiled){"GET", "/keys?", 2, SPOIL_HANG_BEFORE, 0, NULL, NULL};
	began = clock_now();
	rig->vault->ops->destroy(rig->vault, &c);
	while (!j.done) {
		kprig_settle(rig);
		if (rig->fault.times == 0 && *rig->fault.method == 'G')
			rig->fault = (struct spoiled){
			    "DELETE", "/keys/", 1, SPOIL_HANG_BEFORE, 0, NULL, NULL};
		clock_test_advance(50 * NS_PER_MS);
		ck_assert_int_lt(clock_now() - began, 20 * NS_PER_S);
	}
	ck_assert_int_gt(clock_now() - began, 10 * NS_PER_S);
	ck_assert_int_eq(j.e, _i == 0 ? ERR_OK : ERR_DEADLINE);
	ck_assert_uint_eq(live_keys(), (unsigned)_i);
}
END_TEST

/* --- many of one name --- */

/* A successor as a gateway makes it that knows o. */
static struct object *
successor_of(const struct object *o, enum object_state state)
{
	struct object *next = arena_zalloc(rig->arena, sizeof(*next));
	struct secret *key;

	*next = *o;
	next->state = state;
	ck_assert_int_eq(kprig_unwrap(rig, o, &key), ERR_OK);
	ck_assert_int_eq(kprig_make(rig, next, &key), ERR_OK);
	secret_unref(key);
	ck_assert_int_eq(kprig_store(rig, next), ERR_OK);
	return next;
}

/* Where nobody may delete, each rewrap and each Revoke leaves a record of that name behind. */
static struct object *
many_records(unsigned count)
{
	struct object *o = stored_key();

	for (unsigned i = 1; i < count; i++)
		o = successor_of(o, OBJECT_ACTIVE);
	ck_assert_uint_eq(rig->vault->ops->sequence(o), count);
	return o;
}

START_TEST(test_find_newest_of_many)
{
	struct object *o = many_records(50);
	struct vault_find f = {.record_id = NULL};

	rig->too_broad = _i != 0;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	ck_assert_uint_eq(rig->vault->ops->sequence(f.object), 50);
	ck_assert_int_eq(rig->vault->ops->order(f.object, o), 0);
}
END_TEST

START_TEST(test_destroy_many)
{
	struct object *o = many_records(50);

	rig->too_broad = _i != 0;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_uint_eq(live_keys(), 0);
}
END_TEST

/* The record that is known goes last: what fails, or is refused, leaves the key as it was. */
START_TEST(test_destroy_known_last)
{
	struct object *o = stored_key();

	successor_of(o, OBJECT_DEACTIVATED); /* by another gateway */
	rig->fault = (struct spoiled){"DELETE", rig->keys[0].id, 99, SPOIL_STATUS, 403, NULL, ""};
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_int_eq(rig->keys[0].state, 1);
	ck_assert_int_eq(rig->keys[1].state, 5);
	rig->fault.times = 0;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_uint_eq(live_keys(), 0);
}
END_TEST

/* The answer to the last one's create was lost. */
START_TEST(test_create_lost_among_many)
{
	struct object *o = many_records(20), next = *o;

	ck_assert_int_eq(kprig_make(rig, &next, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 1, SPOIL_RESET_AFTER, 0, NULL, NULL};
	ck_assert_int_eq(kprig_store(rig, &next), ERR_OK);
	ck_assert_uint_eq(live_keys(), 21);
	ck_assert_mem_eq(next.record, rig->keys[20].id, 36);
}
END_TEST

/* Two gateways replace one record at once: each finds the same one, in whatever order they came. */
START_TEST(test_successors_at_once)
{
	static const struct {
		enum object_state a, b;
		unsigned wins;
	} all[] = {{OBJECT_ACTIVE, OBJECT_ACTIVE, 1}, {OBJECT_ACTIVE, OBJECT_COMPROMISED, 2},
	    {OBJECT_COMPROMISED, OBJECT_ACTIVE, 1}};
	struct object *o = stored_key(), *a = successor_of(o, all[_i].a),
		      *b = successor_of(o, all[_i].b), *wins = all[_i].wins == 1 ? a : b;
	struct vault_find f = {.record_id = NULL};

	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	ck_assert_int_eq(rig->vault->ops->order(f.object, wins), 0);
	ck_assert_int_eq(f.object->state, wins->state);
	ck_assert_int_gt(rig->vault->ops->order(wins, wins == a ? b : a), 0);
	ck_assert_int_lt(rig->vault->ops->order(wins == a ? b : a, wins), 0);
	ck_assert_int_eq(kprig_retire(rig, wins, wins == a ? b : a), ERR_OK); /* does nothing */
	ck_assert_uint_eq(live_keys(), 3);
	ck_assert_int_eq(kprig_retire(rig, wins == a ? b : a, wins), ERR_OK);
	ck_assert_int_eq(kprig_retire(rig, o, wins), ERR_OK);
	ck_assert_uint_eq(live_keys(), 1);
	ck_assert_int_eq(kprig_unwrap(rig, wins, NULL), ERR_OK);
}
END_TEST

/* A revocation counts that only an older record says, and that one stays for those who come later. */
START_TEST(test_revoked_by_an_older_one)
{
	struct object *o = stored_key(), *lost = successor_of(o, OBJECT_COMPROMISED),
		      *newest = successor_of(successor_of(o, OBJECT_ACTIVE), OBJECT_DEACTIVATED);
	struct vault_find f = {.record_id = NULL};

	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	ck_assert_uint_eq(rig->vault->ops->sequence(f.object), 3);
	ck_assert_int_eq(f.object->state, OBJECT_COMPROMISED);
	ck_assert_int_eq(kprig_retire(rig, lost, newest), ERR_OK);
	ck_assert_int_eq(rig->keys[1].state, 1);
	newest = successor_of(f.object, OBJECT_COMPROMISED);
	ck_assert_int_eq(kprig_retire(rig, lost, newest), ERR_OK);
	ck_assert_int_eq(rig->keys[1].state, 5);
}
END_TEST

/* Nothing is deleted whose successor is not there, or not where others look for it. */
START_TEST(test_retire_left_behind)
{
	struct object *o = stored_key(), *next = successor_of(o, OBJECT_DEACTIVATED);
	struct fake_key *k = &rig->keys[1];

	clock_test_advance(600 * NS_PER_S); /* long ago */
	k->state = 5;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_NO_OBJECT);
	k->state = 1;
	k->name[0] = 'x';
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_NO_OBJECT);
	k->name[0] = 'v';
	ck_assert_int_eq(rig->keys[0].state, 1);
	rig->lists = 0;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_OK);
	ck_assert_int_eq(rig->keys[0].state, 5);
	ck_assert_uint_eq(rig->lists, 0); /* what is so old is in all lists */
	ck_assert_int_eq(kprig_unwrap(rig, next, NULL), ERR_OK);
}
END_TEST

/* Who may not delete does not try with each record. */
START_TEST(test_retire_refused)
{
	struct object *o = stored_key(), *next = successor_of(o, OBJECT_DEACTIVATED);
	unsigned deletes;

	clock_test_advance(600 * NS_PER_S);
	rig->writer_only = true;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_DENIED);
	deletes = rig->deletes;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_DENIED);
	ck_assert_uint_eq(rig->deletes, deletes);
	rig->writer_only = false;
	clock_test_advance(600 * NS_PER_S);
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_OK);
	ck_assert_int_eq(rig->keys[0].state, 5);
}
END_TEST

/* --- probing and finding --- */

/* The record's own word counts; where it is not found, that proves nothing. */
START_TEST(test_probe)
{
	struct object *o = stored_key();
	enum vault_gone gone;
	bool found;

	rig->params.name_prefix = "another";
	kprig_vault(rig);
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(found);
	clock_test_advance(600 * NS_PER_S);
	rig->fault = (struct spoiled){
	    "GET", "/metadata", 1, SPOIL_STATUS, 404, "", KP_BODY("KEY_NOT_FOUND_ERR")};
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_UNKNOWN); /* perhaps in another ring */
	kprig_delete(&rig->keys[0], "us");
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_LATELY);
	clock_test_advance(11 * NS_PER_S);
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_DESTROYED);
	rig->keys[0].deleted_by = "customer";
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_WITHDRAWN);
}
END_TEST

/* Another gateway named the object, whose clock is half a minute before ours, or behind. */
START_TEST(test_clocks_differ)
{
	struct object *o = stored_key();
	struct vault_find f = {.record_id = NULL};

	clock_test_jump((_i == 0 ? 30 : -30) * NS_PER_S, 0);
	rig->lag = 3;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
}
END_TEST

/* A list shows the record that was just made, and another server does not know it yet. */
START_TEST(test_read_lags)
{
	struct object *o = stored_key();
	struct vault_find f = {.record_id = rig->keys[0].id, .expected = true};

	clock_test_advance(600 * NS_PER_S);
	rig->fault = (struct spoiled){
	    "GET", "/keys/", 2, SPOIL_STATUS, 404, "", KP_BODY("KEY_NOT_FOUND_ERR")};
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	f.expected = false;
	rig->fault.times = 2;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_NO_OBJECT);
}
END_TEST

static enum err
find_last_words(const struct object *o, bool *withdrawn)
{
	struct vault_find f = {.last_words = true};
	enum err e = kprig_find(rig, &f, o);

	*withdrawn = f.withdrawn;
	return e;
}

/*
 * With nothing left, the record that was made last says whether anything may come back; but one that
 * a gateway deleted may have made way for an older one of the same sequence.
 */
START_TEST(test_last_words)
{
	static const struct {
		const char *first;
		int first_at;
		const char *second;
		int second_at;
		bool at_once, withdrawn;
	} deletions[] = {
	    {"us", 0, "us", 0, false, false},	      /* destroyed */
	    {"us", 0, "customer", 600, false, true}, /* retired, then its successor was deleted */
	    {"us", 600, "customer", 0, false, true},
	    {"customer", 0, "us", 600, false, false}, /* it was not there to make way for */
	    {"customer", 600, "us", 0, false, true},
	    {"customer", 0, "us", 60, false, true}, /* while the other was being retired */
	    {"customer", 0, "customer", 0, false, true},
	    {"us", 0, "customer", 0, true, true}, /* in one second: no key is given up for that */
	    {"customer", 0, "us", 600, true, true},
	};
	struct object *o = stored_key();
	int64_t began = clock_wall();
	bool withdrawn;

	rig->too_broad = _i != 0;
	rig->keys[1] = rig->keys[0];
	rig->keys_count = 2;
	rig->keys[1].id[35] = 'f';
	clock_test_advance(10 * NS_PER_S);
	for (size_t i = 0; i < sizeof(deletions) / sizeof(*deletions); i++) {
		fake_key_deleted(&rig->keys[0], deletions[i].first, began + deletions[i].first_at);
		fake_key_deleted(&rig->keys[1], deletions[i].second, began + deletions[i].second_at);
		strcpy(rig->keys[1].created,
		    deletions[i].at_once ? rig->keys[0].created : "2025-10-09T09:00:00Z");
		ck_assert_int_eq(find_last_words(o, &withdrawn), ERR_NO_OBJECT);
		ck_assert_int_eq(withdrawn, deletions[i].withdrawn);
	}
	rig->keys[1].state = 1; /* as a list shows it, but then it is gone: nobody knows whose doing */
	rig->fault = (struct spoiled){
	    "GET", "/keys/", 1, SPOIL_STATUS, 410, NULL, KP_BODY("KEY_DELETED_ERR")};
	ck_assert_int_eq(find_last_words(o, &withdrawn), ERR_NO_OBJECT);
	ck_assert(withdrawn);
	ck_assert_int_eq(find_last_words(o, &withdrawn), ERR_OK);
}
END_TEST

/* --- how many, how fast --- */

enum { MANY = 40 };

/* Many at once: one token, no more than the ceiling in flight. */
START_TEST(test_many)
{
	struct object *o = stored_key();
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
	struct object *o = stored_key();

	rig->params.rate_max = 4;
	kprig_vault(rig);
	ck_assert_uint_lt(kprig_ahead(rig, rig->vault, rig->vault, o), 5);
}
END_TEST

/* The deadline of who asks counts, and the answer comes at it. */
START_TEST(test_deadline)
{
	struct object *o = stored_key();
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
	struct object *o = stored_key();
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
	struct object *o = stored_key();
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
	struct object *o = stored_key(), *fresh = kprig_object(rig, 256);
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
	struct object *o = stored_key();

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

int
main(void)
{
	Suite *s = suite_create("vault_kp");
	TCase *t = tcase_create("vault_kp");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
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
	tcase_add_test(t, test_lag);
	tcase_add_loop_test(t, test_faults_create, 0, (int)(sizeof(creates) / sizeof(*creates)));
	tcase_add_test(t, test_create_unreachable);
	tcase_add_test(t, test_create_twice);
	tcase_add_loop_test(t, test_successor_is_not_its_predecessor, 0, 2);
	tcase_add_test(t, test_create_forbidden);
	tcase_add_loop_test(t, test_create_full, 0, 2);
	tcase_add_test(t, test_create_cancelled);
	tcase_add_test(t, test_destroy_writer);
	tcase_add_loop_test(t, test_faults_destroy, 0, 10);
	tcase_add_test(t, test_destroy_elsewhere);
	tcase_add_loop_test(t, test_destroy_missing, 0, 2);
	tcase_add_loop_test(t, test_destroy_slow_list, 0, 2);
	tcase_add_loop_test(t, test_destroy_by_name, 0, 2);
	tcase_add_loop_test(t, test_find_newest_of_many, 0, 2);
	tcase_add_loop_test(t, test_destroy_many, 0, 2);
	tcase_add_test(t, test_destroy_known_last);
	tcase_add_test(t, test_create_lost_among_many);
	tcase_add_loop_test(t, test_successors_at_once, 0, 3);
	tcase_add_test(t, test_revoked_by_an_older_one);
	tcase_add_test(t, test_retire_left_behind);
	tcase_add_test(t, test_retire_refused);
	tcase_add_test(t, test_probe);
	tcase_add_loop_test(t, test_clocks_differ, 0, 2);
	tcase_add_test(t, test_read_lags);
	tcase_add_loop_test(t, test_last_words, 0, 2);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_interactive_first);
	tcase_add_test(t, test_deadline);
	tcase_add_test(t, test_one_line_a_minute);
	tcase_add_test(t, test_breaker);
	tcase_add_test(t, test_no_time_is_no_outage);
	tcase_add_test(t, test_cancel_and_free);
	tcase_add_test(t, test_no_secure_memory);
	tcase_add_test(t, test_params);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
