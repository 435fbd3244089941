/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, in the words of audit lines. */
#include "audit_client.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

enum { MEMBERS_MAX = 1024 };

struct audit_client *
audit_client_new(const char *tenant, const char *address, const uint8_t *sha256)
{
	struct audit_client *c = alloc_zero(sizeof(*c));
	struct json j;

	if (c == NULL)
		return NULL;
	c->refs = 1;
	snprintf(c->tenant, sizeof(c->tenant), "%s", tenant);
	snprintf(c->address, sizeof(c->address), "%s", address);
	if (sha256 != NULL)
		text_hex(c->digest, sha256, TLS_DIGEST_LEN);
	buf_init(&c->members, MEMBERS_MAX);
	json_init(&j, &c->members);
	json_text(&j, "tenant", c->tenant);
	json_text(&j, "certificate", sha256 != NULL ? c->digest : NULL);
	json_text(&j, "address", c->address);
	if (buf_error(&c->members) == ERR_OK)
		return c;
	audit_client_unref(c);
	return NULL;
}

struct audit_client *
audit_client_ref(struct audit_client *c)
{
	c->refs++;
	return c;
}

void
audit_client_unref(struct audit_client *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	buf_fini(&c->members);
	alloc_free(c);
}

const char *
audit_client_address(const struct audit_client *c)
{
	return c->address;
}
