/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What vaults `keyprotect` have in common.  An instance: the way to it, how many calls it is sent.
 * A root key in it: what is known of the root key and of our rights.
 */
#ifndef KPROOT_H
#define KPROOT_H

#include "keys/vault_kp.h"
#include "kpop.h"

enum { KPROOT_HEADER_MAX = 160 };

/* Instance, the way to it, credential and ceilings are the same. */
struct kpinstance {
	struct list link; /* first: see loop_free_later() */
	unsigned refs;
	struct loop *loop;
	struct http *http;
	struct iam *iam;
	char *url, *ca_file, *proxy, *service_ids;
	struct kp_ours ours; /* these, and those that were learned */
	bool allow_plain;
	char header[KPROOT_HEADER_MAX];
	struct kplimit limit;
	struct ration told[KP_CLASSES];
};

/* Instance, root key and key ring are the same. */
struct kproot {
	struct list link;
	struct vault_source source;
	struct kphome home; /* of its own operations */
	struct kpinstance *instance;
	char *root_key;		   /* as configured: an id or an alias */
	char id[UID_TEXT_LEN + 1]; /* what that is; empty: not known yet which one bears the alias */
	unsigned moves;		   /* how often the alias has come to mean another */
	int64_t look_at;	   /* clock_now() time to look at the root key itself again */
	char *key_ring;	    /* NULL: all rings are searched */
	char ring[KPROOT_HEADER_MAX];
	struct list vaults; /* by their kin: those who hold it */
	char *canary; /* ciphertext that proves root key and right; NULL until it was made */
	bool no_wrap;  /* it is deactivated */
	bool no_alias; /* nothing bears the alias any more */
	bool no_create, no_delete; /* what was refused when it was last tried */
	bool trying_rights;
	int64_t rights_at;   /* clock_now() time to try them again */
	int64_t refused_at;  /* clock_now() time when a retirement was; 0: never */
	bool sealed, full;   /* how the instance was when it was last asked */
};

/* Joins the vault to the root that it wants, and sets its root and link.  ERR_NO_MEMORY. */
CHECKED enum err kproot_join(struct vault_kp *v, const struct vault_kp_params *p);
/* With the last vault the root goes.  Harmless when it never joined. */
void kproot_leave(struct vault_kp *v);

/* Whether a root key that was called is there, but not to be used now; notes a sealed instance. */
bool kproot_is_suspended(struct kproot *r, const struct kpcall *c);
/* Not by its id: it may come to be another. */
bool kproot_has_alias(const struct kproot *r);
/* Its own path, or that of an action ("/actions/wrap"), by the id if that is known. */
void kproot_path(char path[KPOP_PATH_LEN], const struct kproot *r, const char *action);
/* Looks at the root key by the name that is configured: GET, for kproot_seen(). */
void kproot_look(const struct kproot *r, struct kpop *o, void (*done)(struct wait *, enum err));
/*
 * What came of it: which root key it is, and whether it is deactivated.  ERR_WRONG_STATE: it is
 * disabled; ERR_NO_OBJECT: deleted, or there is none.
 */
CHECKED enum err kproot_seen(struct kproot *r, const struct kpcall *c, enum err e);

/* In kprights.c: looks whether rights are missing, if that is due.  Nobody has to wait. */
void kprights_start(struct kproot *r);

/* In kpnews.c. */
void kpnews_start(struct vault_source *source, struct vault_news *news);

#endif
