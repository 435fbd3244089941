/* SPDX-License-Identifier: Apache-2.0 */
/* The intrusive list. */
#include <check.h>

#include "base/list.h"

struct item {
	int n;
	struct list link;
};

static struct list head;
static struct item items[3] = {{.n = 1}, {.n = 2}, {.n = 3}};

static void
fill(void)
{
	list_init(&head);
	for (int i = 0; i < 3; i++) {
		items[i].link = (struct list){0};
		list_append(&head, &items[i].link);
	}
}

static int
digits(const struct list *h)
{
	int n = 0;

	LIST_FOREACH(l, h)
		n = 10 * n + CONTAINER_OF(l, struct item, link)->n;
	return n;
}

START_TEST(keeps_order)
{
	fill();
	ck_assert_int_eq(digits(&head), 123);
	list_remove(&items[1].link);
	ck_assert_int_eq(digits(&head), 13);
	ck_assert(!list_linked(&items[1].link));
	list_remove(&items[1].link); /* harmless */
	list_insert_before(&items[0].link, &items[1].link);
	ck_assert_int_eq(digits(&head), 213);
}
END_TEST

START_TEST(pops_from_the_front)
{
	fill();
	ck_assert_ptr_eq(list_pop(&head), &items[0].link);
	ck_assert_ptr_eq(list_pop(&head), &items[1].link);
	ck_assert_ptr_eq(list_pop(&head), &items[2].link);
	ck_assert(list_empty(&head));
	ck_assert_ptr_null(list_pop(&head));
}
END_TEST

START_TEST(moves_all)
{
	struct list other;
	struct item first = {.n = 9};

	fill();
	list_init(&other);
	list_append(&other, &first.link);
	list_move_all(&other, &head);
	ck_assert(list_empty(&head));
	ck_assert_int_eq(digits(&other), 9123);
	list_move_all(&other, &head); /* nothing to move */
	ck_assert_int_eq(digits(&other), 9123);
}
END_TEST

START_TEST(may_be_emptied_while_walked)
{
	fill();
	LIST_FOREACH_SAFE(l, next, &head)
		list_remove(l);
	ck_assert(list_empty(&head));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("list");
	TCase *t = tcase_create("list");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, keeps_order);
	tcase_add_test(t, pops_from_the_front);
	tcase_add_test(t, moves_all);
	tcase_add_test(t, may_be_emptied_while_walked);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
