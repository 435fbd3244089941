/* SPDX-License-Identifier: Apache-2.0 */
/* The process allocator: wipes what it frees. */
#include "base/alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/fault.h"

void
wipe(void *p, size_t len)
{
	if (p != NULL)
		explicit_bzero(p, len);
}

static _Atomic uint64_t failures; /* libcurl resolves names in threads of its own */

uint64_t
alloc_failures(void)
{
	return atomic_load_explicit(&failures, memory_order_relaxed);
}

static void *
counted(void *p)
{
	if (p == NULL)
		atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
	return p;
}

bool
alloc_refused(void)
{
	return fault_hit(FAULT_ALLOC) && counted(NULL) == NULL;
}

void *
alloc_bytes(size_t len)
{
	return alloc_refused() ? NULL : counted(malloc(len > 0 ? len : 1));
}

void *
alloc_zero(size_t len)
{
	return alloc_array(1, len);
}

void *
alloc_array(size_t count, size_t size)
{
	return alloc_refused() ? NULL : counted(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

/* realloc() would leave the old block behind unwiped, so this moves by hand. */
void *
alloc_resize(void *p, size_t len)
{
	size_t have = p != NULL ? malloc_usable_size(p) : 0;
	void *q;

	if (p != NULL && len <= have && len >= have / 2)
		return p;
	q = alloc_bytes(len);
	if (q == NULL)
		return len <= have ? p : NULL; /* shrinking cannot fail */
	if (p != NULL)
		memcpy(q, p, have < len ? have : len);
	alloc_free(p);
	return q;
}

char *
alloc_text(const char *s)
{
	size_t len = strlen(s) + 1;
	char *copy = alloc_bytes(len);

	return copy != NULL ? memcpy(copy, s, len) : NULL;
}

void
alloc_free(void *p)
{
	if (p == NULL)
		return;
	wipe(p, malloc_usable_size(p));
	free(p);
}

static void *
openssl_malloc(size_t len, const char *file, int line)
{
	(void)file, (void)line;
	return alloc_bytes(len);
}

/* OpenSSL hands a length of zero on to us, and means free(). */
static void *
openssl_realloc(void *p, size_t len, const char *file, int line)
{
	(void)file, (void)line;
	if (len == 0) {
		alloc_free(p);
		return NULL;
	}
	return alloc_resize(p, len);
}

static void
openssl_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	alloc_free(p);
}

/*
 * glibc takes a large block from the system, and returns it; but once one was freed, it takes the next of
 * its size from the heap, and keeps twice as much there.  What a look through all keys needs for a moment
 * would stay resident for days.  A limit that is set does not move.
 */
enum { LARGE = 128 * 1024 };

enum err
alloc_install(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, LARGE); /* a sanitizer's allocator refuses */
	if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
		return ERR_INTERNAL;
	event_set_mem_functions(alloc_bytes, alloc_resize, alloc_free);
	return ERR_OK;
}

/* The order counts: without a library context not even the question for randomness is safe. */
enum err
alloc_libcrypto(void)
{
	uint64_t before = alloc_failures();

	bool up = OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1 && alloc_failures() == before &&
	    RAND_status() == 1;

	if (alloc_failures() != before)
		return ERR_NO_MEMORY;
	return up ? ERR_OK : ERR_CRYPTO;
}
