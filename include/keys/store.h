/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage children: two processes of ours, which see wrapped keys alone.  The writer owns both SQLite
 * files, the ledger and the embedded vault's records; the reader only reads the ledger, so that nobody who
 * reads waits for a disk that keeps a commit waiting.  Here is the parent's end: it sends all calls of a
 * turn together, and the writer makes one commit of all that it finds ready.
 *
 * A read that is sent after a change was acknowledged sees it.  One that was sent before, and answered
 * after, is read anew if it is of an object that was changed; what is found may be from before.
 */
#ifndef KEYS_STORE_H
#define KEYS_STORE_H

#include <sys/types.h>

#include "base/loop.h"
#include "keys/ledger.h"
#include "keys/vault.h"

struct store;

/* AGAIN: a writer that follows one which had the files open, so that it has to find them. */
enum store_part { STORE_WRITER, STORE_READER, STORE_WRITER_AGAIN };

struct store_params {
	const char *state_dir;
	/*
	 * Starts a child, which shall call store_child_main(fd, state_dir, part) and exit with its
	 * result; returns its pid or -1.  fd is inherited by the child, the parent closes its copy.
	 */
	pid_t (*spawn)(void *arg, int fd, enum store_part part);
	void *arg;
	int64_t call_timeout_ns; /* a call waits no longer than this (ERR_DEADLINE) */
	/*
	 * Tells what the child does; borrowed, may be NULL.  what is one of
	 *   "ended"      the writer died, and takes the reader along; number: its wait status, or -1 when
	 *                that is not known
	 *   "restarted"  both serve again; number: the writer's pid.  Time to run recovery
	 *   "reader ended", "reader restarted"  the reader alone died, and serves again; numbers as above
	 *   "refused"    a new one could not open the files; number: enum err, why: its sentence.  "ended" or
	 *                "reader ended" follows
	 *   "reader serves alone"  after that: keys are read, as they can be; number: its pid
	 *   "gave up"    one that had them open could not go on; as above.  With all others why is ""
	 *   "orphaned"   intents were left to recovery.  Time to run it, though not from here
	 *   "failing"    a change could not be written; number: enum err.  Told once
	 *   "writing"    after that: changes are written again
	 *   "copying"    a backup is under way; number: percent of it, 1 to 99
	 *   "migrating"  within store_open(), each second while the files are brought to another schema,
	 *                if that takes long; number: how often that was told
	 *   "made"       also there: there was no ledger, and a new one was made
	 */
	void (*event)(void *arg, const char *what, int64_t number, const char *why);
};

/*
 * Starts the children and waits (blocking; before serving begins) until the files are opened, locked,
 * migrated and checked.  On failure *why is the child's own sentence (static storage).
 * ERR_IN_USE: another process has the state directory.  ERR_SCHEMA, ERR_CORRUPT, ERR_STORAGE.
 */
CHECKED enum err store_open(struct store **out, struct loop *l, const struct store_params *p,
    const char **why);
/*
 * Ends both after what they have to do; waiters, and whoever calls from now on, get
 * ERR_STORAGE_DOWN.  Before store_close(), turn the loop until nobody works on an answer any more.
 */
void store_shut(struct store *s);
/* Shuts the store if that was not done, and frees it.  NULL is allowed. */
void store_close(struct store *s);
/* Of the writer and of the reader; -1: there is none. */
pid_t store_pid(const struct store *s);
pid_t store_reader_pid(const struct store *s);
/* Calls sent and not answered. */
size_t store_pending(const struct store *s);

/* How storage does: what is known without asking it. */
struct store_health {
	bool up;	  /* keys can be read: a reader has the files open */
	const char *why;  /* what the one that gave up said last, until the next call; "": nothing, or all is up */
	bool reads;	  /* no object is looked up for longer than call_timeout_ns */
	int64_t waits_ns; /* how long the oldest call has been without its answer; 0: none is */
	/*
	 * Why changes are not kept, or the last one was not; ERR_OK: they are.  ERR_STORAGE_MOVED: as the files
	 * that are open, and read, have lost their names.
	 */
	enum err failing;
	int64_t since_ms; /* since when changes fail, by the wall clock */
};
void store_health(const struct store *s, struct store_health *out);
/*
 * Whether what is read below the state directory's path is of the one that the children have opened: looks at
 * the ledger's name there, now, while failing tells of moved files seconds later.  ERR_STORAGE_MOVED: it is not;
 * ERR_STORAGE: nobody can tell.
 */
CHECKED enum err store_in_place(const struct store *s);

/*
 * Puts the process allocator under SQLite.  A child's main() calls it before anything else;
 * ERR_INTERNAL when SQLite was used already.
 */
