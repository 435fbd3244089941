/* SPDX-License-Identifier: Apache-2.0 */
/* Lines that wait for the audit child, and the child's life. */
#include "audit_queue.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/spawned.h"

enum {
	SPARE = AUDIT_QUEUE_MAX / 2,
	KEEP_MAX = 256 * 1024,
	MARKS = 5,
	NEXT_MAX = 8,
};
#define RESTART_NS (1 * NS_PER_S)
#define TICK_NS (AUDIT_LATE_NS / (MARKS - 1))

/* A file for the lines from here on. */
struct next_file {
	int fd;
	size_t at; /* in lines */
};

struct audit_queue {
	struct loop *loop;
	struct audit_params p;
	struct spawned child;
	struct defer flush;
	bool gathers;

	struct buf lines;
	size_t done;	  /* bytes of lines that were sent */
	int file;	  /* what the child is writing to, or has to be told to; -1: none */
	bool file_told;
	struct next_file next[NEXT_MAX]; /* in order; more than one when the disk hangs */
	size_t next_count;

	uint64_t sent, written;	 /* lines, of this child */
	uint64_t taken, settled; /* lines of all; settled: written, or lost with their child */
	uint64_t lost;		 /* with their child, and nobody has asked yet */
	uint64_t told, told_at;	 /* how many the last line about lost ones tells of, and which one it is */
	struct timer tick;	 /* while lines are not settled */
	uint64_t marks[MARKS];	 /* taken, at the last ticks; the oldest first */
	int error;		 /* what the child said, or EPIPE */
	int failing;		 /* that, or ETIMEDOUT; 0: nothing */

	struct timer drain;
	void (*drained)(void *arg); /* NULL: nobody waits for the end */
	void *drained_arg;
};

static size_t
waiting(const struct audit_queue *q)
{
	return q->lines.len - q->done;
}

static void
count_waiting(const struct audit_queue *q)
{
	metric_set(METRIC_AUDIT_QUEUE_BYTES, (int64_t)waiting(q));
}

static uint64_t
count_lines(const uint8_t *data, size_t len)
{
	const uint8_t *end = data + len, *at;
	uint64_t count = 0;

	for (; (at = memchr(data, '\n', (size_t)(end - data))) != NULL; data = at + 1)
		count++;
	return count;
}

/* --- the child's life --- */

static const char *
why_text(int failing)
{
	if (failing == ETIMEDOUT)
		return "the disk is too slow";
	if (failing == ENOENT)
		return "the file was removed: a reload makes another";
	return failing == EPIPE ? "the process that writes them ended" : strerror(failing);
}

/* A disk that hangs says nothing: a line that is not settled for long is what tells. */
static void
look(struct audit_queue *q)
{
	int failing = q->error;

	if (failing == 0 && q->settled < q->marks[0])
		failing = ETIMEDOUT;
	if (q->failing == failing)
		return;
	if (q->failing == 0)
		metric_inc(METRIC_AUDIT_FAILURES_TOTAL);
	q->failing = failing;
	if (failing != 0)
		LOG(LOG_ERROR, "audit", "lines cannot be written", kv_text("why", why_text(failing)));
	else
		LOG(LOG_NOTICE, "audit", "lines are written again");
}

static void
set_error(struct audit_queue *q, int error)
{
	q->error = error;
	look(q);
}

static void
tick_later(struct audit_queue *q)
{
	timer_set(q->loop, &q->tick, clock_now() + TICK_NS);
}

static void
on_tick(struct timer *t)
{
	struct audit_queue *q = CONTAINER_OF(t, struct audit_queue, tick);

	memmove(q->marks, q->marks + 1, sizeof(q->marks) - sizeof(q->marks[0]));
	q->marks[MARKS - 1] = q->taken;
	look(q);
	if (q->settled < q->taken)
		tick_later(q);
}

static void
restart_later(struct audit_queue *q)
{
	spawned_again_at(&q->child, clock_now() + RESTART_NS);
}

static void
child_gone(struct audit_queue *q)
{
	spawned_drop(&q->child);
	q->file_told = false;
}

/* What it had taken over and not reported may be lost. */
static void
child_died(struct audit_queue *q)
{
	uint64_t gone = q->sent - q->written;

	child_gone(q);
	if (q->settled < q->told_at && q->told_at <= q->settled + gone)
		q->lost += q->told; /* what told of them went as well */
	q->settled += gone;
	q->lost += gone;
	if (gone > 0) {
		metric_add(METRIC_AUDIT_LOST_TOTAL, (int64_t)gone);
		LOG(LOG_ERROR, "audit", "lines may be lost: the process that writes them ended",
		    kv_int("lines", (int64_t)gone));
	}
	set_error(q, EPIPE);
	restart_later(q);
}

