/* SPDX-License-Identifier: Apache-2.0 */
/* Integrity alarms: one for each key, in their order, as many as there is room for. */
#include "keys/alarm.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

static struct alarms *alarms;
static int null;

static void
setup(void)
{
	clock_test_freeze(1760000000);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_set_output(null, false);
	alarms = alarms_new();
	ck_assert_ptr_nonnull(alarms);
}

static void
teardown(void)
{
	alarms_free(alarms);
	log_set_output(STDERR_FILENO, true);
	close(null);
}

static void
expect(size_t n, const char *tenant, const char *uid, uint64_t times)
{
	const struct alarm *a = alarms_at(alarms, n);

	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(a->tenant, tenant);
	ck_assert_str_eq(a->uid, uid);
	ck_assert_uint_eq(a->times, times);
}

START_TEST(test_raise_and_clear)
{
	alarms_raise(alarms, "east", "one");
	clock_test_advance(NS_PER_S);
	alarms_raise(alarms, "west", "one"); /* another tenant's */
	alarms_raise(alarms, "east", "two");
	alarms_raise(alarms, "east", "one");
	expect(0, "east", "one", 2);
	expect(1, "west", "one", 1);
	expect(2, "east", "two", 1);
	ck_assert_int_eq(alarms_at(alarms, 0)->since_ms, INT64_C(1760000000000));
	ck_assert_int_eq(alarms_at(alarms, 1)->since_ms, INT64_C(1760000001000));
	ck_assert_ptr_null(alarms_at(alarms, 3));
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARM_KEYS), 3);
	alarms_clear(alarms, "west", "one");
	alarms_clear(alarms, "west", "one");
	alarms_clear(alarms, "west", "two");
	expect(0, "east", "one", 2);
	expect(1, "east", "two", 1);
	alarms_clear(alarms, "east", "two");
	alarms_clear(alarms, "east", "one");
	ck_assert_ptr_null(alarms_at(alarms, 0));
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARM_KEYS), 0);
}
END_TEST

START_TEST(test_full)
{
	char uid[UID_TEXT_LEN + 1];

	for (int i = 0; i < ALARMS_MAX + 2; i++) {
		snprintf(uid, sizeof(uid), "key %d", i);
		alarms_raise(alarms, "east", uid);
	}
	expect(ALARMS_MAX - 1, "east", "key 63", 1);
	ck_assert_ptr_null(alarms_at(alarms, ALARMS_MAX));
	alarms_clear(alarms, "east", "key 0");
	expect(0, "east", "key 1", 1);
	alarms_raise(alarms, "east", "key 65");
	expect(ALARMS_MAX - 1, "east", "key 65", 1);
	while (alarms_at(alarms, 0) != NULL)
		alarms_clear(alarms, "east", alarms_at(alarms, 0)->uid);
}
END_TEST

static bool
is_unkeyed_of(const void *arg, const struct alarm *a)
{
	return a->unkeyed && a->root_version == *(const uint32_t *)arg;
}

START_TEST(test_unkeyed)
{
	const uint32_t third = 3, seventh = 7;

	alarms_raise(alarms, "east", "one");
	alarms_raise_unkeyed(alarms, "east", "two", 3);
	alarms_raise_unkeyed(alarms, "east", "three", 0);
	alarms_raise_unkeyed(alarms, "east", "four", 3);
	expect(1, "east", "two", 1);
	ck_assert(!alarms_at(alarms, 0)->unkeyed && alarms_at(alarms, 2)->unkeyed);
	alarms_raise_unkeyed(alarms, "east", "one", 3); /* what was wrong last counts */
	expect(0, "east", "one", 2);
	alarms_raise(alarms, "east", "two");
	alarms_sweep(alarms, is_unkeyed_of, &third);
	expect(0, "east", "one", 2);
	expect(1, "east", "four", 1);
	ck_assert_ptr_null(alarms_at(alarms, 2));
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARM_KEYS), 2);
	alarms_sweep(alarms, is_unkeyed_of, &seventh);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARM_KEYS), 0);
}
END_TEST

START_TEST(test_none)
{
	const uint32_t version = 1;

	alarms_raise(NULL, "east", "one");
	alarms_raise_unkeyed(NULL, "east", "one", version);
	alarms_sweep(NULL, is_unkeyed_of, &version);
	alarms_clear(NULL, "east", "one");
	ck_assert_ptr_null(alarms_at(NULL, 0));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("alarm");
	TCase *t = tcase_create("alarm");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_raise_and_clear);
	tcase_add_test(t, test_full);
	tcase_add_test(t, test_unkeyed);
	tcase_add_test(t, test_none);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
