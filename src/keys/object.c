/* SPDX-License-Identifier: Apache-2.0 */
/* Managed objects: attributes in order, copies, and the packed form that files and pipes hold. */
#include "keys/object.h"

#include <string.h>

enum {
	PACK_VERSION = 1,
	DATES_MIN = DATE_ARCHIVE, /* of the first release */
	STATE_HERE = 0x80,  /* beside the state: destroyed_here */
	ALGORITHM_3DES = 2, /* KMIP's number */
};

static int
attr_cmp(const struct object_attr *a, const char *name, uint32_t index)
{
	int c = (unsigned char)a->name[0] - (unsigned char)name[0]; /* mostly enough, without a call */

	if (c == 0)
		c = strcmp(a->name, name);
	return c != 0 ? c : a->index < index ? -1 : a->index > index;
}

/* The first instance that is not before (name, index). */
static size_t
attr_place(const struct object *o, const char *name, uint32_t index)
{
	size_t lo = 0, hi = o->attrs_count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (attr_cmp(&o->attrs[mid], name, index) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct object_attr *
object_attr_get(const struct object *o, const char *name, uint32_t index)
{
	size_t i = attr_place(o, name, index);

	if (i < o->attrs_count && attr_cmp(&o->attrs[i], name, index) == 0)
		return &o->attrs[i];
	return NULL;
}

/*
 * Every array has room for attr_room(count) instances: so growing costs little of an arena, which
 * gives nothing back, and the room needs no field of its own.
 */
static size_t
attr_room(size_t count)
{
	size_t room = 8;

	while (room < count)
		room *= 2;
	return room;
}

static enum err
attr_insert(struct object *o, struct arena *a, size_t place, const struct object_attr *attr)
{
	struct object_attr *grown = o->attrs;

	if (o->attrs_count >= OBJECT_ATTRS_MAX)
		return ERR_TOO_MANY_ATTRIBUTES;
	if (grown == NULL || attr_room(o->attrs_count + 1) > attr_room(o->attrs_count)) {
		grown = arena_array(a, attr_room(o->attrs_count + 1), sizeof(*grown));
		if (grown == NULL)
			return ERR_NO_MEMORY;
		for (size_t i = 0; i < o->attrs_count; i++)
			grown[i] = o->attrs[i];
	}
	for (size_t i = o->attrs_count; i > place; i--)
		grown[i] = grown[i - 1];
	grown[place] = *attr;
	o->attrs = grown;
	o->attrs_count++;
	return ERR_OK;
}

enum err
object_attr_set(struct object *o, struct arena *a, const char *name, size_t name_len,
    uint32_t index, const uint8_t *value, size_t value_len)
{
	struct object_attr attr = {.index = index, .value_len = value_len};
	struct object_attr *old;

	attr.name = arena_text(a, name, name_len);
	attr.value = arena_copy(a, value, value_len);
	if (attr.name == NULL || attr.value == NULL)
		return ERR_NO_MEMORY;
	old = object_attr_get(o, attr.name, index);
	if (old == NULL)
		return attr_insert(o, a, attr_place(o, attr.name, index), &attr);
	*old = attr;
	return ERR_OK;
}

bool
object_attr_remove(struct object *o, const char *name, uint32_t index)
{
	struct object_attr *at = object_attr_get(o, name, index);

	if (at == NULL)
		return false;
	o->attrs_count--;
	for (size_t i = (size_t)(at - o->attrs); i < o->attrs_count; i++)
		o->attrs[i] = o->attrs[i + 1];
	return true;
}

static bool
copy_attrs(struct arena *a, struct object *to, const struct object *from)
{
	to->attrs = arena_array(a, attr_room(from->attrs_count), sizeof(*to->attrs));
	if (to->attrs == NULL)
		return false;
	for (size_t i = 0; i < from->attrs_count; i++) {
		const struct object_attr *f = &from->attrs[i];
		struct object_attr *t = &to->attrs[i];

		*t = *f;
		t->name = arena_text(a, f->name, strlen(f->name));
		t->value = arena_copy(a, f->value, f->value_len);
		if (t->name == NULL || t->value == NULL)
			return false;
	}
	return true;
}

void
object_proof_fini(struct object_proof *p)
{
	list_remove(&p->link);
	secret_unref(p->key);
	p->key = NULL;
}

struct object *
object_copy(struct arena *a, const struct object *o)
{
	struct object *c = arena_copy(a, o, sizeof(*o));

	if (c == NULL || !copy_attrs(a, c, o))
		return NULL;
	c->proof = NULL;
	if (o->revocation_text != NULL) {
		c->revocation_text = arena_text(a, o->revocation_text, strlen(o->revocation_text));
		if (c->revocation_text == NULL)
			return NULL;
	}
	if (o->record != NULL) {
		c->record = arena_copy(a, o->record, o->record_len);
		if (c->record == NULL)
			return NULL;
	}
	return c;
}

size_t
object_copy_room(const struct object *o)
{
	size_t sum = arena_room(sizeof(*o)) + arena_room(attr_room(o->attrs_count) * sizeof(*o->attrs));

	for (size_t i = 0; i < o->attrs_count; i++)
		sum += arena_room(strlen(o->attrs[i].name) + 1) + arena_room(o->attrs[i].value_len);
	if (o->revocation_text != NULL)
		sum += arena_room(strlen(o->revocation_text) + 1);
	return sum + (o->record != NULL ? arena_room(o->record_len) : 0);
}

void
object_take_state(struct object *o, const struct object *from)
{
	if (from->state <= o->state)
		return;
	object_set_state(o, from->state);
	o->revocation_code = from->revocation_code;
	o->revocation_text = from->revocation_text;
	o->date[DATE_DEACTIVATION] = from->date[DATE_DEACTIVATION];
	o->date[DATE_COMPROMISE] = from->date[DATE_COMPROMISE];
	o->date[DATE_COMPROMISE_OCCURRENCE] = from->date[DATE_COMPROMISE_OCCURRENCE];
	o->date[DATE_LAST_CHANGE] = from->date[DATE_LAST_CHANGE];
	if (o->date[DATE_ACTIVATION] == NO_DATE)
		o->date[DATE_ACTIVATION] = from->date[DATE_ACTIVATION];
}

enum object_state
object_state_at(const struct object *o, int64_t now)
{
	enum object_state state = o->state;

	if (state == OBJECT_PRE_ACTIVE && o->date[DATE_ACTIVATION] != NO_DATE &&
	    o->date[DATE_ACTIVATION] <= now)
		state = OBJECT_ACTIVE;
	if (state == OBJECT_ACTIVE && o->date[DATE_DEACTIVATION] != NO_DATE &&
	    o->date[DATE_DEACTIVATION] <= now)
		state = OBJECT_DEACTIVATED;
	return state;
}

void
object_see_at(struct object *o, int64_t now)
{
	enum object_state then = o->state;

	o->state = object_state_at(o, now);
	if (o->stored == 0 && o->state != then)
		o->stored = then;
}

void
object_as_stored(struct object *o)
{
	if (o->stored != 0)
		object_set_state(o, o->stored);
}

void
object_set_state(struct object *o, enum object_state state)
{
	o->state = state;
	o->stored = 0;
}

/* DES has a bit of parity for seven bits of key, which some count and some do not. */
size_t
object_material_len(const struct object *o)
{
	if (object_attr_get(o, OBJECT_FORM, 0) != NULL)
		return 0;
	if (o->algorithm == ALGORITHM_3DES && (o->length == 112 || o->length == 168))
		return o->length / 7;
	return o->length / 8;
}

void
object_pack(struct buf *b, const struct object *o)
{
	pack_u8(b, PACK_VERSION);
	pack_text(b, o->tenant);
	pack_text(b, o->uid);
	pack_u64(b, o->revision);
	pack_u32(b, o->type);
	pack_u8(b, (uint8_t)(o->state | (o->destroyed_here ? STATE_HERE : 0)));
	pack_u32(b, o->algorithm);
	pack_u32(b, o->length);
	pack_u32(b, o->usage_mask);
	pack_u8(b, DATE_COUNT);
	for (int i = 0; i < DATE_COUNT; i++)
		pack_u64(b, (uint64_t)o->date[i]);
	pack_u32(b, o->revocation_code);
	pack_u8(b, o->revocation_text != NULL);
	pack_text(b, o->revocation_text);
	pack_bytes(b, o->digest, sizeof(o->digest));
	pack_u8(b, o->record != NULL);
	pack_bytes(b, o->record, o->record != NULL ? o->record_len : 0);
	pack_u32(b, (uint32_t)o->attrs_count);
	for (size_t i = 0; i < o->attrs_count; i++) {
		pack_text(b, o->attrs[i].name);
		pack_u32(b, o->attrs[i].index);
		pack_bytes(b, o->attrs[i].value, o->attrs[i].value_len);
	}
}

/*
 * Text of any length.  Like what follows it notes in u whatever is damaged, as reads of that do, and is
 * false without memory.
 */
static bool
unpack_arena_text(struct unpack *u, struct arena *a, const char **out)
{
	size_t len;
	const uint8_t *at = unpack_bytes(u, &len);

	if (memchr(at, 0, len) != NULL)
		u->bad = true;
	*out = arena_text(a, (const char *)at, len);
	return *out != NULL;
}

static void
unpack_fields(struct unpack *u, struct object *o)
{
	uint8_t state, dates;

	unpack_text(u, o->tenant, sizeof(o->tenant));
	unpack_text(u, o->uid, sizeof(o->uid));
	o->revision = unpack_u64(u);
	o->type = unpack_u32(u);
	state = unpack_u8(u);
	o->destroyed_here = (state & STATE_HERE) != 0;
	state &= (uint8_t)~STATE_HERE;
	if (state < OBJECT_PRE_ACTIVE || state > OBJECT_DESTROYED_COMPROMISED ||
	    (o->destroyed_here && !object_is_destroyed(&(struct object){.state = state})))
		u->bad = true;
	o->state = (enum object_state)state;
	o->algorithm = unpack_u32(u);
	o->length = unpack_u32(u);
	o->usage_mask = unpack_u32(u);
	dates = unpack_u8(u);
	if (dates < DATES_MIN || dates > DATE_COUNT)
		u->bad = true;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = i < dates ? (int64_t)unpack_u64(u) : NO_DATE;
	o->revocation_code = unpack_u32(u);
}

static bool
unpack_blobs(struct unpack *u, struct arena *a, struct object *o)
{
	bool have = unpack_u8(u) != 0;
	const uint8_t *at;
	size_t len;

	if (!unpack_arena_text(u, a, &o->revocation_text))
		return false;
	if (!have && o->revocation_text[0] != '\0')
		u->bad = true;
	if (!have)
		o->revocation_text = NULL;
	at = unpack_bytes(u, &len);
	if (len == sizeof(o->digest))
		memcpy(o->digest, at, len);
	else
		u->bad = true;
	have = unpack_u8(u) != 0;
	at = unpack_bytes(u, &len);
	if (!have && len > 0)
		u->bad = true;
	if (!have)
		return true;
	o->record = arena_copy(a, at, len);
	o->record_len = len;
	return o->record != NULL;
}

/* Each has to come after the one before, so that the order is what lookups rely on. */
static bool
unpack_attrs(struct unpack *u, struct arena *a, struct object *o)
{
	size_t count = unpack_u32(u);

	if (count > OBJECT_ATTRS_MAX)
		u->bad = true;
	if (u->bad)
		return true;
	o->attrs = arena_array(a, attr_room(count), sizeof(*o->attrs));
	if (o->attrs == NULL)
		return false;
	for (; o->attrs_count < count && !u->bad; o->attrs_count++) {
		struct object_attr *at = &o->attrs[o->attrs_count];
		const uint8_t *value;

		if (!unpack_arena_text(u, a, &at->name))
			return false;
		at->index = unpack_u32(u);
		value = unpack_bytes(u, &at->value_len);
		at->value = arena_copy(a, value, at->value_len);
		if (at->value == NULL)
			return false;
		if (o->attrs_count > 0 && attr_cmp(at - 1, at->name, at->index) >= 0)
			u->bad = true;
	}
	return true;
}

enum err
object_unpack(const void *data, size_t len, struct arena *a, struct object **out)
{
	struct object *o = arena_zalloc(a, sizeof(*o));
	struct unpack u;

	unpack_init(&u, data, len);
	u.bad = unpack_u8(&u) != PACK_VERSION;
	if (o == NULL)
		return ERR_NO_MEMORY;
	unpack_fields(&u, o);
	if (!unpack_blobs(&u, a, o) || !unpack_attrs(&u, a, o))
		return ERR_NO_MEMORY;
	if (!unpack_done(&u))
		return ERR_CORRUPT;
	*out = o;
	return ERR_OK;
}
