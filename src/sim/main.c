/* SPDX-License-Identifier: Apache-2.0 */
/* keyferry-sim: the command line, the order of starting and stopping. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/log.h"

#include "setup.h"
#include "sim.h"
#include "version.h"

enum { SIM_FAILED = 1, SIM_USAGE = 2 };

struct options {
	const char *addresses[PORTS];
	const char *setup;
};

static void
usage(FILE *to)
{
	fprintf(to, "usage: keyferry-sim [-v] [-c FILE] [-l ADDRESS:PORT] [-H ADDRESS:PORT] "
		    "[-A ADDRESS:PORT]\n"
		    "                    [--cert FILE --key FILE]\n"
		    "       keyferry-sim -h | -V\n");
}

/* Says on standard output where it listens, in one line of JSON. */
static bool
announce(const struct sim *s)
{
	struct buf line;
	struct json j;
	char url[ADDRESS_SIZE + 32];
	bool good;

	buf_init(&line, 4096);
	json_init(&j, &line);
	json_object(&j, NULL);
	for (int i = 0; i < PORTS; i++) {
		if (s->ports[i].http == NULL)
			continue;
		snprintf(url, sizeof(url), "%s://%s", http_scheme(s, (enum port)i),
		    s->ports[i].host_port);
		json_text(&j, http_port_name((enum port)i), url);
	}
	json_object_end(&j);
	good = buf_error(&line) == ERR_OK && fwrite(line.data, 1, line.len, stdout) == line.len &&
	       fflush(stdout) == 0;
	buf_fini(&line);
	return good;
}

static bool
start(struct sim *s, const struct options *o)
{
	store_init(&s->store);
	faults_init(&s->faults);
	list_init(&s->exchanges);
	if (!iam_init(&s->iam) || !journal_init(&s->journal)) {
		LOG(LOG_ERROR, "sim", "no memory or no randomness");
		return false;
	}
	s->loop = loop_new();
	if (s->loop == NULL) {
		LOG(LOG_ERROR, "sim", "no event loop");
		return false;
	}
	if (o->setup != NULL && !setup_file(s, o->setup))
		return false;
	if (!http_load_tls(s))
		return false;
	for (int i = 0; i < PORTS; i++)
		if (o->addresses[i] != NULL && !http_open(s, (enum port)i, o->addresses[i]))
			return false;
	return announce(s);
}

static void
stop(struct sim *s)
{
	if (s->loop != NULL)
		http_close_all(s);
	faults_clear(&s->faults);
	iam_fini(&s->iam);
	store_fini(&s->store);
	journal_fini(&s->journal);
	if (s->loop != NULL)
		loop_free(s->loop);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct sim *s = arg;

	(void)number, (void)what;
	loop_stop(s->loop);
}

/* Serves until SIGTERM or SIGINT. */
static int
serve(struct sim *s)
{
	struct event *term = evsignal_new(loop_base(s->loop), SIGTERM, on_signal, s);
	struct event *intr = evsignal_new(loop_base(s->loop), SIGINT, on_signal, s);
	int status = SIM_FAILED;

	if (term != NULL && intr != NULL && event_add(term, NULL) == 0 &&
	    event_add(intr, NULL) == 0) {
		loop_run(s->loop);
		status = 0;
	}
	if (term != NULL)
		event_free(term);
	if (intr != NULL)
		event_free(intr);
	return status;
}

/* -1: go on; else the exit status. */
static int
read_options(int argc, char **argv, struct options *o, struct sim *s)
{
	static const struct option names[] = {{"setup", required_argument, NULL, 'c'},
	    {"listen", required_argument, NULL, 'l'}, {"hpcs", required_argument, NULL, 'H'},
	    {"admin", required_argument, NULL, 'A'}, {"cert", required_argument, NULL, 'C'},
	    {"key", required_argument, NULL, 'K'}, {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0}};

	for (int c; (c = getopt_long(argc, argv, "c:l:H:A:vhV", names, NULL)) != -1;) {
		switch (c) {
		case 'c':
			o->setup = optarg;
			break;
		case 'l':
			o->addresses[PORT_API] = optarg;
			break;
		case 'H':
			o->addresses[PORT_HPCS] = optarg;
			break;
		case 'A':
			o->addresses[PORT_ADMIN] = optarg;
			break;
		case 'C':
			s->cert_file = optarg;
			break;
		case 'K':
			s->key_file = optarg;
			break;
		case 'v':
			log_set_level(LOG_DEBUG);
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			puts("keyferry-sim " KEYFERRY_VERSION);
			return 0;
		default:
			usage(stderr);
			return SIM_USAGE;
		}
	}
	if (optind != argc || (s->cert_file == NULL) != (s->key_file == NULL)) {
		usage(stderr);
		return SIM_USAGE;
	}
	return -1;
}

int
main(int argc, char **argv)
{
	struct options o = {
	    .addresses = {[PORT_API] = "127.0.0.1:8443", [PORT_ADMIN] = "127.0.0.1:8444"}};
	struct sim s = {0};
	int status = read_options(argc, argv, &o, &s);

	if (status >= 0)
		return status;
	if (alloc_install() != ERR_OK || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return SIM_FAILED;
	status = start(&s, &o) ? serve(&s) : SIM_FAILED;
	stop(&s);
	return status;
}
