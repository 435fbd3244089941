/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import (specification 1.4 section 4.41): an object with all its attributes, as it was elsewhere.
 *
 * An object keeps its key for as long as it lives, and stays destroyed: so what is there already is
 * replaced by other attributes of the same key, and by no less restrictive state or rights.
 */
#include "register.h"

#include <ctype.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "appdata.h"
#include "inherit.h"
#include "objattr.h"
#include "usagelimits.h"
#include "wrap.h"

struct import {
	struct object *object;
	struct ttlv given_uid;
	bool replace;
	bool is_ours; /* the identifier is one that we have just made: nobody has it */
	struct keyblock block;
	struct ttlv digest; /* value NULL: none was given that we could check */
	struct wrap *wrap;  /* it is to be unwrapped before it is stored */
	struct secret *unwrapped;
	struct vault_make make;
};

static void unwrapping_key_fetched(struct request *rq, enum err e);
static void import_loaded(struct request *rq, enum err e);
static void imported(struct request *rq, enum err e);
static void replaced(struct request *rq, enum err e);

/* --- reading --- */

/* A text that could be one of our own uids: only these have a place with every vault. */
static bool
is_uuid(const struct ttlv *t)
{
	if (t->len != UID_TEXT_LEN)
		return false;
	for (size_t i = 0; i < t->len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		int c = t->value[i];

		if (dash ? c != '-' : !isxdigit(c) || isupper(c))
			return false;
	}
	return true;
}

/* Another identifier than ours is replaced by one of ours; a refusal is audited as it came. */
static enum err
read_uid(struct request *rq, struct import *im, uint32_t type)
{
	enum err e = create_begin(rq, im->object, type);
	char given[UID_TEXT_LEN + 1] = "";

	if (im->given_uid.len <= UID_TEXT_LEN) {
		memcpy(given, im->given_uid.value, im->given_uid.len);
		rq_about(rq, given);
	}
	im->is_ours = !is_uuid(&im->given_uid);
	if (im->is_ours)
		rq_note(rq, "identifier replaced");
	else
		memcpy(im->object->uid, im->given_uid.value, im->given_uid.len);
	return e;
}

/* Of several, one of the whole value by SHA-256. */
static void
note_digest(struct import *im, const struct ttlv *digest)
{
	struct ttlv_reader r;
	struct ttlv hash, value;

	ttlv_enter(&r, digest);
	if (ttlv_need(&r, TAG_HASHING_ALGORITHM, TTLV_ENUM, &hash) &&
	    ttlv_uint(&hash) == KMIP_HASHING_ALGORITHM_SHA_256 &&
	    ttlv_opt(&r, TAG_DIGEST_VALUE, TTLV_BYTES, &value))
		im->digest = value;
}

static enum err
take_attribute(struct request *rq, struct import *im, struct kmip_attr *at)
{
	const struct ttlv *v = &at->value;
	uint32_t index = 0;
	bool made;
	enum err e = appdata_complete(rq->arena, at, &made);

	if (e == ERR_OK)
		e = kmip_attr_check(at, rq->in.version);
	if (e != ERR_OK)
		return e;
	if (at->id == ATTR_UNIQUE_IDENTIFIER)
		return v->len == im->given_uid.len &&
			memcmp(v->value, im->given_uid.value, v->len) == 0
		    ? ERR_OK
		    : ERR_ATTRIBUTE_VALUE;
	if (at->id == ATTR_DIGEST)
		note_digest(im, v);
	return objattr_set(im->object, rq->arena, at, BY_IMPORT, rq->in.version, &index);
}

static enum err
take_attributes(struct request *rq, struct import *im, struct ttlv_reader *r)
{
	struct kmip_attr at;
	enum err e = ERR_OK;

	while (e == ERR_OK && kmip_attr_follows(r, rq->in.version) &&
	    kmip_attr_read(r, rq->arena, rq->in.version, true, &at))
		e = take_attribute(rq, im, &at);
	return e != ERR_OK ? e : r->error;
}

static enum err
read_attributes(struct request *rq, struct import *im)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (rq->in.version < KMIP_2_0)
		return take_attributes(rq, im, &rq->payload);
	if (!ttlv_need(&rq->payload, TAG_ATTRIBUTES, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	e = take_attributes(rq, im, &r);
	return e != ERR_OK ? e : ttlv_finish(&r);
}

/* Sets *unwrap. */
static enum err
read_options(struct request *rq, struct import *im, bool *unwrap)
{
	struct ttlv t;

	if (ttlv_opt(&rq->payload, TAG_REPLACE_EXISTING, TTLV_BOOLEAN, &t))
		im->replace = ttlv_bool(&t);
	if (!ttlv_opt(&rq->payload, TAG_KEY_WRAP_TYPE, TTLV_ENUM, &t))
		return rq->payload.error;
	*unwrap = ttlv_uint(&t) == KMIP_KEY_WRAP_TYPE_NOT_WRAPPED;
	return kmip_value_known(SET_KEY_WRAP_TYPE, ttlv_uint(&t), rq->in.version)
	    ? ERR_OK
	    : ERR_INVALID_FIELD;
}

static enum err
read_import(struct request *rq, struct import *im)
{
	struct ttlv type;
	bool unwrap = false;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &im->given_uid) ||
	    !ttlv_need(&rq->payload, TAG_OBJECT_TYPE, TTLV_ENUM, &type))
		return rq->payload.error;
	e = read_uid(rq, im, ttlv_uint(&type));
	if (e == ERR_OK)
		e = read_options(rq, im, &unwrap);
	if (e == ERR_OK)
		e = read_attributes(rq, im);
	if (e == ERR_OK)
		e = keyblock_read(&rq->payload, im->object->type, rq->in.version, &im->block);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e != ERR_OK || !unwrap || im->block.form.wrapping.value == NULL)
		return e;
	im->wrap = arena_zalloc(rq->arena, sizeof(*im->wrap));
	return im->wrap != NULL ? wrap_read_data(rq, im->wrap, &im->block.form.wrapping)
				: ERR_NO_MEMORY;
}

