/* SPDX-License-Identifier: Apache-2.0 */
/* Faults that another process arms. */
#include <check.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"

enum { PASSES, FAIL_AT, FAILED, NUMBERS };

START_TEST(counts_and_fails_once)
{
	char path[] = "/tmp/keyferry-fault-XXXXXX";
	int fd = mkstemp(path);
	uint64_t *all, *alloc;
	void *p;

	ck_assert_int_ge(fd, 0);
	ck_assert(fault_test_share(path, FAULT_IN_STORE));
	all = mmap(NULL, FAULT_PROCESSES * FAULT_COUNT * NUMBERS * sizeof(*all),
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(all, MAP_FAILED);
	alloc = all + (FAULT_IN_STORE * FAULT_COUNT + FAULT_ALLOC) * NUMBERS;
	p = alloc_bytes(1);
	alloc_free(p);
	ck_assert_uint_eq(alloc[PASSES], 1);
	alloc[FAIL_AT] = 3;
	p = alloc_bytes(1);
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(alloc_bytes(1));
	alloc_free(p);
	p = alloc_bytes(1);
	ck_assert_ptr_nonnull(p);
	alloc_free(p);
	ck_assert_uint_eq(alloc[PASSES], 4);
	ck_assert_uint_eq(alloc[FAILED], 1);
	ck_assert_uint_eq(all[FAULT_ALLOC * NUMBERS + PASSES], 0); /* the daemon's own */
	close(fd);
	unlink(path);
}
END_TEST

/* What a loop asks for has one stack, and that from elsewhere another. */
START_TEST(tells_stacks_apart)
{
	const size_t behind = FAULT_PROCESSES * FAULT_COUNT * NUMBERS, each = 1 + 65536;
	char path[] = "/tmp/keyferry-fault-XXXXXX";
	int fd = mkstemp(path);
	uint64_t *all, *mine;

	ck_assert_int_ge(fd, 0);
	ck_assert(fault_test_share(path, FAULT_IN_STORE));
	all = mmap(NULL, (behind + FAULT_PROCESSES * each) * sizeof(*all), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(all, MAP_FAILED);
	mine = all + behind + FAULT_IN_STORE * each;
	alloc_free(alloc_bytes(1));
	ck_assert_uint_eq(mine[1 + 1], 0); /* nobody wanted it */
	mine[0] = 1;
	for (volatile int turns = 2; turns > 0; turns--)
		alloc_free(alloc_bytes(1));
	alloc_free(alloc_bytes(1));
	ck_assert_uint_ne(mine[1 + 2], 0);
	ck_assert_uint_eq(mine[1 + 2], mine[1 + 3]);
	ck_assert_uint_ne(mine[1 + 3], mine[1 + 4]);
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(no_file)
{
	ck_assert(!fault_test_share("/nonexistent/faults", FAULT_IN_DAEMON));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("fault");
	TCase *t = tcase_create("fault");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, counts_and_fails_once);
	tcase_add_test(t, tells_stacks_apart);
	tcase_add_test(t, no_file);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
