/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a real client as annotated hexadecimal, and how to read such text. */
#ifndef TESTS_KMIP_MESSAGES_H
#define TESTS_KMIP_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

extern const char msg_discover_versions[];
extern const char msg_create[];
extern const char msg_add_attributes[];
extern const char msg_get[];
extern const char msg_activate_with_login[];

enum { MESSAGE_MAX = 4096 };

/* Reads pairs of digits, white space between them allowed; anything else fails the test. */
size_t hex_read(uint8_t *out, size_t max, const char *hex);

#endif
