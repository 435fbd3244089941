/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no daemon: root key files, made, exported, imported; backups checked or put back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "ctl.h"
#include "daemon/config.h"
#include "keys/escrow.h"
#include "keys/store.h"

enum { ERRORS_MAX = 65536, HEAP_SIZE = 256 * 1024 };

bool
ctl_guard_memory(void)
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

	if (!ctl_guard_memory())
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
		printf("%s is made.  Without it every key is lost: export-root-key makes a copy to\n"
		       "keep elsewhere.\n", path);
	return CTL_OK;
}

const struct config *
ctl_load_config(const struct ctl_call *call)
{
	const struct config *config = NULL;
	struct buf errors;

	buf_init(&errors, ERRORS_MAX);
	if (config_load(ctl_config_path(call), &config, &errors) != ERR_OK)
		config_tell(ctl_config_path(call), &errors);
	buf_fini(&errors);
	return config;
}

/* The configuration's tenants, or the file that was named for all. */
struct known_keys {
	const struct ctl_call *call;
	const struct config *config;
};

/* NULL when the configuration does not have the tenant, or was not read. */
static const struct config_vault *
vault_of(const struct known_keys *k, const char *tenant)
{
	for (size_t i = 0; k->config != NULL && i < k->config->tenants_count; i++)
		if (strcmp(k->config->tenants[i].id, tenant) == 0)
			return &k->config->tenants[i].vault;
	return NULL;
}

static const char *
root_key_of(void *arg, const char *tenant)
{
	const struct known_keys *k = arg;
	const struct config_vault *v = vault_of(k, tenant);

	if (k->call->root_key != NULL)
		return k->call->root_key;
	return v != NULL && v->kind == CONFIG_VAULT_LOCAL ? v->local.root_key_file : NULL;
}

static int
report(const struct ctl_call *call, const char *dir, enum err e, const struct store_counts *n,
    const char *why)
{
	bool tolerated = e == ERR_NO_ROOT_KEY && call->allow_unverified;

	if (e != ERR_OK)
		fprintf(stderr, "keyferryctl: %s: %s\n", dir, why[0] != '\0' ? why : err_text(e));
	if (e == ERR_OK || e == ERR_INTEGRITY || e == ERR_NO_ROOT_KEY)
		printf(call->json ? "{\"objects\":%" PRIu64 ",\"destroyed\":%" PRIu64
				    ",\"verified\":%" PRIu64 ",\"missing\":%" PRIu64
				    ",\"damaged\":%" PRIu64 ",\"elsewhere\":%" PRIu64
				    ",\"unverified\":%" PRIu64 "}\n"
				  : "objects: %" PRIu64 ", destroyed: %" PRIu64
				    ", verified: %" PRIu64 ", missing: %" PRIu64
				    ", damaged: %" PRIu64 ", elsewhere: %" PRIu64
				    ", unverified: %" PRIu64 "\n",
		    n->objects, n->destroyed, n->verified, n->missing, n->damaged, n->elsewhere,
		    n->unverified);
	return e == ERR_OK || tolerated ? CTL_OK : CTL_REFUSED;
}

/* What somebody else restores there the daemon could not open.  A directory that is not there is made. */
static bool
is_ours(const char *state_dir)
{
	struct stat st;

	if (stat(state_dir, &st) != 0 || st.st_uid == geteuid())
		return true;
	fprintf(stderr,
	    "keyferryctl: %s: the state directory belongs to the user with the id %ld: restore as "
	    "that one\n",
	    state_dir, (long)st.st_uid);
	return false;
}

/* Puts a backup back, or only checks it. */
static int
with_copy(const struct ctl_call *call, bool restore)
{
	struct known_keys known = {.call = call};
	const struct store_root_keys roots = {root_key_of, &known};
	struct store_counts counts = {0};
	const char *why = "", *dir = call->words[0];
	enum err e;

	if (!ctl_guard_memory())
		return CTL_REFUSED;
	if (restore || call->root_key == NULL) {
		known.config = ctl_load_config(call);
		if (known.config == NULL)
			return CTL_USAGE;
	}
	if (restore && !is_ours(known.config->state_dir)) {
		config_unref(known.config);
		return CTL_REFUSED;
	}
	e = restore ? store_restore(dir, known.config->state_dir, &roots, &counts, &why)
		    : store_verify_copy(dir, &roots, &counts, &why);
	config_unref(known.config);
	return report(call, dir, e, &counts, why);
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

/* --- root keys outside the machine --- */

static int
escrow_done(const struct ctl_call *call, const char *what, enum err e, const char *why)
{
	if (e != ERR_OK) {
		fprintf(stderr, "keyferryctl: the root key is not %s: %s\n", what, why);
		return CTL_REFUSED;
	}
	if (call->json)
		printf("{\"root-key\":\"%s\"}\n", what);
	else
		printf("%s: the root key is %s\n", call->words[1], what);
	return CTL_OK;
}

int
ctl_export_root_key(const struct ctl_call *call)
{
	const struct escrow x = {
	    .root_key_file = call->words[0],
	    .escrow_file = call->words[1],
	    .passphrase_file = call->passphrase_file,
	    .certificate = call->certificate,
	};
	const char *why = "";
	enum err e;

	if ((x.passphrase_file == NULL) == (x.certificate == NULL)) {
		fprintf(stderr,
		    "keyferryctl: export-root-key: one of --passphrase-file and --certificate\n");
		return CTL_USAGE;
	}
	if (!ctl_guard_memory())
		return CTL_REFUSED;
	e = escrow_export(&x, &why);
	return escrow_done(call, "exported", e, why);
}

int
ctl_import_root_key(const struct ctl_call *call)
{
	const struct escrow x = {
	    .escrow_file = call->words[0],
	    .root_key_file = call->words[1],
	    .passphrase_file = call->passphrase_file,
	    .private_key = call->private_key,
	};
	const char *why = "";
	enum err e;

	if (x.passphrase_file == NULL && x.private_key == NULL) {
		fprintf(stderr,
		    "keyferryctl: import-root-key: --passphrase-file or --private-key is wanted\n");
		return CTL_USAGE;
	}
	if (!ctl_guard_memory())
		return CTL_REFUSED;
	e = escrow_import(&x, &why);
	return escrow_done(call, "imported", e, why);
}
