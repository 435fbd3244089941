/* SPDX-License-Identifier: Apache-2.0 */
/* The audit child's process: appends lines to a file, and waits for the disk so that nobody else has
 * to. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fault.h"

#include "audit_queue.h"

enum {
	AGAIN_MS = 200,
	LAST_TRIES = 25, /* when the gateway has gone and the disk is full */
};

struct child {
	int fd, file;
	struct audit_report report;
	bool closed; /* the gateway has gone */
};

static void
tell(struct child *c)
{
	/* a report that is lost is made up for by the next one */
	(void)!send(c->fd, &c->report, sizeof(c->report), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Waits a little, or until the gateway has gone. */
static void
pause_a_little(struct child *c)
{
	const struct timespec t = {.tv_nsec = AGAIN_MS * 1000000L};
	struct pollfd p = {.fd = c->fd};

	nanosleep(&t, NULL);
	if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0)
		c->closed = true;
}

static ssize_t
append(const struct child *c, const char *data, size_t len)
{
	if (fault_hit(FAULT_AUDIT_WRITE)) {
		errno = ENOSPC;
		return -1;
	}
	return write(c->file, data, len);
}

/* Goes on until all is written: a line is never left half done while there is somebody to do it. */
static void
append_all(struct child *c, const char *data, size_t len)
{
	unsigned tries = 0;
	ssize_t n;

	while (len > 0) {
		n = append(c, data, len);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			c->report.failing = 0;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (c->closed && ++tries == LAST_TRIES)
			return;
		c->report.failing = n < 0 ? errno : EIO;
		tell(c);
		pause_a_little(c);
	}
}

static uint64_t
count_lines(const char *data, size_t len)
{
	uint64_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += data[i] == '\n';
	return count;
}

/* A packet with a descriptor brings the file for what follows. */
static void
take_file(struct child *c, struct msghdr *m)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);

	if (h == NULL || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return;
	if (c->file >= 0)
		close(c->file);
	memcpy(&c->file, CMSG_DATA(h), sizeof(c->file));
}

/* False when there is no more. */
static bool
take_packet(struct child *c)
{
	static char data[AUDIT_PACKET_MAX];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	take_file(c, &m);
	if (n == 0)
		return false;
	if (m.msg_controllen == 0 && c->file >= 0) {
		append_all(c, data, (size_t)n);
		c->report.lines += count_lines(data, (size_t)n);
		tell(c);
	}
	return true;
}

int
audit_child_main(int fd)
{
	struct child c = {.fd = fd, .file = -1};
	struct pollfd p = {.fd = fd, .events = POLLIN};

	/* what was handed over is written even if the gateway is killed */
	child_settle("keyferry-audit", fd, false);
	do
		(void)!poll(&p, 1, -1);
	while (take_packet(&c));
	return EXIT_SUCCESS;
}
