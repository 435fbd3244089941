/* SPDX-License-Identifier: Apache-2.0 */
/* An operation of the vault over a key manager in memory: what those of all kinds have. */
#ifndef SUPPORT_FAKEOP_H
#define SUPPORT_FAKEOP_H

#include "fakevault.h"

#define FAKEOP_AGAIN_NS (500 * NS_PER_MS)
#define FAKEOP_LAG_NS (5 * NS_PER_S)

/* What is in object->record. */
struct record {
	char id[UID_TEXT_LEN]; /* zero bytes: not stored yet */
	uint64_t sequence;
	uint32_t version, state;
	uint8_t wrapped[KEYMGR_KEY_LEN];
};

struct op {
	struct list link;
	struct timer timer;
	struct fakevault *v;
	struct wait *waiter; /* NULL: has left */
	void (*arrive)(struct op *);
	void (*deliver)(struct op *); /* what the waiter gets, on ERR_OK */
	bool arrived, runs_on;
	enum err e;
	int64_t deadline;
	int64_t look_until; /* up to then, lists may not show what was just made */
	union {
		struct vault_make *make;
		struct vault_unwrap *unwrap;
		struct vault_change *change;
		struct vault_probe *probe;
		struct vault_find *find;
		struct vault_news *news;
	} c;
	/* copies, for what runs on */
	char uid[UID_TEXT_LEN + 1], known[UID_TEXT_LEN + 1], other[UID_TEXT_LEN + 1];
	struct arena *arena;
	struct object *object;
	enum vault_gone gone;
	bool flag; /* unwrap: stale; probe: found; news: proved, retire: seen */
};

/* False: there is none. */
bool fakeop_read_record(struct record *r, const struct object *o);
void fakeop_record_id(char id[UID_TEXT_LEN + 1], const struct object *o);
int fakeop_order(const struct object *a, const struct object *b);

/* NULL: the gateway was killed, and whoever asked is told. */
struct op *fakeop_new(struct vault *v, struct wait *w, const struct vault_terms *t, const char *uid,
    void (*cancel)(struct wait *));
/* The waiter has left. */
void fakeop_leave(struct op *o);
/* From arrive(): another call arrives after that time. */
void fakeop_again(struct op *o, int64_t in);
int64_t fakeop_half_way(const struct op *o); /* clock_now() time */
enum err fakeop_root_error(const struct op *o);

/* What a search for the name shows: it may lag, but what it shows is read as it is. */
bool fakeop_shows(const struct op *o, const struct keymgr_record *r);
size_t fakeop_count_shown(const struct op *o);
enum vault_gone fakeop_how_gone(const struct op *o, const struct keymgr_record *r);

/* fakevault_read.c */
void fakeread_make(struct vault *v, struct vault_make *c);
void fakeread_unwrap(struct vault *v, struct vault_unwrap *c);
void fakeread_probe(struct vault *v, struct vault_probe *c);
void fakeread_find(struct vault *v, struct vault_find *c);
void fakeread_news(struct vault_source *s, struct vault_news *c);
/* fakevault_change.c */
void fakechange_store(struct vault *v, struct vault_change *c);
void fakechange_destroy(struct vault *v, struct vault_change *c);
void fakechange_retire(struct vault *v, struct vault_change *c);

#endif
