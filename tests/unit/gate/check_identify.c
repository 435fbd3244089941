/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a session when its tenants change and memory lacks to look whose its client is now. */
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/secret.h"

#include "guests.h"

enum { STRIDE = 5 };

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct identity ca, other_ca;
static struct authority *authority, *other;

/* The client is known by an authority from here on. */
static void
set_up_authorities(void)
{
	set_up();
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
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
