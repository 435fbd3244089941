/* SPDX-License-Identifier: Apache-2.0 */
/* A vault that says what the test wants of another gateway's records, in front of a real ledger. */
#ifndef TESTS_ADOPTCASE_H
#define TESTS_ADOPTCASE_H

#include "keys/vault.h"
#include "rig.h"

enum { HELD_MAX = 32 };

/* Its records are eight bytes: the sequence. */
struct adoptfake {
	struct vault vault;
	enum err e;	      /* what find ends with, unless its time is up */
	struct object *found; /* when that is ERR_OK or ERR_NO_ROOT_KEY */
	unsigned finds;
	bool expected, background, holds; /* holds: find ends only by release() */
	bool last_words, withdrawn;
	unsigned held_count;
	struct vault_find *held[HELD_MAX];
};

extern const struct vault_ops fake_ops;
extern struct adoptfake fake;
extern struct rig rig;

void setup(void); /* on virtual time */
void teardown(void);

/* Ends what the vault held back. */
void release(void);
uint64_t fake_sequence(const struct object *o);
/* As another gateway's vault shows it: a state, and a record of that sequence. */
struct object *shown(const struct object *as, uint64_t sequence, enum object_state state);
/* In the ledger, with a record of that sequence. */
struct object *known(uint64_t sequence, enum object_state state, const char *name);
/* What the ledger has of it now. */
struct object *stored(const struct object *o);

#endif
