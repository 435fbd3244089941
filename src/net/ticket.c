/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of session tickets. */
#include "ticket.h"

#include <string.h>
#include <sys/vfs.h>

#include <linux/magic.h>
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/credential.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/secret.h"
#include "base/secret_file.h"
#include "base/text.h"
#include "base/why.h"


enum {
	HOUR = 3600,
	SLOTS = 3, /* this hour, the one before; the next one of a gateway whose clock is ahead */
	FILE_MAX = 4096,
	ROOT_LEN = 32,
	NAME_LEN = 16,
	/* a key's bytes: for HMAC, for AES, and its name */
	PART = 32,
	KEY_LEN = 3 * PART,
};

struct slot {
	int64_t hour;
	struct secret *bytes; /* NULL: there is none */
};

struct tickets {
	struct loop *loop;
	struct timer ends; /* of keys: armed while there are any */
	struct secret *root; /* of the file, or NULL */
	bool tls12;
	bool over; /* there will be no more of them */
	struct slot slots[SLOTS];
};

static void look_for_ends(struct timer *timer);

/* --- the file --- */

static bool
is_on_a_disk(const char *path)
{
	struct statfs fs;

	return !credential_is(path) &&
	    (statfs(path, &fs) != 0 || (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC));
}

static enum err
parse_root(struct tickets *t, struct secret *text, const char *path, const char **why)
{
	char *s = (char *)secret_bytes(text);
	size_t len = secret_len(text) - 1;

	if (len > 0 && s[len - 1] == '\n')
		s[--len] = '\0';
	if (len != 2 * ROOT_LEN || !text_unhex(secret_bytes(t->root), ROOT_LEN, s))
		return why_say(why, ERR_CONFIG,
		    "%s is no ticket key: 64 hexadecimal digits, as `openssl rand -hex 32' makes them",
		    path);
	return ERR_OK;
}

static enum err
load_root(struct tickets *t, const char *path, const char **why)
{
	struct secret *text;
	enum err e;

	t->root = secret_new(ROOT_LEN, SECRET_KEPT);
	if (t->root == NULL)
		return why_say(why, ERR_NO_SECURE_MEMORY, "%s", err_text(ERR_NO_SECURE_MEMORY));
	e = secret_file_read(&text, path, FILE_MAX, TRUSTED_SECRET, path, why);
	if (e != ERR_OK)
		return e;
	if (is_on_a_disk(path))
		e = why_say(why, ERR_CONFIG,
		    "%s lies on a disk, where the key of session tickets would outlive them: put it on "
		    "a tmpfs, such as /run, or use a systemd credential", path);
	if (e == ERR_OK)
		e = parse_root(t, text, path, why);
	secret_unref(text);
	return e;
}

enum err
tickets_new(struct tickets **out, struct loop *l, const char *key_file, bool tls12, const char **why)
{
	struct tickets *t = alloc_zero(sizeof(*t));
	enum err e = ERR_OK;

	if (t == NULL)
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	t->loop = l;
	t->ends.fn = look_for_ends;
	t->tls12 = tls12;
	if (key_file != NULL)
		e = load_root(t, key_file, why);
	if (e == ERR_OK)
		*out = t;
	else
		tickets_free(t);
	return e;
}

/* --- a key for each hour --- */

static bool
derive(struct secret *root, int64_t hour, uint8_t *out)
{
	uint8_t info[16] = "kf-tick";

	for (int i = 0; i < 8; i++)
		info[8 + i] = (uint8_t)(hour >> (56 - 8 * i));
	for (int part = 0; part < KEY_LEN / PART; part++) {
		info[7] = (uint8_t)part;
		if (HMAC(EVP_sha256(), secret_bytes(root), ROOT_LEN, info, sizeof(info),
			out + part * PART, NULL) == NULL)
			return false;
	}
	return true;
}

static void
drop_slot(struct slot *s)
{
	secret_unref(s->bytes);
	s->bytes = NULL;
}

