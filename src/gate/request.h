/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One KMIP message on its way: decode, run the items, commit the changes, answer.  An operation
 * sees the fields of its item and the functions below, nothing else.
 */
#ifndef GATE_REQUEST_H
#define GATE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/loop.h"
#include "base/secret.h"
#include "kmip/attr.h"
#include "kmip/message.h"
#include "kmip/ttlv.h"
#include "gate/audit.h"
#include "gate/tenant.h"
#include "keys/lookup.h"
#include "keys/underway.h"

#include "changes.h"
#include "op.h"
#include "parts.h"

struct request_params {
	struct loop *loop;
	struct tenant *tenant;
	bool read_only; /* whatever changes something is denied */
	bool missing_is_gone; /* of what is destroyed: see struct vault_change */
	bool revokes_to_destroy; /* what it revokes it destroys as well, or neither */
	const char *server_name;
	struct audit *audit; /* NULL: the log */
	struct parts *parts; /* NULL: nothing is done in parts */
	size_t response_max;
	unsigned items_max;
	int64_t deadline; /* clock_now() time */
	uint64_t id;	  /* for the log */
	uint8_t sha256[TLS_DIGEST_LEN]; /* the client's certificate */
	struct audit_client *client;	/* for the audit */
	/* The answer, once.  The bytes are the callee's to take.  Not called after rq_abandon(). */
	void (*answered)(void *user, struct buf *answer);
	void *user;
};

/* How one item ended. */
struct outcome {
	enum err err;
	const struct op *op;   /* NULL: an unknown operation */
	int64_t began, ended;  /* its work; a change is durable only at the end of the message */
	bool must_commit;      /* rq_must_commit() */
	size_t payload, len;   /* the Response Payload in rq->payloads */
	char uid[UID_TEXT_LEN + 1]; /* what it was about, for the audit line; may be empty */
	const char *note;	    /* for the audit line, or NULL */
};

/* It succeeded and changes something. */
static inline bool
outcome_changes(const struct outcome *oc)
{
	return oc->err == ERR_OK && oc->op != NULL &&
	    (oc->op->right == RIGHT_CHANGE || oc->must_commit);
}

/* What holds keys, or parts of them: rq_own(). */
struct owned {
	struct owned *next;
	void (*drop)(void *);
	void *arg;
};

struct request {
	struct spent spent; /* loop_give_later() */
	struct request_params p;
	struct underway underway;
	struct arena *arena;
	struct owned *owned; /* the last first */
	struct buf msg; /* the message; what is decoded points into it */
	struct kmip_request in;
	enum err message_error; /* the whole message is answered with it */
	struct defer turn;
	struct timer deadline;
	struct timer again; /* the pause before the message runs anew, or the patience with its commit */
	struct wait *wait; /* what the current step waits for */
	void (*next)(struct request *, enum err);
	bool abandoned, committing, expired, answered;
	unsigned restarts;
	int64_t started;

	/* the current item */
	unsigned item;
	const struct op *op;
	struct ttlv_reader payload;
	struct buf out; /* content of the Response Payload */
	struct buf implied; /* attributes that the answer tells: we chose their values */
	void *state;	/* the operation's own, in the arena */
	struct ledger_load load;
	void (*load_next)(struct request *, enum err);
	const struct object *object; /* what rq_load() found */
	bool hidden; /* it found what this version does not have */
	struct fetch *fetch;	     /* what rq_fetch() works on */
	const struct object **templates; /* which the item names, in the order of their names */
	size_t templates_count;
	struct lookup *lookup; /* made when the vault is asked */
	bool looked_up; /* in the vault, for this load */

	/* the message */
	char placeholder[UID_TEXT_LEN + 1]; /* ID Placeholder; empty: none */
	struct changes changes;
	struct outcome *outcomes;
	struct buf payloads;
	struct buf answer;
	struct stamp began; /* for the commit: before anything was done, if the tenant has a cache */
};

/*
 * Starts on a whole request message, which is copied.  False without memory: then nothing
 * happened and answered() will not be called.
 */
