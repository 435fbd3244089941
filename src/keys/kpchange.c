/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes in the vault `keyprotect`.
 *
 *	store     create; if its answer was lost: look for the name, read what bears it, then adopt what
 *		  was created or create again.  The predecessor bears the same name
 *	destroy   delete whatever bears the object's name, last the record that is known.  If nothing
 *		  was ever there that is no success: it may be in another key ring or instance
 *	retire    look at the record, look until the successor is seen, wait for others to see it, delete
 *
 * They run to their end, whether or not who asked still waits.
 */
#include "kpop.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "kprecord.h"
#include "kproot.h"

/* LISTED_S: what is so old is in all lists. */
/* READS_MAX: what was made a moment ago is among the newest that bear the name. */
enum { POSTS_MAX = 2, READS_MAX = 32, RETIRING_MAX = 64, LISTED_S = 120 };
#define AGAIN_NS (500 * NS_PER_MS)
#define REFUSED_NS (600 * NS_PER_S) /* so long no retirement is tried after one was refused */

struct change_op {
	struct kpop op;
	struct vault_change *change;
	unsigned posts;
	size_t at; /* of those found: the one to delete; those before it are yet to be read */
	char known[UID_TEXT_LEN + 1]; /* the record's id, or empty */
	char successor[UID_TEXT_LEN + 1];
	bool retires;
	bool met; /* something that bears the name was there, or was deleted before */
	bool missing_is_gone;
	struct buf envelope; /* to be stored */
	char stored[UID_TEXT_LEN + 1]; /* where it was found, or empty */
	int64_t look_until;
	struct timer pause;
};

static void
change_fini(struct kpop *o)
{
	struct change_op *c = (struct change_op *)o;

	timer_clear(o->home->link.loop, &c->pause);
	buf_fini(&c->envelope);
}

static const struct kpop_type change_type = {
    .size = sizeof(struct change_op), .runs_on = true, .fini = change_fini};

static void store_post(struct change_op *c);
static void store_read_next(struct change_op *c);
static void store_looked(struct wait *w, enum err e);

static void
change_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_change, wait)->op);
}

static struct change_op *
change_new(struct vault *vault, struct vault_change *change, unsigned label)
{
	struct change_op *c =
	    kpop_new_for(vault, &change_type, &change->wait, &change->terms, change->object->uid);

	if (c == NULL)
		return NULL;
	c->op.label = label;
	c->change = change;
	kprecord_id(c->known, change->object);
	change->op = c;
	change->wait.cancel = change_cancel;
	return c;
}

static void
store_done(struct change_op *c, const char *id)
{
	c->op.v->root->full = false;
	if (c->op.waiter != NULL)
		kprecord_set_id(c->change->object, id);
	kpop_end(&c->op, ERR_OK);
}

static void
delete_record(struct change_op *c, const char *id, void (*done)(struct wait *, enum err))
{
	snprintf(c->op.path, KPOP_PATH_LEN, "/keys/%s", id);
	c->op.call.once = false;
	kpop_call(&c->op, &c->op.call, "DELETE", c->op.path, NULL, done);
}

/* All that bear the name were read. */
static void
store_read_all(struct change_op *c)
{
	int64_t again = clock_now() + AGAIN_NS;

	if (c->stored[0] != '\0') {
		store_done(c, c->stored);
	} else if (again < c->look_until && again < c->op.deadline) {
		timer_set(c->op.home->link.loop, &c->pause, again); /* a list may lag */
	} else if (c->posts < POSTS_MAX) {
		store_post(c);
	} else {
		kpop_end(&c->op, ERR_VAULT_DOWN);
	}
}

static void
on_store_again(struct timer *t)
{
	struct change_op *c = CONTAINER_OF(t, struct change_op, pause);

	kpop_find(&c->op, c->look_until, store_looked);
}

/* What was made twice is of no use; that it cannot be deleted harms nobody. */
static void
store_deleted(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	(void)e;
	store_read_next(c);
}

static bool
is_ours(struct change_op *c)
{
	const struct buf *b = &c->op.call.http.answer;
	struct arena *a = arena_new(2 * KP_PAYLOAD_MAX);
	const uint8_t *payload;
	size_t len;
	bool same;

	same = a != NULL &&
	    kp_read_payload(b->data, b->len, a, KP_PAYLOAD_MAX, &payload, &len) == ERR_OK &&
	    len == c->envelope.len && memcmp(payload, c->envelope.data, len) == 0;
	arena_free(a);
	return same;
}

