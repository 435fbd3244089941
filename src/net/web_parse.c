/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an HTTP request says (RFC 9112), strictly: what could be read in two ways is refused, and
 * the connection ends, since nobody knows where the next request would begin.
 */
#include "web_parse.h"

#include <string.h>
#include <strings.h>

struct fields {
	unsigned hosts;
	bool close, body;
};

size_t
web_request_len(const uint8_t *data, size_t len)
{
	const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);

	return end != NULL ? (size_t)(end - data) + 4 : 0;
}

/* Cuts the line off; returns what follows it. */
static char *
cut_line(char *at)
{
	char *end = strstr(at, "\r\n");

	*end = '\0';
	return end + 2;
}

static bool
has_token(const char *list, const char *token)
{
	size_t len = strlen(token);

	for (; *list != '\0'; list += strcspn(list, ",")) {
		list += strspn(list, ", \t");
		if (strncasecmp(list, token, len) == 0 && strchr(", \t", list[len]) != NULL)
			return true;
	}
	return false;
}

/* One header field.  False when it is none. */
static bool
read_field(char *line, struct fields *f, struct web_parsed *out)
{
	static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789!#$%&'*+-.^_`|~";
	size_t name_len = strspn(line, name_chars);
	char *value = line + name_len + 1, *end;

	if (name_len == 0 || line[name_len] != ':')
		return false;
	line[name_len] = '\0';
	value += strspn(value, " \t");
	for (end = value + strlen(value); end > value && strchr(" \t", end[-1]) != NULL; end--)
		end[-1] = '\0';
	for (const char *c = value; *c != '\0'; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return false;
	if (strcasecmp(line, "Host") == 0)
		f->hosts++;
	else if (strcasecmp(line, "Connection") == 0)
		f->close |= has_token(value, "close");
	else if (strcasecmp(line, "Content-Length") == 0)
		f->body |= strcmp(value, "0") != 0;
	else if (strcasecmp(line, "Transfer-Encoding") == 0)
		f->body = true;
	else if (strcasecmp(line, "Accept") == 0 && out->accept == NULL)
		out->accept = value;
	return true;
}

/* "GET /path?query HTTP/1.1".  The status that it deserves. */
static unsigned
read_first_line(char *line, bool *old, struct web_parsed *out)
{
	char *path = strchr(line, ' ');
	char *version = path != NULL ? strchr(path + 1, ' ') : NULL;

	if (version == NULL || path[1] != '/' || strchr(version + 1, ' ') != NULL)
		return 400;
	*path++ = '\0';
	*version++ = '\0';
	for (const char *c = path; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return 400;
	if (strncmp(version, "HTTP/", 5) != 0)
		return 400;
	*old = strcmp(version, "HTTP/1.0") == 0;
	if (!*old && strcmp(version, "HTTP/1.1") != 0)
		return 505;
	path[strcspn(path, "?")] = '\0';
	out->path = path;
	out->head_only = strcmp(line, "HEAD") == 0;
	return out->head_only || strcmp(line, "GET") == 0 ? 200 : 405;
}

void
web_parse(char *request, size_t len, struct web_parsed *out)
{
	struct fields f = {0};
	char *line = request, *next;
	bool old = false, good = memchr(request, '\0', len) == NULL;

	*out = (struct web_parsed){.status = 400, .last = true};
	if (!good)
		return;
	request[len - 2] = '\0'; /* the empty line's: a line ends before it */
	next = cut_line(line);
	out->status = read_first_line(line, &old, out);
	while (good && *next != '\0') {
		line = next;
		next = cut_line(line);
		good = read_field(line, &f, out);
	}
	if (!good || f.body || f.hosts > 1 || (f.hosts == 0 && !old))
		out->status = 400;
	out->last = old || f.close || (out->status != 200 && out->status != 405);
}
