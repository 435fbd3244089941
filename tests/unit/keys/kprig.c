/* SPDX-License-Identifier: Apache-2.0 */
/* The small Key Protect. */
#include "kprig.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

enum { BACKGROUND = 40 };
#define INSTANCE "11111111-2222-4333-8444-555555555555"
#define RECORDS "/00000000-0000-4000-8000-" /* begins the ids of records */
#define ROOT "99999999-2222-4333-8444-555555555555"

/* --- answers --- */

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

static char made[32 * 1024]; /* the answer, kept back until it is known whether it goes out */
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

static void
on_kp(void *arg, struct httpd_conn *c, const struct httpd_request *q)
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

static void
on_iam(void *arg, struct httpd_conn *c, const struct httpd_request *q)
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

/* --- the rig --- */

void
kprig_key_file(struct kprig *r, const char *text)
{
	char fresh[112];
	FILE *f;

	snprintf(fresh, sizeof(fresh), "%s.new", r->key_file);
	f = fopen(fresh, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	chmod(fresh, 0600);
	ck_assert_int_eq(rename(fresh, r->key_file), 0);
}

static void
on_event(void *arg, const struct iam *i, const char *what, const char *detail)
{
	struct kprig *r = arg;

	(void)i, (void)detail;
	r->events++;
	snprintf(r->event, sizeof(r->event), "%s", what);
}

void
kprig_vault(struct kprig *r)
{
	const char *why;

	if (r->vault != NULL)
		r->vault->ops->free(r->vault);
	ck_assert_msg(vault_kp_new(&r->vault, &r->params, &why) == ERR_OK, "%s", why);
}

struct kprig *
kprig_new(void)
{
	struct http_params hp = {
	    .connections_max = 64, .per_host_max = 32, .connect_timeout_ns = 3 * NS_PER_S};
	struct kprig *r = calloc(1, sizeof(*r));
	struct iam_params ip = {.route.allow_plain = true, .event = on_event, .arg = r};
	const char *why;
	static int quiet = -1;
	uint8_t random[1];
	bool locked;

	clock_test_freeze(1760000000);
	if (quiet < 0)
		quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_set_output(quiet, false);
	log_set_level(LOG_DEBUG); /* so that every line is at least formatted */
	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	/* the generators keep their states there */
	ck_assert_int_eq(RAND_bytes(random, 1) + RAND_priv_bytes(random, 1), 2);
	ck_assert_int_eq(http_init(&why), ERR_OK);
	r->loop = loop_new();
	r->http = http_new(r->loop, &hp);
	r->kp = (struct httpd){.answer = on_kp, .arg = r};
	r->iam_server = (struct httpd){.answer = on_iam, .arg = r};
	httpd_start(&r->kp, r->loop);
	httpd_start(&r->iam_server, r->loop);
	strcpy(r->dir, "/tmp/keyferry-kp.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->key_file, sizeof(r->key_file), "%s/apikey", r->dir);
	kprig_key_file(r, "KEY-1\n");
	snprintf(r->iam_url, sizeof(r->iam_url), "%s/identity/token", r->iam_server.url);
	r->set = iam_set_new(r->loop, r->http);
	ip.url = r->iam_url;
	ip.api_key_file = r->key_file;
	ck_assert_int_eq(iam_get(r->set, &ip, &r->iam), ERR_OK);
	r->token_life_s = 3600;
	r->root_state = 1;
	r->arena = arena_new(4 << 20);
	vault_kp_defaults(&r->params);
	r->params.set = r->vaults = vault_kp_set_new();
	r->params.loop = r->loop;
	r->params.http = r->http;
	r->params.iam = r->iam;
	r->params.url = r->kp.url;
	r->params.route.allow_plain = true;
	r->params.instance = INSTANCE;
	r->params.root_key = ROOT;
	kprig_vault(r);
	return r;
}

void
kprig_free(struct kprig *r)
{
	if (r->vault != NULL)
		r->vault->ops->free(r->vault);
	vault_kp_set_free(r->vaults);
	iam_unref(r->iam);
	iam_set_free(r->set);
	kprig_settle(r);
	http_free(r->http);
	httpd_stop(&r->kp);
	httpd_stop(&r->iam_server);
	arena_free(r->arena);
	loop_free(r->loop);
	http_fini();
	unlink(r->key_file);
	rmdir(r->dir);
	free(r);
}

void
kpjob_done(struct wait *w, enum err e)
{
	struct kpjob *j = w->owner;

	ck_assert(!j->done);
	j->done = true;
	j->e = e;
}

void
kprig_settle(struct kprig *r)
{
	for (int i = 0; i < 200; i++)
		loop_turn(r->loop, false);
}

void
kprig_run(struct kprig *r, struct kpjob *j)
{
	for (int step = 0; step < 1200 && !j->done; step++) {
		for (int i = 0; i < 100 && !j->done; i++)
			loop_turn(r->loop, false);
		if (!j->done)
			clock_test_advance(50 * NS_PER_MS);
	}
	ck_assert_msg(j->done, "not done after a minute");
}

struct object *
kprig_object(struct kprig *r, uint32_t bits)
{
	struct object *o = arena_zalloc(r->arena, sizeof(*o));

	strcpy(o->tenant, "east");
	ck_assert_int_eq(text_uuid7(o->uid), ERR_OK);
	o->type = 2;
	o->state = OBJECT_ACTIVE;
	o->algorithm = 3;
	o->length = bits;
	o->usage_mask = 12;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	return o;
}

enum err
kprig_make(struct kprig *r, struct object *o, struct secret **key)
{
	struct kpjob j = {false};
	struct vault_make m = {.wait = {.done = kpjob_done, .owner = &j},
	    .arena = r->arena,
	    .object = o,
	    .key = key != NULL ? *key : NULL};

	r->vault->ops->make(r->vault, &m);
	ck_assert(!j.done);
	kprig_run(r, &j);
	if (key != NULL)
		*key = m.key;
	else
		secret_unref(m.key);
	return j.e;
}

static enum err
change(struct kprig *r, void (*op)(struct vault *, struct vault_change *), const struct object *o)
{
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};

	op(r->vault, &c);
	ck_assert(!j.done);
	kprig_run(r, &j);
	return j.e;
}

enum err
kprig_store(struct kprig *r, struct object *o)
{
	return change(r, r->vault->ops->store, o);
}

enum err
kprig_destroy(struct kprig *r, const struct object *o)
{
	return change(r, r->vault->ops->destroy, o);
}

enum err
kprig_retire(struct kprig *r, const struct object *o, const struct object *successor)
{
	struct kpjob j = {false};
	struct vault_change c = {
	    .wait = {.done = kpjob_done, .owner = &j}, .object = o, .successor = successor};

	r->vault->ops->retire(r->vault, &c);
	ck_assert(!j.done);
	kprig_run(r, &j);
	return j.e;
}

enum err
kprig_find(struct kprig *r, struct vault_find *f, const struct object *o)
{
	struct kpjob j = {false};

	f->wait = (struct wait){.done = kpjob_done, .owner = &j};
	f->arena = r->arena;
	f->tenant = o->tenant;
	f->uid = o->uid;
	r->vault->ops->find(r->vault, f);
	kprig_run(r, &j);
	secret_unref(f->key);
	f->key = NULL;
	return j.e;
}

enum err
kprig_unwrap(struct kprig *r, const struct object *o, struct secret **key)
{
	struct kpjob j = {false};
	struct vault_unwrap u = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};

	r->vault->ops->unwrap(r->vault, &u);
	ck_assert(!j.done);
	kprig_run(r, &j);
	r->suspended = u.suspended;
	if (key != NULL)
		*key = u.key;
	else
		secret_unref(u.key);
	return j.e;
}

