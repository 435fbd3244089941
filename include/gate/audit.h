/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: a line of JSON for each item of a request, for each client or message that was
 * refused, and for each command on the control socket.  Lines go to a file, appended by a child
 * process so that no disk is waited for, or to the log.  Text of clients is escaped; no key, no
 * token, no body has a way here.
 *
 * What cannot be written yet waits, up to a ceiling.  `required' decides what happens meanwhile:
 * either requests about objects are refused, so that nothing is done without its line; or they are
 * served on, and lines above the ceiling are lost, which is counted and said in the next one.
 */
#ifndef GATE_AUDIT_H
#define GATE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "net/tls.h"

struct audit;

struct audit_params {
	struct loop *loop;
	/*
	 * Starts the child, which shall call audit_child_main(fd) and exit with its result; returns its
	 * pid or -1.  fd is inherited by the child, the parent closes its copy.
	 */
	pid_t (*spawn)(void *arg, int fd);
	void *arg;
};

/*
 * Lines go to the log until audit_use().  NULL without memory.  audit_refuses() and the functions that
 * write a line take NULL for an audit that goes to the log.
 */
struct audit *audit_new(const struct audit_params *p);
/* For the stop: done(arg) comes from the loop when all lines are written, or after AUDIT_DRAIN_NS. */
#define AUDIT_DRAIN_NS (10 * NS_PER_S)
void audit_drain(struct audit *a, void (*done)(void *arg), void *arg);
/* Each line was written, or was lost with a process that should have. */
bool audit_settled(const struct audit *a);
/* The child writes what it was handed, then ends by itself.  NULL is allowed. */
void audit_free(struct audit *a);

/*
 * Opens a file for audit_use(), made with mode 0600 when it is not there: blocking, for start and
 * reload.  ERR_CONFIG with a sentence in *why (valid until the next call) when it cannot be
 * appended to.  audit_test_file() asks the same and makes nothing.
 */
CHECKED enum err audit_open_file(const char *path, int *fd, const char **why);
CHECKED enum err audit_test_file(const char *path, const char **why);

/* From here on lines go to this file (the descriptor is taken), or to the log (-1). */
void audit_use(struct audit *a, int fd, bool required);

/* A line that is not written for so long, give or take half a second, means that the disk hangs. */
#define AUDIT_LATE_NS (2 * NS_PER_S)

/* Whether requests about objects have to be refused now. */
bool audit_refuses(const struct audit *a);
/* NULL when all is well, else a sentence for health; valid until the next call. */
const char *audit_complaint(const struct audit *a);

/*
 * Who asks, as lines say it, made once for all that a session asks; counted.  sha256: of the client's
 * certificate; NULL: an administrator asks.  NULL without memory.
 */
struct audit_client;
struct audit_client *audit_client_new(const char *tenant, const char *address, const uint8_t *sha256);
struct audit_client *audit_client_ref(struct audit_client *c);
void audit_client_unref(struct audit_client *c); /* NULL is allowed */
const char *audit_client_address(const struct audit_client *c);

struct audit_item {
	uint64_t request;
	unsigned item; /* from 1; 0: the message as a whole */
	const struct audit_client *client;
	uint32_t operation;	/* KMIP Operation */
	const char *uid;	/* may be empty */
	const char *note;	/* what is worth knowing besides, or NULL */
	enum err err;
	int version;		/* of the protocol, for the Result Reason */
	int64_t duration_ns;
};
void audit_item(struct audit *a, const struct audit_item *i);

/*
 * A handshake that was refused, for the log as well.  Of more than AUDIT_REFUSALS_PER_S in a second
 * the next line says how many were left out.
 */
enum { AUDIT_REFUSALS_PER_S = 20 };
struct audit_refusal {
	const char *address, *why, *subject;
	const uint8_t *sha256; /* NULL: it showed no certificate */
	bool proven;	       /* it has the certificate's private key */
};
void audit_refusal(struct audit *a, const struct audit_refusal *r);

/*
 * What a client sent was no request, or too long for one, and was not read; for the log as well.
 * Rationed in the same way, apart from the handshakes.
 */
struct audit_message {
	const char *tenant, *address;
	const uint8_t *sha256;
	enum err err;
};
void audit_message(struct audit *a, const struct audit_message *m);

struct audit_command {
	const char *const *argv;
	size_t argc;
	long uid, pid; /* of who asked */
	enum err err;
};
void audit_command(struct audit *a, const struct audit_command *c);

/* The child's main function: appends what comes on fd until that closes.  Its exit status. */
int audit_child_main(int fd);

#endif
