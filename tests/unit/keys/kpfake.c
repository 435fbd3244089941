/* SPDX-License-Identifier: Apache-2.0 */
/* The small Key Protect and IAM: what they answer. */
#include "kpfake.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>


#include "base/clock.h"
#include "base/text.h"

#define RECORDS "/00000000-0000-4000-8000-" /* begins the ids of records */

static void
error(struct httpd_conn *c, int status, const char *code)
{
	char body[512];

	snprintf(body, sizeof(body),
	    "{\"metadata\":{\"collectionTotal\":1},\"resources\":[{\"errorMsg\":\"Failed: %.99s\","
	    "\"reasons\":[{\"code\":\"%.99s\",\"status\":%d}]}]}",
	    code, code, status);
	httpd_reply(c, status, "Content-Type: application/json\r\n", body);
}

/* The text value of a member, wherever it is; false when there is none. */
static bool
member(const char *body, const char *name, char *out, size_t size)
{
	char want[64];
	const char *at;

	snprintf(want, sizeof(want), "\"%s\":\"", name);
	at = strstr(body, want);
	if (at == NULL)
		return false;
	at += strlen(want);
	snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
	return true;
}

/* The AAD as it stands in the body, without quotes. */
static void
aad_of(const char *body, char *out)
{
	const char *at = strstr(body, "\"aad\":[");

	ck_assert_ptr_nonnull(at);
	for (at += 7; *at != ']'; at++)
		if (*at != '"')
			*out++ = *at;
	*out = '\0';
}

static char made[64 * 1024]; /* the answer, kept back until it is known whether it goes out */
static int made_status;

static void
answer(int status, const char *text)
{
	made_status = status;
	snprintf(made, sizeof(made), "%s", text);
}

static void
refuse(int status, const char *code)
{
	made_status = status;
	snprintf(made, sizeof(made), "%s", code);
}

static bool
root_allows(struct kprig *r, bool wrap)
{
	if (r->root_state == 5)
		refuse(410, "KEY_DELETED_ERR");
	else if (r->root_state == 2 || (r->root_state == 3 && wrap))
		refuse(409, "KEY_ACTION_INVALID_STATE_ERR");
	else
		return true;
	return false;
}

/* The root key that the path names, as far as tests tell one from another. */
static const char *
root_of(struct kprig *r, const char *path)
{
	static char id[40];

	if (r->alias != NULL && strstr(path, r->alias) != NULL)
		return r->root_id;
	snprintf(id, sizeof(id), "%.36s", path + strlen("/api/v2/keys/"));
	return id;
}

static void
do_wrap(struct kprig *r, const struct httpd_request *q)
{
	char plain[8192] = "", aad[600], text[4096];
	bool given = member(q->body, "plaintext", plain, sizeof(plain));
	uint8_t bytes[32];
	struct buf b;

	r->wraps++;
	if (!root_allows(r, true))
		return;
	if (!given) {
		memset(bytes, 'A' + (int)r->wraps, sizeof(bytes));
		buf_init(&b, 100);
		text_base64(&b, bytes, sizeof(bytes));
		snprintf(plain, sizeof(plain), "%.*s", (int)b.len, (char *)b.data);
		buf_fini(&b);
	}
	aad_of(q->body, aad);
	snprintf(text, sizeof(text),
	    "{\"ciphertext\":\"%s|%s|%s\",\"keyVersion\":{\"id\":\"v1\"}%s%s%s}", plain,
	    root_of(r, q->path), aad,
	    given ? "" : ",\"plaintext\":\"", given ? "" : plain, given ? "" : "\"");
	answer(200, text);
}

static void
do_unwrap(struct kprig *r, const struct httpd_request *q)
{
	char cipher[4096], aad[600], text[4096], want[700];
	char *bar;

	r->unwraps++;
	if (!root_allows(r, false))
		return;
	ck_assert(member(q->body, "ciphertext", cipher, sizeof(cipher)));
	aad_of(q->body, aad);
	bar = strchr(cipher, '|');
	snprintf(want, sizeof(want), "%s|%s", root_of(r, q->path), aad);
	if (bar == NULL || strcmp(bar + 1, want) != 0) {
		refuse(422, "UNPROCESSABLE_CIPHERTEXT_ERR");
		return;
	}
	*bar = '\0';
	if (r->wrong_key)
		cipher[0] = cipher[0] == 'Q' ? 'R' : 'Q';
	snprintf(
	    text, sizeof(text), "{\"plaintext\":\"%s\",\"keyVersion\":{\"id\":\"v1\"}}", cipher);
	answer(200, text);
}

