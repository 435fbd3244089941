/* SPDX-License-Identifier: Apache-2.0 */
/* What is good and what is not: the one list behind `keyferryctl health` and /health. */
#ifndef DAEMON_HEALTH_H
#define DAEMON_HEALTH_H

#include "base/json.h"

struct keyferryd;

enum health { HEALTH_GOOD, HEALTH_WARNING, HEALTH_BAD };
/* "good", "warning", "bad" */
const char *health_name(enum health h);

/*
 * Puts an array of checks.  Only what is known already: asks nobody, so it answers even when all
 * hangs.  Returns the worst.
 */
enum health health_put(struct json *j, const char *key, struct keyferryd *d);

/*
 * Why no new session can be served, or NULL when all is ready for it.  Changes that fail are no
 * reason: a host that asks for a key it has to get here as well as from any other gateway.
 */
const char *health_not_ready(const struct keyferryd *d);

#endif
