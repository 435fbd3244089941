/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects, and the rule that one has to obey. */
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

/*
 * A certificate's subject, converted once for all rules.  NULL without memory, and when it is longer
 * than any that a rule takes.
 */
enum { SUBJECT_DER_MAX = 1024, SUBJECT_ATTRIBUTES_MAX = 32 };
struct subject;
struct subject *subject_new(const X509 *x);
void subject_free(struct subject *s); /* NULL is allowed */

bool subject_rule_takes(const struct subject_rule *r, const struct subject *s);
/* True unless no subject can obey both. */
bool subject_rules_overlap(const struct subject_rule *a, const struct subject_rule *b);

#endif
