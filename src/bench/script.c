/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts of what clients do. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kmip/names.h"
#include "kmip/ttlv.h"

enum { ELEMENTS_MAX = 4096, DAY_PERIOD = 20 };

const enum step script_connect[] = {STEP_CONNECT, STEP_END};
const enum step script_make_key[] = {STEP_CONNECT, STEP_CREATE, STEP_CLOSE, STEP_END};

static const enum step handshake[] = {STEP_CONNECT, STEP_CLOSE, STEP_END};
static const enum step fetch[] = {STEP_CONNECT, STEP_GET, STEP_CLOSE, STEP_END};
static const enum step reopened_get[] = {STEP_CONNECT, STEP_GET, STEP_END};
static const enum step reopened_create[] = {STEP_CONNECT, STEP_CREATE, STEP_END};
static const enum step day_poll[] = {STEP_CONNECT, STEP_DISCOVER, STEP_CLOSE, STEP_END};
static const enum step day_fetch[] = {
    STEP_CONNECT, STEP_DISCOVER, STEP_GET, STEP_STATE, STEP_CLOSE, STEP_END};
/* a new key takes vCenter four connections */
static const enum step day_key[] = {STEP_CONNECT, STEP_DISCOVER, STEP_CREATE, STEP_CLOSE,
    STEP_CONNECT, STEP_DISCOVER, STEP_PRODUCT, STEP_PRODUCT_2, STEP_PRODUCT_3, STEP_LABEL_PRODUCT,
    STEP_CLOSE, STEP_CONNECT, STEP_DISCOVER, STEP_GET, STEP_STATE, STEP_ACTIVATE, STEP_CLOSE,
    STEP_CONNECT, STEP_DISCOVER, STEP_MACHINE, STEP_MACHINE_2, STEP_MACHINE_3, STEP_LABEL_MACHINE,
    STEP_CLOSE, STEP_END};

/* Of 20 operations 10 are handshakes alone, 7 ask whether we live, 2 fetch and 1 makes a key. */
static const enum step *
script_of_day(uint64_t n)
{
	unsigned place = (unsigned)(n % DAY_PERIOD);

	if (place % 2 == 0)
		return handshake;
	if (place == 1)
		return day_key;
	return place == 7 || place == 13 ? day_fetch : day_poll;
}

const enum step *
script_of(enum mode m, bool open, uint64_t n)
{
	switch (m) {
	case MODE_HANDSHAKES:
		return handshake;
	case MODE_GETS:
		return open ? reopened_get + 1 : reopened_get;
	case MODE_CREATES:
		return open ? reopened_create + 1 : reopened_create;
	case MODE_DAY:
		return script_of_day(n);
	case MODE_IDLE:
		return script_connect;
	case MODE_FETCHES:
	case MODE_STORM:
	case MODE_COUNT:
		break;
	}
	return fetch;
}

void
script_ask(struct ask *a, enum step step, const char *uid)
{
	bool labels = step == STEP_LABEL_PRODUCT || step == STEP_LABEL_MACHINE;

	ask_begin(a, labels ? ASK_LABELS : 1);
	if (step == STEP_DISCOVER)
		ask_discover_versions(a, false);
	else if (step == STEP_CREATE)
		ask_create(a);
	else if (step == STEP_GET)
		ask_get(a, uid);
	else if (step == STEP_ACTIVATE)
		ask_activate(a, uid);
	else if (step == STEP_STATE)
		ask_attribute(a, uid, "State");
	else if (labels)
		ask_add_labels(a, uid, step == STEP_LABEL_PRODUCT ? ask_product : ask_machine);
	else if (step >= STEP_MACHINE)
		ask_attribute(a, uid, ask_machine[step - STEP_MACHINE].name);
	else
		ask_attribute(a, uid, ask_product[step - STEP_PRODUCT].name);
	ask_end(a);
}

/* --- answers --- */

static bool
wrong(struct script_memory *m, const char *why)
{
	snprintf(m->why, sizeof(m->why), "%s", why);
	return false;
}