/* Of what was made twice the lower id stays: others who see both choose that one as well. */
static void
store_keep(struct change_op *c, const char *id)
{
	char other[UID_TEXT_LEN + 1] = "";

	if (c->stored[0] == '\0' || strcmp(id, c->stored) < 0) {
		memcpy(other, c->stored, sizeof(other));
		memcpy(c->stored, id, sizeof(c->stored));
	} else {
		memcpy(other, id, sizeof(other));
	}
	if (other[0] != '\0')
		delete_record(c, other, store_deleted);
	else
		store_read_next(c);
}

static void
store_read(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	if (e != ERR_OK && e != ERR_NO_OBJECT)
		kpop_end(&c->op, e);
	else if (e == ERR_OK && is_ours(c))
		store_keep(c, c->op.find.found[c->at].id);
	else
		store_read_next(c);
}

/* The newest first. */
static void
store_read_next(struct change_op *c)
{
	size_t count = c->op.find.count;

	if (c->at == 0 || count - c->at == READS_MAX) {
		store_read_all(c);
		return;
	}
	c->at--;
	snprintf(c->op.path, KPOP_PATH_LEN, "/keys/%s", c->op.find.found[c->at].id);
	c->op.call.once = false;
	kpop_call(&c->op, &c->op.call, "GET", c->op.path, NULL, store_read);
}

static void
store_looked(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	if (e != ERR_OK) {
		kpop_end(&c->op, e);
		return;
	}
	kpop_walked(&c->op);
	c->at = c->op.find.count;
	store_read_next(c);
}

/*
 * A key that is not there yet has no state to be wrong: what a creation is in conflict with is how
 * many keys the instance may hold (50,000 in HPCS).  IBM does not tell the code.
 */
static enum err
store_error(const struct kpop *o, enum err e)
{
	if (e == ERR_NO_OBJECT)
		return ERR_INTERNAL;
	if (e != ERR_WRONG_STATE)
		return e;
	if (!o->v->root->full)
		LOG(LOG_ERROR, "keyprotect", "the instance holds as many keys as it may",
		    kv_text("record", o->name));
	o->v->root->full = true;
	return ERR_VAULT_FULL;
}

static void
store_posted(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;
	const struct buf *b = &c->op.call.http.answer;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	if (e == ERR_OK || e == ERR_VAULT_DENIED)
		c->op.v->root->no_create = e != ERR_OK;
	if (e == ERR_OK && kp_read_keys(b->data, b->len, kp_keep_key, &k, &rows) == ERR_OK &&
	    rows == 1) {
		store_done(c, k.id);
	} else if (e == ERR_OK || (c->op.call.lost && e != ERR_DEADLINE)) {
		/* there, or perhaps: the name tells */
		c->look_until = clock_now() + KPOP_LAG_NS;
		c->pause.fn = on_store_again;
		kpop_find(&c->op, c->look_until, store_looked);
	} else {
		kpop_end(&c->op, store_error(&c->op, e));
	}
}

static void
store_post(struct change_op *c)
{
	c->posts++;
	c->op.call.once = true;
	kpop_call(&c->op, &c->op.call, "POST", "/keys", &c->op.body, store_posted);
}

void
kpchange_store(struct vault *vault, struct vault_change *change)
{
	struct change_op *c = change_new(vault, change, LABEL_VAULT_CALL_STORE);
	struct kprecord r;
	enum err e;

	if (c == NULL)
		return;
	e = kprecord_read(&r, change->object);
	if (e == ERR_OK && r.id[0] == '\0') {
		kp_put_create(&c->op.body, c->op.name, r.envelope, r.envelope_len);
		buf_init(&c->envelope, KP_PAYLOAD_MAX);
		buf_put(&c->envelope, r.envelope, r.envelope_len);
		e = buf_error(&c->op.body) != ERR_OK ? buf_error(&c->op.body)
						     : buf_error(&c->envelope);
	} else if (e == ERR_OK) {
		kpop_refuse(&c->op, ERR_OK); /* stored already */
		return;
	}
	if (e != ERR_OK) {
		kpop_refuse(&c->op, e);
		return;
	}
	store_post(c);
}

/*
 * Refused access and refusal by a policy are the same here: the key stays as it was, and whoever
 * asked may not.  401 is also what Key Protect says when the role is too low.
 */
static enum err
destroy_error(struct kpop *o, enum err e)
{
	if (e == ERR_OK)
		o->v->root->no_delete = false;
	if (e == ERR_NO_OBJECT)
		return ERR_OK;
	if (e != ERR_VAULT_DENIED)
		return e;
	o->v->root->no_delete = true;
	LOG(LOG_WARN, "keyprotect", "service role Manager is needed to destroy keys",
	    kv_text("record", o->name));
	return ERR_DENIED;
}

