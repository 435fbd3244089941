/* SPDX-License-Identifier: Apache-2.0 */
/* Owners and modes of files: the whole table, with real files. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trusted.h"

enum { STRANGER = 65532, DAEMON = 65533 };
enum { KIND_FOLLOW, KIND_HERE, KIND_FILE, KIND_DIRECTORY };

static const struct {
	const char *name;
	int type, link;
	mode_t refused;
} kinds[] = {
#define TRUSTED(name, type, link, mode) {#name, KIND_##type, KIND_##link, mode},
#include "base/trusted.def"
#undef TRUSTED
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static char top[64], dir[80], path[96], target_dir[80], target[96];

static void
make(const char *where, int i)
{
	int fd;

	if (kinds[i].type == KIND_DIRECTORY) {
		ck_assert_int_eq(mkdir(where, 0700), 0);
		return;
	}
	fd = open(where, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void
set_up(void)
{
	strcpy(top, "/tmp/keyferry-trusted.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/dir", top);
	snprintf(path, sizeof(path), "%s/it", dir);
	snprintf(target_dir, sizeof(target_dir), "%s/there", top);
	snprintf(target, sizeof(target), "%s/it", target_dir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(mkdir(target_dir, 0700), 0);
}

static void
clear(const char *which)
{
	if (unlink(which) != 0)
		(void)rmdir(which);
}

static void
tear_down(void)
{
	clear(path);
	clear(target);
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_int_eq(rmdir(target_dir), 0);
	ck_assert_int_eq(rmdir(top), 0);
	trusted_to((uid_t)-1);
}

static bool
asks(int i)
{
	return kinds[i].refused != 0;
}

/* remedy NULL: it is good. */
static void
expect(int i, const char *remedy, const char *of)
{
	const char *why = NULL;
	int fd = trusted_open(path, (enum trusted)i, O_RDONLY, &why);

	if (remedy == NULL) {
		ck_assert_msg(fd >= 0, "%s: %s", kinds[i].name, why);
		close(fd);
		return;
	}
	ck_assert_msg(fd < 0, "%s: opened, no %s", kinds[i].name, remedy);
	ck_assert_msg(strstr(why, remedy) != NULL && strstr(why, of) != NULL, "%s: %s", kinds[i].name,
	    why);
}

START_TEST(refuses_what_others_may_change)
{
	mode_t own = kinds[_i].type == KIND_DIRECTORY ? 0700 : 0600;

	expect(_i, "does not exist", "");
	make(path, _i);
	expect(_i, NULL, NULL);
	for (mode_t bit = 01; bit <= 040; bit <<= 1) {
		ck_assert_int_eq(chmod(path, own | bit), 0);
		expect(_i, (kinds[_i].refused & bit) != 0 ? "chmod " : NULL, path);
	}
	ck_assert_int_eq(chmod(path, own), 0);
	expect(_i, NULL, NULL);
}
END_TEST

START_TEST(looks_at_the_directory)
{
	make(path, _i);
	chmod(dir, 0720);
	expect(_i, asks(_i) ? "chmod go-w" : NULL, dir);
	chmod(dir, 0702);
	expect(_i, asks(_i) ? "chmod go-w" : NULL, dir);
	chmod(dir, 01777); /* as Kubernetes mounts secrets: ours cannot be taken away */
	expect(_i, NULL, NULL);
	chmod(dir, 0755);
	expect(_i, NULL, NULL);
}
END_TEST

START_TEST(follows_links_where_that_makes_sense)
{
	make(target, _i);
	ck_assert_int_eq(symlink("../there/it", path), 0);
	if (kinds[_i].link == KIND_HERE) {
		expect(_i, "symbolic link", "");
		return;
	}
	expect(_i, NULL, NULL);
	chmod(target_dir, 0770);
	expect(_i, asks(_i) ? "chmod go-w" : NULL, target_dir);
	chmod(target_dir, 0700);
	chmod(target, 0777);
	expect(_i, asks(_i) ? "chmod " : NULL, path);
	if (asks(_i) && geteuid() == 0) {
		chmod(target, 0700);
		ck_assert_int_eq(lchown(path, STRANGER, STRANGER), 0);
		expect(_i, "chown -h 0 ", path);
	}
}
END_TEST

