/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two gateways over one key manager may and may not answer.  Knows what was done, when, and
 * what was answered; nothing of how gateways work.  Times are the key manager's.
 */
#ifndef MODELJUDGE_H
#define MODELJUDGE_H

#include "modelgate.h"

enum { GATES = 2, MODEL_KEYS = 4 };
#define MODEL_BOUND_NS (60 * NS_PER_S)
/* After so long of good health nothing that was before may be felt. */
#define MODEL_SETTLE_NS (85 * NS_PER_S)
#define RACE_NS (15 * NS_PER_S) /* a record is made, and lists lag */

struct model_gate {
	struct gateway g;
	int64_t open_since;   /* the way, and answers come in time; 0: it is not */
	int64_t closed_since; /* the way; 0: it is open */
	int64_t denied_since; /* 0: it has the right */
	int64_t well_before;  /* healthy since, when one of these two began; 0: it was not */
	int64_t granted_since;
	int64_t blurred; /* up to then, loads that time jumped over may end */
};

/* What was acknowledged and seen of a key at one gateway. */
struct model_seen {
	enum object_state state; /* the most restrictive one */
	int64_t known;		 /* since when it knows of the key; 0: perhaps not */
	int64_t destroyed;	 /* when that was acknowledged here */
	bool dead;		 /* has heard of the destruction, so that no restoring helps */
	int64_t top;		 /* the last record that it made of it was made then or later */
	int64_t tried;		 /* since when records may have been made that nobody was told of */
	int64_t moved;		 /* up to when its record may have been replaced */
	int64_t warm;		 /* served since nothing may have dropped it from memory */
	int64_t cooled;		 /* when something last may have */
};

struct model_key {
	char uid[UID_TEXT_LEN + 1]; /* empty: there is none */
	bool creating;
	bool destroying; /* a Destroy was sent: it may have been done */
	bool in_vain; /* when the last record was not there to be destroyed: only who did it knows */
	bool raced; /* a record came up shortly before, which lists may not have shown */
	int64_t created;
	int64_t came_back; /* when the customer last restored records */
	int64_t destroyed; /* when it was acknowledged first */
	bool restored;	   /* after that, by the customer */
	bool withdrawn;	   /* by the customer, at last */
	bool partly;	   /* older records than that were left */
	enum object_state state; /* the most restrictive one that was acknowledged */
	int64_t state_at;
	struct model_seen at[GATES];
};

struct model {
	struct loop *loop;
	struct keymgr km;
	struct model_gate gates[GATES];
	struct model_key keys[MODEL_KEYS];
	struct cache_terms terms;
	bool small_cache;
	bool set_clocks; /* clocks are set, else machines are paused */
	bool ending; /* all is well, and was for some time */
	int64_t root_gone_since; /* 0: it is there */
	int64_t root_back_since;
	int64_t jumped; /* when time was last not what it seemed; 0: never */
	bool paused;	/* time passed that no clock of a gateway counted */
	struct {
		unsigned long served, refused, created, destroyed, ridden, must, not_found;
	} counts;
};

/* A request under way. */
struct model_call {
	struct exchange x;
	struct model *m;
	bool used;
	bool risky; /* the ledger may die meanwhile */
	unsigned gate, key;
	int64_t began;
	bool moving;		 /* the record may have been replaced just before */
	enum object_state state; /* that this gateway had acknowledged by then */
};

void judge_answer(struct model_call *c);
/* Notes since when all was well, as something is about to go wrong. */
void judge_trouble(struct model *m, unsigned gate);
/* What is in memory now. */
void judge_memory(struct model *m);
/* A gateway may have replaced the record so shortly before. */
bool judge_moving(const struct model_key *k, int64_t when, int64_t within);
/* The customer is about to restore a key. */
void judge_restoring(struct model *m, struct model_key *k);
/* All is well, for long enough: a last answer, and then what is left where keys are kept. */
void judge_last(struct model_call *c);
void judge_intents(const struct model *m);

/* Notes what is wrong; the first wrong thing counts.  NULL: nothing is. */
void blame(const char *text, ...) __attribute__((format(printf, 1, 2)));
extern char model_blame[256];
extern const char *model_blamed; /* the text that was given first */

#endif
