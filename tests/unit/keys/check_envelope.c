/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes: what is altered or moved does not open; root key files and versions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "envelope.h"
#include "keys/store.h"
#include "rig.h"

static struct arena *arena;
static struct envelope_crypto *crypto;
static struct rootkeys roots;
static struct secret *key;
static struct object object;
static char dir[64], path[96];

static void
write_root(const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
}

#define HEX_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX_B "ff112233445566778899AABBCCDDEEFF00112233445566778899aabbccddee00"

static void
setup(void)
{
	const char *why;
	bool locked;

	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	strcpy(dir, "/tmp/keyferry-env.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/root", dir);
	write_root("1 " HEX_A "\n");
	ck_assert_int_eq(rootkeys_load(&roots, path, &why), ERR_OK);
	arena = arena_new(4 << 20);
	crypto = envelope_crypto_new();
	key = secret_new(32, SECRET_TRANSIENT);
	memset(secret_bytes(key), 0x5a, 32);
	memset(&object, 0, sizeof(object));
	strcpy(object.tenant, "t1");
	ck_assert_int_eq(text_uuid7(object.uid), ERR_OK);
	object.type = 2;
	object.state = OBJECT_PRE_ACTIVE;
	object.algorithm = 3;
	object.length = 256;
	ck_assert_int_eq(
	    object_attr_set(&object, arena, "x-a", 3, 0, (const uint8_t *)"v", 1), ERR_OK);
	ck_assert_int_eq(envelope_seal(crypto, &roots, &object, key, arena, &object.record,
	    &object.record_len), ERR_OK);
}

static void
teardown(void)
{
	secret_unref(key);
	envelope_crypto_free(crypto);
	rootkeys_fini(&roots);
	arena_free(arena);
	rig_remove(dir);
}

static enum err
open_it(const struct object *o)
{
	struct secret *out = NULL;
	enum err e = envelope_open(crypto, &roots, o, SECRET_TRANSIENT, &out);

	if (e == ERR_OK)
		ck_assert(secret_equal(out, key));
	secret_unref(out);
	return e;
}

START_TEST(test_round_trip)
{
	size_t used = secret_heap_used();

	ck_assert_int_eq(open_it(&object), ERR_OK);
	object.state = OBJECT_ACTIVE; /* what may change does not matter */
	object.usage_mask = 99;
	ck_assert_int_eq(open_it(&object), ERR_OK);
	ck_assert_uint_eq(secret_heap_used(), used);
}
END_TEST

START_TEST(test_key_not_in_record)
{
	for (size_t i = 0; i + 8 <= object.record_len; i++)
		ck_assert_mem_ne(object.record + i, secret_bytes(key), 8);
}
END_TEST

/* Every bit of every byte: it never opens, and the error is one that is meant. */
START_TEST(test_tamper)
{
	struct object o = object;
	uint8_t *copy = arena_copy(arena, object.record, object.record_len);
	size_t used = secret_heap_used();
	enum err e;

	o.record = copy;
	for (size_t i = 0; i < object.record_len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			copy[i] ^= (uint8_t)(1 << bit);
			e = open_it(&o);
			ck_assert_msg(e == ERR_INTEGRITY || e == ERR_NO_ROOT_KEY ||
			    (e == ERR_SCHEMA && i == 0), "byte %zu bit %d: %s", i, bit, err_name(e));
			copy[i] = object.record[i];
		}
	}
	ck_assert_int_eq(open_it(&o), ERR_OK);
	ck_assert_uint_eq(secret_heap_used(), used);
}
END_TEST

