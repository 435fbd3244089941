/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on request: what a test build is built with. */
#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	unsigned skip, times;
} armed[FAULT_COUNT];

static const char *const names[FAULT_COUNT] = {
#define FAULT(name) #name,
#include "base/fault.def"
#undef FAULT
};

bool
fault_hit(enum fault f)
{
	if (armed[f].times == 0)
		return false;
	if (armed[f].skip > 0) {
		armed[f].skip--;
		return false;
	}
	armed[f].times--;
	return true;
}

void
fault_test_arm(enum fault f, unsigned skip, unsigned times)
{
	armed[f].skip = skip;
	armed[f].times = times;
}

void
fault_test_clear(void)
{
	memset(armed, 0, sizeof(armed));
}

void
fault_test_env(void)
{
	const char *s = getenv("KEYFERRY_FAULTS");
	char name[64];
	unsigned skip, times;
	int used;

	while (s != NULL && sscanf(s, "%63[A-Z_]:%u:%u%n", name, &skip, &times, &used) == 3) {
		for (unsigned i = 0; i < FAULT_COUNT; i++)
			if (strcmp(names[i], name) == 0)
				fault_test_arm((enum fault)i, skip, times);
		s += used;
		if (*s == ',')
			s++;
	}
}
