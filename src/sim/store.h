/* SPDX-License-Identifier: Apache-2.0 */
/* Instances, key rings, keys, their versions and aliases: everything in memory. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/text.h"

enum {
	NAME_MAX_BYTES = 4 * 90 + 1, /* 90 characters of UTF-8 */
	ALIAS_SIZE = 91,
	RING_SIZE = 101,
	SUBJECT_SIZE = 128,
	REGION_SIZE = 32,
	ROOT_MATERIAL_MAX = 32,
	PAYLOAD_MAX = 7500,
	KEY_ALIASES_MAX = 5,
	RINGS_MAX = 50,
};

/* After a deletion; and how long the first of two authorizations to delete holds. */
enum {
	RESTORE_UNTIL_S = 30 * 86400,
	PURGE_FROM_S = 4 * 3600,
	PURGE_AT_S = 90 * 86400,
	DUAL_AUTH_LAPSE_S = 7 * 86400,
};

enum key_state { KEY_ACTIVE = 1, KEY_SUSPENDED = 2, KEY_DEACTIVATED = 3, KEY_DESTROYED = 5 };

enum instance_kind { INSTANCE_KMS, INSTANCE_HPCS };

/* Settings that the admin port may change at any time. */
struct settings {
#define SETTING(member, name, fallback, least, most) int64_t member;
#include "setting.def"
#undef SETTING
};

enum policy_type {
	POLICY_ALLOWED_NETWORK,
	POLICY_DUAL_AUTH,
	POLICY_METRICS,
	POLICY_CREATE_IMPORT,
	POLICY_ROTATION,
	POLICY_TYPES
};

/* What IBM calls an instance policy. */
struct policy {
	bool set, enabled, private_only;
	bool create_root, create_standard, import_root, import_standard, enforce_token;
	int64_t interval_month;
	int64_t created, updated;
	char created_by[SUBJECT_SIZE], updated_by[SUBJECT_SIZE];
};

struct ring {
	struct list link;
	char id[RING_SIZE];
	char created_by[SUBJECT_SIZE];
	int64_t created; /* 0 for `default` */
};

struct version {
	struct list link;
	char id[UID_TEXT_LEN + 1];
	char handle[UID_TEXT_LEN + 1]; /* of the material: the same wherever it is imported */
	int64_t created;
	size_t len;
	uint8_t material[ROOT_MATERIAL_MAX];
};

struct alias {
	char name[ALIAS_SIZE]; /* first: it is the index's key */
	struct list link;      /* in its key */
	struct key *key;
	int64_t created, gone_at; /* gone_at: deleted, but that takes until then; 0 when not */
	char created_by[SUBJECT_SIZE];
};

struct key {
	char id[UID_TEXT_LEN + 1]; /* first: it is the index's key */
	struct list link;	   /* in its instance, in the order of creation */
	struct instance *inst;
	enum key_state state;
	bool extractable, imported;
	char name[NAME_MAX_BYTES], ring[RING_SIZE], old_ring[RING_SIZE];
	char *description;
	char *tags; /* one after the other, each with its NUL */
	size_t tag_count;
	char created_by[SUBJECT_SIZE], deleted_by[SUBJECT_SIZE];
	struct list versions; /* newest first; root keys only */
	struct list aliases;
	size_t alias_count;
	uint8_t *payload; /* standard keys only */
	size_t payload_len;
	bool dual_auth;
	char dual_auth_by[SUBJECT_SIZE]; /* who set the key for deletion, or "" */
	int64_t dual_auth_at, dual_auth_since;
	bool rotation_enabled;
	int64_t rotation_months, rotation_since;
	char policy_by[SUBJECT_SIZE];
	int64_t created, updated, rotated, expires, deleted; /* virtual seconds; 0 when not */
	int64_t toggled, synced, moved;
	int64_t born;			 /* clock_now(), for the lags of lists */
	uint64_t create_seq, delete_seq; /* order of writes, for those that a fail-over loses */
};

struct instance {
	struct list link;
	char id[UID_TEXT_LEN + 1];
	enum instance_kind kind;
	char region[REGION_SIZE], account[UID_TEXT_LEN + 1];
	struct settings set;
	struct policy policies[POLICY_TYPES];
	struct list keys, rings;
	size_t key_count, ring_count, alias_count;
	void *by_id, *by_alias; /* search(3) trees */
	uint64_t write_seq;
	double tokens; /* of the rate limiter's bucket */
	int64_t tokens_at;
};

struct store {
	struct list instances;
	int64_t clock_offset; /* virtual seconds ahead of the wall clock */
	int64_t clock_stopped; /* where the wall clock was then; 0: it runs */
};

void store_init(struct store *s);
void store_fini(struct store *s);
int64_t store_now(const struct store *s);

/* NULL without memory. */
struct instance *instance_new(struct store *s, const char *id, enum instance_kind kind);
struct instance *instance_find(const struct store *s, const char *id);
/* Takes the key manager back to what it was n writes (creations and deletions) ago. */
void instance_lose_writes(struct instance *inst, uint64_t n);

struct ring *ring_new(struct instance *inst, const char *id);
struct ring *ring_find(const struct instance *inst, const char *id);
void ring_free(struct instance *inst, struct ring *r);

/* NULL without memory.  The key is not in the instance before key_add(). */
struct key *key_new(struct instance *inst);
bool key_add(struct key *k);
/* Takes the key out of its instance, when it is in one, and wipes it. */
void key_free(struct key *k);
/* By id, else by alias. */
struct key *key_find(const struct store *s, struct instance *inst, const char *id_or_alias);
/* Does what time has done since: expiry, rotation by policy, automatic purge (then NULL). */
struct key *key_refresh(const struct store *s, struct key *k);
/* The key is (also) in that ring: a move takes a while. */
bool key_in_ring(const struct store *s, const struct key *k, const char *ring);
struct version *key_newest(const struct key *k);
/* Adds a version: material is copied, or made when NULL.  False without memory or randomness. */
bool key_add_version(struct key *k, const uint8_t *material, size_t len, int64_t now);

/* The alias must not exist.  False without memory. */
bool alias_add(struct key *k, const char *name, int64_t now, const char *by);
struct alias *alias_find(const struct store *s, struct instance *inst, const char *name);
void alias_free(struct alias *a);

#endif
