/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the daemon: one request, and its answer line by line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

#include "base/buf.h"
#include "ctl.h"
#include "daemon/config.h"

/* Longer than the daemon's own limit, so that it is the daemon that tells. */
enum { SILENCE_MAX_S = 120, CHUNK = 65536 };

#define DEFAULT_CONFIG "/etc/keyferry/keyferryd.conf"
#define DEFAULT_SOCKET "/run/keyferry/control.sock"

const char *
ctl_config_path(const struct ctl_call *call)
{
	return call->config != NULL ? call->config : DEFAULT_CONFIG;
}

/*
 * Where the daemon listens.  The default configuration need not be readable, or be there: then
 * it is the default socket, as it is, and said, when it is not good; one that was named must be good.
 */
static bool
find_socket(const struct ctl_call *call, struct sockaddr_un *sun)
{
	const struct config *config = NULL;
	const char *path = call->socket;
	struct buf errors;
	int n;

	buf_init(&errors, 65536);
	if (path == NULL && config_load(ctl_config_path(call), &config, &errors) == ERR_OK)
		path = config->control_socket;
	if (path == NULL && config == NULL && (call->config != NULL || access(DEFAULT_CONFIG, R_OK) == 0))
		config_tell(ctl_config_path(call), &errors);
	if (path == NULL && call->config != NULL) {
		buf_fini(&errors);
		return false;
	}
	sun->sun_family = AF_UNIX;
	n = snprintf(
	    sun->sun_path, sizeof(sun->sun_path), "%s", path != NULL ? path : DEFAULT_SOCKET);
	if (n >= (int)sizeof(sun->sun_path))
		fprintf(stderr, "keyferryctl: the socket's path is too long\n");
	buf_fini(&errors);
	config_unref(config);
	return n < (int)sizeof(sun->sun_path);
}

static int
dial(const struct sockaddr_un *sun)
{
	struct timeval limit = {.tv_sec = SILENCE_MAX_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	    connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		return fd;
	fprintf(stderr, "keyferryctl: %s: %s\n", sun->sun_path,
	    errno == ECONNREFUSED || errno == ENOENT ? "no daemon answers here" : strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The last line of an answer: its status, or -1 when the line is another document. */
int
ctl_status(const char *line)
{
	static const char *status_path[] = {"status", NULL}, *error_path[] = {"error", NULL};
	yajl_val tree = yajl_tree_parse(line, NULL, 0), v;
	const char *text;
	int status = -1;

	v = tree != NULL ? yajl_tree_get(tree, status_path, yajl_t_string) : NULL;
	text = v != NULL ? v->u.string : "";
	if (strcmp(text, "ok") == 0)
		status = CTL_OK;
	else if (strcmp(text, "error") == 0)
		status = CTL_REFUSED;
	else if (strcmp(text, "unknown") == 0)
		status = CTL_UNREACHABLE;
	if (status > CTL_OK) {
		ctl_progress_end();
		v = yajl_tree_get(tree, error_path, yajl_t_string);
		fprintf(stderr, "keyferryctl: %s\n", v != NULL ? v->u.string : "refused");
	}
	yajl_tree_free(tree);
	return status;
}

/* A document, which is never one of the shape of a status line. */
static void
show(const struct ctl_call *call, const char *line)
{
	bool shown = !call->json &&
	    ((call->show != NULL && call->show(line)) || (call->lines && ctl_progress(line)) ||
		ctl_render(line));

	if (!shown)
		printf("%s\n", line);
	fflush(stdout); /* progress is wanted when it happens */
}

/* Shows whole lines as they come.  The exit status when the last one came, or -1. */
static int
take_lines(const struct ctl_call *call, struct buf *in)
{
	uint8_t *end;
	int status;

	while (in->len > 0 && (end = memchr(in->data, '\n', in->len)) != NULL) {
		*end = '\0';
		status = ctl_status((const char *)in->data);
		if (status >= 0)
			return status;
		show(call, (const char *)in->data);
		buf_consume(in, (size_t)(end - in->data) + 1);
	}
	return -1;
}

bool
ctl_send(const struct ctl_call *call, int fd)
{
	char line[CTL_REQUEST_MAX + 1];
	int len = snprintf(line, sizeof(line), "%s\n", call->request);

	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) == len)
		return true;
	fprintf(stderr, "keyferryctl: sending: %s\n", strerror(errno));
	return false;
}

static int
exchange(const struct ctl_call *call, int fd, struct buf *in)
{
	int status = -1;
	ssize_t n;

	if (!ctl_send(call, fd))
		return CTL_UNREACHABLE;
	while (status < 0) {
		if (buf_reserve(in, CHUNK) != ERR_OK) {
			fprintf(stderr, "keyferryctl: the answer is too large\n");
			return CTL_UNREACHABLE;
		}
		n = recv(fd, in->data + in->len, CHUNK, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "keyferryctl: the daemon %s\n",
			    n == 0 ? "closed the connection" : "does not answer");
			return CTL_UNREACHABLE;
		}
		in->len += (size_t)n;
		status = take_lines(call, in);
	}
	return status;
}

int
ctl_dial(const struct ctl_call *call, int *status)
{
	struct sockaddr_un sun = {0};

	*status = CTL_USAGE;
	if (!find_socket(call, &sun))
		return -1;
	*status = CTL_UNREACHABLE;
	return dial(&sun);
}

int
ctl_talk(const struct ctl_call *call)
{
	int status, fd = ctl_dial(call, &status);

	return fd >= 0 ? ctl_talk_over(call, fd) : status;
}

int
ctl_talk_over(const struct ctl_call *call, int fd)
{
	struct buf in;
	int status;

	buf_init(&in, CTL_ANSWER_MAX);
	status = exchange(call, fd, &in);
	ctl_progress_end();
	buf_fini(&in);
	close(fd);
	return status;
}
