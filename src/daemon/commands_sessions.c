/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands `sessions' and `sessions close'. */
#include "commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include "daemon.h"

static bool
put_session(void *arg, const struct session_info *s)
{
	struct json *j = arg;
	char digest[2 * TLS_DIGEST_LEN + 1];

	text_hex(digest, s->sha256, TLS_DIGEST_LEN);
	json_object(j, NULL);
	json_int(j, "id", (int64_t)s->id);
	json_text(j, "from", s->address);
	json_text(j, "state", s->state);
	json_text(j, "tenant", s->tenant);
	json_text(j, "tls", s->tls_version);
	json_text(j, "certificate", s->tenant != NULL ? digest : NULL);
	json_bool(j, "read-only", s->read_only);
	json_text(j, "last-operation", s->last_operation);
	json_int(j, "requests", (int64_t)s->requests);
	json_int(j, "age-seconds", s->age_ns / NS_PER_S);
	json_int(j, "idle-seconds", s->idle_ns / NS_PER_S);
	json_object_end(j);
	return buf_error(j->out) == ERR_OK;
}

void
sessions_list_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	struct json j;

	json_init(&j, &call->out);
	json_array(&j, NULL);
	gate_each_session(d->gate, put_session, &j);
	json_array_end(&j);
	control_done(call, ERR_OK, NULL);
}

/* Which sessions are meant: those of which all holds that is set. */
struct chosen {
	uint64_t id; /* 0: any */
	const char *tenant, *digest; /* NULL: any */
};

static bool
is_chosen(void *arg, const struct session_info *s)
{
	const struct chosen *c = arg;
	char digest[2 * TLS_DIGEST_LEN + 1];

	if (c->id != 0 && c->id != s->id)
		return false;
	if (c->tenant != NULL && (s->tenant == NULL || strcmp(c->tenant, s->tenant) != 0))
		return false;
	if (c->digest == NULL)
		return true;
	text_hex(digest, s->sha256, TLS_DIGEST_LEN);
	return s->tenant != NULL && strcmp(c->digest, digest) == 0;
}

/* NULL, or what is wrong with the command. */
static const char *
read_choice(struct control_call *call, struct chosen *c, char digest[2 * TLS_DIGEST_LEN + 1])
{
	const char *word = control_word(call, 0), *shown = control_arg(call, "sha256");
	uint8_t sha256[TLS_DIGEST_LEN];
	char end;

	*c = (struct chosen){.tenant = control_arg(call, "tenant")};
	if (word != NULL && (word[0] < '1' || word[0] > '9' ||
				sscanf(word, "%" SCNu64 "%c", &c->id, &end) != 1))
		return "the number of a session is wanted: keyferryctl sessions lists them";
	if (shown != NULL) {
		if (!commands_take_digest(shown, sha256))
			return "the whole SHA-256 digest, 64 hexadecimal digits, is wanted";
		text_hex(digest, sha256, TLS_DIGEST_LEN);
		c->digest = digest;
	}
	if (word == NULL && c->tenant == NULL && shown == NULL)
		return "which: the number of a session, a tenant, or the digest of a certificate";
	return NULL;
}

void
sessions_close_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	char digest[2 * TLS_DIGEST_LEN + 1];
	struct chosen chosen;
	const char *wrong = read_choice(call, &chosen, digest);
	struct json j;
	size_t closed;

	if (wrong != NULL) {
		control_done(call, ERR_INVALID_FIELD, wrong);
		return;
	}
	closed = gate_close_sessions(d->gate, is_chosen, &chosen);
	if (closed == 0) {
		control_done(call, ERR_NO_OBJECT, "no such session");
		return;
	}
	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_int(&j, "sessions-closed", (int64_t)closed);
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}
