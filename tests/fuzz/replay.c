/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzzer over the files of its corpus, so that what it once found stays found. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20 };

/* The input lies in a block of exactly its size, where the sanitizer guards its end. */
static int
replay(int dir, const char *name)
{
	static uint8_t bytes[INPUT_MAX + 1];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	uint8_t *data;
	ssize_t n = fd >= 0 ? read(fd, bytes, sizeof(bytes)) : -1;

	if (fd >= 0)
		close(fd);
	data = n >= 0 && n <= INPUT_MAX ? malloc(n > 0 ? (size_t)n : 1) : NULL;
	if (data == NULL) {
		fprintf(stderr, "%s: cannot be read\n", name);
		return -1;
	}
	memcpy(data, bytes, (size_t)n);
	fprintf(stderr, "%s\n", name); /* the last name is the culprit's */
	LLVMFuzzerTestOneInput(data, (size_t)n);
	free(data);
	return 0;
}

int
main(int argc, char **argv)
{
	struct dirent *entry;
	unsigned count = 0;
	int failed = 0;
	DIR *dir;

	dir = argc == 2 ? opendir(argv[1]) : NULL;
	if (dir == NULL) {
		fprintf(stderr, "usage: %s corpus-directory\n", argv[0]);
		return EXIT_FAILURE;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		failed |= replay(dirfd(dir), entry->d_name);
		count++;
	}
	closedir(dir);
	fprintf(stderr, "%u inputs\n", count);
	return count > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