bool rq_start(struct request **out, const struct request_params *p, const uint8_t *msg, size_t len);
/* The client has gone: reads stop, changes run to their end, the answer is dropped. */
void rq_abandon(struct request *rq);
/* The name of the operation being worked on or of the last one. */
const char *rq_operation(const struct request *rq);
/* In answered(): the first thing that went wrong by itself. */
enum err rq_result(const struct request *rq);

/* --- for operations --- */

/* The one way out. */
void rq_done(struct request *rq, enum err e);

/*
 * Suspends the request on w, then runs next(rq, result) with nothing else waited for.  Call
 * before starting the work, which must be the last statement of the function.
 */
void rq_await(struct request *rq, struct wait *w, void (*next)(struct request *, enum err));

/*
 * Runs the message anew, for as long as its deadline allows: what it began with is not so any more.
 * Nothing is waited for; the last statement of the function, instead of rq_done().
 */
void rq_restart(struct request *rq);

/*
 * Takes the optional Unique Identifier of the payload, or the ID Placeholder.
 * ERR_MISSING_DATA when there is neither.  A text that cannot be one of our uids is ERR_NO_OBJECT,
 * and so is what refers to something that the message did not answer (2.x).
 */
CHECKED enum err rq_take_uid(struct request *rq, char uid[UID_TEXT_LEN + 1]);
/* Takes an attribute; in 2.x it stands in a structure with that tag.  ERR_MISSING_DATA. */
CHECKED enum err rq_take_attribute(struct request *rq, uint32_t tag, struct kmip_attr *out);
/* All attributes of the object into the answer; in 2.x in a structure. */
CHECKED enum err rq_put_attributes(struct request *rq, const struct object *o);
/*
 * Takes the Protection Storage Masks that 2.x has where something is to be stored.
 * ERR_NO_PROTECTION when we meet none of them.
 */
CHECKED enum err rq_take_protection(struct request *rq);

/*
 * Loads an object as this message sees it (its own changes included), then runs next.  On
 * ERR_OK rq_object() is it.  Last statement of a function.
 */
void rq_load(struct request *rq, const char *uid, void (*next)(struct request *, enum err));
/* What this gateway knows of it, without a look into the vault. */
void rq_load_here(struct request *rq, const char *uid, void (*next)(struct request *, enum err));
const struct object *rq_object(struct request *rq);
/* ERR_NO_OBJECT because this version has no such objects; the identifier is taken. */
bool rq_is_hidden(const struct request *rq);
/*
 * The vault does not have the object's record any more: another gateway may have replaced it.
 * rq_may_reload() tells whether that is worth a look, once for each load; then rq_reload() looks,
 * loads the object anew and runs next, or runs the whole message anew if it changed what is not so any
 * more.  gone: as struct vault_unwrap has it.
 */
bool rq_may_reload(const struct request *rq);
void rq_reload(struct request *rq, enum vault_gone gone, void (*next)(struct request *, enum err));
/* A copy of it that may be changed and handed to changes_put(); NULL without memory. */
struct object *rq_object_copy(struct request *rq);

/*
 * Calls drop(arg) when the request ends or runs again, or was answered while its note is being written.
 * What holds keys, or what was made of them, is owned so.  ERR_NO_MEMORY.
 */
CHECKED enum err rq_own(struct request *rq, void (*drop)(void *), void *arg);
/*
 * Then drops the reference in *slot, if there is one: also when it ends before the call that fills the
 * slot.  *slot lies in the arena.  ERR_NO_MEMORY.
 */
CHECKED enum err rq_own_secret(struct request *rq, struct secret **slot);

void rq_set_placeholder(struct request *rq, const char *uid);
void rq_drop_placeholder(struct request *rq);

/* What the item does has to be committed, though its operation as such only reads. */
void rq_must_commit(struct request *rq);

/* The object that the item is about, for its audit line, where rq_take_uid() did not say it. */
void rq_about(struct request *rq, const char *uid);

/* For the item's audit line; a literal. */
void rq_note(struct request *rq, const char *text);

/* Unique Identifier into the answer. */
void rq_put_uid(struct request *rq, const char *uid);

#endif
