/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small Key Protect and IAM on the test's own loop, whose answers a test can spoil one by one,
 * and a vault that uses them.  Time is virtual.
 */
#ifndef TEST_KPRIG_H
#define TEST_KPRIG_H

#include "base/arena.h"
#include "keys/iam.h"
#include "keys/vault_kp.h"

#include "httpd.h"

enum spoil {
	SPOIL_STATUS,
	SPOIL_RESET_BEFORE, /* nothing was done */
	SPOIL_RESET_AFTER,  /* it was done, and the answer is lost */
	SPOIL_HANG_BEFORE,
	SPOIL_HANG_AFTER,
	SPOIL_STATUS_AFTER, /* done, and an error is answered */
	SPOIL_CUT,	    /* done, and the answer is cut off */
};
struct spoiled {
	const char *method, *path; /* path: a part of it */
	unsigned times;
	enum spoil spoil;
	int status;
	const char *extra, *body;
};

struct fake_key {
	char id[40], name[100], payload[12000], created[32], deleted[32];
	const char *created_by, *deleted_by;
	int state;
};
enum { FAKE_KEYS_MAX = 64 };
void fake_key_deleted(struct fake_key *k, const char *by, int64_t when);

struct kprig {
	struct loop *loop;
	struct http *http;
	struct httpd kp, iam_server;
	struct iam_set *set;
	struct vault_kp_set *vaults;
	struct iam *iam;
	struct vault *vault;
	struct vault_kp_params params;
	struct arena *arena;
	char dir[64], key_file[96], iam_url[128];

	struct spoiled fault; /* of Key Protect */
	struct spoiled iam_fault;
	struct fake_key keys[FAKE_KEYS_MAX];
	unsigned keys_count;
	bool reader_only, writer_only, too_broad, wrong_key;
	bool suspended; /* the last unwrap found the root key disabled or sealed */
	bool record_only; /* and was refused the record alone */
	int root_state;
	const char *alias; /* of the configured root key; NULL: none */
	char root_id[40];  /* what bears it */
	bool alias_gone;
	int64_t date; /* that every answer bears; 0: that of our clock; below: none */
	unsigned lag;		       /* so many lists and reads do not show new keys */
	unsigned tokens, oldest_token; /* given; tokens before this one are refused */
	int64_t token_life_s;
	char api_key_seen[128], form_seen[512];
	unsigned wraps, unwraps, posts, deletes, metas, reads, lists,
	    looks, rights_tried; /* calls that arrived */
	unsigned pages; /* full of strangers' keys when the list is walked, a second each */
	char order[256]; /* first letters of the calls, in order */
	unsigned events;
	char event[64];
};

struct kprig *kprig_new(void); /* with a vault; a key file that says KEY-1 */
void kprig_free(struct kprig *r);
void kprig_key_file(struct kprig *r, const char *text);
/* As if it were deleted now: by us, or by somebody else. */
void kprig_delete(struct fake_key *k, const char *by);
/* Another vault with params as they are now. */
void kprig_vault(struct kprig *r);

/* Something that is waited for: the wait's owner is the job, kpjob_done its done. */
struct kpjob {
	bool done;
	enum err e;
};
void kpjob_done(struct wait *w, enum err e); /* owner is the job */
/* Turns, and time in steps of 50 ms, until it is done; fails after 60 s. */
void kprig_run(struct kprig *r, struct kpjob *j);
/* Turns alone. */
void kprig_settle(struct kprig *r);

/* A new object of that length, as Create makes it. */
struct object *kprig_object(struct kprig *r, uint32_t bits);
enum err kprig_make(struct kprig *r, struct object *o, struct secret **key);
enum err kprig_store(struct kprig *r, struct object *o);
enum err kprig_destroy(struct kprig *r, const struct object *o);
enum err kprig_unwrap(struct kprig *r, const struct object *o, struct secret **key);
/*
 * Asks one vault for much in the background, then the other for the object: how much of the former
 * was done when the latter was.
 */
unsigned kprig_ahead(
    struct kprig *r, struct vault *busy, struct vault *asked, const struct object *o);
enum err kprig_probe(struct kprig *r, const struct object *o, bool *found);
enum err kprig_probe_gone(
    struct kprig *r, const struct object *o, bool *found, enum vault_gone *gone);
enum err kprig_retire(struct kprig *r, const struct object *o, const struct object *successor);
/* Set what is asked for beside the object, zero the rest; the key is let go. */
enum err kprig_find(struct kprig *r, struct vault_find *f, const struct object *o);

#endif
