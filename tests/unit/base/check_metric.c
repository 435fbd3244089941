/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms: each in a place of its own, all labels with a text. */
#include "base/metric.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static const char *
operation(unsigned value)
{
	return value == 0 ? "Create" : NULL;
}

/* What is counted in one place is seen in no other. */
START_TEST(numbers_do_not_overlap)
{
	for (int m = 0; m < METRIC_COUNT; m++) {
		const struct metric_info *i = metric_info((enum metric)m);

		for (unsigned a = 0; a < label_count(i->a); a++)
			for (unsigned b = 0; b < label_count(i->b); b++) {
				if (i->kind >= METRIC_LATENCY)
					metric_observe((enum metric)m, a, b, INT64_MAX / 4);
				else
					metric_inc_by((enum metric)m, a, b);
			}
	}
	for (int m = 0; m < METRIC_COUNT; m++) {
		const struct metric_info *i = metric_info((enum metric)m);

		for (unsigned a = 0; a < label_count(i->a); a++)
			for (unsigned b = 0; b < label_count(i->b); b++) {
				if (i->kind < METRIC_LATENCY) {
					ck_assert_int_eq(metric_get_by((enum metric)m, a, b), 1);
					continue;
				}
				const struct histogram *h = metric_histogram((enum metric)m, a, b);

				ck_assert_int_eq(h->sum_ns, INT64_MAX / 4);
				ck_assert_int_eq(h->buckets[HISTOGRAM_BOUNDS], 1);
				ck_assert_int_eq(h->buckets[0], 0);
			}
	}
}
END_TEST

START_TEST(buckets_include_their_bound)
{
	enum metric m = METRIC_LOOP_LAG_SECONDS;
	const int64_t *bounds = metric_bounds(m);
	const struct histogram *h = metric_histogram(m, 0, 0);
	struct histogram was = *h;

	for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
		ck_assert(i == 0 || bounds[i] > bounds[i - 1]);
		metric_observe(m, 0, 0, bounds[i]);
		ck_assert_int_eq(h->buckets[i], was.buckets[i] + 1);
		metric_observe(m, 0, 0, bounds[i] + 1);
		ck_assert_int_eq(h->buckets[i + 1], was.buckets[i + 1] + 1);
		was = *h;
	}
	ck_assert_int_eq(metric_bounds(METRIC_CACHE_AGE_SECONDS)[0], NS_PER_S);
}
END_TEST

/* A value that no set knows is counted all the same. */
START_TEST(strange_labels_are_the_last)
{
	int64_t was = metric_get_by(METRIC_CLIENTS_REFUSED_TOTAL, LABEL_REFUSAL_REMOVED, 0);

	metric_inc_by(METRIC_CLIENTS_REFUSED_TOTAL, 77, 77);
	ck_assert_int_eq(metric_get_by(METRIC_CLIENTS_REFUSED_TOTAL, LABEL_REFUSAL_REMOVED, 0), was + 1);
}
END_TEST

START_TEST(labels_have_texts)
{
	label_set_texts(LABELS_OPERATION, operation);
	ck_assert_str_eq(label_text(LABELS_OPERATION, 0), "Create");
	ck_assert_ptr_null(label_text(LABELS_OPERATION, 1));
	ck_assert_str_eq(label_text(LABELS_ERROR, ERR_CONFIG), "CONFIG");
	ck_assert_ptr_null(label_text(LABELS_ERROR, ERR_COUNT));
	for (int s = LABELS_ERROR; s < LABELS_COUNT; s++) {
		ck_assert_str_ne(label_name((enum label_set)s), "");
		for (unsigned v = 0; v < label_count((enum label_set)s); v++)
			ck_assert_msg(label_text((enum label_set)s, v) != NULL, "%s %u",
			    label_name((enum label_set)s), v);
	}
}
END_TEST

/* As Prometheus wants them, and so that OpenMetrics can tell families apart. */
START_TEST(names_are_good)
{
	for (int m = 0; m < METRIC_COUNT; m++) {
		const struct metric_info *i = metric_info((enum metric)m);
		size_t len = strlen(i->name);
		bool total = len > 6 && strcmp(i->name + len - 6, "_TOTAL") == 0;

		ck_assert_msg(total == (i->kind == METRIC_COUNTER), "%s", i->name);
		ck_assert_msg(strspn(i->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == len, "%s", i->name);
		ck_assert_str_ne(i->help, "");
		for (int n = 0; n < METRIC_COUNT; n++) {
			const struct metric_info *other = metric_info((enum metric)n);

			if (total && other->kind != METRIC_ACTIVE)
				ck_assert_msg(strlen(other->name) != len - 6 ||
					strncmp(other->name, i->name, len - 6) != 0, "%s", i->name);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("metric");
	TCase *t = tcase_create("metric");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, numbers_do_not_overlap);
	tcase_add_test(t, buckets_include_their_bound);
	tcase_add_test(t, strange_labels_are_the_last);
	tcase_add_test(t, labels_have_texts);
	tcase_add_test(t, names_are_good);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
