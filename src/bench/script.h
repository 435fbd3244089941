/* SPDX-License-Identifier: Apache-2.0 */
/* What a client does, step by step, and what it makes of the answers. */
#ifndef BENCH_SCRIPT_H
#define BENCH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ask.h"

enum mode {
#define MODE(name, text, help) MODE_##name,
#include "mode.def"
#undef MODE
	MODE_COUNT
};

enum step {
	STEP_END,
	STEP_CONNECT,
	STEP_CLOSE,
	STEP_DISCOVER,
	STEP_CREATE,
	STEP_GET,
	STEP_STATE,
	STEP_ACTIVATE,
	STEP_PRODUCT, /* asks for the labels of ask_product: three messages */
	STEP_PRODUCT_2,
	STEP_PRODUCT_3,
	STEP_LABEL_PRODUCT, /* adds them */
	STEP_MACHINE,	    /* the same with those of ask_machine */
	STEP_MACHINE_2,
	STEP_MACHINE_3,
	STEP_LABEL_MACHINE,
};

enum { SCRIPT_UID_MAX = 64 };

/* The steps of the n-th operation of a mode, up to STEP_END.  open: its session is open already. */
const enum step *script_of(enum mode m, bool open, uint64_t n);

extern const enum step script_connect[], script_make_key[];

/* Writes the message of a step that is one. */
void script_ask(struct ask *a, enum step step, const char *uid);

/* What a client knows from the answers that it got. */
struct script_memory {
	char uid[SCRIPT_UID_MAX + 1]; /* of the key that it asks for; a Create's answer writes it */
	bool active;		      /* its last State */
	char why[96];
};

/* Whether all items of an answer succeeded; if not, m->why. */
bool script_read(const uint8_t *answer, size_t len, enum step step, struct script_memory *m);

/* What comes after a step that was done: an active key is not activated. */
const enum step *script_next(const enum step *at, const struct script_memory *m);

/* The length of a KMIP message, see struct conn_target; and of an answer of HTTP/1.1. */
size_t script_frame_kmip(const uint8_t *data, size_t len);
size_t script_frame_http(const uint8_t *data, size_t len);

#endif
