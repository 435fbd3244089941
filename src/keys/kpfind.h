/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the records of an object in Key Protect, by their name.  Names are not unique, a search
 * does not work above 5,000 keys, and lists may lag behind creates.
 */
#ifndef KPFIND_H
#define KPFIND_H

#include "kpcall.h"

enum { KPFIND_MAX = 2000 }; /* of one name; more are an error, and none is left out silently */

struct kpfound {
	char id[UID_TEXT_LEN + 1];
	char created[KP_DATE_MAX + 1];
};

struct kpfind {
	/* ERR_OK also when there is none; ERR_NO_MEMORY: also for more than KPFIND_MAX; those of kpcall */
	struct wait wait;

	/* in, borrowed */
	const char *name;
	const char *want_id; /* the record that is looked for, or NULL: any */
	int64_t made_ms; /* when the object, or the wanted record, was made; since 1970 */
	bool background;
	int64_t deadline; /* of a search, and of beginning again */
	int64_t page_ns, latest; /* when walking: what each later page has, and the end of all */
	int64_t look_until; /* while what is looked for is not there, look again up to then */
	bool deleted_too;   /* look at what was deleted as well, for `withdrawn` */

	/* out: those that are there, oldest first */
	struct kpfound *found;
	size_t count;
	bool withdrawn; /* something of what was deleted may come back, and count */

	/* private */
	size_t room;
	enum err error; /* met while an answer was read */
	struct kplink *link;
	struct kpcall call;
	struct timer pause;
	char last_gone[KP_DATE_MAX + 1]; /* when what was made last of the deleted ones was made */
	bool last_withdrawn;		 /* that was deleted by somebody else than a gateway */
	/* since 1970: when a gateway last deleted one; up to when that may be for another's sake */
	int64_t destroyed_at, may_count_until;
	struct buf path;
	bool by_date;
	unsigned page;
};

/* Adds one that is known otherwise, as the last; nothing happens if it is there.  ERR_NO_MEMORY. */
CHECKED enum err kpfind_add(struct kpfind *f, const char *id);
void kpfind_start(struct kplink *l, struct kpfind *f);
/* Frees what it holds; cancel it first if it is under way. */
void kpfind_fini(struct kpfind *f);

#endif
