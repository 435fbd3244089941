/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of settings that were replaced, while sessions go on that were begun with them. */
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/secret.h"

#include "guests.h"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void
configure_anew(void)
{
	rig_serve_anew(&rig, &(struct rig_options){.keys = KEYS_EC, .resumption = true, .resumption_12 = true});
	configure(tenants_of(NULL));
}

/* Their keys would last as long as the oldest session, and each reload would leave some more. */
START_TEST(no_key_of_a_ticket)
{
	size_t before = secret_heap_kept(), with_keys;
	struct client *first;

	configure_anew();
	first = keep(versions[_i]);
	with_keys = secret_heap_kept();
	ck_assert_uint_gt(with_keys, before);
	for (int i = 0; i < 3; i++) {
		configure_anew();
		ck_assert_uint_eq(secret_heap_kept(), before);
		(void)keep(versions[_i]);
		ck_assert_uint_eq(secret_heap_kept(), with_keys);
	}
	configure(tenants_of(NULL)); /* of the same server */
	ck_assert_uint_eq(secret_heap_kept(), with_keys);
	ask(first);
	pump();
	ck_assert_uint_eq(answers(first), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("configure");
	TCase *t = tcase_create("configure");
	SRunner *r;
	bool locked;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (alloc_install() != ERR_OK || secret_heap_init(4096 * 1024, true, &locked) != ERR_OK)
		abort();
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, no_key_of_a_ticket, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
