/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyferry-vcenter: talks to a gateway as a vCenter does when an encrypted virtual machine is made,
 * message by message, and says in plain words what happens.  No key byte is ever printed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "base/alloc.h"
#include "base/text.h"
#include "kmip/names.h"

#include "vcenter_wire.h"

enum {
	UID_MAX = 64,
	CHECK_BYTES = 4, /* of the key's SHA-256: enough to compare, no use to anybody else */
};

struct options {
	const char *server, *certificate, *key, *state;
	const char *pins[PINS_MAX];
	size_t pins_count;
	bool verify;
};

struct key {
	char uid[UID_MAX + 1];
	uint8_t check[CHECK_BYTES];
};

/* --- what vCenter asks for --- */

static void
discover_versions(struct session *s, bool ping)
{
	struct ttlv t, major, minor;
	struct ttlv_reader r, v;
	struct ask rq;
	struct answer an;

	ask_begin(&rq, 1);
	ask_discover_versions(&rq, ping);
	exchange(s, &rq, ping ? "Discover Versions (ping)" : "Discover Versions", &an);
	r = answer_payload(&an, 0, ping);
	printf(": KMIP");
	while (ttlv_opt(&r, TAG_PROTOCOL_VERSION, TTLV_STRUCTURE, &t)) {
		ttlv_enter(&v, &t);
		if (ttlv_need(&v, TAG_PROTOCOL_VERSION_MAJOR, TTLV_INTEGER, &major) &&
		    ttlv_need(&v, TAG_PROTOCOL_VERSION_MINOR, TTLV_INTEGER, &minor))
			printf(" %d.%d", ttlv_int(&major), ttlv_int(&minor));
	}
	putchar('\n');
	answer_end(&an);
}

static void
query(struct session *s)
{
	struct ttlv t = {0};
	struct ttlv_reader r;
	struct ask rq;
	struct answer an;

	ask_begin(&rq, 1);
	ask_query(&rq);
	exchange(s, &rq, "Query", &an);
	r = answer_payload(&an, 0, true);
	ttlv_opt(&r, TAG_VENDOR_IDENTIFICATION, TTLV_TEXT, &t);
	printf(": this is %.*s\n", (int)t.len, (const char *)t.value);
	answer_end(&an);
}

static void
create(struct session *s, struct key *key)
{
	struct ttlv type, uid;
	struct ttlv_reader r;
	struct ask rq;
	struct answer an;

	ask_begin(&rq, 1);
	ask_create(&rq);
	exchange(s, &rq, "Create an AES-256 key", &an);
	r = answer_payload(&an, 0, true);
	ttlv_need(&r, TAG_OBJECT_TYPE, TTLV_ENUM, &type);
	if (!ttlv_need(&r, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &uid) || uid.len > UID_MAX)
		die("the answer has no usable Unique Identifier");
	memcpy(key->uid, uid.value, uid.len);
	key->uid[uid.len] = '\0';
	printf(": its name is\n   %s\n", key->uid);
	answer_end(&an);
}

/* Asks for one attribute; true when the key has it, with its value. */
static bool
get_attribute(struct session *s, const struct key *key, const char *name, struct answer *an,
    struct ttlv *value)
{
	struct ttlv t;
	struct ttlv_reader r, a;
	struct ask rq;
	char what[64];

	ask_begin(&rq, 1);
	ask_attribute(&rq, key->uid, name);
	snprintf(what, sizeof(what), "Get %s", name);
	exchange(s, &rq, what, an);
	r = answer_payload(an, 0, true);
	if (!ttlv_need(&r, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t))
		die("the answer has no Unique Identifier");
	if (!ttlv_opt(&r, TAG_ATTRIBUTE, TTLV_STRUCTURE, &t))
		return false;
	ttlv_enter(&a, &t);
	ttlv_need(&a, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t);
	ttlv_opt(&a, TAG_ATTRIBUTE_INDEX, TTLV_INTEGER, &t);
	return ttlv_next(&a, value);
}

static uint32_t
get_state(struct session *s, const struct key *key)
{
	struct ttlv t = {0};
	struct answer an;
	uint32_t state;

	if (!get_attribute(s, key, "State", &an, &t) || t.type != TTLV_ENUM)
		die("the key has no State");
	state = ttlv_uint(&t);
	printf(": %s\n", kmip_value_name(SET_STATE, state));
	answer_end(&an);
	return state;
}

