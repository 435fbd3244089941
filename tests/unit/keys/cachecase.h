/* SPDX-License-Identifier: Apache-2.0 */
/* A cache, what the key manager said, and two keys of one tenant: what its tests begin with. */
#ifndef TESTS_CACHECASE_H
#define TESTS_CACHECASE_H

#include "cacherig.h"

extern struct cacherig rig;
extern struct object *key1, *key2;

void setup(void);
void teardown(void);
/* Runs what is added, each test between the two; the program's exit status. */
int cachecase_main(const char *name, void (*add)(TCase *t));

/* Tells what a check that began now came to. */
void verdict(enum err e);
enum custody_state state(void);
/* Both keys in memory, proved now. */
void warm_up(void);

#endif
