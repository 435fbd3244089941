/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Application data that a client leaves to the server (specification 1.4 section 3.36, 2.1 section
 * 4.4): there is one namespace in which it is made here.
 */
#ifndef GATE_APPDATA_H
#define GATE_APPDATA_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "kmip/attr.h"

#define APPDATA_NAMESPACE "keyferry"

/*
 * Application Specific Information that names our namespace and nothing else gets its data, a random
 * UUID that no other has; then *made is true.  Any other attribute stays as it is.  ERR_NO_MEMORY,
 * ERR_CRYPTO.
 */
CHECKED enum err appdata_complete(struct arena *a, struct kmip_attr *at, bool *made);

#endif
