/* SPDX-License-Identifier: Apache-2.0 */
/* keyferryctl: the command line. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/trusted.h"
#include "ctl.h"
#include "version.h"

enum { PATH_LEN_MAX = 2048 };

static void
put_command(FILE *to, const struct ctl_command *cmd)
{
	fprintf(to, "  %s%s%s\n      %s\n", cmd->name, cmd->usage[0] != '\0' ? " " : "", cmd->usage,
	    cmd->help);
}

static void
usage(FILE *to)
{
	fprintf(to, "usage: keyferryctl [-s SOCKET] [-c FILE] [--json] COMMAND [ARGUMENT]...\n"
		    "       keyferryctl -h | -V\n"
		    "commands:\n");
	for (size_t i = 0; i < ctl_commands_count; i++)
		put_command(to, &ctl_commands[i]);
}

/* Of one command, or of all that begin with the word; false when there is none. */
static bool
help_on(int argc, char **argv)
{
	int used;
	const struct ctl_command *cmd = argc > 0 ? ctl_find_command(argc, argv, &used) : NULL;
	size_t len = argc > 0 ? strlen(argv[0]) : 0;
	bool any = false;

	if (cmd != NULL && used == 2) {
		put_command(stdout, cmd);
		return true;
	}
	for (size_t i = 0; i < ctl_commands_count && len > 0; i++) {
		const char *name = ctl_commands[i].name;

		if (strncmp(name, argv[0], len) != 0 || (name[len] != ' ' && name[len] != '\0'))
			continue;
		put_command(stdout, &ctl_commands[i]);
		any = true;
	}
	return any;
}

static int
misuse(const char *what, const char *about)
{
	fprintf(
	    stderr, "keyferryctl: %s: %s; keyferryctl --help lists the commands\n", about, what);
	return CTL_USAGE;
}

/* Adds a field to the request.  False when it does not fit or would not be one field. */
static bool
add_field(struct ctl_call *call, const char *name, const char *value)
{
	size_t len = strlen(call->request), room = sizeof(call->request) - len;
	int n = snprintf(call->request + len, room, "\t%s=%s", name, value);

	return n > 0 && (size_t)n < room - 1 && strpbrk(value, "\t\n") == NULL;
}

/* Where the value of an option goes that is not for the daemon, or NULL. */
static const char **
offline_option(struct ctl_call *call, const char *name)
{
	const struct {
		const char *name, **value;
	} options[] = {
	    {"root-key", &call->root_key},
	    {"passphrase-file", &call->passphrase_file},
	    {"certificate", &call->certificate},
	    {"private-key", &call->private_key},
	    {"days", &call->days},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(options[i].name, name) == 0)
			return options[i].value;
	return NULL;
}

/* The same for an option without a value. */
static bool *
flag_option(struct ctl_call *call, const char *name)
{
	if (strcmp(name, "allow-unverified") == 0)
		return &call->allow_unverified;
	if (strcmp(name, "read-only") == 0)
		return &call->read_only;
	if (strcmp(name, "really") == 0)
		return &call->really;
	if (strcmp(name, "force") == 0)
		return &call->force;
	if (strcmp(name, "missing") == 0)
		return &call->missing;
	return strcmp(name, "ec") == 0 ? &call->ec : NULL;
}

static bool
is_given(struct ctl_call *call, const char *name)
{
	const char **kept = offline_option(call, name);
	char field[40];

	snprintf(field, sizeof(field), "\t%.32s=", name);
	return (kept != NULL && *kept != NULL) || strstr(call->request, field) != NULL;
}

/* As its usage says, which has "[--name VALUE]..." then. */
static bool
may_repeat(const struct ctl_command *cmd, const char *name)
{
	char option[40];
	const char *end;

	snprintf(option, sizeof(option), "[--%.32s ", name);
	end = strstr(cmd->usage, option);
	end = end != NULL ? strchr(end, ']') : NULL;
	return end != NULL && strncmp(end, "]...", 4) == 0;
}

