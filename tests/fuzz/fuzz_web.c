/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the HTTP server of the stats socket.  The first byte says in what pieces the rest comes.
 * What comes back are whole answers, whatever was asked.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "net/web.h"

enum { INPUT_MAX = 32 << 10, OUT_MAX = 4 << 20, TURNS = 3 };

static struct loop *loop;
static unsigned asked;

static void
answer(void *user, const struct web_request *rq, struct web_answer *a)
{
	(void)user;
	asked++;
	MUST(rq->path[0] == '/' && strpbrk(rq->path, "? \r\n") == NULL);
	MUST(rq->accept == NULL || strpbrk(rq->accept, "\r\n") == NULL);
	if (strcmp(rq->path, "/none") == 0)
		a->status = 404;
	buf_printf(&a->body, "%s", strcmp(rq->path, "/empty") == 0 ? "" : "hello\n");
}

/* The length of the answer at the beginning: to a HEAD nothing follows the head. */
static size_t
answer_len(const char *at, size_t len)
{
	const char *end = strstr(at, "\r\n\r\n"), *field = strstr(at, "\r\nContent-Length: ");
	size_t head, body = 0;

	MUST(end != NULL && strncmp(at, "HTTP/1.1 ", 9) == 0);
	head = (size_t)(end - at) + 4;
	MUST(field != NULL && field < end && sscanf(field + 18, "%zu\r", &body) == 1);
	if (head == len || strncmp(at + head, "HTTP/1.1 ", 9) == 0)
		return head;
	MUST(head + body <= len);
	return head + body;
}

static size_t
talk(struct web *w, const uint8_t *data, size_t size, size_t piece, char *out)
{
	size_t got = 0, n;
	ssize_t r = -1;
	int fd[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
	web_accept(w, fd[0]);
	while (size > 0) {
		n = size < piece ? size : piece;
		if (send(fd[1], data, n, MSG_NOSIGNAL) != (ssize_t)n)
			break;
		data += n;
		size -= n;
		for (int i = 0; i < TURNS; i++)
			loop_turn(loop, false);
		while ((r = recv(fd[1], out + got, OUT_MAX - got, 0)) > 0)
			got += (size_t)r;
	}
	while (r != 0) { /* until its time is over */
		clock_test_advance(NS_PER_S);
		loop_turn(loop, false);
		r = recv(fd[1], out + got, OUT_MAX - got, 0);
		got += r > 0 ? (size_t)r : 0;
	}
	close(fd[1]);
	return got;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct web_params p = {.answer = answer, .answer_max = 1 << 16};
	static char out[OUT_MAX + 1];
	unsigned answers = 0;
	struct web *w;
	size_t got;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (loop == NULL) {
		clock_test_freeze(1760000000);
		loop = loop_new();
		MUST(loop != NULL);
	}
	asked = 0;
	p.loop = loop;
	w = web_new(&p);
	MUST(w != NULL);
	got = talk(w, data + 1, size - 1, 1 + (size_t)data[0] * data[0], out);
	out[got] = '\0';
	MUST(strlen(out) == got);
	for (size_t at = 0; at < got; answers++)
		at += answer_len(out + at, got - at);
	MUST(answers >= asked && answers <= asked + INPUT_MAX / 16);
	web_free(w);
	loop_turn(loop, false);
	return 0;
}
