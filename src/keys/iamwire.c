/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to IAM and what it says. */
#include "iamwire.h"

#include <stdio.h>
#include <string.h>

#include "net/http.h"
#include "net/json_read.h"

#define BEARER "Authorization: Bearer "

static void
put_field(struct buf *b, const char *name, const char *value, size_t len)
{
	buf_printf(b, "%s%s=", b->len > 0 ? "&" : "", name);
	http_escape(b, value, len);
}

enum err
iamwire_form(struct buf *form, bool api_key, struct secret *text, const char *profile_id,
    const char *profile_name)
{
	const char *grant = api_key ? "urn:ibm:params:oauth:grant-type:apikey"
				    : "urn:ibm:params:oauth:grant-type:cr-token";
	const char *s = (const char *)secret_bytes(text);
	size_t len;

	s += strspn(s, " \t\r\n");
	len = strcspn(s, " \t\r\n");
	if (len == 0)
		return ERR_CONFIG;
	put_field(form, "grant_type", grant, strlen(grant));
	put_field(form, api_key ? "apikey" : "cr_token", s, len);
	if (profile_id != NULL)
		put_field(form, "profile_id", profile_id, strlen(profile_id));
	else if (profile_name != NULL)
		put_field(form, "profile_name", profile_name, strlen(profile_name));
	return buf_error(form);
}

static enum err
take_token(struct iamwire_answer *a, const struct json_value *v)
{
	char *to;

	if (a->header != NULL || v->len == 0)
		return ERR_INVALID_MESSAGE;
	for (size_t n = 0; n < v->len; n++)
		if (v->text[n] <= ' ' || v->text[n] > '~') /* it goes into a header */
			return ERR_INVALID_MESSAGE;
	a->header = secret_new(sizeof(BEARER) + v->len, SECRET_KEPT);
	if (a->header == NULL)
		return ERR_NO_SECURE_MEMORY;
	to = (char *)secret_bytes(a->header);
	memcpy(to, BEARER, sizeof(BEARER) - 1);
	memcpy(to + sizeof(BEARER) - 1, v->text, v->len);
	return ERR_OK;
}

static enum err
take_answer(void *arg, const struct json_value *v)
{
	struct iamwire_answer *a = arg;
	size_t have = strlen(a->detail);

	if (v->path == 0)
		return v->kind == JSON_STRING ? take_token(a, v) : ERR_INVALID_MESSAGE;
	if (v->path == 1) {
		a->life_s = v->kind == JSON_INTEGER ? v->number : 0;
	} else if (v->kind == JSON_STRING) {
		a->refused = a->refused || v->path == 2;
		snprintf(a->detail + have, sizeof(a->detail) - have, "%s%.*s", have > 0 ? " " : "",
		    (int)v->len, v->text);
	}
	return ERR_OK;
}

enum err
iamwire_read(const void *body, size_t len, struct iamwire_answer *a)
{
	static const char *const paths[] = {
	    "access_token", "expires_in", "errorCode", "errorMessage", NULL};
	struct json_read want = {.paths = paths, .value = take_answer, .arg = a};

	return json_read(&want, body, len);
}
