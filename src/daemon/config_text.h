/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file in memory, fit for libconfuse. */
#ifndef DAEMON_CONFIG_TEXT_H
#define DAEMON_CONFIG_TEXT_H

#include <stdbool.h>

#include "base/buf.h"

enum { CONFIG_TEXT_MAX = 1 << 20 };

/* The word that stands for an empty list.  Nobody can write it by accident. */
#define CONFIG_TEXT_EMPTY "\002"

/*
 * Reads a file, blanks its comments and fills its empty lists, keeping every line.  False with a sentence about what is
 * wrong and would be right (static storage), and its line or 0.  text is the caller's to end.
 */
bool config_text_read(const char *path, struct buf *text, int *line, const char **why);

#endif
