/* SPDX-License-Identifier: Apache-2.0 */
/* Key Protect's bodies. */
#include "kpwire.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/json_read.h"

#define KEY_TYPE "application/vnd.ibm.kms.key+json"

/* Copies text that fits; else leaves out empty. */
static void
copy(char *out, size_t size, const struct json_value *v)
{
	if (v->kind == JSON_STRING && v->len < size && memchr(v->text, '\0', v->len) == NULL) {
		memcpy(out, v->text, v->len);
		out[v->len] = '\0';
	}
}

bool
kp_is_key_name(const char *s)
{
	size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

	return s[len] == '\0' && len >= KP_NAME_MIN && len <= KP_NAME_MAX;
}

/* --- what an answer means --- */

const char *
kp_class_name(enum kp_class c)
{
	static const char *const names[] = {[KP_OK] = "ok",
	    [KP_ABSENT] = "absent",
	    [KP_DELETED] = "deleted",
	    [KP_STATE] = "wrong state",
	    [KP_PROTECTED] = "protected",
	    [KP_DENIED] = "denied",
	    [KP_INTEGRITY] = "integrity",
	    [KP_SEALED] = "sealed",
	    [KP_BROAD] = "too many keys",
	    [KP_THROTTLED] = "throttled",
	    [KP_DOWN] = "outage",
	    [KP_REFUSED] = "refused"};

	return names[c];
}

static enum err
take_error(void *arg, const struct json_value *v)
{
	struct kp_error *error = arg;
	size_t len = v->len < sizeof(error->text) ? v->len : sizeof(error->text) - 1;

	if (v->kind != JSON_STRING || v->row != 0)
		return ERR_OK;
	if (v->path == 0 && error->code[0] == '\0')
		copy(error->code, sizeof(error->code), v);
	if (v->path == 1)
		snprintf(error->text, sizeof(error->text), "%.*s", (int)len, v->text);
	return ERR_OK;
}

/* True when it is an error body of Key Protect's own. */
static bool
read_error(const void *body, size_t len, struct kp_error *error)
{
	static const char *const paths[] = {
	    "resources[].reasons[].code", "resources[].errorMsg", NULL};
	struct json_read want = {.paths = paths, .value = take_error, .arg = error};

	return json_read(&want, body, len) == ERR_OK &&
	       (error->code[0] != '\0' || error->text[0] != '\0');
}

/* What the status alone says: the class, and whether only Key Protect's own body makes it true. */
static enum kp_class
class_of_status(unsigned status, bool *own_only)
{
	*own_only = false;
	switch (status) {
	case 401:
	case 403:
		return KP_DENIED;
	case 404:
		*own_only = true;
		return KP_ABSENT;
	case 409:
		*own_only = true;
		return KP_STATE;
	case 410:
		*own_only = true;
		return KP_DELETED;
	case 422:
		*own_only = true;
		return KP_INTEGRITY;
	case 429:
		return KP_THROTTLED;
	case 407:
	case 408:
		return KP_DOWN;
	case 501:
		return KP_REFUSED;
	default:
		*own_only = status / 100 == 4;
		return status / 100 == 4 ? KP_REFUSED : KP_DOWN;
	}
}

/* Codes that say more than their status. */
static const struct {
	unsigned status;
	const char *code;
	enum kp_class class;
} finer[] = {
    {400, "KEY_SEARCH_TOO_BROAD", KP_BROAD},
    {400, "UNDEFINED_REASON", KP_INTEGRITY}, /* of older servers: cannot be decrypted */
    {409, "PROTECTED_RESOURCE_ERR", KP_PROTECTED},
    {409, "PREV_KEY_DEL_ERR", KP_PROTECTED},
    {409, "AUTHORIZATIONS_NOT_MET", KP_PROTECTED},
    {409, "KEY_CREATE_IMPORT_ACCESS_ERR", KP_PROTECTED},
    {422, "KEY_INVALID_STATE_ERR", KP_STATE},
};

static bool
looks_like_json(const void *body, size_t len)
{
	const char *p = body;

	while (len > 0 && strchr(" \t\r\n", *p) != NULL && *p != '\0')
		p++, len--;
	return len > 0 && *p == '{';
}

enum kp_class
kp_classify(unsigned status, bool body_wanted, const void *body, size_t len, struct kp_error *error)
{
	bool own, own_only;
	enum kp_class class;

	*error = (struct kp_error){.code = ""};
	if (status / 100 == 2)
		return (len == 0 && !body_wanted) || looks_like_json(body, len) ? KP_OK : KP_DOWN;
	own = read_error(body, len, error);
	if (strstr(error->text, "CKR_IBM_WK_NOT_INITIALIZED") != NULL)
		return KP_SEALED;
	class = class_of_status(status, &own_only);
	if (own_only && !own)
		return KP_DOWN; /* a gateway in front of it has lost its way */
	for (size_t i = 0; i < sizeof(finer) / sizeof(*finer); i++)
		if (finer[i].status == status && strcmp(finer[i].code, error->code) == 0)
			return finer[i].class;
	return class;
}

