/* SPDX-License-Identifier: Apache-2.0 */
/* IBM Cloud IAM, and the metadata service of a virtual server. */
#include "iam.h"

#include <stdio.h>
#include <string.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/alloc.h"

#include "body.h"
#include "sim.h"

enum { TOKENS_MAX = 4096, TOKEN_ROOM = 8192, PAD_LEN = 600, DEFAULT_TTL_S = 3600 };

/* IAM's own, or one of the metadata service, which only buys another. */
enum token_kind { TOKEN_IAM, TOKEN_INSTANCE };

struct token {
	struct list link;
	enum token_kind kind;
	struct identity *who; /* NULL for TOKEN_INSTANCE */
	int64_t issued, expires;
	char *text;
};

static void
identity_init(struct identity *who, const char *subject)
{
	snprintf(who->subject, sizeof(who->subject), "%s", subject);
	list_init(&who->grants);
}

bool
iam_init(struct iam *iam)
{
	list_init(&iam->identities);
	list_init(&iam->tokens);
	iam->token_ttl_s = DEFAULT_TTL_S;
	identity_init(&iam->operator, "IBMid-5500000000");
	return RAND_priv_bytes(iam->signing_key, SIGNING_KEY_LEN) == 1;
}

static void
token_free(struct token *t)
{
	list_remove(&t->link);
	alloc_free(t->text);
	alloc_free(t);
}

void
iam_revoke_tokens(struct iam *iam)
{
	LIST_FOREACH_SAFE(l, next, &iam->tokens)
	token_free(CONTAINER_OF(l, struct token, link));
}

void
iam_fini(struct iam *iam)
{
	iam_revoke_tokens(iam);
	LIST_FOREACH_SAFE(l, next, &iam->identities)
	iam_identity_free(iam, CONTAINER_OF(l, struct identity, link));
	wipe(iam->signing_key, SIGNING_KEY_LEN);
}

struct identity *
iam_identity_new(struct iam *iam, const char *subject)
{
	struct identity *who = alloc_zero(sizeof(*who));

	if (who == NULL)
		return NULL;
	identity_init(who, subject);
	list_append(&iam->identities, &who->link);
	return who;
}

struct identity *
iam_identity_find(struct iam *iam, const char *subject)
{
	LIST_FOREACH(l, &iam->identities)
	{
		struct identity *who = CONTAINER_OF(l, struct identity, link);

		if (strcmp(who->subject, subject) == 0)
			return who;
	}
	return NULL;
}

void
iam_identity_free(struct iam *iam, struct identity *who)
{
	LIST_FOREACH_SAFE(l, next, &iam->tokens)
	{
		struct token *t = CONTAINER_OF(l, struct token, link);

		if (t->who == who)
			token_free(t);
	}
	list_remove(&who->link);
	grants_free(who);
	alloc_free(who->api_key);
	alloc_free(who->profile_id);
	alloc_free(who->profile_name);
	alloc_free(who->cr_token);
	alloc_free(who);
}

/* --- tokens --- */

/* Appends data in base64 for URLs, without padding. */
static void
put_base64url(struct buf *b, const void *data, size_t len)
{
	size_t from = b->len;

	text_base64(b, data, len);
	if (buf_error(b) != ERR_OK)
		return;
	for (size_t i = from; i < b->len; i++) {
		if (b->data[i] == '+')
			b->data[i] = '-';
		else if (b->data[i] == '/')
			b->data[i] = '_';
	}
	while (b->len > from && b->data[b->len - 1] == '=')
		b->len--;
}

static void
put_claims(struct buf *b, const struct token *t, const char *subject)
{
	char id[UID_TEXT_LEN + 1], pad[2 * PAD_LEN + 1];
	uint8_t random[PAD_LEN];
	struct json j;

	if (text_uuid4(id) != ERR_OK || RAND_bytes(random, sizeof(random)) != 1) {
		b->error = ERR_CRYPTO;
		return;
	}
	text_hex(pad, random, sizeof(random));
	json_init(&j, b);
	json_object(&j, NULL);
	json_text(&j, "iam_id", subject);
	json_text(&j, "sub", subject);
	json_text(&j, "jti", id);
	json_text(&j, "iss", "https://iam.cloud.ibm.com/identity");
	json_text(&j, "scope", "ibm openid");
	json_text(&j, "client_id", "default");
	json_int(&j, "iat", t->issued);
	json_int(&j, "exp", t->expires);
	json_text(&j, "session", pad); /* real ones are longer than a kilobyte, too */
	json_object_end(&j);
}

