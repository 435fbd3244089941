/* SPDX-License-Identifier: Apache-2.0 */
/* Cryptographic Parameters. */
#include "cryptparams.h"

#include "kmip/attr.h"
#include "kmip/names.h"

/* The structure's values were checked: all fields are known, in order and in range. */
static enum err
take(const struct ttlv *structure, struct cryptparams *p)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, structure);
	p->given = true;
	while (ttlv_next(&r, &t)) {
		switch (t.tag) {
		case TAG_BLOCK_CIPHER_MODE:
			p->mode = ttlv_uint(&t);
			break;
		case TAG_PADDING_METHOD:
			p->padding = ttlv_uint(&t);
			break;
		case TAG_HASHING_ALGORITHM:
			p->hash = ttlv_uint(&t);
			break;
		case TAG_CRYPTOGRAPHIC_ALGORITHM:
			p->algorithm = ttlv_uint(&t);
			break;
		case TAG_RANDOM_IV:
			p->random_iv = ttlv_bool(&t);
			break;
		case TAG_IV_LENGTH:
			p->iv_len = ttlv_uint(&t);
			break;
		case TAG_TAG_LENGTH:
			p->tag_len = ttlv_uint(&t);
			break;
		case TAG_FIXED_FIELD_LENGTH:
		case TAG_INVOCATION_FIELD_LENGTH:
		case TAG_COUNTER_LENGTH:
		case TAG_INITIAL_COUNTER_VALUE:
			return ERR_FEATURE_UNSUPPORTED; /* an IV is given as a whole */
		default:
			break;
		}
	}
	return r.error;
}

static enum err
check(const struct ttlv *structure, int version)
{
	struct kmip_attr at = {.id = ATTR_CRYPTOGRAPHIC_PARAMETERS, .value = *structure};

	return kmip_attr_check(&at, version) == ERR_OK ? ERR_OK : ERR_INVALID_FIELD;
}

enum err
cryptparams_read(struct ttlv_reader *r, int version, struct cryptparams *out)
{
	struct ttlv t;
	enum err e;

	*out = (struct cryptparams){.given = false};
	if (!ttlv_opt(r, TAG_CRYPTOGRAPHIC_PARAMETERS, TTLV_STRUCTURE, &t))
		return r->error;
	e = check(&t, version);
	return e == ERR_OK ? take(&t, out) : e;
}

enum err
cryptparams_of(const struct object *o, int version, struct cryptparams *out)
{
	const struct kmip_attr_info *info = kmip_attr_info(ATTR_CRYPTOGRAPHIC_PARAMETERS);
	const struct object_attr *oa = object_attr_get(o, info->name, 0);
	struct ttlv t;

	*out = (struct cryptparams){.given = false};
	if (oa == NULL || !kmip_attr_unpack_value(oa->value, oa->value_len, &t) ||
	    check(&t, version) != ERR_OK)
		return ERR_OK;
	return take(&t, out);
}

bool
cryptparams_same(const struct cryptparams *a, const struct cryptparams *b)
{
	return a->mode == b->mode && a->padding == b->padding && a->hash == b->hash &&
	    a->algorithm == b->algorithm && a->random_iv == b->random_iv &&
	    a->iv_len == b->iv_len && a->tag_len == b->tag_len;
}
