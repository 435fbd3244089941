/* SPDX-License-Identifier: Apache-2.0 */
/* What must fit together in the configuration, beyond the value of one option. */
#include "config_check.h"

#include <string.h>
#include <strings.h>

void
config_check_keyprotect(struct config_report *r, cfg_t *section, const struct config_keyprotect *kp)
{
	bool profile = kp->profile_id != NULL || kp->profile_name != NULL;

	if (kp->name_prefix == NULL)
		config_report(r, section->line,
		    "option \"name-prefix\": is empty in the vault above; records are known by it");
	if ((kp->api_key_file != NULL) == profile || (kp->token_file != NULL && !profile) ||
	    (kp->profile_id != NULL && kp->profile_name != NULL))
		config_report(r, section->line,
		    "option \"api-key-file\": is not the one credential in the vault above; give "
		    "api-key-file, or one of profile-id and profile-name with the token-file of a "
		    "compute resource");
}

/* An authority vouches for many; without a rule all of them would be the tenant's. */
void
config_check_clients(struct config_report *r, cfg_t *section, const struct config_tenant *t)
{
	bool authorities = t->client_ca != NULL && t->client_ca[0] != NULL;

	if (authorities != (t->client_subject != NULL))
		config_report(r, section->line,
		    "option \"client-subject\": is not given together with client-ca in tenant \"%.64s\" "
		    "above; give both or none",
		    config_section_title(section));
	if (!authorities && t->crl_files != NULL && t->crl_files[0] != NULL)
		config_report(r, section->line,
		    "option \"crl-file\": is given without client-ca in tenant \"%.64s\" above, and "
		    "would be of no effect", config_section_title(section));
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Without a ring all are searched. */
static bool
share_ring(const char *a, const char *b)
{
	return a == NULL || b == NULL || strcmp(a, b) == 0;
}

/*
 * Records are known by name: two tenants that share names would take each other's for theirs.  An
 * instance is the same by whatever URL.
 */
static bool
same_records(const struct config_vault *a, const struct config_vault *b)
{
	const struct config_keyprotect *p = &a->keyprotect, *q = &b->keyprotect;

	return a->kind == CONFIG_VAULT_KEYPROTECT && b->kind == CONFIG_VAULT_KEYPROTECT &&
	    p->instance != NULL && q->instance != NULL &&
	    strcasecmp(p->instance, q->instance) == 0 && share_ring(p->key_ring, q->key_ring) &&
	    same_text(p->name_prefix, q->name_prefix);
}

void
config_check_apart(struct config_report *r, cfg_t *section, const struct config_tenant *t,
    const struct config_tenant *other)
{
	if (t->id != NULL && same_text(t->id, other->id))
		config_report(r, config_value_line(cfg_getopt(section, "id"), 0),
		    "option \"id\": \"%s\" is that "
		    "of tenant \"%.64s\" as well; every tenant needs its own",
		    t->id, other->title);
	if (same_records(&t->vault, &other->vault))
		config_report(r, section->line,
		    "option \"name-prefix\": instance, prefix and key ring (if none: all) above are "
		    "those of tenant \"%.64s\" as well; give every tenant a prefix of its own",
		    other->title);
}

void
config_check_tls(struct config_report *r, cfg_t *section)
{
	cfg_opt_t *certificates = cfg_getopt(section, "certificate");
	cfg_opt_t *keys = cfg_getopt(section, "private-key");
	size_t keys_count = config_value_count(keys);
	size_t certificates_count = config_value_count(certificates);

	if (keys_count > 0 && certificates_count > 0 && keys_count != certificates_count)
		config_report(r, config_value_line(keys, 0),
		    "option \"private-key\": %zu keys for %zu certificates; one key for each, in the "
		    "same order",
		    keys_count, certificates_count);
}

/* Lines that go to the log are never missed. */
void
config_check_audit(struct config_report *r, cfg_t *section, const struct config *c)
{
	if (c->audit_required && c->audit_file == NULL)
		config_report(r, config_value_line(cfg_getopt(section, "audit-required"), 0),
		    "option \"audit-required\": is given without audit-file, and would be of no effect");
}
