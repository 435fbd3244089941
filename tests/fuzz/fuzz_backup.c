/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the files of a backup, or of a state directory on a disk that rots.  The input is a list of
 * alterations: u8 file and length, u24 where, bytes.  `keyferryctl verify' says of each whether it is
 * whole, and the daemon that opens it serves what it can or refuses.
 */
#include <string.h>

#include "base/secret.h"
#include "fuzz.h"
#include "state.h"
#include "store_exec.h"
#include "wire.h"

enum { INPUT_MAX = 4096, OUT_MAX = 8 << 20, HEAD = 4, VAULT = 0x80, CUT = 0x40, LENGTH = 0x3f };

static struct state state;

/* Bytes from p on, or the file's end. */
static size_t
alter(struct buf *file, const uint8_t *p, size_t size)
{
	size_t at = ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]) % (file->len + 1);
	size_t len = p[0] & LENGTH;

	if ((p[0] & CUT) != 0) {
		file->len = at;
		return HEAD;
	}
	len = len < size - HEAD ? len : size - HEAD;
	for (size_t i = 0; i < len && at + i < file->len; i++)
		file->data[at + i] = p[HEAD + i];
	return HEAD + len;
}

static void
copy(struct buf *to, const struct buf *from)
{
	buf_init(to, from->len);
	buf_put(to, from->data, from->len);
	MUST(buf_error(to) == ERR_OK);
}

static void
verify(bool altered)
{
	struct store_counts n = {0};
	const char *why = "";
	enum err e = store_verify_copy(state.dir, &state.roots, &n, &why);

	MUST(altered || (e == ERR_OK && n.verified == 1));
	if (e == ERR_OK)
		MUST(n.missing == 0 && n.damaged == 0 && n.unverified == 0);
	else
		MUST(why[0] != '\0');
	MUST(e != ERR_OK ||
	    n.objects == n.destroyed + n.verified + n.elsewhere);
}

static void
ask(struct store_exec *x, struct store_exec *reader)
{
	const struct ledger_find find = {.tenant = STATE_TENANT, .include_destroyed = true};
	struct buf in, reads, out, body;
	const char *why;

	buf_init(&in, 1 << 16);
	buf_init(&reads, 1 << 16);
	buf_init(&out, OUT_MAX);
	buf_init(&body, 1 << 16);
	wire_pack_find(&body, &find);
	state_frame(&reads, 1, WIRE_FIND, body.data, body.len);
	buf_reset(&body);
	pack_u64(&body, 0);
	state_frame(&in, 2, WIRE_INTENTS, body.data, body.len);
	buf_reset(&body);
	pack_text(&body, STATE_TENANT);
	pack_text(&body, state.object.uid);
	state_frame(&reads, 3, WIRE_LOAD, body.data, body.len);
	state_frame(&in, 4, WIRE_VAULT_PROBE, body.data, body.len);
	state_frame(&in, 5, WIRE_VAULT_DESTROY, body.data, body.len);
	(void)!store_exec_run(x, &in, &out, &why);
	(void)!store_exec_run(reader, &reads, &out, &why);
	buf_fini(&in);
	buf_fini(&reads);
	buf_fini(&out);
	buf_fini(&body);
}

static void
serve(bool altered)
{
	struct store_exec_params p = {.state_dir = state.dir, .part = STORE_WRITER};
	struct store_exec *x, *reader;
	const char *why = "";
	enum err e = store_exec_open(&x, &p, &why);

	MUST(altered || e == ERR_OK);
	if (e != ERR_OK) {
		MUST(why[0] != '\0');
		return;
	}
	p.part = STORE_READER;
	if (store_exec_open(&reader, &p, &why) == ERR_OK) {
		ask(x, reader);
		store_exec_close(reader);
	}
	store_exec_close(x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf ledger, vault;
	bool locked, altered;
	size_t used;

	if (size > INPUT_MAX)
		return 0;
	if (state.dir[0] == '\0') {
		MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
		state_init(&state);
	}
	copy(&ledger, &state.ledger);
	copy(&vault, &state.vault);
	for (; size >= HEAD; data += used, size -= used)
		used = alter((data[0] & VAULT) != 0 ? &vault : &ledger, data, size);
	altered = ledger.len != state.ledger.len || vault.len != state.vault.len ||
	    memcmp(ledger.data, state.ledger.data, ledger.len) != 0 ||
	    memcmp(vault.data, state.vault.data, vault.len) != 0;
	state_put(&state, &ledger, &vault);
	verify(altered);
	serve(altered);
	buf_fini(&ledger);
	buf_fini(&vault);
	return 0;
}
