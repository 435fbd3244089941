/* SPDX-License-Identifier: Apache-2.0 */
/* Small files with secrets, read into the secure heap: root keys, passphrases, private keys. */
#ifndef BASE_SECRET_FILE_H
#define BASE_SECRET_FILE_H

#include <stddef.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/trusted.h"

/*
 * The whole file with a NUL behind it, at most max bytes.  what names the file in sentences ("the
 * root key file").  ERR_CONFIG: someone has to mend the file; ERR_IO, ERR_NO_SECURE_MEMORY: it could
 * not be read now, and says nothing.  *why is valid until the next call.
 */
CHECKED enum err secret_file_read(struct secret **out, const char *path, size_t max,
    enum trusted kind, const char *what, const char **why);

#endif