/* Once proven, the clear part is not gone through again; the wrapped key is, each time. */
START_TEST(test_proof)
{
	struct object_proof proof = {0};
	struct object o = object, other;
	uint8_t *copy = arena_copy(arena, object.record, object.record_len);
	size_t clear_len;

	o.record = copy;
	o.proof = &proof;
	copy[10] ^= 1;
	ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
	ck_assert_ptr_null(proof.record);
	copy[10] ^= 1;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(open_it(&o), ERR_OK);
	ck_assert_ptr_eq(proof.record, copy);
	clear_len = proof.clear_len;
	for (size_t i = clear_len; i < o.record_len; i++) {
		copy[i] ^= 1;
		ck_assert_int_ne(open_it(&o), ERR_OK);
		copy[i] ^= 1;
	}
	proof.digest[3] ^= 1; /* it is the proof's digest that is used */
	ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
	other = o; /* another record is proven anew */
	other.record = arena_copy(arena, copy, o.record_len);
	ck_assert_int_eq(open_it(&other), ERR_OK);
	ck_assert_ptr_eq(proof.record, other.record);
	ck_assert_uint_eq(proof.clear_len, clear_len);
}
END_TEST

START_TEST(test_cut_and_longer)
{
	struct object o = object;
	uint8_t *longer = arena_zalloc(arena, object.record_len + 1);

	for (o.record_len = 0; o.record_len < object.record_len; o.record_len++) {
		o.record = arena_copy(arena, object.record, o.record_len);
		ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
	}
	memcpy(longer, object.record, object.record_len);
	o.record = longer;
	o.record_len = object.record_len + 1;
	ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
}
END_TEST

START_TEST(test_moved)
{
	struct object o = object;
	uint8_t *copy = arena_copy(arena, object.record, object.record_len);

	strcpy(o.tenant, "t2");
	ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
	o = object;
	o.uid[35] = o.uid[35] == '0' ? '1' : '0';
	ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
	/* with the name inside changed as well: only the wrap's binding is left to tell */
	memcpy(copy + 5, o.uid, UID_TEXT_LEN);
	o.record = copy;
	ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
	o = object;
	o.length = 128;
	ck_assert_int_eq(open_it(&o), ERR_INTEGRITY);
}
END_TEST

START_TEST(test_rotation)
{
	struct object later = object;
	struct rootkeys both, second;
	const char *why;

	write_root("2 " HEX_B "\n1 " HEX_A "\n");
	ck_assert_int_eq(rootkeys_load(&both, path, &why), ERR_OK);
	write_root("2 " HEX_B);
	ck_assert_int_eq(rootkeys_load(&second, path, &why), ERR_OK);
	ck_assert_int_eq(envelope_seal(crypto, &both, &later, key, arena, &later.record,
	    &later.record_len), ERR_OK);
	ck_assert_int_eq(open_it(&later), ERR_NO_ROOT_KEY); /* version 1 alone */
	rootkeys_fini(&roots);
	roots = both;
	ck_assert_int_eq(open_it(&object), ERR_OK);
	ck_assert_int_eq(open_it(&later), ERR_OK);
	rootkeys_fini(&roots);
	roots = second;
	ck_assert_int_eq(open_it(&object), ERR_NO_ROOT_KEY);
	ck_assert_int_eq(open_it(&later), ERR_OK);
}
END_TEST

START_TEST(test_root_file)
{
	static const char *const bad[] = {"", "\n", "0 " HEX_A, "1" HEX_A, "1  " HEX_A, "x " HEX_A,
	    "1 " HEX_A "0", "1 0011", "-1 " HEX_A, "4294967296 " HEX_A, "1 " HEX_A "\n1 " HEX_B,
	    "1 " HEX_A "\nrubbish\n"};
	size_t used = secret_heap_used(), kept = secret_heap_kept();
	struct rootkeys r;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_root(bad[i]);
		why = NULL;
		ck_assert_msg(rootkeys_load(&r, path, &why) == ERR_CONFIG, "%zu", i);
		ck_assert_ptr_nonnull(why);
	}
	write_root("1 " HEX_A);
	chmod(path, 0640);
	ck_assert_int_eq(rootkeys_load(&r, path, &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "chmod 0600"));
	chmod(path, 0604);
	ck_assert_int_eq(rootkeys_load(&r, path, &why), ERR_CONFIG);
	ck_assert_int_eq(rootkeys_load(&r, dir, &why), ERR_CONFIG);
	unlink(path);
	ck_assert_int_eq(rootkeys_load(&r, path, &why), ERR_CONFIG);
	ck_assert_uint_eq(secret_heap_used(), used);
	ck_assert_uint_eq(secret_heap_kept(), kept);
}
END_TEST