static void
do_create(struct kprig *r, const struct httpd_request *q)
{
	struct fake_key *k = &r->keys[r->keys_count];
	char text[512];

	if (r->reader_only) {
		refuse(401, "");
		return;
	}
	if (strstr(q->body, "\"resources\":[]") != NULL) {
		r->rights_tried++;
		refuse(400, "NUM_COLLECTION_RESOURCE_ERR");
		return;
	}
	r->posts++;
	ck_assert_uint_lt(r->keys_count++, FAKE_KEYS_MAX);
	ck_assert(member(q->body, "name", k->name, sizeof(k->name)));
	ck_assert(member(q->body, "payload", k->payload, sizeof(k->payload)));
	ck_assert_ptr_nonnull(strstr(q->body, "\"extractable\":true"));
	snprintf(k->id, sizeof(k->id), "00000000-0000-4000-8000-%012u", r->keys_count);
	snprintf(k->created, sizeof(k->created), "2025-10-09T08:53:%02uZ", r->keys_count % 60);
	k->state = 1;
	k->created_by = "us";
	snprintf(text, sizeof(text), "{\"metadata\":{},\"resources\":[{\"id\":\"%s\"}]}", k->id);
	answer(201, text);
}

static void
put_key(char *text, size_t size, const struct fake_key *k)
{
	struct buf b;

	buf_init(&b, 2048);
	buf_printf(&b,
	    "%s{\"id\":\"%s\",\"name\":\"%s\",\"state\":%d,\"creationDate\":\"%s\",\"deleted\":%s",
	    text[strlen(text) - 1] == '[' ? "" : ",", k->id, k->name, k->state, k->created,
	    k->state == 5 ? "true" : "false");
	buf_printf(&b, ",\"createdBy\":\"%s\"", k->created_by);
	if (k->deleted_by != NULL)
		buf_printf(&b, ",\"deletedBy\":\"%s\",\"deletionDate\":\"%s\"", k->deleted_by,
		    k->deleted);
	buf_put(&b, "}", 2);
	ck_assert_uint_lt(strlen(text) + b.len, size);
	strcat(text, (const char *)b.data);
	buf_fini(&b);
}

void
fake_key_deleted(struct fake_key *k, const char *by, int64_t when)
{
	char text[25];

	text_time(text, when * 1000);
	snprintf(k->deleted, sizeof(k->deleted), "%.19sZ", text);
	k->deleted_by = by;
	k->state = 5;
}

static void
put_strangers(char *text, size_t size)
{
	size_t len = strlen(text);

	for (int i = 0; i < 1000; i++)
		len += (size_t)snprintf(text + len, size - len, "%s{\"id\":\"%036d\"}", i > 0 ? "," : "", i);
	ck_assert_uint_lt(len, size);
}

static void
do_list(struct kprig *r, const struct httpd_request *q)
{
	const char *name = strstr(q->path, "search=exact%3Aname%3A");
	bool deleted = strstr(q->path, "&filter=deletionDate%3Dgte%3A%22") != NULL;
	bool all = strstr(q->path, "&state=0,1,2,3,5&") != NULL;
	static char text[sizeof(made)];
	unsigned shown = 0;

	r->lists++;
	snprintf(text, sizeof(text), "{\"metadata\":{},\"resources\":[");
	if (name != NULL && r->too_broad) {
		refuse(400, "KEY_SEARCH_TOO_BROAD");
		return;
	}
	if (name == NULL && !deleted)
		ck_assert_ptr_nonnull(strstr(q->path, "&filter=creationDate%3Dgte%3A%22"));
	if (r->lag > 0) {
		r->lag--;
	} else if (name == NULL && r->pages > 0) {
		r->pages--;
		clock_test_advance(NS_PER_S);
		put_strangers(text, sizeof(text));
		shown++;
	} else {
		for (unsigned i = 0; i < r->keys_count; i++)
			if ((all || (r->keys[i].state == 5) == deleted) &&
			    (name == NULL || strcasecmp(r->keys[i].name, name + 22) == 0)) {
				put_key(text, sizeof(text), &r->keys[i]);
				shown++;
			}
	}
	if (shown == 0)
		snprintf(text, sizeof(text), "{\"metadata\":{\"collectionTotal\":0}}");
	else
		strcat(text, "]}");
	answer(200, text);
}

