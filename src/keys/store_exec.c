/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a storage child's calls: changes in groups. */
#include "store_exec.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "db_backup.h"
#include "db_ledger.h"
#include "db_log.h"
#include "db_names.h"
#include "db_whole.h"
#include "disk.h"
#include "store_file.h"
#include "store_finds.h"

enum {
	GROUP_MAX = 1024,	     /* messages in one commit */
	OUT_HIGH = 4 * 1024 * 1024,  /* answers that wait to be sent */
	OUT_MAX = OUT_HIGH + 2 * WIRE_FRAME_MAX,
	HEAP_SOFT_MAX = 64 * 1024 * 1024,
};

/* How a kind of call is done. */
struct call_kind {
	enum err (*run)(struct db *, struct unpack *, struct buf *);
	bool vault;  /* which file */
	bool reads;  /* changes nothing, and sees the changes that were sent before */
};
static const struct call_kind kinds[] = {
    [WIRE_PREPARE] = {.run = db_ledger_prepare},
    [WIRE_COMMIT] = {.run = db_ledger_commit},
    [WIRE_ABANDON] = {.run = db_ledger_abandon},
    [WIRE_INTENTS] = {.run = db_ledger_intents, .reads = true},
    [WIRE_SETTLE] = {.run = db_ledger_settle},
    [WIRE_USES] = {.run = db_uses_note},
    [WIRE_VAULT_STORE] = {.run = db_vault_store, .vault = true},
    [WIRE_VAULT_DESTROY] = {.run = db_vault_destroy, .vault = true},
    [WIRE_VAULT_PROBE] = {.run = db_vault_probe, .vault = true, .reads = true},
};

/* A call of a group.  Its answer's body waits in `answers` until the commit. */
struct member {
	uint64_t id;
	const struct call_kind *kind;
	struct unpack body;
	enum err result;
	size_t at, len;
	bool again; /* its group failed through no fault of its own */
};

struct store_exec {
	bool reads; /* it is the reader */
	int lock_fd;
	char state_dir[DISK_PATH_MAX];
	struct db ledger, vault;
	struct db_names names;
	bool watches;		    /* them: the files are the system's, and this is the writer */
	enum err kept;		    /* changes are, where somebody will find them; or why not */
	bool moved_told;
	struct buf answers;
	struct member group[GROUP_MAX];
	size_t group_len;
	uint32_t commits; /* not told yet */
	bool dirty;	  /* since the logs were last brought back */
	struct store_finds finds;
	struct db_backup *backup;
	uint64_t backup_id;
	unsigned backup_percent, percent_told; /* 0: none is under way */
	int64_t backup_when, backup_newer; /* as db_ledger_last_backup() has them */
};

/* Both are known to be ours, and to be all, before either is changed for the other to be refused. */
static enum err
open_both(struct store_exec *x, const struct store_exec_params *p, const char **why)
{
	enum err e = db_whole_logs(p->state_dir, p->vfs, why);

	if (e == ERR_OK)
		e = db_open(&x->ledger, &db_ledger_schema, p->state_dir, p->vfs, why);
	if (e == ERR_OK)
		e = db_open(&x->vault, &db_vault_schema, p->state_dir, p->vfs, why);
	if (e == ERR_OK && p->part == STORE_WRITER_AGAIN && (x->ledger.found == 0 || x->vault.found == 0)) {
		*why = "a file of the state directory went away while it was opened";
		return ERR_CORRUPT;
	}
	return e == ERR_OK ? db_whole_pair(&x->ledger, &x->vault, why) : e;
}

