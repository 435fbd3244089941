/* SPDX-License-Identifier: Apache-2.0 */
/* The gate: takes accepted connections, knows clients, answers requests, keeps the limits. */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "gate/audit.h"
#include "gate/pending.h"
#include "gate/tenant.h"
#include "net/tls.h"

struct gate;

struct gate_limits {
	size_t request_max, response_max; /* bytes of a message */
	unsigned items_max;		  /* of a batch; at most KMIP_ITEMS_MAX */
	size_t sessions_max, handshakes_max;
	int64_t handshake_timeout_ns, request_timeout_ns, idle_timeout_ns;
};

struct gate_params {
	struct loop *loop;
	/* Called when accepting should stop, and when it may go on. */
	void (*may_accept)(void *arg, bool may);
	/* How many connections wait to be accepted.  NULL: that is not known. */
	size_t (*waiting)(void *arg);
	void *arg;
	const char *server_name; /* vendor identification; borrowed */
	struct audit *audit;	 /* borrowed; NULL: the log */
};

struct gate *gate_new(const struct gate_params *p); /* NULL without memory */
/* Ends every session; requests under way are dropped.  For after gate_drain(). */
void gate_free(struct gate *g);

/*
 * Takes new settings (references are taken); a server that was another is retired.  Sessions whose
 * certificate is not the same tenant's any more are closed; returns how many were at once.  Where
 * authorities have to be asked for many, the others follow in short steps; none of them is served before
 * that.  Cannot fail.
 */
size_t gate_configure(struct gate *g, struct tls_server *tls, struct tenants *tenants,
    const struct gate_limits *limits);

/* What authorities say of a certificate, as sessions show it. */
struct gate_vouched {
	const struct tenant *voucher; /* whose authority lets it in, or NULL; borrowed from the tenants */
	bool asked;		      /* they were */
	bool unseen;		      /* of a session, not: see gate_unseen() */
};
/*
 * The same with a copy of the tenants in use (gate_tenants()) that differs from them in one pinned
 * certificate: only sessions with that one are looked at.
 */
size_t gate_change_pinned(struct gate *g, struct tenants *tenants,
    const uint8_t sha256[TLS_DIGEST_LEN], struct gate_vouched *out);
/*
 * Sessions that are not closed yet because memory lacked to look whose their client is: they are served
 * nothing, and looked at again in a second.
 */
size_t gate_unseen(const struct gate *g);

/* The check that tls_params wants; arg is the gate. */
enum tls_verdict gate_check_certificate(void *arg, const struct tls_shown *shown,
    bool *ignore_dates);

/*
 * Whether a connection may be accepted now: no ceiling is reached, or somebody gives up a place for
 * it.  When not, may_accept() has said so.
 */
bool gate_has_room(struct gate *g);
/*
 * Takes a connected descriptor.  At a ceiling those from an address whose handshakes come to nothing
 * are closed at once, but for 128 a second; for others such a one ends.
 */
void gate_accept(struct gate *g, int fd);

/*
 * No new requests: sessions close when what has come is answered, or sixteen of it, idle ones now.  Who
 * has not asked yet has two seconds.  done() when none is left.
 */
void gate_drain(struct gate *g, void (*done)(void *arg), void *arg);
bool gate_draining(const struct gate *g);

/* Sessions, oldest first, for people. */
struct session_info {
	uint64_t id;
	const char *address, *tls_version, *state;
	const char *tenant; /* NULL before the handshake is done */
	const uint8_t *sha256;
	const char *last_operation; /* NULL: none yet */
	bool read_only;
	int64_t age_ns, idle_ns;
	uint64_t requests;
};
/* fn returns false to stop. */
void gate_each_session(struct gate *g, bool (*fn)(void *arg, const struct session_info *), void *arg);
/*
 * Ends those of which fn says true: at once, or after the answer to the request that is under way.
 * Returns how many.
 */
size_t gate_close_sessions(struct gate *g, bool (*fn)(void *arg, const struct session_info *),
    void *arg);

const struct tls_server *gate_tls(const struct gate *g); /* borrowed */
struct tenants *gate_tenants(struct gate *g); /* borrowed */
struct pending *gate_pending(struct gate *g); /* borrowed */

#endif
