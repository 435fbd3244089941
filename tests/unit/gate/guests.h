/* SPDX-License-Identifier: Apache-2.0 */
/* A gate whose keys are in memory, and clients of its one tenant that ask it for versions. */
#ifndef GATE_GUESTS_H
#define GATE_GUESTS_H

#include <check.h>

#include "base/buf.h"
#include "gate/gate.h"

#include "rig.h"

enum { GUESTS = 5, REQUEST_MAX = 4096, ANSWERS = 16 /* of one session */ };

extern struct rig rig;
extern struct gate *gate;
extern struct limit *limit; /* the tenant's */
extern struct client guests[GUESTS];
extern size_t count;
extern struct buf request;

void set_up(void);
void tear_down(void);
/* The one tenant knows its client by this authority, or has pinned its certificate: NULL. */
struct tenants *tenants_of(struct authority *authority);
void configure(struct tenants *ts); /* the gate; takes them */
void pump(void);

struct client *come(int version);
void ask(struct client *c);
/* How many came since the last look; all are whole. */
size_t answers(struct client *c);
/* One that has had an answer. */
struct client *keep(int version);

#endif
