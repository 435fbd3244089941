/* SPDX-License-Identifier: Apache-2.0 */
/* Key Protect's bodies: what we say, what we understand, and what an answer means. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kpwire.h"

#define KP_BODY(code) "{\"resources\":[{\"errorMsg\":\"m\",\"reasons\":[{\"code\":\"" code "\"}]}]}"

static size_t heap_used;

static void
setup(void)
{
	bool locked;

	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	heap_used = secret_heap_used();
}

static void
teardown(void)
{
	ck_assert_uint_eq(secret_heap_used(), heap_used);
}

static const struct {
	unsigned status;
	const char *body;
	bool wanted;
	enum kp_class class;
} answers[] = {
    {200, "{}", true, KP_OK},
    {201, " \n{\"a\":1}", true, KP_OK},
    {204, "", false, KP_OK},
    {200, "", true, KP_DOWN},
    {200, "<html>", true, KP_DOWN},
    {200, "<html>", false, KP_DOWN},
    {301, "", true, KP_DOWN},
    {400, KP_BODY("INVALID_FIELD_ERR"), true, KP_REFUSED},
    {400, "<html>", true, KP_DOWN},
    {400, "", true, KP_DOWN},
    {405, "<html>", true, KP_DOWN},
    {405, KP_BODY("METHOD_ERR"), true, KP_REFUSED},
    {413, "<html>", true, KP_DOWN},
    {431, "{\"error\":\"headers\"}", true, KP_DOWN},
    {400, KP_BODY("KEY_SEARCH_TOO_BROAD"), true, KP_BROAD},
    {400, KP_BODY("UNDEFINED_REASON"), true, KP_INTEGRITY},
    {400, "{\"resources\":[{\"errorMsg\":\"Got error CKR_IBM_WK_NOT_INITIALIZED, from libep11\"}]}",
	true, KP_SEALED},
    {500, "{\"resources\":[{\"errorMsg\":\"Got error CKR_IBM_WK_NOT_INITIALIZED\"}]}", true,
	KP_SEALED},
    {401, "", true, KP_DENIED},
    {401, "{\"resources\":[{\"errorMsg\":\"Unauthorized: no access\"}]}", true, KP_DENIED},
    {403, "<html>", true, KP_DENIED},
    {404, KP_BODY("KEY_NOT_FOUND_ERR"), true, KP_ABSENT},
    {404, "{\"resources\":[{\"errorMsg\":\"Not Found: Key does not exist\"}]}", true, KP_ABSENT},
    {404, "<html>", true, KP_DOWN},
    {404, "", true, KP_DOWN},
    {404, "{\"error\":\"no route\"}", true, KP_DOWN},
    {409, KP_BODY("KEY_ACTION_INVALID_STATE_ERR"), true, KP_STATE},
    {409, KP_BODY("PROTECTED_RESOURCE_ERR"), false, KP_PROTECTED},
    {409, KP_BODY("PREV_KEY_DEL_ERR"), false, KP_PROTECTED},
    {409, KP_BODY("AUTHORIZATIONS_NOT_MET"), false, KP_PROTECTED},
    {409, KP_BODY("KEY_CREATE_IMPORT_ACCESS_ERR"), true, KP_PROTECTED},
    {409, "<html>", true, KP_DOWN}, /* nothing is wiped for what a proxy says */
    {409, "", true, KP_DOWN},
    {410, KP_BODY("KEY_DELETED_ERR"), true, KP_DELETED},
    {410, "gone", true, KP_DOWN},
    {422, KP_BODY("UNPROCESSABLE_CIPHERTEXT_ERR"), true, KP_INTEGRITY},
    {422, "", true, KP_DOWN},
    {422, "<html>", true, KP_DOWN},
    {422, "{\"errors\":[]}", true, KP_DOWN},
    {422, KP_BODY("KEY_INVALID_STATE_ERR"), true, KP_STATE},
    {429, "", true, KP_THROTTLED},
    {407, "", true, KP_DOWN},
    {408, "", true, KP_DOWN},
    {500, KP_BODY("INCOMPLETE_METADATA_ERR"), true, KP_DOWN},
    {501, "", true, KP_REFUSED},
    {502, "", true, KP_DOWN},
    {503, "<html>", true, KP_DOWN},
    {504, "", true, KP_DOWN},
    {507, "", true, KP_DOWN},
};

