/* SPDX-License-Identifier: Apache-2.0 */
/* The actions on a key: wrap, unwrap, rewrap, rotate, disable, enable, and deletion by two. */
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"

#include "body.h"
#include "handlers.h"
#include "keys_json.h"
#include "sim.h"
#include "validate.h"
#include "wrapping.h"

enum { DEK_LEN = 32, TOGGLE_WAIT_S = 30, SYNC_WAIT_S = 3600, CIPHERTEXT_ROOM = 32768 };

/* What every action on a root key asks first. */
static enum fail
check_root(struct exchange *x)
{
	/* `action` is the older form's, which modern paths do not have. */
	if (!exchange_query_only(x, " action "))
		return FAIL_INVALID_QUERY;
	if (x->key->state == KEY_DESTROYED)
		return FAIL_KEY_DELETED;
	return x->key->extractable ? FAIL_ROOT_REQUIRED : FAIL_NONE;
}

static enum fail
read_aad(struct exchange *x, yajl_val *aad)
{
	*aad = body_field(x->json, "aad");
	if (*aad == NULL)
		return FAIL_NONE;
	if (!YAJL_IS_ARRAY(*aad) || (*aad)->u.array.len > AAD_MAX)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "aad");
	for (size_t i = 0; i < (*aad)->u.array.len; i++) {
		const char *s = YAJL_GET_STRING((*aad)->u.array.values[i]);

		if (s == NULL || !validate_chars(s, 0, AAD_TEXT_MAX) || strlen(s) > AAD_TEXT_MAX)
			return exchange_fail_at(x, FAIL_INVALID_FIELD, "aad");
	}
	return FAIL_NONE;
}

static void
put_version(struct json *j, const char *name, const struct version *v)
{
	json_object(j, name);
	json_text(j, "id", v->id);
	json_object_end(j);
}

/* Appends "ciphertext", sealed under the newest version. */
static enum fail
put_sealed(struct exchange *x, struct json *j, yajl_val aad, const struct plaintext *p)
{
	struct buf text;
	enum fail f = FAIL_INTERNAL;

	buf_init(&text, CIPHERTEXT_ROOM);
	if (wrapping_seal(key_newest(x->key), aad, p, &text)) {
		json_bytes(j, "ciphertext", text.data, text.len);
		f = FAIL_NONE;
	}
	buf_fini(&text);
	return f;
}

static enum fail
wrap(struct exchange *x, struct plaintext *p)
{
	const char *text = NULL;
	yajl_val aad;
	struct json j;
	enum fail f = check_root(x);

	if (f != FAIL_NONE)
		return f;
	if (x->key->state != KEY_ACTIVE)
		return FAIL_INVALID_STATE;
	if (x->json != NULL && !body_only(x->json, " plaintext aad "))
		return FAIL_BAD_BODY;
	f = read_aad(x, &aad);
	if (f != FAIL_NONE)
		return f;
	if (!body_text(x->json, "plaintext", &text) ||
	    (text != NULL && !validate_base64(text, p->bytes, PLAINTEXT_MAX, &p->len)))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "plaintext");
	if (text == NULL) {
		p->len = DEK_LEN;
		if (RAND_priv_bytes(p->bytes, DEK_LEN) != 1)
			return FAIL_INTERNAL;
	}
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	if (text == NULL)
		keys_json_base64(&j, "plaintext", p->bytes, p->len);
	f = put_sealed(x, &j, aad, p);
	put_version(&j, "keyVersion", key_newest(x->key));
	json_object_end(&j);
	return f;
}

/* What unwrap and rewrap begin with: the plaintext, and which version had sealed it. */
static enum fail
open_body(struct exchange *x, struct plaintext *p, yajl_val *aad, const struct version **used)
{
	const char *ciphertext = NULL;
	enum fail f = check_root(x);

	if (f != FAIL_NONE)
		return f;
	if (x->key->state != KEY_ACTIVE && x->key->state != KEY_DEACTIVATED)
		return FAIL_INVALID_STATE;
	if (x->json == NULL)
		return FAIL_NO_BODY;
	if (!body_only(x->json, " ciphertext aad "))
		return FAIL_BAD_BODY;
	f = read_aad(x, aad);
	if (f != FAIL_NONE)
		return f;
	if (!body_text(x->json, "ciphertext", &ciphertext) || ciphertext == NULL ||
	    ciphertext[0] == '\0')
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "ciphertext");
	if (!wrapping_open(x->key, *aad, ciphertext, p, used))
		return x->inst->set.old_unwrap_error ? FAIL_UNDEFINED_REASON : FAIL_CIPHERTEXT;
	return FAIL_NONE;
}

static enum fail
unwrap(struct exchange *x, struct plaintext *p)
{
	const struct version *used, *newest;
	yajl_val aad;
	struct json j;
	enum fail f = open_body(x, p, &aad, &used);

	if (f != FAIL_NONE)
		return f;
	newest = key_newest(x->key);
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	keys_json_base64(&j, "plaintext", p->bytes, p->len);
	put_version(&j, "keyVersion", used);
	if (used != newest) {
		f = put_sealed(x, &j, aad, p);
		put_version(&j, "rewrappedKeyVersion", newest);
	}
	json_object_end(&j);
	return f;
}

