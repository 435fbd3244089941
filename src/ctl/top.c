/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `keyferryctl top': the daemon tells its numbers each second; on a terminal each set replaces the
 * one before it, with the rates between the two.  Elsewhere one set is printed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

#include "base/buf.h"
#include "ctl.h"

enum { FRAME_MAX = 65536, CHUNK = 65536, CTRL_C = 3, NAME_WIDTH = 24, KEY_LEN_MAX = 64 };
#define ENTER "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"

struct top {
	yajl_val now, before; /* before NULL: there are no rates yet */
	struct buf frame;     /* lines */
	struct buf in;
};

static volatile sig_atomic_t ended;

static long long
number(yajl_val v, const char *key)
{
	const char *path[] = {key, NULL};

	v = v != NULL ? yajl_tree_get(v, path, yajl_t_number) : NULL;
	return YAJL_IS_INTEGER(v) ? YAJL_GET_INTEGER(v) : 0;
}

/* "" when it is no text. */
static const char *
name_of(yajl_val operation)
{
	static const char *path[] = {"operation", NULL};
	const char *name = YAJL_GET_STRING(yajl_tree_get(operation, path, yajl_t_string));

	return name != NULL ? name : "";
}

/* How much a second, or "-". */
static const char *
rate(const struct top *t, long long now, long long before, char out[24])
{
	long long ms = number(t->now, "uptime-ms") - number(t->before, "uptime-ms");

	if (t->before == NULL || ms <= 0 || now < before)
		snprintf(out, 24, "-");
	else
		snprintf(out, 24, "%.1f", (double)(now - before) * 1000.0 / (double)ms);
	return out;
}

static const char *
rate_of(const struct top *t, const char *key, char out[24])
{
	return rate(t, number(t->now, key), number(t->before, key), out);
}

static void
put_head(struct top *t)
{
	static const char *version[] = {"version", NULL}, *draining[] = {"draining", NULL};
	long long up = number(t->now, "uptime-ms") / 1000;
	char one[24], two[24];

	buf_printf(&t->frame, "keyferry %s   up %lldd %02lld:%02lld:%02lld   %s\n",
	    ctl_cell(yajl_tree_get(t->now, version, yajl_t_any)), up / 86400, up / 3600 % 24,
	    up / 60 % 60, up % 60,
	    YAJL_IS_TRUE(yajl_tree_get(t->now, draining, yajl_t_any)) ? "draining" : "serving");
	buf_printf(&t->frame, "sessions       %lld of %lld   handshakes %lld   requests under way %lld\n",
	    number(t->now, "sessions"), number(t->now, "sessions-limit"),
	    number(t->now, "handshakes"), number(t->now, "requests"));
	buf_printf(&t->frame, "cache          keys %lld   hits/s %s   misses/s %s   alarms %lld\n",
	    number(t->now, "cache-keys"), rate_of(t, "cache-hits", one),
	    rate_of(t, "cache-misses", two), number(t->now, "integrity-alarms"));
	buf_printf(&t->frame, "storage        %s   waiting %lld   commits/s %s   restarts %lld\n",
	    number(t->now, "storage-up") != 0 ? "up" : "down", number(t->now, "storage-waiting"),
	    rate_of(t, "storage-commits", one), number(t->now, "storage-restarts"));
	buf_printf(&t->frame, "loop lag       %.1f ms\n",
	    (double)number(t->now, "loop-lag-us") / 1000.0);
}

static void
put_key_managers(struct top *t)
{
	static const char *path[] = {"key-managers", NULL};
	yajl_val v = yajl_tree_get(t->now, path, yajl_t_object);
	char key[KEY_LEN_MAX];

	buf_printf(&t->frame, "key managers  ");
	for (size_t i = 0; v != NULL && i < v->u.object.len; i++) {
		snprintf(key, sizeof(key), "%s", v->u.object.keys[i]);
		buf_printf(&t->frame, " %s %lld  ", key, number(v, key));
	}
	buf_printf(&t->frame, "%s\n",
	    v == NULL || v->u.object.len == 0 ? " none" : "");
}

static yajl_val
operation_at(yajl_val document, const char *name)
{
	static const char *path[] = {"operations", NULL};
	yajl_val all = document != NULL ? yajl_tree_get(document, path, yajl_t_array) : NULL;

	for (size_t i = 0; all != NULL && i < all->u.array.len; i++)
		if (strcmp(name_of(all->u.array.values[i]), name) == 0)
			return all->u.array.values[i];
	return NULL;
}

static void
put_operations(struct top *t)
{
	static const char *path[] = {"operations", NULL};
	yajl_val all = yajl_tree_get(t->now, path, yajl_t_array), v, was;
	char one[24], two[24];

	buf_printf(&t->frame, "\n%-*s %10s %10s %12s %12s\n", NAME_WIDTH, "operation", "ok/s",
	    "failed/s", "ok", "failed");
	for (size_t i = 0; all != NULL && i < all->u.array.len; i++) {
		v = all->u.array.values[i];
		was = operation_at(t->before, name_of(v));
		buf_printf(&t->frame, "%-*.*s %10s %10s %12lld %12lld\n", NAME_WIDTH, NAME_WIDTH,
		    name_of(v),
		    rate(t, number(v, "ok"), number(was, "ok"), one),
		    rate(t, number(v, "failed"), number(was, "failed"), two), number(v, "ok"),
		    number(v, "failed"));
	}
}

static void
make_frame(struct top *t)
{
	buf_reset(&t->frame);
	put_head(t);
	put_key_managers(t);
	put_operations(t);
}

/* As much of the frame as the window has room for. */
static void
draw(const struct top *t)
{
	struct winsize w = {.ws_row = 24, .ws_col = 80};
	const char *at = (const char *)t->frame.data, *stop = at + t->frame.len, *end;
	size_t len;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_row == 0 || w.ws_col == 0)
		w = (struct winsize){.ws_row = 24, .ws_col = 80};
	printf("\033[H");
	for (unsigned row = 0; row < w.ws_row && at < stop; row++, at = end + 1) {
		end = memchr(at, '\n', (size_t)(stop - at));
		if (end == NULL)
			break;
		len = (size_t)(end - at);
		printf("%s%.*s\033[K", row > 0 ? "\n" : "",
		    (int)(len < w.ws_col ? len : w.ws_col), at);
	}
	printf("\033[J");
	fflush(stdout);
}

/* The last whole document of what has come.  False: the daemon said goodbye. */
static bool
take_documents(struct top *t)
{
	uint8_t *end;
	yajl_val v;

	while (t->in.len > 0 && (end = memchr(t->in.data, '\n', t->in.len)) != NULL) {
		*end = '\0';
		if (ctl_status((const char *)t->in.data) >= 0)
			return false;
		v = yajl_tree_parse((const char *)t->in.data, NULL, 0);
		buf_consume(&t->in, (size_t)(end - t->in.data) + 1);
		if (v == NULL)
			continue;
		yajl_tree_free(t->before);
		t->before = t->now;
		t->now = v;
		make_frame(t);
		draw(t);
	}
	return true;
}

static void
on_signal(int sig)
{
	if (sig != SIGWINCH)
		ended = 1;
}

/* q and ^C end it; so do signals and the end of the terminal. */
static bool
wants_to_leave(void)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0)
		return n == 0 || errno != EINTR;
	return memchr(keys, 'q', (size_t)n) != NULL || memchr(keys, CTRL_C, (size_t)n) != NULL;
}

static int
watch(struct top *t, int fd, const sigset_t *open)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	ssize_t n;

	while (!ended) {
		if (ppoll(fds, 2, NULL, open) < 0) {
			if (errno != EINTR)
				return CTL_UNREACHABLE;
			draw(t); /* the window may have another size */
			continue;
		}
		if (fds[1].revents != 0 && wants_to_leave())
			return CTL_OK;
		if (fds[0].revents == 0)
			continue;
		if (buf_reserve(&t->in, CHUNK) != ERR_OK)
			return CTL_UNREACHABLE;
		n = recv(fd, t->in.data + t->in.len, CHUNK, 0);
		if (n <= 0)
			return CTL_UNREACHABLE;
		t->in.len += (size_t)n;
		if (!take_documents(t))
			return CTL_UNREACHABLE;
	}
	return CTL_OK;
}

/* Whatever ends it, the terminal is as it was. */
static int
live(struct top *t, int fd)
{
	const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
	struct sigaction act = {.sa_handler = on_signal};
	struct termios was, raw;
	sigset_t blocked, before;
	int status;

	if (tcgetattr(STDIN_FILENO, &was) != 0)
		return CTL_UNREACHABLE;
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &act, NULL);
		sigaddset(&blocked, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, &before);
	raw = was;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	printf(ENTER);
	status = watch(t, fd, &before);
	printf(LEAVE);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &was);
	if (status != CTL_OK)
		fprintf(stderr, "keyferryctl: the daemon closed the connection\n");
	return status;
}

static bool
show_once(const char *document)
{
	struct top t = {.now = yajl_tree_parse(document, NULL, 0)};

	if (!YAJL_IS_OBJECT(t.now)) {
		yajl_tree_free(t.now);
		return false;
	}
	buf_init(&t.frame, FRAME_MAX);
	make_frame(&t);
	fwrite(t.frame.data, 1, t.frame.len, stdout);
	buf_fini(&t.frame);
	yajl_tree_free(t.now);
	return true;
}

int
ctl_top(const struct ctl_call *call)
{
	struct ctl_call again = *call;
	struct top t = {0};
	int fd, status;

	if (call->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		snprintf(again.request, sizeof(again.request), "top\tonce=yes");
		again.show = show_once;
		return ctl_talk(&again);
	}
	fd = ctl_dial(call, &status);
	if (fd < 0)
		return status;
	buf_init(&t.frame, FRAME_MAX);
	buf_init(&t.in, CTL_ANSWER_MAX);
	status = ctl_send(call, fd) ? live(&t, fd) : CTL_UNREACHABLE;
	yajl_tree_free(t.now);
	yajl_tree_free(t.before);
	buf_fini(&t.frame);
	buf_fini(&t.in);
	close(fd);
	return status;
}
