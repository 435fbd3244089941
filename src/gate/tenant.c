/* SPDX-License-Identifier: Apache-2.0 */
/* Client to tenant: by the digest of its own certificate, or by an authority and a rule. */
#include "gate/tenant.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { JUDGED_MAX = 4096 };

struct row {
	struct pinned *pinned;
	struct tenant *tenant; /* borrowed from all */
};

struct trust {
	struct authority *authority;
	struct tenant *tenant; /* borrowed from all */
};

/*
 * A chain that was good: built once for all connections of a client, for as long as it holds.  Which
 * tenant it leads to depends on all that was shown, and only who has the key decides what to show.
 */
struct judged {
	uint8_t sha256[TLS_DIGEST_LEN], chain[TLS_DIGEST_LEN];
	struct tenant *tenant; /* NULL: empty */
	struct authority_term term;
};

struct tenants {
	unsigned refs;
	struct tenant **all;
	size_t count, room;
	struct row *rows; /* ordered by digest */
	size_t rows_count, rows_room;
	struct trust *trusts;
	size_t trusts_count, trusts_room;
	struct judged *judged; /* by the digest's first bytes; NULL: nothing yet */
};

struct tenant *
tenant_ref(struct tenant *t)
{
	t->refs++;
	return t;
}

void
tenant_unref(struct tenant *t)
{
	if (t == NULL)
		return;
	assert(t->refs > 0);
	if (--t->refs == 0)
		t->release(t);
}

/* --- pinned certificates --- */

struct pinned *
pinned_new(const struct certificate_text *text, const char *file, bool read_only, bool accepted)
{
	size_t len = strlen(file) + 1;
	struct pinned *p = alloc_zero(sizeof(*p) + len);

	if (p == NULL)
		return NULL;
	p->refs = 1;
	p->read_only = read_only;
	p->accepted = accepted;
	p->expires = text->not_after;
	memcpy(p->sha256, text->digest, sizeof(p->sha256));
	memcpy(p->subject, text->subject, sizeof(p->subject));
	memcpy(p->file, file, len);
	return p;
}

struct pinned *
pinned_ref(struct pinned *p)
{
	p->refs++;
	return p;
}

void
pinned_unref(struct pinned *p)
{
	if (p != NULL && --p->refs == 0)
		alloc_free(p);
}

/* --- the set --- */

struct tenants *
tenants_new(void)
{
	struct tenants *ts = alloc_zero(sizeof(*ts));

	if (ts != NULL)
		ts->refs = 1;
	return ts;
}

struct tenants *
tenants_ref(struct tenants *ts)
{
	ts->refs++;
	return ts;
}

void
tenants_unref(struct tenants *ts)
{
	if (ts == NULL || --ts->refs > 0)
		return;
	for (size_t i = 0; i < ts->rows_count; i++)
		pinned_unref(ts->rows[i].pinned);
	for (size_t i = 0; i < ts->trusts_count; i++)
		authority_unref(ts->trusts[i].authority);
	for (size_t i = 0; i < ts->count; i++)
		tenant_unref(ts->all[i]);
	alloc_free(ts->all);
	alloc_free(ts->rows);
	alloc_free(ts->trusts);
	alloc_free(ts->judged);
	alloc_free(ts);
}

/* A list with room for one more: the same, a larger one, or NULL without memory. */
static void *
grown(void *list, size_t count, size_t *room, size_t size)
{
	size_t wanted = count < 8 ? 8 : 2 * count;
	void *larger;

	if (count < *room)
		return list;
	larger = alloc_resize(list, wanted * size);
	if (larger != NULL)
		*room = wanted;
	return larger;
}

enum err
tenants_add(struct tenants *ts, struct tenant *t)
{
	struct tenant **all = grown(ts->all, ts->count, &ts->room, sizeof(struct tenant *));

	if (all == NULL)
		return ERR_NO_MEMORY;
	ts->all = all;
	all[ts->count++] = tenant_ref(t);
	return ERR_OK;
}

enum err
tenants_trust(struct tenants *ts, struct tenant *t, struct authority *a)
{
	struct trust *trusts = grown(ts->trusts, ts->trusts_count, &ts->trusts_room, sizeof(*trusts));

	if (trusts == NULL)
		return ERR_NO_MEMORY;
	ts->trusts = trusts;
	alloc_free(ts->judged);
	ts->judged = NULL;
	trusts[ts->trusts_count++] = (struct trust){authority_ref(a), t};
	return ERR_OK;
}

