/* SPDX-License-Identifier: Apache-2.0 */
/* The write set of one message. */
#include "changes.h"

#include <string.h>

enum err
changes_init(struct changes *c, struct arena *a, size_t room)
{
	c->all = arena_array(a, room, sizeof(*c->all));
	c->keys = arena_array(a, room, sizeof(struct secret *));
	c->olds = arena_array(a, room, sizeof(const struct object *));
	c->count = 0;
	c->room = c->all != NULL && c->keys != NULL && c->olds != NULL ? room : 0;
	return c->room == room ? ERR_OK : ERR_NO_MEMORY;
}

void
changes_drop(struct changes *c)
{
	for (size_t i = 0; i < c->count; i++) {
		secret_unref(c->keys[i]);
		c->keys[i] = NULL;
	}
	c->count = 0;
}

static size_t
place(const struct changes *c, const char *uid)
{
	size_t i = 0;

	while (i < c->count && strcmp(c->all[i].object->uid, uid) != 0)
		i++;
	return i;
}

const struct object *
changes_find(const struct changes *c, const char *uid)
{
	size_t i = place(c, uid);

	return i < c->count ? c->all[i].object : NULL;
}

const struct object *
changes_see_at(struct changes *c, const char *uid, int64_t now)
{
	size_t i = place(c, uid);

	if (i == c->count)
		return NULL;
	object_see_at(c->all[i].object, now);
	return c->all[i].object;
}

struct secret *
changes_key(const struct changes *c, const char *uid)
{
	size_t i = place(c, uid);

	return i < c->count ? c->keys[i] : NULL;
}

enum err
changes_put(struct changes *c, enum change_kind kind, struct object *o, struct secret *key)
{
	size_t i = place(c, o->uid);

	if (i == c->room) {
		secret_unref(key);
		return ERR_INTERNAL;
	}
	if (i == c->count) {
		c->all[i].kind = kind;
		c->keys[i] = key;
		c->olds[i] = NULL;
		c->count++;
	} else if (c->all[i].kind == CHANGE_UPDATE) {
		c->all[i].kind = kind;
	} else if (c->all[i].kind == CHANGE_REPLACE && kind == CHANGE_DESTROY) {
		c->all[i].kind = kind; /* the successor was not stored: it is the old one that goes */
		o->record = c->olds[i]->record;
		o->record_len = c->olds[i]->record_len;
	}
	c->all[i].object = o;
	return ERR_OK;
}

void
changes_as_stored(struct changes *c)
{
	for (size_t i = 0; i < c->count; i++)
		object_as_stored(c->all[i].object);
}

enum err
changes_replace(struct changes *c, struct object *o, const struct object *old)
{
	size_t i = place(c, o->uid);
	enum err e = changes_put(c, CHANGE_REPLACE, o, NULL);

	if (e == ERR_OK && c->all[i].kind == CHANGE_REPLACE && c->olds[i] == NULL)
		c->olds[i] = old;
	return e;
}