/* Takes "--name value" or "--name=value"; *at moves past it.  An exit status. */
static int
take_option(struct ctl_call *call, const struct ctl_command *cmd, int argc, char **argv, int *at)
{
	char *text = argv[(*at)++] + 2, *value = strchr(text, '=');
	const char **kept;
	char wanted[32];
	bool *flag;

	if (value != NULL)
		*value++ = '\0';
	snprintf(wanted, sizeof(wanted), " %.29s ", text);
	if (strstr(cmd->options, wanted) == NULL)
		return misuse("the command has no such option", text);
	if (is_given(call, text) && !may_repeat(cmd, text))
		return misuse("the option is given twice", text);
	flag = flag_option(call, text);
	if (flag != NULL) {
		*flag = true;
		if (value != NULL)
			return misuse("the option takes no value", text);
		return add_field(call, text, "yes") ? CTL_OK
						    : misuse("too much for one request", text);
	}
	if (value == NULL && *at < argc)
		value = argv[(*at)++];
	if (value == NULL)
		return misuse("the option needs a value", text);
	kept = offline_option(call, text);
	if (kept != NULL) {
		*kept = value;
		return CTL_OK;
	}
	if (!add_field(call, text, value))
		return misuse("the value is too long, or holds a tab or a new line", text);
	return CTL_OK;
}

/* The daemon has a working directory of its own. */
static int
add_word(struct ctl_call *call, const char *word, bool path)
{
	char full[2 * PATH_LEN_MAX], here[PATH_LEN_MAX];

	snprintf(full, sizeof(full), "%s", word);
	if (path && word[0] != '/') {
		if (getcwd(here, sizeof(here)) == NULL)
			return misuse("the working directory cannot be told", word);
		snprintf(full, sizeof(full), "%s/%.2040s", here, word);
	}
	if (strlen(word) >= PATH_LEN_MAX || !add_field(call, "", full))
		return misuse("it is too long, or holds a tab or a new line", "argument");
	return CTL_OK;
}

static int
run_command(struct ctl_call *call, int argc, char **argv)
{
	int at = 0, status;
	unsigned words = 0;
	const struct ctl_command *cmd = ctl_find_command(argc, argv, &at);

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 && help_on(argc, argv))
			return CTL_OK;
	if (cmd == NULL)
		return misuse("no such command", argv[0]);
	snprintf(call->request, sizeof(call->request), "%s", cmd->name);
	call->lines = (cmd->how & CTL_LINES) != 0;
	while (at < argc) {
		if (strncmp(argv[at], "--json", 7) == 0) {
			call->json = true;
			at++;
			continue;
		}
		if (strncmp(argv[at], "--", 2) == 0) {
			status = take_option(call, cmd, argc, argv, &at);
		} else if (words >= cmd->words_max) {
			return misuse("too many arguments", cmd->name);
		} else {
			call->words[words] = argv[at++];
			status = add_word(call, call->words[words++], (cmd->how & CTL_PATH) != 0);
		}
		if (status != CTL_OK)
			return status;
	}
	if (words < cmd->words_min)
		return misuse(cmd->usage, cmd->name);
	return cmd->offline != NULL ? cmd->offline(call) : ctl_talk(call);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
	    {"json", no_argument, NULL, 'j'}, {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0}};
	static struct ctl_call call;
	int c;

	trusted_to_look(); /* root asks about a configuration that the daemon's user owns */
	/* "+": what follows the command is the command's */
	while ((c = getopt_long(argc, argv, "+s:c:hV", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			call.socket = optarg;
			break;
		case 'c':
			call.config = optarg;
			break;
		case 'j':
			call.json = true;
			break;
		case 'h':
			usage(stdout);
			return CTL_OK;
		case 'V':
			printf("keyferryctl %s\n", KEYFERRY_VERSION);
			return CTL_OK;
		default:
			usage(stderr);
			return CTL_USAGE;
		}
	}
	if (optind >= argc) {
		usage(stderr);
		return CTL_USAGE;
	}
	if (strcmp(argv[optind], "help") == 0) {
		if (optind + 1 < argc && !help_on(argc - optind - 1, argv + optind + 1))
			return misuse("no such command", argv[optind + 1]);
		if (optind + 1 == argc)
			usage(stdout);
		return CTL_OK;
	}
	if (strcmp(argv[optind], "__complete") == 0)
		return ctl_complete(argc - optind - 1, argv + optind + 1);
	return run_command(&call, argc - optind, argv + optind);
}
