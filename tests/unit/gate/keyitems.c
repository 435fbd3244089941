/* SPDX-License-Identifier: Apache-2.0 */
/* An item of each operation on a key, and keys in any state. */
#include "keyitems.h"

#include <string.h>

#include "base/clock.h"

const struct date no_date = {"", 0}, active_now = {"Activation Date", WALL};

/* All keys have the same bytes, so that one can be imported in the place of another. */
static const uint8_t key_bytes[32] = "0123456789abcdef0123456789ABCDE";
static char items_kek[UID_TEXT_LEN + 1]; /* an active key that wraps, or is wrapped */
static uint8_t wrapped[128];		 /* such a key, under such a key */
static size_t wrapped_len;
struct date items_dates[2];

void
put_attr_date(const struct date *d)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE);

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, d->name, strlen(d->name));
	ttlv_put_date_time(&msg, TAG_ATTRIBUTE_VALUE, d->when);
	ttlv_end(&msg, at);
}

static void
put_dates(void)
{
	for (int i = 0; i < 2; i++)
		if (items_dates[i].when != 0)
			put_attr_date(&items_dates[i]);
}

static void
put_attr_limits(void)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE), value;

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "Usage Limits", 12);
	value = ttlv_begin(&msg, TAG_ATTRIBUTE_VALUE);
	ttlv_put_long(&msg, TAG_USAGE_LIMITS_TOTAL, 1000);
	ttlv_put_enum(&msg, TAG_USAGE_LIMITS_UNIT, KMIP_USAGE_LIMITS_UNIT_BYTE);
	ttlv_end(&msg, value);
	ttlv_end(&msg, at);
}

static void
put_params(uint32_t tag, uint32_t value)
{
	size_t mark = ttlv_begin(&msg, TAG_CRYPTOGRAPHIC_PARAMETERS);

	ttlv_put_enum(&msg, tag, value);
	ttlv_end(&msg, mark);
}

static void
crypt_item(uint32_t operation, const char *uid, bool verify)
{
	static const uint8_t block[32];

	item_begin(operation, uid);
	if (operation == KMIP_OPERATION_ENCRYPT || operation == KMIP_OPERATION_DECRYPT)
		put_params(TAG_BLOCK_CIPHER_MODE, KMIP_BLOCK_CIPHER_MODE_ECB);
	else
		put_params(TAG_CRYPTOGRAPHIC_ALGORITHM, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256);
	ttlv_put_bytes(&msg, TAG_DATA, block, sizeof(block));
	if (verify)
		ttlv_put_bytes(&msg, TAG_MAC_DATA, block, sizeof(block));
	item_end();
}

void
item_encrypt(const char *uid)
{
	crypt_item(KMIP_OPERATION_ENCRYPT, uid, false);
}

void
item_decrypt(const char *uid)
{
	crypt_item(KMIP_OPERATION_DECRYPT, uid, false);
}

void
item_mac(const char *uid)
{
	crypt_item(KMIP_OPERATION_MAC, uid, false);
}

void
item_mac_verify(const char *uid)
{
	crypt_item(KMIP_OPERATION_MAC_VERIFY, uid, true);
}

void
item_get(const char *uid)
{
	simple(KMIP_OPERATION_GET, uid);
}

static void
wrapped_item(const char *uid, const char *by)
{
	size_t spec, info;

	item_begin(KMIP_OPERATION_GET, uid);
	spec = ttlv_begin(&msg, TAG_KEY_WRAPPING_SPECIFICATION);
	ttlv_put_enum(&msg, TAG_WRAPPING_METHOD, KMIP_WRAPPING_METHOD_ENCRYPT);
	info = ttlv_begin(&msg, TAG_ENCRYPTION_KEY_INFORMATION);
	ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, by, strlen(by));
	ttlv_end(&msg, info);
	ttlv_end(&msg, spec);
	item_end();
}

void
item_get_wrapped(const char *uid)
{
	wrapped_item(uid, items_kek);
}

void
item_wrap_another(const char *uid)
{
	wrapped_item(items_kek, uid);
}

void
item_get_attributes(const char *uid)
{
	simple(KMIP_OPERATION_GET_ATTRIBUTES, uid);
}

void
item_get_attribute_list(const char *uid)
{
	simple(KMIP_OPERATION_GET_ATTRIBUTE_LIST, uid);
}

void
item_add_attribute(const char *uid)
{
	add_item(uid, "x-new", "value");
}

void
item_modify_attribute(const char *uid)
{
	item_begin(KMIP_OPERATION_MODIFY_ATTRIBUTE, uid);
	put_attr_text("x-old", "another");
	item_end();
}

void
item_delete_attribute(const char *uid)
{
	item_begin(KMIP_OPERATION_DELETE_ATTRIBUTE, uid);
	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "x-old", 5);
	item_end();
}

void
item_activate(const char *uid)
{
	simple(KMIP_OPERATION_ACTIVATE, uid);
}

