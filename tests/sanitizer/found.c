/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does what its argument names.  Each ends a program that is built with the sanitizers with a status other than 0;
 * if it did not, all other tests could meet the same and pass.
 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int one = 1;
static char *volatile kept;

static int
null(void)
{
	int *volatile p = NULL;

	return *p;
}

static int
bounds(void)
{
	int a[2] = {0, 0};

	return a[one + 1];
}

static int
use_after_free(void)
{
	kept = malloc(8);
	free(kept);
	return kept[one];
}

static int
leak(void)
{
	kept = malloc(8);
	kept = NULL;
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	int got = 0;

	if (strcmp(what, "overflow") == 0)
		got = INT_MAX + one;
	else if (strcmp(what, "shift") == 0)
		got = one << (31 + one);
	else if (strcmp(what, "null") == 0)
		got = null();
	else if (strcmp(what, "bounds") == 0)
		got = bounds();
	else if (strcmp(what, "use-after-free") == 0)
		got = use_after_free();
	else if (strcmp(what, "leak") == 0)
		got = leak();
	else if (strcmp(what, "nothing") != 0)
		return 0; /* which fails, as it should not */
	fprintf(stderr, "%s: %d\n", what, got);
	return 0;
}