static void
on_drained(struct timer *t)
{
	struct audit_queue *q = CONTAINER_OF(t, struct audit_queue, drain);

	timer_clear(q->loop, t);
	q->drained(q->drained_arg);
	q->drained = NULL;
}

static void
on_readable(void *arg)
{
	struct audit_queue *q = arg;
	struct audit_report r;
	ssize_t n;

	while ((n = recv(q->child.fd, &r, sizeof(r), 0)) == (ssize_t)sizeof(r)) {
		metric_add(METRIC_AUDIT_LINES_TOTAL, (int64_t)(r.lines - q->written));
		q->settled += r.lines - q->written;
		q->written = r.lines;
		set_error(q, r.failing);
	}
	if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		child_died(q);
	else
		loop_defer(q->loop, &q->flush);
	if (q->drained != NULL && q->settled == q->taken)
		on_drained(&q->drain);
}

static void
on_writable(void *arg)
{
	struct audit_queue *q = arg;

	loop_defer(q->loop, &q->flush);
}

/* Without one it is tried again. */
static void
child_start(struct audit_queue *q)
{
	q->sent = q->written = 0;
	if (spawned_start(&q->child) && spawned_watch(&q->child))
		return;
	child_gone(q);
	set_error(q, EPIPE);
	restart_later(q);
}

static void
on_restart(void *arg)
{
	struct audit_queue *q = arg;

	child_start(q);
	if (q->child.fd < 0)
		return;
	set_error(q, 0); /* until it says otherwise */
	loop_defer(q->loop, &q->flush);
}

/* --- sending --- */

/* False when it has to wait. */
static bool
send_file(struct audit_queue *q)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = ""};
	char one = 'f';
	struct iovec iov = {&one, 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &q->file, sizeof(q->file));
	q->file_told = sendmsg(q->child.fd, &m, MSG_NOSIGNAL) == 1;
	return q->file_told;
}

/* As many whole lines as fit into a packet, all for the same file. */
static size_t
next_packet(const struct audit_queue *q)
{
	const uint8_t *from = q->lines.data + q->done, *last;
	size_t len = waiting(q);

	if (q->next_count > 0 && q->next[0].at - q->done < len)
		len = q->next[0].at - q->done;
	if (len <= AUDIT_PACKET_MAX)
		return len;
	last = memrchr(from, '\n', AUDIT_PACKET_MAX);
	return (size_t)(last - from) + 1; /* AUDIT_LINE_MAX is less than a packet */
}

static bool
send_lines(struct audit_queue *q)
{
	size_t len = next_packet(q);
	const uint8_t *from = q->lines.data + q->done;

	if (send(q->child.fd, from, len, MSG_NOSIGNAL) != (ssize_t)len)
		return false;
	q->sent += count_lines(from, len);
	q->done += len;
	return true;
}

static void
next_file_now(struct audit_queue *q)
{
	close(q->file);
	q->file = q->next[0].fd;
	memmove(q->next, q->next + 1, --q->next_count * sizeof(q->next[0]));
	q->file_told = false;
}

/* Of two with no line between them, or of too many, the last one is dropped. */
static void
next_file_add(struct audit_queue *q, int fd)
{
	struct next_file *last = q->next_count > 0 ? &q->next[q->next_count - 1] : NULL;

	if (last != NULL && (last->at == q->lines.len || q->next_count == NEXT_MAX)) {
		close(last->fd);
		last->fd = fd;
		return;
	}
	q->next[q->next_count++] = (struct next_file){fd, q->lines.len};
}

static void
drop_sent(struct audit_queue *q)
{
	buf_consume(&q->lines, q->done);
	for (size_t i = 0; i < q->next_count; i++)
		q->next[i].at -= q->done; /* what is behind done is the present file's */
	q->done = 0;
}

/* Memory is given back, or what was sent makes room, when that costs little. */
static void
tidy(struct audit_queue *q)
{
	if (waiting(q) == 0) {
		drop_sent(q);
		if (q->lines.cap > KEEP_MAX)
			buf_fini(&q->lines);
	} else if (q->done > q->lines.len / 2) {
		drop_sent(q);
	}
	count_waiting(q);
}

