/* SPDX-License-Identifier: Apache-2.0 */
/* What the lines of one client have in common. */
#ifndef GATE_AUDIT_CLIENT_H
#define GATE_AUDIT_CLIENT_H

#include "base/buf.h"
#include "gate/audit.h"
#include "keys/object.h"

struct audit_client {
	unsigned refs;
	struct buf members; /* tenant, certificate and address, in JSON and without braces */
	char tenant[TENANT_ID_MAX + 1], address[64];
	char digest[2 * TLS_DIGEST_LEN + 1]; /* empty: an administrator */
};

#endif
