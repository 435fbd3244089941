/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzzer over the files of its corpus, so that what it once found stays found. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20 };

/* The input lies in a block of exactly its size, where the sanitizer guards its end. */
static int
replay(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > INPUT_MAX) {
		fprintf(stderr, "%s: cannot be read\n", name);
		return -1;
	}
	data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	n = data != NULL ? read(fd, data, (size_t)st.st_size) : -1;
	close(fd);
	if (n != st.st_size) {
		fprintf(stderr, "%s: cannot be read\n", name);
		free(data);
		return -1;
	}
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
