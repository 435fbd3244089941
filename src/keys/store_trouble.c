/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether changes reach the disk.  A message makes several calls, and on a disk that is nearly full
 * the small ones succeed while the one that matters does not: what failed is over when the same kind
 * succeeds, or a larger one that goes to the same file.
 */
#include "store_trouble.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/metric.h"

/* Of each kind that changes something: whose success is as good as its own.  Others: 0. */
static const enum wire_kind cleared_by[WIRE_KINDS] = {
    [WIRE_PREPARE] = WIRE_COMMIT,
    [WIRE_COMMIT] = WIRE_COMMIT,
    [WIRE_ABANDON] = WIRE_COMMIT,
    [WIRE_SETTLE] = WIRE_COMMIT,
    [WIRE_USES] = WIRE_COMMIT,
    [WIRE_FILE] = WIRE_COMMIT,
    [WIRE_VAULT_STORE] = WIRE_VAULT_STORE,
    [WIRE_VAULT_DESTROY] = WIRE_VAULT_STORE,
};

/* The disk's fault, and not the call's. */
static bool
is_trouble(enum err e)
{
	return e == ERR_STORAGE || e == ERR_STORAGE_FULL || e == ERR_STORAGE_MOVED;
}

enum err
trouble_now(const struct trouble *t)
{
	if (t->moved)
		return ERR_STORAGE_MOVED;
	for (size_t i = 0; i < WIRE_KINDS; i++)
		if (t->failing[i] != ERR_OK)
			return t->failing[i];
	return ERR_OK;
}

static void
begin(struct trouble *t)
{
	if (trouble_now(t) == ERR_OK)
		t->since_ms = clock_wall_ms();
}

void
trouble_moved(struct trouble *t, bool moved)
{
	if (moved)
		begin(t);
	t->moved = moved;
}

void
trouble_mended(struct trouble *t)
{
	for (size_t i = 0; i < WIRE_KINDS; i++)
		if (t->failing[i] == ERR_STORAGE)
			t->failing[i] = ERR_OK;
}

void
trouble_note(struct trouble *t, enum wire_kind kind, enum err e)
{
	if (cleared_by[kind] == 0)
		return;
	if (is_trouble(e)) {
		metric_inc(METRIC_STORE_CHANGES_FAILED_TOTAL);
		if (e == ERR_STORAGE_MOVED)
			return; /* as long as trouble_moved() says */
		begin(t);
		t->failing[kind] = e;
	} else if (e == ERR_OK) {
		for (size_t i = 0; i < WIRE_KINDS; i++)
			if (i == (size_t)kind || cleared_by[i] == kind)
				t->failing[i] = ERR_OK;
	}
}
