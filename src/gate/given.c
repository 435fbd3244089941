/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that the payloads of many operations have in common, as the versions encode them. */
#include "request.h"

#include <string.h>

#include "kmip/names.h"

#include "objattr.h"

/* --- the object that is meant --- */

/* Values of the enumeration Unique Identifier that mean what an operation of the message made. */
static const struct {
	uint32_t value, operation;
} makers[] = {
    {KMIP_UNIQUE_IDENTIFIER_CREATE, KMIP_OPERATION_CREATE},
    {KMIP_UNIQUE_IDENTIFIER_DERIVE_KEY, KMIP_OPERATION_DERIVE_KEY},
    {KMIP_UNIQUE_IDENTIFIER_IMPORT, KMIP_OPERATION_IMPORT},
    {KMIP_UNIQUE_IDENTIFIER_LOCATE, KMIP_OPERATION_LOCATE},
    {KMIP_UNIQUE_IDENTIFIER_REGISTER, KMIP_OPERATION_REGISTER},
    {KMIP_UNIQUE_IDENTIFIER_RE_KEY, KMIP_OPERATION_RE_KEY},
};

static const char *
answered_uid(const struct request *rq, unsigned item)
{
	const struct outcome *oc = &rq->outcomes[item];

	return oc->err == ERR_OK && oc->uid[0] != '\0' ? oc->uid : NULL;
}

/* What the last operation of that kind answered; NULL when there is none. */
static const char *
uid_by_maker(const struct request *rq, uint32_t value)
{
	for (size_t m = 0; m < sizeof(makers) / sizeof(makers[0]); m++) {
		for (unsigned i = rq->item; makers[m].value == value && i-- > 0;)
			if (rq->in.items[i].operation == makers[m].operation)
				return answered_uid(rq, i);
	}
	return NULL;
}

/* The n-th that the message answered so far, from 0; backwards from the last one for -1, -2, ... */
static const char *
uid_by_number(const struct request *rq, int32_t n)
{
	int32_t count = 0;

	for (unsigned i = 0; i < rq->item; i++)
		count += answered_uid(rq, i) != NULL;
	if (n < 0)
		n += count;
	for (unsigned i = 0; n >= 0 && i < rq->item; i++)
		if (answered_uid(rq, i) != NULL && n-- == 0)
			return answered_uid(rq, i);
	return NULL;
}

/* 2.x has other ways than a text.  False when the next field is none of them. */
static bool
take_uid_reference(struct request *rq, const char **uid)
{
	struct ttlv_reader r = rq->payload;
	struct ttlv t;

	if (rq->in.version < KMIP_2_0 || ttlv_peek(&r) != TAG_UNIQUE_IDENTIFIER ||
	    !ttlv_next(&r, &t) || (t.type != TTLV_ENUM && t.type != TTLV_INTEGER))
		return false;
	rq->payload = r;
	if (t.type == TTLV_INTEGER)
		*uid = uid_by_number(rq, ttlv_int(&t));
	else if (ttlv_uint(&t) != KMIP_UNIQUE_IDENTIFIER_ID_PLACEHOLDER)
		*uid = uid_by_maker(rq, ttlv_uint(&t));
	else
		*uid = rq->placeholder[0] != '\0' ? rq->placeholder : NULL;
	return true;
}

enum err
rq_take_uid(struct request *rq, char uid[UID_TEXT_LEN + 1])
{
	const char *meant;
	struct ttlv t;

	if (take_uid_reference(rq, &meant)) {
		if (meant == NULL)
			return ERR_NO_OBJECT;
		memcpy(uid, meant, strlen(meant) + 1);
	} else if (!ttlv_opt(&rq->payload, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t)) {
		if (rq->payload.error != ERR_OK)
			return rq->payload.error;
		if (rq->placeholder[0] == '\0')
			return ERR_MISSING_DATA;
		memcpy(uid, rq->placeholder, sizeof(rq->placeholder));
	} else {
		if (t.len == 0 || t.len > UID_TEXT_LEN)
			return ERR_NO_OBJECT;
		memcpy(uid, t.value, t.len);
		uid[t.len] = '\0';
	}
	rq_about(rq, uid);
	return ERR_OK;
}

/* --- attributes --- */

enum err
rq_take_attribute(struct request *rq, uint32_t tag, struct kmip_attr *out)
{
	struct ttlv_reader r;
	struct ttlv t;

	if (rq->in.version < KMIP_2_0) {
		kmip_attr_read(&rq->payload, rq->arena, rq->in.version, true, out);
		return rq->payload.error;
	}
	if (!ttlv_need(&rq->payload, tag, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	kmip_attr_read(&r, rq->arena, rq->in.version, true, out);
	return ttlv_finish(&r);
}

enum err
rq_put_attributes(struct request *rq, const struct object *o)
{
	bool structured = rq->in.version >= KMIP_2_0;
	struct kmip_attr *list = NULL;
	size_t count = 0, mark = 0;
	enum err e = objattr_list(rq->arena, o, rq->in.version, &list, &count);

	if (e != ERR_OK)
		return e;
	if (structured)
		mark = ttlv_begin(&rq->out, TAG_ATTRIBUTES);
	for (size_t i = 0; i < count; i++)
		kmip_attr_write(&rq->out, rq->in.version, &list[i]);
	if (structured)
		ttlv_end(&rq->out, mark);
	return ERR_OK;
}

enum err
rq_take_protection(struct request *rq)
{
	bool met = false;
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (rq->in.version < KMIP_2_0 ||
	    !ttlv_opt(&rq->payload, TAG_PROTECTION_STORAGE_MASKS, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	while (ttlv_opt(&r, TAG_PROTECTION_STORAGE_MASK, TTLV_INTEGER, &t))
		met |= (ttlv_uint(&t) & ~OBJATTR_PROTECTION) == 0;
	e = ttlv_finish(&r);
	return e != ERR_OK || met ? e : ERR_NO_PROTECTION;
}