/*
 * The configuration may name another key ring or instance than when it was stored; or the key manager
 * has forgotten it, as it does in time with what was deleted, which only an administrator can tell.
 */
static enum err
judge_missing(const struct change_op *c)
{
	if (c->missing_is_gone) {
		if (c->op.waiter != NULL)
			c->change->missing = true;
		LOG(LOG_WARN, "keyprotect",
		    "the record of a key to be destroyed is not found here: taken for gone",
		    kv_text("record", c->op.name), kv_text("id", c->known));
		return ERR_OK;
	}
	LOG(LOG_WARN, "keyprotect",
	    "the record of a key to be destroyed is not found here: nothing was destroyed",
	    kv_text("record", c->op.name), kv_text("id", c->known));
	return ERR_NO_OBJECT;
}

static void destroy_deleted(struct wait *w, enum err e);

/* Slow lists, or many records, take nothing from the time of a deletion. */
static void
destroy_next(struct change_op *c)
{
	kpop_step(&c->op);
	c->op.call.absent_until = kpop_lag_until(&c->op);
	delete_record(c, c->op.find.found[c->at].id, destroy_deleted);
}

static void
destroy_deleted(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	c->met |= e == ERR_OK || c->op.call.class == KP_DELETED;
	e = destroy_error(&c->op, e);
	if (e == ERR_OK && ++c->at < c->op.find.count)
		destroy_next(c);
	else
		kpop_end(&c->op, e == ERR_OK && !c->met ? judge_missing(c) : e);
}

/*
 * The record that the ledger knows, which a list may not show yet, or any more, comes last: as long
 * as it is there, what failed can be tried again.
 */
static enum err
put_known_last(struct change_op *c)
{
	struct kpfind *f = &c->op.find;
	struct kpfound known;
	size_t i = 0;

	if (c->known[0] == '\0')
		return ERR_OK;
	while (i < f->count && strcmp(f->found[i].id, c->known) != 0)
		i++;
	if (i == f->count)
		return kpfind_add(f, c->known);
	known = f->found[i];
	memmove(&f->found[i], &f->found[i + 1], (f->count - i - 1) * sizeof(known));
	f->found[f->count - 1] = known;
	return ERR_OK;
}

static void
destroy_looked(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	if (e == ERR_OK)
		e = put_known_last(c);
	if (e == ERR_OK && c->op.find.count > 0)
		destroy_next(c);
	else
		kpop_end(&c->op, e);
}

/* By name, since successors and what was stored twice bear it as well. */
void
kpchange_destroy(struct vault *vault, struct vault_change *change)
{
	struct change_op *c = change_new(vault, change, LABEL_VAULT_CALL_DESTROY);

	if (c == NULL)
		return;
	c->missing_is_gone = change->missing_is_gone;
	if (vault_is_foreign(vault->ops, change->object)) {
		kpop_refuse(&c->op, judge_missing(c));
		return;
	}
	kpop_find(&c->op, c->known[0] == '\0' ? kpop_lag_until(&c->op) : 0, destroy_looked);
}

/* That nobody may delete it is no news: who has the successor knows that this one is old. */
static void
retired(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	if (e == ERR_OK || e == ERR_VAULT_DENIED)
		c->op.v->root->no_delete = e != ERR_OK;
	if (e == ERR_VAULT_DENIED)
		c->op.v->root->refused_at = clock_now();
	kpop_end(&c->op, e == ERR_NO_OBJECT ? ERR_OK : e == ERR_VAULT_DENIED ? ERR_DENIED : e);
}

static void
on_retire(struct timer *t)
{
	struct change_op *c = CONTAINER_OF(t, struct change_op, pause);

	kpop_walked(&c->op);
	delete_record(c, c->known, retired);
}

static void
retire_looked(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;
	struct kpfind *f = &c->op.find;
	size_t i = 0;

	while (e == ERR_OK && i < f->count && strcmp(f->found[i].id, c->successor) != 0)
		i++;
	if (e == ERR_OK && i == f->count)
		e = ERR_DEADLINE;
	if (e == ERR_OK)
		timer_set(c->op.home->link.loop, &c->pause, clock_now() + KPOP_LAG_NS);
	else
		kpop_end(&c->op, e);
}

