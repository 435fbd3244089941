/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM under one version of a root key, in Key Protect's form of a ciphertext. */
#ifndef SIM_WRAPPING_H
#define SIM_WRAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yajl/yajl_tree.h>

#include "base/buf.h"
#include "base/err.h"

#include "store.h"

enum { PLAINTEXT_MAX = 4096 };

struct plaintext {
	uint8_t bytes[PLAINTEXT_MAX];
	size_t len;
};

/* aad: NULL or an array of strings, in this order.  Appends base64 text. */
CHECKED bool wrapping_seal(
    const struct version *v, yajl_val aad, const struct plaintext *p, struct buf *out);
/* *used: the version that had made it.  False when it was not made by this key with this aad. */
CHECKED bool wrapping_open(const struct key *k, yajl_val aad, const char *ciphertext,
    struct plaintext *p, const struct version **used);

#endif
