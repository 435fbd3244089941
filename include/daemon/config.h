/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file, parsed once into values that never change afterwards.  References are
 * counted, so that what still runs under an older configuration keeps it.  The options, with
 * their defaults and limits, stand in daemon/config.def and nowhere else.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "gate/limit.h"

/* Lists of text end with NULL.  Paths are those of the file, or relative to its directory. */

struct config_tls {
	const char *const *certificates;
	const char *const *private_keys; /* as many, in the same order */
	const char *const *next_certificates;
	bool min_version_13;
	bool legacy_cbc;
	bool resumption, resumption_12;
	const char *ticket_key_file; /* NULL: none */
};

struct config_local {
	const char *root_key_file;
};

/* Texts and files that are not given are NULL. */
struct config_keyprotect {
	const char *url, *iam_url;
	const char *instance, *root_key, *key_ring, *name_prefix;
	const char *api_key_file;		       /* this, or the next three */
	const char *token_file, *profile_id, *profile_name;
	const char *ca_file, *proxy;
	const char *service_ids; /* of other gateways, blanks between them */
	bool attributes_shared;
	bool own_generator;
	int64_t call_timeout_ns, operation_timeout_ns;
	unsigned call_rate_max, calls_max;
};

enum config_vault_kind { CONFIG_VAULT_LOCAL, CONFIG_VAULT_KEYPROTECT, CONFIG_VAULTS };

struct config_vault {
	enum config_vault_kind kind;
	struct config_local local;
	struct config_keyprotect keyprotect;
};

enum config_switch { SWITCH_AUTO, SWITCH_OFF, SWITCH_ON };

enum config_ledger_kind { CONFIG_LEDGER_SQLITE };

struct config_ledger {
	enum config_ledger_kind kind;
};

struct config_tenant {
	const char *title; /* for people; unique */
	const char *id;	   /* what records are bound to; unique */
	/* PEM files; a directory has been replaced by the *.pem files in it, in order of name */
	const char *const *client_certificates, *const *read_only_certificates;
	const char *const *client_ca;
	const char *client_subject; /* NULL exactly when client_ca is empty */
	const char *const *crl_files; /* empty without client_ca */
	int64_t accept_expired_until; /* seconds since 1970; 0: expired ones are refused */
	struct config_vault vault;
	struct config_ledger ledger;
	enum config_switch born_active;
	bool serve_compromised;
	int64_t revocation_bound_ns, ride_out_max_ns;
	unsigned warm_keys;
	struct limit_settings limits;
};

struct config {
	const char *path; /* of the file itself */
	const char *const *listen;
	bool listen_shared; /* other gateways of this machine listen there, too */
	struct config_tls tls;
	const char *control_socket;
	unsigned control_socket_mode;
	const char *stats_socket; /* NULL: none; so for stats_listen */
	unsigned stats_socket_mode;
	const char *stats_listen;
	const char *state_dir;
	size_t secure_heap_size; /* a power of two */
	bool allow_unlocked_heap;
	bool seccomp;
	enum log_level log_level;
	const char *audit_file; /* NULL: the log */
	bool audit_required;
	size_t request_size_max, response_size_max;
	unsigned items_max;
	unsigned sessions_max; /* 0: as many as descriptors allow */
	unsigned handshakes_max;
	int64_t handshake_timeout_ns, request_timeout_ns, idle_timeout_ns, drain_timeout_ns;
	const struct config_tenant *tenants;
	size_t tenants_count;
};

/*
 * Reads and checks a file; *out holds one reference.  On failure (ERR_CONFIG, ERR_NO_MEMORY)
 * errors holds a line for each thing that is wrong, each ended by a newline:
 *	FILE:LINE: option "x": what is wrong; what would be right
 * Reads no certificate and no key.  Not reentrant.
 */
CHECKED enum err config_load(const char *path, const struct config **out, struct buf *errors);
/* Prints why it failed on standard error; when there was no memory for the text either, that. */
void config_tell(const char *path, const struct buf *errors);
const struct config *config_ref(const struct config *c);
void config_unref(const struct config *c); /* NULL is allowed */

/*
 * Appends the names of options that differ and take effect at a restart only, separated by ", ".
 * True when there was any.
 */
bool config_reload_diff(
    const struct config *running, const struct config *fresh, struct buf *names);

#endif
