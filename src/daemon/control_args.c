/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of a command of the control socket. */
#include "control_args.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control.h"

enum { SENTENCE_MAX = 160 };

const char *
control_arg(const struct control_call *call, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 1; i < call->argc; i++)
		if (strncmp(call->argv[i], name, len) == 0 && call->argv[i][len] == '=')
			return call->argv[i] + len + 1;
	return NULL;
}

const char *
control_word(const struct control_call *call, size_t n)
{
	for (size_t i = 1; i < call->argc; i++)
		if (call->argv[i][0] == '=' && n-- == 0)
			return call->argv[i] + 1;
	return NULL;
}

bool
control_number(const struct control_call *call, const char *name, uint64_t max, uint64_t fallback,
    uint64_t *out)
{
	const char *s = control_arg(call, name);
	unsigned long long v;
	char *end;

	if (s == NULL) {
		*out = fallback;
		return true;
	}
	errno = 0;
	v = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || *end != '\0' || errno != 0 || v > max)
		return false;
	*out = v;
	return true;
}

bool
control_flag(const struct control_call *call, const char *name)
{
	const char *value = control_arg(call, name);

	return value != NULL && strcmp(value, "yes") == 0;
}

/* --- what a command takes --- */

/* How an argument stands in a command's usage. */
struct place {
	size_t count; /* how often it may be given */
	bool flag;
};

/* Name: of len bytes; none for a word. */
static struct place
find_place(const char *usage, const char *name, size_t len)
{
	struct place found = {0};
	const char *equals;
	size_t n, its;

	for (usage += strspn(usage, " [|"); *usage != '\0'; usage += n + strspn(usage + n, " [|")) {
		n = strcspn(usage, " ");
		equals = memchr(usage, '=', n);
		its = equals != NULL ? (size_t)(equals - usage) : 0;
		if (its != len || memcmp(usage, name, len) != 0)
			continue;
		found.flag = equals != NULL && strncmp(equals, "=yes", 4) == 0;
		found.count += n > 3 && memcmp(usage + n - 3, "...", 3) == 0 ? CONTROL_ARGS_MAX : 1;
	}
	return found;
}

/* How many arguments before the n-th have its name; len: of that. */
static size_t
count_before(const struct control_call *call, size_t n, size_t len)
{
	size_t count = 0;

	for (size_t i = 1; i < n; i++)
		count += strncmp(call->argv[i], call->argv[n], len + 1) == 0; /* and the "=" */
	return count;
}

/* What is wrong with the n-th, or NULL. */
static const char *
wrong_with(const struct control_command *cmd, const struct control_call *call, size_t n)
{
	const char *arg = call->argv[n], *value = strchr(arg, '=');
	size_t len = value != NULL ? (size_t)(value - arg) : 0, before;
	struct place place;

	if (value == NULL)
		return "is neither NAME=VALUE nor =WORD";
	place = find_place(cmd->usage, arg, len);
	before = count_before(call, n, len);
	if (len == 0)
		return before < place.count ? NULL : "is one word more than the command takes";
	if (place.count == 0)
		return "is no argument of the command";
	if (before >= place.count)
		return "is given twice";
	if (place.flag && strcmp(value, "=yes") != 0 && strcmp(value, "=no") != 0)
		return "has to be yes or no";
	return NULL;
}

const char *
control_args_wrong(const struct control_command *cmd, const struct control_call *call)
{
	static char sentence[SENTENCE_MAX];
	const char *wrong;
	size_t len;

	for (size_t i = 1; i < call->argc; i++) {
		wrong = wrong_with(cmd, call, i);
		if (wrong == NULL)
			continue;
		len = strcspn(call->argv[i], "=");
		if (len == 0)
			len = strlen(call->argv[i]); /* a word is itself what is wrong */
		snprintf(sentence, sizeof(sentence), "%.*s: %s", len < 64 ? (int)len : 64,
		    call->argv[i], wrong);
		return sentence;
	}
	return NULL;
}
