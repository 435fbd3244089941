/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to IAM and what it says.  Pure. */
#ifndef IAMWIRE_H
#define IAMWIRE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/secret.h"

enum { IAMWIRE_DETAIL_MAX = 256 };

/*
 * The form that asks for a token.  text: the credential's file, terminated; white space around it
 * is dropped.  One profile, or none with an API key.  ERR_CONFIG: the text is empty.
 */
CHECKED enum err iamwire_form(struct buf *form, bool api_key, struct secret *text,
    const char *profile_id, const char *profile_name);

struct iamwire_answer {
	struct secret *header; /* "Authorization: Bearer ...", terminated; one reference, or NULL */
	int64_t life_s;
	char detail[IAMWIRE_DETAIL_MAX]; /* code and text of a refusal */
	bool refused;			 /* there is a code of IAM's own */
};
/* The header is the caller's on failure as well. */
CHECKED enum err iamwire_read(const void *body, size_t len, struct iamwire_answer *a);

#endif