START_TEST(test_classify)
{
	struct kp_error error;
	enum kp_class c = kp_classify(answers[_i].status, answers[_i].wanted, answers[_i].body,
	    strlen(answers[_i].body), &error);

	ck_assert_msg(c == answers[_i].class, "%u %s: %s", answers[_i].status, answers[_i].body,
	    kp_class_name(c));
	ck_assert_int_gt(strlen(kp_class_name(c)), 0);
}
END_TEST

START_TEST(test_error_text)
{
	static const char body[] =
	    "{\"resources\":[{\"errorMsg\":\"Conflict: no\",\"reasons\":[{\"code\":\"FIRST\"},"
	    "{\"code\":\"SECOND\"}]},{\"errorMsg\":\"other\",\"reasons\":[{\"code\":\"THIRD\"}]}]}";
	char longer[2000];
	struct kp_error error;

	kp_classify(409, true, body, sizeof(body) - 1, &error);
	ck_assert_str_eq(error.code, "FIRST");
	ck_assert_str_eq(error.text, "Conflict: no");
	snprintf(longer, sizeof(longer), "{\"resources\":[{\"errorMsg\":\"%01500d\"}]}", 0);
	kp_classify(409, true, longer, strlen(longer), &error);
	ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
}
END_TEST

static const char *const aad[KP_AAD_COUNT] = {"keyferry-v1", "t\"1", "uid", "hash"};
#define AAD "\"aad\":[\"keyferry-v1\",\"t\\\"1\",\"uid\",\"hash\"]}"

START_TEST(test_requests)
{
	struct secret *key = secret_new(4, SECRET_TRANSIENT);
	struct buf b;

	buf_init(&b, 4096);
	memcpy(secret_bytes(key), "\x00\x01\xfe\xff", 4);
#define EXPECT(text)                                                                               \
	buf_put(&b, "", 1);                                                                        \
	ck_assert_str_eq((char *)b.data, text);                                                    \
	buf_reset(&b)
	kp_put_wrap(&b, NULL, aad);
	EXPECT("{" AAD);
	kp_put_wrap(&b, key, aad);
	EXPECT("{\"plaintext\":\"AAH+/w==\"," AAD);
	kp_put_unwrap(&b, "eyJj==", 6, aad);
	EXPECT("{\"ciphertext\":\"eyJj==\"," AAD);
	kp_put_create(&b, "vmware_kmip_x", "\1\2\3", 3);
	EXPECT(
	    "{\"metadata\":{\"collectionType\":\"application/vnd.ibm.kms.key+json\","
	    "\"collectionTotal\":1},\"resources\":[{\"type\":\"application/vnd.ibm.kms.key+json\","
	    "\"name\":\"vmware_kmip_x\",\"extractable\":true,\"payload\":\"AQID\"}]}");
	kp_put_no_keys(&b);
	EXPECT(
	    "{\"metadata\":{\"collectionType\":\"application/vnd.ibm.kms.key+json\","
	    "\"collectionTotal\":0},\"resources\":[]}");
	buf_fini(&b);
	secret_unref(key);
}
END_TEST

static const struct {
	const char *body;
	enum err e;
	const char *plain, *cipher;
} actions[] = {
    {"{\"plaintext\":\"AAH+/w==\",\"keyVersion\":{\"id\":\"v\"}}", ERR_OK, "\x00\x01\xfe\xff", ""},
    {"{\"ciphertext\":\"abc\"}", ERR_OK, NULL, "abc"},
    {"{}", ERR_OK, NULL, ""},
    {"{\"plaintext\":\"AAH\\u002b/w==\"}", ERR_OK, "\x00\x01\xfe\xff", ""},
    {"{\"plaintext\":\"AAH+/w=\"}", ERR_INVALID_MESSAGE, NULL, NULL},
    {"{\"plaintext\":\"AA=+/w==\"}", ERR_INVALID_MESSAGE, NULL, NULL},
    {"{\"plaintext\":\" AAH+/w==\"}", ERR_INVALID_MESSAGE, NULL, NULL},
    {"{\"plaintext\":\"\"}", ERR_INVALID_MESSAGE, NULL, NULL},
    {"{\"plaintext\":7}", ERR_INVALID_MESSAGE, NULL, NULL},
    {"{\"plaintext\":\"AAH+/w==\",\"plaintext\":\"AAH+/w==\"}", ERR_INVALID_MESSAGE, NULL, NULL},
    {"{\"plaintext\":\"AAH+/w==\"", ERR_INVALID_MESSAGE, NULL, NULL},
};

