/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key manager, vaults over it, and a ledger, all in memory and on virtual time: for who works
 * between them.  A record's bytes are its id (36 characters), then its sequence.
 */
#ifndef TESTS_FAKES_H
#define TESTS_FAKES_H

#include <check.h>

#include "base/clock.h"
#include "keys/ledger.h"
#include "keys/vault.h"

enum { FAKE_RECORD_LEN = UID_TEXT_LEN + sizeof(uint64_t), FAKE_TENANTS_MAX = 8 };

/* What a call meets. */
struct fake_fault {
	enum err e;	/* unless ERR_OK */
	unsigned times; /* so many calls; those that follow are well */
	bool holds;	/* calls wait for fake_release() */
	unsigned calls; /* that came */
};

struct fake_record {
	char name[100], id[UID_TEXT_LEN + 1];
	const char *tenant; /* whom it is bound to */
	enum vault_gone gone;
	int64_t when; /* it was made or deleted, seconds since 1970 */
	uint64_t sequence;
	struct object *object;
};

struct fake {
	struct loop *loop;
	struct arena *arena;

	/* the key manager */
	struct vault_source source;
	struct fake_record *records;
	size_t count, room;
	struct fake_fault news;
	struct vault_news *asked; /* the last one that came; valid while it is held */
	int64_t asked_since, asked_at;
	bool asked_surely;
	bool suspended, moved;

	/* vaults */
	struct fake_vault {
		struct vault vault;
		struct fake *fake;
		const char *tenant, *prefix;
	} vaults[FAKE_TENANTS_MAX];
	unsigned vaults_count;
	struct fake_fault find, unwrap, make, store, retire;
	bool stale;	    /* what unwrap says */
	bool record_only;   /* and that what fails is the record's own matter */
	bool apart;	    /* or that of its root key, which is another */
	bool wrong_back;    /* find brings other bytes than were stored */
	bool withdrawn;	    /* what find says of those that are gone */
	char order[512];    /* of the calls to vaults: u m s f r, and P C D of the ledger */

	/* the ledger */
	struct ledger ledger;
	struct object **objects;
	size_t objects_count, objects_room;
	size_t list_max; /* as many the ledger lists at a time; 0: all */
	struct ledger_intent *doubts; /* intents that nobody works on; two at a time are told */
	size_t doubts_count;
	struct fake_fault load, prepare, commit, list, doubt;
	struct list held; /* by wait.link: all calls that wait */
};

void fake_init(struct fake *f);
void fake_fini(struct fake *f);
/* Turns the loop until nothing happens without time or fake_release(). */
void fake_settle(struct fake *f);
void fake_advance(struct fake *f, int64_t ns);
/* Ends the call that waits longest, as it would have without waiting. */
void fake_release(struct fake *f);
unsigned fake_held(const struct fake *f);

struct vault *fake_vault(struct fake *f, const char *tenant, const char *prefix);
/* An object of the tenant with that number, in the arena alone. */
struct object *fake_object(struct fake *f, const char *tenant, unsigned number);
/* A record of it at the key manager, made now. */
struct fake_record *fake_record(
    struct fake *f, struct vault *v, const struct object *o, uint64_t sequence);
void fake_delete(struct fake_record *r, enum vault_gone how);
/* In the ledger, with that record; NULL: with none. */
void fake_know(struct fake *f, const struct object *o, const struct fake_record *r);
/* As the ledger has it, or NULL. */
struct object *fake_known(struct fake *f, const char *tenant, const char *uid);
uint64_t fake_sequence_of(const struct object *o);
int fake_order(const struct object *a, const struct object *b);

#endif
