/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's end of the audit child: whole lines that wait, and the file that they are for.  A
 * packet to the child is a run of whole lines, or a file descriptor: from there on, that file.  The
 * child answers how many lines it has written, and whether writing fails.  While it fails no lines are
 * sent but the next file is, at once: what the old one does not take goes there.
 */
#ifndef AUDIT_QUEUE_H
#define AUDIT_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "gate/audit.h"

enum {
	AUDIT_QUEUE_MAX = 8 * 1024 * 1024,
	AUDIT_PACKET_MAX = 64 * 1024,
	AUDIT_GATHER_MAX = 32 * 1024,
	AUDIT_LINE_MAX = 56 * 1024,
};

/* What the child says. */
struct audit_report {
	uint64_t lines; /* written since it began */
	int32_t failing; /* errno of the last attempt; 0: none */
};

struct audit_queue;

struct audit_queue *audit_queue_new(const struct audit_params *p);
void audit_queue_free(struct audit_queue *q);
/*
 * Lines that come from now on go to this file; the descriptor is taken.  -1: none come.  gathers: while
 * there is other work they wait, for LOOP_PATIENCE turns or until there are AUDIT_GATHER_MAX bytes, to go
 * together: to hand one over wakes the child, which costs as much as what the line tells of.
 */
void audit_queue_use(struct audit_queue *q, int fd, bool gathers);
/*
 * Takes a whole line, with its newline.  False: there is no room.  spare: leave half of the room to
 * others.
 */
bool audit_queue_put(struct audit_queue *q, const void *line, size_t len, bool spare);
/* How many lines were lost with their child, or may be, since the last call. */
uint64_t audit_queue_lost(struct audit_queue *q);
/* The last line that was put tells of so many lost ones: should it be lost, they are again. */
void audit_queue_told(struct audit_queue *q, uint64_t lost);
/* See audit_drain(). */
void audit_queue_drain(struct audit_queue *q, void (*done)(void *arg), void *arg);
/* See audit_settled(). */
bool audit_queue_settled(const struct audit_queue *q);

/*
 * Why lines are not written, or NULL: what the child says, a line that has waited for AUDIT_LATE_NS, or
 * half of the room for spare lines gone.
 */
const char *audit_queue_complaint(const struct audit_queue *q);

#endif
