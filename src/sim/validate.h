/* SPDX-License-Identifier: Apache-2.0 */
/* The forms that IBM documents for identifiers, names, dates and key material. */
#ifndef SIM_VALIDATE_H
#define SIM_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exchange.h"

enum { AAD_MAX = 64, AAD_TEXT_MAX = 255, BASE64_MAX = 16384 };

bool validate_uuid(const char *s);
bool validate_uuid4(const char *s);
/* Between least and most characters of UTF-8. */
bool validate_chars(const char *s, size_t least, size_t most);
bool validate_alias(const char *s);
bool validate_ring(const char *s);
bool validate_tag(const char *s);
/* RFC 3339 in UTC. */
CHECKED bool validate_date(const char *s, int64_t *out);
/* A whole number without sign. */
CHECKED bool validate_number(const char *s, int64_t least, int64_t most, int64_t *out);
/* "true" or "false". */
CHECKED bool validate_bool(const char *s, bool *out);
/* Decodes padded base64 into at most max bytes.  False for anything else, "" included. */
CHECKED bool validate_base64(const char *s, uint8_t *out, size_t max, size_t *len);
/* The envelope around `resources`: *resources is the array of least to most objects. */
CHECKED enum fail validate_collection(
    struct exchange *x, const char *type, size_t least, size_t most, yajl_val *resources);
/* A root key's length. */
bool validate_root_len(size_t len);

#endif