static void
link_to(const char *to, const char *from)
{
	(void)unlink(from);
	ck_assert_int_eq(symlink(to, from), 0);
}

static bool
follows(int i)
{
	return kinds[i].link != KIND_HERE;
}

/* it -> hop/step -> there/it: whoever may change hop says where it leads. */
START_TEST(looks_at_each_link_on_the_way)
{
	char hop[80], step[96], around[128];

	snprintf(hop, sizeof(hop), "%s/hop", top);
	snprintf(step, sizeof(step), "%s/step", hop);
	snprintf(around, sizeof(around), "%s/../hop/.//step", target_dir);
	make(target, _i);
	ck_assert_int_eq(mkdir(hop, 0700), 0);
	link_to(target, step);
	link_to(around, path);
	expect(_i, follows(_i) ? NULL : "symbolic link", "");
	chmod(hop, 0770);
	if (follows(_i))
		expect(_i, asks(_i) ? "chmod go-w" : NULL, hop);
	chmod(hop, 0700);
	if (follows(_i) && geteuid() == 0) {
		ck_assert_int_eq(lchown(step, STRANGER, STRANGER), 0);
		expect(_i, asks(_i) ? "chown -h 0 " : NULL, step);
		link_to(target, step);
		ck_assert_int_eq(chown(hop, STRANGER, STRANGER), 0);
		expect(_i, asks(_i) ? "chown 0 " : NULL, hop);
	}
	ck_assert_int_eq(unlink(step), 0);
	ck_assert_int_eq(rmdir(hop), 0);
}
END_TEST

/* As Kubernetes has it: it -> ..data/it, ..data -> ..2026, a link to a directory within a path. */
START_TEST(follows_links_to_directories)
{
	char data[96], in_data[112], there[96];

	snprintf(data, sizeof(data), "%s/..data", dir);
	snprintf(there, sizeof(there), "%s/..2026", dir);
	snprintf(in_data, sizeof(in_data), "%s/it", there);
	ck_assert_int_eq(mkdir(there, 0755), 0);
	make(in_data, _i);
	link_to("..2026", data);
	link_to("..data/it", path);
	chmod(dir, 01777);
	expect(_i, follows(_i) ? NULL : "symbolic link", "");
	if (follows(_i) && geteuid() == 0) {
		ck_assert_int_eq(lchown(data, STRANGER, STRANGER), 0);
		expect(_i, asks(_i) ? "chown -h 0 " : NULL, data);
	}
	ck_assert_int_eq(unlink(data), 0);
	clear(in_data);
	ck_assert_int_eq(rmdir(there), 0);
}
END_TEST

START_TEST(links_that_do_not_end)
{
	char far[4000], more[96];
	const char *why;

	link_to("it", path);
	expect(_i, follows(_i) ? "cannot be opened" : "symbolic link", "");
	why = trusted_place_not(path);
	ck_assert_msg(why != NULL && strstr(why, "more than 40 ") != NULL, "%s", why);
	link_to("nothing", path);
	why = trusted_place_not(path);
	ck_assert_msg(why != NULL && strstr(why, "leads nowhere") != NULL, "%s", why);
	/* both are short enough; what is still to come is not */
	snprintf(more, sizeof(more), "%s/b", dir);
	snprintf(far, sizeof(far), "b/%*s/it", 3900, "");
	for (char *c = far; *c != '\0'; c++)
		*c = *c == ' ' ? '/' : *c;
	link_to(far, path);
	link_to(far, more);
	why = trusted_place_not(path);
	ck_assert_msg(why != NULL && strstr(why, "too long a path") != NULL, "%s", why);
	ck_assert_int_eq(unlink(more), 0);
}
END_TEST

