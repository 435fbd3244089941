/* SPDX-License-Identifier: Apache-2.0 */
/* Small files in the state directory: what the gateway asks for, and how the child does it. */
#include "store_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "keys/store.h"
#include "store_call.h"

enum { NAME_LEN_MAX = 128 };

/* --- the gateway's end --- */

static enum err
pack_file(struct buf *b, const struct wait *w)
{
	const struct store_file *f = CONTAINER_OF(w, const struct store_file, wait);

	pack_text(b, f->directory);
	pack_text(b, f->name);
	pack_u8(b, f->data != NULL);
	pack_bytes(b, f->data, f->data != NULL ? f->len : 0);
	return ERR_OK;
}

void
store_file(struct store *s, struct store_file *f)
{
	static const struct store_call_type type = {.kind = WIRE_FILE, .pack = pack_file};

	store_call(s, &type, &f->wait, NULL, 0);
}

/* --- the child's end --- */

/* One name, which leads nowhere else. */
static bool
is_name(const char *s, size_t len)
{
	return len > 0 && len <= NAME_LEN_MAX && s[0] != '.' && memchr(s, '/', len) == NULL;
}

/* With make, makes what is missing; each directory is on the disk before the next one. */
static enum err
find_way(const char *state_dir, const char *way, bool make, char path[DISK_PATH_MAX])
{
	size_t len;

	for (const char *p = way; *p != '\0'; p += len + (p[len] == '/')) {
		char upto[DISK_PATH_MAX] = "";

		len = strcspn(p, "/");
		if (!is_name(p, len) || (size_t)(p - way) + len >= sizeof(upto))
			return ERR_INVALID_FIELD;
		memcpy(upto, way, (size_t)(p - way) + len);
		if (!disk_join(path, state_dir, upto))
			return ERR_INVALID_FIELD;
		if (!make)
			continue;
		if (mkdir(path, 0700) == 0 ? disk_sync_parent(path) != 0 : errno != EEXIST)
			return ERR_STORAGE;
	}
	return ERR_OK;
}

static enum err
remove_file(const char *path)
{
	bool found;
	enum err e = disk_remove(path, &found);

	return e == ERR_OK && !found ? ERR_NO_OBJECT : e;
}

enum err
store_file_run(const char *state_dir, struct unpack *body)
{
	char way[DISK_PATH_MAX], name[NAME_LEN_MAX + 1], dir[DISK_PATH_MAX], path[DISK_PATH_MAX];
	const uint8_t *data;
	const char *why;
	bool present;
	size_t len;
	enum err e;

	unpack_text(body, way, sizeof(way));
	unpack_text(body, name, sizeof(name));
	present = unpack_u8(body) != 0;
	data = unpack_bytes(body, &len);
	if (!unpack_done(body) || way[0] == '\0' || !is_name(name, strlen(name)))
		return ERR_INVALID_FIELD;
	e = find_way(state_dir, way, present, dir);
	if (e == ERR_OK && !disk_join(path, dir, name))
		e = ERR_INVALID_FIELD;
	if (e != ERR_OK)
		return e;
	return present ? disk_put(path, data, len, &why) : remove_file(path);
}