static bool
read_item(const struct ttlv *item, struct ttlv_reader *payload, struct script_memory *m)
{
	struct ttlv t, status, words;
	struct ttlv_reader r;

	ttlv_enter(&r, item);
	ttlv_opt(&r, TAG_OPERATION, TTLV_ENUM, &t);
	ttlv_opt(&r, TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES, &t);
	if (!ttlv_need(&r, TAG_RESULT_STATUS, TTLV_ENUM, &status))
		return wrong(m, "an item without a status");
	if (ttlv_uint(&status) != KMIP_RESULT_STATUS_SUCCESS) {
		ttlv_opt(&r, TAG_RESULT_REASON, TTLV_ENUM, &t);
		ttlv_opt(&r, TAG_RESULT_MESSAGE, TTLV_TEXT, &words);
		snprintf(m->why, sizeof(m->why), "KMIP: %.*s", (int)words.len,
		    (const char *)words.value);
		return false;
	}
	if (ttlv_need(&r, TAG_RESPONSE_PAYLOAD, TTLV_STRUCTURE, &t))
		ttlv_enter(payload, &t);
	return true;
}

static bool
read_state(struct ttlv_reader *payload, struct script_memory *m)
{
	struct ttlv t;
	struct ttlv_reader r;

	if (!ttlv_need(payload, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t) ||
	    !ttlv_need(payload, TAG_ATTRIBUTE, TTLV_STRUCTURE, &t))
		return false;
	ttlv_enter(&r, &t);
	if (!ttlv_need(&r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t))
		return false;
	ttlv_opt(&r, TAG_ATTRIBUTE_INDEX, TTLV_INTEGER, &t);
	if (!ttlv_need(&r, TAG_ATTRIBUTE_VALUE, TTLV_ENUM, &t))
		return false;
	m->active = ttlv_uint(&t) == KMIP_STATE_ACTIVE;
	return true;
}

static bool
read_payload(struct ttlv_reader *payload, enum step step, struct script_memory *m)
{
	struct ttlv t;

	if (step == STEP_STATE)
		return read_state(payload, m);
	if (step != STEP_CREATE && step != STEP_GET)
		return true;
	if (!ttlv_need(payload, TAG_OBJECT_TYPE, TTLV_ENUM, &t) ||
	    !ttlv_need(payload, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t))
		return false;
	if (step == STEP_GET)
		return ttlv_need(payload, TAG_SYMMETRIC_KEY, TTLV_STRUCTURE, &t);
	if (t.len > SCRIPT_UID_MAX)
		return false;
	memcpy(m->uid, t.value, t.len);
	m->uid[t.len] = '\0';
	return true;
}

bool
script_read(const uint8_t *answer, size_t len, enum step step, struct script_memory *m)
{
	struct ttlv root, t;
	struct ttlv_reader r;
	unsigned items = 0;

	(void)wrong(m, "the answer is not one to this request");
	if (ttlv_check(answer, len, ELEMENTS_MAX, &root) != ERR_OK ||
	    root.tag != TAG_RESPONSE_MESSAGE)
		return false;
	ttlv_enter(&r, &root);
	if (!ttlv_need(&r, TAG_RESPONSE_HEADER, TTLV_STRUCTURE, &t))
		return false;
	for (; ttlv_opt(&r, TAG_BATCH_ITEM, TTLV_STRUCTURE, &t); items++) {
		struct ttlv_reader payload = {0};

		if (!read_item(&t, &payload, m) || !read_payload(&payload, step, m))
			return false;
	}
	return items > 0;
}

const enum step *
script_next(const enum step *at, const struct script_memory *m)
{
	at++;
	return *at == STEP_ACTIVATE && m->active ? at + 1 : at;
}

size_t
script_frame_kmip(const uint8_t *data, size_t len)
{
	size_t total;

	if (len < TTLV_HEADER)
		return 0;
	total = ttlv_total(data, TAG_RESPONSE_MESSAGE, TTLV_STRUCTURE);
	return total == 0 ? SIZE_MAX : total;
}

size_t
script_frame_http(const uint8_t *data, size_t len)
{
	static const char want[] = "\r\nContent-Length:";
	const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
	const char *head = (const char *)data, *stop = (const char *)end;

	if (end == NULL)
		return 0;
	if (strncmp(head, "HTTP/1.1 200 ", 13) != 0)
		return SIZE_MAX;
	for (; head + sizeof(want) < stop; head++)
		if (strncasecmp(head, want, sizeof(want) - 1) == 0)
			return (size_t)(end + 4 - data) +
			       strtoul(head + sizeof(want) - 1, NULL, 10);
	return SIZE_MAX;
}
