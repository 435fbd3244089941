/* SPDX-License-Identifier: Apache-2.0 */
/* The one error type.  Every error has a name and a text that is safe to show to a client. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
#define ERR(name, text) ERR_##name,
#include "base/err.def"
#undef ERR
};

/* How many there are. */
enum {
#define ERR(name, text) +1
	ERR_COUNT = 0
#include "base/err.def"
#undef ERR
};

#define CHECKED __attribute__((warn_unused_result))

/* Text for people; never contains input, paths or key material.  Static storage. */
const char *err_text(enum err e);

/* The error's name as err.def has it, for logs.  Static storage. */
const char *err_name(enum err e);

#endif
