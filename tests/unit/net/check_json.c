/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values out of JSON, and documents that are none, too deep or too long. */
#include "net/json_read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const paths[] = {"id", "n", "ok", "resources[].id", "resources[].tags[]",
    "resources[].reasons[].code", "a.b.c", NULL};

static char got[4096];

static enum err
note(void *arg, const struct json_value *v)
{
	size_t at = strlen(got);

	(void)arg;
	if (v->kind == JSON_STRING)
		snprintf(got + at, sizeof(got) - at, "%s@%zu=%.*s;", paths[v->path], v->row,
		    (int)v->len, v->text);
	else
		snprintf(got + at, sizeof(got) - at, "%s@%zu=%s%lld;", paths[v->path], v->row,
		    v->kind == JSON_TRUTH ? "b" : "", (long long)v->number);
	return strcmp(got, "id@0=stop;") == 0 ? ERR_CANCELLED : ERR_OK;
}

static const struct json_read want = {.paths = paths, .value = note};

static enum err
read_it(const void *data, size_t len)
{
	char *exact = malloc(len + 1);
	enum err e;

	got[0] = '\0';
	memcpy(exact, data, len);
	exact = realloc(exact, len > 0 ? len : 1); /* one byte too far is noticed */
	e = json_read(&want, exact, len);
	free(exact);
	return e;
}

static const struct {
	const char *text, *got;
	enum err e;
} docs[] = {
    {"{}", "", ERR_OK}, {" {\"id\" : \"x\"} \n", "id@0=x;", ERR_OK},
    {"{\"id\":\"a\\u00e9\\n\\\"\"}", "id@0=a\xc3\xa9\n\";", ERR_OK},
    {"{\"n\":-12,\"ok\":true,\"id\":null}", "n@0=-12;ok@0=b1;", ERR_OK},
    {"{\"n\":1.5}", "", ERR_OK}, {"{\"n\":12345678901234567890123}", "", ERR_OK},
    {"{\"a\":{\"b\":{\"c\":\"deep\"},\"c\":\"no\"},\"c\":\"no\"}", "a.b.c@0=deep;", ERR_OK},
    {"{\"resources\":[{\"id\":\"1\"},{\"x\":[{\"id\":\"no\"}]},{\"id\":\"3\"}]}",
	"resources[].id@0=1;resources[].id@2=3;", ERR_OK},
    {"{\"resources\":[{\"tags\":[\"p\",\"q\"]},{\"reasons\":[{\"code\":\"A\"},{\"code\":\"B\"}]}]}",
	"resources[].tags[]@0=p;resources[].tags[]@0=q;resources[].reasons[].code@1=A;"
	"resources[].reasons[].code@1=B;",
	ERR_OK},
    {"{\"resources\":[null,1,[],{\"id\":\"4\"}]}", "resources[].id@3=4;", ERR_OK},
    {"{\"id\":\"stop\",\"n\":1}", "id@0=stop;", ERR_CANCELLED}, {"[\"id\"]", "", ERR_OK},
    {"{\"id\":{\"id\":\"no\"}}", "", ERR_OK}, {"", "", ERR_INVALID_MESSAGE},
    {" ", "", ERR_INVALID_MESSAGE}, {"<html></html>", "", ERR_INVALID_MESSAGE},
    {"{\"id\":\"x\"", "id@0=x;", ERR_INVALID_MESSAGE}, {"{\"id\":\"x", "", ERR_INVALID_MESSAGE},
    {"{\"id\":tru", "", ERR_INVALID_MESSAGE}, {"{\"id\":\"x\"}}", "id@0=x;", ERR_INVALID_MESSAGE},
    {"{\"id\":\"x\"}{\"id\":\"y\"}", "id@0=x;", ERR_INVALID_MESSAGE},
    {"{\"id\":\"\xff\"}", "", ERR_INVALID_MESSAGE},
    {"{\"id\":\"\\ud800\"}", "id@0=?;", ERR_OK}, /* yajl's way with half a pair */
};