static enum err
open_to_write(struct store_exec *x, const struct store_exec_params *p, const char **why)
{
	const struct db_watcher watcher = {p->working, p->arg};
	enum err e = disk_check_dir(p->state_dir, why);

	if (e == ERR_OK && p->part == STORE_WRITER_AGAIN)
		e = db_whole_still(p->state_dir, p->vfs, why); /* before anything is made, a lock included */
	if (e == ERR_OK)
		e = disk_lock(p->state_dir, &x->lock_fd, why);
	if (e == ERR_OK)
		e = disk_try(x->lock_fd, why);
	if (e == ERR_OK && p->opens != NULL)
		p->opens(p->arg);
	if (e == ERR_OK)
		e = open_both(x, p, why);
	if (e == ERR_OK)
		e = db_make_ready(&x->ledger, &watcher, why);
	if (e == ERR_OK)
		e = db_make_ready(&x->vault, &watcher, why);
	if (e == ERR_OK &&
	    (p->sync_dir != NULL ? p->sync_dir : disk_sync_dir)(p->state_dir) != 0) {
		*why = "the state directory cannot be synced";
		e = ERR_STORAGE;
	}
	if (e != ERR_OK || p->vfs != NULL)
		return e;
	e = db_names_note(&x->names, p->state_dir, why);
	x->watches = e == ERR_OK;
	return e;
}

/* Where it is alone there may be no log, nor anybody to compare with. */
static enum err
open_to_read(struct store_exec *x, const struct store_exec_params *p, const char **why)
{
	enum err e = db_open_to_read(&x->ledger, &db_ledger_schema, p->state_dir, p->vfs, why);

	if (e != ERR_OK || p->vfs != NULL)
		return e;
	if (db_names_note(&x->names, p->state_dir, why) != ERR_OK)
		x->names = (struct db_names){0};
	*why = "a file of the state directory was moved while it was opened";
	return db_has_moved(&x->ledger) ? ERR_STORAGE_MOVED : ERR_OK;
}

enum err
store_exec_open(struct store_exec **out, const struct store_exec_params *p, const char **why)
{
	struct store_exec *x = alloc_zero(sizeof(*x));
	enum err e;

	*why = "out of memory";
	if (x == NULL)
		return ERR_NO_MEMORY;
	sqlite3_soft_heap_limit64(HEAP_SOFT_MAX);
	x->reads = p->part == STORE_READER;
	x->dirty = !x->reads; /* what a start could not settle */
	x->lock_fd = -1;
	store_finds_init(&x->finds);
	buf_init(&x->answers, OUT_MAX);
	strncpy(x->state_dir, p->state_dir, sizeof(x->state_dir) - 1);
	e = (x->reads ? open_to_read : open_to_write)(x, p, why);
	if (e == ERR_OK) {
		*out = x;
		return ERR_OK;
	}
	x->ledger.failed = true; /* its log stays: who reads it alone may be unable to make one */
	store_exec_close(x);
	return e;
}

static void
close_file(const struct store_exec *x, struct db *db)
{
	if (x->watches && !db_names_has(&x->names, db->schema))
		db_log_leave(db);
	db_close(db);
}

void
store_exec_close(struct store_exec *x)
{
	if (x == NULL)
		return;
	store_finds_fini(&x->finds);
	db_backup_free(x->backup);
	close_file(x, &x->vault);
	close_file(x, &x->ledger);
	if (x->lock_fd >= 0)
		close(x->lock_fd);
	buf_fini(&x->answers);
	alloc_free(x);
}

static void
put_text(struct buf *out, enum err e, const char *why)
{
	size_t at = wire_begin(out, 0, (uint8_t)e);

	pack_text(out, why);
	wire_end(out, at);
}

/* What was told last stands when it cannot be read now. */
static void
put_last_backup(struct store_exec *x, struct buf *out)
{
	int64_t when, newer;

	if (db_ledger_last_backup(&x->ledger, &when, &newer) == ERR_OK) {
		x->backup_when = when;
		x->backup_newer = newer;
	}
	pack_u64(out, (uint64_t)x->backup_when);
	pack_u64(out, (uint64_t)x->backup_newer);
}

/* Tells what was committed since the last time, how far a backup is, and whether the files were moved. */
static void
put_news(struct store_exec *x, struct buf *out)
{
	bool moved = x->kept == ERR_STORAGE_MOVED;
	size_t at;

	if (x->commits == 0 && x->backup_percent == x->percent_told && moved == x->moved_told)
		return;
	at = wire_begin(out, 0, ERR_OK);
	pack_u32(out, x->commits);
	put_last_backup(x, out);
	pack_u8(out, (uint8_t)x->backup_percent);
	pack_u8(out, moved);
	wire_end(out, at);
	x->moved_told = moved;
	x->commits = 0;
	x->percent_told = x->backup_percent;
}

