/* SPDX-License-Identifier: Apache-2.0 */
/* A BIO over a socket that asks the kernel only when there may be something. */
#include "sock.h"

#include <errno.h>
#include <sys/socket.h>

static int
sock_read(BIO *bio, char *out, int len)
{
	struct sock *s = BIO_get_data(bio);
	ssize_t n = -1;

	BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY | BIO_FLAGS_IN_EOF);
	errno = EAGAIN;
	if (!s->empty) {
		do
			n = recv(s->fd, out, (size_t)len, 0);
		while (n < 0 && errno == EINTR);
	}
	if (n > 0)
		s->empty = n < len && !s->left;
	else if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	else if (errno == EAGAIN) {
		s->empty = true;
		BIO_set_retry_read(bio);
	}
	return (int)n;
}

static int
sock_write(BIO *bio, const char *data, int len)
{
	const struct sock *s = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = send(s->fd, data, (size_t)len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	return (int)n;
}

static long
sock_ctrl(BIO *bio, int what, long number, void *arg)
{
	(void)number, (void)arg;
	switch (what) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

static BIO_METHOD *
make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "socket");

	if (m != NULL && BIO_meth_set_read(m, sock_read) == 1 &&
	    BIO_meth_set_write(m, sock_write) == 1 && BIO_meth_set_ctrl(m, sock_ctrl) == 1)
		return m;
	BIO_meth_free(m);
	return NULL;
}

BIO *
sock_bio(struct sock *s)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (method == NULL)
		method = make_method();
	bio = method != NULL ? BIO_new(method) : NULL;
	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	return bio;
}

void
sock_edge(struct sock *s, bool closed)
{
	s->empty = false;
	s->left |= closed;
}
