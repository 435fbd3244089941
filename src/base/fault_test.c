/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on request: what a test build is built with. */
#include "base/fault.h"

#include <execinfo.h>
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

/* From which stacks a process asks for memory, in the same file, behind the places of all. */
enum { STACKS_MAX = 65536, FRAMES_MAX = 64 };
struct stacks {
	_Atomic uint64_t wanted;
	uint64_t hash[STACKS_MAX]; /* of a pass, at its number modulo that */
};

static struct place *shared;
static struct stacks *stacks;
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

/* FNV-1a; of addresses, which stay as long as the process. */
static uint64_t
hash_stack(void)
{
	void *frames[FRAMES_MAX];
	uint64_t h = 14695981039346656037u;
	int count = backtrace(frames, FRAMES_MAX);

	for (int i = 0; i < count; i++)
		h = (h ^ (uintptr_t)frames[i]) * 1099511628211u;
	return h;
}

static bool
hit_shared(struct place *p)
{
	uint64_t pass = atomic_fetch_add(&p->passes, 1) + 1;

	if (p == &shared[FAULT_ALLOC] && atomic_load(&stacks->wanted) != 0)
		stacks->hash[pass % STACKS_MAX] = hash_stack();
	if (pass != atomic_load(&p->fail_at))
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
	size_t places = FAULT_PROCESSES * FAULT_COUNT * sizeof(struct place);
	size_t len = places + FAULT_PROCESSES * sizeof(struct stacks);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char *p;

	if (fd < 0)
		return false;
	(void)hash_stack(); /* what it needs is loaded now */
	p = ftruncate(fd, (off_t)len) == 0
	    ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
	    : MAP_FAILED;
	close(fd);
	if (p == MAP_FAILED)
		return false;
	shared = (struct place *)(void *)p + (size_t)who * FAULT_COUNT;
	stacks = (struct stacks *)(void *)(p + places) + who;
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
