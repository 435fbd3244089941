/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a key may be used (specification 1.4 sections 3.19 to 3.25): by its usage mask, its state,
 * and the dates between which it protects and processes.
 */
#ifndef GATE_USAGE_H
#define GATE_USAGE_H

#include "base/err.h"
#include "keys/object.h"

/* Protecting: encrypt, wrap, make a MAC.  Processing: what undoes or verifies that. */
enum usage { USAGE_PROTECT, USAGE_PROCESS };

/*
 * mask: the bits that are needed.  ERR_USAGE, ERR_WRONG_STATE; ERR_WRAPPED: its key came wrapped, and
 * nobody here can use it.  Keys that are not trusted any more protect nothing, but what they protected
 * can be processed.
 */
CHECKED enum err usage_allowed(const struct object *o, uint32_t mask, enum usage use, int64_t now);

#endif
