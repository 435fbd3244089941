/* SPDX-License-Identifier: Apache-2.0 */
/* Named places at which a test can make things go wrong.  In a release build no fault exists. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

#include "base/err.h"

enum fault {
#define FAULT(name) FAULT_##name,
#include "base/fault.def"
#undef FAULT
	FAULT_COUNT
};

/* Whose places they are. */
enum fault_process { FAULT_IN_DAEMON, FAULT_IN_STORE, FAULT_IN_AUDIT, FAULT_IN_READER, FAULT_PROCESSES };

/* True when the test asked for a fault at this place now.  Always false in release builds. */
bool fault_hit(enum fault f);

/*
 * Only in test builds.  Lets the place fail `times` times after `skip` good passes.
 * fault_test_env() reads KEYFERRY_FAULTS="NAME:skip:times,..." for daemons under test, and the path
 * of fault_test_share() from KEYFERRY_FAULT_FILE.  With KEYFERRY_FAULT_TRACE a fault that is armed
 * there prints its stack, in builds with AddressSanitizer.
 */
void fault_test_arm(enum fault f, unsigned skip, unsigned times);
void fault_test_clear(void);
void fault_test_env(enum fault_process who);

/*
 * Maps a file that a test maps, too, so that it can count and arm from outside, without a single
 * allocation of ours, and in children as well: for each process, for each fault, three numbers of
 * 64 bits: how often the place was passed, at which pass it fails, how often it failed.  Behind them,
 * for each process, whether stacks are wanted; and for 65,536 passes of ALLOC, by their number modulo
 * that, a hash of the stack: equal within one process where the stacks are.
 */
CHECKED bool fault_test_share(const char *path, enum fault_process who);

#endif