/* A systemd credential may be open to the group of its access list, and to nobody else. */
START_TEST(test_root_key_credential)
{
	struct rootkeys r;
	const char *why;

	write_root("1 " HEX_A);
	chmod(path, 0440);
	ck_assert_int_eq(rootkeys_load(&r, "credential:root", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "CREDENTIALS_DIRECTORY"));
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	ck_assert_int_eq(rootkeys_load(&r, "credential:root", &why), ERR_OK);
	rootkeys_fini(&r);
	ck_assert_int_eq(rootkeys_load(&r, path, &why), ERR_OK);
	rootkeys_fini(&r);
	chmod(path, 0444);
	ck_assert_int_eq(rootkeys_load(&r, "credential:root", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "chmod 0600"));
	chmod(path, 0460);
	ck_assert_int_eq(rootkeys_load(&r, "credential:root", &why), ERR_CONFIG);
	ck_assert_int_eq(rootkeys_load(&r, "credential:other", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "does not exist"));
	unsetenv("CREDENTIALS_DIRECTORY");
}
END_TEST

START_TEST(test_make_root_key)
{
	struct rootkeys a, b;
	struct stat st;
	const char *why;

	ck_assert_int_eq(vault_local_make_root_key(path), ERR_IO); /* never overwrites */
	unlink(path);
	ck_assert_int_eq(vault_local_make_root_key(path), ERR_OK);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(rootkeys_load(&a, path, &why), ERR_OK);
	unlink(path);
	ck_assert_int_eq(vault_local_make_root_key(path), ERR_OK);
	ck_assert_int_eq(rootkeys_load(&b, path, &why), ERR_OK);
	ck_assert(!secret_equal(a.all[0].key, b.all[0].key));
	ck_assert_uint_eq(a.all[0].version, 1);
	rootkeys_fini(&a);
	rootkeys_fini(&b);
}
END_TEST

/* Whichever allocation fails: no alarm about a key that is whole. */
START_TEST(test_no_memory)
{
	enum err e = ERR_NO_MEMORY;
	unsigned n, failed = 0;

	for (n = 0; n < 1000 && (e != ERR_OK || n < 100); n++) {
		struct envelope_crypto *fresh = envelope_crypto_new();
		struct secret *out = NULL;

		fault_test_arm(FAULT_ALLOC, n, 1);
		e = envelope_open(fresh, &roots, &object, SECRET_TRANSIENT, &out);
		fault_test_clear();
		ck_assert_msg(e == ERR_OK || e == ERR_NO_MEMORY || e == ERR_NO_SECURE_MEMORY ||
		    e == ERR_CRYPTO, "%u: %s", n, err_name(e));
		failed += e != ERR_OK;
		secret_unref(out);
		envelope_crypto_free(fresh);
	}
	ck_assert_int_eq(e, ERR_OK);
	ck_assert_uint_gt(failed, 2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("envelope");
	TCase *t = tcase_create("envelope");
	SRunner *r = srunner_create(s);
	int failed;

	if (alloc_install() != ERR_OK)
		return 1;
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_round_trip);
	tcase_add_test(t, test_key_not_in_record);
	tcase_add_test(t, test_tamper);
	tcase_add_test(t, test_proof);
	tcase_add_test(t, test_cut_and_longer);
	tcase_add_test(t, test_moved);
	tcase_add_test(t, test_rotation);
	tcase_add_test(t, test_root_file);
	tcase_add_test(t, test_root_key_credential);
	tcase_add_test(t, test_make_root_key);
	tcase_add_test(t, test_no_memory);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
