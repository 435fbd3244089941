/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that end soon: looked for at each start and reload, and once a day. */
#ifndef DAEMON_EXPIRY_H
#define DAEMON_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct keyferryd;

enum expiry_of { EXPIRY_SERVER, EXPIRY_CLIENTS, EXPIRY_KINDS };

/* When the first one ends, in seconds since 1970; 0: there is none. */
int64_t expiry_soonest(const struct keyferryd *d, enum expiry_of of);

/* Sets the metrics anew: a certificate came or went. */
void expiry_measure(const struct keyferryd *d);
/* A line in the log for each that has ended or will within 30 days; then again tomorrow. */
void expiry_look(struct keyferryd *d);

/* How many have ended, and how many will within 30 days. */
struct expiry_counts {
	size_t ended, soon;
};
struct expiry_counts expiry_count(const struct keyferryd *d, enum expiry_of of);

#endif
