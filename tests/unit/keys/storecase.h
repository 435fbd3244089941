/* SPDX-License-Identifier: Apache-2.0 */
/* A store with a real child, and objects in it. */
#ifndef TESTS_STORECASE_H
#define TESTS_STORECASE_H

#include "job.h"

enum { MANY = 100 };

extern struct rig rig;

void setup(void); /* a directory; the test starts the store itself */
void teardown(void);

/* Waits for the child that follows a dead one. */
void await_restart(int restarted);
struct object *load_ok(const struct object *o);
void load_fails(const struct object *o, enum err want);
/* MANY creates at once; every shared_every-th has the same name, unless that is 0. */
void create_many(struct job *jobs, int shared_every);

#endif