static struct fake_key *
key_of(struct kprig *r, const char *path)
{
	for (unsigned i = 0; i < r->keys_count; i++)
		if (strstr(path, r->keys[i].id) != NULL)
			return &r->keys[i];
	return NULL;
}

static void
do_root_metadata(struct kprig *r, const struct httpd_request *q)
{
	struct fake_key k = {.name = "root", .state = r->root_state};
	char text[1024] = "{\"metadata\":{},\"resources\":[";

	r->looks++;
	if (r->alias_gone && r->alias != NULL && strstr(q->path, r->alias) != NULL) {
		refuse(404, "KEY_NOT_FOUND_ERR");
		return;
	}
	snprintf(k.id, sizeof(k.id), "%s", root_of(r, q->path));
	put_key(text, sizeof(text), &k);
	strcat(text, "]}");
	answer(200, text);
}

static void
do_metadata(struct kprig *r, const struct httpd_request *q)
{
	struct fake_key *k = key_of(r, q->path);
	char text[1024] = "{\"metadata\":{},\"resources\":[";

	if (strstr(q->path, RECORDS) == NULL) {
		do_root_metadata(r, q);
		return;
	}
	r->metas++;
	if (k == NULL || r->lag > 0) {
		r->lag -= r->lag > 0;
		refuse(404, "KEY_NOT_FOUND_ERR");
		return;
	}
	put_key(text, sizeof(text), k);
	strcat(text, "]}");
	answer(200, text);
}

/* With its payload. */
static void
do_read(struct kprig *r, const struct httpd_request *q)
{
	struct fake_key *k = key_of(r, q->path);
	static char text[sizeof(k->payload) + 1024];
	size_t len;

	r->reads++;
	if (k == NULL) {
		refuse(404, "KEY_NOT_FOUND_ERR");
		return;
	}
	snprintf(text, sizeof(text), "{\"metadata\":{},\"resources\":[");
	put_key(text, 1024, k);
	len = strlen(text) - 1; /* before its brace */
	snprintf(text + len, sizeof(text) - len, ",\"payload\":\"%s\"}]}", k->payload);
	answer(200, text);
}

void
kprig_delete(struct fake_key *k, const char *by)
{
	fake_key_deleted(k, by, clock_wall());
}

static void
do_delete(struct kprig *r, const struct httpd_request *q)
{
	struct fake_key *k = key_of(r, q->path);

	r->deletes++;
	if (r->writer_only || r->reader_only) {
		refuse(401, "");
	} else if (k == NULL) {
		refuse(404, "KEY_NOT_FOUND_ERR");
	} else if (k->state == 5) {
		refuse(410, "KEY_DELETED_ERR");
	} else {
		kprig_delete(k, "us");
		answer(204, "");
	}
}