START_TEST(notices_another_file_in_its_place)
{
	const char *why;
	int fd;

	make(path, _i);
	fd = trusted_open(path, (enum trusted)_i, O_RDONLY, &why);
	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_null(trusted_not(fd, path, (enum trusted)_i));
	make(target, _i);
	clear(path);
	ck_assert_int_eq(rename(target, path), 0);
	why = trusted_not(fd, path, (enum trusted)_i);
	if (asks(_i) && follows(_i))
		ck_assert_msg(why != NULL && strstr(why, "was replaced") != NULL, "%s", why);
	else
		ck_assert_msg(why == NULL, "%s", why);
	close(fd);
}
END_TEST

START_TEST(wants_the_right_type)
{
	make(path, _i);
	clear(path);
	if (kinds[_i].type == KIND_FILE) {
		ck_assert_int_eq(mkdir(path, 0700), 0);
		expect(_i, "is not a regular file", "");
		clear(path);
		ck_assert_int_eq(mkfifo(path, 0600), 0); /* nobody waits for its other end */
		expect(_i, "is not a regular file", "");
	} else {
		ck_assert_int_eq(mkfifo(path, 0600), 0);
		expect(_i, "cannot be opened", "");
	}
}
END_TEST

START_TEST(refuses_what_belongs_to_others)
{
	make(path, _i);
	ck_assert_int_eq(chown(path, STRANGER, STRANGER), 0);
	expect(_i, asks(_i) ? "belongs to another user (65532)" : NULL, "chown 0 ");
	trusted_to(DAEMON); /* root asks on behalf of the daemon's user */
	expect(_i, asks(_i) ? "chown 65533 " : NULL, path);
	ck_assert_int_eq(chown(path, DAEMON, DAEMON), 0);
	expect(_i, NULL, NULL);
	ck_assert_int_eq(chown(dir, STRANGER, STRANGER), 0);
	expect(_i, asks(_i) ? "chown 65533 " : NULL, dir);
	ck_assert_int_eq(chown(dir, DAEMON, DAEMON), 0);
	expect(_i, NULL, NULL);
}
END_TEST

/* Of owners and directories; modes stay what they have to be. */
START_TEST(who_only_looks_asks_for_another)
{
	make(path, _i);
	chmod(dir, 0777);
	if (geteuid() == 0)
		ck_assert_int_eq(chown(path, STRANGER, STRANGER), 0);
	trusted_to_look();
	expect(_i, NULL, NULL);
	chmod(path, 0722);
	expect(_i, asks(_i) ? "chmod " : NULL, path);
}
END_TEST

START_TEST(makes_files_of_its_own)
{
	const char *why;
	struct stat st;
	int fd;

	umask(0);
	fd = trusted_open(path, TRUSTED_AUDIT, O_WRONLY | O_CREAT, &why);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("trusted");
	TCase *t = tcase_create("trusted");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, refuses_what_others_may_change, 0, KINDS);
	tcase_add_loop_test(t, looks_at_the_directory, 0, KINDS);
	tcase_add_loop_test(t, follows_links_where_that_makes_sense, 0, KINDS);
	tcase_add_loop_test(t, looks_at_each_link_on_the_way, 0, KINDS);
	tcase_add_loop_test(t, follows_links_to_directories, 0, KINDS);
	tcase_add_loop_test(t, links_that_do_not_end, 0, KINDS);
	tcase_add_loop_test(t, notices_another_file_in_its_place, 0, KINDS);
	tcase_add_loop_test(t, wants_the_right_type, 0, KINDS);
	if (geteuid() == 0)
		tcase_add_loop_test(t, refuses_what_belongs_to_others, 0, KINDS);
	else
		puts("SKIPPED refuses_what_belongs_to_others: only root may give files away");
	tcase_add_loop_test(t, who_only_looks_asks_for_another, 0, KINDS);
	tcase_add_test(t, makes_files_of_its_own);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
