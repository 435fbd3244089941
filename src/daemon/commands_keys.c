/* SPDX-License-Identifier: Apache-2.0 */
/* Control commands about stored objects: list, show, backup. */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "kmip/attr.h"
#include "kmip/message.h"
#include "kmip/names.h"

#include "daemon.h"
#include "keys_select.h"

enum { LIST_DEFAULT = 1000, LIST_MOST = 100000, ARENA_MAX = 64 << 20, SENTENCE_MAX = 1024 };

/* One run over the tenants' objects; freed in keys_end(). */
struct keys {
	struct control_call *call;
	struct tenants *tenants; /* of the moment the command came in */
	const struct tenant *tenant;
	size_t next_tenant, end_tenant; /* those that are still to be looked at */
	const char *uid; /* keys show */
	struct arena *arena;
	struct arena *object_arena;
	struct ledger_find find;
	struct ledger_load load;
	struct selection selection;
	struct wait flushed; /* the last uses that are only in memory yet */
	size_t at;
	uint32_t left; /* of max */
	struct json json;
};

static void keys_next_tenant(struct keys *k);
static void keys_next_object(struct keys *k);

static void
keys_end(struct keys *k, enum err e, const char *detail)
{
	control_done(k->call, e, detail);
	arena_free(k->arena);
	arena_free(k->object_arena);
	tenants_unref(k->tenants);
	alloc_free(k);
}

/* A value as people read it: text and numbers as they are, all else in hexadecimal. */
static void
put_value(struct json *j, const char *key, const struct object_attr *oa)
{
	struct ttlv v;
	struct buf hex;

	if (!kmip_attr_unpack_value(oa->value, oa->value_len, &v))
		return;
	if (v.type == TTLV_TEXT) {
		json_bytes(j, key, v.value, v.len);
		return;
	}
	if (v.type == TTLV_INTEGER || v.type == TTLV_ENUM) {
		json_int(j, key, v.type == TTLV_ENUM ? (int64_t)ttlv_uint(&v) : ttlv_int(&v));
		return;
	}
	if (v.type == TTLV_STRUCTURE) {
		struct ttlv_reader r;
		struct ttlv first;

		ttlv_enter(&r, &v);
		if (ttlv_opt(&r, TAG_NAME_VALUE, TTLV_TEXT, &first)) {
			json_bytes(j, key, first.value, first.len);
			return;
		}
	}
	buf_init(&hex, 2 * ATTR_VALUE_MAX + 1);
	for (uint32_t i = 0; i < v.len; i++)
		buf_printf(&hex, "%02x", v.value[i]);
	if (buf_error(&hex) != ERR_OK)
		j->out->error = buf_error(&hex); /* the command fails: half a value is none */
	json_bytes(j, key, hex.data, hex.len);
	buf_fini(&hex);
}

static void
put_dates(struct json *j, const struct object *o)
{
	static const struct {
		const char *key;
		enum object_date date;
	} dates[] = {{"created", DATE_INITIAL}, {"activated", DATE_ACTIVATION},
	    {"deactivated", DATE_DEACTIVATION}, {"compromised", DATE_COMPROMISE},
	    {"destroyed", DATE_DESTROY}, {"archived", DATE_ARCHIVE},
	    {"changed", DATE_LAST_CHANGE}};

	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
		if (o->date[dates[i].date] != NO_DATE)
			json_date(j, dates[i].key, o->date[dates[i].date]); /* 1970's first is one, too */
}

void
keys_put_uses(struct json *j, const struct keyferryd *d, const struct ledger_load *l)
{
	int64_t used = uses_last(d->uses, l->object->tenant, l->object->uid);

	if (used == NO_DATE)
		used = l->used; /* what is in memory is newer */
	if (used != NO_DATE)
		json_time(j, "last-used", used);
	else if (l->known_since != NO_DATE)
		json_time(j, "unused-since", l->known_since);
}

static const char *
name_or(enum kmip_set set, uint32_t value)
{
	const char *name = kmip_value_name(set, value);

	return name != NULL ? name : "unknown";
}