static void
work(struct kprig *r, const struct httpd_request *q)
{
	const char *auth = httpd_header(q, "Authorization");
	unsigned token = 0;
	size_t at = strlen(r->order);

	made_status = 0;
	if (auth == NULL || sscanf(auth, "Bearer T%u", &token) != 1 || token < r->oldest_token) {
		snprintf(r->order + at, sizeof(r->order) - at, "!");
		answer(401, "{\"resources\":[{\"errorMsg\":\"Unauthorized\"}]}");
		return;
	}
	auth = httpd_header(q, "Bluemix-Instance");
	ck_assert(auth != NULL && strcmp(auth, INSTANCE) == 0);
	snprintf(r->order + at, sizeof(r->order) - at, "%c",
	    strstr(q->path, "/actions/wrap")	 ? 'w'
	    : strstr(q->path, "/actions/unwrap") ? 'u'
	    : strstr(q->path, "/metadata")	 ? 'm'
	    : *q->method == 'P'			 ? 'p'
	    : *q->method == 'D'			 ? 'd'
	    : strstr(q->path, "/keys/") != NULL	 ? 'r'
						 : 'l');
	switch (r->order[at]) {
	case 'w':
		do_wrap(r, q);
		break;
	case 'u':
		do_unwrap(r, q);
		break;
	case 'm':
		do_metadata(r, q);
		break;
	case 'p':
		do_create(r, q);
		break;
	case 'd':
		do_delete(r, q);
		break;
	case 'r':
		do_read(r, q);
		break;
	default:
		do_list(r, q);
		break;
	}
}

/* False when the answer that was made is to go out. */
static bool
spoil(struct httpd_conn *c, struct spoiled *f)
{
	static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"meta";

	switch (f->spoil) {
	case SPOIL_STATUS:
	case SPOIL_STATUS_AFTER:
		httpd_reply(
		    c, f->status, f->extra != NULL ? f->extra : "", f->body != NULL ? f->body : "");
		break;
	case SPOIL_RESET_BEFORE:
	case SPOIL_RESET_AFTER:
		httpd_reset(c);
		break;
	case SPOIL_HANG_BEFORE:
	case SPOIL_HANG_AFTER:
		break;
	case SPOIL_CUT:
		httpd_raw(c, cut, sizeof(cut) - 1);
		httpd_close(c);
		break;
	}
	return true;
}

static bool
hits(struct spoiled *f, const struct httpd_request *q)
{
	if (f->times == 0 || strcmp(f->method, q->method) != 0 || strstr(q->path, f->path) == NULL)
		return false;
	f->times--;
	return true;
}

static const char *
date_line(const struct kprig *r, char line[64])
{
	time_t t = (time_t)(r->date != 0 ? r->date : clock_wall());
	struct tm tm;

	if (r->date < 0)
		return "";
	strftime(line, 64, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&t, &tm));
	return line;
}

void
kpfake_on_kp(void *arg, struct httpd_conn *c, const struct httpd_request *q)
{
	struct kprig *r = arg;
	bool hit = hits(&r->fault, q);
	char line[64];

	if (!hit || r->fault.spoil == SPOIL_RESET_AFTER || r->fault.spoil == SPOIL_HANG_AFTER ||
	    r->fault.spoil == SPOIL_STATUS_AFTER || r->fault.spoil == SPOIL_CUT)
		work(r, q);
	if (hit && spoil(c, &r->fault))
		return;
	if (made_status / 100 == 2 || made_status == 401)
		httpd_reply(c, made_status, date_line(r, line), made);
	else
		error(c, made_status, made);
}

void
kpfake_on_iam(void *arg, struct httpd_conn *c, const struct httpd_request *q)
{
	struct kprig *r = arg;
	const char *key = strstr(q->body, "apikey=");
	char body[256];

	snprintf(r->form_seen, sizeof(r->form_seen), "%s", q->body);
	snprintf(r->api_key_seen, sizeof(r->api_key_seen), "%s", key != NULL ? key + 7 : "");
	if (hits(&r->iam_fault, q)) {
		spoil(c, &r->iam_fault);
		return;
	}
	if (strncmp(r->api_key_seen, "BAD", 3) == 0) {
		httpd_reply(c, 400, "",
		    "{\"errorCode\":\"BXNIM0415E\",\"errorMessage\":\"Provided API "
		    "key could not be found.\",\"context\":{\"requestId\":\"x\"}}");
		return;
	}
	snprintf(body, sizeof(body),
	    "{\"access_token\":\"T%u\",\"refresh_token\":\"n\",\"token_type\":"
	    "\"Bearer\",\"expires_in\":%lld,\"expiration\":1,\"scope\":\"ibm openid\"}",
	    ++r->tokens, (long long)r->token_life_s);
	httpd_reply(c, 200, "", body);
}
