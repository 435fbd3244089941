/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a session when its tenants change and memory lacks to look whose its client is now. */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
#include "base/secret.h"

#include "guests.h"

enum { STRIDE = 5, LIFE = 40 /* of the client's certificate, in seconds */ };

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct identity ca, other_ca;
static struct authority *authority, *other;

/* The client is known by an authority from here on. */
static void
set_up_authorities(void)
{
	time_t now;

	set_up();
	now = (time_t)clock_wall();
	X509_time_adj_ex(X509_getm_notAfter(rig.ids[WHO_RIGHT].cert), 0, LIFE, &now);
	ca = identity_authority();
	other_ca = identity_authority();
	identity_sign(&rig.ids[WHO_RIGHT], &ca);
	identity_digest(&rig.ids[WHO_RIGHT], rig.digests[WHO_RIGHT]);
	authority = identity_trusted(&ca, "CN=vcenter");
	other = identity_trusted(&other_ca, "CN=vcenter");
	configure(tenants_of(authority));
}

static void
tear_down_authorities(void)
{
	tear_down();
	authority_unref(authority);
	authority_unref(other);
	identity_free(&ca);
	identity_free(&other_ca);
}

/* As a reload does; false: nothing lacked. */
static bool
configure_without_memory(struct authority *a, unsigned skip)
{
	struct tenants *ts = tenants_of(a);
	uint64_t before = alloc_failures();

	fault_test_arm(FAULT_ALLOC, skip, 1);
	configure(ts);
	fault_test_clear();
	return alloc_failures() != before;
}

START_TEST(who_is_still_known_is_served)
{
	struct client *c = keep(versions[_i]);
	unsigned skip = 0;

	for (; configure_without_memory(authority, skip); skip += STRIDE) {
		ask(c);
		pump();
		ck_assert_msg(!c->ended, "allocation %u", skip);
		ck_assert_uint_eq(answers(c), 1);
	}
	ck_assert_uint_gt(skip, 10 * STRIDE);
}
END_TEST

START_TEST(who_is_not_known_any_more_is_not_served)
{
	for (unsigned skip = 0; skip < 10 * STRIDE && count < GUESTS; skip += STRIDE) {
		struct client *c;

		configure(tenants_of(authority));
		c = keep(versions[_i % 2]);
		ck_assert(configure_without_memory(other, skip));
		pump();
		if (_i < 2)
			ask(c);
		else /* it is looked at again, though it says nothing */
			clock_test_advance(NS_PER_S);
		pump();
		ck_assert_msg(c->ended, "allocation %u", skip);
		ck_assert_uint_eq(answers(c), 0);
	}
}
END_TEST

/* Nor do they keep the gateway busy, however many they are. */
START_TEST(who_was_not_seen_is_looked_at_in_a_second)
{
	struct tenants *ts = tenants_of(authority);
	uint64_t lacked;

	for (int i = 0; i < GUESTS; i++)
		(void)keep(versions[i % 2]);
	fault_test_arm(FAULT_ALLOC, 0, UINT_MAX);
	configure(ts);
	lacked = alloc_failures();
	ck_assert_uint_eq(gate_unseen(gate), GUESTS);
	for (int i = 0; i < 10; i++)
		loop_turn(rig.loop, false);
	ck_assert_uint_eq(alloc_failures(), lacked);
	clock_test_advance(NS_PER_S);
	loop_turn(rig.loop, false);
	ck_assert_uint_gt(alloc_failures(), lacked);
	fault_test_clear();
	clock_test_advance(NS_PER_S);
	for (int i = 0; i < GUESTS; i++)
		ask(&guests[i]);
	pump();
	ck_assert_uint_eq(gate_unseen(gate), 0);
	for (int i = 0; i < GUESTS; i++) {
		ck_assert(!guests[i].ended);
		ck_assert_uint_eq(answers(&guests[i]), 1);
	}
}
END_TEST

static struct gate_vouched
change(struct authority *a, enum who who, unsigned lacking)
{
	struct tenants *ts = tenants_of(a);
	struct gate_vouched v;

	fault_test_arm(FAULT_ALLOC, 0, lacking);
	(void)gate_change_pinned(gate, ts, rig.digests[who], &v);
	fault_test_clear();
	tenants_unref(ts);
	return v;
}

/* Of a certificate that changes, its own sessions alone tell whether an authority takes it. */
START_TEST(those_of_another_certificate_say_nothing_of_it)
{
	struct client *c = keep(versions[_i]);
	struct tenants *ts = tenants_of(authority);
	struct gate_vouched v;

	fault_test_arm(FAULT_ALLOC, 0, UINT_MAX);
	configure(ts);
	fault_test_clear();
	ck_assert_uint_eq(gate_unseen(gate), 1);
	v = change(authority, WHO_UNKNOWN, 0);
	ck_assert(v.voucher == NULL && !v.asked && !v.unseen);
	v = change(authority, WHO_RIGHT, UINT_MAX);
	ck_assert(v.voucher == NULL && !v.asked && v.unseen);
	v = change(authority, WHO_RIGHT, 0);
	ck_assert(v.voucher == tenants_at(gate_tenants(gate), 0) && v.asked && !v.unseen);
	(void)change(authority, WHO_RIGHT, UINT_MAX);
	v = change(other, WHO_RIGHT, 0);
	pump();
	ck_assert(v.voucher == NULL && v.asked && !v.unseen);
	ck_assert(c->ended);
}
END_TEST

/* It is the end of a certificate all the same: what came before it is answered. */
START_TEST(an_end_that_was_not_seen_comes_later)
{
	struct client *c = keep(versions[_i]);
	int64_t expired = metric_get(METRIC_SESSIONS_EXPIRED_TOTAL);

	clock_test_advance(LIFE * NS_PER_S);
	fault_test_arm(FAULT_ALLOC, 0, UINT_MAX);
	loop_turn(rig.loop, false);
	fault_test_clear();
	pump();
	ck_assert(!c->ended);
	clock_test_advance(NS_PER_S);
	pump();
	ck_assert(c->ended);
	ck_assert_int_eq(metric_get(METRIC_SESSIONS_EXPIRED_TOTAL), expired + 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("identify");
	TCase *t = tcase_create("identify");
	SRunner *r;
	bool locked;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (alloc_install() != ERR_OK || secret_heap_init(4096 * 1024, true, &locked) != ERR_OK)
		abort();
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up_authorities, tear_down_authorities);
	tcase_add_loop_test(t, who_is_still_known_is_served, 0, 2);
	tcase_add_loop_test(t, who_is_not_known_any_more_is_not_served, 0, 4);
	tcase_add_test(t, who_was_not_seen_is_looked_at_in_a_second);
	tcase_add_loop_test(t, those_of_another_certificate_say_nothing_of_it, 0, 2);
	tcase_add_loop_test(t, an_end_that_was_not_seen_comes_later, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
