/* SPDX-License-Identifier: Apache-2.0 */
/* Failures of the time before serving, as a sentence for who wrote the configuration. */
#ifndef BASE_WHY_H
#define BASE_WHY_H

#include "base/err.h"

/*
 * Writes the sentence to static storage, points *why at it, and returns e.  It is valid until the
 * next call, for which it may be an argument.
 */
enum err why_say(const char **why, enum err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