/* Room for one more is in it: that is what a set is copied for. */
static enum err
copy_rows(struct tenants *copy, const struct tenants *ts)
{
	copy->rows = alloc_array(ts->rows_count + 1, sizeof(*copy->rows));
	if (copy->rows == NULL)
		return ERR_NO_MEMORY;
	copy->rows_room = ts->rows_count + 1;
	for (; copy->rows_count < ts->rows_count; copy->rows_count++) {
		copy->rows[copy->rows_count] = ts->rows[copy->rows_count];
		pinned_ref(ts->rows[copy->rows_count].pinned);
	}
	return ERR_OK;
}

static struct judged *
slot_of(const struct tenants *ts, const uint8_t *sha256)
{
	return ts->judged != NULL ? &ts->judged[(sha256[0] << 8 | sha256[1]) % JUDGED_MAX] : NULL;
}

/* What is not remembered is found out again. */
static void
copy_judged(struct tenants *copy, const struct tenants *ts)
{
	if (ts->judged != NULL)
		copy->judged = alloc_array(JUDGED_MAX, sizeof(*copy->judged));
	if (copy->judged != NULL)
		memcpy(copy->judged, ts->judged, JUDGED_MAX * sizeof(*copy->judged));
}

struct tenants *
tenants_copy(const struct tenants *ts)
{
	struct tenants *copy = tenants_new();
	enum err e = copy != NULL ? copy_rows(copy, ts) : ERR_NO_MEMORY;

	for (size_t i = 0; e == ERR_OK && i < ts->count; i++)
		e = tenants_add(copy, ts->all[i]);
	for (size_t i = 0; e == ERR_OK && i < ts->trusts_count; i++)
		e = tenants_trust(copy, ts->trusts[i].tenant, ts->trusts[i].authority);
	if (e == ERR_OK) {
		copy_judged(copy, ts);
		return copy;
	}
	tenants_unref(copy);
	return NULL;
}

/* Where the digest is, or would be; *found says which. */
static size_t
place(const struct tenants *ts, const uint8_t *sha256, bool *found)
{
	size_t lo = 0, hi = ts->rows_count;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = memcmp(ts->rows[mid].pinned->sha256, sha256, TLS_DIGEST_LEN);

		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

enum err
tenants_pin(struct tenants *ts, struct tenant *t, struct pinned *p)
{
	bool found;
	size_t at = place(ts, p->sha256, &found);
	struct row *rows;

	if (found && ts->rows[at].tenant != t)
		return ERR_CONFIG;
	if (found) {
		ts->rows[at].pinned->read_only |= p->read_only;
		return ERR_OK;
	}
	rows = grown(ts->rows, ts->rows_count, &ts->rows_room, sizeof(*rows));
	if (rows == NULL)
		return ERR_NO_MEMORY;
	ts->rows = rows;
	memmove(rows + at + 1, rows + at, (ts->rows_count - at) * sizeof(*rows));
	rows[at] = (struct row){pinned_ref(p), t};
	ts->rows_count++;
	return ERR_OK;
}

void
tenants_unpin(struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN])
{
	bool found;
	size_t at = place(ts, sha256, &found);

	if (!found)
		return;
	pinned_unref(ts->rows[at].pinned);
	ts->rows_count--;
	memmove(ts->rows + at, ts->rows + at + 1, (ts->rows_count - at) * sizeof(*ts->rows));
}

enum err
tenants_check(const struct tenants *ts, const struct authority **authority,
    const struct tenant **later, const struct tenant **earlier)
{
	struct authority **all = alloc_array(ts->trusts_count, sizeof(struct authority *));
	struct authority_overlap o;
	enum err e;

	if (all == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < ts->trusts_count; i++)
		all[i] = ts->trusts[i].authority;
	e = authorities_overlap(all, ts->trusts_count, &o);
	alloc_free(all);
	if (e == ERR_CONFIG) {
		*authority = ts->trusts[o.later].authority;
		*later = ts->trusts[o.later].tenant;
		*earlier = ts->trusts[o.earlier].tenant;
	}
	return e;
}

/* Both are in the same order. */
void
tenants_inherit(struct tenants *ts, const struct tenants *old)
{
	size_t k = 0;

	for (size_t i = 0; i < ts->rows_count; i++) {
		struct pinned *p = ts->rows[i].pinned;
		int c = -1;

		for (; k < old->rows_count; k++) {
			c = memcmp(old->rows[k].pinned->sha256, p->sha256, TLS_DIGEST_LEN);
			if (c >= 0)
				break;
		}
		if (c == 0)
			p->last_seen = old->rows[k].pinned->last_seen;
	}
}

/* --- clients --- */