void
item_deactivate(const char *uid)
{
	revoke_item(uid, KMIP_REVOCATION_REASON_CODE_CESSATION_OF_OPERATION);
}

void
item_compromise(const char *uid)
{
	revoke_item(uid, KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE);
}

void
item_destroy(const char *uid)
{
	simple(KMIP_OPERATION_DESTROY, uid);
}

void
item_derive(const char *uid)
{
	size_t mark;

	item_begin(KMIP_OPERATION_DERIVE_KEY, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, uid, strlen(uid));
	ttlv_put_enum(&msg, TAG_DERIVATION_METHOD, KMIP_DERIVATION_METHOD_HASH);
	mark = ttlv_begin(&msg, TAG_DERIVATION_PARAMETERS);
	put_params(TAG_HASHING_ALGORITHM, KMIP_HASHING_ALGORITHM_SHA_256);
	ttlv_end(&msg, mark);
	mark = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", 4);
	put_attr_int("Cryptographic Length", 128);
	put_dates();
	ttlv_end(&msg, mark);
	item_end();
}

void
item_re_key(const char *uid)
{
	size_t template;

	item_begin(KMIP_OPERATION_RE_KEY, uid);
	template = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_dates();
	ttlv_end(&msg, template);
	item_end();
}

void
item_check(const char *uid)
{
	simple(KMIP_OPERATION_CHECK, uid);
}

void
item_allocate(const char *uid)
{
	item_begin(KMIP_OPERATION_GET_USAGE_ALLOCATION, uid);
	ttlv_put_long(&msg, TAG_USAGE_LIMITS_COUNT, 1);
	item_end();
}

void
item_obtain_lease(const char *uid)
{
	simple(KMIP_OPERATION_OBTAIN_LEASE, uid);
}

void
item_archive(const char *uid)
{
	simple(KMIP_OPERATION_ARCHIVE, uid);
}

void
item_export(const char *uid)
{
	simple(KMIP_OPERATION_EXPORT, uid);
}

void
item_recover(const char *uid)
{
	simple(KMIP_OPERATION_RECOVER, uid);
}

static void
put_known_key(bool wrapped_by_it, const char *uid)
{
	size_t object = ttlv_begin(&msg, TAG_SYMMETRIC_KEY);
	size_t block = ttlv_begin(&msg, TAG_KEY_BLOCK), value, data, info;

	ttlv_put_enum(&msg, TAG_KEY_FORMAT_TYPE, KMIP_KEY_FORMAT_TYPE_RAW);
	if (!wrapped_by_it) {
		value = ttlv_begin(&msg, TAG_KEY_VALUE);
		ttlv_put_bytes(&msg, TAG_KEY_MATERIAL, key_bytes, sizeof(key_bytes));
		ttlv_end(&msg, value);
	} else {
		ttlv_put_bytes(&msg, TAG_KEY_VALUE, wrapped, wrapped_len);
	}
	ttlv_put_enum(&msg, TAG_CRYPTOGRAPHIC_ALGORITHM, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	ttlv_put_int(&msg, TAG_CRYPTOGRAPHIC_LENGTH, 8 * (int32_t)sizeof(key_bytes));
	if (wrapped_by_it) {
		data = ttlv_begin(&msg, TAG_KEY_WRAPPING_DATA);
		ttlv_put_enum(&msg, TAG_WRAPPING_METHOD, KMIP_WRAPPING_METHOD_ENCRYPT);
		info = ttlv_begin(&msg, TAG_ENCRYPTION_KEY_INFORMATION);
		ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, uid, strlen(uid));
		ttlv_end(&msg, info);
		ttlv_end(&msg, data);
	}
	ttlv_end(&msg, block);
	ttlv_end(&msg, object);
}

static void
import_same(const char *uid, bool replace, enum object_state state)
{
	item_begin(KMIP_OPERATION_IMPORT, uid);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	ttlv_put_bool(&msg, TAG_REPLACE_EXISTING, replace);
	put_attr_int("Cryptographic Usage Mask", KEY_MASK);
	put_attr_enum("State", state);
	put_attr_limits();
	put_dates();
	put_known_key(false, NULL);
	item_end();
}

void
item_import_new(const char *uid)
{
	import_same(uid, false, OBJECT_PRE_ACTIVE);
}

void
item_import_as_made(const char *uid)
{
	import_same(uid, true, OBJECT_PRE_ACTIVE);
}

void
item_import_compromised(const char *uid)
{
	import_same(uid, true, OBJECT_COMPROMISED);
}

void
item_import_unwrapped(const char *uid)
{
	item_begin(KMIP_OPERATION_IMPORT, "of theirs");
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	ttlv_put_enum(&msg, TAG_KEY_WRAP_TYPE, KMIP_KEY_WRAP_TYPE_NOT_WRAPPED);
	put_attr_int("Cryptographic Usage Mask", 4);
	put_known_key(true, uid);
	item_end();
}

