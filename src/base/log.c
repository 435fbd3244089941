/* SPDX-License-Identifier: Apache-2.0 */
/* The log writer. */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/metric.h"
#include "base/text.h"

enum { LINE_MAX_LEN = PIPE_BUF, VALUE_MAX = 512 };

static enum log_level level_now = LOG_INFO;
static int out_fd = STDERR_FILENO;
static bool out_time = true;
static enum {
	SINK_NEW, /* not looked at yet */
	SINK_FILE, SINK_SOCKET, SINK_OTHER,
} sink;
static unsigned long long lost; /* lines since the last one that got through */

static const char *const level_names[] = {"error", "warn", "notice", "info", "debug"};

void
log_set_level(enum log_level level)
{
	level_now = level;
}

enum log_level
log_get_level(void)
{
	return level_now;
}

bool
log_parse_level(const char *s, enum log_level *out)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

void
log_set_output(int fd, bool with_time)
{
	out_fd = fd;
	out_time = with_time;
	sink = SINK_NEW;
}

static bool
needs_quotes(const char *s, size_t len)
{
	if (len == 0)
		return true;
	for (size_t i = 0; i < len; i++)
		if (s[i] == ' ' || s[i] == '=')
			return true;
	return false;
}

static void
put_text(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

static void
put_kv(struct buf *b, const struct log_kv *kv)
{
	const char *s = kv->text != NULL ? kv->text : "";
	size_t len;

	put_text(b, " ");
	put_text(b, kv->key);
	put_text(b, "=");
	if (kv->kind == LOG_KV_INT) {
		text_int(b, kv->num);
		return;
	}
	len = kv->kind == LOG_KV_BYTES ? (size_t)kv->num : strlen(s);
	if (len > VALUE_MAX)
		len = VALUE_MAX;
	if (needs_quotes(s, len)) {
		buf_put(b, "\"", 1);
		text_escape(b, s, len);
		buf_put(b, "\"", 1);
	} else {
		text_escape(b, s, len);
	}
}

static void
look_at_sink(void)
{
	struct stat st;

	if (sink != SINK_NEW)
		return;
	if (fstat(out_fd, &st) != 0)
		st.st_mode = 0;
	sink = S_ISREG(st.st_mode) ? SINK_FILE : S_ISSOCK(st.st_mode) ? SINK_SOCKET : SINK_OTHER;
}

/*
 * Waits for no reader: one that has stalled must not stop the loop.  (A file's disk can: who writes to
 * one has the kernel's cache between.)  The descriptor may be shared, so it stays as it is; a pipe
 * that is ready takes a whole line (LINE_MAX_LEN is at most PIPE_BUF).
 */
static ssize_t
write_some(const char *line, size_t len)
{
	struct pollfd p = {.fd = out_fd, .events = POLLOUT};

	if (sink == SINK_SOCKET)
		return send(out_fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sink == SINK_FILE || poll(&p, 1, 0) == 1)
		return write(out_fd, line, len);
	return 0;
}

/* False: not, or not to its end; the next one begins on a line of its own all the same. */
static bool
write_now(const char *line, size_t len)
{
	static bool cut;
	size_t done = 0;
	ssize_t n;

	look_at_sink();
	if (cut && write_some("\n", 1) == 1)
		cut = false;
	while (!cut && done < len) {
		n = write_some(line + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	cut = cut || (done > 0 && done < len);
	return done == len;
}

void
log_line(enum log_level level, const char *subject, const char *text, const struct log_kv *kv)
{
	static uint8_t line[LINE_MAX_LEN]; /* without memory there is all the more to say */
	struct buf b = {.data = line, .cap = sizeof(line), .max = sizeof(line)};
	int saved = errno;
	char when[32];

	if (out_time) {
		text_time(when, clock_wall_ms());
		put_text(&b, when);
		put_text(&b, " ");
	}
	put_text(&b, level_names[level]);
	put_text(&b, " ");
	put_text(&b, subject);
	put_text(&b, ": ");
	put_text(&b, text);
	if (lost > 0)
		buf_printf(&b, " lines-lost-before=%llu", lost);
	for (; kv->kind != LOG_KV_END; kv++)
		put_kv(&b, kv);
	b.error = ERR_OK; /* a line over the ceiling is cut, not lost */
	if (b.len == b.max)
		b.len--;
	buf_put(&b, "\n", 1);
	if (write_now((const char *)b.data, b.len)) {
		lost = 0;
	} else {
		lost++;
		metric_inc(METRIC_LOG_LOST_TOTAL);
	}
	errno = saved;
}
