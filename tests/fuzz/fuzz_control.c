/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the control socket's wire and what commands make of their arguments, the criteria for keys
 * among them.  The first byte says in how many pieces the rest comes, and when the client stops.
 * Whatever comes, each line of the answer is a JSON document.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/control.h"
#include "fuzz.h"
#include "keys_select.h"
#include "net/json_read.h"
#include "place.h"

enum { ARENA_MAX = 1 << 16, OUT_MAX = 1 << 20, TURNS = 4, INPUT_MAX = 32 << 10 };

static struct loop *loop;
static struct control *control;
static struct sockaddr_un sun = {.sun_family = AF_UNIX};
static unsigned begun, ended;

/* Answers with what it understood. */
static void
run_keys(struct control_call *call)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct selection s;
	const char *wrong;
	struct json j;

	MUST(a != NULL);
	begun++;
	wrong = select_read(&s, call, a);
	if (wrong == NULL) {
		MUST(s.count <= SELECT_TERMS_MAX && select_terms(&s, s.state) <= SELECT_TERMS_MAX);
		json_init(&j, &call->out);
		json_object(&j, NULL);
		json_int(&j, "state", s.state);
		json_int(&j, "since", s.unused_since);
		json_object_end(&j);
	}
	control_done(call, wrong == NULL ? ERR_OK : ERR_INVALID_FIELD, wrong);
	arena_free(a);
}

static void
run_echo(struct control_call *call)
{
	uint64_t max = 0;
	struct json j;

	begun++;
	if (!control_number(call, "max", 1000, 7, &max)) {
		control_done(call, ERR_INVALID_FIELD, NULL);
		return;
	}
	MUST(max <= 1000 && call->argc <= CONTROL_ARGS_MAX);
	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_text(&j, "name", control_arg(call, "name"));
	json_array(&j, "words");
	for (size_t i = 0; control_word(call, i) != NULL; i++)
		json_text(&j, NULL, control_word(call, i));
	json_array_end(&j);
	for (size_t i = 0; i < call->argc; i++)
		json_bytes(&j, "argument", call->argv[i], strlen(call->argv[i]));
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}

static const struct control_command commands[] = {
    {"echo", "[name=TEXT] [max=N] [WORD]...", "answers with its arguments", CONTROL_LOOKS, run_echo},
    {"keys list", SELECT_USAGE, "reads criteria", CONTROL_CHANGES, run_keys},
    {NULL, NULL, NULL, CONTROL_LOOKS, NULL},
};

static void
on_ended(void *user, const struct control_call *call, long uid, long pid, enum err e)
{
	(void)user, (void)call, (void)uid, (void)e;
	MUST(pid == (long)getpid());
	ended++;
}

static void
start(void)
{
	static char path[PLACE_PATH_MAX];
	const struct control_params p = {.path = path, .mode = 0600, .commands = commands,
	    .ended = on_ended, .timeout_ns = 10 * NS_PER_S};
	const char *why;

	clock_test_freeze(1700000000);
	log_set_level(LOG_ERROR);
	place_path(path, "c.sock");
	memcpy(sun.sun_path, path, strlen(path));
	loop = loop_new();
	MUST(loop != NULL && control_new(&control, loop, &p, &why) == ERR_OK);
}

static enum err
on_value(void *arg, const struct json_value *v)
{
	(void)v;
	++*(unsigned *)arg;
	return ERR_OK;
}

static void
check_answers(const char *at, size_t len)
{
	static const char *const paths[] = {"status", NULL};
	const char *end = at + len, *line;
	unsigned statuses = 0;
	struct json_read want = {.paths = paths, .value = on_value, .arg = &statuses};
	enum err e;

	for (; at < end; at = line + 1) {
		line = memchr(at, '\n', (size_t)(end - at));
		MUST(line != NULL);
		e = json_read(&want, at, (size_t)(line - at));
		MUST(e == ERR_OK || e == ERR_REQUEST_TOO_LARGE); /* the reader's ceiling, not ours */
	}
	MUST(statuses >= ended);
}

/* Says it in pieces of a length, and collects what is answered. */
static size_t
talk(int fd, const uint8_t *data, size_t size, size_t piece, char *out)
{
	size_t got = 0, n;
	ssize_t r;

	while (size > 0) {
		n = size < piece ? size : piece;
		r = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (r <= 0)
			break;
		data += r;
		size -= (size_t)r;
		for (int i = 0; i < TURNS; i++)
			loop_turn(loop, false);
		while ((r = recv(fd, out + got, OUT_MAX - got, MSG_DONTWAIT)) > 0)
			got += (size_t)r;
	}
	shutdown(fd, SHUT_WR);
	while ((r = recv(fd, out + got, OUT_MAX - got, MSG_DONTWAIT)) != 0) {
		if (r > 0)
			got += (size_t)r;
		else
			clock_test_advance(NS_PER_S);
		loop_turn(loop, false);
	}
	return got;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[OUT_MAX];
	int fd;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (loop == NULL)
		start();
	begun = ended = 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	check_answers(out, talk(fd, data + 1, size - 1, 1 + (size_t)data[0] * data[0], out));
	close(fd);
	for (int i = 0; i < TURNS; i++)
		loop_turn(loop, false);
	MUST(begun <= ended);
	return 0;
}
