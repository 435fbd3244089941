/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process allocator: every block is wiped when it is freed or moved, since any of them may
 * have held a secret in transit.  alloc_install() puts it under OpenSSL and libevent as well; libcurl
 * (net/http), yajl (net/json) and SQLite (keys/store_memory) are given it where they are used.
 * libconfuse cannot be: what a configuration file says is no secret.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* All return NULL when there is no memory.  alloc_zero() fills with zero. */
void *alloc_bytes(size_t len);
void *alloc_zero(size_t len);
void *alloc_array(size_t count, size_t size);	/* zeroed; checks the product */
void *alloc_resize(void *p, size_t len);	/* p stays valid on failure */
char *alloc_text(const char *s);		/* a copy */
void alloc_free(void *p);			/* NULL is allowed */
/* How many of them did, ever: for work of libraries that go on without what they could not have. */
uint64_t alloc_failures(void);
/* For who hands out blocks of its own: a test wants this one to be missing; it counts. */
bool alloc_refused(void);

/*
 * Installs the allocator under OpenSSL and libevent.  Call first in main(), before any of both
 * was used.  ERR_INTERNAL when a library refused.
 */
CHECKED enum err alloc_install(void);
/*
 * Brings libcrypto up.  It tries that once in a process, and what memory lacked for then is missing
 * for good: later calls crash on it.  So a process that is to use it calls this first, and ends when
 * this fails: ERR_NO_MEMORY, or ERR_CRYPTO when its own configuration keeps it from working.
 */
CHECKED enum err alloc_libcrypto(void);

/* Overwrites memory in a way that the compiler may not remove. */
void wipe(void *p, size_t len);

#endif
