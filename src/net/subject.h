/* SPDX-License-Identifier: Apache-2.0 */
/* The rule that a subject has to obey. */
#ifndef NET_SUBJECT_H
#define NET_SUBJECT_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "base/err.h"

struct subject_rule;

/* As authority_new() has it. */
CHECKED enum err subject_rule_new(struct subject_rule **out, const char *text, const char **why);
void subject_rule_free(struct subject_rule *r); /* NULL is allowed */
const char *subject_rule_text(const struct subject_rule *r);

bool subject_rule_takes(const struct subject_rule *r, const X509 *x);
/* True unless no subject can obey both. */
bool subject_rules_overlap(const struct subject_rule *a, const struct subject_rule *b);

#endif
