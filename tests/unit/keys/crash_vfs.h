/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory, as an SQLite file layer, that can lose its power: what was not synced then
 * survives wholly, in part (by sectors, in any order) or not at all, and so do names that were
 * made or removed in a directory that was not synced.
 */
#ifndef CRASH_VFS_H
#define CRASH_VFS_H

#include <stdbool.h>
#include <stdint.h>

#define CRASH_VFS "crash"

/* Registers the layer; an empty disk, with its power on, that decides by this seed. */
void crash_vfs_install(void);
void crash_vfs_reset(uint64_t seed);
/* The power goes at the n-th write, truncation, sync or removal from now; 0: never. */
void crash_vfs_cut_after(unsigned n);
bool crash_vfs_is_cut(void);
/* While it is full no write succeeds: for want of blocks, or of a quota; or nobody knows why. */
enum crash_room { CRASH_ROOM, CRASH_FULL, CRASH_QUOTA, CRASH_BROKEN };
void crash_vfs_fill(enum crash_room room);
/*
 * The n-th sync from now fails, once: what was written before it never reaches the disk, and later syncs
 * know nothing of it, though it can be read until the power goes; 0: none.
 * From then on the disk is as full as that.
 */
void crash_vfs_fail_sync(unsigned n, enum crash_room then);
/* Whether it has. */
bool crash_vfs_failed_sync(void);
/* Memory is short: what a failed sync left there alone can no longer be read, but what the disk has. */
void crash_vfs_evict(void);
/* No write to the file of that name succeeds, and nobody knows why; NULL: all are whole again. */
void crash_vfs_break(const char *name);
/*
 * The next lock of a reader's mark in the log's index that is held alone cannot be given up, and SQLite, which
 * does not look, stands in its own way from then on.
 */
void crash_vfs_keep_mark(void);
/* Decides what survived.  No file may be open. */
void crash_vfs_power_on(void);
/* What fsync() of the directory does. */
int crash_vfs_sync_dir(const char *dir);
/* A disk that says it has synced and has not: to see that the tests would notice. */
void crash_vfs_lie(bool lie);

/* A small generator, so that a seed replays. */
uint64_t crash_random(uint64_t *state);

#endif
