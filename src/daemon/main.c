/* SPDX-License-Identifier: Apache-2.0 */
/* keyferryd: its command line, and which of its processes this one is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/trusted.h"

#include "confine.h"
#include "daemon.h"
#include "priv.h"
#include "version.h"

enum { EXIT_USAGE = 2 };

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: keyferryd [-fhtV] [-c FILE]\n"
	    "  -c FILE  configuration (default /etc/keyferry/keyferryd.conf)\n"
	    "  -f       stay in the foreground\n"
	    "  -t       test the configuration and all files that it names, then exit\n"
	    "  -V       print the version\n"
	    "  -h       print this\n");
}

/* `keyferryd -t`: everything that can be wrong before a socket is opened. */
static int
test_config(const struct config *config)
{
	struct buf why;
	enum err e;

	buf_init(&why, 8192);
	e = daemon_test(config, &why);
	if (e == ERR_OK)
		printf("%s: good\n", config->path);
	else
		fprintf(stderr, "%s: %.*s\n", config->path, (int)why.len, (const char *)why.data);
	buf_fini(&why);
	config_unref(config);
	return e == ERR_OK ? 0 : EXIT_USAGE;
}

static const struct config *
load_config(const char *path)
{
	const struct config *config = NULL;
	struct buf errors;

	buf_init(&errors, 64 * 1024);
	if (config_load(path, &config, &errors) != ERR_OK) {
		config_tell(path, &errors);
		config = NULL;
	}
	buf_fini(&errors);
	return config;
}

/* As the daemon's user would read it, whose the state directory is: who tests may be root. */
static const struct config *
load_config_to_test(const char *path)
{
	const struct config *config;
	struct stat st;

	trusted_to_look();
	config = load_config(path);
	if (config == NULL)
		return NULL;
	trusted_to(stat(config->state_dir, &st) == 0 || stat(path, &st) == 0 ? st.st_uid : geteuid());
	config_unref(config);
	return load_config(path);
}

static void
take_faults(enum fault_process who)
{
#ifdef KF_TESTING
	fault_test_env(who);
#else
	(void)who;
#endif
}

/* Whether the first words are those of a child, which then confines itself where it is told to. */
static bool
is_child(int argc, char **argv, int words, const char *flag, enum fault_process who)
{
	bool confined = argc == words + 1 && strcmp(argv[words], DAEMON_CONFINED) == 0;

	if (argc != words + confined || strcmp(argv[1], flag) != 0)
		return false;
	take_faults(who);
	if (confined && confine_child() != ERR_OK)
		exit(EXIT_FAILURE);
	return true;
}

static int
storage_main(const char *state_dir, enum store_part part)
{
	return store_memory_install() == ERR_OK ? store_child_main(DAEMON_CHILD_FD, state_dir, part)
						: EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	const char *path = "/etc/keyferry/keyferryd.conf";
	bool foreground = false, test = false;
	const struct config *config;
	bool locked;
	int c;

	if (priv_harden() != ERR_OK) {
		fputs("keyferryd: cannot start: core dumps and tracing cannot be ruled out\n", stderr);
		return EXIT_FAILURE;
	}
	if (alloc_install() != ERR_OK)
		return EXIT_FAILURE;
	if (is_child(argc, argv, 3, DAEMON_STORAGE_CHILD, FAULT_IN_STORE))
		return storage_main(argv[2], STORE_WRITER);
	if (is_child(argc, argv, 3, DAEMON_STORAGE_AGAIN, FAULT_IN_STORE))
		return storage_main(argv[2], STORE_WRITER_AGAIN);
	if (is_child(argc, argv, 3, DAEMON_STORAGE_READER, FAULT_IN_READER))
		return storage_main(argv[2], STORE_READER);
	if (is_child(argc, argv, 2, DAEMON_AUDIT_CHILD, FAULT_IN_AUDIT))
		return audit_child_main(DAEMON_CHILD_FD);
	take_faults(FAULT_IN_DAEMON);
	while ((c = getopt(argc, argv, "c:fhtV")) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 'f':
			foreground = true;
			break;
		case 't':
			test = true;
			break;
		case 'V':
			printf("keyferryd %s\n", KEYFERRY_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!test)
		priv_hold_reload(true);
	config = test ? load_config_to_test(path) : load_config(path);
	if (config == NULL)
		return EXIT_USAGE;
	log_set_output(STDERR_FILENO, getenv("JOURNAL_STREAM") == NULL);
	if (!test)
		return daemon_run(config, !foreground && getenv("NOTIFY_SOCKET") == NULL);
	if (secret_heap_init(config->secure_heap_size, true, &locked) != ERR_OK)
		return EXIT_FAILURE;
	return test_config(config);
}
