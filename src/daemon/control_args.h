/* SPDX-License-Identifier: Apache-2.0 */
/* A request of the control socket against what its command takes. */
#ifndef DAEMON_CONTROL_ARGS_H
#define DAEMON_CONTROL_ARGS_H

struct control_call;
struct control_command;

/*
 * NULL when the command knows all arguments and each counts; else a sentence, in storage that the
 * next call uses again.
 */
const char *control_args_wrong(const struct control_command *cmd, const struct control_call *call);

#endif
