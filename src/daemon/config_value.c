/* SPDX-License-Identifier: Apache-2.0 */
/* The option table as data, and how the text of an option becomes its value. */
#include "config_value.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/credential.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trusted.h"
#include "daemon/config.h"

enum { ID_MAX = 64, VALUE_SHOWN_MAX = 120, PEM_FILES_MAX = 4096, TEXT_MAX = 1024 };

static const struct config_option options[] = {
#define OPTION(scope, member, name, type, fallback, least, most, when, help)                       \
	{SCOPE_##scope, offsetof(struct scope, member), name, TYPE_##type, fallback, least, most,  \
	    WHEN_##when, help},
#include "config.def"
#undef OPTION
};

const struct config_option *
config_option(size_t n)
{
	return n < sizeof(options) / sizeof(options[0]) ? &options[n] : NULL;
}

bool
config_type_is_list(enum config_type type)
{
	return type == TYPE_ADDRESSES || type == TYPE_PATHS || type == TYPE_PEM_FILES;
}

/* Says what is wrong with a value.  Always false, so that it can be returned. */
static bool __attribute__((format(printf, 3, 4)))
wrong(struct config_converter *cv, const char *value, const char *fmt, ...)
{
	char text[512];
	size_t len = strlen(value);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_put(&cv->problem, "\"", 1);
	text_escape(&cv->problem, value, len < VALUE_SHOWN_MAX ? len : VALUE_SHOWN_MAX);
	buf_put(&cv->problem, "\" ", 2);
	buf_put(&cv->problem, text, strlen(text));
	return false;
}

static bool
no_memory(struct config_converter *cv, const char *value)
{
	return wrong(cv, value, "does not fit in memory; give the daemon more");
}

static bool
parse_bool(struct config_converter *cv, const char *s, bool *out)
{
	bool yes = strcmp(s, "true") == 0 || strcmp(s, "yes") == 0 || strcmp(s, "on") == 0;

	if (!yes && strcmp(s, "false") != 0 && strcmp(s, "no") != 0 && strcmp(s, "off") != 0)
		return wrong(cv, s, "is neither true nor false; write true or false");
	*out = yes;
	return true;
}

/* "2026-12-31"; the value is the first second after that day, 0 when the text is empty. */
static bool
parse_date(struct config_converter *cv, const char *s, int64_t *out)
{
	struct tm tm = {0}, day;
	const char *end;

	if (*s == '\0') {
		*out = 0;
		return true;
	}
	end = strlen(s) == strlen("2026-12-31") ? strptime(s, "%Y-%m-%d", &tm) : NULL;
	if (end == NULL || *end != '\0')
		return wrong(cv, s, "is no date; write YYYY-MM-DD, such as 2026-12-31");
	day = tm;
	(void)timegm(&day); /* strptime() takes the 31st of any month; this makes it one of the next */
	if (day.tm_mday != tm.tm_mday)
		return wrong(cv, s, "is no date: that month has no such day");
	tm.tm_mday++;
	*out = timegm(&tm);
	return true;
}

static bool
parse_duration(
    struct config_converter *cv, const struct config_option *o, const char *s, int64_t *out)
{
	int64_t v, least, most;

	if (!text_duration(s, &v))
		return wrong(cv, s,
		    "is no duration; write a number and a unit (ms, s, min, h, d), such as %s",
		    o->fallback);
	if (!text_duration(o->least, &least) || !text_duration(o->most, &most) || v < least ||
	    v > most)
		return wrong(cv, s, "is out of range; from %s to %s", o->least, o->most);
	*out = v;
	return true;
}

static bool
parse_size(struct config_converter *cv, const struct config_option *o, const char *s, size_t *out)
{
	uint64_t v, least, most;

	if (!text_size(s, &v))
		return wrong(cv, s,
		    "is no size; write a number and a unit (B, KiB, MiB, GiB), such as %s",
		    o->fallback);
	if (!text_size(o->least, &least) || !text_size(o->most, &most) || v < least || v > most)
		return wrong(cv, s, "is out of range; from %s to %s", o->least, o->most);
	if (o->type == TYPE_POWER_OF_TWO && (v & (v - 1)) != 0)
		return wrong(cv, s, "is no power of two; such as %s", o->fallback);
	*out = (size_t)v;
	return true;
}

/* The limits are trusted: they come from the table. */
static bool
parse_number(
    struct config_converter *cv, const struct config_option *o, const char *s, unsigned *out)
{
	unsigned long least = strtoul(o->least, NULL, 10), most = strtoul(o->most, NULL, 10), v;
	char *end;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end != '\0')
		return wrong(cv, s, "is no whole number; from %s to %s", o->least, o->most);
	if (errno != 0 || v < least || v > most)
		return wrong(cv, s, "is out of range; from %s to %s", o->least, o->most);
	*out = (unsigned)v;
	return true;
}

