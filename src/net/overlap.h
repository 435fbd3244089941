/* SPDX-License-Identifier: Apache-2.0 */
/* Subject rules that can take the same subject, found among many without comparing all pairs. */
#ifndef NET_OVERLAP_H
#define NET_OVERLAP_H

#include <stddef.h>

#include "base/err.h"
#include "net/authority.h"

#include "subject.h"

/*
 * ERR_CONFIG: *out are two that overlap, and of all such pairs the first: adding rule after rule and
 * comparing each with all before it finds the same.  ERR_NO_MEMORY.
 */
CHECKED enum err overlap_find(const struct subject_rule *const *rules, size_t count,
    struct authority_overlap *out);

#endif
