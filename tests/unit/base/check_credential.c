/* SPDX-License-Identifier: Apache-2.0 */
/* Where a secret's file is, and who else may read it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/credential.h"

static char out[CREDENTIAL_PATH_MAX];
static const char *why;

static void
in_service(void)
{
	setenv("CREDENTIALS_DIRECTORY", "/run/credentials/kf", 1);
}

static void
in_shell(void)
{
	unsetenv("CREDENTIALS_DIRECTORY");
}

START_TEST(paths_stay_as_they_are)
{
	static const char *const paths[] = {"/etc/key", "key", "./credential:key", "credentials", ""};

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		ck_assert(!credential_is(paths[i]));
		ck_assert_int_eq(credential_path(out, paths[i], &why), ERR_OK);
		ck_assert_str_eq(out, paths[i]);
	}
}
END_TEST

START_TEST(names_a_credential)
{
	in_service();
	ck_assert(credential_is("credential:api key"));
	ck_assert(credential_has_name("credential:api key"));
	ck_assert_int_eq(credential_path(out, "credential:api key", &why), ERR_OK);
	ck_assert_str_eq(out, "/run/credentials/kf/api key");
	ck_assert_int_eq(credential_path(out, "credential:credential:a", &why), ERR_OK);
	ck_assert_str_eq(out, "/run/credentials/kf/credential:a");
}
END_TEST

START_TEST(without_a_service)
{
	static const char *const dirs[] = {NULL, "", "run/credentials"};

	if (dirs[_i] != NULL)
		setenv("CREDENTIALS_DIRECTORY", dirs[_i], 1);
	ck_assert_int_eq(credential_path(out, "credential:a", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "LoadCredential="));
	ck_assert_uint_eq(credential_refused_mode("/run/credentials/kf/a"), 077);
	ck_assert_uint_eq(credential_refused_mode("run/credentials/a"), 077);
	ck_assert_uint_eq(credential_refused_mode("/a"), 077);
}
END_TEST

/* Nothing outside the directory is to be had by a name. */
START_TEST(bad_names)
{
	static const char *const names[] = {"credential:", "credential:.", "credential:..",
	    "credential:../etc/key", "credential:a/b", "credential:/etc/key"};
	char longest[300] = "credential:";

	in_service();
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		ck_assert(credential_is(names[i]) && !credential_has_name(names[i]));
		ck_assert_int_eq(credential_path(out, names[i], &why), ERR_CONFIG);
		ck_assert_ptr_nonnull(strstr(why, "name of one file"));
	}
	memset(longest + strlen(longest), 'a', 255);
	ck_assert_int_eq(credential_path(out, longest, &why), ERR_OK);
	strcat(longest, "a");
	ck_assert_int_eq(credential_path(out, longest, &why), ERR_CONFIG);
}
END_TEST

START_TEST(too_long)
{
	static char path[CREDENTIAL_PATH_MAX + 1], dir[CREDENTIAL_PATH_MAX];

	memset(path, 'a', CREDENTIAL_PATH_MAX);
	ck_assert_int_eq(credential_path(out, path, &why), ERR_CONFIG);
	path[CREDENTIAL_PATH_MAX - 1] = '\0';
	ck_assert_int_eq(credential_path(out, path, &why), ERR_OK);
	ck_assert_str_eq(out, path);
	memset(dir, 'd', CREDENTIAL_PATH_MAX - 2);
	dir[0] = '/';
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	ck_assert_int_eq(credential_path(out, "credential:a", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "too long"));
}
END_TEST

/* An access list shows as a group that may read; only what systemd has put there may have one. */
START_TEST(permissions)
{
	in_service();
	ck_assert_uint_eq(credential_refused_mode("/run/credentials/kf/a"), 037);
	ck_assert_uint_eq(credential_refused_mode("/run/credentials/kf/../../../etc/key"), 077);
	ck_assert_uint_eq(credential_refused_mode("/run/credentials/kf"), 077);
	ck_assert_uint_eq(credential_refused_mode("/run/credentials/kf2/a"), 077);
	ck_assert_uint_eq(credential_refused_mode("/etc/key"), 077);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("credential");
	TCase *t = tcase_create("credential");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, in_shell, in_shell);
	tcase_add_test(t, paths_stay_as_they_are);
	tcase_add_test(t, names_a_credential);
	tcase_add_loop_test(t, without_a_service, 0, 3);
	tcase_add_test(t, bad_names);
	tcase_add_test(t, too_long);
	tcase_add_test(t, permissions);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
