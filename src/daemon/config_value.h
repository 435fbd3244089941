/* SPDX-License-Identifier: Apache-2.0 */
/* The option table as data, and how the text of an option becomes its value. */
#ifndef DAEMON_CONFIG_VALUE_H
#define DAEMON_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"

/* The structs of daemon/config.h that options belong to: SCOPE_ and the struct's name. */
enum config_scope {
	SCOPE_config, SCOPE_config_tls, SCOPE_config_tenant, SCOPE_config_local,
	SCOPE_config_keyprotect
};

enum config_type {
	TYPE_ADDRESSES, /* list of HOST:PORT */
	TYPE_ADDRESS,	/* HOST:PORT, or NULL when it is empty */
	TYPE_BOOL,
	TYPE_DATE,     /* int64_t: the day's end */
	TYPE_DURATION, /* int64_t nanoseconds */
	TYPE_FILE,     /* a path, or NULL when it is empty */
	TYPE_ID,
	TYPE_LEVEL,  /* enum log_level */
	TYPE_MODE,   /* unsigned */
	TYPE_NUMBER, /* unsigned */
	TYPE_PATH,
	TYPE_PATHS, /* list of paths or credentials */
	TYPE_PEM_FILES,	   /* list; directories are expanded */
	TYPE_POWER_OF_TWO, /* size_t */
	TYPE_SECRET,	   /* a path or a credential, or NULL when it is empty */
	TYPE_SHARING,	   /* bool: shared */
	TYPE_SIZE,	   /* size_t */
	TYPE_SWITCH,	   /* enum config_switch */
	TYPE_TEXT,	   /* NULL when it is empty */
	TYPE_TLS_VERSION,  /* bool: 1.3 */
	TYPE_URL,	   /* begins with https:// */
};

enum config_when { WHEN_RELOAD, WHEN_RESTART };

struct config_option {
	enum config_scope scope;
	size_t offset; /* of the member in the scope's struct */
	const char *name;
	enum config_type type;
	const char *fallback, *least, *most; /* NULL: required, no limit */
	enum config_when when;
	const char *help;
};

/* The n-th row of config.def, or NULL past the last. */
const struct config_option *config_option(size_t n);
bool config_type_is_list(enum config_type type);

/* What conversion needs, and what it says when it fails. */
struct config_converter {
	struct arena *arena; /* values live here */
	const char *dir;     /* of the file: relative paths start there */
	struct buf problem;  /* "what is wrong; what would be right" */
};

/*
 * Converts the texts (one, but for lists) and sets the member in *base.  On failure *bad is the
 * index of the text that is wrong and nothing is set.
 */
bool config_convert(struct config_converter *cv, const struct config_option *o,
    const char *const *texts, size_t count, void *base, size_t *bad);

/* Whether the option has the same value in two structs of its scope. */
bool config_same(const struct config_option *o, const void *a, const void *b);

#endif
