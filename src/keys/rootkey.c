/* SPDX-License-Identifier: Apache-2.0 */
/* Root key files: "VERSION HEX64" a line; read into the secure heap, written once with mode 0600. */
#include "rootkey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/secret_file.h"
#include "base/text.h"
#include "disk.h"
#include "keys/store.h"

enum { FILE_MAX = 8192 };

static enum err
add_line(struct rootkeys *r, char *line, const char **why)
{
	char *end;
	unsigned long version;
	struct secret *key;

	*why = "a line of the root key file is not \"VERSION HEX\" with 64 digits";
	if (*line < '1' || *line > '9')
		return ERR_CONFIG;
	errno = 0;
	version = strtoul(line, &end, 10);
	if (errno != 0 || version > UINT32_MAX || *end != ' ')
		return ERR_CONFIG;
	if (r->count == ROOT_KEYS_MAX || rootkeys_find(r, (uint32_t)version) != NULL) {
		*why = "the root key file has a version twice, or more than 64";
		return ERR_CONFIG;
	}
	key = secret_new(ROOT_KEY_LEN, SECRET_KEPT);
	if (key == NULL) {
		*why = "there is no room in the secure heap for the root keys";
		return ERR_NO_SECURE_MEMORY;
	}
	if (!text_unhex(secret_bytes(key), ROOT_KEY_LEN, end + 1)) {
		secret_unref(key);
		return ERR_CONFIG;
	}
	r->all[r->count].version = (uint32_t)version;
	r->all[r->count].key = key;
	if (version >= r->all[r->newest].version)
		r->newest = r->count;
	r->count++;
	return ERR_OK;
}

enum err
rootkeys_read(struct secret **text, const char *path, const char **why)
{
	return secret_file_read(text, path, FILE_MAX, TRUSTED_SECRET, "the root key file", why);
}

enum err
rootkeys_parse(struct rootkeys *r, struct secret *text, const char **why)
{
	char *line, *rest = (char *)secret_bytes(text);
	struct rootkeys keys = {.count = 0};
	enum err e = ERR_OK;

	while (e == ERR_OK && (line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0')
			e = add_line(&keys, line, why);
	if (e == ERR_OK && keys.count == 0) {
		*why = "the root key file is empty";
		e = ERR_CONFIG;
	}
	if (e == ERR_OK)
		*r = keys;
	else
		rootkeys_fini(&keys);
	return e;
}

enum err
rootkeys_load(struct rootkeys *r, const char *path, const char **why)
{
	struct secret *text;
	enum err e = rootkeys_read(&text, path, why);

	if (e != ERR_OK)
		return e;
	e = rootkeys_parse(r, text, why);
	secret_unref(text);
	return e;
}

void
rootkeys_fini(struct rootkeys *r)
{
	while (r->count > 0)
		secret_unref(r->all[--r->count].key);
}

struct secret *
rootkeys_find(const struct rootkeys *r, uint32_t version)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->all[i].version == version)
			return r->all[i].key;
	return NULL;
}

enum err
vault_local_make_root_key(const char *path)
{
	enum { LINE = 2 + 2 * ROOT_KEY_LEN + 1 };
	struct secret *key = secret_new(ROOT_KEY_LEN, SECRET_TRANSIENT);
	struct secret *line = secret_new(LINE + 1, SECRET_TRANSIENT);
	enum err e = ERR_NO_SECURE_MEMORY;
	const char *why;
	char *text;

	if (key == NULL || line == NULL)
		goto out;
	e = ERR_CRYPTO;
	if (RAND_priv_bytes(secret_bytes(key), ROOT_KEY_LEN) != 1)
		goto out;
	text = (char *)secret_bytes(line);
	memcpy(text, "1 ", 2);
	text_hex(text + 2, secret_bytes(key), ROOT_KEY_LEN);
	text[LINE - 1] = '\n';
	e = disk_write_new(path, text, LINE, &why);
out:
	secret_unref(line);
	secret_unref(key);
	return e;
}