static enum fail
rewrap(struct exchange *x, struct plaintext *p)
{
	const struct version *used;
	yajl_val aad;
	struct json j;
	enum fail f = open_body(x, p, &aad, &used);

	if (f != FAIL_NONE)
		return f;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	f = put_sealed(x, &j, aad, p);
	put_version(&j, "keyVersion", used);
	put_version(&j, "rewrappedKeyVersion", key_newest(x->key));
	json_object_end(&j);
	return f;
}

/* Runs it with a plaintext that does not outlive it. */
static enum fail
with_plaintext(struct exchange *x, enum fail (*run)(struct exchange *, struct plaintext *))
{
	struct plaintext p = {.len = 0};
	enum fail f = run(x, &p);

	wipe(&p, sizeof(p));
	return f;
}

enum fail
keys_wrap(struct exchange *x)
{
	return with_plaintext(x, wrap);
}

enum fail
keys_unwrap(struct exchange *x)
{
	return with_plaintext(x, unwrap);
}

enum fail
keys_rewrap(struct exchange *x)
{
	return with_plaintext(x, rewrap);
}

static enum fail
check_rotation(struct exchange *x)
{
	const struct key *k = x->key;
	int64_t last = k->rotated != 0 ? k->rotated : k->created;
	enum fail f = check_root(x);

	if (f != FAIL_NONE)
		return f;
	if (k->state != KEY_ACTIVE &&
	    (k->state != KEY_DEACTIVATED || x->inst->kind == INSTANCE_HPCS))
		return FAIL_INVALID_STATE;
	/* A first rotation may follow the creation at once. */
	if (k->rotated != 0 && exchange_now(x) < last + x->inst->set.rotate_interval_s)
		return FAIL_ROTATION_NOT_PERMITTED;
	return FAIL_NONE;
}

enum fail
keys_rotate(struct exchange *x)
{
	struct key *k = x->key;
	const char *payload = NULL;
	uint8_t material[ROOT_MATERIAL_MAX];
	size_t len = ROOT_MATERIAL_MAX;
	enum fail f = check_rotation(x);

	if (f != FAIL_NONE)
		return f;
	if (body_field(x->json, "encryptedNonce") != NULL || body_field(x->json, "iv") != NULL ||
	    body_field(x->json, "encryptionAlgorithm") != NULL)
		return FAIL_NOT_SIMULATED;
	if (x->json != NULL && !body_only(x->json, " payload "))
		return FAIL_BAD_BODY;
	if (!body_text(x->json, "payload", &payload))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "payload");
	if (k->imported && payload == NULL)
		return FAIL_PAYLOAD_REQUIRED;
	if (!k->imported && payload != NULL)
		return FAIL_IMPORTED_REQUIRED;
	if (payload != NULL && (!validate_base64(payload, material, sizeof(material), &len) ||
				   !validate_root_len(len)))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "payload");
	if (!key_add_version(k, payload != NULL ? material : NULL, len, exchange_now(x)))
		f = FAIL_INTERNAL;
	wipe(material, sizeof(material));
	if (f != FAIL_NONE)
		return f;
	k->rotated = k->updated = exchange_now(x);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

/* Between the two states that an administrator switches. */
static enum fail
toggle(struct exchange *x, enum key_state from, enum key_state to)
{
	struct key *k = x->key;
	enum fail f = check_root(x);

	if (f != FAIL_NONE)
		return f;
	if (k->state != from)
		return FAIL_INVALID_STATE;
	if (k->toggled != 0 && exchange_now(x) < k->toggled + TOGGLE_WAIT_S)
		return FAIL_TOO_EARLY;
	k->state = to;
	k->toggled = k->updated = exchange_now(x);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

enum fail
keys_disable(struct exchange *x)
{
	return toggle(x, KEY_ACTIVE, KEY_SUSPENDED);
}

enum fail
keys_enable(struct exchange *x)
{
	return toggle(x, KEY_SUSPENDED, KEY_ACTIVE);
}

/* by: who wants the key deleted, or "". */
static enum fail
mark_deletion(struct exchange *x, const char *by)
{
	struct key *k = x->key;

	if (!exchange_query_only(x, " action "))
		return FAIL_INVALID_QUERY;
	if (k->state == KEY_DESTROYED)
		return FAIL_KEY_DELETED;
	if (!k->dual_auth)
		return FAIL_NOT_DUAL_AUTH;
	snprintf(k->dual_auth_by, sizeof(k->dual_auth_by), "%s", by);
	k->dual_auth_at = exchange_now(x);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

enum fail
keys_set_deletion(struct exchange *x)
{
	return mark_deletion(x, x->who->subject);
}

enum fail
keys_unset_deletion(struct exchange *x)
{
	return mark_deletion(x, "");
}

enum fail
keys_sync(struct exchange *x)
{
	struct key *k = x->key;
	enum fail f = check_root(x);

	if (f != FAIL_NONE)
		return f;
	if (k->synced != 0 && exchange_now(x) < k->synced + SYNC_WAIT_S)
		return FAIL_TOO_EARLY;
	k->synced = exchange_now(x);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}
