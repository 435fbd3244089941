/* SPDX-License-Identifier: Apache-2.0 */
/* An object together with its key, for the operations that need the key itself. */
#ifndef GATE_FETCH_H
#define GATE_FETCH_H

#include "request.h"

struct fetch {
	char uid[UID_TEXT_LEN + 1]; /* in */
	/* in: whether the operation may have that key; asked before anybody is asked for it */
	enum err (*allowed)(struct request *rq, const struct object *o);
	void (*next)(struct request *rq, enum err e); /* in */
	const struct object *object;		      /* out */
	struct secret *key; /* out; the request drops it at its end, if it is still there */
	/* private */
	struct vault_unwrap unwrap; /* these two: one of them */
	struct cache_get cached;
};

/* Before anything else: what is fetched belongs to the request.  *f lies in the arena. */
CHECKED enum err fetch_init(struct request *rq, struct fetch *f);
/*
 * Loads the object as this message sees it, asks allowed(), fetches the key and runs next.  An
 * object that was destroyed does not exist, one that is archived is ERR_ARCHIVED.  Last statement of a function.
 */
void fetch_start(struct request *rq, struct fetch *f);

#endif