/*
 * What is not known here is nothing to wait for, and costs the client none of its look-ups: it gets
 * an identifier of its own.  Only who wants to replace something has to know whether it is there.
 */
static void
look(struct request *rq, struct import *im)
{
	if (im->is_ours)
		import_loaded(rq, ERR_NO_OBJECT);
	else if (im->replace)
		rq_load(rq, im->object->uid, import_loaded);
	else
		rq_load_here(rq, im->object->uid, import_loaded);
}

void
import_start(struct request *rq)
{
	struct import *im = rq->state = arena_zalloc(rq->arena, sizeof(*im));
	enum err e = ERR_NO_MEMORY;

	if (im != NULL)
		im->object = arena_zalloc(rq->arena, sizeof(*im->object));
	if (im != NULL && im->object != NULL)
		e = rq_own_secret(rq, &im->make.key);
	if (e == ERR_OK)
		e = rq_own_secret(rq, &im->unwrapped);
	if (e == ERR_OK)
		e = read_import(rq, im);
	if (e != ERR_OK) {
		rq_done(rq, e);
	} else if (im->wrap != NULL) {
		im->wrap->key.next = unwrapping_key_fetched;
		fetch_start(rq, &im->wrap->key);
	} else {
		look(rq, im);
	}
}

static void
unwrapping_key_fetched(struct request *rq, enum err e)
{
	struct import *im = rq->state;

	if (e == ERR_OK)
		e = wrap_undo(rq, im->wrap, &im->block, &im->unwrapped);
	if (e == ERR_OK)
		e = inherit(rq->arena, im->object, im->wrap->key.object, false);
	if (e == ERR_OK)
		look(rq, im);
	else
		rq_done(rq, wrap_error(im->wrap, e));
}

/* --- what it becomes --- */

/* Nobody can have been hidden always who is not now. */
static bool
history_right(const struct object *o)
{
	return (objattr_flag(o, ATTR_SENSITIVE) || !objattr_flag(o, ATTR_ALWAYS_SENSITIVE)) &&
	    (!objattr_flag(o, ATTR_EXTRACTABLE) || !objattr_flag(o, ATTR_NEVER_EXTRACTABLE));
}

/* What every object has is set, where it was not given. */
static enum err
complete(struct object *o)
{
	int64_t now = clock_wall();

	if (o->state == 0)
		o->state = OBJECT_PRE_ACTIVE;
	if (o->state > OBJECT_COMPROMISED)
		return ERR_WRONG_STATE; /* it has a key */
	if (o->date[DATE_DESTROY] != NO_DATE ||
	    (o->date[DATE_COMPROMISE] != NO_DATE && o->state < OBJECT_COMPROMISED))
		return ERR_ATTRIBUTE_VALUE;
	if (o->date[DATE_INITIAL] == NO_DATE)
		o->date[DATE_INITIAL] = now;
	if (o->date[DATE_LAST_CHANGE] == NO_DATE)
		o->date[DATE_LAST_CHANGE] = now;
	return history_right(o) ? ERR_OK : ERR_ATTRIBUTE_VALUE;
}

static enum err
prepare(struct request *rq, struct import *im)
{
	struct object *o = im->object;
	enum err e = complete(o);

	if (e == ERR_OK)
		e = register_check(o, &im->block);
	if (e == ERR_OK)
		e = register_keep(rq, o, &im->block);
	if (e == ERR_OK)
		e = register_take_material(&im->block, &im->make.key);
	if (e != ERR_OK)
		return e;
	if (SHA256(secret_bytes(im->make.key), secret_len(im->make.key), o->digest) == NULL)
		return ERR_CRYPTO;
	if (im->digest.value != NULL && im->block.form.wrapping.value == NULL &&
	    (im->digest.len != sizeof(o->digest) ||
		memcmp(im->digest.value, o->digest, sizeof(o->digest)) != 0))
		return ERR_ATTRIBUTE_VALUE; /* it is not the key that was exported */
	return ERR_OK;
}

