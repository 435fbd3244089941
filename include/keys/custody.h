/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a key manager last let us know about the keys in its custody, and what follows from it for
 * keys in memory.  One for each distinct vault connection, shared by the tenants that use it.
 * Evidence comes from loads (keys/cache.h) and from whoever watches the key manager.
 */
#ifndef KEYS_CUSTODY_H
#define KEYS_CUSTODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct custody;

/*
 * A moment, such that its age can be told even if the machine was suspended, or stopped and
 * resumed by a hypervisor, and that any two of this process can be put in order.  Zero: never.
 */
struct stamp {
	int64_t boot_ns, wall_ms;
	uint64_t order;
};
struct stamp stamp_now(void);
/*
 * The time since then by clock_boot(), which misses what a paused virtual machine missed: by the
 * wall clock if that ran ahead of it by more than slack_ns.  INT64_MAX for never.
 */
int64_t stamp_age(const struct stamp *s, int64_t slack_ns);

enum custody_state {
	CUSTODY_UNTRIED,    /* not asked yet */
	CUSTODY_FRESH,	    /* it answers, and nothing is wrong */
	CUSTODY_RIDING_OUT, /* not heard for longer than the bound: keys are served from memory */
	CUSTODY_CUT_OFF,    /* not heard for longer than that is allowed */
	CUSTODY_REVOKED,    /* the root key was deleted; this and what follows wiped all keys */
	CUSTODY_SUSPENDED,  /* the root key is disabled, or the key manager sealed */
	CUSTODY_WITHDRAWN,  /* it refuses us access */
};

struct custody_params {
	const char *name;    /* for log and health; copied */
	int64_t bound_ns;    /* the shortest revocation-bound of its tenants; above zero */
	int64_t ride_out_ns; /* the longest ride-out-max of its tenants; 0: never */
	bool own_root_keys;  /* each key has its own: a missing one says nothing about others */
};

/* NULL without memory.  One reference. */
struct custody *custody_new(const struct custody_params *p);
struct custody *custody_ref(struct custody *cu);
/* The last one of those who may ask (loads do not count) takes its keys out of memory. */
void custody_unref(struct custody *cu);
/* After a reload; the name stays. */
void custody_set(struct custody *cu, int64_t bound_ns, int64_t ride_out_ns);

/* What a call to the key manager came to, and when that call began. */
struct custody_evidence {
	enum err e;
	bool suspended; /* with ERR_NO_ROOT_KEY: it is there, but disabled or sealed */
	struct stamp began;
};
/*
 * ERR_OK: fresh, unless the call began before the last refusal was heard.  ERR_NO_ROOT_KEY: all
 * keys are wiped, their loads fail.  ERR_VAULT_DENIED: the same, once three refusals spread over
 * at least a third of the bound with no success between them.  ERR_VAULT_DOWN, ERR_DEADLINE,
 * ERR_STORAGE_DOWN: an outage, which counts once nothing good was heard for the bound.  Any other
 * error says nothing about the custody.
 */
void custody_verdict(struct custody *cu, const struct custody_evidence *ev);
/*
 * A check that proves every key in the custody that was not forgotten (root key, right, list of
 * deletions) succeeded, and this is when it began.  Keys under another root key are not meant.
 */
void custody_confirmed(struct custody *cu, const struct stamp *began);

/*
 * Another root key is proved from now on: what is in memory has to be loaded anew, and what is under
 * way may be under the one of before.
 */
void custody_moved(struct custody *cu);

const char *custody_name(const struct custody *cu);
enum custody_state custody_state(const struct custody *cu);
/* The same for a tenant whose own riding out may be over earlier. */
enum custody_state custody_state_for(const struct custody *cu, int64_t ride_out_ns);
/* Access was refused, though not yet for long enough to believe it. */
bool custody_is_in_doubt(const struct custody *cu);
const char *custody_state_name(enum custody_state s); /* "riding out" */
/* Milliseconds since 1970; riding out and cut off: when the last good call began, if any did. */
int64_t custody_since(const struct custody *cu);
/* The end of that tenant's riding out; otherwise 0. */
int64_t custody_until(const struct custody *cu, int64_t ride_out_ns);

/*
 * How long ago the last check began that proved all, in nanoseconds; as long as there was none, how
 * long ago the custody was made.
 */
int64_t custody_proved_ago(const struct custody *cu);
/*
 * Fresh, as somebody's call was answered, yet nothing was proved for twice the bound: rounds end in
 * what is neither refusal nor outage.
 */
bool custody_is_overdue(const struct custody *cu);

#define CUSTODY_TEXT_MAX 240
/* "riding out since 2026-… until 2026-…", for people, as the tenant sees it. */
void custody_text(const struct custody *cu, int64_t ride_out_ns, char out[CUSTODY_TEXT_MAX]);

#endif
