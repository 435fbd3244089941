/* SPDX-License-Identifier: Apache-2.0 */
/* The child's end of store_file(). */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "base/err.h"
#include "base/pack.h"

/* Makes or removes the file that body describes.  ERR_INVALID_FIELD, ERR_STORAGE(_FULL). */
CHECKED enum err store_file_run(const char *state_dir, struct unpack *body);

#endif
