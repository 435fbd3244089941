/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for what a fuzzer's input is read from, in memory where the machine has such a place. */
#ifndef TESTS_FUZZ_PLACE_H
#define TESTS_FUZZ_PLACE_H

#include <stddef.h>

enum { PLACE_PATH_MAX = 128 };

/* "directory/name"; the directory is made at first, and goes with all in it when the program ends. */
void place_path(char out[PLACE_PATH_MAX], const char *name);
/* Makes the file or replaces it; mode 0600. */
void place_file(const char *path, const void *data, size_t len);
/* Removes it, and all that is below it; it need not be there. */
void place_remove(const char *path);

#endif
