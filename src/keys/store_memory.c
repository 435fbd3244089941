/* SPDX-License-Identifier: Apache-2.0 */
/* The process allocator under SQLite. */
#include "keys/store.h"

#include <malloc.h>

#include <sqlite3.h>

#include "base/alloc.h"

static void *
memory_new(int len)
{
	return alloc_bytes((size_t)len);
}

static void *
memory_resize(void *p, int len)
{
	return alloc_resize(p, (size_t)len);
}

static int
memory_size(void *p)
{
	return p != NULL ? (int)malloc_usable_size(p) : 0;
}

static int
memory_round_up(int len)
{
	return (len + 7) & ~7;
}

static int
memory_init(void *arg)
{
	(void)arg;
	return SQLITE_OK;
}

static void
memory_shutdown(void *arg)
{
	(void)arg;
}

enum err
store_memory_install(void)
{
	static const sqlite3_mem_methods methods = {
	    .xMalloc = memory_new,
	    .xFree = alloc_free,
	    .xRealloc = memory_resize,
	    .xSize = memory_size,
	    .xRoundup = memory_round_up,
	    .xInit = memory_init,
	    .xShutdown = memory_shutdown,
	};

	return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK ? ERR_OK : ERR_INTERNAL;
}
