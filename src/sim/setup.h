/* SPDX-License-Identifier: Apache-2.0 */
/* The document that says which instances and identities there are. */
#ifndef SIM_SETUP_H
#define SIM_SETUP_H

#include <stdbool.h>

#include <yajl/yajl_tree.h>

#include "base/err.h"

#include "store.h"

struct sim;

/*
 * Adds what is new and changes what is there; the rest stays.  False, with the field in *why
 * (static), when something is wrong: what stood before that in the document is in effect.
 */
CHECKED bool setup_apply(struct sim *s, yajl_val doc, const char **why);
/* Changes an instance's settings, all or none. */
CHECKED bool setup_settings(struct instance *inst, yajl_val settings);
/* Reads and applies the file.  False, having logged why. */
CHECKED bool setup_file(struct sim *s, const char *path);

#endif