enum err
kprig_probe(struct kprig *r, const struct object *o, bool *found)
{
	enum vault_gone gone;

	return kprig_probe_gone(r, o, found, &gone);
}

enum err
kprig_probe_gone(struct kprig *r, const struct object *o, bool *found, enum vault_gone *gone)
{
	struct kpjob j = {false};
	struct vault_probe p = {
	    .wait = {.done = kpjob_done, .owner = &j}, .object = o};

	r->vault->ops->probe(r->vault, &p);
	ck_assert(!j.done);
	kprig_run(r, &j);
	*found = p.found;
	*gone = p.gone;
	return j.e;
}

unsigned
kprig_ahead(struct kprig *r, struct vault *busy, struct vault *asked, const struct object *o)
{
	struct kpjob j[BACKGROUND] = {{false}}, mine = {false};
	struct vault_unwrap u[BACKGROUND],
	    now = {.wait = {.done = kpjob_done, .owner = &mine}, .object = o};
	unsigned done = 0;

	for (int i = 0; i < BACKGROUND; i++) {
		u[i] = (struct vault_unwrap){.wait = {.done = kpjob_done, .owner = &j[i]},
		    .object = o,
		    .terms.background = true};
		busy->ops->unwrap(busy, &u[i]);
	}
	kprig_settle(r);
	asked->ops->unwrap(asked, &now);
	kprig_run(r, &mine);
	ck_assert_int_eq(mine.e, ERR_OK);
	secret_unref(now.key);
	for (int i = 0; i < BACKGROUND; i++) {
		done += j[i].done;
		wait_cancel(&u[i].wait);
		secret_unref(u[i].key);
	}
	return done;
}