static bool
parse_mode(struct config_converter *cv, const char *s, unsigned *out)
{
	char *end;
	unsigned long v = strtoul(s, &end, 8);

	if (!isdigit((unsigned char)*s) || *end != '\0' || v > 0777)
		return wrong(cv, s, "is no file mode; write octal digits, such as 0600 or 0660");
	if ((v & 0007) != 0)
		return wrong(cv, s, "would let everybody in; 0600, or 0660 for a group");
	*out = (unsigned)v;
	return true;
}

static bool
parse_id(struct config_converter *cv, const char *s, const char **out)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	size_t len = strlen(s);

	/* it is the name of a directory as well */
	if (len == 0 || len > ID_MAX || strspn(s, allowed) != len || s[0] == '.')
		return wrong(cv, s, "is no identifier; 1 to %d of A-Z a-z 0-9 . _ -, not beginning "
		    "with a dot", ID_MAX);
	*out = arena_text(cv->arena, s, len);
	return *out != NULL || no_memory(cv, s);
}

/* A systemd credential is looked for when it is used: who only reads the configuration has none. */
static bool
parse_credential(struct config_converter *cv, const char *s, const char **out)
{
	if (!credential_has_name(s))
		return wrong(cv, s, "names no credential; credential:NAME, NAME without a slash");
	*out = arena_text(cv->arena, s, strlen(s));
	return *out != NULL || no_memory(cv, s);
}

static bool
parse_path(struct config_converter *cv, const char *s, const char **out)
{
	size_t dir_len = strlen(cv->dir), len = strlen(s);
	char *path;

	if (len == 0)
		return wrong(cv, s, "names no file; write a path");
	if (*s == '/') {
		*out = arena_text(cv->arena, s, len);
		return *out != NULL || no_memory(cv, s);
	}
	path = arena_zalloc(cv->arena, dir_len + 1 + len + 1);
	if (path == NULL)
		return no_memory(cv, s);
	snprintf(path, dir_len + 1 + len + 1, "%s/%s", cv->dir, s);
	*out = path;
	return true;
}

/* What may be a credential instead of a path, and may be left empty if that is the default. */
static bool
parse_secret(
    struct config_converter *cv, const struct config_option *o, const char *s, const char **out)
{
	if (credential_is(s))
		return parse_credential(cv, s, out);
	if (*s != '\0' || o->fallback == NULL)
		return parse_path(cv, s, out);
	*out = NULL;
	return true;
}

/* What may be left empty. */
static bool
parse_file(struct config_converter *cv, const char *s, const char **out)
{
	if (*s != '\0')
		return parse_path(cv, s, out);
	*out = NULL;
	return true;
}

/* A required text must not be empty: nobody would notice. */
static bool
parse_text(
    struct config_converter *cv, const struct config_option *o, const char *s, const char **out)
{
	size_t len = strlen(s);

	if (len == 0 && o->fallback == NULL)
		return wrong(cv, s, "is empty; write the %s", o->help);
	if (len > TEXT_MAX || !text_is_utf8(s, len) || strpbrk(s, "\r\n\t") != NULL)
		return wrong(cv, s, "is no line of text; up to %d bytes of UTF-8", TEXT_MAX);
	*out = len > 0 ? arena_text(cv->arena, s, len) : NULL;
	return len == 0 || *out != NULL || no_memory(cv, s);
}

/* Keys and tokens go there: never in the clear, and no password in a file that others may read. */
static bool
parse_url(
    struct config_converter *cv, const struct config_option *o, const char *s, const char **out)
{
	static const char scheme[] = "https://";
	size_t len = strlen(scheme);

	if (strncmp(s, scheme, len) != 0 || s[len] == '\0' || s[len] == '/' ||
	    strpbrk(s, "@?# \"<>") != NULL)
		return wrong(cv, s, "is no URL that can be used here; https://HOST[:PORT][/PATH]");
	return parse_text(cv, o, s, out);
}

