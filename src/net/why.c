/* SPDX-License-Identifier: Apache-2.0 */
/* The sentence that says why. */
#include "why.h"

#include <stdarg.h>
#include <stdio.h>

static char sentence[1024];

enum err
why_say(const char **why, enum err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	*why = sentence;
	return e;
}
