/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage child without its process: frames in, frames out.  The writer does all calls that lie ready
 * in one commit for each file, and no answer to a change is put out before that commit is on the disk.
 * The reader answers each as it is read.
 */
#ifndef STORE_EXEC_H
#define STORE_EXEC_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "keys/store.h"
#include "wire.h"

struct store_exec;

struct store_exec_params {
	const char *state_dir;
	enum store_part part; /* the reader comes when the writer has opened the files */
	const char *vfs;		   /* SQLite's file layer; NULL: the system's */
	int (*sync_dir)(const char *dir); /* makes directory entries durable; NULL: fsync() */
	/* Told every few milliseconds while a migration goes on; NULL: nobody is. */
	void (*working)(void *arg);
	/* The writer's: the disk takes writes, and no reader may have the files open from now on; or NULL. */
	void (*opens)(void *arg);
	void *arg;
};

/*
 * Locks, opens, migrates and checks.  *why is a sentence (static storage).  ERR_STORAGE_READ_ONLY: no
 * writer can be had, and a reader may have what is there alone, which nobody else can write here.
 */
CHECKED enum err store_exec_open(struct store_exec **out, const struct store_exec_params *p,
    const char **why);
void store_exec_close(struct store_exec *x);

/* Puts the frame that says how far opening is. */
void store_exec_opening(struct buf *out, enum wire_opening how);
/* Puts the frame that greets the gateway, whether opening worked (x) or not (e and why). */
void store_exec_hello(struct buf *out, struct store_exec *x, enum err e, const char *why);

/*
 * Does complete frames of in, taking them out of it, until out is well filled.  ERR_OK: go on
 * (with what is left in in, once out has been sent).  Else nothing is to be relied on any more
 * and the process has to end, after it sent out: *why says why.
 */
CHECKED enum err store_exec_run(struct store_exec *x, struct buf *in, struct buf *out,
    const char **why);
/*
 * To be called when what was answered is on its way: brings logs that have grown back into the files.
 * As store_exec_run(): what was answered stands, whatever fails here.
 */
CHECKED enum err store_exec_tend(struct store_exec *x, struct buf *out, const char **why);
/* True when in begins with a whole frame. */
bool store_exec_ready(const struct buf *in);

/* The next step of a search that is under way.  True while there is more: call again at once. */
bool store_exec_search(struct store_exec *x, struct buf *out);
/* Work between messages, in small steps.  True while there is more: call again soon. */
bool store_exec_step(struct store_exec *x, struct buf *out);
/*
 * Nothing has come for a while: brings the logs back into the files, and tells whether these still have their
 * names, without which no change is kept.
 */
void store_exec_idle(struct store_exec *x, struct buf *out);

#endif
