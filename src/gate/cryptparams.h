/* SPDX-License-Identifier: Apache-2.0 */
/* Cryptographic Parameters (specification 1.4 section 3.6), of a request or of an object. */
#ifndef GATE_CRYPTPARAMS_H
#define GATE_CRYPTPARAMS_H

#include "keys/object.h"
#include "kmip/ttlv.h"

/* Numbers are KMIP's; 0: not said. */
struct cryptparams {
	bool given;
	uint32_t mode, padding, hash, algorithm;
	bool random_iv;
	uint32_t iv_len, tag_len; /* bytes */
};

/* Takes the structure from r, if it is next.  ERR_INVALID_FIELD, ERR_FEATURE_UNSUPPORTED. */
CHECKED enum err cryptparams_read(struct ttlv_reader *r, int version, struct cryptparams *out);
/* Those that are an attribute of the object, the first instance. */
CHECKED enum err cryptparams_of(const struct object *o, int version, struct cryptparams *out);
/* Whether both say the same. */
bool cryptparams_same(const struct cryptparams *a, const struct cryptparams *b);

#endif