/* --- requests --- */

static void
put_aad(struct buf *b, const char *const aad[KP_AAD_COUNT])
{
	buf_printf(b, "\"aad\":[");
	for (int i = 0; i < KP_AAD_COUNT; i++) {
		if (i > 0)
			buf_put(b, ",", 1);
		text_json(b, aad[i], strlen(aad[i]));
	}
	buf_printf(b, "]}");
}

void
kp_put_wrap(struct buf *b, struct secret *plaintext, const char *const aad[KP_AAD_COUNT])
{
	buf_put(b, "{", 1);
	if (plaintext != NULL) {
		buf_printf(b, "\"plaintext\":\"");
		text_base64(b, secret_bytes(plaintext), secret_len(plaintext));
		buf_printf(b, "\",");
	}
	put_aad(b, aad);
}

void
kp_put_unwrap(
    struct buf *b, const char *ciphertext, size_t len, const char *const aad[KP_AAD_COUNT])
{
	buf_printf(b, "{\"ciphertext\":");
	text_json(b, ciphertext, len);
	buf_put(b, ",", 1);
	put_aad(b, aad);
}

void
kp_put_create(struct buf *b, const char *name, const void *payload, size_t len)
{
	buf_printf(b, "{\"metadata\":{\"collectionType\":\"" KEY_TYPE "\",\"collectionTotal\":1},"
		      "\"resources\":[{\"type\":\"" KEY_TYPE "\",\"name\":");
	text_json(b, name, strlen(name));
	buf_printf(b, ",\"extractable\":true,\"payload\":\"");
	text_base64(b, payload, len);
	buf_printf(b, "\"}]}");
}

void
kp_put_no_keys(struct buf *b)
{
	buf_printf(b, "{\"metadata\":{\"collectionType\":\"" KEY_TYPE "\",\"collectionTotal\":0},"
		      "\"resources\":[]}");
}

/* --- answers --- */

static enum err
take_plaintext(struct kp_action *a, const struct json_value *v)
{
	size_t len = text_unbase64_len(v->text, v->len);

	if (a->plaintext != NULL || len == 0)
		return ERR_INVALID_MESSAGE;
	a->plaintext = secret_new(len, SECRET_TRANSIENT);
	if (a->plaintext == NULL)
		return ERR_NO_SECURE_MEMORY;
	return text_unbase64(secret_bytes(a->plaintext), v->text, v->len) ? ERR_OK
									  : ERR_INVALID_MESSAGE;
}

static enum err
take_action(void *arg, const struct json_value *v)
{
	struct kp_action *a = arg;

	if (v->kind != JSON_STRING)
		return ERR_INVALID_MESSAGE;
	switch (v->path) {
	case 0:
		return take_plaintext(a, v);
	case 1:
		if (v->len > KP_CIPHERTEXT_MAX)
			return ERR_INVALID_MESSAGE;
		copy(a->ciphertext, sizeof(a->ciphertext), v);
		return ERR_OK;
	default:
		copy(a->version, sizeof(a->version), v);
		return ERR_OK;
	}
}

enum err
kp_read_action(const void *body, size_t len, struct kp_action *out)
{
	static const char *const paths[] = {"plaintext", "ciphertext", "keyVersion.id", NULL};
	struct kp_action a = {.version = ""};
	struct json_read want = {.paths = paths, .value = take_action, .arg = &a};
	enum err e = json_read(&want, body, len);

	if (e == ERR_OK)
		*out = a;
	else
		kp_action_fini(&a);
	return e;
}

void
kp_action_fini(struct kp_action *a)
{
	secret_unref(a->plaintext);
	a->plaintext = NULL;
}

struct rows {
	void (*each)(void *arg, const struct kp_key *k);
	void *arg;
	struct kp_key key;
	size_t row; /* the one being read, plus one */
	size_t count;
};

static enum err
end_row(struct rows *r)
{
	if (r->row == 0)
		return ERR_OK;
	if (strlen(r->key.id) != UID_TEXT_LEN || !kp_is_key_name(r->key.id))
		return ERR_INVALID_MESSAGE;
	r->each(r->arg, &r->key);
	r->count++;
	return ERR_OK;
}

enum {
	PATH_ID, PATH_NAME, PATH_CREATED, PATH_STATE, PATH_DELETED, PATH_DELETION, PATH_CREATED_BY,
	PATH_DELETED_BY
};

