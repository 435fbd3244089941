/* SPDX-License-Identifier: Apache-2.0 */
/* keyferryctl: the command line, and the table of commands. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "version.h"

enum { PATH_LEN_MAX = 2048 };

/* Which keys. */
#define CRITERIA \
	"[--tenant ID] [--state STATE] [--name NAME] [--component NAME]" \
	" [--attribute x-NAME=VALUE]... [--older AGE] [--newer AGE] [--unused AGE]"
#define CRITERIA_OPTIONS " tenant state name component attribute older newer unused "

static const struct ctl_command commands[] = {
    {"status", "", "version, uptime, secure heap and all counters", "", 0, 0, 0, NULL},
    {"health", "", "what is good and what is not, in plain words", "", 0, 0, 0, NULL},
    {"sessions", "", "the sessions that are open", "", 0, 0, 0, NULL},
    {"sessions close", "ID | --tenant ID | --sha256 DIGEST",
	"closes sessions, after their requests", " tenant sha256 ", 0, 1, 0, NULL},
    {"top", "", "what is going on, again each second; q ends it", "", 0, 0, 0, ctl_top},
    {"tenants", "", "the tenants that are configured", "", 0, 0, 0, NULL},
    {"keys list", CRITERIA " [--max N] [--offset N]", "objects, newest first",
	CRITERIA_OPTIONS "max offset ", 0, 0, 0, NULL},
    {"keys show", "[--tenant ID] UID", "all attributes of one object", " tenant ", 1, 1, 0,
	NULL},
    {"keys purge", CRITERIA " [--max N] [--really] [--force]",
	"shows which keys would be destroyed, or destroys them",
	CRITERIA_OPTIONS "max really force ", 0, 0, CTL_LINES, NULL},
    {"keys rebuild", "[--tenant ID]", "takes over into the ledger all that the key manager has",
	" tenant ", 0, 0, CTL_LINES, NULL},
    {"keys rewrap", "[--tenant ID]", "wraps all keys under the newest version of the root key",
	" tenant ", 0, 0, CTL_LINES, NULL},
    {"backup", "DIRECTORY", "copies ledger and vault into an empty directory", "", 1, 1, CTL_PATH | CTL_LINES,
	NULL},
    {"cache list", "[TENANT]", "keys in memory, the last used first", "", 0, 1, 0, NULL},
    {"cache flush", "[TENANT]", "wipes keys from memory", "", 0, 1, 0, NULL},
    {"trust show", "", "the server certificates, as vCenter shows them", "", 0, 0, 0, NULL},
    {"trust list", "[--tenant ID]", "the clients that are trusted", " tenant ", 0, 0, 0, NULL},
    {"trust pending", "", "refused certificates whose owner was there", "", 0, 0, 0, NULL},
    {"trust accept", "[--read-only] SHA256 TENANT", "trusts a pending certificate",
	" read-only ", 2, 2, 0, NULL},
    {"trust add", "[--read-only] TENANT [FILE]",
	"trusts the certificate in a file or on the standard input", " read-only ", 1, 2, 0,
	ctl_trust_add},
    {"trust make", "[--read-only] [--ec] [--days N] TENANT CERTIFICATE KEY",
	"makes a certificate and its key for upload, and trusts it", " read-only ec days ", 3, 3,
	0, ctl_trust_make},
    {"trust sign", "[--read-only] [--days N] TENANT REQUEST CERTIFICATE",
	"signs a request of vCenter, and trusts the certificate", " read-only days ", 3, 3, 0,
	ctl_trust_sign},
    {"trust remove", "SHA256", "ends the trust in a certificate that a command made trusted", "", 1,
	1, 0, NULL},
    {"reload", "", "reads the configuration and the files that it names again", "", 0, 0, 0,
	NULL},
    {"drain", "", "stops accepting, lets requests end, then ends the daemon", "", 0, 0, 0,
	NULL},
    {"log-level", "[LEVEL]", "shows or sets how much is logged", "", 0, 1, 0, NULL},
    {"make-root-key", "FILE", "makes a root key file, without the daemon", "", 1, 1, 0,
	ctl_make_root_key},
    {"export-root-key", "FILE OUT --passphrase-file FILE | --certificate PEM",
	"encrypts a root key file, to be kept elsewhere, without the daemon",
	" passphrase-file certificate ", 2, 2, 0, ctl_export_root_key},
    {"import-root-key", "IN FILE --passphrase-file FILE | --private-key PEM",
	"makes a root key file of an exported one, without the daemon",
	" passphrase-file private-key ", 2, 2, 0, ctl_import_root_key},
    {"verify", "[--root-key FILE] [--allow-unverified] DIRECTORY",
	"unwraps every key of a backup, without the daemon", " root-key allow-unverified ", 1, 1,
	0, ctl_verify},
    {"restore", "[--root-key FILE] [--allow-unverified] DIRECTORY",
	"copies a backup into the empty state directory, without the daemon",
	" root-key allow-unverified ", 1, 1, 0, ctl_restore},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
usage(FILE *to)
{
	fprintf(to, "usage: keyferryctl [-s SOCKET] [-c FILE] [--json] COMMAND [ARGUMENT]...\n"
		    "       keyferryctl -h | -V\n"
		    "commands:\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %s%s%s\n      %s\n", commands[i].name,
		    commands[i].usage[0] != '\0' ? " " : "", commands[i].usage, commands[i].help);
}

static int
misuse(const char *what, const char *about)
{
	fprintf(
	    stderr, "keyferryctl: %s: %s; keyferryctl --help lists the commands\n", about, what);
	return CTL_USAGE;
}

/* The command that begins argv; *used is how many words its name has. */
static const struct ctl_command *
find_command(int argc, char **argv, int *used)
{
	char two[64] = "";

	if (argc > 1)
		snprintf(two, sizeof(two), "%s %s", argv[0], argv[1]);
	*used = 2;
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, two) == 0)
			return &commands[i];
	*used = 1;
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, argv[0]) == 0)
			return &commands[i];
	return NULL;
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
	return strcmp(name, "ec") == 0 ? &call->ec : NULL;
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
	const struct ctl_command *cmd = find_command(argc, argv, &at);

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
		usage(stdout);
		return CTL_OK;
	}
	return run_command(&call, argc - optind, argv + optind);
}
