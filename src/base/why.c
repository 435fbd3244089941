/* SPDX-License-Identifier: Apache-2.0 */
/* The sentence that says why. */
#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char sentence[1024];

enum err
why_say(const char **why, enum err e, const char *fmt, ...)
{
	char next[sizeof(sentence)] = ""; /* the last one may be among the arguments */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(next, sizeof(next), fmt, ap);
	va_end(ap);
	memcpy(sentence, next, sizeof(sentence));
	*why = sentence;
	return e;
}