/* What the answer to a look at one record says; ERR_NO_OBJECT: it is gone. */
static enum err
read_seen(const struct change_op *c, enum err e, struct kp_key *k)
{
	const struct buf *b = &c->op.call.http.answer;
	size_t rows = 0;

	if (e != ERR_OK)
		return e;
	if (kp_read_keys(b->data, b->len, kp_keep_key, k, &rows) != ERR_OK || rows != 1)
		return ERR_VAULT_DOWN;
	return kp_key_is_gone(k) ? ERR_NO_OBJECT : ERR_OK;
}

static void
look_at(struct change_op *c, const char *id, void (*done)(struct wait *, enum err))
{
	snprintf(c->op.path, KPOP_PATH_LEN, "/keys/%s/metadata", id);
	kpop_call(&c->op, &c->op.call, "GET", c->op.path, NULL, done);
}

/* It has to be there, under the name that others look for; one that is not new is in every list. */
static void
successor_seen(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;
	struct kp_key k = {.state = -1};
	int64_t made;

	e = read_seen(c, e, &k);
	if (e == ERR_OK && strcmp(k.name, c->op.name) != 0)
		e = ERR_NO_OBJECT;
	made = kp_read_date(k.created);
	if (e != ERR_OK) {
		kpop_end(&c->op, e);
	} else if (made >= 0 && c->op.call.http.date - made > LISTED_S) {
		delete_record(c, c->known, retired);
	} else {
		c->op.find.want_id = c->successor;
		c->op.made_ms = clock_wall_ms();
		kpop_find(&c->op, c->op.deadline, retire_looked);
	}
}

/*
 * One that was stored before the prefix was changed here may be all that a gateway sees that still has
 * the old prefix: by its deletion, and no successor of that name, it would take the key for destroyed.
 */
static void
predecessor_seen(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;
	struct kp_key k = {.state = -1};

	e = read_seen(c, e, &k);
	if (e == ERR_OK && strcmp(k.name, c->op.name) == 0) {
		look_at(c, c->successor, successor_seen);
		return;
	}
	if (e == ERR_OK)
		LOG(LOG_NOTICE, "keyprotect",
		    "a record that was replaced bears another name, and is left behind",
		    kv_text("record", k.name), kv_text("id", c->known),
		    kv_text("successor", c->op.name));
	kpop_end(&c->op, e == ERR_NO_OBJECT ? ERR_OK : e);
}

/* What counts before the successor, or says more of a revocation, is still needed. */
static bool
is_replaced(const struct object *o, const struct object *successor)
{
	struct kprank old, new;

	kprecord_rank(&old, o);
	kprecord_rank(&new, successor);
	return old.id[0] != '\0' && new.id[0] != '\0' && kprank_order(&new, &old) > 0 &&
	    new.state >= old.state;
}

/* Why not to retire it now; ERR_OK: nothing speaks against it. */
static enum err
retire_check(const struct change_op *c)
{
	const struct kproot *root = c->op.v->root;
	unsigned others = 0;

	if (root->no_delete && root->refused_at != 0 &&
	    clock_now() - root->refused_at < REFUSED_NS)
		return ERR_DENIED;
	LIST_FOREACH (link, &c->op.home->ops) {
		const struct kpop *o = CONTAINER_OF(link, struct kpop, link);
		const struct change_op *other = (const struct change_op *)o;

		if (o == &c->op || o->type != &change_type || !other->retires)
			continue;
		if (strcmp(other->known, c->known) == 0 || ++others == RETIRING_MAX)
			return ERR_BUSY;
	}
	return ERR_OK;
}

/*
 * A gateway that meets the deletion looks for a successor by name, and lists lag: so nothing is
 * deleted that bears another name, nor before its successor was listed here, and then for some time.
 */
void
kpchange_retire(struct vault *vault, struct vault_change *change)
{
	struct change_op *c = change_new(vault, change, LABEL_VAULT_CALL_RETIRE);
	enum err e;

	if (c == NULL)
		return;
	c->retires = true;
	e = c->known[0] == '\0' ||
		(change->successor != NULL && !is_replaced(change->object, change->successor))
	    ? ERR_CANCELLED
	    : retire_check(c);
	if (e != ERR_OK) {
		kpop_refuse(&c->op, e == ERR_CANCELLED ? ERR_OK : e);
		return;
	}
	if (change->successor == NULL) {
		delete_record(c, c->known, retired);
		return;
	}
	kprecord_id(c->successor, change->successor);
	c->pause.fn = on_retire;
	c->op.deadline = clock_now() + KPOP_RETIRE_NS;
	c->op.call.absent_until = clock_now() + KPOP_LAG_NS;
	look_at(c, c->known, predecessor_seen);
}
