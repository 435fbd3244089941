/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory that can lose its power. */
#include "crash_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

enum { FILES = 64, NAME_LEN = 256, SECTOR = 512, REGIONS = 64 };
enum { MARKS = 0xf0 }; /* readers' marks that move, among the locks of a log's index */

struct content {
	uint8_t *data;
	size_t len;
};

/* A write, or a truncation (data NULL), that was not synced. */
struct pending {
	struct pending *next;
	size_t at, len;
	uint8_t *data;
};

struct inode {
	bool used;
	char name[NAME_LEN];
	bool named, named_durably; /* in the directory, as seen and as synced */
	struct content live, durable;
	struct pending *first, **last;
	/* of those who have it open, and gone with the power: locks, and the memory that they share */
	struct handle *handles;
	uint8_t *regions[REGIONS];
};

struct handle {
	sqlite3_file base;
	struct inode *inode;
	struct handle *next;
	int level; /* SQLITE_LOCK_... */
	bool maps;
	unsigned shares, holds; /* locks of the shared memory, by bit */
	bool sync_dir; /* as the system's layer does at a log's first sync */
	bool delete_on_close;
	int last_errno; /* as the system's layer keeps it */
};

static struct inode files[FILES];
static uint64_t rng;
static unsigned countdown;
static unsigned sync_fails;
static bool cut, lying, sync_failed, keeps_mark;
static enum crash_room room, room_then;
static const char *broken;

uint64_t
crash_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool
chance(unsigned percent)
{
	return crash_random(&rng) % 100 < percent;
}

/* Counts an operation; true when the power is off, or goes with this one. */
static bool
power_fails(void)
{
	if (!cut && countdown > 0 && --countdown == 0)
		cut = true;
	return cut;
}

static void
put(struct content *c, size_t at, const uint8_t *data, size_t len)
{
	if (at + len > c->len) {
		c->data = realloc(c->data, at + len);
		memset(c->data + c->len, 0, at + len - c->len);
		c->len = at + len;
	}
	memcpy(c->data + at, data, len);
}

static void
copy(struct content *to, const struct content *from)
{
	free(to->data);
	to->data = malloc(from->len + 1);
	if (from->len > 0)
		memcpy(to->data, from->data, from->len);
	to->len = from->len;
}

static void
forget_pending(struct inode *f)
{
	struct pending *next;

	for (struct pending *p = f->first; p != NULL; p = next) {
		next = p->next;
		free(p->data);
		free(p);
	}
	f->first = NULL;
	f->last = &f->first;
}

static void
add_pending(struct inode *f, size_t at, const uint8_t *data, size_t len)
{
	struct pending *p = calloc(1, sizeof(*p));

	p->at = at;
	p->len = len;
	if (data != NULL) {
		p->data = malloc(len + 1);
		memcpy(p->data, data, len);
	}
	*f->last = p;
	f->last = &p->next;
}

static void
drop_regions(struct inode *f)
{
	for (int i = 0; i < REGIONS; i++) {
		free(f->regions[i]);
		f->regions[i] = NULL;
	}
}

static void
drop_inode(struct inode *f)
{
	forget_pending(f);
	drop_regions(f);
	free(f->live.data);
	free(f->durable.data);
	memset(f, 0, sizeof(*f));
}

