/* SPDX-License-Identifier: Apache-2.0 */
/* The running gateway: what main, reload and the control commands share. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "gate/audit.h"
#include "gate/gate.h"
#include "keys/alarm.h"
#include "keys/cache.h"
#include "keys/lookup.h"
#include "keys/recover.h"
#include "keys/store.h"
#include "keys/uses.h"
#include "net/listen.h"

#include "expiry.h"
#include "kinds.h"
#include "rootlook.h"
#include "upstream.h"

enum { LISTENERS_MAX = 16, NEXT_CERTIFICATES_MAX = 8 };

/* Server certificates that are shown before they are used. */
struct next_certificates {
	struct certificate_text all[NEXT_CERTIFICATES_MAX];
	size_t count;
};

/* A reload under way, and who waits for its end. */
struct reload {
	const struct config *fresh; /* NULL: none is */
	struct kinds kinds;
	struct list waits;
	struct buf why;
};

struct keyferryd {
	struct loop *loop;
	const struct config *config;
	struct store *store;
	char *state_dir; /* of the start: a reload does not move it */
	struct ledger *ledger;
	struct lookups *lookups;
	struct cache *cache;
	struct alarms *alarms;
	struct uses *uses;
	struct upstream *upstream; /* NULL until a tenant needs it */
	struct audit *audit;
	struct gate *gate;
	struct next_certificates next;
	struct timer expiry;
	int64_t expiry_day;  /* clock_now(): all that end soon are told again */
	int64_t expiry_told; /* seconds since 1970: they were told as they were then */
	struct expiry_summary expiries[EXPIRY_KINDS];
	struct listener *listeners[LISTENERS_MAX];
	size_t listeners_count;
	bool listeners_shared; /* as they were opened: a reload does not change it */
	int sockets_count, sockets_first; /* descriptors that the service manager has opened */
	struct control *control;
	struct rootlook rootlook;
	struct warmup *warmup; /* NULL: over, or not wanted */
	struct stats *stats;
	struct walk *walk; /* a rebuild or rewrap under way, or NULL */
	struct backup *backup; /* one under way, or NULL */
	struct list trust_changes; /* under way */
	struct purge *purge;   /* likewise */
	struct list tops;      /* live views that are open */
	size_t sessions_ceiling; /* what descriptors allow */
	struct reload reload;
	struct wait asked_to_reload; /* by a signal */
	bool heap_locked, stopping;
	bool confined; /* system calls are filtered: from the start on */
	int64_t reload_refused_ms; /* when the last one was, by the wall clock; 0: it was not */
	int64_t started, started_wall; /* clock_now(); seconds since 1970 */
	struct event *signals[4];
	struct timer drain_deadline;
	struct timer watchdog; /* the service manager's */
	int64_t watchdog_ns;   /* how often it hears of us */
	struct recover recover;
	struct timer recover_again;
	int64_t recover_pause; /* before the next attempt; 0: the last one ended well */
	struct defer recover_soon;
};

extern const struct control_command daemon_commands[];
/* Only a test build has any: they move its clocks. */
extern const struct control_command daemon_test_commands[];

/*
 * Takes the configuration into use: prepares TLS and tenants, then hands both to the gate; on
 * failure nothing has changed and why holds a sentence.  closed: sessions that had to go.
 */
CHECKED enum err daemon_apply(struct keyferryd *d, const struct config *c, struct buf *why,
    size_t *closed);
/*
 * Of a start: tenants whose keys are in another kind of vault make no others.  Turns the loop until all is known,
 * or cannot be.
 */
void daemon_mark_kinds(struct keyferryd *d);
/*
 * Reads the file again and applies it.  d->reload.why is there until the wait's done has returned: why it
 * was refused, or notes that name options that need a restart.  One that is under way gives place to this,
 * whose end is that of both.
 */
void daemon_reload(struct keyferryd *d, struct wait *w);
void daemon_reload_stop(struct keyferryd *d);
/* Only prepares, then throws away: what `keyferryd -t` does. */
CHECKED enum err daemon_test(const struct config *c, struct buf *why);

/* Ends the walk that is under way, if any; what it is changing is changed to the end. */
void walk_stop(struct keyferryd *d);
void purge_stop(struct keyferryd *d); /* the same for a purge */
void top_stop(struct keyferryd *d);   /* and for live views */

/* Ends the changes of trust that are under way; what the disk was told is done there. */
void trust_stop(struct keyferryd *d);

/* The backup that is under way has come so far. */
void backup_progress(struct keyferryd *d, int64_t percent);

/*
 * The children are this program again, with one of these and their end of a socket.  A last word says
 * that they are to confine themselves.
 */
#define DAEMON_STORAGE_CHILD "--storage-child"
#define DAEMON_STORAGE_AGAIN "--storage-child-again"
#define DAEMON_STORAGE_READER "--storage-reader"
#define DAEMON_AUDIT_CHILD "--audit-child"
#define DAEMON_CONFINED "--confined"
enum { DAEMON_CHILD_FD = 3 };

/* From start to stop; takes the configuration over.  The process's exit status. */
int daemon_run(const struct config *config, bool background);

/* Stops accepting, lets requests end, then leaves the loop. */
void daemon_stop(struct keyferryd *d, const char *why);

#endif
