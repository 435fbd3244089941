/* SPDX-License-Identifier: Apache-2.0 */
/* A key, as Key Protect shows it. */
#ifndef SIM_KEYS_JSON_H
#define SIM_KEYS_JSON_H

#include "exchange.h"

enum key_view {
	KEY_ROW,       /* of a list */
	KEY_METADATA,  /* all but key material */
	KEY_PAYLOAD,   /* with the payload of a standard key */
	KEY_JUST_GONE, /* what DELETE answers: without what later reads add */
};

void keys_json_put(struct json *j, const struct exchange *x, const struct key *k, enum key_view v);
/* A collection of that one key. */
void keys_json_reply(struct exchange *x, int status, const struct key *k, enum key_view v);
/* A collection with the key's id alone. */
void keys_json_reply_id(struct exchange *x, int status, const struct key *k);
/* A member in base64. */
void keys_json_base64(struct json *j, const char *name, const void *data, size_t len);
/* RFC 3339 in whole seconds. */
void keys_json_date(struct json *j, const char *name, int64_t when);

#endif
