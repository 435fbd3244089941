/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root keys outside the machine: a root key file as CMS AuthEnvelopedData in PEM form (RFC 5652,
 * RFC 5083), opened by a passphrase or by the private key of a recovery certificate.  What is in
 * it is the root key file, byte for byte.
 */
#ifndef KEYS_ESCROW_H
#define KEYS_ESCROW_H

#include "base/err.h"

enum { ESCROW_PASSPHRASE_MIN = 12 }; /* characters */

/* Paths, all borrowed.  Secret files must not be open to group or others. */
struct escrow {
	const char *root_key_file;
	const char *escrow_file;
	const char *passphrase_file; /* one line */
	const char *certificate;     /* to export for its holder, instead of a passphrase */
	const char *private_key;     /* to import; a passphrase is then that of this file */
};

/*
 * Makes the escrow file, or the root key file out of it: mode 0600, synced, never overwriting.
 * On failure there is none, and *why is a sentence (static storage).  ERR_CONFIG: a file or
 * passphrase that was given is not right; ERR_INTEGRITY: wrong passphrase or key, or damaged;
 * ERR_SCHEMA: a later format; ERR_IO, ERR_CRYPTO, ERR_NO_MEMORY, ERR_NO_SECURE_MEMORY.
 */
CHECKED enum err escrow_export(const struct escrow *x, const char **why);
CHECKED enum err escrow_import(const struct escrow *x, const char **why);

#endif
