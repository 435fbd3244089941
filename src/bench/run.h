/* SPDX-License-Identifier: Apache-2.0 */
/* A run: clients that do what the mode says, as many and as often as the options say. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conn.h"
#include "hist.h"
#include "script.h"

enum { FAILURES_MAX = 24 };

struct run_options {
	enum mode mode;
	const char *server, *certificate, *key, *ca, *uid;
	int tls_version; /* of OpenSSL; 0: the best of both */
	bool resume, http;
	unsigned connections, keys;
	uint64_t count; /* of operations; 0: as many as fit into the duration */
	double rate;	/* a second; 0: each client goes on when it is done */
	int64_t duration_ns, patience_ns;
	pid_t pid; /* of a server on this machine; 0: none */
};

struct run_failure {
	char why[96];
	uint64_t count;
};

/* What came out. */
struct run_result {
	struct hist latency; /* of what was answered */
	uint64_t begun, done, failed, handshakes, resumed, messages;
	int64_t wall_ns;
	int64_t server_cpu_ns, server_memory; /* used meanwhile, in bytes; with a pid only */
	unsigned opened;		      /* sessions that stay, before it began */
	unsigned failures_count;
	struct run_failure failures[FAILURES_MAX]; /* the last one may stand for all others */
};

/* Called about once a second while it runs. */
typedef void run_progress_fn(const struct run_options *o, const struct run_result *r);

/*
 * Runs to its end, or until SIGINT or SIGTERM.  False when it could not begin, with why in
 * the first of the failures.
 */
bool run(const struct run_options *o, struct conn_target *target, run_progress_fn *progress,
    struct run_result *out);

#endif
