/* SPDX-License-Identifier: Apache-2.0 */
/* Control commands that take more than one turn. */
#ifndef DAEMON_COMMANDS_H
#define DAEMON_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

struct control_call;
struct json;
struct keyferryd;
struct ledger_load;
struct tenant;

/*
 * Whether it is time to tell again how far a command is: at first, then twice a second.  What is
 * told has the member "percent", and the last documents of a command have not.
 */
bool progress_due(int64_t *tell_at);

/*
 * Whether the keys of a tenant, which was in use when a command came in, still are where they were: no
 * reload changed its vault since, or took it away.
 */
bool keys_stayed(const struct keyferryd *d, const struct tenant *t);
/* What is told of a command that ends since they did not. */
#define KEYS_MOVED "a reload changed a tenant meanwhile: give the command again"

void keys_list_run(struct control_call *call);
void keys_show_run(struct control_call *call);
void keys_rebuild_run(struct control_call *call);
void keys_rewrap_run(struct control_call *call);
void backup_run(struct control_call *call);
void cache_list_run(struct control_call *call);
void cache_flush_run(struct control_call *call);
void trust_show_run(struct control_call *call);
void trust_list_run(struct control_call *call);
void trust_pending_run(struct control_call *call);
void trust_add_run(struct control_call *call);
void trust_accept_run(struct control_call *call);
void trust_remove_run(struct control_call *call);
void keys_purge_run(struct control_call *call);
void top_run(struct control_call *call);
void sessions_list_run(struct control_call *call);
void sessions_close_run(struct control_call *call);

/* When a loaded object was last used, or since when it was not. */
void keys_put_uses(struct json *j, const struct keyferryd *d, const struct ledger_load *l);

/* A digest as people copy it: with colons or without, in either case; but all of it. */
bool commands_take_digest(const char *text, uint8_t sha256[32]);

#endif
