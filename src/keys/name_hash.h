/* SPDX-License-Identifier: Apache-2.0 */
/* Where an object stands in tables of this layer: a hash of tenant and uid. */
#ifndef NAME_HASH_H
#define NAME_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From a seed that nobody outside knows; the low bits may be taken. */
uint64_t name_hash(uint64_t seed, const char *tenant, const char *uid);

/*
 * Both as a table keeps them, at the end of a struct: the tenant, then the uid, each terminated.  There
 * may be very many, and tenants' ids are mostly much shorter than they might be.
 */
size_t name_room(const char *tenant, const char *uid);
void name_put(char *names, const char *tenant, const char *uid); /* name_room() bytes */
const char *name_uid(const char *names); /* names itself is the tenant */
bool name_is(const char *names, const char *tenant, const char *uid);

#endif