static void
put_object(struct keys *k, const struct object *o)
{
	struct json *j = &k->json;

	json_object(j, NULL);
	json_text(j, "uid", o->uid);
	json_text(j, "tenant", o->tenant);
	json_text(j, "state", name_or(SET_STATE, object_state_at(o, k->find.now)));
	json_text(j, "type", name_or(SET_OBJECT_TYPE, o->type));
	if (o->algorithm != 0)
		json_text(j, "algorithm",
		    name_or(SET_CRYPTOGRAPHIC_ALGORITHM, o->algorithm));
	json_int(j, "length", o->length);
	put_dates(j, o);
	keys_put_uses(j, k->call->user, &k->load);
	if (o->revocation_code != 0) {
		json_text(j, "revocation", name_or(SET_REVOCATION_REASON_CODE, o->revocation_code));
		json_text(j, "revocation-message", o->revocation_text);
	}
	json_array(j, "attributes");
	for (size_t i = 0; i < o->attrs_count; i++) {
		json_object(j, NULL);
		json_text(j, "name", o->attrs[i].name);
		json_int(j, "index", o->attrs[i].index);
		put_value(j, "value", &o->attrs[i]);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

static void
object_loaded(struct wait *w, enum err e)
{
	struct keys *k = CONTAINER_OF(w, struct keys, load.wait);

	/* one that went away since it was found is not worth an error */
	if (e == ERR_OK) {
		put_object(k, k->load.object);
	} else if (e != ERR_NO_OBJECT) {
		keys_end(k, e, NULL);
		return;
	}
	k->at++;
	keys_next_object(k);
}

static void
load_object(struct keys *k, const char *uid, void (*done)(struct wait *, enum err))
{
	struct ledger *l = k->tenant->ledger;

	arena_free(k->object_arena);
	k->object_arena = arena_new(OBJECT_ARENA_MAX);
	if (k->object_arena == NULL) {
		keys_end(k, ERR_NO_MEMORY, NULL);
		return;
	}
	k->load = (struct ledger_load){
	    .arena = k->object_arena, .tenant = k->tenant->id, .uid = uid};
	k->load.wait.done = done;
	l->ops->load(l, &k->load);
}

static void
keys_next_object(struct keys *k)
{
	if (buf_error(&k->call->out) != ERR_OK)
		keys_end(k, ERR_RESPONSE_TOO_LARGE, "too many for one answer: use max and offset");
	else if (k->at < k->find.uids_count)
		load_object(k, k->find.uids[k->at], object_loaded);
	else
		keys_next_tenant(k);
}

static void
keys_found(struct wait *w, enum err e)
{
	struct keys *k = CONTAINER_OF(w, struct keys, find.wait);
	uint32_t offset = k->find.offset;

	if (e != ERR_OK) {
		keys_end(k, e, NULL);
		return;
	}
	/* offset and max count over all tenants */
	k->find.offset = k->find.total < offset ? offset - (uint32_t)k->find.total : 0;
	k->left -= k->find.uids_count < k->left ? (uint32_t)k->find.uids_count : k->left;
	k->at = 0;
	keys_next_object(k);
}

static void
keys_next_tenant(struct keys *k)
{
	if (k->next_tenant == k->end_tenant || k->left == 0) {
		json_array_end(&k->json);
		keys_end(k, ERR_OK, NULL);
		return;
	}
	k->tenant = tenants_at(k->tenants, k->next_tenant++);
	k->find.tenant = k->tenant->id;
	k->find.max = k->left;
	k->find.wait.done = keys_found;
	k->tenant->ledger->ops->find(k->tenant->ledger, &k->find);
}

static struct keys *
keys_new(struct control_call *call)
{
	struct keyferryd *d = call->user;
	struct keys *k = alloc_zero(sizeof(*k));

	if (k == NULL)
		return NULL;
	k->call = call;
	k->tenants = tenants_ref(gate_tenants(d->gate));
	k->end_tenant = tenants_count(k->tenants);
	k->find.now = clock_wall();
	k->arena = arena_new(ARENA_MAX);
	json_init(&k->json, &call->out);
	if (k->arena == NULL) {
		tenants_unref(k->tenants);
		alloc_free(k);
		return NULL;
	}
	return k;
}

static void
uses_flushed(struct wait *w, enum err e)
{
	struct keys *k = CONTAINER_OF(w, struct keys, flushed);

	if (e != ERR_OK)
		keys_end(k, e, NULL);
	else
		keys_next_tenant(k);
}

void
keys_list_run(struct control_call *call)
{
	struct keys *k = keys_new(call);
	const char *wrong;
	uint64_t max, offset;

	if (k == NULL) {
		control_done(call, ERR_NO_MEMORY, NULL);
		return;
	}
	wrong = select_tenant(k->tenants, control_arg(call, "tenant"), &k->next_tenant,
	    &k->end_tenant);
	if (wrong == NULL)
		wrong = select_read(&k->selection, call, k->arena);
	if (wrong == NULL && (!control_number(call, "max", LIST_MOST, LIST_DEFAULT, &max) ||
				 !control_number(call, "offset", UINT32_MAX, 0, &offset)))
		wrong = "max and offset are whole numbers, max up to 100000";
	if (wrong != NULL) {
		keys_end(k, ERR_INVALID_FIELD, wrong);
		return;
	}
	k->left = (uint32_t)max;
	k->find.arena = k->arena;
	k->find.terms = k->selection.terms;
	k->find.terms_count = select_terms(&k->selection, k->selection.state);
	k->find.include_destroyed = k->selection.state != 0;
	k->find.offset = (uint32_t)offset;
	json_array(&k->json, NULL);
	if (k->selection.unused_since == NO_DATE) {
		keys_next_tenant(k);
		return;
	}
	k->flushed.done = uses_flushed;
	uses_flush(((struct keyferryd *)call->user)->uses, &k->flushed);
}

/* --- keys show --- */

static void keys_show_next(struct keys *k);

static void
show_loaded(struct wait *w, enum err e)
{
	struct keys *k = CONTAINER_OF(w, struct keys, load.wait);

	if (e == ERR_NO_OBJECT) {
		keys_show_next(k);
		return;
	}
	if (e == ERR_OK)
		put_object(k, k->load.object);
	keys_end(k, e, NULL);
}

static void
keys_show_next(struct keys *k)
{
	if (k->next_tenant == k->end_tenant) {
		keys_end(k, ERR_NO_OBJECT, NULL);
		return;
	}
	k->tenant = tenants_at(k->tenants, k->next_tenant++);
	load_object(k, k->uid, show_loaded);
}

void
keys_show_run(struct control_call *call)
{
	struct keys *k = keys_new(call);
	const char *wrong;

	if (k == NULL) {
		control_done(call, ERR_NO_MEMORY, NULL);
		return;
	}
	wrong = select_tenant(k->tenants, control_arg(call, "tenant"), &k->next_tenant,
	    &k->end_tenant);
	k->uid = control_word(call, 0);
	if (wrong == NULL && (k->uid == NULL || strlen(k->uid) > UID_TEXT_LEN))
		wrong = "the unique identifier of a key is wanted";
	if (wrong != NULL)
		keys_end(k, ERR_INVALID_FIELD, wrong);
	else
		keys_show_next(k);
}

/* --- backup --- */

struct backup {
	struct control_call *call;
	struct store_backup backup;
	int64_t tell_at;
};

void
backup_progress(struct keyferryd *d, int64_t percent)
{
	struct backup *b = d->backup;
	struct json j;

	if (b == NULL || !progress_due(&b->tell_at))
		return;
	json_init(&j, &b->call->out);
	json_object(&j, NULL);
	json_text(&j, "directory", b->backup.directory);
	json_int(&j, "percent", percent);
	json_object_end(&j);
	(void)control_flush(b->call);
}

static void
put_backup(const struct store_backup *b, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object(&j, NULL);
	json_text(&j, "directory", b->directory);
	json_int(&j, "objects", (int64_t)b->objects);
	json_text(&j, "without", "root keys, configuration, private keys of TLS");
	if (!b->noted)
		json_text(&j, "warning", "the copy is good, but the state directory could not note it, so "
		    "that health goes on asking for one: see whether its disk is full");
	json_object_end(&j);
}

/* NULL: the error says it all. */
static const char *
why_not_backed_up(const struct store_backup *b, enum err e, char sentence[SENTENCE_MAX])
{
	if (e == ERR_IN_USE || e == ERR_INVALID_FIELD)
		return "the directory must be an absolute path, exist, be empty, and be the daemon's to "
		       "write to";
	if (e != ERR_STORAGE && e != ERR_STORAGE_FULL)
		return NULL;
	snprintf(sentence, SENTENCE_MAX, "no copy could be made in %s: %s", b->directory, err_text(e));
	return sentence;
}

static void
backed_up(struct wait *w, enum err e)
{
	struct backup *b = CONTAINER_OF(w, struct backup, backup.wait);
	struct keyferryd *d = b->call->user;
	char sentence[SENTENCE_MAX];

	if (d->backup == b)
		d->backup = NULL;
	if (e == ERR_OK)
		put_backup(&b->backup, &b->call->out);
	control_done(b->call, e, why_not_backed_up(&b->backup, e, sentence));
	alloc_free(b);
}

void
backup_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	const char *directory = control_word(call, 0);
	struct backup *b;

	if (directory == NULL || directory[0] != '/') {
		control_done(call, ERR_INVALID_FIELD, "an absolute path to an empty directory is wanted");
		return;
	}
	b = alloc_zero(sizeof(*b));
	if (b == NULL) {
		control_done(call, ERR_NO_MEMORY, NULL);
		return;
	}
	b->call = call;
	b->backup.directory = directory;
	b->backup.wait.done = backed_up;
	if (d->backup == NULL) /* else the storage child refuses this one */
		d->backup = b;
	store_backup(d->store, &b->backup);
}