static enum err
take_key(void *arg, const struct json_value *v)
{
	struct rows *r = arg;
	enum err e;

	if (v->row + 1 != r->row) {
		e = end_row(r);
		if (e != ERR_OK)
			return e;
		r->row = v->row + 1;
		r->key = (struct kp_key){.state = -1};
	}
	if (v->path == PATH_ID)
		copy(r->key.id, sizeof(r->key.id), v);
	else if (v->path == PATH_NAME)
		copy(r->key.name, sizeof(r->key.name), v);
	else if (v->path == PATH_CREATED)
		copy(r->key.created, sizeof(r->key.created), v);
	else if (v->path == PATH_STATE && v->kind == JSON_INTEGER)
		r->key.state = v->number >= 0 && v->number <= 5 ? (int)v->number : -1;
	else if (v->path == PATH_DELETED)
		r->key.deleted = v->kind == JSON_TRUTH && v->number != 0;
	else if (v->path == PATH_DELETION)
		copy(r->key.deletion_date, sizeof(r->key.deletion_date), v);
	else if (v->path == PATH_CREATED_BY)
		copy(r->key.created_by, sizeof(r->key.created_by), v);
	else if (v->path == PATH_DELETED_BY)
		copy(r->key.deleted_by, sizeof(r->key.deleted_by), v);
	return ERR_OK;
}

enum err
kp_read_keys(const void *body, size_t len, void (*each)(void *arg, const struct kp_key *k),
    void *arg, size_t *rows)
{
	static const char *const paths[] = {[PATH_ID] = "resources[].id",
	    [PATH_NAME] = "resources[].name",
	    [PATH_CREATED] = "resources[].creationDate",
	    [PATH_STATE] = "resources[].state",
	    [PATH_DELETED] = "resources[].deleted",
	    [PATH_DELETION] = "resources[].deletionDate",
	    [PATH_CREATED_BY] = "resources[].createdBy",
	    [PATH_DELETED_BY] = "resources[].deletedBy",
	    NULL};
	struct rows r = {.each = each, .arg = arg};
	struct json_read want = {.paths = paths, .value = take_key, .arg = &r};
	enum err e = json_read(&want, body, len);

	if (e == ERR_OK)
		e = end_row(&r);
	if (e == ERR_OK)
		*rows = r.count;
	return e;
}

/* A standard key is only ever active or destroyed; between the two it may pass through 3. */
bool
kp_key_is_gone(const struct kp_key *k)
{
	return k->deleted || k->state == 5 || (k->deletion_date[0] != '\0' && k->state != 1);
}

static bool
is_ours(const struct kp_ours *ours, const char *id)
{
	for (unsigned i = 0; i < ours->count; i++)
		if (strcmp(ours->id[i], id) == 0)
			return true;
	return false;
}

void
kp_ours_add(struct kp_ours *ours, const char *id)
{
	if (id[0] != '\0' && ours->count < KP_OURS_MAX && !is_ours(ours, id))
		snprintf(ours->id[ours->count++], sizeof(ours->id[0]), "%s", id);
}

bool
kp_ours_read(struct kp_ours *ours, const char *ids)
{
	char id[KP_SUBJECT_MAX + 1];
	size_t len;

	*ours = (struct kp_ours){.count = 0};
	for (ids += strspn(ids, " "); *ids != '\0'; ids += strspn(ids, " ")) {
		len = strcspn(ids, " ");
		if (len > KP_SUBJECT_MAX || ours->count == KP_OURS_MAX)
			return false;
		snprintf(id, sizeof(id), "%.*s", (int)len, ids);
		kp_ours_add(ours, id);
		ids += len;
	}
	return true;
}

bool
kp_key_is_destroyed(const struct kp_key *k, const struct kp_ours *ours)
{
	return kp_key_is_gone(k) && k->deleted_by[0] != '\0' &&
	    (strcmp(k->deleted_by, k->created_by) == 0 || is_ours(ours, k->deleted_by));
}

int64_t
kp_read_date(const char *s)
{
	struct tm tm = {0};
	const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);

	return end != NULL && (*end == 'Z' || *end == '.') ? (int64_t)timegm(&tm) : -1;
}

struct payload {
	struct arena *arena;
	size_t max, len;
	uint8_t *data;
};

static enum err
take_payload(void *arg, const struct json_value *v)
{
	struct payload *p = arg;

	if (v->kind != JSON_STRING || p->data != NULL)
		return ERR_INVALID_MESSAGE;
	p->len = text_unbase64_len(v->text, v->len);
	if (p->len == 0 || p->len > p->max)
		return ERR_INVALID_MESSAGE;
	p->data = arena_zalloc(p->arena, p->len);
	if (p->data == NULL)
		return ERR_NO_MEMORY;
	return text_unbase64(p->data, v->text, v->len) ? ERR_OK : ERR_INVALID_MESSAGE;
}

enum err
kp_read_payload(const void *body, size_t len, struct arena *a, size_t max, const uint8_t **out,
    size_t *out_len)
{
	static const char *const paths[] = {"resources[].payload", NULL};
	struct payload p = {.arena = a, .max = max};
	struct json_read want = {.paths = paths, .value = take_payload, .arg = &p};
	enum err e = json_read(&want, body, len);

	if (e == ERR_OK && p.data == NULL)
		e = ERR_INVALID_MESSAGE;
	if (e != ERR_OK)
		return e;
	*out = p.data;
	*out_len = p.len;
	return ERR_OK;
}

void
kp_keep_key(void *arg, const struct kp_key *k)
{
	*(struct kp_key *)arg = *k;
}