static enum tls_verdict
judge_all(struct tenants *ts, const struct tls_shown *shown, struct judged *out)
{
	enum tls_verdict verdict = TLS_UNKNOWN, v;
	uint64_t failures = alloc_failures();
	struct authority_case shown_case;
	struct authority_term term;

	authority_case_init(&shown_case, shown);
	for (size_t i = 0; verdict != TLS_AMBIGUOUS && i < ts->trusts_count; i++) {
		v = authority_judge(ts->trusts[i].authority, &shown_case, &term);
		if (v == TLS_KNOWN && verdict == TLS_KNOWN)
			v = TLS_AMBIGUOUS;
		if (v == TLS_KNOWN)
			*out = (struct judged){.tenant = ts->trusts[i].tenant, .term = term};
		if (v == TLS_KNOWN || v == TLS_AMBIGUOUS || verdict == TLS_UNKNOWN)
			verdict = v;
	}
	authority_case_fini(&shown_case);
	/* an authority that lacked memory may be the one that vouches for the client, or the second one */
	return alloc_failures() == failures ? verdict : TLS_NO_MEMORY;
}

static bool
holds(const struct judged *j, const struct tls_shown *shown)
{
	uint8_t chain[TLS_DIGEST_LEN];
	int64_t now = clock_wall();

	return j != NULL && j->tenant != NULL && memcmp(j->sha256, shown->sha256, TLS_DIGEST_LEN) == 0 &&
	    now >= j->term.from && now < j->term.until && certificate_chain_digest(shown, chain) &&
	    memcmp(j->chain, chain, TLS_DIGEST_LEN) == 0;
}

static void
remember(struct tenants *ts, struct judged *fresh, const struct tls_shown *shown)
{
	if (ts->judged == NULL)
		ts->judged = alloc_array(JUDGED_MAX, sizeof(*ts->judged));
	memcpy(fresh->sha256, shown->sha256, TLS_DIGEST_LEN);
	if (ts->judged != NULL && certificate_chain_digest(shown, fresh->chain))
		*slot_of(ts, fresh->sha256) = *fresh;
}

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

enum tls_verdict
tenants_identify(struct tenants *ts, const struct tls_shown *shown, struct known_client *out)
{
	struct pinned *p = tenants_pinned(ts, shown->sha256, &out->tenant);
	struct judged *slot, fresh = {0};
	enum tls_verdict v;

	out->pinned = p != NULL;
	out->judged = false;
	out->read_only = p != NULL && p->read_only;
	if (p != NULL)
		out->ends = later(p->expires, out->tenant->accept_expired_until);
	if (p != NULL)
		return TLS_KNOWN;
	if (ts->trusts_count == 0)
		return TLS_UNKNOWN;
	slot = slot_of(ts, shown->sha256);
	if (holds(slot, shown)) {
		out->tenant = slot->tenant;
		out->ends = slot->term.until;
		return TLS_KNOWN;
	}
	out->judged = true;
	v = judge_all(ts, shown, &fresh);
	if (v == TLS_KNOWN) {
		out->tenant = fresh.tenant;
		out->ends = fresh.term.until;
	}
	if (v == TLS_KNOWN && shown->proven)
		remember(ts, &fresh, shown);
	return v;
}

void
tenants_seen(struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN])
{
	struct pinned *p = tenants_pinned(ts, sha256, NULL);

	if (p != NULL)
		p->last_seen = clock_wall();
}

/* --- looking --- */

struct tenant *
tenants_by_id(const struct tenants *ts, const char *id)
{
	for (size_t i = 0; i < ts->count; i++)
		if (strcmp(ts->all[i]->id, id) == 0)
			return ts->all[i];
	return NULL;
}

size_t
tenants_count(const struct tenants *ts)
{
	return ts->count;
}

struct tenant *
tenants_at(const struct tenants *ts, size_t n)
{
	return n < ts->count ? ts->all[n] : NULL;
}

struct pinned *
tenants_pinned(const struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN], struct tenant **t)
{
	bool found;
	size_t at = place(ts, sha256, &found);

	return found ? tenants_pinned_at(ts, at, t) : NULL;
}

struct pinned *
tenants_pinned_at(const struct tenants *ts, size_t n, struct tenant **t)
{
	if (n >= ts->rows_count)
		return NULL;
	if (t != NULL)
		*t = ts->rows[n].tenant;
	return ts->rows[n].pinned;
}

struct authority *
tenants_authority_at(const struct tenants *ts, size_t n, struct tenant **t)
{
	if (n >= ts->trusts_count)
		return NULL;
	*t = ts->trusts[n].tenant;
	return ts->trusts[n].authority;
}
