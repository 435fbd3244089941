/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call to Key Protect with all that belongs to it: a token, a place among the calls, as many
 * attempts as are safe, and what the answer means.  This is the only place where a call is
 * repeated.
 */
#ifndef KPCALL_H
#define KPCALL_H

#include "base/buf.h"
#include "base/ration.h"
#include "keys/iam.h"
#include "kplimit.h"
#include "kpwire.h"
#include "net/http.h"

enum { KP_CLASSES = KP_REFUSED + 1 };

/* An instance and the way to it.  All is borrowed. */
struct kplink {
	struct loop *loop;
	struct http *http;
	struct iam *iam;
	struct http_route route;
	const char *url;	     /* without "/api/v2" */
	const char *instance, *ring; /* whole header lines; ring may be NULL */
	int64_t attempt_ns;
	struct kplimit *limit;
	struct kp_ours *ours; /* whose deletions are for good */
	struct ration *told;  /* failures in the log, by class: KP_CLASSES */
};

struct kpcall {
	/*
	 * ERR_OK: done.  Else by the class: ERR_NO_OBJECT (absent, deleted), ERR_WRONG_STATE,
	 * ERR_DENIED (protected), ERR_VAULT_DENIED, ERR_INTEGRITY, ERR_NO_ROOT_KEY (sealed),
	 * ERR_VAULT_DOWN (throttled, outage), ERR_INTERNAL (refused, too broad); or ERR_DEADLINE,
	 * ERR_NO_MEMORY, ERR_RESPONSE_TOO_LARGE.
	 */
	struct wait wait;

	/* in, all borrowed until the end */
	const char *method, *path; /* behind "/api/v2" */
	const struct buf *body;	   /* NULL for none */
	bool answer_wanted;	   /* success has a body */
	bool once;		   /* not to be repeated if it may have been done */
	bool background;
	bool quiet; /* whatever comes of it is no news for the log */
	size_t answer_max;
	int64_t deadline;
	int64_t absent_until; /* up to then "there is none" may be a lag, and is asked again */

	/* out */
	enum kp_class class; /* KP_DOWN as well when there was no answer */
	struct kp_error error;
	bool lost; /* with once: it may have been done, or not */
	unsigned attempts;
	struct http_call http; /* its answer */

	/* private */
	struct kplink *link;
	struct iam_want want;
	struct secret *header;
	struct kpslot slot;
	struct timer deadline_timer, pause;
	struct buf url;
	const char *headers[8];
	bool renewed;
	bool hurried; /* the attempt had so little time that its end says nothing of the instance */
	int64_t began;
};

void kpcall_start(struct kplink *l, struct kpcall *c);
/* Frees what it holds; cancel it first if it is under way. */
void kpcall_fini(struct kpcall *c);

#endif