static struct inode *
find_named(const char *name)
{
	for (int i = 0; i < FILES; i++)
		if (files[i].used && files[i].named && strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

static struct inode *
make_inode(const char *name)
{
	for (int i = 0; i < FILES; i++) {
		if (files[i].used)
			continue;
		files[i] = (struct inode){.used = true, .named = true};
		files[i].last = &files[i].first;
		snprintf(files[i].name, NAME_LEN, "%s", name);
		return &files[i];
	}
	return NULL;
}

int
crash_vfs_sync_dir(const char *dir)
{
	(void)dir;
	if (power_fails())
		return -1;
	for (int i = 0; i < FILES && !lying; i++)
		files[i].named_durably = files[i].named;
	return 0;
}

/* --- the file layer --- */

static int
f_close(sqlite3_file *file)
{
	struct handle *h = (struct handle *)file;

	for (struct handle **at = &h->inode->handles; *at != NULL; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	if (h->inode->handles == NULL)
		drop_regions(h->inode);
	if (h->delete_on_close)
		drop_inode(h->inode);
	return SQLITE_OK;
}

static int
f_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	struct content *c = &((struct handle *)file)->inode->live;
	size_t have = (size_t)at < c->len ? c->len - (size_t)at : 0;

	if (cut)
		return SQLITE_IOERR_READ;
	if (have > (size_t)len)
		have = (size_t)len;
	if (have > 0)
		memcpy(to, c->data + at, have);
	memset((uint8_t *)to + have, 0, (size_t)len - have);
	return have == (size_t)len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

/* The write during which the power goes may still reach the disk. */
static int
f_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	struct handle *h = (struct handle *)file;
	struct inode *f = h->inode;
	bool was_cut = cut;

	if (power_fails()) {
		h->last_errno = EIO;
		if (was_cut)
			return SQLITE_IOERR_WRITE;
	}
	if (room == CRASH_BROKEN ||
	    (broken != NULL && strcmp(strrchr(f->name, '/') + 1, broken) == 0)) {
		h->last_errno = EIO;
		return SQLITE_IOERR_WRITE;
	}
	if (room == CRASH_FULL)
		return SQLITE_FULL;
	if (room == CRASH_QUOTA) {
		h->last_errno = EDQUOT;
		return SQLITE_IOERR_WRITE;
	}
	put(&f->live, (size_t)at, data, (size_t)len);
	add_pending(f, (size_t)at, data, (size_t)len);
	return cut ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

static int
f_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct inode *f = ((struct handle *)file)->inode;

	if (power_fails())
		return SQLITE_IOERR_TRUNCATE;
	if ((size_t)size < f->live.len)
		f->live.len = (size_t)size;
	add_pending(f, (size_t)size, NULL, 0);
	return SQLITE_OK;
}

static void
apply(struct content *c, const struct pending *p)
{
	if (p->data != NULL)
		put(c, p->at, p->data, p->len);
	else if (p->at < c->len)
		c->len = p->at;
}

static int
f_sync(sqlite3_file *file, int flags)
{
	struct handle *h = (struct handle *)file;

	(void)flags;
	if (power_fails())
		return SQLITE_IOERR_FSYNC;
	if (lying)
		return SQLITE_OK;
	if (sync_fails > 0 && --sync_fails == 0) {
		room = room_then;
		sync_failed = true;
		forget_pending(h->inode); /* still to be read, and taken for written from now on */
		return SQLITE_IOERR_FSYNC;
	}
	for (const struct pending *p = h->inode->first; p != NULL; p = p->next)
		apply(&h->inode->durable, p);
	forget_pending(h->inode);
	if (h->sync_dir && crash_vfs_sync_dir("") != 0)
		return SQLITE_IOERR_DIR_FSYNC;
	h->sync_dir = false;
	return SQLITE_OK;
}

static int
f_size(sqlite3_file *file, sqlite3_int64 *size)
{
	*size = (sqlite3_int64)((struct handle *)file)->inode->live.len;
	return cut ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

/* Whether another has it locked so that it cannot be had at this level. */
static bool
is_locked(const struct handle *h, int level)
{
	for (const struct handle *o = h->inode->handles; o != NULL; o = o->next)
		if (o != h &&
		    (o->level >= SQLITE_LOCK_PENDING ||
			(o->level == SQLITE_LOCK_RESERVED && level >= SQLITE_LOCK_RESERVED) ||
			(o->level == SQLITE_LOCK_SHARED && level == SQLITE_LOCK_EXCLUSIVE)))
			return true;
	return false;
}

static int
f_lock(sqlite3_file *file, int level)
{
	struct handle *h = (struct handle *)file;

	if (level > h->level && is_locked(h, level))
		return SQLITE_BUSY;
	if (level > h->level)
		h->level = level;
	return SQLITE_OK;
}

static int
f_unlock(sqlite3_file *file, int level)
{
	struct handle *h = (struct handle *)file;

	if (level < h->level)
		h->level = level;
	return SQLITE_OK;
}

static int
f_check_lock(sqlite3_file *file, int *out)
{
	struct handle *h = (struct handle *)file;

	*out = h->level >= SQLITE_LOCK_RESERVED || is_locked(h, SQLITE_LOCK_RESERVED);
	return SQLITE_OK;
}

static int
f_map(sqlite3_file *file, int n, int size, int extend, void volatile **out)
{
	struct handle *h = (struct handle *)file;

	*out = NULL;
	if (n >= REGIONS)
		return SQLITE_IOERR_SHMSIZE;
	if (h->inode->regions[n] == NULL && extend)
		h->inode->regions[n] = calloc(1, (size_t)size);
	h->maps = true;
	*out = h->inode->regions[n];
	return SQLITE_OK;
}

static int
f_lock_map(sqlite3_file *file, int from, int count, int flags)
{
	struct handle *h = (struct handle *)file;
	unsigned bits = ((1U << count) - 1) << from;

	if ((flags & SQLITE_SHM_UNLOCK) != 0) {
		if (keeps_mark && (h->holds & bits & MARKS) != 0) {
			keeps_mark = false;
			return SQLITE_IOERR_UNLOCK;
		}
		h->shares &= ~bits;
		h->holds &= ~bits;
		return SQLITE_OK;
	}
	if ((flags & SQLITE_SHM_SHARED) != 0 && (h->holds & bits) != 0)
		return SQLITE_BUSY;
	for (const struct handle *o = h->inode->handles; o != NULL; o = o->next)
		if (o != h && ((o->holds & bits) != 0 ||
				  ((flags & SQLITE_SHM_EXCLUSIVE) != 0 && (o->shares & bits) != 0)))
			return SQLITE_BUSY;
	if ((flags & SQLITE_SHM_EXCLUSIVE) != 0)
		h->holds |= bits;
	else
		h->shares |= bits;
	return SQLITE_OK;
}

static void
f_barrier(sqlite3_file *file)
{
	(void)file; /* one thread */
}

static int
f_unmap(sqlite3_file *file, int delete)
{
	struct handle *h = (struct handle *)file;
	bool maps = false;

	(void)delete;
	h->maps = false;
	h->shares = h->holds = 0;
	for (const struct handle *o = h->inode->handles; o != NULL; o = o->next)
		maps |= o->maps;
	if (!maps)
		drop_regions(h->inode);
	return SQLITE_OK;
}

static int
f_control(sqlite3_file *file, int op, void *arg)
{
	if (op != SQLITE_FCNTL_LAST_ERRNO)
		return SQLITE_NOTFOUND;
	*(int *)arg = ((struct handle *)file)->last_errno;
	return SQLITE_OK;
}

static int
f_sector(sqlite3_file *file)
{
	(void)file;
	return SECTOR;
}

static int
f_device(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as the system's layer says */
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_check_lock,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_device,
    .xShmMap = f_map,
    .xShmLock = f_lock_map,
    .xShmBarrier = f_barrier,
    .xShmUnmap = f_unmap,
};

static int
v_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
	struct handle *h = (struct handle *)file;
	struct inode *f = name != NULL ? find_named(name) : NULL;

	(void)v;
	memset(h, 0, sizeof(*h));
	if (cut)
		return SQLITE_CANTOPEN;
	if (f == NULL && (flags & SQLITE_OPEN_CREATE) != 0)
		f = make_inode(name != NULL ? name : "(temporary)");
	if (f == NULL)
		return SQLITE_CANTOPEN;
	h->base.pMethods = &methods;
	h->inode = f;
	h->next = f->handles;
	f->handles = h;
	h->sync_dir = (flags & SQLITE_OPEN_CREATE) != 0 &&
	    (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
	h->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
	if (out_flags != NULL)
		*out_flags = flags;
	return SQLITE_OK;
}

static int
v_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	struct inode *f = find_named(name);

	(void)v;
	if (power_fails())
		return SQLITE_IOERR_DELETE;
	if (f == NULL)
		return SQLITE_IOERR_DELETE_NOENT;
	f->named = false;
	return sync_dir && crash_vfs_sync_dir("") != 0 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int
v_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	struct inode *f = find_named(name);

	(void)v;
	*out = f != NULL && (flags != SQLITE_ACCESS_EXISTS || f->live.len > 0);
	return SQLITE_OK;
}

static int
v_full_path(sqlite3_vfs *v, const char *name, int size, char *out)
{
	(void)v;
	sqlite3_snprintf(size, out, "%s", name);
	return SQLITE_OK;
}

/* Nobody moves meanwhile, in one thread. */
static int
v_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return us;
}

void
crash_vfs_install(void)
{
	static sqlite3_vfs vfs;

	vfs = *sqlite3_vfs_find(NULL); /* time and randomness are the system's */
	vfs.iVersion = 1;
	vfs.szOsFile = sizeof(struct handle);
	vfs.zName = CRASH_VFS;
	vfs.pNext = NULL;
	vfs.xOpen = v_open;
	vfs.xDelete = v_delete;
	vfs.xAccess = v_access;
	vfs.xFullPathname = v_full_path;
	vfs.xSleep = v_sleep;
	sqlite3_vfs_register(&vfs, 0);
}

void
crash_vfs_reset(uint64_t seed)
{
	for (int i = 0; i < FILES; i++)
		if (files[i].used)
			drop_inode(&files[i]);
	rng = seed;
	cut = lying = sync_failed = keeps_mark = false;
	countdown = sync_fails = 0;
	room = CRASH_ROOM;
	broken = NULL;
}

void
crash_vfs_cut_after(unsigned n)
{
	countdown = n;
}

void
crash_vfs_fail_sync(unsigned n, enum crash_room then)
{
	room_then = then;
	sync_fails = n;
	sync_failed = false;
}

bool
crash_vfs_failed_sync(void)
{
	return sync_failed;
}

void
crash_vfs_fill(enum crash_room now)
{
	room = now;
}

void
crash_vfs_evict(void)
{
	for (int i = 0; i < FILES; i++) {
		struct inode *f = &files[i];
		size_t len = f->live.len;

		if (!f->used)
			continue;
		copy(&f->live, &f->durable);
		for (const struct pending *p = f->first; p != NULL; p = p->next)
			apply(&f->live, p);
		if (f->live.len < len) /* it is as long as it was */
			put(&f->live, len - 1, (const uint8_t *)"", 1);
	}
}

void
crash_vfs_break(const char *name)
{
	broken = name;
}

void
crash_vfs_keep_mark(void)
{
	keeps_mark = true;
}

bool
crash_vfs_is_cut(void)
{
	return cut;
}

void
crash_vfs_lie(bool lie)
{
	lying = lie;
}

/* --- what survives --- */

static void
survive_write(struct content *c, const struct pending *p, unsigned percent)
{
	for (size_t done = 0, n; done < p->len; done += n) {
		n = SECTOR - (p->at + done) % SECTOR; /* up to the end of its sector */
		if (n > p->len - done)
			n = p->len - done;
		if (chance(percent))
			put(c, p->at + done, p->data + done, n);
	}
}

static void
survive(struct inode *f)
{
	static const unsigned percents[] = {0, 10, 50, 90, 100};
	unsigned percent = percents[crash_random(&rng) % 5];

	for (const struct pending *p = f->first; p != NULL; p = p->next) {
		if (p->data != NULL)
			survive_write(&f->durable, p, percent);
		else if (chance(percent))
			apply(&f->durable, p);
	}
	forget_pending(f);
	copy(&f->live, &f->durable);
}

void
crash_vfs_power_on(void)
{
	for (int i = 0; i < FILES; i++) {
		struct inode *f = &files[i];

		if (!f->used)
			continue;
		if (f->named != f->named_durably && chance(50))
			f->named_durably = f->named;
		if (!f->named_durably) {
			drop_inode(f);
			continue;
		}
		survive(f);
		f->named = true;
	}
	/* a name that was removed and made anew: only one of both can be there */
	for (int i = 0; i < FILES; i++)
		for (int j = i + 1; j < FILES; j++)
			if (files[i].used && files[j].used &&
			    strcmp(files[i].name, files[j].name) == 0)
				drop_inode(&files[chance(50) ? i : j]);
	cut = false;
	countdown = 0;
}
