/* SPDX-License-Identifier: Apache-2.0 */
/* How much OpenSSL does, without a clock: it allocates for whatever it converts, hashes or checks. */
#ifndef TEST_WORK_H
#define TEST_WORK_H

#include <stdbool.h>

/* First in main(), before OpenSSL was used; false when it was. */
bool work_count(void);
/* Blocks that it asked for since then. */
unsigned work_done(void);

#endif
