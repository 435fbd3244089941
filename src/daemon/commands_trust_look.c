/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands `trust ...' that look: who is trusted, and who wants to be. */
#include "commands.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"

#include "daemon.h"

static void
put_server(struct json *j, const char *use, const struct certificate_text *c)
{
	json_object(j, NULL);
	json_text(j, "use", use);
	json_text(j, "subject", c->subject);
	json_text(j, "issuer", c->issuer);
	json_text(j, "serial", c->serial);
	json_time(j, "not-before", c->not_before);
	json_time(j, "not-after", c->not_after);
	json_text(j, "sha1", c->sha1);
	json_text(j, "sha256", c->sha256);
	json_object_end(j);
}

/* A document for each: a table of such long lines is hard to compare with a dialogue. */
void
trust_show_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	const struct certificate_text *c;
	struct json j;

	json_init(&j, &call->out);
	for (size_t i = 0; (c = tls_server_certificate(gate_tls(d->gate), i)) != NULL; i++)
		put_server(&j, "now", c);
	for (size_t i = 0; i < d->next.count; i++)
		put_server(&j, "next", &d->next.all[i]);
	control_done(call, ERR_OK, NULL);
}

static void
put_trusted(struct json *j, const struct tenant *t, const uint8_t *sha256, const char *rights)
{
	char hex[2 * TLS_DIGEST_LEN + 1];

	text_hex(hex, sha256, TLS_DIGEST_LEN);
	json_object(j, NULL);
	json_text(j, "tenant", t->id);
	json_text(j, "sha256", hex);
	json_text(j, "rights", rights);
}

static void
put_pinned(struct json *j, const char *only, const struct tenants *ts)
{
	const struct pinned *p;
	struct tenant *t;

	for (size_t i = 0; (p = tenants_pinned_at(ts, i, &t)) != NULL; i++) {
		if (only != NULL && strcmp(only, t->id) != 0)
			continue;
		put_trusted(j, t, p->sha256, p->read_only ? "read-only" : "all");
		json_time(j, "expires", p->expires);
		json_time(j, "last-seen", p->last_seen);
		json_text(j, "subject", p->subject);
		json_text(j, "from", p->accepted ? "command" : p->file);
		json_object_end(j);
	}
}

static void
put_authorities(struct json *j, const char *only, const struct tenants *ts)
{
	const struct certificate_text *text;
	const struct authority *a;
	struct tenant *t;
	bool refuses;

	for (size_t i = 0; (a = tenants_authority_at(ts, i, &t)) != NULL; i++) {
		if (only != NULL && strcmp(only, t->id) != 0)
			continue;
		for (size_t k = 0; (text = authority_certificate(a, k)) != NULL; k++) {
			put_trusted(j, t, text->digest, "authority");
			json_time(j, "expires", text->not_after);
			json_text(j, "last-seen", NULL);
			json_text(j, "subject", text->subject);
			json_text(j, "from", "client-ca");
			json_text(j, "rule", authority_rule(a));
			if (authority_crl_until(a) != 0)
				json_time(j, "crl-until", authority_crl_until(a));
			if (authority_crl_from(a, &refuses) != 0)
				json_time(j, "crl-from", authority_crl_from(a, &refuses));
			json_object_end(j);
		}
	}
}

void
trust_list_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	const struct tenants *ts = gate_tenants(d->gate);
	const char *only = control_arg(call, "tenant");
	struct json j;

	if (only != NULL && tenants_by_id(ts, only) == NULL) {
		control_done(call, ERR_NO_OBJECT, "no such tenant");
		return;
	}
	json_init(&j, &call->out);
	json_array(&j, NULL);
	put_pinned(&j, only, ts);
	put_authorities(&j, only, ts);
	json_array_end(&j);
	control_done(call, ERR_OK, NULL);
}

/* Whatever can be told of it: an odd date, or no memory for its text, hides nobody. */
static void
put_pending(struct json *j, const struct pending_entry *en)
{
	char hex[2 * TLS_DIGEST_LEN + 1];
	struct certificate_text text;

	(void)!certificate_describe(en->certificate, &text);
	text_hex(hex, en->sha256, TLS_DIGEST_LEN);
	json_object(j, NULL);
	json_text(j, "sha256", hex);
	json_text(j, "subject", text.subject);
	json_text(j, "why", tls_verdict_text(en->why));
	json_array(j, "addresses");
	for (size_t i = 0; i < PENDING_ADDRESSES && en->addresses[i][0] != '\0'; i++)
		json_text(j, NULL, en->addresses[i]);
	json_array_end(j);
	json_time(j, "first-seen", en->first);
	json_time(j, "last-seen", en->last);
	json_int(j, "count", (int64_t)en->count);
	json_time(j, "expires", text.not_after);
	json_object_end(j);
}

void
trust_pending_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	const struct pending_entry *en;
	struct json j;

	json_init(&j, &call->out);
	json_array(&j, NULL);
	for (size_t i = 0; (en = pending_at(gate_pending(d->gate), i)) != NULL; i++)
		put_pending(&j, en);
	json_array_end(&j);
	control_done(call, ERR_OK, NULL);
}
