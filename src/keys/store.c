/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two storage children, as the gateway has them: one that writes the files and one that reads the
 * ledger, so that a disk which keeps a commit waiting keeps no read waiting.
 *
 * The reader lives no longer than the writer that opened the files for it: so whatever a dying writer
 * may still have done is seen by every read that is sent after its calls have failed.  Where no next writer can
 * open them, as the disk takes no writes, another reader serves alone, which looks for that itself; and it is
 * gone before a writer opens them.
 */
#include "keys/store.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"
#include "db_ledger.h"
#include "db_names.h"
#include "disk.h"
#include "store_end.h"

struct store {
	struct loop *loop;
	struct store_params params;
	struct store_end writer, reader;
	bool open;	 /* both were up once */
	bool restarting; /* the writer died: there is something to tell when both are up again */
	bool failing; /* changes are, and that was told */
	bool opened;  /* a writer has the files open, or is about to */
	bool shut;
	enum err refused; /* why no writer could open them, since the last that could */
	int64_t refused_ms;
	struct db_name ledger; /* of the last child that has opened it by its name */
	uint64_t names[DB_NAMES][2]; /* device and inode of each that the writer has opened */
};

/* What the last store_open() was told: it has no store to keep it in. */
static char open_why[WIRE_WHY_MAX];

struct loop *
store_loop(struct store *s)
{
	return s->loop;
}

static void
tell(struct store *s, const char *what, int64_t number, const char *why)
{
	if (s->params.event != NULL && !s->shut)
		s->params.event(s->params.arg, what, number, why);
}

void
store_event(struct store *s, const char *what, int64_t number)
{
	tell(s, what, number, "");
}

void
store_call(struct store *s, const struct store_call_type *type, struct wait *w, void *ctx,
    uint64_t token)
{
	store_end_call(type->reads ? &s->reader : &s->writer, type, w, ctx, token);
}

static void
on_opening(void *arg, int64_t times)
{
	store_event(arg, "migrating", times);
}

static void
on_gives_up(void *arg, bool opening, enum err e, const char *why)
{
	tell(arg, opening ? "refused" : "gave up", e, why);
}

static void
note_ledger(struct store *s)
{
	s->ledger = (struct db_name){0}; /* no file has that name */
	if (disk_join(s->ledger.path, s->params.state_dir, db_ledger_schema.file))
		(void)db_name_note(&s->ledger);
}

/* --- the writer --- */

static pid_t
spawn_writer(void *arg, int fd)
{
	const struct store *s = arg;

	return s->params.spawn(s->params.arg, fd, s->open ? STORE_WRITER_AGAIN : STORE_WRITER);
}

static void
take_last_backup(struct unpack *body)
{
	metric_set(METRIC_STORE_LAST_BACKUP_SECONDS, (int64_t)unpack_u64(body));
	metric_set(METRIC_STORE_OBJECTS_NOT_BACKED_UP, (int64_t)unpack_u64(body));
}

static void
take_names(struct unpack *body, uint64_t names[DB_NAMES][2])
{
	for (size_t i = 0; i < DB_NAMES; i++) {
		names[i][0] = unpack_u64(body);
		names[i][1] = unpack_u64(body);
	}
}

static enum err
on_writer_up(void *arg, struct unpack *body, const char **why)
{
	struct store *s = arg;

	(void)why; /* what it has found is what counts */
	s->opened = true;
	if (s->refused != ERR_OK) /* it has written and synced where those before it could not */
		trouble_mended(&s->writer.calls.trouble);
	s->refused = ERR_OK;
	note_ledger(s);
	trouble_moved(&s->writer.calls.trouble, false); /* it has found them */
	take_last_backup(body);
	if (unpack_u8(body) != 0)
		store_event(s, "made", 0);
	take_names(body, s->names);
	if (!s->restarting)
		return ERR_OK;
	metric_inc(METRIC_STORE_RESTARTS_TOTAL);
	store_end_start(&s->reader);
	return ERR_OK;
}

