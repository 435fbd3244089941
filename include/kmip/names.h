/* SPDX-License-Identifier: Apache-2.0 */
/* KMIP's numbers and their names, expanded from kmip.def, the only copy. */
#ifndef KMIP_NAMES_H
#define KMIP_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* TAG_UNIQUE_IDENTIFIER = 0x420094, ... */
enum kmip_tag {
#define TAG(name, number, text) TAG_##name = number,
#define ENUM(set, name, number, since, text)
#include "kmip/kmip.def"
#undef TAG
#undef ENUM
};

/* KMIP_OPERATION_CREATE = 1, KMIP_STATE_ACTIVE = 2, ...: KMIP_<set>_<name> */
enum kmip_value {
#define TAG(name, number, text)
#define ENUM(set, name, number, since, text) KMIP_##set##_##name = number,
#include "kmip/kmip.def"
#undef TAG
#undef ENUM
};

enum kmip_set {
#define SET(name, tag) SET_##name,
#include "kmip/kmip_sets.def"
#undef SET
	SET_COUNT
};

/* A protocol version, major in the high byte: 0x11 is 1.1.  Comparable. */
enum { KMIP_1_0 = 0x10, KMIP_1_1, KMIP_1_2, KMIP_1_3, KMIP_1_4, KMIP_2_0 = 0x20, KMIP_2_1 };

/* The specification's text ("Unique Identifier"), or NULL for an unknown one. */
const char *kmip_tag_name(uint32_t tag);
const char *kmip_value_name(enum kmip_set set, uint32_t value);
/* The value's number by the specification's text; false when there is none. */
bool kmip_value_by_name(enum kmip_set set, const char *name, uint32_t *out);
/* The enumeration that the tag carries; false when it carries none. */
bool kmip_set_of_tag(uint32_t tag, enum kmip_set *out);
/* True when the enumeration has this value in the given protocol version. */
bool kmip_value_known(enum kmip_set set, uint32_t value, int version);

#endif
