/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate to tenant, by the digest of the leaf. */
#include "gate/tenant.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

struct row {
	uint8_t sha256[TLS_DIGEST_LEN];
	struct tenant *tenant;
};

struct tenants {
	unsigned refs;
	struct tenant **all;
	size_t count;
	struct row *rows; /* ordered by digest */
	size_t rows_count;
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
	for (size_t i = 0; i < ts->count; i++)
		tenant_unref(ts->all[i]);
	alloc_free(ts->all);
	alloc_free(ts->rows);
	alloc_free(ts);
}

enum err
tenants_add(struct tenants *ts, struct tenant *t)
{
	struct tenant **all = alloc_resize(ts->all, (ts->count + 1) * sizeof(struct tenant *));

	if (all == NULL)
		return ERR_NO_MEMORY;
	ts->all = all;
	all[ts->count++] = tenant_ref(t);
	return ERR_OK;
}

/* Where the digest is, or would be; *found says which. */
static size_t
place(const struct tenants *ts, const uint8_t *sha256, bool *found)
{
	size_t lo = 0, hi = ts->rows_count;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = memcmp(ts->rows[mid].sha256, sha256, TLS_DIGEST_LEN);

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
tenants_add_certificate(struct tenants *ts, struct tenant *t, const uint8_t sha256[TLS_DIGEST_LEN])
{
	bool found;
	size_t at = place(ts, sha256, &found);
	struct row *rows;

	if (found)
		return ts->rows[at].tenant == t ? ERR_OK : ERR_CONFIG;
	rows = alloc_resize(ts->rows, (ts->rows_count + 1) * sizeof(*rows));
	if (rows == NULL)
		return ERR_NO_MEMORY;
	ts->rows = rows;
	memmove(rows + at + 1, rows + at, (ts->rows_count - at) * sizeof(*rows));
	memcpy(rows[at].sha256, sha256, TLS_DIGEST_LEN);
	rows[at].tenant = t;
	ts->rows_count++;
	return ERR_OK;
}

struct tenant *
tenants_find(const struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN])
{
	bool found;
	size_t at = place(ts, sha256, &found);

	return found ? ts->rows[at].tenant : NULL;
}

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
