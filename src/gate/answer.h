/* SPDX-License-Identifier: Apache-2.0 */
/* What a request ends in: the response message and the audit lines. */
#ifndef GATE_ANSWER_H
#define GATE_ANSWER_H

#include "request.h"

/*
 * Makes rq->answer of the outcomes so far, or of rq->message_error.  ERR_RESPONSE_TOO_LARGE when
 * that is more than client or configuration allow; an answer that is only an error always fits.
 * ERR_NO_MEMORY.
 */
CHECKED enum err answer_build(struct request *rq);

/* One line for each item, one more when the message as a whole was refused. */
void answer_audit(const struct request *rq);
/* The same for a client that left before its answer: that counts nowhere as one. */
void answer_audit_left(const struct request *rq);

#endif