static void
on_flush(struct defer *d)
{
	struct audit_queue *q = CONTAINER_OF(d, struct audit_queue, flush);
	bool more = true;

	while (more && q->child.fd >= 0) {
		if (q->next_count > 0 && (q->error != 0 || q->done == q->next[0].at))
			next_file_now(q);
		if (q->file >= 0 && !q->file_told)
			more = send_file(q);
		else if (waiting(q) > 0 && q->error == 0)
			more = send_lines(q);
		else
			break;
	}
	if (!more && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		spawned_await_room(&q->child); /* other errors: reading will tell that it has gone */
	tidy(q);
}

bool
audit_queue_put(struct audit_queue *q, const void *line, size_t len, bool spare)
{
	if (waiting(q) + len > (spare ? SPARE : AUDIT_QUEUE_MAX))
		return false;
	if (q->lines.len + len > q->lines.max)
		drop_sent(q);
	if (buf_reserve(&q->lines, len) != ERR_OK) {
		q->lines.error = ERR_OK; /* what is there stays; there may be memory for the next */
		return false;
	}
	buf_put(&q->lines, line, len);
	q->taken++;
	if (!timer_armed(&q->tick))
		tick_later(q);
	count_waiting(q);
	if (q->gathers && waiting(q) < AUDIT_GATHER_MAX) {
		loop_defer_idle(q->loop, &q->flush);
		return true;
	}
	loop_undefer(&q->flush); /* it may be patient yet */
	loop_defer(q->loop, &q->flush);
	return true;
}

/* --- the queue --- */

struct audit_queue *
audit_queue_new(const struct audit_params *p)
{
	struct audit_queue *q = alloc_zero(sizeof(*q));
	const struct spawned_params child = {.loop = p->loop, .type = SOCK_SEQPACKET,
	    .spawn = p->spawn, .spawn_arg = p->arg, .readable = on_readable,
	    .writable = on_writable, .again = on_restart, .arg = q};

	if (q == NULL)
		return NULL;
	q->loop = p->loop;
	q->p = *p;
	q->file = -1;
	spawned_init(&q->child, &child);
	q->tick.fn = on_tick;
	q->drain.fn = on_drained;
	q->flush.fn = on_flush;
	buf_init(&q->lines, AUDIT_QUEUE_MAX);
	return q;
}

void
audit_queue_free(struct audit_queue *q)
{
	if (q == NULL)
		return;
	if (q->child.fd >= 0)
		on_flush(&q->flush);
	if (waiting(q) > 0) {
		metric_add(METRIC_AUDIT_LOST_TOTAL, (int64_t)count_lines(q->lines.data + q->done, waiting(q)));
		LOG(LOG_ERROR, "audit", "stopped with lines that were not written",
		    kv_int("bytes", (int64_t)waiting(q)));
	}
	spawned_fini(&q->child);
	timer_clear(q->loop, &q->tick);
	timer_clear(q->loop, &q->drain);
	loop_undefer(&q->flush);
	if (q->file >= 0)
		close(q->file);
	for (size_t i = 0; i < q->next_count; i++)
		close(q->next[i].fd);
	buf_fini(&q->lines);
	count_waiting(q);
	alloc_free(q);
}

void
audit_queue_drain(struct audit_queue *q, void (*done)(void *arg), void *arg)
{
	int64_t lines = (int64_t)(q->taken - q->settled);

	if (lines > 0)
		LOG(LOG_NOTICE, "audit", "waiting until all is written", kv_int("lines", lines));
	q->drained = done;
	q->drained_arg = arg;
	timer_set(q->loop, &q->drain, clock_now() + (lines > 0 ? AUDIT_DRAIN_NS : 0));
}

void
audit_queue_use(struct audit_queue *q, int fd, bool gathers)
{
	q->gathers = gathers;
	if (fd < 0)
		return;
	if (q->file < 0)
		q->file = fd;
	else
		next_file_add(q, fd);
	if (q->child.fd < 0 && !q->child.waits)
		child_start(q);
	loop_defer(q->loop, &q->flush);
}

uint64_t
audit_queue_lost(struct audit_queue *q)
{
	uint64_t lost = q->lost;

	q->lost = 0;
	return lost;
}

void
audit_queue_told(struct audit_queue *q, uint64_t lost)
{
	q->told = lost;
	q->told_at = q->taken;
}

bool
audit_queue_settled(const struct audit_queue *q)
{
	return q->settled == q->taken;
}

const char *
audit_queue_complaint(const struct audit_queue *q)
{
	if (q->failing != 0)
		return why_text(q->failing);
	return waiting(q) > SPARE / 2 ? why_text(ETIMEDOUT) : NULL;
}
