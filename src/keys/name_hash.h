/* SPDX-License-Identifier: Apache-2.0 */
/* Where an object stands in tables of this layer: a hash of tenant and uid. */
#ifndef NAME_HASH_H
#define NAME_HASH_H

#include <stdint.h>

/* FNV-1a, from a seed that nobody outside knows; the low bits may be taken. */
uint64_t name_hash(uint64_t seed, const char *tenant, const char *uid);

#endif
