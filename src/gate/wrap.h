/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key Wrapping Specification (specification 1.4 section 2.1.6): a key leaves wrapped by another; and
 * Key Wrapping Data (section 2.1.5) of one that comes so.
 */
#ifndef GATE_WRAP_H
#define GATE_WRAP_H

#include "fetch.h"
#include "keyblock.h"

struct wrap {
	struct fetch key; /* the wrapping key */
	uint32_t mode;	  /* KMIP Block Cipher Mode; 0: not said */
	bool encoded;	  /* TTLV Encoding */
	bool option_given; /* so the answer says it, too */
	struct ttlv_reader names; /* of the attributes that are wrapped with the key */
	/* what it leads to, the request's */
	struct buf value, wrapping;
};

/* Takes the specification from the payload, where it is next.  *w lies in the arena. */
CHECKED enum err wrap_read(struct request *rq, struct wrap *w);
/* How the look for the wrapping key ended, told apart from that for the object itself. */
enum err wrap_error(const struct wrap *w, enum err e);
/* Wraps the key of o, once w->key was fetched, and makes *p say so. */
CHECKED enum err wrap_do(struct request *rq, struct wrap *w, const struct object *o,
    struct keyblock_put *p);

/*
 * The way back.  Takes the Key Wrapping Data of a key that came wrapped; then, once w->key was fetched,
 * unwraps what is in k, which says afterwards what came out of it.  The bytes are the caller's, as long
 * as k is used; also on failure, if they are not NULL then.
 */
CHECKED enum err wrap_read_data(struct request *rq, struct wrap *w, const struct ttlv *data);
CHECKED enum err wrap_undo(struct request *rq, struct wrap *w, struct keyblock *k,
    struct secret **out);

#endif