static void
activate(struct session *s, const struct key *key)
{
	struct ask rq;
	struct answer an;

	ask_begin(&rq, 1);
	ask_activate(&rq, key->uid);
	exchange(s, &rq, "Activate", &an);
	answer_payload(&an, 0, true);
	printf(": done\n");
	answer_end(&an);
}

/* The check value of the key that stands in a Get's answer. */
static void
read_key(struct ttlv_reader r, uint8_t check[CHECK_BYTES])
{
	static const uint32_t path[] = {TAG_SYMMETRIC_KEY, TAG_KEY_BLOCK};
	uint8_t digest[EVP_MAX_MD_SIZE];
	struct ttlv t;

	ttlv_need(&r, TAG_OBJECT_TYPE, TTLV_ENUM, &t);
	ttlv_need(&r, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t);
	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		if (!ttlv_need(&r, path[i], TTLV_STRUCTURE, &t))
			die("the answer holds no key");
		ttlv_enter(&r, &t);
	}
	ttlv_need(&r, TAG_KEY_FORMAT_TYPE, TTLV_ENUM, &t);
	if (!ttlv_need(&r, TAG_KEY_VALUE, TTLV_STRUCTURE, &t))
		die("the answer holds no key");
	ttlv_enter(&r, &t);
	if (!ttlv_need(&r, TAG_KEY_MATERIAL, TTLV_BYTES, &t) || t.len != ASK_KEY_BYTES)
		die("the key is not one of 256 bits");
	if (EVP_Digest(t.value, t.len, digest, NULL, EVP_sha256(), NULL) != 1)
		die("no SHA-256");
	memcpy(check, digest, CHECK_BYTES);
	wipe(digest, sizeof(digest));
}

static void
get(struct session *s, const struct key *key, uint8_t check[CHECK_BYTES])
{
	struct ask rq;
	struct answer an;
	char hex[2 * CHECK_BYTES + 1];

	ask_begin(&rq, 1);
	ask_get(&rq, key->uid);
	exchange(s, &rq, "Get the key", &an);
	read_key(answer_payload(&an, 0, true), check);
	text_hex(hex, check, CHECK_BYTES);
	printf(": 256 bits, check value %s\n", hex);
	answer_end(&an); /* wipes it */
}

/* vCenter looks whether each label is there, then adds all three in one message. */
static void
put_labels(struct session *s, const struct key *key, const struct ask_label labels[ITEMS_MAX])
{
	struct ttlv t;
	struct ask rq;
	struct answer an;

	for (size_t i = 0; i < ITEMS_MAX; i++) {
		printf("%s\n", get_attribute(s, key, labels[i].name, &an, &t) ? ": there already"
									       : ": none yet");
		answer_end(&an);
	}
	ask_begin(&rq, ITEMS_MAX);
	ask_add_labels(&rq, key->uid, labels);
	exchange(s, &rq, "Add three labels in one batch", &an);
	for (size_t i = 0; i < ITEMS_MAX; i++)
		answer_payload(&an, i, true);
	printf(": all three done\n");
	answer_end(&an);
}

/* --- the state file: what --verify has to find again --- */

static void
state_write(const char *path, const struct key *key)
{
	char hex[2 * CHECK_BYTES + 1];
	FILE *f = fopen(path, "w");

	text_hex(hex, key->check, CHECK_BYTES);
	if (f == NULL || fprintf(f, "%s %s\n", key->uid, hex) < 0 || fclose(f) != 0)
		die("%s: %s", path, strerror(errno));
}

static void
state_read(const char *path, struct key *key)
{
	char hex[2 * CHECK_BYTES + 1];
	FILE *f = fopen(path, "r");

	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	if (fscanf(f, "%64s %8s", key->uid, hex) != 2 || !text_unhex(key->check, CHECK_BYTES, hex))
		die("%s: not a file that this program wrote", path);
	fclose(f);
}

/* --- the two conversations --- */

