/* SPDX-License-Identifier: Apache-2.0 */
/* What a gate is made of, for its sessions, its relief and its errands (gate.c). */
#ifndef GATE_GATE_PARTS_H
#define GATE_GATE_PARTS_H

#include "base/list.h"
#include "base/loop.h"
#include "base/ration.h"
#include "gate/gate.h"

enum { TOLD_PER_S = 20 }; /* lines in the log, of each kind that whoever reaches the port can cause */

struct gate {
	struct gate_params p;
	struct gate_limits limits;
	struct tls_server *tls;
	struct tenants *tenants;
	struct pending *pending;
	struct parts *parts;
	struct list sessions;
	struct list handshaking; /* those of them in SESSION_HANDSHAKE, oldest first */
	struct timer relief;
	int64_t rest_until, no_rest_before; /* of the relief's */
	struct timer ends; /* of clients' certificates */
	size_t count, handshakes;
	uint64_t next_session, next_request;
	struct ration failures; /* of handshakes, for the log */
	struct ration unserved; /* connections that memory lacked for, for the log */
	bool draining, paused;
	struct defer sorting; /* of sessions, after a change of tenants */
	size_t sorted_out;    /* by that, so far */
	struct defer drained;
	void (*drain_done)(void *);
	void *drain_arg;
};
/* A session came, went, or finished its handshake. */
void gate_counts(struct gate *g, int sessions, int handshakes);
/* A session's ends is this now. */
void gate_expect_end(struct gate *g, int64_t ends);

#endif
