/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the configuration file.  What is wrong is told in lines with the file's name. */
#include <string.h>

#include "daemon/config.h"
#include "fuzz.h"
#include "place.h"

enum { INPUT_MAX = 16 << 10, ERRORS_MAX = 1 << 20 };

static void
look_at(const struct config *c)
{
	struct buf names;

	buf_init(&names, ERRORS_MAX);
	MUST(!config_reload_diff(c, c, &names) && names.len == 0);
	buf_fini(&names);
	MUST(c->tenants_count > 0 && c->listen != NULL && c->tls.certificates[0] != NULL);
	for (size_t i = 0; i < c->tenants_count; i++) {
		const struct config_tenant *t = &c->tenants[i];

		MUST(strlen(t->title) < INPUT_MAX && t->id[0] != '\0');
		MUST((t->client_subject == NULL) == (t->client_ca[0] == NULL));
		for (size_t k = 0; k < i; k++)
			MUST(strcmp(t->id, c->tenants[k].id) != 0);
	}
}

static void
look_at_errors(const struct buf *errors, const char *path)
{
	const char *line = (const char *)errors->data, *end = line + errors->len;

	MUST(buf_error(errors) != ERR_OK || (errors->len > 0 && end[-1] == '\n'));
	MUST(errors->len == 0 || memmem(line, errors->len, path, strlen(path)) == line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[PLACE_PATH_MAX], pem[PLACE_PATH_MAX];
	const struct config *c = NULL;
	struct buf errors;
	enum err e;

	if (size > INPUT_MAX)
		return 0;
	if (path[0] == '\0') {
		place_path(path, "k.conf");
		place_path(pem, "a.pem");
		place_file(pem, "a", 1);
	}
	place_file(path, data, size);
	buf_init(&errors, ERRORS_MAX);
	e = config_load(path, &c, &errors);
	if (e == ERR_OK) {
		MUST(errors.len == 0);
		look_at(c);
	} else {
		MUST(e == ERR_CONFIG && c == NULL);
		look_at_errors(&errors, path);
	}
	config_unref(c);
	buf_fini(&errors);
	return 0;
}
