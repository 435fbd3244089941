/* SPDX-License-Identifier: Apache-2.0 */
/* Small files in the state directory: what the gateway asks for, and how the child does it. */
#include "store_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "keys/store.h"
#include "store_call.h"

enum { NAME_LEN_MAX = 128 };

/* What is asked for. */
enum { FILE_REMOVE, FILE_MAKE, FILE_REMOVE_BELOW };

/* --- the gateway's end --- */

static enum err
pack_file(struct buf *b, const struct wait *w)
{
	const struct store_file *f = CONTAINER_OF(w, const struct store_file, wait);

	pack_text(b, f->directory);
	pack_text(b, f->name);
	pack_u8(b, f->data != NULL ? FILE_MAKE : f->below ? FILE_REMOVE_BELOW : FILE_REMOVE);
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

/* What is no directory has no such file, nor has a link that leads nowhere. */
static enum err
remove_from(const char *dir, const char *entry, const char *name)
{
	char place[DISK_PATH_MAX], path[DISK_PATH_MAX];
	struct stat st;

	if (!disk_join(place, dir, entry) || !disk_join(path, place, name))
		return ERR_INVALID_FIELD;
	if (lstat(path, &st) != 0 && (errno == ENOTDIR || errno == ELOOP))
		return ERR_NO_OBJECT;
	return remove_file(path);
}

/* One that fails does not keep the others. */
static enum err
remove_below(const char *dir, const char *name)
{
	enum err e = ERR_NO_OBJECT, each;
	DIR *d = opendir(dir);
	struct dirent *de;

	if (d == NULL)
		return errno == ENOENT ? ERR_NO_OBJECT : ERR_STORAGE;
	for (errno = 0; (de = readdir(d)) != NULL; errno = 0) {
		if (!is_name(de->d_name, strlen(de->d_name)))
			continue;
		each = remove_from(dir, de->d_name, name);
		if (e == ERR_NO_OBJECT || (e == ERR_OK && each != ERR_NO_OBJECT))
			e = each;
	}
	if (errno != 0)
		e = ERR_STORAGE;
	closedir(d);
	return e;
}

enum err
store_file_run(const char *state_dir, struct unpack *body)
{
	char way[DISK_PATH_MAX], name[NAME_LEN_MAX + 1], dir[DISK_PATH_MAX], path[DISK_PATH_MAX];
	const uint8_t *data;
	const char *why;
	uint8_t what;
	size_t len;
	enum err e;

	unpack_text(body, way, sizeof(way));
	unpack_text(body, name, sizeof(name));
	what = unpack_u8(body);
	data = unpack_bytes(body, &len);
	if (!unpack_done(body) || way[0] == '\0' || !is_name(name, strlen(name)) ||
	    what > FILE_REMOVE_BELOW)
		return ERR_INVALID_FIELD;
	e = find_way(state_dir, way, what == FILE_MAKE, dir);
	if (e == ERR_OK && !disk_join(path, dir, name))
		e = ERR_INVALID_FIELD;
	if (e != ERR_OK)
		return e;
	if (what == FILE_REMOVE_BELOW)
		return remove_below(dir, name);
	return what == FILE_MAKE ? disk_put(path, data, len, &why) : remove_file(path);
}
