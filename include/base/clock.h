/* SPDX-License-Identifier: Apache-2.0 */
/* Time.  All deadlines use clock_now(); a test build can stop and move every clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds; never zero. */
int64_t clock_now(void);

/* The same with the time that the machine was suspended: CLOCK_BOOTTIME. */
int64_t clock_boot(void);

/* Seconds since 1970 (UTC); KMIP Date-Time. */
int64_t clock_wall(void);

/* Milliseconds since 1970 (UTC), for logs and time-ordered identifiers. */
int64_t clock_wall_ms(void);

/* True when time is virtual (only ever in a test build). */
bool clock_is_virtual(void);

/*
 * Only in test builds (-Dtesting=true); the release library does not define them.
 * From the first call on, time stands still except for clock_test_advance().
 */
void clock_test_freeze(int64_t wall_s);
void clock_test_hold(void); /* all clocks where they are */
void clock_test_advance(int64_t ns);
/* Moves wall clock and clock_boot() alone, as a suspension or a hand at the clock does. */
void clock_test_jump(int64_t wall_ns, int64_t boot_ns);

#endif
