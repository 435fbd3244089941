/* SPDX-License-Identifier: Apache-2.0 */
/* A release has no commands for tests. */
#include "daemon.h"

const struct control_command daemon_test_commands[] = {{NULL, NULL, NULL, CONTROL_LOOKS, NULL}};