/* What is hidden stays so, and nobody was hidden always who once was not. */
static bool
stays_hidden(const struct object *o, const struct object *old)
{
	static const struct {
		enum kmip_attr_id flag;
		bool kept; /* the value that stays */
	} flags[] = {
	    {ATTR_SENSITIVE, true},
	    {ATTR_EXTRACTABLE, false},
	    {ATTR_ALWAYS_SENSITIVE, false},
	    {ATTR_NEVER_EXTRACTABLE, false},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (objattr_flag(old, flags[i].flag) == flags[i].kept &&
		    objattr_flag(o, flags[i].flag) != flags[i].kept)
			return false;
	return true;
}

/* Nor is what was taken forgotten: limits of which nothing is taken are the client's to change. */
static bool
stays_limited(const struct object *o, const struct object *old)
{
	struct usagelimits now, before;

	return !usagelimits_of(old, &before) ||
	    (usagelimits_of(o, &now) && now.unit == before.unit && now.left <= before.left &&
		now.total - now.left >= before.total - before.left);
}

/* Other gateways would not hear of another usage mask: it is in the record, which stays. */
static enum err
check_rights(const struct request *rq, const struct object *o, const struct object *old)
{
	uint32_t more = rq->p.tenant->lookups != NULL ? o->usage_mask ^ old->usage_mask
						      : o->usage_mask & ~old->usage_mask;

	if (more != 0 || !stays_hidden(o, old) || !stays_limited(o, old))
		return ERR_MORE_RIGHTS;
	return ERR_OK;
}

static enum err
may_replace(const struct request *rq, const struct import *im, const struct object *old)
{
	const struct object *o = im->object;

	if (!im->replace)
		return ERR_OBJECT_EXISTS;
	if (object_is_destroyed(old))
		return ERR_WRONG_STATE;
	if (o->type != old->type || o->algorithm != old->algorithm || o->length != old->length ||
	    memcmp(o->digest, old->digest, sizeof(o->digest)) != 0)
		return ERR_OTHER_KEY;
	if (object_state_at(o, clock_wall()) < old->state)
		return ERR_WRONG_STATE;
	return check_rights(rq, o, old);
}

/*
 * The record stays, unless other gateways have to see in it that the object was revoked.  So does
 * the Initial Date, by which searches go, and whether it is archived, which is Recover's to end.
 */
static void
replace(struct request *rq, struct import *im)
{
	const struct object *old = rq_object(rq);
	struct object *o = im->object;
	bool revoked = o->state > OBJECT_ACTIVE && o->state > old->state;
	enum err e;

	o->date[DATE_INITIAL] = old->date[DATE_INITIAL];
	o->date[DATE_ARCHIVE] = old->date[DATE_ARCHIVE];
	o->revision = old->revision;
	o->record = old->record;
	o->record_len = old->record_len;
	if (rq->p.tenant->lookups != NULL && revoked) {
		if (changes_key(&rq->changes, o->uid) != NULL) { /* made in this message */
			o->record = NULL;
			o->record_len = 0;
		}
		create_make(rq, &im->make, o, replaced);
		return;
	}
	e = changes_put(&rq->changes, CHANGE_UPDATE, o, NULL);
	rq_set_placeholder(rq, o->uid);
	rq_put_uid(rq, o->uid);
	rq_done(rq, e);
}

/*
 * Where other gateways use the vault, they find a record by the time in its object's identifier,
 * remember that there was none, and do not take back one that was destroyed: so the identifier has
 * to say when the record was made, and to be new.
 */
static enum err
choose_uid(struct request *rq, struct import *im)
{
	if (rq->p.tenant->lookups == NULL || im->is_ours)
		return ERR_OK;
	im->is_ours = true;
	rq_note(rq, "identifier replaced");
	return text_uuid7(im->object->uid);
}

static void
import_loaded(struct request *rq, enum err e)
{
	struct import *im = rq->state;
	bool is_new = e == ERR_NO_OBJECT;

	if (is_new && !im->is_ours && rq_is_hidden(rq)) {
		rq_done(rq, ERR_OBJECT_EXISTS);
		return;
	}
	if (e == ERR_OK || is_new)
		e = prepare(rq, im);
	if (e == ERR_OK)
		e = is_new ? choose_uid(rq, im) : may_replace(rq, im, rq_object(rq));
	if (e != ERR_OK) {
		rq_done(rq, e);
	} else if (is_new) {
		im->make.object = im->object;
		create_make(rq, &im->make, im->object, imported);
	} else {
		replace(rq, im);
	}
}

static void
imported(struct request *rq, enum err e)
{
	struct import *im = rq->state;

	rq_done(rq, e == ERR_OK ? create_insert(rq, &im->make) : e);
}

static void
replaced(struct request *rq, enum err e)
{
	struct import *im = rq->state;

	if (e == ERR_OK)
		e = changes_replace(&rq->changes, im->object, rq_object(rq));
	rq_set_placeholder(rq, im->object->uid);
	rq_put_uid(rq, im->object->uid);
	rq_done(rq, e);
}
