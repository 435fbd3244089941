/* SPDX-License-Identifier: Apache-2.0 */
/* What a file costs whoever opens it with a passphrase. */
#ifndef ESCROW_ROUNDS_H
#define ESCROW_ROUNDS_H

#include <stdbool.h>

#include <openssl/cms.h>

/* Whether all that passphrases go through in it is PBKDF2, of at most so many rounds in all. */
bool escrow_rounds_are_bounded(CMS_ContentInfo *cms, long max);

#endif
