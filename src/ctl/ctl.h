/* SPDX-License-Identifier: Apache-2.0 */
/* keyferryctl's parts: the command table's rows, the connection, the rendering, work offline. */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses, as keyferryctl(8) has them. */
enum { CTL_OK = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

enum { CTL_WORDS_MAX = 4, CTL_REQUEST_MAX = 8192, CTL_ANSWER_MAX = 16 * 1024 * 1024 };

struct ctl_call {
	const char *socket; /* NULL: as the configuration says */
	const char *config; /* NULL: the default file */
	bool json;
	bool lines; /* the command's documents are shown as one line each */
	bool (*show)(const char *document); /* NULL: as they are; false: it is none of its kind */
	const char *words[CTL_WORDS_MAX + 1];
	const char *root_key, *passphrase_file, *certificate, *private_key; /* options' values */
	const char *days;
	bool allow_unverified, ec, read_only, really, force, missing;
	char request[CTL_REQUEST_MAX]; /* for the daemon: one line */
};

/* The first word is a path: made absolute for the daemon.  Tells how far it is, line by line. */
enum { CTL_PATH = 1, CTL_LINES = 2 };

struct ctl_command {
	const char *name;    /* one or two words */
	const char *usage;   /* its arguments */
	const char *help;    /* a sentence */
	const char *options; /* names it takes, each with blanks around it; "" for none */
	unsigned words_min, words_max;
	unsigned how; /* CTL_PATH, CTL_LINES */
	int (*offline)(const struct ctl_call *call); /* NULL: the daemon does it */
};

extern const struct ctl_command ctl_commands[];
extern const size_t ctl_commands_count;
/* The command that begins argv, the longest name first, or NULL; *used: the words of its name. */
const struct ctl_command *ctl_find_command(int argc, char **argv, int *used);
/* Prints what may follow these words, one a line; ":files": names of files. */
int ctl_complete(int argc, char **argv);

/* Sends the request and prints the answer.  An exit status. */
int ctl_talk(const struct ctl_call *call);

/* The pieces of ctl_talk(): a connection or -1 with *status, the rest (closes it), the request. */
int ctl_dial(const struct ctl_call *call, int *status);
int ctl_talk_over(const struct ctl_call *call, int fd);
bool ctl_send(const struct ctl_call *call, int fd);
/*
 * The exit status that an answer's last line means (an error is told); -1: it is another line.
 * CTL_REFUSED: nothing was done, or not all; CTL_UNREACHABLE: that is not known.
 */
int ctl_status(const char *line);

/*
 * Prints a JSON document for people: objects as aligned "key: value", arrays of objects as tables.
 * False when it is no JSON.
 */
bool ctl_render(const char *document);

/*
 * Prints a JSON document as one line.  One with the member "percent" is progress: on a terminal a bar
 * that the next one replaces, elsewhere a line for each tenth of the way.  False when it is no object.
 */
bool ctl_progress(const char *document);
/* Leaves the bar's line, if there is one, before anything else is printed. */
void ctl_progress_end(void);

/* A value on one line, cut at a ceiling, safe for a terminal; valid until the next call. */
struct yajl_val_s;
const char *ctl_cell(struct yajl_val_s *v);

int ctl_top(const struct ctl_call *call);
int ctl_make_root_key(const struct ctl_call *call);
int ctl_export_root_key(const struct ctl_call *call);
int ctl_import_root_key(const struct ctl_call *call);
int ctl_restore(const struct ctl_call *call);
int ctl_verify(const struct ctl_call *call);
int ctl_trust_add(const struct ctl_call *call);
int ctl_trust_make(const struct ctl_call *call);
int ctl_trust_sign(const struct ctl_call *call);

/*
 * For whoever handles private keys: no core, memory that is wiped, and locked where limits allow.
 * False after saying why not.
 */
bool ctl_guard_memory(void);
struct config;
/* The configuration, or NULL after saying why not. */
const struct config *ctl_load_config(const struct ctl_call *call);

/* The configuration file to read: the one given, or the default. */
const char *ctl_config_path(const struct ctl_call *call);

#endif