void
store_exec_opening(struct buf *out, enum wire_opening how)
{
	size_t at = wire_begin(out, 0, ERR_BUSY);

	pack_u8(out, (uint8_t)how);
	wire_end(out, at);
}

void
store_exec_hello(struct buf *out, struct store_exec *x, enum err e, const char *why)
{
	size_t at;

	if (e != ERR_OK) {
		put_text(out, e, why);
		return;
	}
	at = wire_begin(out, 0, ERR_OK);
	put_last_backup(x, out);
	pack_u8(out, x->ledger.found == 0);
	for (size_t i = 0; i < DB_NAMES; i++) {
		pack_u64(out, x->names.of[i].device);
		pack_u64(out, x->names.of[i].inode);
	}
	wire_end(out, at);
}

static void
put_answer(struct buf *out, uint64_t id, enum err e, const uint8_t *body, size_t len)
{
	size_t at = wire_begin(out, id, (uint8_t)e);

	buf_put(out, body, len);
	wire_end(out, at);
}

static struct db *
db_of(struct store_exec *x, const struct call_kind *k)
{
	return k->vault ? &x->vault : &x->ledger;
}

static void
run_load(struct store_exec *x, uint64_t id, struct unpack *body, struct buf *out)
{
	size_t at = wire_begin(out, id, ERR_OK);
	enum err e = db_ledger_load(&x->ledger, body, out);

	if (e == ERR_OK)
		e = buf_error(out);
	if (e == ERR_OK) {
		wire_end(out, at);
		return;
	}
	wire_undo(out, at);
	put_answer(out, id, e, NULL, 0);
}

/* False: the reader has no such call. */
static bool
take_read(struct store_exec *x, uint64_t id, uint8_t kind, struct unpack *body, struct buf *out)
{
	if (kind == WIRE_LOAD)
		run_load(x, id, body, out);
	else if (kind == WIRE_FIND)
		store_finds_start(&x->finds, &x->ledger, id, body, out);
	else
		return false;
	return true;
}

/* What is read, and what a backup copies, are the open files, wherever they are. */
static void
look_for_names(struct store_exec *x)
{
	x->kept = x->watches ? db_names_check(&x->names) : ERR_OK;
}

/* --- groups --- */

/* A change whose answer cannot be written has failed, and is undone. */
static enum err
run_and_tell(struct store_exec *x, struct member *m)
{
	struct unpack body = m->body;
	enum err e = m->kind->run(db_of(x, m->kind), &body, &x->answers);

	return e == ERR_OK ? buf_error(&x->answers) : e;
}

/* Within the group's transaction, undone by itself when it fails. */
static enum err
run_member(struct store_exec *x, struct member *m)
{
	struct db *db = db_of(x, m->kind);
	enum err e, end;

	m->at = x->answers.len;
	if (m->kind->reads) {
		m->result = run_and_tell(x, m);
	} else if (x->kept != ERR_OK) {
		m->result = x->kept;
	} else {
		e = db_group_begin(db);
		if (e == ERR_OK)
			e = db_message_begin(db);
		if (e != ERR_OK)
			return e;
		m->result = run_and_tell(x, m);
		end = db_message_end(db, m->result == ERR_OK);
		if (end != ERR_OK)
			return end;
	}
	if (m->result != ERR_OK)
		wire_undo(&x->answers, m->at);
	m->len = x->answers.len - m->at;
	return ERR_OK;
}

static enum err
commit_one(struct store_exec *x, struct db *db)
{
	enum err e = ERR_OK;

	if (!db->in_group)
		return ERR_OK;
	if (fault_hit(FAULT_STORE_DIE_BEFORE_COMMIT))
		_exit(1);
	if (fault_hit(FAULT_STORE_COMMIT))
		e = ERR_STORAGE;
	else if (fault_hit(FAULT_STORE_COMMIT_FULL))
		e = ERR_STORAGE_FULL;
	if (e == ERR_OK)
		e = db_group_commit(db);
	else
		db_group_rollback(db);
	if (e != ERR_OK)
		return e;
	x->commits++;
	x->dirty = true;
	if (db == &x->vault && fault_hit(FAULT_STORE_DIE_BETWEEN))
		_exit(1);
	if (fault_hit(FAULT_STORE_DIE_AFTER_COMMIT))
		_exit(1);
	return ERR_OK;
}

