/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands. */
#include <stdio.h>
#include <string.h>

#include "ctl.h"

/* Which keys. */
#define CRITERIA \
	"[--tenant ID] [--state STATE] [--name NAME] [--component NAME]" \
	" [--attribute x-NAME=VALUE]... [--older AGE] [--newer AGE] [--unused AGE]"
#define CRITERIA_OPTIONS " tenant state name component attribute older newer unused "

const struct ctl_command ctl_commands[] = {
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
    {"keys purge", CRITERIA " [--max N] [--really] [--force] [--missing]",
	"shows which keys would be destroyed, or destroys them",
	CRITERIA_OPTIONS "max really force missing ", 0, 0, CTL_LINES, NULL},
    {"keys rebuild", "[--tenant ID]", "takes over into the ledger all that the key manager has",
	" tenant ", 0, 0, CTL_LINES, NULL},
    {"keys rewrap", "[--tenant ID]", "wraps all keys under the newest version of the root key",
	" tenant ", 0, 0, CTL_LINES, NULL},
    {"backup", "DIRECTORY", "copies ledger and vault into an empty directory", "", 1, 1,
	CTL_PATH | CTL_LINES, NULL},
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

const size_t ctl_commands_count = sizeof(ctl_commands) / sizeof(ctl_commands[0]);

const struct ctl_command *
ctl_find_command(int argc, char **argv, int *used)
{
	char two[64] = "";

	if (argc > 1)
		snprintf(two, sizeof(two), "%s %s", argv[0], argv[1]);
	*used = 2;
	for (size_t i = 0; i < ctl_commands_count; i++)
		if (strcmp(ctl_commands[i].name, two) == 0)
			return &ctl_commands[i];
	*used = 1;
	for (size_t i = 0; i < ctl_commands_count; i++)
		if (strcmp(ctl_commands[i].name, argv[0]) == 0)
			return &ctl_commands[i];
	return NULL;
}
