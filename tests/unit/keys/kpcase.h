/* SPDX-License-Identifier: Apache-2.0 */
/* A case of the tests of the vault `keyprotect': each has a Key Protect and a vault of its own. */
#ifndef KPCASE_H
#define KPCASE_H

#include <check.h>

#include "kprig.h"

#define KP_BODY(code)                                                                              \
	"{\"resources\":[{\"errorMsg\":\"Failed\",\"reasons\":[{\"code\":\"" code "\"}]}]}"

extern struct kprig *rig;

/* A key that is stored, and the counts of calls as if nothing had been. */
struct object *kpcase_key(void);
/* How many keys there are that nobody destroyed. */
unsigned kpcase_live(void);
/* Runs what is added; the program's exit status. */
int kpcase_main(const char *name, void (*add)(TCase *t));

#endif