/* A reader that has ended meanwhile would have read what lies in the place of the files. */
static void
take_moved(struct store *s, bool moved)
{
	bool were = trouble_now(&s->writer.calls.trouble) == ERR_STORAGE_MOVED;

	trouble_moved(&s->writer.calls.trouble, moved);
	if (were && !moved && s->reader.state == END_DOWN)
		store_end_start(&s->reader);
}

static void
on_writer_told(void *arg, struct unpack *body)
{
	struct store *s = arg;
	uint8_t percent;

	metric_add(METRIC_STORE_COMMITS_TOTAL, unpack_u32(body));
	take_last_backup(body);
	percent = unpack_u8(body);
	if (percent > 0)
		store_event(arg, "copying", percent);
	take_moved(s, unpack_u8(body) != 0);
}

static void
on_writer_opens(void *arg)
{
	struct store *s = arg;

	s->opened = true;
	store_end_kill(&s->reader);
}

/* Only who has looked knows that what is there may be read. */
static void
on_writer_gives_up(void *arg, bool opening, enum err e, const char *why)
{
	struct store *s = arg;

	on_gives_up(s, opening, e, why);
	if (!opening)
		return;
	if (s->refused == ERR_OK)
		s->refused_ms = clock_wall_ms();
	s->refused = e == ERR_STORAGE_READ_ONLY ? e : ERR_STORAGE_DOWN;
	s->opened = false;
	if (e != ERR_STORAGE_READ_ONLY)
		store_end_kill(&s->reader);
	else if (s->reader.state == END_DOWN)
		store_end_start(&s->reader);
}

/* Why changes are not kept. */
static enum err
failing(const struct store *s)
{
	enum err e = trouble_now(&s->writer.calls.trouble);

	return e != ERR_OK ? e : s->refused;
}

/* Told once when changes begin to fail, and once when they are written again. */
static void
on_writer_answered(void *arg)
{
	struct store *s = arg;
	enum err e = failing(s);

	if (s->failing == (e != ERR_OK) || (e == ERR_OK && s->writer.state != END_UP))
		return;
	s->failing = e != ERR_OK;
	store_event(s, s->failing ? "failing" : "writing", e);
}

static void
on_writer_down(void *arg, int status)
{
	struct store *s = arg;

	s->restarting = s->writer.held = true; /* what is written can be read at once */
	trouble_moved(&s->writer.calls.trouble, false); /* the next one sees what is there */
	store_event(s, "ended", status);
	store_end_start_again(&s->writer);
	if (s->opened)
		store_end_kill(&s->reader);
	s->opened = false;
}

/* --- the reader --- */

static pid_t
spawn_reader(void *arg, int fd)
{
	const struct store *s = arg;

	return s->params.spawn(s->params.arg, fd, STORE_READER);
}

/* Until the writer looks at what has become of its files nobody else tells that these are others. */
static bool
has_the_same(const struct store *s, struct unpack *body)
{
	uint64_t names[DB_NAMES][2];

	(void)unpack_u64(body), (void)unpack_u64(body), (void)unpack_u8(body);
	take_names(body, names);
	return memcmp(names, s->names, sizeof(names)) == 0;
}

static enum err
on_reader_up(void *arg, struct unpack *body, const char **why)
{
	struct store *s = arg;
	bool both = s->restarting;

	if (s->writer.state != END_UP) {
		note_ledger(s);
		store_event(s, "reader serves alone", s->reader.child.pid);
		return ERR_OK;
	}
	if (!has_the_same(s, body)) {
		*why = "what is in the state directory is not what is open to be written";
		return ERR_STORAGE_MOVED;
	}
	s->restarting = s->writer.held = false;
	if (both) {
		store_event(s, "restarted", s->writer.child.pid);
	} else if (s->open) {
		metric_inc(METRIC_STORE_READER_RESTARTS_TOTAL);
		store_event(s, "reader restarted", s->reader.child.pid);
	}
	return ERR_OK;
}

static void
on_reader_told(void *arg, struct unpack *body)
{
	(void)arg, (void)body; /* it has nothing to tell */
}

/* The writer is there, or none can be: else its end was the reader's as well. */
static void
on_reader_down(void *arg, int status)
{
	struct store *s = arg;

	store_event(s, "reader ended", status);
	if (trouble_now(&s->writer.calls.trouble) != ERR_STORAGE_MOVED)
		store_end_start_again(&s->reader);
}

