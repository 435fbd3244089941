/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clocks. */
#include "base/clock.h"

#include <time.h>

static int64_t
read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t
clock_now(void)
{
	return read_ns(CLOCK_MONOTONIC) + 1;
}

int64_t
clock_boot(void)
{
	return read_ns(CLOCK_BOOTTIME);
}

int64_t
clock_wall(void)
{
	return read_ns(CLOCK_REALTIME) / NS_PER_S;
}

int64_t
clock_wall_ms(void)
{
	return read_ns(CLOCK_REALTIME) / NS_PER_MS;
}

bool
clock_is_virtual(void)
{
	return false;
}
