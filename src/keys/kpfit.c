/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into a record that cannot hold all of an object. */
#include "kpfit.h"

#include <string.h>

#include "kprecord.h"

/* WRAP_SLACK: how much longer a ciphertext may be than the one before, of the same key. */
enum { WRAP_SLACK = 64, WRAP_HEAD = 4 + UID_TEXT_LEN + 4 };

struct fit {
	const struct object *o;
	const struct object *was;			   /* as its record says */
	const struct object_attr *taken[OBJECT_ATTRS_MAX]; /* for each of o's; NULL: left out */
	size_t room;
};

/* Without them another gateway would serve what must not be served, or something else. */
static const char *const decisive[] = {OBJECT_FORM, "Sensitive", "Extractable", "Always Sensitive",
    "Never Extractable", "Usage Limits"};

/* Of its clear part.  It may be more than a record can have. */
static enum err
measure(const struct object *o, size_t *len)
{
	struct buf b;
	enum err e;

	buf_init(&b, 2 * OBJECT_SIZE_MAX);
	envelope_pack_clear(&b, o, 1);
	e = buf_error(&b);
	if (e == ERR_OK)
		*len = b.len;
	buf_fini(&b);
	return e == ERR_RESPONSE_TOO_LARGE ? ERR_TOO_MANY_ATTRIBUTES : e;
}

static bool
take(struct fit *f, size_t i, const struct object_attr *at)
{
	size_t len = envelope_attr_len(at);

	if (f->taken[i] != NULL || len > f->room)
		return false;
	f->taken[i] = at;
	f->room -= len;
	return true;
}

static enum err
take_decisive(struct fit *f)
{
	for (size_t i = 0; i < sizeof(decisive) / sizeof(decisive[0]); i++) {
		const struct object_attr *at = object_attr_get(f->o, decisive[i], 0);

		if (at != NULL && !take(f, (size_t)(at - f->o->attrs), at) &&
		    strcmp(decisive[i], OBJECT_FORM) == 0)
			return ERR_TOO_MANY_ATTRIBUTES;
	}
	return ERR_OK;
}

static void
take_others(struct fit *f)
{
	for (size_t i = 0; i < f->o->attrs_count; i++) {
		const struct object_attr *at = &f->o->attrs[i];

		at = object_attr_get(f->was, at->name, at->index);
		if (at != NULL)
			take(f, i, at);
	}
	for (size_t i = 0; i < f->o->attrs_count; i++)
		if (object_attr_get(f->was, f->o->attrs[i].name, f->o->attrs[i].index) == NULL)
			take(f, i, &f->o->attrs[i]);
}

/* bare: the object without attributes; gets what goes in. */
static enum err
choose(struct fit *f, struct object *bare)
{
	size_t len, text = bare->revocation_text != NULL ? strlen(bare->revocation_text) : 0;
	enum err e;

	bare->revocation_text = NULL;
	e = measure(bare, &len);
	if (e != ERR_OK)
		return e;
	if (len > f->room)
		return ERR_TOO_MANY_ATTRIBUTES;
	f->room -= len;
	e = take_decisive(f);
	if (e != ERR_OK)
		return e;
	if (text <= f->room) {
		bare->revocation_text = f->o->revocation_text;
		f->room -= text;
	}
	take_others(f);
	for (size_t i = 0; i < f->o->attrs_count; i++)
		if (f->taken[i] != NULL)
			bare->attrs[bare->attrs_count++] = *f->taken[i];
	return ERR_OK;
}

enum err
kpfit(const struct object *o, struct arena *a, const struct object **out)
{
	struct fit f = {.o = o};
	struct object *bare, *was;
	struct kprecord r;
	size_t len;
	enum err e;

	*out = o;
	if (kprecord_read(&r, o) != ERR_OK)
		return ERR_OK;
	f.room = KP_PAYLOAD_MAX - WRAP_HEAD - WRAP_SLACK - r.ciphertext_len;
	e = measure(o, &len);
	if (e != ERR_OK || len <= f.room)
		return e;
	e = kprecord_object(o, a, &was);
	if (e != ERR_OK)
		return e;
	f.was = was;
	bare = arena_copy(a, o, sizeof(*o));
	if (bare == NULL)
		return ERR_NO_MEMORY;
	bare->attrs = arena_array(a, o->attrs_count, sizeof(*bare->attrs));
	bare->attrs_count = 0;
	if (bare->attrs == NULL)
		return ERR_NO_MEMORY;
	e = choose(&f, bare);
	if (e == ERR_OK)
		*out = bare;
	return e;
}