/* --- both --- */

static struct store *
store_new(struct loop *l, const struct store_params *p)
{
	struct store *s = alloc_zero(sizeof(*s));
	struct store_end_params end = {.loop = l, .call_timeout_ns = p->call_timeout_ns, .arg = s,
	    .opening = on_opening, .gives_up = on_gives_up};

	if (s == NULL)
		return NULL;
	s->loop = l;
	s->params = *p;
	end.spawn = spawn_writer;
	end.opens = on_writer_opens;
	end.gives_up = on_writer_gives_up;
	end.up = on_writer_up;
	end.told = on_writer_told;
	end.answered = on_writer_answered;
	end.down = on_writer_down;
	store_end_init(&s->writer, &end);
	end.spawn = spawn_reader;
	end.opens = NULL;
	end.gives_up = on_gives_up;
	end.up = on_reader_up;
	end.told = on_reader_told;
	end.answered = NULL;
	end.down = on_reader_down;
	store_end_init(&s->reader, &end);
	return s;
}

enum err
store_open(struct store **out, struct loop *l, const struct store_params *p, const char **why)
{
	struct store *s = store_new(l, p);
	const char *sentence;
	enum err e;

	*why = "out of memory";
	if (s == NULL)
		return ERR_NO_MEMORY;
	e = store_end_open(&s->writer, &sentence);
	if (e == ERR_OK)
		e = store_end_open(&s->reader, &sentence);
	if (e != ERR_OK) {
		snprintf(open_why, sizeof(open_why), "%s", sentence);
		*why = open_why;
		store_close(s);
		return e;
	}
	s->open = true;
	*out = s;
	return ERR_OK;
}

/* The reader first: whoever is the last to close a file brings its log back into it. */
void
store_shut(struct store *s)
{
	if (s == NULL || s->shut)
		return;
	s->shut = true;
	store_end_shut(&s->reader);
	store_end_shut(&s->writer);
}

void
store_close(struct store *s)
{
	store_shut(s);
	alloc_free(s);
}

static pid_t
pid_of(const struct store_end *end)
{
	return end->child.gone ? -1 : end->child.pid;
}

pid_t
store_pid(const struct store *s)
{
	return pid_of(&s->writer);
}

pid_t
store_reader_pid(const struct store *s)
{
	return pid_of(&s->reader);
}

size_t
store_pending(const struct store *s)
{
	return s->writer.calls.count + s->reader.calls.count;
}

enum err
store_in_place(const struct store *s)
{
	return db_name_check(&s->ledger);
}

void
store_health(const struct store *s, struct store_health *out)
{
	int64_t writes = calls_waits(&s->writer.calls), reads = calls_waits(&s->reader.calls);
	const struct trouble *t = &s->writer.calls.trouble;
	bool up = s->reader.state == END_UP;
	bool readers = s->writer.state == END_UP || (!up && s->refused == ERR_STORAGE_READ_ONLY);

	*out = (struct store_health){
	    .up = up,
	    .why = readers && s->reader.why[0] != '\0' ? s->reader.why : s->writer.why,
	    .reads = s->reader.calls.late_loads == 0,
	    .waits_ns = writes > reads ? writes : reads,
	    .failing = failing(s),
	    .since_ms = trouble_now(t) != ERR_OK ? t->since_ms : s->refused_ms,
	};
}

/* --- backup --- */

static enum err
pack_backup(struct buf *b, const struct wait *w)
{
	pack_text(b, CONTAINER_OF(w, struct store_backup, wait)->directory);
	return ERR_OK;
}

static enum err
answer_backup(void *ctx, struct wait *w, struct unpack *u)
{
	struct store_backup *b = CONTAINER_OF(w, struct store_backup, wait);

	(void)ctx;
	b->objects = unpack_u64(u);
	b->noted = unpack_u8(u) != 0;
	return ERR_OK;
}

void
store_backup(struct store *s, struct store_backup *b)
{
	static const struct store_call_type type = {
	    .kind = WIRE_BACKUP, .patient = true, .pack = pack_backup, .answer = answer_backup};

	store_call(s, &type, &b->wait, NULL, 0);
}
