/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether we may delete and make keys, found out before a client has to.  Key Protect has no dry run,
 * so each right is tried where nothing is there to be changed:
 *
 *	delete	a key whose id was drawn a moment ago
 *	create	an empty list of keys, which is not to be mistaken for a key
 *
 * Without the right the answer is 401 or 403, else 404 or 400.  That both answers exist is documented;
 * that the right is looked at first is presumed, as IAM stands in front of the service.  If it were
 * not, nothing would be learned, and the first refusal that a client meets would tell.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/metric.h"
#include "kproot.h"

#define EVERY_NS (6 * 3600 * NS_PER_S)
#define MISSING_NS (3600 * NS_PER_S) /* while one is missing: somebody may be about to grant it */
#define AGAIN_NS (600 * NS_PER_S)    /* when there was no answer */

struct rights_op {
	struct kpop op;
	struct kproot *root;
	bool unanswered;
};

static void
rights_fini(struct kpop *o)
{
	((struct rights_op *)o)->root->trying_rights = false;
}

static const struct kpop_type rights_type = {
    .size = sizeof(struct rights_op), .fini = rights_fini, .label = LABEL_VAULT_CALL_RIGHTS};

/* Other answers, such as that of a policy, tell nothing about the right. */
static void
take(struct rights_op *p, bool *missing, enum kp_class with)
{
	enum kp_class class = p->op.call.class;

	if (class == KP_DENIED || class == with)
		*missing = class == KP_DENIED;
	p->unanswered |= class == KP_DOWN || class == KP_THROTTLED;
}

static void
create_tried(struct wait *w, enum err e)
{
	struct rights_op *p = w->owner;
	struct kproot *r = p->root;
	int64_t in;

	(void)e; /* the class says more */
	take(p, &r->no_create, KP_REFUSED);
	in = p->unanswered ? AGAIN_NS : r->no_create || r->no_delete ? MISSING_NS : EVERY_NS;
	r->rights_at = clock_now() + in;
	kpop_end(&p->op, ERR_OK);
}

static void
delete_tried(struct wait *w, enum err e)
{
	struct rights_op *p = w->owner;

	(void)e;
	take(p, &p->root->no_delete, KP_ABSENT);
	kp_put_no_keys(&p->op.body);
	kpop_call(&p->op, &p->op.call, "POST", "/keys", &p->op.body, create_tried);
}

void
kprights_start(struct kproot *r)
{
	static const struct vault_terms terms = {.background = true};
	char id[UID_TEXT_LEN + 1];
	struct rights_op *p;

	if (clock_now() < r->rights_at || r->trying_rights || text_uuid4(id) != ERR_OK)
		return;
	p = kpop_new(&r->home, &rights_type, NULL, &terms);
	if (p == NULL)
		return;
	p->root = r;
	r->trying_rights = true;
	p->op.call.quiet = true;
	snprintf(p->op.path, KPOP_PATH_LEN, "/keys/%s", id);
	kpop_call(&p->op, &p->op.call, "DELETE", p->op.path, NULL, delete_tried);
}
