/* SPDX-License-Identifier: Apache-2.0 */
/* The two storage children on the disk of crash_vfs.h, in the test's own process: it has them work. */
#ifndef CHILDREN_H
#define CHILDREN_H

#include "base/buf.h"
#include "rig.h"
#include "store_exec.h"

struct child {
	struct store_exec *exec;
	int fd; /* -1: it has ended */
	struct buf in, out;
};

extern struct child children[2]; /* STORE_WRITER, STORE_READER */
extern int children_tries;	 /* how often a writer was started */

/* The rig starts these; its pump is the caller's, or children_pump(). */
void children_init(struct rig *r);
/* The reader first. */
void children_end(void);
bool children_are_there(void);
/* As processes do: all is answered at once, and a reader outlives the writer, whose log is left for it. */
void children_pump(struct rig *r);

void child_end(struct child *c);
/* It takes what was sent, and does it.  sends: it answers, too.  False: it has to end. */
bool child_pump(struct child *c, bool sends);
void child_send(struct child *c);

#endif
