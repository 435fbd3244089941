/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway's vault over a key manager in memory (keymgr.h), behind the interface of keys/vault.h.
 * Each call arrives after some time, is decided then, and is answered after some more; the way may
 * be broken, the right may be missing, answers may be lost, and the gateway may be killed.
 */
#ifndef SUPPORT_FAKEVAULT_H
#define SUPPORT_FAKEVAULT_H

#include "keymgr.h"
#include "keys/vault.h"

enum fakevault_way { WAY_OPEN, WAY_REFUSED, WAY_HANGS };
enum fakevault_role { ROLE_NONE, ROLE_WRITER, ROLE_MANAGER };
/* What becomes of the next change that arrives, and ends with ERR_VAULT_DOWN. */
enum fakevault_loss { LOSES_NOTHING, LOSES_CALL, LOSES_ANSWER };

struct fakevault {
	struct vault vault;
	struct vault_source source;
	struct loop *loop;
	struct keymgr *km;
	enum fakevault_way way;
	enum fakevault_role role;
	enum fakevault_loss loses;
	bool killed;
	struct list ops;
	int64_t (*delay)(void *arg); /* half of a call's time */
	void *arg;
};

void fakevault_init(struct fakevault *v, struct loop *l, struct keymgr *km);
/*
 * As if the process was killed: what was on its way arrives or does not, whoever waits, and whoever
 * calls until killed is set to false again, is told ERR_VAULT_DOWN.
 */
void fakevault_kill(struct fakevault *v);
size_t fakevault_calls(const struct fakevault *v); /* under way */

#endif