START_TEST(test_action)
{
	struct kp_action a = {.version = "untouched"};
	enum err e = kp_read_action(actions[_i].body, strlen(actions[_i].body), &a);

	ck_assert_int_eq(e, actions[_i].e);
	if (e != ERR_OK) {
		ck_assert_str_eq(a.version, "untouched");
		return;
	}
	ck_assert_str_eq(a.ciphertext, actions[_i].cipher);
	ck_assert_int_eq(a.plaintext != NULL, actions[_i].plain != NULL);
	if (a.plaintext != NULL) {
		ck_assert_uint_eq(secret_len(a.plaintext), 4);
		ck_assert_mem_eq(secret_bytes(a.plaintext), actions[_i].plain, 4);
	}
	kp_action_fini(&a);
}
END_TEST

struct seen {
	struct kp_key keys[4];
	size_t count;
};

static void
see(void *arg, const struct kp_key *k)
{
	struct seen *s = arg;

	ck_assert_uint_lt(s->count, 4);
	s->keys[s->count++] = *k;
}

#define ID "0190aaaa-bbbb-4ccc-8ddd-00000000000"

START_TEST(test_keys)
{
	static const char body[] =
	    "{\"metadata\":{\"collectionTotal\":3},\"resources\":["
	    "{\"id\":\"" ID
	    "1\",\"name\":\"n1\",\"state\":1,\"creationDate\":\"2026-01-02T03:04:05Z\","
	    "\"deleted\":false,\"keyVersion\":{\"id\":\"no\"},\"tags\":[\"id\"]},"
	    "{\"name\":\"n2\",\"id\":\"" ID
	    "2\",\"state\":5,\"deleted\":true,\"deletionDate\":\"2026\"},"
	    "{\"id\":\"" ID "3\"}]}";
	struct seen s = {.count = 0};
	size_t rows = 99;

	ck_assert_int_eq(kp_read_keys(body, sizeof(body) - 1, see, &s, &rows), ERR_OK);
	ck_assert_uint_eq(rows, 3);
	ck_assert_str_eq(s.keys[0].id, ID "1");
	ck_assert_str_eq(s.keys[0].name, "n1");
	ck_assert_str_eq(s.keys[0].created, "2026-01-02T03:04:05Z");
	ck_assert(!kp_key_is_gone(&s.keys[0]));
	ck_assert_str_eq(s.keys[1].name, "n2");
	ck_assert(kp_key_is_gone(&s.keys[1]));
	ck_assert_str_eq(s.keys[2].id, ID "3");
	ck_assert_str_eq(s.keys[2].name, "");
	ck_assert_int_eq(s.keys[2].state, -1);
	ck_assert_int_eq(kp_read_keys("{\"metadata\":{}}", 15, see, &s, &rows), ERR_OK);
	ck_assert_uint_eq(rows, 0); /* an empty list has no resources */
	s.count = 0;
	ck_assert_int_eq(
	    kp_read_keys("{\"resources\":[{\"id\":\"../../../../../../../../../../../../\"}]}", 62,
		see, &s, &rows),
	    ERR_INVALID_MESSAGE);
	ck_assert_int_eq(kp_read_keys("{\"resources\":[{\"name\":\"x\"}]}", 29, see, &s, &rows),
	    ERR_INVALID_MESSAGE);
	ck_assert_uint_eq(s.count, 0);
}
END_TEST

