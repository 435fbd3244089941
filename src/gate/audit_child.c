/* SPDX-License-Identifier: Apache-2.0 */
/* The audit child's process: appends lines to a file, and waits for the disk so that nobody else has
 * to. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fault.h"

#include "audit_queue.h"

enum {
	AGAIN_MS = 200,
	LAST_TRIES = 25, /* when the gateway has gone and the disk is full */
	/* all that it can have sent before it heard that writing fails */
	LINES_MAX = AUDIT_QUEUE_MAX + 1024 * 1024,
};

struct child {
	int fd, file;
	struct audit_report report;
	bool untold; /* the report did not fit */
	bool closed; /* the gateway has gone */
	bool fresh;  /* the next line is the first one for this file */
	size_t len, done;
	char lines[LINES_MAX]; /* up to done they are written */
};

static void
tell(struct child *c)
{
	c->untold = send(c->fd, &c->report, sizeof(c->report), MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
}

static bool
same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	    sa.st_ino == sb.st_ino;
}

/* As one does whose writer came to its end there.  Of a file that may not be read nothing is known. */
static bool
ends_within_a_line(int file)
{
	struct stat st;
	char last;

	return fstat(file, &st) == 0 && st.st_size > 0 &&
	    pread(file, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

static bool
is_within_a_line(const struct child *c)
{
	return c->done > 0 && c->lines[c->done - 1] != '\n';
}

/*
 * A packet with a descriptor brings the file for what follows, and for what the old one does not
 * take: from the start of a line, unless it is the old one, opened anew, which has the beginning.
 */
static void
take_file(struct child *c, struct msghdr *m)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	int old = c->file;

	if (h == NULL || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&c->file, CMSG_DATA(h), sizeof(c->file));
	if (old >= 0 && !same_file(old, c->file))
		while (is_within_a_line(c))
			c->done--;
	c->fresh = !is_within_a_line(c);
	if (old >= 0)
		close(old);
}

static bool
has_room(const struct child *c)
{
	return sizeof(c->lines) - c->len >= AUDIT_PACKET_MAX;
}

/* False when there is no more. */
static bool
take_packet(struct child *c)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {c->lines + c->len, AUDIT_PACKET_MAX};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);

	if (n < 0) /* a reset is told once, before what is still to be read */
		return errno == EAGAIN || errno == EINTR || errno == ECONNRESET;
	take_file(c, &m);
	if (n > 0 && m.msg_controllen == 0 && c->file >= 0)
		c->len += (size_t)n;
	return n > 0;
}

/* Waits a little, then reads on: there may be another file. */
static void
pause_a_little(struct child *c)
{
	const struct timespec t = {.tv_nsec = AGAIN_MS * 1000000L};
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	nanosleep(&t, NULL);
	while (poll(&p, 1, 0) == 1) {
		if ((p.revents & (POLLHUP | POLLERR)) != 0)
			c->closed = true;
		if ((p.revents & POLLIN) == 0 || !has_room(c) || !take_packet(c))
			return;
	}
}

/* Nobody will ever read what goes there. */
static bool
is_removed(int file)
{
	struct stat st;

	return fstat(file, &st) == 0 && st.st_nlink == 0;
}

static ssize_t
append(const struct child *c, const char *data, size_t len)
{
	if (fault_hit(FAULT_AUDIT_WRITE)) {
		errno = ENOSPC;
		return -1;
	}
	if (is_removed(c->file)) {
		errno = ENOENT;
		return -1;
	}
	return write(c->file, data, len);
}

/* What is not written yet, on a line of its own. */
static ssize_t
append_rest(struct child *c)
{
	ssize_t n = c->fresh && ends_within_a_line(c->file) ? append(c, "\n", 1) : 1;

	if (n != 1)
		return n;
	c->fresh = false;
	return append(c, c->lines + c->done, c->len - c->done);
}

static uint64_t
count_lines(const char *data, size_t len)
{
	uint64_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += data[i] == '\n';
	return count;
}

/* Goes on until all is written: a line is never left half done while there is somebody to do it. */
static void
append_all(struct child *c)
{
	unsigned tries = 0;
	ssize_t n;

	while (c->done < c->len) {
		n = append_rest(c);
		if (n > 0) {
			c->done += (size_t)n;
			c->report.failing = 0;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (c->closed && ++tries == LAST_TRIES)
			break;
		c->report.failing = n < 0 ? errno : EIO;
		tell(c);
		pause_a_little(c);
	}
	if (c->len > 0) {
		c->report.lines += count_lines(c->lines, c->done);
		tell(c);
	}
	c->len = c->done = 0;
}

int
audit_child_main(int fd)
{
	static struct child c;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	c.fd = fd;
	c.file = -1;
	/* what was handed over is written even if the gateway is killed */
	child_settle("keyferry-audit", fd, false);
	do {
		append_all(&c);
		if (c.untold)
			tell(&c);
		(void)!poll(&p, 1, c.untold ? AGAIN_MS : -1);
	} while (take_packet(&c));
	return EXIT_SUCCESS;
}
