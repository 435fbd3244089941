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

/* Counted once and kept: for whoever asks often. */
struct expiry_summary {
	int64_t soonest;    /* when the first one ends, in seconds since 1970; 0: there is none */
	size_t ended, soon; /* how many have ended, and how many will within 30 days */
	int64_t from, until; /* while from <= now < until it is all true */
};
const struct expiry_summary *expiry_summary(struct keyferryd *d, enum expiry_of of);

/* Counts and sets the metrics anew: a certificate came or went. */
void expiry_measure(struct keyferryd *d);
/* A line in the log for each that has ended or will within 30 days; then again tomorrow. */
void expiry_look(struct keyferryd *d);

#endif