static bool
parse_switch(struct config_converter *cv, const char *s, enum config_switch *out)
{
	bool on = false;

	if (strcmp(s, "auto") == 0) {
		*out = SWITCH_AUTO;
		return true;
	}
	if (!parse_bool(cv, s, &on)) {
		buf_reset(&cv->problem);
		return wrong(cv, s, "is none of auto, true and false; write one of them");
	}
	*out = on ? SWITCH_ON : SWITCH_OFF;
	return true;
}

/* Only the form; whether the address exists here shows when it is bound. */
static bool
parse_address(struct config_converter *cv, const char *s, const char **out)
{
	const char *colon = strrchr(s, ':');
	char *end = NULL;
	unsigned long port = 0;

	if (colon != NULL && isdigit((unsigned char)colon[1]))
		port = strtoul(colon + 1, &end, 10);
	if (end == NULL || *end != '\0' || port > UINT16_MAX || colon == s)
		return wrong(cv, s, "is no address with a port; HOST:PORT, such as %s",
		    "[::]:5696 or 192.0.2.1:5696");
	if (*s != '[' && memchr(s, ':', (size_t)(colon - s)) != NULL)
		return wrong(
		    cv, s, "is ambiguous; write IPv6 addresses in brackets: [ADDRESS]:PORT");
	*out = arena_text(cv->arena, s, strlen(s));
	return *out != NULL || no_memory(cv, s);
}

static bool
parse_address_or_none(struct config_converter *cv, const char *s, const char **out)
{
	if (*s != '\0')
		return parse_address(cv, s, out);
	*out = NULL;
	return true;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Hidden files are left out: editors and copying tools make them. */
static bool
is_pem_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && dot != name && name[0] != '.' && strcmp(dot, ".pem") == 0;
}

/* A growing list of paths. */
struct paths {
	const char **at;
	size_t count, room;
};

/* Room for one more, and for the NULL that ends the list. */
static bool
paths_add(struct config_converter *cv, struct paths *list, const char *path)
{
	const char **bigger;

	if (list->count + 2 > list->room) {
		list->room = list->room > 0 ? 2 * list->room : 16;
		bigger = arena_array(cv->arena, list->room, sizeof(*bigger));
		if (bigger == NULL)
			return no_memory(cv, path);
		if (list->count > 0)
			memcpy(bigger, list->at, list->count * sizeof(*bigger));
		list->at = bigger;
	}
	list->at[list->count++] = path;
	return true;
}

static bool
add_directory(
    struct config_converter *cv, const char *shown, const char *path, DIR *dir, struct paths *list)
{
	size_t first = list->count, size;
	struct dirent *de;
	char *file;

	for (errno = 0; (de = readdir(dir)) != NULL; errno = 0) {
		if (!is_pem_name(de->d_name))
			continue;
		if (list->count >= PEM_FILES_MAX)
			return wrong(cv, shown, "holds too many files; up to %d", PEM_FILES_MAX);
		size = strlen(path) + 1 + strlen(de->d_name) + 1;
		file = arena_zalloc(cv->arena, size);
		if (file == NULL)
			return no_memory(cv, shown);
		snprintf(file, size, "%s/%s", path, de->d_name);
		if (!paths_add(cv, list, file))
			return false;
	}
	if (errno != 0)
		return wrong(cv, shown, "cannot be read to its end: %s", strerror(errno));
	if (list->count > first)
		qsort(list->at + first, list->count - first, sizeof(*list->at), by_name);
	return true;
}

static bool
add_pem_files(struct config_converter *cv, const char *s, struct paths *list)
{
	const char *path, *open_to;
	struct stat st;
	DIR *dir;
	bool ok;

	if (!parse_path(cv, s, &path))
		return false;
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return paths_add(cv, list, path);
	dir = opendir(path);
	open_to = dir != NULL ? trusted_not(dirfd(dir), path, TRUSTED_CERTIFICATES_DIR) : NULL;
	if (open_to != NULL) {
		closedir(dir);
		return wrong(cv, s, "%s", open_to);
	}
	if (dir == NULL)
		return wrong(cv, s,
		    "cannot be read (%s); name a PEM file or a directory of *.pem files",
		    strerror(errno));
	ok = add_directory(cv, s, path, dir, list);
	closedir(dir);
	return ok;
}

