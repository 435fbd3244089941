/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key bytes: counted, on OpenSSL's secure heap (locked, not dumped), wiped on the last unref.
 * Two budgets: what is kept for later (SECRET_KEPT) may fill at most half of the heap; the other
 * half is for OpenSSL's own private keys and for requests in flight (SECRET_TRANSIENT).
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum secret_use { SECRET_KEPT, SECRET_TRANSIENT };

struct secret;

/*
 * Makes the heap.  size: bytes, a power of two of at least 64 KiB.  ERR_NO_SECURE_MEMORY when it
 * could not be locked; with allow_unlocked that is tolerated and *locked says so.
 */
CHECKED enum err secret_heap_init(size_t size, bool allow_unlocked, bool *locked);

/* Bytes in use by everybody (OpenSSL included), and in use by SECRET_KEPT. */
size_t secret_heap_used(void);
size_t secret_heap_kept(void);
size_t secret_heap_size(void);

/* len bytes of zero with one reference, or NULL when budget or heap are exhausted. */
struct secret *secret_new(size_t len, enum secret_use use);
struct secret *secret_ref(struct secret *s);
void secret_unref(struct secret *s); /* NULL is allowed */

uint8_t *secret_bytes(struct secret *s);
size_t secret_len(const struct secret *s);
bool secret_equal(const struct secret *a, const struct secret *b); /* constant time */

#endif
