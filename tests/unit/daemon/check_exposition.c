/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics as text: what the scraper asks for, names, escapes, histograms. */
#include "daemon/exposition.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"

static struct buf out;
static struct exposition x;

static void
set_up(void)
{
	buf_init(&out, 1 << 20);
}

static void
tear_down(void)
{
	buf_fini(&out);
}

static const char *
operation(unsigned value)
{
	return value == 3 ? "Get" : NULL;
}

static const char *
all(bool open)
{
	label_set_texts(LABELS_OPERATION, operation);
	buf_reset(&out);
	exposition_begin(&x, &out, open);
	exposition_metrics(&x);
	exposition_end(&x);
	buf_put(&out, "", 1);
	ck_assert_int_eq(buf_error(&out), ERR_OK);
	return (const char *)out.data;
}

static void
expect(const char *text, const char *line)
{
	ck_assert_msg(strstr(text, line) != NULL, "no %s", line);
}

static const struct {
	const char *accept;
	bool open;
} accepts[] = {
    {NULL, false},
    {"", false},
    {"*/*", false},
    {"text/plain", false},
    {"application/openmetrics-text", true},
    {"Application/OpenMetrics-Text; charset=utf-8", true},
    {"application/openmetrics-text;version=0.0.1", false},
    {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true},
    {"text/plain;q=0.9, application/openmetrics-text;version=1.0.0;q=0.1", false},
    {"text/plain;q=0.1, application/openmetrics-text;q=0.2", true},
    {"application/openmetrics-text;q=0", false},
    {"application/openmetrics-text2", false},
    {",;,;;=", false},
    {"application/openmetrics-text;version=", false},
};

START_TEST(negotiates)
{
	ck_assert_msg(exposition_wants_open(accepts[_i].accept) == accepts[_i].open, "%s",
	    accepts[_i].accept);
}
END_TEST

START_TEST(both_formats)
{
	const char *text;

	metric_set(METRIC_SESSIONS, 7);
	metric_add(METRIC_SESSIONS_TOTAL, 9);
	metric_set(METRIC_LOOP_LAG_WORST_SECONDS, 12345 * NS_PER_MS);
	metric_inc_by(METRIC_OPERATIONS_TOTAL, 3, ERR_NO_OBJECT);
	text = all(false);
	expect(text, "# HELP keyferry_sessions_total connections accepted\n"
		     "# TYPE keyferry_sessions_total counter\nkeyferry_sessions_total 9\n");
	expect(text, "# TYPE keyferry_sessions_active gauge\nkeyferry_sessions_active 7\n");
	expect(text, "\nkeyferry_loop_lag_worst_seconds 12.345\n");
	expect(text, "\nkeyferry_operations_total{operation=\"Get\",result=\"OK\"} 0\n"
		     "keyferry_operations_total{operation=\"Get\",result=\"NO_OBJECT\"} 1\n");
	expect(text, "\nkeyferry_clients_refused_total{reason=\"no certificate\"} 0\n");
	ck_assert_ptr_null(strstr(text, "# EOF"));
	ck_assert_ptr_null(strstr(text, "NO_ATTRIBUTE")); /* never met */
	text = all(true);
	expect(text, "# HELP keyferry_sessions connections accepted\n"
		     "# TYPE keyferry_sessions counter\nkeyferry_sessions_total 9\n");
	ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
}
END_TEST

START_TEST(histograms)
{
	const char *text, *at;
	char line[128];

	metric_observe(METRIC_LOOP_LAG_SECONDS, 0, 0, 2 * NS_PER_MS);
	metric_observe(METRIC_LOOP_LAG_SECONDS, 0, 0, 3 * NS_PER_MS);
	metric_observe(METRIC_LOOP_LAG_SECONDS, 0, 0, 11 * NS_PER_S);
	text = all(false);
	at = strstr(text, "# TYPE keyferry_loop_lag_seconds histogram\n");
	ck_assert_ptr_nonnull(at);
	expect(at, "keyferry_loop_lag_seconds_bucket{le=\"0.0001\"} 0\n");
	expect(at, "keyferry_loop_lag_seconds_bucket{le=\"0.0025\"} 1\n"
		   "keyferry_loop_lag_seconds_bucket{le=\"0.005\"} 2\n");
	expect(at, "keyferry_loop_lag_seconds_bucket{le=\"1.0\"} 2\n");
	snprintf(line, sizeof(line), "keyferry_loop_lag_seconds_bucket{le=\"+Inf\"} 3\n"
				     "keyferry_loop_lag_seconds_sum 11.005\n"
				     "keyferry_loop_lag_seconds_count 3\n");
	expect(at, line);
	expect(text, "keyferry_operation_duration_seconds_bucket{operation=\"Get\",outcome=\"ok\","
		     "le=\"10.0\"} 0\n");
}
END_TEST

START_TEST(escapes_labels)
{
	exposition_begin(&x, &out, false);
	exposition_gauge(&x, "TEST", "help");
	exposition_value(&x, "a", "q\"b\\n\nz", "b", "", -5);
	exposition_value(&x, "a", "", NULL, NULL, INT64_MIN);
	buf_put(&out, "", 1);
	ck_assert_str_eq((const char *)out.data,
	    "# HELP keyferry_test help\n# TYPE keyferry_test gauge\n"
	    "keyferry_test{a=\"q\\\"b\\\\n\\nz\",b=\"\"} -5\n"
	    "keyferry_test{a=\"\"} -9223372036854775808\n");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("exposition");
	TCase *t = tcase_create("exposition");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, negotiates, 0, (int)(sizeof(accepts) / sizeof(accepts[0])));
	tcase_add_test(t, both_formats);
	tcase_add_test(t, histograms);
	tcase_add_test(t, escapes_labels);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
