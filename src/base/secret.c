/* SPDX-License-Identifier: Apache-2.0 */
/* Counted key bytes on OpenSSL's secure heap. */
#include "base/secret.h"

#include <assert.h>

#include <openssl/crypto.h>

#include "base/alloc.h"
#include "base/fault.h"

struct secret {
	size_t len, charged;
	unsigned refs;
	enum secret_use use;
	uint8_t *bytes;
};

static size_t heap_size, heap_kept;

enum err
secret_heap_init(size_t size, bool allow_unlocked, bool *locked)
{
	int rc = CRYPTO_secure_malloc_initialized() ? 1 : CRYPTO_secure_malloc_init(size, 16);

	if (rc == 0 || (rc != 1 && !allow_unlocked))
		return ERR_NO_SECURE_MEMORY;
	heap_size = size;
	*locked = rc == 1;
	return ERR_OK;
}

size_t
secret_heap_used(void)
{
	return CRYPTO_secure_used();
}

size_t
secret_heap_kept(void)
{
	return heap_kept;
}

size_t
secret_heap_size(void)
{
	return heap_size;
}

/* Never falls back to the ordinary heap, as OPENSSL_secure_zalloc() would without init. */
struct secret *
secret_new(size_t len, enum secret_use use)
{
	struct secret *s;

	if (heap_size == 0 || fault_hit(FAULT_SECRET_ALLOC))
		return NULL;
	s = alloc_zero(sizeof(*s));
	if (s == NULL)
		return NULL;
	s->bytes = OPENSSL_secure_zalloc(len > 0 ? len : 1);
	if (s->bytes == NULL) {
		alloc_free(s);
		return NULL;
	}
	s->len = len;
	s->refs = 1;
	s->use = use;
	s->charged = CRYPTO_secure_actual_size(s->bytes); /* rounded up to a power of two */
	if (use == SECRET_KEPT && s->charged > heap_size / 2 - heap_kept) {
		s->use = SECRET_TRANSIENT; /* it was never charged */
		secret_unref(s);
		return NULL;
	}
	if (use == SECRET_KEPT)
		heap_kept += s->charged;
	return s;
}

struct secret *
secret_ref(struct secret *s)
{
	s->refs++;
	return s;
}

void
secret_unref(struct secret *s)
{
	if (s == NULL)
		return;
	assert(s->refs > 0);
	if (--s->refs > 0)
		return;
	if (s->use == SECRET_KEPT)
		heap_kept -= s->charged;
	OPENSSL_secure_clear_free(s->bytes, s->len > 0 ? s->len : 1);
	alloc_free(s);
}

uint8_t *
secret_bytes(struct secret *s)
{
	return s->bytes;
}

size_t
secret_len(const struct secret *s)
{
	return s->len;
}

bool
secret_equal(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && CRYPTO_memcmp(a->bytes, b->bytes, a->len) == 0;
}
