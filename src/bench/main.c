/* SPDX-License-Identifier: Apache-2.0 */
/* keyferry-bench: the options, and from start to exit status. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"

#include "report.h"
#include "run.h"
#include "version.h"

enum { CONNECTIONS_MAX = 100000, KEYS_MAX = 1000000, SPARE_DESCRIPTORS = 32 };

struct options {
	struct run_options run;
	bool json, quiet;
};

static void
usage(FILE *to)
{
	fprintf(to, "usage: keyferry-bench -s HOST:PORT --cert FILE --key FILE --ca FILE [OPTION "
		    "...] MODE\n"
		    "modes:\n");
	for (int m = 0; m < MODE_COUNT; m++) {
		static const char *const help[] = {
#define MODE(name, text, help) help,
#include "mode.def"
#undef MODE
		};

		fprintf(to, "  %-12s %s\n", report_mode((enum mode)m), help[m]);
	}
	fprintf(to,
	    "options:\n"
	    "  -s, --server HOST:PORT  the gateway\n"
	    "      --cert, --key FILE  what the client shows (PEM)\n"
	    "      --ca FILE           the server's certificate, or who signed it\n"
	    "  -t, --tls VERSION       1.2 or 1.3; otherwise the best that both have\n"
	    "  -r, --resume            resume TLS sessions, if the server lets us\n"
	    "  -n, --connections N     at the same time (32)\n"
	    "  -c, --count N           operations; otherwise as many as fit\n"
	    "  -d, --duration TIME     how long (10s)\n"
	    "  -R, --rate N            operations begun each second, whatever becomes of them\n"
	    "  -p, --patience TIME     how long to wait for an answer (30s)\n"
	    "  -k, --keys N            keys to make first, which Gets ask for (1)\n"
	    "  -u, --uid UID           ask for this key instead\n"
	    "      --pid PID           of the server, if it is here: its CPU and memory\n"
	    "      --http              ask for / with HTTP/1.1 instead: other servers\n"
	    "      --json              one document instead of text\n"
	    "  -q, --quiet             no progress line\n"
	    "  -h, --help; -V, --version\n");
}

static void __attribute__((noreturn, format(printf, 1, 2))) wrong(const char *fmt, ...)
{
	va_list ap;

	fputs("keyferry-bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

/* --- options --- */

static double
number(const char *name, const char *s, double least, double most)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end != '\0' || !(v >= least && v <= most))
		wrong("--%s: a number from %.0f to %.0f", name, least, most);
	return v;
}

static int64_t
duration(const char *name, const char *s)
{
	int64_t ns;

	if (!text_duration(s, &ns) || ns <= 0)
		wrong("--%s: a time like 10s or 500ms", name);
	return ns;
}

static int
tls_version(const char *s)
{
	if (strcmp(s, "1.2") != 0 && strcmp(s, "1.3") != 0)
		wrong("--tls: 1.2 or 1.3");
	return s[2] == '2' ? TLS1_2_VERSION : TLS1_3_VERSION;
}

static enum mode
mode_of(const char *s)
{
	for (int m = 0; m < MODE_COUNT; m++)
		if (strcmp(report_mode((enum mode)m), s) == 0)
			return (enum mode)m;
	wrong("\"%s\" is no mode; --help lists them", s);
}

enum { OPT_CERT = 256, OPT_KEY, OPT_CA, OPT_PID, OPT_HTTP, OPT_JSON };

