/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file in memory, fit for libconfuse: that ends the process when reading fails,
 * miscounts lines after comments, takes a file for whole that ends inside a string, puts
 * environment variables into text, and tells nobody of an empty list.
 */
#include "config_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trusted.h"

enum { CHUNK = 4096 };

static const char *
with_errno(const char *what, const char *remedy)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s: %s; %s", what, strerror(errno), remedy);
	return text;
}

static const char *
no_room(const struct buf *text)
{
	return buf_error(text) == ERR_NO_MEMORY ? "cannot be read: out of memory"
						: "is too large; up to 1 MiB";
}

static const char *
read_all(int fd, struct buf *text)
{
	ssize_t n = 0;

	while (
	    buf_reserve(text, CHUNK) == ERR_OK && (n = read(fd, text->data + text->len, CHUNK)) > 0)
		text->len += (size_t)n;
	if (buf_error(text) != ERR_OK)
		return no_room(text);
	if (n < 0)
		return with_errno("cannot be read", "see to the disk");
	if (text->len > 0 && memchr(text->data, '\0', text->len) != NULL)
		return "holds a NUL byte; it must be text";
	return NULL;
}

struct scan {
	char *p; /* the text is terminated */
	int line;
};

static void
skip(struct scan *s, bool blank)
{
	if (*s->p == '\n')
		s->line++;
	else if (blank)
		*s->p = ' ';
	s->p++;
}

/* Passes a string; p is at its opening quote. */
static const char *
scan_string(struct scan *s, int *line)
{
	char quote = *s->p;

	*line = s->line;
	for (skip(s, false); *s->p != quote; skip(s, false)) {
		if (*s->p == '\\')
			skip(s, false);
		if (*s->p == '\0')
			return "syntax: a string begins here and does not end; close it";
		if (quote == '"' && strncmp(s->p, "${", 2) == 0)
			return "syntax: environment variables are not put in; write the text "
			       "itself";
	}
	skip(s, false);
	return NULL;
}

static const char *
blank_block(struct scan *s, int *line)
{
	*line = s->line;
	skip(s, true);
	for (skip(s, true); strncmp(s->p, "*/", 2) != 0; skip(s, true))
		if (*s->p == '\0')
			return "syntax: a comment begins here and does not end; close it";
	skip(s, true);
	skip(s, true);
	return NULL;
}

/* A path may hold two slashes; as a comment they stand at the beginning of a word. */
static bool
begins_line_comment(const char *start, const char *p)
{
	return *p == '#' ||
	       (strncmp(p, "//", 2) == 0 && (p == start || strchr(" \t\n{},=", p[-1]) != NULL));
}

/* Where the last word or sign before p ends; NULL: there is none.  libconfuse passes over the rest. */
static char *
last_before(char *text, char *p)
{
	while (p > text && strchr(" \t\r\n*+", p[-1]) != NULL)
		p--;
	return p > text ? p - 1 : NULL;
}

/* A list that is assigned and ends at close, with nothing in it, becomes a list of one word. */
static void
fill_empty_list(char *text, char *close)
{
	char *open = last_before(text, close), *sign;

	if (open == NULL || *open != '{')
		return;
	sign = last_before(text, open);
	if (sign == NULL || *sign != '=' || (sign > text && sign[-1] == '+'))
		return; /* a section, or added to a list, where it changes nothing */
	*open = CONFIG_TEXT_EMPTY[0];
	*close = ' ';
}

static const char *
blank_comments(char *text, int *line)
{
	struct scan s = {text, 1};
	const char *why = NULL;

	while (*s.p != '\0' && why == NULL) {
		if (*s.p == '"' || *s.p == '\'') {
			why = scan_string(&s, line);
		} else if (strncmp(s.p, "/*", 2) == 0) {
			why = blank_block(&s, line);
		} else if (begins_line_comment(text, s.p)) {
			while (*s.p != '\n' && *s.p != '\0')
				skip(&s, true);
		} else if (strncmp(s.p, "${", 2) == 0) {
			*line = s.line;
			why = "syntax: environment variables are not put in; write the text itself";
		} else {
			if (*s.p == '}')
				fill_empty_list(text, s.p);
			skip(&s, false);
		}
	}
	return why;
}

bool
config_text_read(const char *path, struct buf *text, int *line, const char **why)
{
	const char *wrong = NULL;
	int fd = trusted_open(path, TRUSTED_CONFIGURATION, O_RDONLY, &wrong);

	*line = 0;
	if (fd >= 0) {
		wrong = read_all(fd, text);
		close(fd);
	}
	if (wrong == NULL) {
		buf_put(text, "", 1);
		wrong = buf_error(text) == ERR_OK ? blank_comments((char *)text->data, line)
						  : no_room(text);
	}
	if (wrong != NULL)
		*why = wrong;
	return wrong == NULL;
}
