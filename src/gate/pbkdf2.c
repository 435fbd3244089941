/* SPDX-License-Identifier: Apache-2.0 */
/* PBKDF2 in slices. */
#include "pbkdf2.h"

#include <string.h>

enum { SLICE = 512 }; /* iterations of a turn: well under a millisecond */

static unsigned running; /* each has its slice in each turn */

static void
end(struct pbkdf2 *p)
{
	loop_undefer(&p->turn);
	running -= p->mac != NULL;
	crypto_free(p->mac);
	p->mac = NULL;
	secret_unref(p->block);
	p->block = NULL;
	buf_fini(&p->out);
}

static void
cancel(struct wait *w)
{
	struct pbkdf2 *p = CONTAINER_OF(w, struct pbkdf2, wait);

	end(p);
	secret_unref(p->key);
	p->key = NULL;
}

/* The MAC of what was added, into U. */
static enum err
mac_end(struct pbkdf2 *p)
{
	enum err e;

	buf_reset(&p->out);
	e = crypto_end(p->mac, &p->out);
	if (e == ERR_OK && p->digest_len == 0)
		p->digest_len = p->out.len;
	if (e == ERR_OK)
		memcpy(secret_bytes(p->block), p->out.data, p->out.len);
	return e == ERR_OK ? crypto_again(p->mac) : e;
}

static enum err
first(struct pbkdf2 *p)
{
	uint8_t number[4] = {(uint8_t)(p->number >> 24), (uint8_t)(p->number >> 16),
	    (uint8_t)(p->number >> 8), (uint8_t)p->number};
	uint8_t *u = secret_bytes(p->block);
	enum err e = crypto_add(p->mac, p->salt, p->salt_len, &p->out);

	if (e == ERR_OK)
		e = crypto_add(p->mac, number, sizeof(number), &p->out);
	if (e == ERR_OK)
		e = mac_end(p);
	memcpy(u + CRYPTO_MAC_MAX, u, CRYPTO_MAC_MAX);
	return e;
}

static enum err
next(struct pbkdf2 *p)
{
	uint8_t *u = secret_bytes(p->block);
	enum err e = crypto_add(p->mac, u, p->digest_len, &p->out);

	if (e == ERR_OK)
		e = mac_end(p);
	for (size_t i = 0; e == ERR_OK && i < p->digest_len; i++)
		u[CRYPTO_MAC_MAX + i] ^= u[i];
	return e;
}

/* A block is ready: true when the key is, too. */
static bool
take_block(struct pbkdf2 *p)
{
	size_t n = p->len - p->filled < p->digest_len ? p->len - p->filled : p->digest_len;

	memcpy(secret_bytes(p->key) + p->filled, secret_bytes(p->block) + CRYPTO_MAC_MAX, n);
	p->filled += n;
	p->number++;
	p->done = 0;
	return p->filled == p->len;
}

static void
slice(struct defer *d)
{
	struct pbkdf2 *p = CONTAINER_OF(d, struct pbkdf2, turn);
	enum err e = ERR_OK;
	bool ready = false;

	for (int i = 0; e == ERR_OK && !ready && i < SLICE; i++) {
		e = p->done == 0 ? first(p) : next(p);
		if (++p->done == p->iterations)
			ready = e == ERR_OK && take_block(p);
	}
	if (e == ERR_OK && !ready) {
		loop_defer_idle(p->loop, &p->turn);
		return;
	}
	end(p);
	if (e != ERR_OK) {
		secret_unref(p->key);
		p->key = NULL;
	}
	wait_finish(&p->wait, e);
}

static enum err
begin(struct pbkdf2 *p)
{
	enum err e;

	if (p->iterations == 0 || p->len == 0 || p->salt_len > PBKDF2_SALT_MAX ||
	    p->iterations > PBKDF2_ITERATIONS_MAX / ((p->len + 19) / 20))
		return ERR_INVALID_FIELD; /* as if the digest was the shortest, SHA-1 */
	if (running == PBKDF2_RUNNING_MAX)
		return ERR_BUSY;
	e = crypto_mac_new(&p->mac, p->algorithm, p->password);
	if (e != ERR_OK)
		return e;
	running++; /* as long as there is a mac */
	p->block = secret_new(2 * CRYPTO_MAC_MAX, SECRET_TRANSIENT);
	p->key = secret_new(p->len, SECRET_TRANSIENT);
	return p->block != NULL && p->key != NULL ? ERR_OK : ERR_NO_SECURE_MEMORY;
}

void
pbkdf2_start(struct pbkdf2 *p)
{
	enum err e;

	buf_init(&p->out, 2 * CRYPTO_MAC_MAX);
	p->number = 1;
	p->turn.fn = slice;
	e = begin(p);
	if (e != ERR_OK) {
		cancel(&p->wait);
		wait_finish_soon(p->loop, &p->wait, e);
		return;
	}
	p->wait.cancel = cancel;
	loop_defer_idle(p->loop, &p->turn);
}
