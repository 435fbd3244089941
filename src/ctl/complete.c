/* SPDX-License-Identifier: Apache-2.0 */
/* What may follow the words that were typed: for the shells' completion. */
#include <stdio.h>
#include <string.h>

#include "ctl.h"

#define FILES ":files" /* names of files */

static bool
is_one_of(const char *word, const char *const *all)
{
	while (*all != NULL && strcmp(*all, word) != 0)
		all++;
	return *all != NULL;
}

/* Past the options that come before the command: how many words they are. */
static int
skip_globals(int argc, char **argv)
{
	static const char *const with_value[] = {"-s", "-c", NULL}, *const alone[] = {"--json", NULL};
	int at = 0;

	while (at < argc && (is_one_of(argv[at], with_value) || is_one_of(argv[at], alone)))
		at += is_one_of(argv[at], with_value) ? 2 : 1;
	return at;
}

/* The first words of all names, or the second ones of those that begin with first. */
static void
offer_names(const char *first)
{
	const char *blank, *before = "";
	size_t len = first != NULL ? strlen(first) : 0, before_len = 0;

	for (size_t i = 0; i < ctl_commands_count; i++) {
		const char *name = ctl_commands[i].name;

		blank = strchr(name, ' ');
		if (first != NULL) {
			if (blank != NULL && (size_t)(blank - name) == len &&
			    strncmp(name, first, len) == 0)
				printf("%s\n", blank + 1);
			continue;
		}
		len = blank != NULL ? (size_t)(blank - name) : strlen(name);
		if (len != before_len || strncmp(name, before, len) != 0)
			printf("%.*s\n", (int)len, name);
		before = name;
		before_len = len;
	}
}

/* The value of an option; false when the word is none that takes one. */
static bool
offer_value(const char *option)
{
	static const char *const files[] = {"-s", "-c", "--root-key", "--passphrase-file",
	    "--certificate", "--private-key", NULL};
	static const char *const flags[] = {"--allow-unverified", "--read-only", "--ec", "--really",
	    "--force", "--missing", "--json", "--help", NULL};

	if (option[0] != '-' || is_one_of(option, flags))
		return false;
	if (is_one_of(option, files))
		printf(FILES "\n");
	else if (strcmp(option, "--state") == 0)
		printf("Pre-Active\nActive\nDeactivated\nCompromised\nDestroyed\n");
	return true;
}

static void
offer_arguments(const struct ctl_command *cmd)
{
	static const char *const names_of_files[] = {"FILE", "DIRECTORY", "CERTIFICATE", "REQUEST"};
	const char *at = cmd->options + strspn(cmd->options, " ");
	size_t len;

	for (; *at != '\0'; at += len + strspn(at + len, " ")) {
		len = strcspn(at, " ");
		printf("--%.*s\n", (int)len, at);
	}
	printf("--json\n--help\n");
	for (size_t i = 0; i < sizeof(names_of_files) / sizeof(names_of_files[0]); i++) {
		if (strstr(cmd->usage, names_of_files[i]) != NULL) {
			printf(FILES "\n");
			break;
		}
	}
}

int
ctl_complete(int argc, char **argv)
{
	const struct ctl_command *cmd;
	int at, used = 0;

	if (argc > 0 && strcmp(argv[argc - 1], "=") == 0)
		argc--; /* bash makes a word of it */
	if (argc > 0 && offer_value(argv[argc - 1]))
		return CTL_OK;
	at = skip_globals(argc, argv);
	if (at == argc) {
		offer_names(NULL);
		printf("help\n-s\n-c\n--json\n--help\n--version\n");
		return CTL_OK;
	}
	if (at + 1 == argc)
		offer_names(strcmp(argv[at], "help") == 0 ? NULL : argv[at]);
	cmd = ctl_find_command(argc - at, argv + at, &used);
	if (cmd != NULL)
		offer_arguments(cmd);
	return CTL_OK;
}
