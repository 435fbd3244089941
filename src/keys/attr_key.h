/* SPDX-License-Identifier: Apache-2.0 */
/* By what attributes are found: SHA-256 of name and value, so that any length can be indexed. */
#ifndef ATTR_KEY_H
#define ATTR_KEY_H

#include <stdbool.h>

#include "keys/object.h"

enum { ATTR_KEY_LEN = 32 };

struct attr_keys {
	size_t count, names; /* those of Name come first; a destroyed object has given them up */
	uint8_t key[OBJECT_ATTRS_MAX][ATTR_KEY_LEN];
};

CHECKED enum err attr_key(const char *name, const void *value, size_t value_len,
    uint8_t out[ATTR_KEY_LEN]);
CHECKED enum err attr_keys_of(const struct object *o, struct attr_keys *k);
/* True when key is one of the first `among`. */
bool attr_keys_have(const struct attr_keys *k, size_t among, const uint8_t *key);

#endif