/* The text of a JWT; NULL without memory or randomness. */
static char *
sign_token(const struct iam *iam, const struct token *t, const char *subject)
{
	static const char header[] = "{\"kid\":\"20260101\",\"typ\":\"JWT\",\"alg\":\"HS256\"}";
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	struct buf claims, text;
	char *copy = NULL;

	buf_init(&claims, TOKEN_ROOM);
	buf_init(&text, TOKEN_ROOM);
	put_claims(&claims, t, subject);
	put_base64url(&text, header, sizeof(header) - 1);
	buf_put(&text, ".", 1);
	put_base64url(&text, claims.data, claims.len);
	if (buf_error(&claims) == ERR_OK && buf_error(&text) == ERR_OK &&
	    HMAC(EVP_sha256(), iam->signing_key, SIGNING_KEY_LEN, text.data, text.len, digest,
		&digest_len) != NULL) {
		buf_put(&text, ".", 1);
		put_base64url(&text, digest, digest_len);
		buf_put(&text, "", 1);
		if (buf_error(&text) == ERR_OK)
			copy = alloc_text((char *)text.data);
	}
	buf_fini(&claims);
	buf_fini(&text);
	return copy;
}

static struct token *
token_new(struct exchange *x, enum token_kind kind, struct identity *who, int64_t ttl)
{
	struct iam *iam = &x->sim->iam;
	int64_t now = exchange_now(x);
	struct token *t = alloc_zero(sizeof(*t));
	size_t count = 0;

	if (t == NULL)
		return NULL;
	LIST_FOREACH_SAFE(l, next, &iam->tokens)
	{
		struct token *old = CONTAINER_OF(l, struct token, link);

		if (old->expires <= now)
			token_free(old);
		else
			count++;
	}
	if (count >= TOKENS_MAX)
		token_free(CONTAINER_OF(iam->tokens.next, struct token, link));
	t->kind = kind;
	t->who = who;
	t->issued = now;
	t->expires = now + ttl;
	t->text = sign_token(iam, t, who != NULL ? who->subject : "instance");
	if (t->text == NULL) {
		alloc_free(t);
		return NULL;
	}
	list_append(&iam->tokens, &t->link);
	return t;
}

static struct token *
bearer(struct exchange *x, enum token_kind kind)
{
	const char *header = exchange_header(x, "Authorization");

	if (header == NULL || strncmp(header, "Bearer ", 7) != 0)
		return NULL;
	LIST_FOREACH(l, &x->sim->iam.tokens)
	{
		struct token *t = CONTAINER_OF(l, struct token, link);

		if (t->kind == kind && t->expires > exchange_now(x) &&
		    strcmp(t->text, header + 7) == 0)
			return t;
	}
	return NULL;
}

struct identity *
iam_authenticate(struct exchange *x)
{
	const struct token *t = bearer(x, TOKEN_IAM);

	return t != NULL ? t->who : NULL;
}

/* --- errors of IAM's own form --- */

