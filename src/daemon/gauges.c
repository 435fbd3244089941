/* SPDX-License-Identifier: Apache-2.0 */
/* Gauges that are not kept as things happen but looked up when somebody wants to see them. */
#include "gauges.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/metric.h"
#include "base/secret.h"

#include "daemon.h"

enum { LISTING_LEN = 16384, COUNTED_MAX = 2048 };

/* Memory of procfs, not of a disk: reading it does not block. */
static int64_t
resident_bytes(void)
{
	char text[128];
	long long size, resident = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%lld %lld", &size, &resident) != 2)
		return 0;
	return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

/* The entries of a directory by their lengths alone: linux_dirent64's d_reclen is at 16. */
static int64_t
count_entries(int dir)
{
	static _Alignas(8) unsigned char listing[LISTING_LEN];
	int64_t count = 0;
	long n;

	while ((n = syscall(SYS_getdents64, dir, listing, sizeof(listing))) > 0)
		for (long at = 0; at < n; at += listing[at + 16] | listing[at + 17] << 8)
			count++;
	return count - 3; /* ".", ".." and the descriptor of the directory itself */
}

/*
 * Linux 6.2 and newer tell the number of descriptors at once.  Older ones have to list them, which
 * takes a microsecond for each: with thousands of sessions those are counted instead, and the
 * others taken from the last listing.
 */
static int64_t
open_descriptors(void)
{
	static int64_t others;
	int64_t sessions = metric_get(METRIC_SESSIONS);
	struct stat st;
	int dir;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return st.st_size;
	if (sessions > COUNTED_MAX)
		return sessions + others;
	dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return sessions + others;
	others = count_entries(dir) - sessions;
	close(dir);
	return sessions + others;
}

void
gauges_refresh(struct keyferryd *d)
{
	struct store_health storage;

	store_health(d->store, &storage);
	metric_set(METRIC_SECURE_HEAP_SIZE_BYTES, (int64_t)secret_heap_size());
	metric_set(METRIC_SECURE_HEAP_USED_BYTES, (int64_t)secret_heap_used());
	metric_set(METRIC_SECURE_HEAP_LOCKED, d->heap_locked);
	metric_set(METRIC_TENANTS, (int64_t)tenants_count(gate_tenants(d->gate)));
	metric_set(METRIC_DRAINING, gate_draining(d->gate));
	metric_set(METRIC_STORE_UP, storage.up);
	metric_set(METRIC_STORE_FAILING, storage.failing != ERR_OK);
	metric_set(METRIC_STORE_WAIT_SECONDS, storage.waits_ns);
	metric_set(METRIC_PROCESS_START_TIME_SECONDS, d->started_wall);
	metric_set(METRIC_PROCESS_OPEN_FDS, open_descriptors());
	metric_set(METRIC_PROCESS_RESIDENT_MEMORY_BYTES, resident_bytes());
	(void)expiry_summary(d, EXPIRY_LISTS); /* some may have been replaced since */
}
