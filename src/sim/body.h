/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that was sent to us: parsed within limits, its fields checked strictly. */
#ifndef SIM_BODY_H
#define SIM_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yajl/yajl_tree.h>

#include "base/err.h"

/*
 * NULL unless text is one JSON value without comments, NUL, duplicate keys or deep nesting.
 * The caller frees the tree.
 */
yajl_val body_parse(const char *text, size_t len);

/* True when word is one of the list's: " name aliases ". */
bool body_word(const char *list, const char *word);

/* The member, or NULL. */
yajl_val body_field(yajl_val object, const char *name);
/* True for an object whose members are all in the list. */
CHECKED bool body_only(yajl_val object, const char *allowed);

/* False when the member is there and has another type or is out of range; absent leaves *out. */
CHECKED bool body_text(yajl_val object, const char *name, const char **out);
CHECKED bool body_bool(yajl_val object, const char *name, bool *out);
CHECKED bool body_int(yajl_val object, const char *name, int64_t least, int64_t most, int64_t *out);

#endif
