/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the root keys that are here open what the ledger has, so that health knows before a client. */
#ifndef DAEMON_ROOTLOOK_H
#define DAEMON_ROOTLOOK_H

#include "base/loop.h"

struct keyferryd;
struct tenant;

struct rootlook {
	size_t at;
	struct tenant *tenant; /* whose turn it is; its vault lives until that is over */
	struct wait proof;
	struct timer pause;
	bool again; /* of one it cannot be told now */
};

/* For all tenants of this moment of which it is not known, one after the other, from the first one on. */
void rootlook_start(struct keyferryd *d);
void rootlook_stop(struct keyferryd *d); /* safe at any time */

#endif
