/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks of a test build: the system's until clock_test_freeze(), then moved by the test alone. */
#include "base/clock.h"

#include <time.h>

static bool frozen;
static int64_t now_ns, wall_ns, suspended_ns;

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
	return frozen ? now_ns : read_ns(CLOCK_MONOTONIC) + 1;
}

int64_t
clock_boot(void)
{
	return frozen ? now_ns + suspended_ns : read_ns(CLOCK_BOOTTIME);
}

int64_t
clock_wall(void)
{
	return (frozen ? wall_ns : read_ns(CLOCK_REALTIME)) / NS_PER_S;
}

int64_t
clock_wall_ms(void)
{
	return (frozen ? wall_ns : read_ns(CLOCK_REALTIME)) / NS_PER_MS;
}

bool
clock_is_virtual(void)
{
	return frozen;
}

void
clock_test_freeze(int64_t wall_s)
{
	if (!frozen)
		now_ns = NS_PER_S;
	frozen = true;
	wall_ns = wall_s * NS_PER_S;
}

void
clock_test_hold(void)
{
	int64_t now = clock_now(), boot = clock_boot(), wall = frozen ? wall_ns : read_ns(CLOCK_REALTIME);

	frozen = true;
	now_ns = now;
	wall_ns = wall;
	suspended_ns = boot - now;
}

void
clock_test_advance(int64_t ns)
{
	now_ns += ns;
	wall_ns += ns;
}

void
clock_test_jump(int64_t wall_jump_ns, int64_t boot_jump_ns)
{
	wall_ns += wall_jump_ns;
	suspended_ns += boot_jump_ns;
}
