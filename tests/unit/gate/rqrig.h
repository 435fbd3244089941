/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for the check programs of the gate: built, run over memkeys on virtual time, looked at. */
#ifndef GATE_RQRIG_H
#define GATE_RQRIG_H

#include <stdbool.h>

#include <check.h>

#include "base/buf.h"
#include "base/loop.h"
#include "kmip/names.h"
#include "kmip/ttlv.h"

#include "../../../src/gate/request.h"
#include "../../support/memkeys.h"

enum { WALL = 1800000000 };
enum { FAILED = KMIP_RESULT_STATUS_OPERATION_FAILED, DENIED = KMIP_RESULT_REASON_PERMISSION_DENIED,
	NOT_FOUND = KMIP_RESULT_REASON_ITEM_NOT_FOUND };

extern struct loop *loop;
extern struct memkeys mem;
extern struct tenant *tenant;
extern struct buf msg;	  /* the request being built */
extern struct buf answer; /* the last answer */
extern size_t msg_mark;
extern unsigned answers, version_major, version_minor;
extern struct parts *parts;
extern size_t response_max;
extern uint8_t client; /* who asks: the first byte of its digest */
extern bool read_only;	 /* it may */

/* A frozen clock, a tenant, version 1.1; afterwards nothing is left over. */
void setup(void);
void teardown(void);

struct rqcase {
	const char *name;
	const TTest *test;
	int times; /* with _i from 0 */
};

/* Runs them, each between setup() and teardown(); the program's exit status. */
int rqrig_main(const char *name, const struct rqcase *cases, size_t count);

/* --- building requests --- */

void begin(unsigned count, uint32_t continuation, uint32_t max_response);
void item_begin(uint32_t operation, const char *uid);
void item_end(void);
void simple(uint32_t operation, const char *uid);
void put_attr_enum(const char *name, uint32_t v);
void put_attr_int(const char *name, int32_t v);
void put_attr_text(const char *name, const char *v);
void put_attr_bool(const char *name, bool v);
void create_item_with(const char *flag);
void create_item(void);
void add_item(const char *uid, const char *name, const char *value);
void revoke_item(const char *uid, uint32_t reason);

/* --- running them --- */

/* What request_params has as answered(). */
void answered(void *user, struct buf *b);
struct request *start(void);
void turns(unsigned n);
/* Runs the message to its one answer. */
void run(void);

/* --- looking at answers --- */

struct seen {
	uint32_t operation, status, reason;
	struct ttlv ubid, payload;
};

/* The n-th item of the answer; false when there is none. */
bool item(unsigned n, struct seen *out);
void expect(unsigned n, uint32_t status, uint32_t reason);
void expect_ok(unsigned n);
void expect_count(unsigned n);
struct ttlv field(unsigned n, uint32_t tag);
const char *uid_of(unsigned n);

/* A message of one item, run: a new key, or an operation on one. */
const char *create_one(char *uid);
void one(uint32_t operation, const char *uid, uint32_t status, uint32_t reason);

#endif
