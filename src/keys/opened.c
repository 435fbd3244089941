/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that were opened lately. */
#include "opened.h"

#include "base/clock.h"

static struct object_proof *
proof_of(struct list *link)
{
	return CONTAINER_OF(link, struct object_proof, link);
}

/* A key goes when nobody asked for it since the last look. */
static void
on_look(struct timer *t)
{
	struct opened *o = CONTAINER_OF(t, struct opened, look);

	LIST_FOREACH_SAFE(it, next, &o->proofs) {
		struct object_proof *p = proof_of(it);

		if (!p->asked)
			object_proof_fini(p);
		p->asked = false;
	}
	if (!list_empty(&o->proofs))
		timer_set(o->loop, &o->look, clock_now() + OPENED_LOOK_NS);
}

void
opened_init(struct opened *o, struct loop *l)
{
	*o = (struct opened){.loop = l, .look.fn = on_look};
	list_init(&o->proofs);
}

size_t
opened_wipe(struct opened *o)
{
	size_t count = 0;

	for (; !list_empty(&o->proofs); count++)
		object_proof_fini(proof_of(o->proofs.next));
	return count;
}

void
opened_fini(struct opened *o)
{
	opened_wipe(o);
	timer_clear(o->loop, &o->look);
}

struct secret *
opened_find(struct opened *o, const struct object *object)
{
	struct object_proof *p = object->proof;

	if (p == NULL || p->key == NULL || p->opened != o || p->record != object->record)
		return NULL;
	p->asked = true;
	return secret_ref(p->key);
}

bool
opened_may_keep(const struct object *object)
{
	return object->proof != NULL && object->length / 8 <= OPENED_KEY_MAX &&
	    secret_heap_kept() < secret_heap_size() / 4;
}

void
opened_keep(struct opened *o, const struct object *object, struct secret *key)
{
	struct object_proof *p = object->proof;

	if (p == NULL || p->record != object->record || secret_len(key) > OPENED_KEY_MAX)
		return;
	if (!timer_armed(&o->look))
		timer_set(o->loop, &o->look, clock_now() + OPENED_LOOK_NS);
	object_proof_fini(p);
	p->opened = o;
	p->key = secret_ref(key);
	p->asked = true;
	list_append(&o->proofs, &p->link);
}
