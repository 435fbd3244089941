/* SPDX-License-Identifier: Apache-2.0 */
/* Root keys are proven by the tenant's newest keys. */
#include "rootproof.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { LIST_ARENA_MAX = 64 * 1024 };

static void next_key(struct root_proof *p);

void
root_proof_init(struct root_proof *p, struct loop *l, struct rootkeys *roots,
    struct envelope_crypto *crypto)
{
	*p = (struct root_proof){.loop = l, .roots = roots, .crypto = crypto};
	list_init(&p->waits);
}

void
root_proof_begin(struct root_proof *p, struct ledger *l, const char *tenant)
{
	p->ledger = l;
	strncpy(p->tenant, tenant, sizeof(p->tenant) - 1);
}

static void
release(struct root_proof *p)
{
	wait_cancel(&p->find.wait);
	wait_cancel(&p->load.wait);
	arena_free(p->step);
	arena_free(p->list);
	p->step = p->list = NULL;
	p->looking = false;
}

static void
look_over(struct root_proof *p, enum err e)
{
	release(p);
	LIST_FOREACH_SAFE(it, next, &p->waits)
		wait_finish_soon(p->loop, CONTAINER_OF(it, struct wait, link), e);
}

void
root_proof_fini(struct root_proof *p)
{
	if (p->loop != NULL)
		look_over(p, ERR_STORAGE_DOWN);
}

static void
judge(struct root_proof *p, enum root_verdict verdict)
{
	if (verdict == ROOT_WRONG && p->verdict != ROOT_WRONG)
		LOG(LOG_ERROR, "integrity",
		    "the root key does not open the tenant's keys: no new ones are made",
		    kv_text("tenant", p->tenant));
	else if (verdict != ROOT_WRONG && p->verdict == ROOT_WRONG)
		LOG(LOG_NOTICE, "integrity", "new keys are made again: the root key is not in doubt",
		    kv_text("tenant", p->tenant));
	p->verdict = verdict;
}

bool
root_proof_holds(const struct root_proof *p)
{
	return p->ledger == NULL || p->verdict == ROOT_OPENS || p->verdict == ROOT_UNUSED;
}

static bool
is_newest(const struct root_proof *p, uint32_t version)
{
	return p->roots->all[p->roots->newest].version == version;
}

/* A key under this version was opened. */
static void
prove(struct root_proof *p, uint32_t version)
{
	for (unsigned i = 0; i < p->roots->count; i++)
		if (p->roots->all[i].version == version)
			p->roots->all[i].proven = true;
}

static bool
all_proven(const struct rootkeys *r)
{
	for (unsigned i = 0; i < r->count; i++)
		if (!r->all[i].proven)
			return false;
	return true;
}

void
root_proof_opened(struct root_proof *p, const struct object *o)
{
	uint32_t version;

	if (p->ledger == NULL || (p->verdict == ROOT_OPENS && all_proven(p->roots)) ||
	    envelope_root_version(o, &version) != ERR_OK)
		return;
	prove(p, version);
	if (is_newest(p, version))
		judge(p, ROOT_OPENS);
}

void
root_proof_wrapped(struct root_proof *p)
{
	if (p->ledger == NULL)
		return;
	p->roots->all[p->roots->newest].proven = true;
	judge(p, ROOT_OPENS);
}

/* --- a look: the newest keys, one after the other --- */

static void
key_failed(struct root_proof *p, const struct object *o)
{
	uint32_t version;

	if (envelope_root_version(o, &version) != ERR_OK)
		return; /* that says nothing of the root key */
	p->failed = true;
	p->newest_failed |= is_newest(p, version);
}

/* False: the look is over. */
static bool
try_key(struct root_proof *p, const struct object *o)
{
	struct secret *key = NULL;
	uint32_t version;
	enum err e = envelope_open(p->crypto, p->roots, o, SECRET_TRANSIENT, &key);

	secret_unref(key);
	if (e == ERR_OK)
		e = envelope_root_version(o, &version);
	if (e == ERR_INTEGRITY)
		key_failed(p, o);
	if (e == ERR_INTEGRITY || e == ERR_SCHEMA)
		return true;
	if (e == ERR_NO_ROOT_KEY) { /* the file is an older one, or another tenant's */
		judge(p, ROOT_WRONG);
		e = ERR_WRONG_ROOT_KEY;
	} else if (e == ERR_OK) {
		prove(p, version);
		if (p->newest_failed && !is_newest(p, version))
			return true;
		judge(p, ROOT_OPENS);
	}
	look_over(p, e);
	return false;
}

