/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on request: what a test build is built with. */
#include "base/fault.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

static struct {
	unsigned skip, times;
} armed[FAULT_COUNT];

/* One place of one process, in a file that the test maps as well; names stand in fault.h. */
struct place {
	_Atomic uint64_t passes, fail_at, failed;
};

static struct place *shared;
static bool trace;

static const char *const names[FAULT_COUNT] = {
#define FAULT(name) #name,
#include "base/fault.def"
#undef FAULT
};

/* Where the fault was, for whoever looks for what became of it. */
static void
print_trace(void)
{
#ifdef __SANITIZE_ADDRESS__
	if (trace)
		__sanitizer_print_stack_trace();
#endif
}

static bool
hit_shared(struct place *p)
{
	if (atomic_fetch_add(&p->passes, 1) + 1 != atomic_load(&p->fail_at))
		return false;
	print_trace();
	atomic_fetch_add(&p->failed, 1);
	return true;
}

bool
fault_hit(enum fault f)
{
	if (shared != NULL && hit_shared(&shared[f]))
		return true;
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

bool
fault_test_share(const char *path, enum fault_process who)
{
	size_t len = FAULT_PROCESSES * FAULT_COUNT * sizeof(struct place);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p;

	if (fd < 0)
		return false;
	p = ftruncate(fd, (off_t)len) == 0
	    ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
	    : MAP_FAILED;
	close(fd);
	if (p == MAP_FAILED)
		return false;
	shared = (struct place *)p + (size_t)who * FAULT_COUNT;
	return true;
}

void
fault_test_env(enum fault_process who)
{
	const char *s = getenv("KEYFERRY_FAULTS"), *path = getenv("KEYFERRY_FAULT_FILE");
	char name[64];
	unsigned skip, times;
	int used;

	trace = getenv("KEYFERRY_FAULT_TRACE") != NULL;
	while (s != NULL && sscanf(s, "%63[A-Z_]:%u:%u%n", name, &skip, &times, &used) == 3) {
		for (unsigned i = 0; i < FAULT_COUNT; i++)
			if (strcmp(names[i], name) == 0)
				fault_test_arm((enum fault)i, skip, times);
		s += used;
		if (*s == ',')
			s++;
	}
	if (path != NULL && !fault_test_share(path, who))
		abort(); /* a test without its faults would show nothing */
}
