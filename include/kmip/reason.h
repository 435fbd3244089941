/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our errors as KMIP Result Status and Result Reason (specification 1.4, 6.9, 6.10, 11; 2.1, the
 * tables of errors of 6.1).
 */
#ifndef KMIP_REASON_H
#define KMIP_REASON_H

#include <stdint.h>

#include "base/err.h"

uint32_t kmip_status(enum err e); /* KMIP_RESULT_STATUS_... */
/*
 * The Result Reason, among those that the version has.  In 2.x some operations have words of their
 * own; 0 when the error is about a whole message.  Not for ERR_OK.
 */
uint32_t kmip_reason(enum err e, int version, uint32_t operation);

#endif
