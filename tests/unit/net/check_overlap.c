/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that overlap: what is found in one pass is what comparing each pair finds. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "overlap.h"

enum { SETS = 4000, RULES_MAX = 12, TERMS = 3, PATTERN_MAX = 8 };

/* --- rules at random, and what they say, apart from the code that reads them --- */

static const char *const types[TERMS] = {"CN", "O", "OU"};

struct random_rule {
	bool whole, odd;		     /* a whole name; one that is not looked into */
	char values[TERMS][PATTERN_MAX + 1]; /* patterns, or values of a whole name; empty: none */
	char text[128];
};

static unsigned
below(unsigned n)
{
	return (unsigned)(rand() % (int)n);
}

/* Of few letters, so that many of them meet. */
static void
random_text(char *out, const char *letters)
{
	size_t len = 1 + below(4);

	for (size_t i = 0; i < len; i++)
		out[i] = letters[below((unsigned)strlen(letters))];
	out[len] = '\0';
}

static void
write_rule(struct random_rule *r)
{
	size_t n = (size_t)snprintf(r->text, sizeof(r->text), "%s", r->whole ? "subject=" : "");
	const char *comma = "";

	for (int i = 0; i < TERMS; i++) {
		if (r->values[i][0] == '\0')
			continue;
		n += (size_t)snprintf(r->text + n, sizeof(r->text) - n, "%s%s=%s%s", comma, types[i],
		    r->values[i], r->odd ? "+L=x" : "");
		comma = ",";
	}
}

/* A rule of patterns is none when they all are stars. */
static bool
says_something(const struct random_rule *r)
{
	for (int i = 0; i < TERMS; i++)
		if (strspn(r->values[i], r->whole ? "" : "*") < strlen(r->values[i]))
			return true;
	return false;
}

static struct random_rule
random_rule(void)
{
	struct random_rule r;

	do {
		memset(&r, 0, sizeof(r));
		r.whole = below(4) == 0;
		r.odd = r.whole && below(8) == 0;
		for (int i = 0; i < TERMS; i++)
			if (below(3) > 0)
				random_text(r.values[i], r.whole ? "ab" : below(2) > 0 ? "ab" : "ab**");
	} while (!says_something(&r));
	write_rule(&r);
	return r;
}

/* --- the reference: each pair, letter by letter --- */

static bool
meet(const char *a, const char *b)
{
	if (*a == '*' && meet(a + 1, b))
		return true;
	if (*b == '*' && meet(a, b + 1))
		return true;
	if (*a == '\0' || *b == '\0')
		return *a == *b;
	if (*a == '*' && *b == '*')
		return false; /* one of them ends where it is, and that was tried */
	if (*a == '*')
		return meet(a, b + 1);
	if (*b == '*')
		return meet(a + 1, b);
	return *a == *b && meet(a + 1, b + 1);
}

static bool
pair_overlaps(const struct random_rule *a, const struct random_rule *b)
{
	if (a->whole && b->whole)
		return strcmp(a->text, b->text) == 0;
	if (a->odd || b->odd)
		return true;
	for (int i = 0; i < TERMS; i++) {
		bool both = a->values[i][0] != '\0' && b->values[i][0] != '\0';
		bool wanted = (!a->whole && a->values[i][0] != '\0') ||
		    (!b->whole && b->values[i][0] != '\0');

		if (both && !meet(a->values[i], b->values[i]))
			return false;
		if (!both && wanted && (a->whole || b->whole))
			return false;
	}
	return true;
}

static bool
first_pair(const struct random_rule *rules, size_t count, struct authority_overlap *out)
{
	for (out->later = 1; out->later < count; out->later++)
		for (out->earlier = 0; out->earlier < out->later; out->earlier++)
			if (pair_overlaps(&rules[out->later], &rules[out->earlier]))
				return true;
	return false;
}

/* --- both --- */

static struct subject_rule *
rule_of(const char *text)
{
	struct subject_rule *r = NULL;
	const char *why = "";

	ck_assert_msg(subject_rule_new(&r, text, &why) == ERR_OK, "%s: %s", text, why);
	return r;
}

static void
check_set(const struct random_rule *set, size_t count, unsigned found[2])
{
	struct authority_overlap expected, have = {0};
	const struct subject_rule *rules[RULES_MAX] = {0};
	bool overlaps = first_pair(set, count, &expected);

	for (size_t i = 0; i < count; i++)
		rules[i] = rule_of(set[i].text);
	ck_assert_int_eq(overlap_find(rules, count, &have), overlaps ? ERR_CONFIG : ERR_OK);
	if (overlaps)
		ck_assert_msg(have.later == expected.later && have.earlier == expected.earlier,
		    "\"%s\" and \"%s\", not \"%s\" and \"%s\"", set[expected.later].text,
		    set[expected.earlier].text, set[have.later].text, set[have.earlier].text);
	found[overlaps]++;
	for (size_t i = 0; i < count; i++)
		subject_rule_free((struct subject_rule *)rules[i]);
}

/*
 * Most sets of rules at random overlap soon.  So that long ones stand the test as well, rules are
 * added to some as long as they don't, and then one that may.
 */
START_TEST(finds_what_pairs_find)
{
	struct random_rule set[RULES_MAX];
	struct authority_overlap o;
	unsigned found[2] = {0, 0}, long_ones[2] = {0, 0};

	srand(1);
	for (int n = 0; n < SETS; n++) {
		size_t count = 1 + below(RULES_MAX);

		for (size_t i = 0; i < count; i++)
			set[i] = random_rule();
		check_set(set, count, found);
		count = 0;
		for (int tries = 0; count < RULES_MAX - 1 && tries < 200; tries++) {
			set[count] = random_rule();
			count += !first_pair(set, count + 1, &o);
		}
		set[count] = random_rule();
		check_set(set, count + 1, count > 4 ? long_ones : found);
	}
	ck_assert_uint_gt(found[0], SETS / 20);
	ck_assert_uint_gt(found[1], SETS / 20);
	ck_assert_uint_gt(long_ones[0], SETS / 20);
	ck_assert_uint_gt(long_ones[1], SETS / 20);
}
END_TEST

/* Pairs of this many would take minutes. */
enum { MANY = 60000 };

static const char *const many[] = {
    "CN=vc-%u-*,O=Acme",		/* told apart by what they begin with */
    "O=Acme,CN=*.site%u.example.com",	/* what they end with */
    "CN=*,O=Acme,OU=tenant%u",		/* one value */
    "subject=CN=vc%u,O=Acme",
};

START_TEST(many_rules)
{
	const struct subject_rule **rules = calloc(MANY + 1, sizeof(*rules));
	struct authority_overlap o;
	char text[80];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), many[_i], i);
		rules[i] = rule_of(text);
	}
	ck_assert_int_eq(overlap_find(rules, MANY, &o), ERR_OK);
	snprintf(text, sizeof(text), many[_i], 4711);
	rules[MANY] = rule_of(text);
	ck_assert_int_eq(overlap_find(rules, MANY + 1, &o), ERR_CONFIG);
	ck_assert_uint_eq(o.later, MANY);
	ck_assert_uint_eq(o.earlier, 4711);
	for (size_t i = 0; i <= MANY; i++)
		subject_rule_free((struct subject_rule *)rules[i]);
	free(rules);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("overlap");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, finds_what_pairs_find);
	tcase_add_loop_test(t, many_rules, 0, sizeof(many) / sizeof(many[0]));
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
