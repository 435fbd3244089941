/* SPDX-License-Identifier: Apache-2.0 */
/* One stream and one client for it, fresh for each test of a case, and a main() for that case. */
#ifndef TESTS_STREAM_RIG_H
#define TESTS_STREAM_RIG_H

#include <check.h>

#include "rig.h"

enum {
	TURNS = 12,		/* of the loop: enough for a handshake */
	BIG = 4 * 1024 * 1024,	/* what an answer may take */
};

extern struct rig rig;
extern struct served served;
extern struct client client;
extern const struct client_options right; /* with a certificate that is known */

/* Call first in main(); then add the tests. */
TCase *stream_case(void);
/* Returns what main() does. */
int stream_case_run(const char *name, TCase *t);

void establish(const struct client_options *o); /* the handshake, to its end */
void establish_over_tcp(void);
void pump(unsigned turns);
void expect_end(enum stream_end why);
/* As much of len bytes as the connection takes now. */
size_t send_some(const uint8_t *data, size_t len);
/* Writes len bytes of a pattern, and checks that the client got just these. */
void answer(size_t len);
void expect_answer(size_t len);
/* Moves up to max bytes between two sockets. */
void relay(int from, int to, size_t max);

#endif
