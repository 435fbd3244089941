/* SPDX-License-Identifier: Apache-2.0 */
/* The requests that vCenter sends, byte for byte but for the labels. */
#ifndef BENCH_ASK_H
#define BENCH_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { ASK_LABELS = 3, ASK_KEY_BYTES = 32 };

/* One request: begun, items added, ended; b is the message then. */
struct ask {
	struct buf b;
	size_t message, item, payload;
	uint8_t counter; /* of Unique Batch Item IDs; restarts with each message */
};

struct ask_label {
	const char *name, *value;
};

/* buf_error(&a->b) tells of a lack of memory.  ask_fini() gives the bytes back. */
void ask_begin(struct ask *a, int32_t items);
void ask_end(struct ask *a);
void ask_fini(struct ask *a);

void ask_discover_versions(struct ask *a, bool with_ubid);
void ask_query(struct ask *a);
void ask_create(struct ask *a); /* an AES-256 key */
void ask_get(struct ask *a, const char *uid);
void ask_activate(struct ask *a, const char *uid);
void ask_attribute(struct ask *a, const char *uid, const char *name);
/* An Add Attribute for each of ASK_LABELS labels. */
void ask_add_labels(struct ask *a, const char *uid, const struct ask_label *labels);

/* What vCenter writes at a new key, who made it and what it is for. */
extern const struct ask_label ask_product[ASK_LABELS], ask_machine[ASK_LABELS];

#endif
