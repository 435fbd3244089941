/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and revocation lists that end soon: looked for at each start and reload, once a day, and
 * when one begins to end soon, or ends.  Lists often live for a week or a day: soon is when less than a
 * quarter of one's time is left, and as for certificates less than 30 days.
 */
#ifndef DAEMON_EXPIRY_H
#define DAEMON_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct keyferryd;

enum expiry_of { EXPIRY_SERVER, EXPIRY_CLIENTS, EXPIRY_LISTS, EXPIRY_KINDS };

/* Counted once and kept: for whoever asks often. */
struct expiry_summary {
	int64_t soonest;    /* when the first one ends, in seconds since 1970; 0: there is none */
	size_t ended, soon; /* how many have ended, and how many will soon */
	int64_t from, until; /* while from <= now < until it is all true */
};
const struct expiry_summary *expiry_summary(struct keyferryd *d, enum expiry_of of);

/* Counts and sets the metrics anew: a certificate came or went. */
void expiry_measure(struct keyferryd *d);
/* A line in the log for each that has ended or will soon; then again tomorrow. */
void expiry_look(struct keyferryd *d);

#endif