static bool
parse_list(struct config_converter *cv, const struct config_option *o, const char *const *texts,
    size_t count, const char *const **out, size_t *bad)
{
	struct paths list = {0};
	const char *item;

	if (count == 1 && *texts[0] == '\0' && o->fallback != NULL && *o->fallback == '\0')
		count = 0; /* what may be left empty */
	for (size_t i = 0; i < count; i++) {
		*bad = i;
		if (o->type == TYPE_PEM_FILES) {
			if (!add_pem_files(cv, texts[i], &list))
				return false;
			continue;
		}
		if (o->type == TYPE_ADDRESSES ? !parse_address(cv, texts[i], &item)
					      : !parse_secret(cv, o, texts[i], &item))
			return false;
		if (!paths_add(cv, &list, item))
			return false;
	}
	if (list.at == NULL) /* empty, or empty directories only: still a list, of none */
		list.at = arena_array(cv->arena, 1, sizeof(*list.at));
	if (list.at == NULL)
		return no_memory(cv, o->name);
	*out = list.at;
	return true;
}

bool
config_convert(struct config_converter *cv, const struct config_option *o, const char *const *texts,
    size_t count, void *base, size_t *bad)
{
	void *member = (char *)base + o->offset;
	const char *s = texts[0];

	*bad = 0;
	switch (o->type) {
	case TYPE_ADDRESSES:
	case TYPE_PATHS:
	case TYPE_PEM_FILES:
		return parse_list(cv, o, texts, count, member, bad);
	case TYPE_ADDRESS:
		return parse_address_or_none(cv, s, member);
	case TYPE_BOOL:
		return parse_bool(cv, s, member);
	case TYPE_DATE:
		return parse_date(cv, s, member);
	case TYPE_DURATION:
		return parse_duration(cv, o, s, member);
	case TYPE_FILE:
		return parse_file(cv, s, member);
	case TYPE_ID:
		return parse_id(cv, s, member);
	case TYPE_LEVEL:
		return log_parse_level(s, member) ||
		       wrong(cv, s, "is no log level; error, warn, notice, info or debug");
	case TYPE_MODE:
		return parse_mode(cv, s, member);
	case TYPE_NUMBER:
		return parse_number(cv, o, s, member);
	case TYPE_PATH:
		return parse_path(cv, s, member);
	case TYPE_POWER_OF_TWO:
	case TYPE_SIZE:
		return parse_size(cv, o, s, member);
	case TYPE_SECRET:
		return parse_secret(cv, o, s, member);
	case TYPE_SHARING:
		if (strcmp(s, "local") != 0 && strcmp(s, "shared") != 0)
			return wrong(cv, s, "is neither local nor shared; write one of them");
		*(bool *)member = strcmp(s, "shared") == 0;
		return true;
	case TYPE_SWITCH:
		return parse_switch(cv, s, member);
	case TYPE_TEXT:
		return parse_text(cv, o, s, member);
	case TYPE_URL:
		return parse_url(cv, o, s, member);
	case TYPE_TLS_VERSION:
		if (strcmp(s, "1.2") != 0 && strcmp(s, "1.3") != 0)
			return wrong(cv, s, "is no TLS version that is spoken here; 1.2 or 1.3");
		*(bool *)member = strcmp(s, "1.3") == 0;
		return true;
	}
	return wrong(cv, s, "has a type without a parser; report it");
}

static bool
same_list(const char *const *a, const char *const *b)
{
	while (*a != NULL && *b != NULL && strcmp(*a, *b) == 0)
		a++, b++;
	return *a == NULL && *b == NULL;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
config_same(const struct config_option *o, const void *a, const void *b)
{
	const void *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;

	switch (o->type) {
	case TYPE_ADDRESSES:
	case TYPE_PATHS:
	case TYPE_PEM_FILES:
		return same_list(*(const char *const *const *)x, *(const char *const *const *)y);
	case TYPE_ADDRESS:
	case TYPE_FILE:
	case TYPE_ID:
	case TYPE_PATH:
	case TYPE_SECRET:
	case TYPE_TEXT:
	case TYPE_URL:
		return same_text(*(const char *const *)x, *(const char *const *)y);
	case TYPE_BOOL:
	case TYPE_SHARING:
	case TYPE_TLS_VERSION:
		return *(const bool *)x == *(const bool *)y;
	case TYPE_DATE:
	case TYPE_DURATION:
		return *(const int64_t *)x == *(const int64_t *)y;
	case TYPE_LEVEL:
		return *(const enum log_level *)x == *(const enum log_level *)y;
	case TYPE_SWITCH:
		return *(const enum config_switch *)x == *(const enum config_switch *)y;
	case TYPE_MODE:
	case TYPE_NUMBER:
		return *(const unsigned *)x == *(const unsigned *)y;
	case TYPE_POWER_OF_TWO:
	case TYPE_SIZE:
		return *(const size_t *)x == *(const size_t *)y;
	}
	return false;
}
