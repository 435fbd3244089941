/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes root key files, and exported root keys that are opened with a private key: anybody can
 * make one for a certificate.
 */
#include <string.h>

#include <openssl/rand.h>

#include "base/secret.h"
#include "fuzz.h"
#include "keys/escrow.h"
#include "place.h"
#include "rootkey.h"

enum { INPUT_MAX = 16 << 10 };

static char root[PLACE_PATH_MAX], file[PLACE_PATH_MAX], key[PLACE_PATH_MAX];

/* Of the curve P-256, the same in each run: what the corpus holds can be opened. */
static const char key_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLE7OL/Xhu7eQaIGV\n"
    "8HIG5YPrJP8UL88x46CE5estT7ihRANCAAT9dgxroc5mEZu6WI/iHKPsRscSgKhd\n"
    "7dqN3BBMlYZgT6WdwaD6/qu6gt29LlJh93r5MoSiNpZc2+MPqRutyxyw\n"
    "-----END PRIVATE KEY-----\n";

static void
fuzz_root_keys(void)
{
	struct rootkeys r;
	const char *why = NULL;

	if (rootkeys_load(&r, file, &why) != ERR_OK) {
		MUST(why != NULL && why[0] != '\0');
		return;
	}
	MUST(r.count > 0 && r.count <= ROOT_KEYS_MAX && r.newest < r.count);
	for (unsigned i = 0; i < r.count; i++) {
		MUST(r.all[i].version <= r.all[r.newest].version);
		MUST(rootkeys_find(&r, r.all[i].version) == r.all[i].key);
	}
	rootkeys_fini(&r);
}

static void
fuzz_import(void)
{
	const struct escrow x = {.root_key_file = root, .escrow_file = file, .private_key = key};
	const char *why = NULL;
	struct rootkeys r;
	enum err e;

	place_remove(root);
	e = escrow_import(&x, &why);
	if (e != ERR_OK) {
		MUST(why != NULL && why[0] != '\0');
		return;
	}
	MUST(rootkeys_load(&r, root, &why) == ERR_OK);
	rootkeys_fini(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static size_t base;
	uint8_t byte;
	bool locked;

	if (size > INPUT_MAX)
		return 0;
	if (root[0] == '\0') {
		MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
		place_path(root, "root");
		place_path(file, "in");
		place_path(key, "key");
		place_file(key, key_pem, strlen(key_pem));
		MUST(RAND_priv_bytes(&byte, 1) == 1); /* OpenSSL's generators live in the heap, too */
		MUST(RAND_bytes(&byte, 1) == 1);
		base = secret_heap_used();
	}
	place_file(file, data, size);
	fuzz_root_keys();
	fuzz_import();
	MUST(secret_heap_used() == base);
	return 0;
}
