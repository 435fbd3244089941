/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two gateways over one instance: two tenants of one ledger, and records that bear the object, as it
 * was then, in the clear.
 */
#ifndef TESTS_SHARECASE_H
#define TESTS_SHARECASE_H

#include "keys/share.h"
#include "rig.h"

enum { RECORDS_MAX = 256 };

struct gateway {
	struct vault vault;
	const char *tenant;
	struct share *share;
};

/* The instance. */
struct instance {
	struct object *records[RECORDS_MAX]; /* as they are found */
	bool gone[RECORDS_MAX];
	size_t count;
	unsigned makes, stores, unwraps;
	enum err make_fails, store_fails;
	unsigned recorded_fails; /* which call for want of memory, from 1; 0: none */
	bool loses_answer; /* of a store that was done */
	void (*before_store)(void);
};

extern struct rig rig;
extern struct gateway east, west;
extern struct instance there;

void setup(void); /* both gateways, on virtual time */
void teardown(void);

uint64_t sequence_of(const struct object *o);
void make_record(struct object *o, struct arena *a);
void put_record(const struct object *o);
void begin(struct gateway *g);
void end(struct gateway *g);
void pass(int64_t ns);
struct object *load(const struct gateway *g, const char *uid);
enum err adopt(struct gateway *g, const char *uid, const char *record_id);
/* As the watch has it: every record that lists show. */
void watch(struct gateway *g, const char *uid);
void commit(struct gateway *g, struct object *o, enum change_kind kind);
/* Of the first gateway, known to both. */
const char *new_object(const char *name);
/* value NULL: deletes it. */
void set(struct gateway *g, const char *uid, const char *name, const char *value);
bool has(const struct gateway *g, const char *uid, const char *name, const char *value);
bool both_have(const char *uid, const char *name, const char *value);

#endif