CHECKED enum err store_memory_install(void);
/* A child's main function: serves fd until it closes.  Its exit status. */
int store_child_main(int fd, const char *state_dir, enum store_part part);

/*
 * The ledger `sqlite`.  Borrows the store; free it after the store was closed.  NULL without
 * memory.
 */
struct ledger *ledger_sqlite_new(struct store *s);

/*
 * The vault `local`: AES-256-GCM under root keys from a file; borrows the store.  One may serve
 * several tenants.  Root key file:
 * one line per version, "VERSION HEX64", the highest version wraps; mode must not be open to
 * group or others.  *why says what is wrong with it (static storage).
 */
CHECKED enum err vault_local_new(struct vault **out, struct store *s, struct loop *l,
    const char *root_key_file, const char **why);
/*
 * It is this tenant's, and no other's: nothing is wrapped before it has opened one of the keys that the
 * ledger has of it, if there are any.  Who asks waits for that; ERR_WRONG_ROOT_KEY: they do not open.
 */
void vault_local_guard(struct vault *v, struct ledger *l, const char *tenant);
/*
 * It takes the place of the tenant's vault before, of whatever kind.  ERR_CONFIG: its root keys are not
 * those with which what that one has wrapped can be opened; *why says so (static storage).
 */
CHECKED enum err vault_local_follow(struct vault *v, struct vault *before, const char **why);
/* Whether it is guarded and still to be proven; any vault.  And does that: errors as of a make. */
bool vault_local_is_unproven(struct vault *v);
void vault_local_prove(struct vault *v, struct wait *w);
/* Whether that version is in its root key file; any vault, but only of this kind can it be. */
bool vault_local_has(struct vault *v, uint32_t root_version);
/* Makes a new root key file (mode 0600) that holds version 1; never overwrites. */
CHECKED enum err vault_local_make_root_key(const char *path);

/*
 * A consistent copy of both files while the daemon serves, made in steps by the child into the
 * directory (which must exist and be empty), with the clients that commands trusted, and synced.
 * objects: how many it holds.  noted: as the last backup, which the state directory may have no room for.
 */
struct store_backup {
	struct wait wait;
	const char *directory;
	uint64_t objects;
	bool noted;
};
void store_backup(struct store *s, struct store_backup *b);

/*
 * A small file of the state directory, beside the databases: made, or put in the place of the one
 * that is there, as a whole and on the disk; or removed, with data NULL (ERR_NO_OBJECT: there is
 * none).  directory: below the state directory, such as "trust/a"; made when it is missing and
 * wanted.  below: removed from all directories in that one, whatever they are called.  All is
 * borrowed until the wait is over, and no part of a path begins with a dot.  After an error the file
 * may be there or not; but ERR_STORAGE_MOVED: nothing was touched.
 */
struct store_file {
	struct wait wait;
	const char *directory, *name;
	bool below;
	const void *data;
	size_t len;
};
void store_file(struct store *s, struct store_file *f);

/* Whether a ledger is in that directory, which is open: not in one that a state directory was mounted on. */
bool store_is_in(int dir);

/* Which root key file a tenant has; NULL: none is known.  Borrowed until the call returns. */
struct store_root_keys {
	const char *(*file)(void *arg, const char *tenant);
	void *arg;
};

/* What a copy holds.  It is whole when missing, damaged and unverified are zero. */
struct store_counts {
	uint64_t objects;
	uint64_t destroyed;  /* of these: no record is expected */
	uint64_t verified;   /* records that were there in both files and were unwrapped */
	uint64_t missing;    /* the vault's file has no such record, or another one */
	uint64_t damaged;    /* does not unwrap, or its key is not the object's */
	uint64_t elsewhere;  /* kept by a key manager, which alone can tell */
	uint64_t unverified; /* is there, but no root key file is known for its tenant */
};

/*
 * Offline, for a copy that no process uses: opens it read-only, checks schema and structure,
 * and unwraps every record.  ERR_INTEGRITY when a record is missing or damaged, else
 * ERR_NO_ROOT_KEY when one is unverified (the counts are set in both cases); ERR_SCHEMA,
 * ERR_CORRUPT, ERR_STORAGE, and those of vault_local_new().  *why is valid until the next call.
 */
CHECKED enum err store_verify_copy(const char *dir, const struct store_root_keys *roots,
    struct store_counts *counts, const char **why);
/*
 * Copies a backup into an empty state directory (made when it is missing, mode 0700), synced,
 * then verifies that.  ERR_IN_USE: the directory is not empty.  Unless the counts are set no gateway starts
 * on what is there then.
 */
CHECKED enum err store_restore(const char *from, const char *to,
    const struct store_root_keys *roots, struct store_counts *counts, const char **why);

#endif