static enum fail
refuse(struct exchange *x, int status, const char *code, const char *message)
{
	char id[UID_TEXT_LEN + 1];
	struct json j;

	if (text_uuid4(id) != ERR_OK)
		return FAIL_INTERNAL;
	exchange_reply(x, status, &j);
	json_object(&j, NULL);
	json_text(&j, "errorCode", code);
	json_text(&j, "errorMessage", message);
	json_object(&j, "context");
	json_text(&j, "requestId", id);
	json_text(&j, "requestType", "incoming.Identity_Token");
	json_text(&j, "userAgent", exchange_header(x, "User-Agent"));
	json_text(&j, "url", "https://iam.cloud.ibm.com");
	json_text(&j, "instanceId", "keyferry-sim");
	json_text(&j, "elapsedTime", "1");
	json_text(&j, "locale", "en_US");
	json_object_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

static enum fail
malformed(struct exchange *x)
{
	return refuse(
	    x, 400, "BXNIM0106E", "Property missing or empty, or its value is not valid.");
}

/* --- POST /identity/token --- */

struct form {
	const char *grant, *api_key, *cr_token, *profile_id, *profile_name;
};

/* Reads the form; everything in it must be known, and there once. */
static bool
read_form(struct exchange *x, struct evkeyvalq *fields, struct form *f)
{
	const char *type = exchange_header(x, "Content-Type"), *ignored = NULL;
	struct {
		const char *name, **value;
	} known[] = {{"grant_type", &f->grant}, {"apikey", &f->api_key}, {"cr_token", &f->cr_token},
	    {"profile_id", &f->profile_id}, {"profile_name", &f->profile_name},
	    {"response_type", &ignored}, {"scope", &ignored}};
	const struct evkeyval *kv;
	char *text;

	if (type == NULL || strcspn(type, "; ") != strlen("application/x-www-form-urlencoded") ||
	    strncmp(type, "application/x-www-form-urlencoded", strcspn(type, "; ")) != 0)
		return false;
	text = x->body_len > 0 ? arena_text(x->arena, x->body, x->body_len) : NULL;
	if (text == NULL || evhttp_parse_query_str(text, fields) != 0)
		return false;
	for (kv = fields->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		size_t i = 0, n = sizeof(known) / sizeof(known[0]);

		while (i < n && strcmp(known[i].name, kv->key) != 0)
			i++;
		if (i == n || (*known[i].value != NULL && known[i].value != &ignored))
			return false;
		*known[i].value = kv->value;
	}
	return true;
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static struct identity *
find_profile(struct iam *iam, const char *id, const char *name)
{
	LIST_FOREACH(l, &iam->identities)
	{
		struct identity *who = CONTAINER_OF(l, struct identity, link);

		if (same(who->profile_id, id) || same(who->profile_name, name))
			return who;
	}
	return NULL;
}

static struct identity *
find_api_key(struct iam *iam, const char *api_key)
{
	LIST_FOREACH(l, &iam->identities)
	{
		struct identity *who = CONTAINER_OF(l, struct identity, link);

		if (same(who->api_key, api_key))
			return who;
	}
	return NULL;
}

static enum fail
issue(struct exchange *x, struct identity *who)
{
	int64_t ttl = x->sim->iam.token_ttl_s;
	const struct token *t = token_new(x, TOKEN_IAM, who, ttl);
	struct json j;

	if (t == NULL)
		return FAIL_INTERNAL;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_text(&j, "access_token", t->text);
	json_text(&j, "refresh_token", "not_supported");
	json_text(&j, "token_type", "Bearer");
	json_int(&j, "expires_in", ttl);
	json_int(&j, "expiration", t->expires);
	json_text(&j, "scope", "ibm openid");
	json_object_end(&j);
	return FAIL_NONE;
}

static enum fail
grant_token(struct exchange *x, const struct form *f)
{
	struct iam *iam = &x->sim->iam;
	struct identity *who;

	if (same(f->grant, "urn:ibm:params:oauth:grant-type:apikey")) {
		if (f->api_key == NULL || f->api_key[0] == '\0')
			return malformed(x);
		who = find_api_key(iam, f->api_key);
		if (who == NULL)
			return refuse(x, 400, "BXNIM0415E", "Provided API key could not be found.");
		if (who->disabled)
			return refuse(x, 400, "BXNIM0462E", "Provided API key is disabled.");
		return issue(x, who);
	}
	if (!same(f->grant, "urn:ibm:params:oauth:grant-type:cr-token"))
		return malformed(x);
	if (f->cr_token == NULL || (f->profile_id == NULL) == (f->profile_name == NULL))
		return malformed(x);
	who = find_profile(iam, f->profile_id, f->profile_name);
	if (who == NULL || who->disabled)
		return refuse(x, 400, "BXNIM0410E", "Provided profile could not be found.");
	if (!same(who->cr_token, f->cr_token))
		return refuse(x, 401, "BXNIM0602E", "The compute resource token is not valid.");
	return issue(x, who);
}

enum fail
iam_token(struct exchange *x)
{
	struct evkeyvalq fields = {0};
	struct form form = {0};
	enum fail f;

	f = read_form(x, &fields, &form) ? grant_token(x, &form) : malformed(x);
	evhttp_clear_headers(&fields);
	return f;
}

/* --- the metadata service: a token of the instance, and with it one of IAM --- */

static void
put_metadata_token(struct exchange *x, const struct token *t)
{
	struct json j;

	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_text(&j, "access_token", t->text);
	json_time(&j, "created_at", t->issued);
	json_time(&j, "expires_at", t->expires);
	json_int(&j, "expires_in", t->expires - t->issued);
	json_object_end(&j);
}

enum fail
iam_instance_token(struct exchange *x)
{
	const char *flavor = exchange_header(x, "Metadata-Flavor");
	int64_t ttl = 300;
	const struct token *t;

	if (flavor == NULL || strcmp(flavor, "ibm") != 0 || exchange_query(x, "version") == NULL ||
	    !exchange_query_only(x, " version "))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "version");
	if (x->json != NULL && (!body_only(x->json, " expires_in ") ||
				   !body_int(x->json, "expires_in", 5, 3600, &ttl)))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "expires_in");
	t = token_new(x, TOKEN_INSTANCE, NULL, ttl);
	if (t == NULL)
		return FAIL_INTERNAL;
	put_metadata_token(x, t);
	return FAIL_NONE;
}

enum fail
iam_profile_token(struct exchange *x)
{
	struct identity *who = NULL;
	const char *id = NULL, *crn = NULL;
	yajl_val profile = body_field(x->json, "trusted_profile");
	const struct token *t;

	if (bearer(x, TOKEN_INSTANCE) == NULL)
		return FAIL_UNAUTHORIZED;
	if (exchange_query(x, "version") == NULL || !exchange_query_only(x, " version "))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "version");
	if (x->json != NULL &&
	    (!body_only(x->json, " trusted_profile ") || !body_only(profile, " id crn ") ||
		!body_text(profile, "id", &id) || !body_text(profile, "crn", &crn) ||
		(id == NULL) == (crn == NULL)))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "trusted_profile");
	if (crn != NULL && strstr(crn, "profile:") != NULL)
		id = strstr(crn, "profile:") + strlen("profile:");
	LIST_FOREACH(l, &x->sim->iam.identities)
	{
		struct identity *one = CONTAINER_OF(l, struct identity, link);

		if (who == NULL && one->profile_id != NULL &&
		    (x->json == NULL || same(one->profile_id, id)))
			who = one;
	}
	if (who == NULL || who->disabled)
		return FAIL_UNAUTHORIZED;
	t = token_new(x, TOKEN_IAM, who, x->sim->iam.token_ttl_s);
	if (t == NULL)
		return FAIL_INTERNAL;
	put_metadata_token(x, t);
	return FAIL_NONE;
}