static const struct option longs[] = {{"server", required_argument, NULL, 's'},
    {"cert", required_argument, NULL, OPT_CERT}, {"key", required_argument, NULL, OPT_KEY},
    {"ca", required_argument, NULL, OPT_CA}, {"tls", required_argument, NULL, 't'},
    {"resume", no_argument, NULL, 'r'}, {"connections", required_argument, NULL, 'n'},
    {"count", required_argument, NULL, 'c'}, {"duration", required_argument, NULL, 'd'},
    {"rate", required_argument, NULL, 'R'}, {"patience", required_argument, NULL, 'p'},
    {"keys", required_argument, NULL, 'k'}, {"uid", required_argument, NULL, 'u'},
    {"pid", required_argument, NULL, OPT_PID}, {"http", no_argument, NULL, OPT_HTTP},
    {"json", no_argument, NULL, OPT_JSON}, {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};

/* What has no argument.  False: it is none of them. */
static bool
read_flag(struct options *o, int c)
{
	switch (c) {
	case 'r':
		return o->run.resume = true;
	case OPT_HTTP:
		return o->run.http = true;
	case OPT_JSON:
		return o->json = true;
	case 'q':
		return o->quiet = true;
	case 'h':
		usage(stdout);
		exit(0);
	case 'V':
		puts("keyferry-bench " KEYFERRY_VERSION);
		exit(0);
	default:
		return false;
	}
}

static void
read_option(struct run_options *o, int c)
{
	switch (c) {
	case 's':
		o->server = optarg;
		break;
	case OPT_CERT:
		o->certificate = optarg;
		break;
	case OPT_KEY:
		o->key = optarg;
		break;
	case OPT_CA:
		o->ca = optarg;
		break;
	case 't':
		o->tls_version = tls_version(optarg);
		break;
	case 'n':
		o->connections = (unsigned)number("connections", optarg, 1, CONNECTIONS_MAX);
		break;
	case 'c':
		o->count = (uint64_t)number("count", optarg, 1, 1e12);
		break;
	case 'd':
		o->duration_ns = duration("duration", optarg);
		break;
	case 'R':
		o->rate = number("rate", optarg, 1, 1e6);
		break;
	case 'p':
		o->patience_ns = duration("patience", optarg);
		break;
	case 'k':
		o->keys = (unsigned)number("keys", optarg, 1, KEYS_MAX);
		break;
	case 'u':
		o->uid = optarg;
		break;
	case OPT_PID:
		o->pid = (pid_t)number("pid", optarg, 1, 1e9);
		break;
	default:
		usage(stderr);
		exit(2);
	}
}

/* What fits together, and what is left out. */
static void
complete(struct run_options *o)
{
	if (o->server == NULL || o->certificate == NULL || o->key == NULL || o->ca == NULL)
		wrong("--server, --cert, --key and --ca are needed");
	if (o->uid != NULL && strlen(o->uid) > SCRIPT_UID_MAX)
		wrong("--uid: at most %d bytes", SCRIPT_UID_MAX);
	if (o->http && (o->mode == MODE_CREATES || o->mode == MODE_DAY))
		wrong("--http: not with this mode");
	if (o->mode == MODE_STORM) {
		if (o->count != 0 || o->duration_ns != 0 || o->rate > 0)
			wrong("storm: --connections alone says how many");
		o->count = o->connections;
	}
	if (o->mode == MODE_IDLE && (o->count != 0 || o->rate > 0))
		wrong("idle: has connections and a duration only");
	if (o->count == 0 && o->duration_ns == 0)
		o->duration_ns = 10 * NS_PER_S;
}

static void
read_options(struct options *o, int argc, char **argv)
{
	o->run.connections = 32;
	o->run.keys = 1;
	o->run.patience_ns = 30 * NS_PER_S;
	for (int c; (c = getopt_long(argc, argv, "s:t:rn:c:d:R:p:k:u:qhV", longs, NULL)) != -1;)
		if (!read_flag(o, c))
			read_option(&o->run, c);
	if (optind != argc - 1) {
		usage(stderr);
		exit(2);
	}
	o->run.mode = mode_of(argv[optind]);
	complete(&o->run);
}

/* --- beginning --- */

static void
find_server(const char *server, struct conn_target *t)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(server, ':');
	size_t len = colon != NULL ? (size_t)(colon - server) : 0;
	struct addrinfo *found;
	char host[256];
	int e;

	if (len >= 2 && server[0] == '[' && server[len - 1] == ']') {
		server++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(host))
		wrong("--server wants HOST:PORT");
	memcpy(host, server, len);
	host[len] = '\0';
	e = getaddrinfo(host, colon + 1, &hints, &found);
	if (e != 0)
		wrong("%s: %s", server, gai_strerror(e));
	memcpy(&t->address, found->ai_addr, found->ai_addrlen);
	t->address_len = found->ai_addrlen;
	freeaddrinfo(found);
}

static void
raise_descriptors(unsigned connections)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_cur < connections + SPARE_DESCRIPTORS)
		wrong("%u connections need more descriptors than ulimit -Hn allows (%llu)",
		    connections, (unsigned long long)rl.rlim_cur);
}

static void
no_progress(const struct run_options *o, const struct run_result *r)
{
	(void)o, (void)r;
}

static void
begin(const struct run_options *o, struct conn_target *t)
{
	const char *file, *why;

	raise_descriptors(o->connections);
	find_server(o->server, t);
	t->resume = o->resume;
	t->frame = o->http ? script_frame_http : script_frame_kmip;
	t->tls = conn_tls(o->certificate, o->key, o->ca, o->tls_version, o->resume, &file, &why);
	if (t->tls == NULL)
		wrong("%s: %s", file, why);
	t->loop = loop_new();
	if (t->loop == NULL)
		wrong("%s", err_text(ERR_NO_MEMORY));
	signal(SIGPIPE, SIG_IGN);
}

int
main(int argc, char **argv)
{
	static struct options o;
	static struct run_result result;
	struct conn_target target = {0};
	bool progress, ran;

	if (alloc_install() != ERR_OK)
		return 2;
	read_options(&o, argc, argv);
	begin(&o.run, &target);
	progress = !o.quiet && isatty(STDERR_FILENO) == 1;
	ran = run(&o.run, &target, progress ? report_progress : no_progress, &result);
	if (progress)
		fputs("\r\033[K", stderr);
	if (o.json)
		report_json(&o.run, &result);
	else
		report_text(&o.run, &result);
	SSL_CTX_free(target.tls);
	loop_free(target.loop);
	return ran && result.failed == 0 && result.failures_count == 0 ? 0 : 1;
}