/* The file's commit failed: so did all that the group did with it. */
static void
fail_members(struct store_exec *x, struct member *m, size_t count, bool vault, enum err e)
{
	for (size_t i = 0; i < count; i++) {
		if (m[i].kind->vault != vault)
			continue;
		m[i].again = !db_of(x, m[i].kind)->unsettled &&
		    (e == ERR_STORAGE_FULL || e == ERR_NO_MEMORY);
		m[i].result = e;
		m[i].len = 0;
	}
}

static void
run_group(struct store_exec *x, struct member *m, size_t count)
{
	enum err broken[2] = {ERR_OK, ERR_OK}, e;

	for (size_t i = 0; i < count; i++) {
		bool v = m[i].kind->vault;

		m[i].again = false;
		m[i].len = 0;
		if (broken[v] == ERR_OK)
			broken[v] = run_member(x, &m[i]);
	}
	for (int v = 1; v >= 0; v--) { /* the vault's first: its records may be without an object */
		struct db *db = v ? &x->vault : &x->ledger;

		e = broken[v];
		if (e == ERR_OK)
			e = commit_one(x, db);
		else
			db_group_rollback(db);
		if (e != ERR_OK)
			fail_members(x, m, count, v, e);
	}
}

/* One message that needs more than there is must not take the others with it. */
static void
run_all(struct store_exec *x)
{
	run_group(x, x->group, x->group_len);
	for (size_t i = 0; i < x->group_len && x->group_len > 1; i++)
		if (x->group[i].again)
			run_group(x, &x->group[i], 1);
}

/* News go first: who sees an answer has seen what it changed. */
static void
answer_all(struct store_exec *x, struct buf *out)
{
	put_news(x, out);
	for (size_t i = 0; i < x->group_len; i++) {
		const struct member *m = &x->group[i];

		put_answer(out, m->id, m->result, m->len > 0 ? x->answers.data + m->at : NULL,
		    m->len);
	}
}

static void
start_backup(struct store_exec *x, uint64_t id, struct unpack *body, struct buf *out)
{
	char directory[DISK_PATH_MAX];
	enum err e = ERR_BUSY;

	unpack_text(body, directory, sizeof(directory));
	if (!unpack_done(body))
		e = ERR_INVALID_FIELD;
	else if (x->backup == NULL)
		e = db_backup_start(&x->backup, &x->ledger, &x->vault, x->state_dir, directory);
	if (e == ERR_OK)
		x->backup_id = id;
	else
		put_answer(out, id, e, NULL, 0);
}

/* Collects what is done in a group, and does the rest.  False: the writer has no such call. */
static bool
take_change(struct store_exec *x, uint64_t id, uint8_t kind, struct unpack *body, struct buf *out)
{
	if (kind == WIRE_BACKUP)
		start_backup(x, id, body, out);
	else if (kind == WIRE_FILE)
		put_answer(out, id, x->kept == ERR_OK ? store_file_run(x->state_dir, body) : x->kept, NULL, 0);
	else if (kind < sizeof(kinds) / sizeof(*kinds) && kinds[kind].run != NULL)
		x->group[x->group_len++] =
		    (struct member){.id = id, .kind = &kinds[kind], .body = *body};
	else
		return false;
	return true;
}

/* The length of the frames that it went through. */
static size_t
take_frames(struct store_exec *x, const struct buf *in, struct buf *out, bool *bad)
{
	size_t used = 0, n;
	struct unpack body;
	uint64_t id;
	uint8_t kind;

	x->group_len = 0;
	*bad = false;
	while (!*bad && x->group_len < GROUP_MAX && out->len < OUT_HIGH) {
		n = wire_take(in->data + used, in->len - used, &id, &kind, &body, bad);
		if (n == 0)
			break;
		used += n;
		*bad = !(x->reads ? take_read : take_change)(x, id, kind, &body, out);
	}
	return used;
}

