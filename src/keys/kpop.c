/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of the vault `keyprotect`. */
#include "kpop.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metric.h"

/* YOUNG_MS: up to that age a list may lag, whichever gateway's clock was wrong by a minute. */
/* SETTLED_S: after that, lists show what took the place of a record before it was deleted. */
enum { BODY_MAX = 128 * 1024, ANSWER_MAX = 64 * 1024, SETTLED_S = 10, YOUNG_MS = 65 * 1000 };

void
kpop_free(struct kpop *o)
{
	list_remove(&o->link);
	wait_cancel(&o->call.wait);
	wait_cancel(&o->find.wait);
	kpcall_fini(&o->call);
	kpfind_fini(&o->find);
	buf_fini(&o->body);
	if (o->type->fini != NULL)
		o->type->fini(o);
	loop_free_later(o->home->link.loop, o);
}

void
kpop_free_all(struct kphome *h, enum err e)
{
	struct list *link;

	while ((link = h->ops.next) != &h->ops) {
		struct kpop *o = CONTAINER_OF(link, struct kpop, link);
		struct wait *w = o->waiter;

		kpop_free(o);
		if (w != NULL)
			wait_finish_soon(h->link.loop, w, e);
	}
}

static void
tell_end(const struct kpop *o, enum err e)
{
	metric_inc_by(METRIC_KEYPROTECT_OPERATIONS_TOTAL, o->label, e);
	metric_observe(METRIC_KEYPROTECT_OPERATION_DURATION_SECONDS, o->label, 0,
	    clock_now() - o->began);
	if (e != ERR_INTEGRITY || o->type->searches)
		return;
	metric_inc(METRIC_INTEGRITY_ALARMS_TOTAL);
	LOG(LOG_ERROR, "keyprotect", "a stored key did not pass its integrity check",
	    kv_text("record", o->name));
}

void
kpop_end(struct kpop *o, enum err e)
{
	struct wait *w = o->waiter;

	tell_end(o, e);
	kpop_free(o);
	if (w != NULL)
		wait_finish(w, e);
}

void
kpop_leave(struct kpop *o)
{
	o->waiter = NULL;
	if (!o->type->runs_on)
		kpop_free(o);
}

/* Another gateway's clock may have named the object: it need not go as ours does. */
int64_t
kpop_lag_until(const struct kpop *o)
{
	int64_t age_ms = clock_wall_ms() - o->made_ms;

	return age_ms > YOUNG_MS || age_ms < -YOUNG_MS ? 0 : clock_now() + KPOP_LAG_NS;
}

void
kpop_step(struct kpop *o)
{
	int64_t until = clock_now() + o->home->timeout_ns;

	o->deadline = o->latest < until ? o->latest : until;
}

void *
kpop_new(struct kphome *h, const struct kpop_type *type, struct wait *w,
    const struct vault_terms *t)
{
	struct kpop *o = h->shut ? NULL : alloc_zero(type->size);

	if (o == NULL) {
		if (w != NULL)
			wait_finish_soon(
			    h->link.loop, w, h->shut ? ERR_VAULT_DOWN : ERR_NO_MEMORY);
		return NULL;
	}
	o->home = h;
	o->type = type;
	o->label = type->label;
	o->began = clock_now();
	o->waiter = w;
	o->latest = t->deadline != 0 ? t->deadline : INT64_MAX;
	kpop_step(o);
	o->background = t->background;
	buf_init(&o->body, BODY_MAX);
	list_append(&h->ops, &o->link);
	return o;
}

void *
kpop_new_for(struct vault *vault, const struct kpop_type *type, struct wait *w,
    const struct vault_terms *t, const char *uid)
{
	struct vault_kp *v = CONTAINER_OF(vault, struct vault_kp, vault);
	struct kpop *o = kpop_new(&v->home, type, w, t);

	if (o == NULL)
		return NULL;
	o->v = v;
	o->made_ms = text_uuid7_ms(uid);
	snprintf(o->name, sizeof(o->name), "%s_%s", v->prefix, uid);
	return o;
}

void
kpop_refuse(struct kpop *o, enum err e)
{
	struct wait *w = o->waiter;
	struct loop *l = o->home->link.loop;

	tell_end(o, e);
	kpop_free(o);
	wait_finish_soon(l, w, e);
}

void
kpop_call(struct kpop *o, struct kpcall *c, const char *method, const char *path,
    const struct buf *body, void (*done)(struct wait *, enum err))
{
	c->wait.done = done;
	c->wait.owner = o;
	c->method = method;
	c->path = path;
	c->body = body;
	c->answer_wanted = strcmp(method, "DELETE") != 0;
	c->background = o->background;
	c->answer_max = o->answer_max != 0 ? o->answer_max : ANSWER_MAX;
	c->deadline = o->deadline;
	kpcall_start(&o->home->link, c);
}

void
kpop_find(struct kpop *o, int64_t look_until, void (*done)(struct wait *, enum err))
{
	o->find.wait.done = done;
	o->find.wait.owner = o;
	o->find.name = o->name;
	o->find.made_ms = o->made_ms;
	o->find.background = o->background;
	o->find.deadline = o->deadline;
	o->find.page_ns = o->home->timeout_ns;
	o->find.latest = o->latest;
	o->find.look_until = look_until;
	kpfind_start(&o->home->link, &o->find);
}

void
kpop_walked(struct kpop *o)
{
	if (o->find.by_date)
		kpop_step(o);
}

enum vault_gone
kpop_how_gone(const struct kpop *o, const struct kp_key *k, int64_t now)
{
	int64_t when = kp_read_date(k->deletion_date);

	if (now < 0)
		now = clock_wall(); /* the lists were asked for by the same clock, then */
	if (when < 0 || now - when < SETTLED_S)
		return GONE_LATELY;
	return kp_key_is_destroyed(k, o->home->link.ours) ? GONE_DESTROYED : GONE_WITHDRAWN;
}

enum err
kpop_root_key_error(enum err e)
{
	return e == ERR_NO_OBJECT || e == ERR_WRONG_STATE ? ERR_NO_ROOT_KEY : e;
}

enum err
kpop_read_key(struct kpop *o, struct kpcall *c, const struct object *object, struct kp_action *a,
    uint8_t digest[32])
{
	const struct buf *b = &c->http.answer;
	size_t len = object_material_len(object);
	enum err e = kp_read_action(b->data, b->len, a);

	if (e != ERR_OK || a->plaintext == NULL)
		return e == ERR_NO_SECURE_MEMORY || e == ERR_NO_MEMORY ? e : ERR_VAULT_DOWN;
	e = envelope_digest(o->v->crypto, a->plaintext, digest);
	return e == ERR_OK && len != 0 && secret_len(a->plaintext) != len ? ERR_INTEGRITY : e;
}
