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

/* --- for an order of rules (overlap.c) --- */

enum { SUBJECT_EDGE_MAX = 1025 };
/* The whole subject that a rule is; NULL: it is patterns. */
const char *subject_rule_whole(const struct subject_rule *r);
/* The attribute of its n-th pattern; NID_undef past the last. */
int subject_rule_nid(const struct subject_rule *r, size_t n);
/* A pattern does, or it is a whole subject: one without the attribute obeys no pattern for it. */
bool subject_rule_asks_for(const struct subject_rule *r, int nid);
/*
 * What all values of this attribute begin with that the rule takes; at_end: end with, turned round.
 * Where there is one value only, all of it and a NUL.  Rules overlap only where one's edge is the
 * beginning of the other's.  False: a whole subject that obeys no pattern for the attribute.  The
 * rule asks for it; or nid is NID_undef, and the edge empty.
 */
bool subject_rule_edge(const struct subject_rule *r, int nid, bool at_end,
    char out[SUBJECT_EDGE_MAX], size_t *len);

#endif