START_TEST(test_docs)
{
	ck_assert_int_eq(read_it(docs[_i].text, strlen(docs[_i].text)), docs[_i].e);
	ck_assert_str_eq(got, docs[_i].got);
}
END_TEST

START_TEST(test_depth)
{
	char text[400];

	for (int depth = 1; depth < 100; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		ck_assert_int_eq(read_it(text, 2 * (size_t)depth),
		    depth <= JSON_DEPTH_MAX ? ERR_OK : ERR_INVALID_MESSAGE);
	}
}
END_TEST

/* Tokens up to their ceiling, in each way that makes yajl copy them: no allocation of its fails. */
START_TEST(test_tokens)
{
	static char text[2 * JSON_TOKEN_MAX + 64];
	static const struct {
		const char *before, *fill, *after;
	} ways[] = {{"{\"x\":\"", "a", "\"}"}, {"{\"x\":\"", "\\n", "\"}"}, {"{\"x\":\"", "a", ""},
	    {"{\"x\":\"", "\\n", ""}, {"{\"", "\\n", "\":1}"}, {"{\"n\":", "1", "}"},
	    {"{\"n\":", "1", ""}, {"{\"x\":\"\\n", "a", "\", \"y\":\"\\n"}};

	for (size_t w = 0; w < sizeof(ways) / sizeof(*ways); w++) {
		size_t unit = strlen(ways[w].fill);

		for (size_t n = 1; n < 2 * JSON_TOKEN_MAX / unit; n += n < 64 ? 1 : 509) {
			size_t at = strlen(strcpy(text, ways[w].before));
			enum err e;

			for (size_t i = 0; i < n; i++, at += unit)
				memcpy(text + at, ways[w].fill, unit);
			strcpy(text + at, ways[w].after);
			e = read_it(text, strlen(text));
			if (n * unit > JSON_TOKEN_MAX)
				ck_assert_int_eq(e, ERR_REQUEST_TOO_LARGE);
			else
				ck_assert_int_ne(e, ERR_NO_MEMORY);
		}
	}
}
END_TEST

/* Many strings with escapes, each within its ceiling: the pool does not fill up. */
START_TEST(test_long)
{
	size_t len = 2 * 1024 * 1024, at = 0;
	char *text = malloc(len + 1000);

	at += (size_t)sprintf(text, "{\"resources\":[");
	while (at < len)
		at += (size_t)sprintf(text + at, "{\"x\":\"\\n\\u00e9%0500d\"},", 1);
	at += (size_t)sprintf(text + at, "{\"id\":\"last\"}]}");
	ck_assert_int_eq(read_it(text, at), ERR_OK);
	ck_assert_ptr_nonnull(strstr(got, "=last;"));
	free(text);
}
END_TEST

/* Cut off at every place, and every byte made another: never a crash, never a value from nowhere.
 */
START_TEST(test_damage)
{
	static const char doc[] = "{\"resources\":[{\"id\":\"ab\\n\",\"tags\":[\"t\"]}],\"n\":17,"
				  "\"ok\":false,\"a\":{\"b\":{\"c\":\"d\"}}}";
	char text[sizeof(doc)];

	for (size_t n = 0; n < sizeof(doc) - 1; n++)
		ck_assert_int_eq(read_it(doc, n), ERR_INVALID_MESSAGE);
	for (size_t n = 0; n < sizeof(doc) - 1; n++) {
		for (int c = 0; c < 256; c++) {
			memcpy(text, doc, sizeof(doc));
			text[n] = (char)c;
			(void)!read_it(text, sizeof(doc) - 1);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("json");
	TCase *t = tcase_create("json");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_docs, 0, (int)(sizeof(docs) / sizeof(*docs)));
	tcase_add_test(t, test_depth);
	tcase_add_test(t, test_tokens);
	tcase_add_test(t, test_long);
	tcase_add_test(t, test_damage);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
