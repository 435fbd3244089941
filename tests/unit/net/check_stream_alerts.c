/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts that a client sends on purpose, at each state, encrypted where TLS has keys by then: nobody's
 * library sends them, so their records are made here, of the secrets that the client's library tells.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/clock.h"
#include "base/metric.h"

#include "stream_rig.h"

enum { KEY = 16, IV = 12, SECRET = 32, TAG = 16, WARNING = 1, FATAL = 2 };
enum point { HELLO_SAID, HALF_OF_CERTIFICATES, READY, HALF_OF_A_REQUEST, POINTS };

static int version;
static uint8_t handshake_secret[SECRET], traffic_secret[SECRET];
static uint64_t sent; /* records that the client has sent with its keys of now */

static void
note_secret(const SSL *ssl, const char *line)
{
	static const char *const names[] = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET ",
	    "CLIENT_TRAFFIC_SECRET_0 "};
	uint8_t *const to[] = {handshake_secret, traffic_secret};

	(void)ssl;
	for (size_t i = 0; i < 2; i++) {
		const char *hex = strrchr(line, ' ') + 1;
		unsigned byte;

		if (strncmp(line, names[i], strlen(names[i])) != 0)
			continue;
		for (size_t n = 0; n < SECRET; n++) {
			ck_assert_int_eq(sscanf(hex + 2 * n, "%2x", &byte), 1);
			to[i][n] = (uint8_t)byte;
		}
	}
}

static void
derive(const char *kdf, OSSL_PARAM *params, uint8_t *out, size_t len)
{
	EVP_KDF *method = EVP_KDF_fetch(NULL, kdf, NULL);
	EVP_KDF_CTX *c = EVP_KDF_CTX_new(method);

	ck_assert_int_eq(EVP_KDF_derive(c, out, len, params), 1);
	EVP_KDF_CTX_free(c);
	EVP_KDF_free(method);
}

/* HKDF-Expand-Label of RFC 8446, 7.1, without a context. */
static void
expand(uint8_t *secret, const char *label, uint8_t *out, size_t len)
{
	uint8_t info[64] = {0, (uint8_t)len, (uint8_t)(6 + strlen(label))};
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
	    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, SECRET),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 10 + strlen(label)),
	    OSSL_PARAM_construct_end()};

	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, strlen(label));
	derive("HKDF", params, out, len);
}

/* The client's key, and the first four bytes of its IV: RFC 5246, 6.3. */
static void
expand_12(uint8_t *key, uint8_t *iv)
{
	uint8_t master[48], randoms[64], block[2 * KEY + 8];
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof(master)),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (char *)"key expansion", 13),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, randoms, sizeof(randoms)),
	    OSSL_PARAM_construct_end()};

	ck_assert_uint_eq(SSL_SESSION_get_master_key(SSL_get0_session(client.ssl), master, 48), 48);
	(void)SSL_get_server_random(client.ssl, randoms, 32);
	(void)SSL_get_client_random(client.ssl, randoms + 32, 32);
	derive("TLS1-PRF", params, block, sizeof(block));
	memcpy(key, block, KEY);
	memcpy(iv, block + 2 * KEY, 4);
}

static void
seal(const uint8_t *key, const uint8_t *iv, const uint8_t *aad, int aad_len, const uint8_t *in,
    int len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	ck_assert_int_eq(EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, iv), 1);
	ck_assert_int_eq(EVP_EncryptUpdate(c, NULL, &n, aad, aad_len), 1);
	ck_assert_int_eq(EVP_EncryptUpdate(c, out, &n, in, len), 1);
	ck_assert_int_eq(EVP_EncryptFinal_ex(c, out + len, &n), 1);
	ck_assert_int_eq(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, out + len), 1);
	EVP_CIPHER_CTX_free(c);
}

static size_t
alert_13(uint8_t *out, uint8_t *secret, uint8_t level, uint8_t what)
{
	const uint8_t alert[] = {level, what, 21};
	uint8_t key[KEY], iv[IV];

	expand(secret, "key", key, KEY);
	expand(secret, "iv", iv, IV);
	for (int i = 0; i < 8; i++)
		iv[IV - 1 - i] ^= (uint8_t)(sent >> 8 * i);
	memcpy(out, "\x17\3\3\0\x13", 5);
	seal(key, iv, out, 5, alert, sizeof(alert), out + 5);
	return 5 + sizeof(alert) + TAG;
}

static size_t
alert_12(uint8_t *out, uint8_t level, uint8_t what)
{
	const uint8_t alert[] = {level, what};
	uint8_t key[KEY], iv[IV], aad[13] = {[8] = 21, 3, 3, 0, sizeof(alert)};

	expand_12(key, iv);
	for (int i = 0; i < 8; i++)
		aad[7 - i] = (uint8_t)(sent >> 8 * i);
	memcpy(iv + 4, aad, 8);
	memcpy(out, "\x15\3\3\0\x1a", 5);
	memcpy(out + 5, aad, 8);
	seal(key, iv, aad, sizeof(aad), alert, sizeof(alert), out + 13);
	return 13 + sizeof(alert) + TAG;
}

