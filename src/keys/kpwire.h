/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key Protect's bodies: builds requests, reads answers, and says what an answer means.  Pure: no
 * I/O, no clock.  Hyper Protect Crypto Services speak the same.
 */
#ifndef KPWIRE_H
#define KPWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/secret.h"
#include "base/text.h"

enum {
	KP_AAD_COUNT = 4,
	KP_AAD_MAX = 255, /* characters of one item */
	KP_NAME_MAX = 90, /* of a key, and of an alias */
	KP_NAME_MIN = 2,
	KP_PAYLOAD_MAX = 7500,	  /* bytes of a standard key */
	KP_CIPHERTEXT_MAX = 4096, /* about 240 for 256 bits */
	KP_MATERIAL_MAX = 2048,	  /* bytes of key material: the ciphertext is not quite twice that */
	KP_DATE_MAX = 31,
	KP_SUBJECT_MAX = 95,
	KP_OURS_MAX = 16,
};

/* What an answer means, whatever it was asked for. */
enum kp_class {
	KP_OK,
	KP_ABSENT, /* there is no such key, or not in this ring */
	KP_DELETED,
	KP_STATE,     /* the key's state does not allow it */
	KP_PROTECTED, /* a policy of the instance or of the key forbids it */
	KP_DENIED,    /* no access: role, token, network or instance */
	KP_INTEGRITY, /* not the ciphertext that it was */
	KP_SEALED,    /* the HSM has no master key */
	KP_BROAD,     /* too many keys to search in */
	KP_THROTTLED,
	KP_DOWN,    /* an outage, or somebody else answers for Key Protect */
	KP_REFUSED, /* the request as such: a fault of ours */
};
const char *kp_class_name(enum kp_class c);

/* For the log: the first reason's code, else empty, and the message. */
struct kp_error {
	char code[48];
	char text[200];
};

/* body_wanted: success without a JSON body is none. */
enum kp_class kp_classify(
    unsigned status, bool body_wanted, const void *body, size_t len, struct kp_error *error);

/* --- requests --- */

/* plaintext NULL: the HSM makes 32 bytes. */
void kp_put_wrap(struct buf *b, struct secret *plaintext, const char *const aad[KP_AAD_COUNT]);
void kp_put_unwrap(
    struct buf *b, const char *ciphertext, size_t len, const char *const aad[KP_AAD_COUNT]);
/* A standard key that holds the payload. */
void kp_put_create(struct buf *b, const char *name, const void *payload, size_t len);

/* What looks like a request to create keys, and is one for none: it cannot but be refused. */
void kp_put_no_keys(struct buf *b);

/* --- answers; ERR_INVALID_MESSAGE: not what was to be expected --- */

/* Of wrap, unwrap and rewrap. */
struct kp_action {
	struct secret *plaintext;		/* one reference, or NULL */
	char ciphertext[KP_CIPHERTEXT_MAX + 1]; /* empty: none */
	char version[UID_TEXT_LEN + 1];
};
CHECKED enum err kp_read_action(const void *body, size_t len, struct kp_action *out);
void kp_action_fini(struct kp_action *a);

/* A key, as far as it concerns us; all but the id may be empty. */
struct kp_key {
	char id[UID_TEXT_LEN + 1];
	char name[KP_NAME_MAX + 1];
	char created[KP_DATE_MAX + 1]; /* RFC 3339 in UTC: sorts as text */
	int state;		       /* -1 when it is not said */
	bool deleted;
	char deletion_date[KP_DATE_MAX + 1];
	char created_by[KP_SUBJECT_MAX + 1], deleted_by[KP_SUBJECT_MAX + 1];
};
bool kp_key_is_gone(const struct kp_key *k);

/* Service IDs of gateways: this one's and others'. */
struct kp_ours {
	char id[KP_OURS_MAX][KP_SUBJECT_MAX + 1];
	unsigned count;
};
/* Blanks between them.  False: too long, or too many. */
bool kp_ours_read(struct kp_ours *ours, const char *ids);
/* One more; what has no room is left out. */
void kp_ours_add(struct kp_ours *ours, const char *id);
/* Gone by the hand of who made it, or of one of ours: a gateway destroyed it, not the customer. */
bool kp_key_is_destroyed(const struct kp_key *k, const struct kp_ours *ours);
/* Seconds since 1970, or -1: a date as Key Protect writes it. */
int64_t kp_read_date(const char *s);
/* Each key of a list, or the one of a create, get or metadata.  rows: how many there were. */
CHECKED enum err kp_read_keys(const void *body, size_t len,
    void (*each)(void *arg, const struct kp_key *k), void *arg, size_t *rows);

/* The payload of the one key that the answer is about, at most max bytes, in the arena. */
CHECKED enum err kp_read_payload(const void *body, size_t len, struct arena *a, size_t max,
    const uint8_t **out, size_t *out_len);

/* For the answer about one key: arg is a struct kp_key. */
void kp_keep_key(void *arg, const struct kp_key *k);

/* Whether it can stand in a path as the name of a key: an id or an alias. */
bool kp_is_key_name(const char *s);

#endif
