/* SPDX-License-Identifier: Apache-2.0 */
/* Named places at which a test can make things go wrong.  In a release build no fault exists. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

enum fault {
#define FAULT(name) FAULT_##name,
#include "base/fault.def"
#undef FAULT
	FAULT_COUNT
};

/* True when the test asked for a fault at this place now.  Always false in release builds. */
bool fault_hit(enum fault f);

/*
 * Only in test builds.  Lets the place fail `times` times after `skip` good passes.
 * fault_test_env() reads KEYFERRY_FAULTS="NAME:skip:times,..." for daemons under test.
 */
void fault_test_arm(enum fault f, unsigned skip, unsigned times);
void fault_test_clear(void);
void fault_test_env(void);

#endif