/* As the client would at this point: TLS 1.2 has keys after its Finished only. */
static void
send_alert(enum point at, uint8_t level, uint8_t what)
{
	uint8_t bytes[64] = {21, 3, 3, 0, 2, level, what};
	size_t len = 7;

	if (version == TLS1_3_VERSION)
		len = alert_13(bytes, at < READY ? handshake_secret : traffic_secret, level, what);
	else if (at >= READY)
		len = alert_12(bytes, level, what);
	sent++;
	(void)send(client.fd, bytes, len, MSG_NOSIGNAL);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
}

static void
pass_on(int records)
{
	client_pass_on(&client, records);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
}

static void
go_to(enum point at)
{
	int fd[2];

	rig_pair(fd, false);
	served_start(&served, &rig, fd[0]);
	client_start(&client, &rig, fd[1], &(struct client_options){.who = WHO_RIGHT,
	    .version = version, .suites = "ECDHE-ECDSA-AES128-GCM-SHA256"});
	ck_assert_int_eq(SSL_set_ciphersuites(client.ssl, "TLS_AES_128_GCM_SHA256"), 1);
	SSL_CTX_set_keylog_callback(client.ctx, note_secret);
	SSL_set0_wbio(client.ssl, BIO_new(BIO_s_mem()));
	client_step(&client);
	pass_on(1);
	client_step(&client); /* has all keys of the handshake, and a flight to say */
	sent = 0;
	if (at == HALF_OF_CERTIFICATES) {
		pass_on(version == TLS1_3_VERSION ? 2 : 1); /* ChangeCipherSpec, which means nothing */
		sent = version == TLS1_3_VERSION ? 1 : 0;
	}
	if (at <= HALF_OF_CERTIFICATES)
		return;
	pass_on(100);
	client_step(&client);
	ck_assert(client.connected);
	ck_assert_uint_eq(served.ready, 1);
	sent = version == TLS1_3_VERSION ? 0 : 1; /* Finished */
	if (at != HALF_OF_A_REQUEST)
		return;
	client_send(&client, "half", 4);
	pass_on(1);
	ck_assert_uint_eq(served.got.len, 4);
	sent++;
}

static bool
is_over(void)
{
	clock_test_advance(1); /* so that lingering is seen */
	return served.closed > 0 || stream_lingers_for(served.s) > 0;
}

static void
leave(void)
{
	client_leave(&client);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
}

static enum point
choose(int i)
{
	version = i / POINTS == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
	return (enum point)(i % POINTS);
}

START_TEST(a_fatal_one_ends_it)
{
	enum point at = choose(_i);

	go_to(at);
	ck_assert(!is_over());
	send_alert(at, FATAL, SSL_AD_INTERNAL_ERROR);
	ck_assert(is_over());
	leave();
	expect_end(STREAM_TLS_ERROR);
	ck_assert_uint_eq(stream_failure(served.s), LABEL_FAILURE_ALERT);
	ck_assert_uint_eq(served.ready, at >= READY);
}
END_TEST

START_TEST(a_goodbye_ends_it)
{
	enum point at = choose(_i);

	go_to(at);
	send_alert(at, WARNING, SSL_AD_CLOSE_NOTIFY);
	ck_assert(is_over());
	leave();
	expect_end(STREAM_EOF);
}
END_TEST

/* Of those that do not end it there are some only; what comes behind one is read yet. */
START_TEST(warnings_end_it_in_the_end)
{
	enum { MOST = 40 };
	enum point at = choose(_i);
	int n = 0;

	go_to(at);
	send_alert(at, WARNING, SSL_AD_USER_CANCELLED);
	ck_assert(!is_over());
	while (!is_over()) {
		ck_assert_int_lt(n++, MOST);
		send_alert(at, WARNING, SSL_AD_USER_CANCELLED);
	}
	leave();
	expect_end(STREAM_TLS_ERROR);
}
END_TEST

START_TEST(a_fatal_one_counts_behind_a_warning)
{
	enum point at = choose(_i);

	go_to(at);
	send_alert(at, WARNING, SSL_AD_USER_CANCELLED);
	ck_assert(!is_over());
	send_alert(at, FATAL, SSL_AD_DECODE_ERROR);
	leave();
	expect_end(STREAM_TLS_ERROR);
	ck_assert_uint_eq(stream_failure(served.s), LABEL_FAILURE_ALERT);
}
END_TEST

int
main(void)
{
	TCase *t = stream_case();

	tcase_add_loop_test(t, a_fatal_one_ends_it, 0, 2 * POINTS);
	tcase_add_loop_test(t, a_goodbye_ends_it, 0, 2 * POINTS);
	tcase_add_loop_test(t, warnings_end_it_in_the_end, 0, 2 * POINTS);
	tcase_add_loop_test(t, a_fatal_one_counts_behind_a_warning, 0, 2 * POINTS);
	return stream_case_run("stream-alerts", t);
}
