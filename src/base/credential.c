/* SPDX-License-Identifier: Apache-2.0 */
/* Where a secret's file is, and who may read it. */
#include "base/credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "credential:"
enum { SCHEME_LEN = sizeof(SCHEME) - 1, NAME_MAX_LEN = 255 };

/* Where systemd has put this service's credentials, or NULL. */
static const char *
directory(void)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	return dir != NULL && dir[0] == '/' ? dir : NULL;
}

bool
credential_is(const char *path)
{
	return strncmp(path, SCHEME, SCHEME_LEN) == 0;
}

bool
credential_has_name(const char *path)
{
	const char *name = path + SCHEME_LEN;

	return name[0] != '\0' && strlen(name) <= NAME_MAX_LEN && strchr(name, '/') == NULL &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

enum err
credential_path(char out[CREDENTIAL_PATH_MAX], const char *path, const char **why)
{
	const char *dir = directory();
	int n;

	if (!credential_is(path)) {
		n = snprintf(out, CREDENTIAL_PATH_MAX, "%s", path);
	} else if (!credential_has_name(path)) {
		*why = "a credential has the name of one file";
		return ERR_CONFIG;
	} else if (dir == NULL) {
		*why = "there are no credentials: systemd sets CREDENTIALS_DIRECTORY for a service "
		       "with LoadCredential= or LoadCredentialEncrypted=";
		return ERR_CONFIG;
	} else {
		n = snprintf(out, CREDENTIAL_PATH_MAX, "%s/%s", dir, path + SCHEME_LEN);
	}
	*why = "the path is too long";
	return n < CREDENTIAL_PATH_MAX ? ERR_OK : ERR_CONFIG;
}

mode_t
credential_refused_mode(const char *opened)
{
	const char *dir = directory();
	size_t len = dir != NULL ? strlen(dir) : 0;

	return len > 0 && strncmp(opened, dir, len) == 0 && opened[len] == '/' &&
		       strstr(opened + len, "/..") == NULL
		   ? 037
		   : 077;
}
