/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of attributes and their encodings have in common. */
#ifndef KMIP_ATTR_WIRE_H
#define KMIP_ATTR_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kmip/attr.h"

/* A field of a structured attribute, in the order of the specification's tables. */
struct kmip_field {
	uint32_t tag;
	enum ttlv_type type;
	int since;
	bool required;
	uint32_t values; /* the tag whose enumeration it has; 0: its own */
};

/* NULL for an attribute that is no structure. */
const struct kmip_field *kmip_attr_fields(enum kmip_attr_id id, size_t *count);

/*
 * The length of the vendor's name at the beginning of "vendor-name"; 0 when it is not one that
 * the specification allows (2.1, 4.60: letters, digits, underscore and period).
 */
size_t kmip_vendor_len(const char *name, size_t len);

#endif