static void
print_digest(X509 *x, const EVP_MD *md, const char *name)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	X509_digest(x, md, digest, &len);
	printf("   %-8s", name);
	for (unsigned i = 0; i < len; i++)
		printf("%s%02X", i > 0 ? ":" : "", digest[i]);
	putchar('\n');
}

static void
trust(const struct client *c)
{
	struct session s;
	X509 *x;

	printf("1. Trust: the gateway's certificate, as vCenter shows it before you accept it\n");
	session_open(c, &s);
	x = SSL_get0_peer_certificate(s.ssl);
	print_digest(x, EVP_sha256(), "SHA-256");
	print_digest(x, EVP_sha1(), "SHA-1");
	discover_versions(&s, false);
	discover_versions(&s, true);
	query(&s);
	session_close(&s);
}

static void
new_key(const struct client *c, struct key *key)
{
	struct session s;

	printf("2. A new key\n");
	session_open(c, &s);
	discover_versions(&s, false);
	create(&s, key);
	session_close(&s);

	printf("3. Labels that say who made it\n");
	session_open(c, &s);
	discover_versions(&s, false);
	put_labels(&s, key, ask_product);
	session_close(&s);

	printf("4. The key itself, on another connection; it is put to use\n");
	session_open(c, &s);
	discover_versions(&s, false);
	get(&s, key, key->check);
	if (get_state(&s, key) == KMIP_STATE_PRE_ACTIVE)
		activate(&s, key);
	if (get_state(&s, key) != KMIP_STATE_ACTIVE)
		die("the key is not active");
	session_close(&s);

	printf("5. Labels that say what it is for\n");
	session_open(c, &s);
	discover_versions(&s, false);
	put_labels(&s, key, ask_machine);
	session_close(&s);
}

static void
verify(const struct client *c, const struct key *key)
{
	uint8_t check[CHECK_BYTES];
	struct session s;

	printf("The key %s again\n", key->uid);
	session_open(c, &s);
	discover_versions(&s, false);
	get(&s, key, check);
	if (get_state(&s, key) != KMIP_STATE_ACTIVE)
		die("the key is not active any more");
	session_close(&s);
	if (memcmp(check, key->check, CHECK_BYTES) != 0)
		die("this is another key");
	printf("   It is the same key.\n");
}

/* --- starting --- */

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: keyferry-vcenter --server HOST:PORT --certificate FILE --key FILE\n"
	    "                        --server-certificate FILE ... --state FILE [--verify]\n"
	    "Talks to a gateway as vCenter does: trusts it, makes a key, labels it, fetches and\n"
	    "activates it, and notes the key's name and check value in the state file.\n"
	    "  --certificate, --key  what the client shows (PEM)\n"
	    "  --server-certificate  a certificate that the gateway may show; up to four\n"
	    "  --verify              only fetch the key of the state file and compare\n");
}

static void
read_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"server", required_argument, NULL, 's'},
	    {"certificate", required_argument, NULL, 'c'}, {"key", required_argument, NULL, 'k'},
	    {"server-certificate", required_argument, NULL, 'p'},
	    {"state", required_argument, NULL, 'f'}, {"verify", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 's') {
			o->server = optarg;
		} else if (c == 'c') {
			o->certificate = optarg;
		} else if (c == 'k') {
			o->key = optarg;
		} else if (c == 'p' && o->pins_count < PINS_MAX) {
			o->pins[o->pins_count++] = optarg;
		} else if (c == 'f') {
			o->state = optarg;
		} else if (c == 'v') {
			o->verify = true;
		} else {
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind != argc || o->server == NULL || o->certificate == NULL || o->key == NULL ||
	    o->state == NULL || o->pins_count == 0) {
		usage(stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	struct client c = {0};
	struct key key = {0};

	if (alloc_install() != ERR_OK)
		return 1;
	read_options(&o, argc, argv);
	client_init(&c, o.server, o.certificate, o.key);
	for (size_t i = 0; i < o.pins_count; i++)
		client_add_pin(&c, o.pins[i]);
	if (o.verify) {
		state_read(o.state, &key);
		verify(&c, &key);
	} else {
		trust(&c);
		new_key(&c, &key);
		state_write(o.state, &key);
	}
	SSL_CTX_free(c.ctx);
	return 0;
}
