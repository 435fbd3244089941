/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations. */
#ifndef GATE_OP_H
#define GATE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;

/* What a client has to be allowed. */
enum op_right { RIGHT_READ, RIGHT_CHANGE };

struct op {
	uint32_t operation; /* KMIP Operation */
	int since;	    /* the first protocol version that has it */
	enum op_right right;
	/*
	 * Reads the payload from rq->payload and ends, now or later, in exactly one rq_done().
	 * What it puts into rq->out is the Response Payload's content; discarded on failure.
	 */
	void (*start)(struct request *rq);
};

/* NULL when there is none in that version. */
const struct op *op_find(uint32_t operation, int version);
/* Its label for metrics, also for one that is not known (NULL), and what that is called. */
unsigned op_label(const struct op *op);
const char *op_label_text(unsigned label);
/* The n-th operation of the table; NULL past the last. */
const struct op *op_at(size_t n);

#define OP(operation, since, right, start) void start(struct request *rq);
#include "op.def"
#undef OP

#endif
