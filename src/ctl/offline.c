/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no daemon: root key files, and backups that are checked or put back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "ctl.h"
#include "daemon/config.h"
#include "keys/store.h"

enum { ERRORS_MAX = 65536, HEAP_SIZE = 256 * 1024 };

/*
 * Keys pass through this process as well: no core, memory that is wiped, and locked where the
 * limits of whoever runs it allow.
 */
static bool
guard_memory(void)
{
	bool locked;
	enum err e = prctl(PR_SET_DUMPABLE, 0) == 0 ? alloc_install() : ERR_INTERNAL;

	if (e == ERR_OK)
		e = secret_heap_init(HEAP_SIZE, true, &locked);
	if (e != ERR_OK)
		fprintf(stderr, "keyferryctl: memory for keys: %s\n", err_text(e));
	else if (!locked)
		fprintf(stderr, "keyferryctl: memory for keys is not locked (see ulimit -l)\n");
	return e == ERR_OK;
}

int
ctl_make_root_key(const struct ctl_call *call)
{
	const char *path = call->words[0];
	enum err e;

	if (!guard_memory())
		return CTL_REFUSED;
	e = vault_local_make_root_key(path);
	if (e != ERR_OK) {
		fprintf(stderr, "keyferryctl: %s: cannot be made (it may be there already): %s\n",
		    path, err_text(e));
		return CTL_REFUSED;
	}
	if (call->json)
		printf("{\"root-key-file\":\"made\"}\n");
	else
		printf("%s is made.  Keep a copy of it elsewhere: without it every key is lost.\n",
		    path);
	return CTL_OK;
}

/* The configuration, or NULL after saying why not. */
static const struct config *
load_config(const struct ctl_call *call)
{
	const struct config *config = NULL;
	struct buf errors;

	buf_init(&errors, ERRORS_MAX);
	if (config_load(ctl_config_path(call), &config, &errors) != ERR_OK)
		fwrite(errors.data, 1, errors.len, stderr);
	buf_fini(&errors);
	return config;
}

/* The root key file that was named, or that of the configuration when it has only one. */
static const char *
find_root_key(const struct ctl_call *call, const struct config *config)
{
	const char *only = call->root_key;

	for (size_t i = 0; call->root_key == NULL && i < config->tenants_count; i++) {
		const char *file = config->tenants[i].vault.root_key_file;

		if (only != NULL && strcmp(only, file) != 0) {
			fprintf(stderr,
			    "keyferryctl: tenants have different root key files; name one with "
			    "--root-key\n");
			return NULL;
		}
		only = file;
	}
	return only;
}

static int
report(const struct ctl_call *call, const char *dir, enum err e, const struct store_counts *n,
    const char *why)
{
	if (e != ERR_OK)
		fprintf(stderr, "keyferryctl: %s: %s\n", dir, why[0] != '\0' ? why : err_text(e));
	if (e == ERR_OK || e == ERR_INTEGRITY)
		printf(call->json ? "{\"objects\":%" PRIu64 ",\"destroyed\":%" PRIu64
				    ",\"verified\":%" PRIu64 ",\"missing\":%" PRIu64
				    ",\"damaged\":%" PRIu64 "}\n"
				  : "objects: %" PRIu64 ", destroyed: %" PRIu64
				    ", verified: %" PRIu64 ", missing: %" PRIu64
				    ", damaged: %" PRIu64 "\n",
		    n->objects, n->destroyed, n->verified, n->missing, n->damaged);
	return e == ERR_OK ? CTL_OK : CTL_REFUSED;
}

/* Puts a backup back, or only checks it. */
static int
with_copy(const struct ctl_call *call, bool restore)
{
	const struct config *config = NULL;
	struct store_counts counts = {0};
	const char *root_key, *why = "", *dir = call->words[0];
	int status = CTL_USAGE;
	enum err e;

	if (!guard_memory())
		return CTL_REFUSED;
	if (restore || call->root_key == NULL) {
		config = load_config(call);
		if (config == NULL)
			return CTL_USAGE;
	}
	root_key = find_root_key(call, config);
	if (root_key != NULL) {
		e = restore ? store_restore(dir, config->state_dir, root_key, &counts, &why)
			    : store_verify_copy(dir, root_key, &counts, &why);
		status = report(call, dir, e, &counts, why);
	}
	config_unref(config);
	return status;
}

int
ctl_restore(const struct ctl_call *call)
{
	return with_copy(call, true);
}

int
ctl_verify(const struct ctl_call *call)
{
	return with_copy(call, false);
}
