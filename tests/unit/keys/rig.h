/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this layer share: a state directory, a store with its child, and calls that
 * wait for their end by turning the loop. */
#ifndef RIG_H
#define RIG_H

#include <sys/types.h>

#include "keys/recover.h"
#include "keys/store.h"

struct rig {
	struct loop *loop;
	struct store *store;
	struct ledger *ledger;
	struct vault *vault;
	struct arena *arena;
	char dir[64], state[80], root[96];
	pid_t (*spawn)(void *arg, int fd, enum store_part part); /* NULL: a forked child */
	void (*pump)(struct rig *);	   /* runs the child's side, when it has no process */
	void *arg;
	int64_t timeout_ns;
	int restarted, ended, refused, orphaned, failing, writing;
	int reader_restarted, reader_ended;
	char why[256]; /* the last event that gave a reason: "refused: ERROR: sentence" */
	int alone; /* how often a reader served without a writer */
	int made;      /* ledgers where there was none */
	int migrating; /* how often a start has told that it takes long */
	int copying, percent; /* how often a backup has told, and what at last */
};

/* Directory, loop, root key; then store, ledger, vault.  Each aborts the test on failure. */
void rig_init(struct rig *r);
void rig_start(struct rig *r);
enum err rig_try_start(struct rig *r, const char **why);
void rig_stop(struct rig *r);
void rig_fini(struct rig *r); /* removes the directory */
void rig_remove(const char *dir);
pid_t rig_fork_child(void *rig, int fd, enum store_part part);

/* Prepares a wait for rig_end(), which turns the loop until it is done. */
struct outcome {
	bool done;
	enum err e;
};
void rig_begin(struct wait *w, struct outcome *o);
enum err rig_end(struct rig *r, struct outcome *o);

/* An object with a record and no revision, of the rig's arena; name NULL: without one. */
struct object *rig_object(struct rig *r, const char *tenant, const char *name);
/* Makes it take more than the first block of an arena. */
void rig_pad(struct rig *r, struct object *o);
/* Gives it the record, without an id yet, that the vault keyprotect would have made. */
void rig_as_in_keyprotect(struct rig *r, struct object *o);
enum err rig_create(struct rig *r, struct object *o);
enum err rig_update(struct rig *r, struct object *o);
enum err rig_destroy(struct rig *r, struct object *o);
/* A loaded copy, or NULL with *e. */
struct object *rig_load(struct rig *r, const char *tenant, const char *uid, enum err *e);
/* As the ledger has them. */
bool rig_same(const struct object *a, const struct object *b);
enum err rig_unwrap(struct rig *r, const struct object *o, struct secret **key);
enum err rig_probe(struct rig *r, const char *tenant, const char *uid, bool *found);
enum err rig_recover(struct rig *r, struct recover *out);

enum err rig_prepare(struct rig *r, struct ledger_changes *c);
enum err rig_commit(struct rig *r, struct ledger_changes *c);
enum err rig_vault(struct rig *r, void (*op)(struct vault *, struct vault_change *),
    const struct object *o);

#endif