static enum err
look_for_failure(const struct store_exec *x, const struct buf *out, const char **why)
{
	if (x->ledger.failed || x->vault.failed) {
		/*
		 * After a failed write or sync nobody knows what is on the disk, and asking again
		 * would be told a lie: start anew from what can be read back.
		 */
		*why = "reading or writing the state directory failed";
		return ERR_STORAGE;
	}
	if (buf_error(out) != ERR_OK) {
		*why = "the storage child ran out of memory";
		return ERR_NO_MEMORY;
	}
	return ERR_OK;
}

static enum err
run_frames(struct store_exec *x, struct buf *in, struct buf *out, const char **why)
{
	bool bad;
	size_t used;

	look_for_names(x);
	put_news(x, out);
	used = take_frames(x, in, out, &bad);
	if (x->group_len > 0) {
		run_all(x);
		if (!x->ledger.failed && !x->vault.failed)
			answer_all(x, out);
		buf_reset(&x->answers);
	}
	buf_consume(in, used);
	if (bad) {
		*why = "the storage child got a frame that is none";
		return ERR_INTERNAL;
	}
	return look_for_failure(x, out, why);
}

/* What failed beside the calls, in a search's step, ends it before more is done. */
enum err
store_exec_run(struct store_exec *x, struct buf *in, struct buf *out, const char **why)
{
	enum err e = look_for_failure(x, out, why);

	if (e == ERR_OK && in->len > 0)
		e = run_frames(x, in, out, why);
	if (e != ERR_OK && buf_error(out) == ERR_OK)
		put_text(out, e, *why);
	return e;
}

enum err
store_exec_tend(struct store_exec *x, struct buf *out, const char **why)
{
	enum err e;

	db_log_tend(&x->ledger);
	db_log_tend(&x->vault);
	e = look_for_failure(x, out, why);
	if (e != ERR_OK && buf_error(out) == ERR_OK)
		put_text(out, e, *why);
	return e;
}

bool
store_exec_ready(const struct buf *in)
{
	struct unpack body;
	uint64_t id;
	uint8_t kind;
	bool bad;

	return wire_take(in->data, in->len, &id, &kind, &body, &bad) > 0 || bad;
}

/* False: the copy is as good as any, but health goes on asking for one. */
static bool
note_backup(struct store_exec *x, const struct db_backed_up *done)
{
	enum err e = db_group_begin(&x->ledger);

	if (e == ERR_OK)
		e = db_ledger_note_backup(&x->ledger, done->when, done->last_object);
	if (e == ERR_OK)
		return commit_one(x, &x->ledger) == ERR_OK;
	db_group_rollback(&x->ledger);
	return false;
}

bool
store_exec_search(struct store_exec *x, struct buf *out)
{
	return store_finds_step(&x->finds, &x->ledger, out);
}

bool
store_exec_step(struct store_exec *x, struct buf *out)
{
	struct db_backed_up done;
	bool noted;
	enum err e;
	size_t at;

	if (x->backup == NULL)
		return false;
	if (db_backup_step(x->backup, &e, &done)) {
		x->backup_percent = db_backup_percent(x->backup);
		put_news(x, out);
		return true;
	}
	db_backup_free(x->backup);
	x->backup = NULL;
	x->backup_percent = 0;
	noted = e == ERR_OK && note_backup(x, &done);
	put_news(x, out);
	at = wire_begin(out, x->backup_id, (uint8_t)e);
	if (e == ERR_OK) {
		pack_u64(out, done.objects);
		pack_u8(out, noted);
	}
	wire_end(out, at);
	return false;
}

/* What was overwritten for good (secure_delete) is then in no log either. */
void
store_exec_idle(struct store_exec *x, struct buf *out)
{
	look_for_names(x);
	put_news(x, out);
	if (!x->dirty || x->backup != NULL)
		return;
	x->dirty = db_log_empty(&x->ledger, 0) != ERR_OK;
	x->dirty |= db_log_empty(&x->vault, 0) != ERR_OK;
}