static void
add_date(const char *uid, const char *name)
{
	item_begin(KMIP_OPERATION_ADD_ATTRIBUTE, uid);
	put_attr_date(&(struct date){name, WALL + 10000});
	item_end();
}

void
item_add_start(const char *uid)
{
	add_date(uid, "Process Start Date");
}

void
item_add_end(const char *uid)
{
	add_date(uid, "Deactivation Date");
}

static void
put_vendors(uint32_t tag, const char *name)
{
	ttlv_put_text(&msg, TAG_VENDOR_IDENTIFICATION, "x", 1);
	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
	if (tag == TAG_ATTRIBUTE)
		ttlv_put_text(&msg, TAG_ATTRIBUTE_VALUE, "another", 7);
}

void
item_set_attribute(const char *uid)
{
	size_t new, attribute;

	item_begin(KMIP_OPERATION_SET_ATTRIBUTE, uid);
	new = ttlv_begin(&msg, TAG_NEW_ATTRIBUTE);
	attribute = ttlv_begin(&msg, TAG_ATTRIBUTE);
	put_vendors(TAG_ATTRIBUTE, "old");
	ttlv_end(&msg, attribute);
	ttlv_end(&msg, new);
	item_end();
}

void
item_adjust_attribute(const char *uid)
{
	size_t mark;

	item_begin(KMIP_OPERATION_ADJUST_ATTRIBUTE, uid);
	mark = ttlv_begin(&msg, TAG_ATTRIBUTE_REFERENCE);
	put_vendors(TAG_ATTRIBUTE_REFERENCE, "number");
	ttlv_end(&msg, mark);
	ttlv_put_enum(&msg, TAG_ADJUSTMENT_TYPE, KMIP_ADJUSTMENT_TYPE_INCREMENT);
	ttlv_put_int(&msg, TAG_ADJUSTMENT_VALUE, 2);
	item_end();
}

/* --- keys --- */

void
item_create(const char *uid)
{
	size_t template;

	(void)uid;
	item_begin(KMIP_OPERATION_CREATE, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	template = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", KEY_MASK);
	put_attr_int("Cryptographic Length", 256);
	put_dates();
	ttlv_end(&msg, template);
	item_end();
}

void
item_register(const char *uid)
{
	size_t template;

	(void)uid;
	item_begin(KMIP_OPERATION_REGISTER, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	template = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_int("Cryptographic Usage Mask", KEY_MASK);
	put_attr_text("x-old", "value");
	put_attr_limits();
	put_dates();
	ttlv_end(&msg, template);
	put_known_key(false, NULL);
	item_end();
}

void
item_import(const char *uid)
{
	(void)uid;
	import_same("of theirs", false, OBJECT_PRE_ACTIVE);
}

void
make_key(char uid[UID_TEXT_LEN + 1], const struct date *first, const struct date *second)
{
	items_dates[0] = *first;
	items_dates[1] = *second;
	act(item_register, NULL);
	expect_ok(0);
	memcpy(uid, uid_of(0), UID_TEXT_LEN + 1);
	items_dates[0] = items_dates[1] = no_date;
}

void
act(void (*put)(const char *), const char *uid)
{
	begin(1, 0, 0);
	put(uid);
	run();
}

void
key_in_state(char uid[UID_TEXT_LEN + 1], enum object_state state)
{
	make_key(uid, &no_date, &no_date);
	if (state == OBJECT_ACTIVE || state == OBJECT_DEACTIVATED)
		act(item_activate, uid);
	if (state == OBJECT_DEACTIVATED)
		act(item_deactivate, uid);
	if (state == OBJECT_COMPROMISED || state == OBJECT_DESTROYED_COMPROMISED)
		act(item_compromise, uid);
	if (state == OBJECT_DESTROYED || state == OBJECT_DESTROYED_COMPROMISED)
		act(item_destroy, uid);
	expect_ok(0);
}

void
setup_kek(void)
{
	char uid[UID_TEXT_LEN + 1];
	struct ttlv_reader r;
	struct ttlv t;

	setup();
	version_minor = 4;
	make_key(items_kek, &active_now, &no_date);
	make_key(uid, &active_now, &no_date);
	act(item_get_wrapped, uid);
	expect_ok(0);
	t = field(0, TAG_SYMMETRIC_KEY);
	ttlv_enter(&r, &t);
	ck_assert(ttlv_need(&r, TAG_KEY_BLOCK, TTLV_STRUCTURE, &t));
	ttlv_enter(&r, &t);
	ck_assert(ttlv_next(&r, &t) && ttlv_need(&r, TAG_KEY_VALUE, TTLV_BYTES, &t));
	ck_assert_uint_le(t.len, sizeof(wrapped));
	memcpy(wrapped, t.value, t.len);
	wrapped_len = t.len;
}