static void
key_loaded(struct wait *w, enum err e)
{
	struct root_proof *p = CONTAINER_OF(w, struct root_proof, load.wait);
	const struct object *o = p->load.object;

	if (e != ERR_OK && e != ERR_NO_OBJECT && e != ERR_CORRUPT) {
		look_over(p, e);
		return;
	}
	if (e == ERR_OK && !object_is_destroyed(o) && o->record != NULL && !try_key(p, o))
		return;
	p->at++;
	next_key(p);
}

static void
next_key(struct root_proof *p)
{
	arena_free(p->step);
	p->step = NULL;
	if (p->at == p->find.uids_count) {
		judge(p, p->failed ? ROOT_WRONG : ROOT_UNUSED);
		look_over(p, p->failed ? ERR_WRONG_ROOT_KEY : ERR_OK);
		return;
	}
	p->step = arena_new(OBJECT_ARENA_MAX);
	if (p->step == NULL) {
		look_over(p, ERR_NO_MEMORY);
		return;
	}
	p->load = (struct ledger_load){
	    .wait.done = key_loaded,
	    .arena = p->step,
	    .tenant = p->tenant,
	    .uid = p->find.uids[p->at],
	};
	p->ledger->ops->load(p->ledger, &p->load);
}

static void
keys_listed(struct wait *w, enum err e)
{
	struct root_proof *p = CONTAINER_OF(w, struct root_proof, find.wait);

	if (e == ERR_OK)
		next_key(p);
	else
		look_over(p, e);
}

/* The look goes on: it is for all who come. */
static void
leave_look(struct wait *w)
{
	(void)w;
}

void
root_proof_await(struct root_proof *p, struct wait *w)
{
	w->cancel = leave_look;
	list_append(&p->waits, &w->link);
	if (p->looking)
		return;
	p->looking = true;
	p->at = 0;
	p->failed = p->newest_failed = false;
	p->list = arena_new(LIST_ARENA_MAX);
	if (p->list == NULL) {
		look_over(p, ERR_NO_MEMORY);
		return;
	}
	p->find = (struct ledger_find){
	    .wait.done = keys_listed,
	    .arena = p->list,
	    .tenant = p->tenant,
	    .now = clock_wall(),
	    .max = ROOT_PROOF_KEYS,
	    .no_total = true,
	};
	p->ledger->ops->find(p->ledger, &p->find);
}

/* --- root keys that follow others --- */

/* Whether something may be wrapped under it: it is wrong only when that was found, and nothing opened. */
static bool
counts(const struct root_proof *p, unsigned i)
{
	return p->verdict != ROOT_WRONG || p->roots->all[i].proven;
}

static enum err
follow_one(struct root_proof *p, const struct root_proof *before, unsigned i, const char **why)
{
	struct secret *old = before->roots->all[i].key;
	struct secret *now = rootkeys_find(p->roots, before->roots->all[i].version);
	bool proven = before->roots->all[i].proven;

	if (now != NULL && memcmp(secret_bytes(now), secret_bytes(old), ROOT_KEY_LEN) == 0) {
		if (proven)
			prove(p, before->roots->all[i].version);
		return ERR_OK;
	}
	p->verdict = ROOT_UNKNOWN;
	if (!counts(before, i))
		return ERR_OK;
	if (now != NULL)
		*why = "a version has another root key than the one that is in use, and would not open "
		       "its keys";
	else if (proven || i == before->roots->newest)
		*why = "a version is missing that is in use: its keys would not open";
	else
		return ERR_OK;
	return ERR_CONFIG;
}

enum err
root_proof_follow(struct root_proof *p, const struct root_proof *before, const char **why)
{
	enum err e = ERR_OK;

	p->verdict = before->verdict;
	for (unsigned i = 0; e == ERR_OK && i < before->roots->count; i++)
		e = follow_one(p, before, i, why);
	return e;
}
