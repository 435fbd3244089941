/* SPDX-License-Identifier: Apache-2.0 */
/* What the watch is made of: its tenants, and passes over what the key manager tells. */
#ifndef WATCH_PARTS_H
#define WATCH_PARTS_H

#include "keys/watch.h"

enum { SETTLED_MAX = 1024 };

/* What was seen to last of a record. */
struct settled {
	uint64_t record; /* a hash */
	enum vault_gone gone;
};

struct watch_tenant {
	struct list link;
	struct watch *watch;
	struct vault *vault;
	char id[TENANT_ID_MAX + 1];
	int64_t since; /* the vault's time from which a round has to ask for it; 0: it is new */
	bool in_round; /* it was there when the round under way began */
	bool behind;   /* the round under way left something of it */
	struct watch_rebuild *rebuild; /* wanted, or under way; NULL as well when it was cancelled */
	bool rebuilding;	       /* the full pass under way is for it */
};

/* A record that something may be to do about. */
struct event {
	struct watch_tenant *tenant; /* NULL: it has gone */
	char uid[UID_TEXT_LEN + 1], record_id[UID_TEXT_LEN + 1];
	enum vault_gone gone;
};

/* One walk: the lists, then what is in them, one after the other. */
struct pass {
	struct watch *watch;
	bool full; /* over all that there is; else a round, over what is new */
	bool crowded; /* not all had room */
	struct stamp began;
	int64_t cut_at; /* clock_now() time when a round leaves the rest to the next one */
	struct vault_news news;
	struct event *events;
	size_t count, room, at;
	struct arena *arena;
	struct ledger_load load;
	struct lookup lookup;
	struct vault_find find;
	struct vault_change drop;
	struct defer turn;
};

struct watch {
	struct watch_params p;
	struct list tenants;
	struct timer timer, full_timer; /* armed while the pass does not run */
	int64_t clock;			/* the vault's, when it was last asked; 0: not known yet */
	struct pass round, full;
	bool missed; /* a round left what does not open without a root key that was not there */
	struct settled settled[SETTLED_MAX]; /* by rounds, for rounds */
	size_t next_settled;
};

/* --- watch_pass.c --- */

void pass_init(struct pass *p, struct watch *w, bool full);
/* Ends in watch_passed(), never at once; sure as with vault_news. */
void pass_start(struct pass *p, int64_t since, bool sure);
/* Safe in any state. */
void pass_stop(struct pass *p);
/* The tenant goes: what there is of it yet is left out. */
void pass_drop(struct pass *p, const struct watch_tenant *t);

/* --- watch.c --- */

/* The lists were read, or could not be; nothing of them was looked at yet. */
void watch_told(struct pass *p, enum err e);
void watch_passed(struct pass *p, enum err e);

#endif
