/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the records of an object in Key Protect, by their name.  Names are not unique, a search
 * does not work above 5,000 keys, and lists may lag behind creates.
 */
#ifndef KPFIND_H
#define KPFIND_H

#include "kpcall.h"

enum { KPFIND_MAX = 8 };

struct kpfind {
	struct wait wait; /* ERR_OK also when there is none; else the errors of kpcall */

	/* in, borrowed */
	const char *name;
	const char *want_id; /* the record that is looked for, or NULL: any */
	int64_t made_ms; /* when the object, or the wanted record, was made; since 1970 */
	bool background;
	int64_t deadline;
	int64_t look_until; /* while what is looked for is not there, look again up to then */
	bool deleted_too;   /* look at what was deleted as well, for `withdrawn` */

	/* out: those that are there, oldest first */
	struct kp_key found[KPFIND_MAX];
	size_t count;
	bool withdrawn; /* of those that were deleted, the last one made was not by who made it */

	/* private */
	struct kplink *link;
	struct kpcall call;
	struct timer pause;
	char last_gone[KP_DATE_MAX + 1]; /* when that one was made */
	struct buf path;
	bool by_date;
	unsigned page;
};

void kpfind_start(struct kplink *l, struct kpfind *f);
/* Frees what it holds; cancel it first if it is under way. */
void kpfind_fini(struct kpfind *f);

#endif