START_TEST(test_gone)
{
	static const struct {
		int state;
		bool deleted, date, gone;
	} all[] = {{1, false, false, false}, {5, false, false, true}, {1, true, false, true},
	    {3, false, true, true}, {3, false, false, false},
	    {1, false, true, false}, /* restored */
	    {-1, false, false, false}};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct kp_key k = {
		    .state = all[i].state, .deleted = all[i].deleted, .deletion_date = {all[i].date ? '2' : '\0'}};

		ck_assert_int_eq(kp_key_is_gone(&k), all[i].gone);
	}
}
END_TEST

START_TEST(test_destroyed)
{
	struct kp_ours ours;
	struct kp_key k = {.state = 5, .created_by = "A", .deleted_by = "A"};
	char many[KP_OURS_MAX * 2 + 3] = "", longest[KP_SUBJECT_MAX + 2];

	ck_assert(kp_ours_read(&ours, ""));
	ck_assert(kp_key_is_destroyed(&k, &ours));
	strcpy(k.deleted_by, "B");
	ck_assert(!kp_key_is_destroyed(&k, &ours));
	ck_assert(kp_ours_read(&ours, "  C B  C "));
	ck_assert_uint_eq(ours.count, 2);
	ck_assert(kp_key_is_destroyed(&k, &ours));
	k.state = 1;
	ck_assert(!kp_key_is_destroyed(&k, &ours));
	k = (struct kp_key){.state = 5};
	kp_ours_add(&ours, "");
	ck_assert(!kp_key_is_destroyed(&k, &ours)); /* it is not said by whom */
	for (char c = 'a'; c < 'a' + KP_OURS_MAX; c++)
		strncat(strncat(many, &c, 1), " ", 2);
	ck_assert(kp_ours_read(&ours, many));
	kp_ours_add(&ours, "full");
	ck_assert_uint_eq(ours.count, KP_OURS_MAX);
	ck_assert(!kp_ours_read(&ours, strcat(many, "z")));
	memset(longest, 'x', sizeof(longest));
	longest[KP_SUBJECT_MAX + 1] = '\0';
	ck_assert(!kp_ours_read(&ours, longest));
	longest[KP_SUBJECT_MAX] = '\0';
	ck_assert(kp_ours_read(&ours, longest));
}
END_TEST

START_TEST(test_names)
{
	ck_assert(kp_is_key_name("0190aaaa-bbbb-4ccc-8ddd-000000000001"));
	ck_assert(kp_is_key_name("my_root-Key"));
	ck_assert(!kp_is_key_name("x"));
	ck_assert(!kp_is_key_name(""));
	ck_assert(!kp_is_key_name("a/b"));
	ck_assert(!kp_is_key_name("a?b"));
	ck_assert(!kp_is_key_name("a%2f"));
}
END_TEST

START_TEST(test_dates)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} dates[] = {{"2026-11-25T10:00:00Z", 1795600800}, {"2026-11-25T10:00:00.123Z", 1795600800},
	    {"2016-12-31T23:59:60Z", 1483228800}, /* a leap second is the next one, as in POSIX */
	    {"2038-01-19T03:14:08Z", INT64_C(2147483648)},
	    {"2106-02-07T06:28:16Z", INT64_C(4294967296)}, {"1950-01-01T00:00:00Z", -631152000},
	    {"2026-11-25 10:00:00", -1}, {"2026-11-25T10:00:00+01:00", -1}, {"", -1}};

	for (size_t i = 0; i < sizeof(dates) / sizeof(*dates); i++)
		ck_assert_msg(kp_read_date(dates[i].text) == dates[i].seconds, "%s: %lld",
		    dates[i].text, (long long)kp_read_date(dates[i].text));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kpwire");
	TCase *t = tcase_create("kpwire");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_classify, 0, (int)(sizeof(answers) / sizeof(*answers)));
	tcase_add_test(t, test_error_text);
	tcase_add_test(t, test_requests);
	tcase_add_loop_test(t, test_action, 0, (int)(sizeof(actions) / sizeof(*actions)));
	tcase_add_test(t, test_keys);
	tcase_add_test(t, test_gone);
	tcase_add_test(t, test_destroyed);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_dates);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
