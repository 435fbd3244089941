/* SPDX-License-Identifier: Apache-2.0 */
/* What was asked and answered, for tests that count calls.  Never bodies or tokens. */
#ifndef SIM_JOURNAL_H
#define SIM_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"

enum { JOURNAL_MAX = 50000, JOURNAL_PATH_SIZE = 256, JOURNAL_OPERATIONS = 96 };

struct journal_entry {
	uint64_t seq;
	int64_t arrived_ms, took_ms; /* wall clock */
	char method[8], path[JOURNAL_PATH_SIZE];
	const char *port, *operation; /* static texts */
	char correlation[UID_TEXT_LEN + 1], instance[UID_TEXT_LEN + 1], subject[SUBJECT_SIZE];
	uint16_t peer_port;
	int status; /* 0: there was no answer */
	uint64_t fault;
	bool committed;
	int64_t bytes_in, bytes_out;
};

/* Per operation, since the journal was last cleared. */
struct journal_count {
	const char *operation;
	int64_t calls, failed, under_way, under_way_max;
};

struct journal {
	struct journal_entry *entries; /* a ring */
	uint64_t last_seq, cleared_seq;
	struct journal_count counts[JOURNAL_OPERATIONS];
};

CHECKED bool journal_init(struct journal *j);
void journal_fini(struct journal *j);
void journal_begin(struct journal *j, struct exchange *x);
/* status: what was sent; 0 for nothing. */
void journal_end(struct journal *j, const struct exchange *x, int status);

enum fail journal_admin_list(struct exchange *x);
enum fail journal_admin_counts(struct exchange *x);
enum fail journal_admin_clear(struct exchange *x);

#endif
