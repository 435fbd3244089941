/* SPDX-License-Identifier: Apache-2.0 */
/* Who may change a file that decides who is trusted. */
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "base/trusted.h"

static struct stat
file(mode_t mode, uid_t owner)
{
	return (struct stat){.st_mode = S_IFREG | mode, .st_uid = owner};
}

START_TEST(takes_what_only_we_or_root_may_change)
{
	static const mode_t modes[] = {0400, 0600, 0640, 0644, 0755, 0444};
	struct stat st;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		st = file(modes[i], 0);
		ck_assert_ptr_null(trusted_not(&st));
		st = file(modes[i], geteuid());
		ck_assert_ptr_null(trusted_not(&st));
	}
}
END_TEST

START_TEST(refuses_what_others_may_change)
{
	static const mode_t modes[] = {0660, 0664, 0620, 0602, 0666, 0777};
	struct stat st;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		st = file(modes[i], geteuid());
		ck_assert_ptr_nonnull(strstr(trusted_not(&st), "chmod go-w"));
	}
	st = file(0600, geteuid() + 1);
	ck_assert_ptr_nonnull(strstr(trusted_not(&st), "another user"));
}
END_TEST

START_TEST(who_only_looks_asks_for_another)
{
	struct stat st = file(0600, geteuid() + 1), third = file(0600, geteuid() + 2);
	struct stat open = file(0660, geteuid());

	trusted_to_look();
	ck_assert_ptr_null(trusted_not(&st));
	ck_assert_ptr_nonnull(trusted_not(&open));
	trusted_to(geteuid() + 1);
	ck_assert_ptr_null(trusted_not(&st));
	ck_assert_ptr_nonnull(strstr(trusted_not(&third), "another user"));
	ck_assert_ptr_nonnull(trusted_not(&open));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("trusted");
	TCase *t = tcase_create("trusted");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, takes_what_only_we_or_root_may_change);
	tcase_add_test(t, refuses_what_others_may_change);
	tcase_add_test(t, who_only_looks_asks_for_another);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
