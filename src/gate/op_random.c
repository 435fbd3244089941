/* SPDX-License-Identifier: Apache-2.0 */
/* RNG Retrieve and RNG Seed (specification 1.4 sections 4.35 and 4.36). */
#include "request.h"

#include <openssl/rand.h>

#include "kmip/names.h"

enum { RANDOM_MAX = 16 << 10 };

static enum err
put_random(struct request *rq, size_t len)
{
	struct secret *bytes = secret_new(len, SECRET_TRANSIENT);
	enum err e = ERR_OK;

	if (bytes == NULL)
		return ERR_NO_SECURE_MEMORY;
	if (RAND_priv_bytes(secret_bytes(bytes), (int)len) == 1)
		ttlv_put_bytes(&rq->out, TAG_DATA, secret_bytes(bytes), len);
	else
		e = ERR_CRYPTO;
	secret_unref(bytes);
	return e;
}

void
rng_retrieve_start(struct request *rq)
{
	struct ttlv t;
	enum err e;

	ttlv_need(&rq->payload, TAG_DATA_LENGTH, TTLV_INTEGER, &t);
	e = ttlv_finish(&rq->payload);
	if (e == ERR_OK)
		e = ttlv_int(&t) > 0 && ttlv_int(&t) <= RANDOM_MAX
		    ? put_random(rq, (size_t)ttlv_int(&t))
		    : ERR_INVALID_FIELD;
	rq_done(rq, e);
}

/* What a client gives is mixed in, and not counted as entropy: others rely on the generator, too. */
void
rng_seed_start(struct request *rq)
{
	struct ttlv t;
	enum err e;

	ttlv_need(&rq->payload, TAG_DATA, TTLV_BYTES, &t);
	e = ttlv_finish(&rq->payload);
	if (e == ERR_OK) {
		RAND_add(t.value, (int)t.len, 0);
		ttlv_put_int(&rq->out, TAG_DATA_LENGTH, (int32_t)t.len);
	}
	rq_done(rq, e);
}
