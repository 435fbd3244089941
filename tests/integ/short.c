/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: reads and writes of files and of stream sockets do no more than KEYFERRY_SHORT bytes at a
 * time, which the kernel may do as well.  Reads of TCP are left alone: there a short one says that no more
 * has come, see epoll(7), and the gateway relies on it.  So are packets, which the kernel does not divide.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name, ...) \
	static ssize_t (*real)(__VA_ARGS__); \
	if (real == NULL) \
		real = (ssize_t (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

enum way { IN, OUT };
enum { PARTS_MAX = 16 };

static size_t
at_most(int fd, size_t len, enum way way)
{
	static size_t most;
	struct stat st;
	int type = 0, family = 0;
	socklen_t size = sizeof(type);

	if (most == 0)
		most = getenv("KEYFERRY_SHORT") != NULL ? strtoul(getenv("KEYFERRY_SHORT"), NULL, 10)
							: (size_t)-1;
	if (len <= most || fstat(fd, &st) != 0)
		return len;
	if (S_ISSOCK(st.st_mode) && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && type == SOCK_STREAM &&
	    (family == AF_UNIX || way == OUT))
		return most;
	return S_ISREG(st.st_mode) ? most : len;
}

ssize_t
read(int fd, void *to, size_t len)
{
	REAL("read", int, void *, size_t);
	return real(fd, to, at_most(fd, len, IN));
}

ssize_t
write(int fd, const void *from, size_t len)
{
	REAL("write", int, const void *, size_t);
	return real(fd, from, at_most(fd, len, OUT));
}

ssize_t
recv(int fd, void *to, size_t len, int flags)
{
	REAL("recv", int, void *, size_t, int);
	return real(fd, to, at_most(fd, len, IN), flags);
}

ssize_t
send(int fd, const void *from, size_t len, int flags)
{
	REAL("send", int, const void *, size_t, int);
	return real(fd, from, at_most(fd, len, OUT), flags);
}

ssize_t
pread64(int fd, void *to, size_t len, off_t at)
{
	REAL("pread64", int, void *, size_t, off_t);
	return real(fd, to, at_most(fd, len, IN), at);
}

ssize_t
pwrite64(int fd, const void *from, size_t len, off_t at)
{
	REAL("pwrite64", int, const void *, size_t, off_t);
	return real(fd, from, at_most(fd, len, OUT), at);
}

/* The same message with less in it, in parts that the caller owns. */
static struct msghdr
less(int fd, const struct msghdr *m, struct iovec parts[PARTS_MAX], enum way way)
{
	struct msghdr shorter = *m;
	size_t len = 0, left;

	if (m->msg_iovlen > PARTS_MAX)
		return shorter;
	for (size_t i = 0; i < m->msg_iovlen; i++)
		len += m->msg_iov[i].iov_len;
	left = at_most(fd, len, way);
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		parts[i] = m->msg_iov[i];
		if (parts[i].iov_len > left)
			parts[i].iov_len = left;
		left -= parts[i].iov_len;
	}
	shorter.msg_iov = parts;
	return shorter;
}

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct iovec parts[PARTS_MAX];
	struct msghdr shorter = less(fd, m, parts, OUT);

	REAL("sendmsg", int, const struct msghdr *, int);
	return real(fd, &shorter, flags);
}

ssize_t
recvmsg(int fd, struct msghdr *m, int flags)
{
	struct iovec parts[PARTS_MAX], *own = m->msg_iov;
	ssize_t n;

	REAL("recvmsg", int, struct msghdr *, int);
	*m = less(fd, m, parts, IN);
	n = real(fd, m, flags);
	m->msg_iov = own;
	return n;
}