static void
drop_others(struct tickets *t, int64_t hour)
{
	for (int i = 0; i < SLOTS; i++) /* a clock that was set back must not keep a key alive */
		if (t->slots[i].hour < hour - 1 || t->slots[i].hour > hour + 1)
			drop_slot(&t->slots[i]);
}

static void
expect_end(struct tickets *t, int64_t hour)
{
	if (!timer_armed(&t->ends))
		timer_set(t->loop, &t->ends, timer_when((hour + 1) * HOUR));
}

/* Whether anybody comes or not: what is left of a quiet evening must not last until the morning. */
static void
look_for_ends(struct timer *timer)
{
	struct tickets *t = CONTAINER_OF(timer, struct tickets, ends);
	int64_t hour = clock_wall() / HOUR;

	drop_others(t, hour);
	for (int i = 0; i < SLOTS; i++)
		if (t->slots[i].bytes != NULL)
			expect_end(t, hour);
}

void
tickets_end(struct tickets *t)
{
	timer_clear(t->loop, &t->ends);
	for (int i = 0; i < SLOTS; i++)
		drop_slot(&t->slots[i]);
	secret_unref(t->root);
	t->root = NULL;
	t->over = true;
}

bool
tickets_ended(const struct tickets *t)
{
	return t->over;
}

void
tickets_free(struct tickets *t)
{
	if (t == NULL)
		return;
	tickets_end(t);
	alloc_free(t);
}

static uint8_t *
key_of(struct tickets *t, int64_t hour)
{
	struct slot *s = &t->slots[(hour % SLOTS + SLOTS) % SLOTS]; /* 1970 has an hour before it */
	bool ok;

	if (s->bytes != NULL && s->hour == hour)
		return secret_bytes(s->bytes);
	drop_slot(s);
	s->hour = hour;
	s->bytes = secret_new(KEY_LEN, SECRET_KEPT);
	if (s->bytes == NULL)
		return NULL;
	ok = t->root != NULL ? derive(t->root, hour, secret_bytes(s->bytes))
			     : RAND_priv_bytes(secret_bytes(s->bytes), KEY_LEN) == 1;
	if (!ok)
		drop_slot(s);
	return ok ? secret_bytes(s->bytes) : NULL;
}

static uint8_t *
key_named(struct tickets *t, int64_t hour, const uint8_t *name)
{
	for (int64_t h = hour - 1; t->root != NULL && h <= hour + 1; h++)
		(void)key_of(t, h);
	for (int i = 0; i < SLOTS; i++) {
		struct slot *s = &t->slots[i];

		if (s->bytes != NULL && memcmp(secret_bytes(s->bytes) + 2 * PART, name, NAME_LEN) == 0)
			return secret_bytes(s->bytes);
	}
	return NULL;
}

static bool
set_up(EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const uint8_t *key, const uint8_t *iv, int encrypt)
{
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
	    OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex2(cipher, EVP_aes_256_cbc(), key + PART, iv, encrypt, NULL) == 1 &&
	    EVP_MAC_init(mac, key, PART, params) == 1;
}

/* OpenSSL's question.  1: go on; 2: and give the client a new one; 0: no ticket; -1: failure. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int encrypt)
{
	struct tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	int64_t hour = clock_wall() / HOUR;
	const uint8_t *key;

	if (t->over || (SSL_version(ssl) != TLS1_3_VERSION && !t->tls12))
		return 0;
	drop_others(t, hour);
	expect_end(t, hour);
	key = encrypt != 0 ? key_of(t, hour) : key_named(t, hour, name);
	if (key == NULL)
		return 0;
	if (encrypt != 0) {
		memcpy(name, key + 2 * PART, NAME_LEN);
		if (RAND_bytes(iv, 16) != 1)
			return -1;
	}
	if (!set_up(cipher, mac, key, iv, encrypt))
		return -1;
	return encrypt == 0 && key != key_of(t, hour) ? 2 : 1;
}

bool
tickets_use(struct tickets *t, SSL_CTX *ctx)
{
	SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_timeout(ctx, HOUR);
	return SSL_CTX_set_app_data(ctx, t) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1;
}
