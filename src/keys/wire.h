/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes over the socket pairs between the gateway and its storage children.
 *
 *	call:   u32 length of what follows · u64 id · u8 kind · body
 *	answer: u32 length of what follows · u64 id · u8 enum err · body
 *
 * Ids begin at 1.  Answers with id 0 come from a child on its own: ERR_BUSY, u8 enum wire_opening, before
 * the writer opens the files, and each second while it migrates them, if that takes long; then that the
 * files are open (ERR_OK, u64 time of the last backup, u64 objects newer than that, u8: 1 when there was no
 * ledger, and of each name in db_names.h u64 device, u64 inode), later ones how many commits were made (ERR_OK,
 * u32, then the former two, then u8 percent of a backup that is under way or 0, and u8: 1 when the files have
 * lost their names), any of them why the child gives up (an error, text why).
 */
#ifndef WIRE_H
#define WIRE_H

#include "base/buf.h"
#include "base/pack.h"
#include "keys/ledger.h"

/* What a child says, as ERR_BUSY, before it has opened the files. */
enum wire_opening {
	WIRE_OPENS,	    /* it is about to, and nobody else may have them open */
	WIRE_OPENING_LASTS, /* it takes long */
};

enum wire_kind {
	/* the reader's */
	WIRE_LOAD = 1,	   /* tenant, uid -> bytes object, u64 known since, u64 used */
	WIRE_FIND,	   /* see wire_pack_find() -> u64 total, u32 count, text uids */
	/* the writer's */
	WIRE_PREPARE,	   /* u64 owner, u32 count, each: u8 kind, bytes object */
	WIRE_COMMIT,	   /* the same */
	WIRE_ABANDON,	   /* u64 owner */
	WIRE_INTENTS,	   /* u64 after -> u64 after, u32 count, each: u64 owner, tenant, uid, u8 kind */
	WIRE_SETTLE,	   /* tenant, uid, u64 owner, u8 destroyed, u64 when */
	WIRE_VAULT_STORE,  /* tenant, uid, bytes record */
	WIRE_VAULT_DESTROY, /* tenant, uid */
	WIRE_VAULT_PROBE,  /* tenant, uid -> u8 found */
	WIRE_BACKUP,	   /* text directory -> u64 objects, u8 noted */
	WIRE_FILE,	   /* text directory, text name, u8 what (store_file.c), bytes data */
	WIRE_USES,	   /* u32 count, each: tenant, uid, u64 when */
	WIRE_KINDS,
};

enum {
	WIRE_HEAD = 4 + 8 + 1,
	WIRE_FRAME_MAX = 32 * 1024 * 1024, /* a message may change 128 objects of the full size */
	WIRE_TERMS_MAX = 64,
	WIRE_UIDS_MAX = 200000,
	WIRE_INTENTS_MAX = 10000, /* at once; there may be more */
	WIRE_CHANGES_MAX = 1024,
	WIRE_WHY_MAX = 1024,
};

/* Begins a frame; second is the kind of a call or the result of an answer.  Returns its place. */
size_t wire_begin(struct buf *b, uint64_t id, uint8_t second);
/* Writes the length of the frame that began there; unfinished frames are taken back. */
void wire_end(struct buf *b, size_t at);
/* Takes back what was put since at, and the error that it met. */
void wire_undo(struct buf *b, size_t at);

/*
 * The frame at data, if it is complete: its body in *body, its length or 0 as result.  *bad: no
 * frame can be like that.
 */
size_t wire_take(const uint8_t *data, size_t len, uint64_t *id, uint8_t *second,
    struct unpack *body, bool *bad);

void wire_pack_find(struct buf *b, const struct ledger_find *f);
void wire_pack_changes(struct buf *b, const struct ledger_changes *c);

#endif
