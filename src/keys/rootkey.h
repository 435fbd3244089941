/* SPDX-License-Identifier: Apache-2.0 */
/* The root keys of an embedded vault: versions read from a file, kept in the secure heap. */
#ifndef ROOTKEY_H
#define ROOTKEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

enum { ROOT_KEY_LEN = 32, ROOT_KEYS_MAX = 64 };

struct rootkeys {
	struct {
		uint32_t version;
		struct secret *key;
		bool proven; /* a key of the ledger is wrapped under it: see rootproof.h */
	} all[ROOT_KEYS_MAX];
	unsigned count;
	unsigned newest; /* the one that wraps */
};

/* The file as terminated text, and what is in such text: parsing uses it up. */
CHECKED enum err rootkeys_read(struct secret **text, const char *path, const char **why);
CHECKED enum err rootkeys_parse(struct rootkeys *r, struct secret *text, const char **why);
/* Both.  *why says what is wrong with the file (static storage); on failure nothing is to free. */
CHECKED enum err rootkeys_load(struct rootkeys *r, const char *path, const char **why);
void rootkeys_fini(struct rootkeys *r);
/* NULL when the version is not there.  Borrowed. */
struct secret *rootkeys_find(const struct rootkeys *r, uint32_t version);

#endif
