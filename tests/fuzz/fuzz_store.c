/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what the storage child is told, over files that hold one object.  Each call gets one
 * answer; afterwards the files are whole, and open again.
 *
 * The input is a list of calls: u8 kind, u16 length, body.  A kind above 127 is put down as it
 * stands, without a frame of ours.
 */
#include <string.h>

#include "base/secret.h"
#include "fuzz.h"
#include "state.h"
#include "store_exec.h"
#include "wire.h"

enum { INPUT_MAX = 16 << 10, OUT_MAX = 8 << 20, CALLS_MAX = 64, RAW = 0x80 };

static struct state state;

/* A backup forks and writes elsewhere: it has its own fuzzer. */
static void
read_calls(const uint8_t *p, size_t size, struct buf in[2])
{
	unsigned calls = 0;
	size_t len;

	while (size >= 3 && calls < CALLS_MAX) {
		len = (size_t)p[1] << 8 | p[2];
		len = len < size - 3 ? len : size - 3;
		if ((p[0] & RAW) != 0) {
			buf_put(&in[STORE_WRITER], p + 3, len);
			buf_put(&in[STORE_READER], p + 3, len);
		} else if (p[0] != WIRE_BACKUP) {
			state_frame(&in[p[0] == WIRE_LOAD || p[0] == WIRE_FIND ? STORE_READER : STORE_WRITER], ++calls, p[0],
			    p + 3, len);
		}
		p += 3 + len;
		size -= 3 + len;
	}
}

/* A raw frame may hold what else is left out. */
static bool
asks_for_backup(const struct buf *in)
{
	size_t used = 0, n;
	struct unpack body;
	uint64_t id;
	uint8_t kind;
	bool bad = false;

	while (used < in->len &&
	    (n = wire_take(in->data + used, in->len - used, &id, &kind, &body, &bad)) > 0) {
		if (kind == WIRE_BACKUP)
			return true;
		used += n;
	}
	return false;
}

static void
check_answers(const struct buf *out)
{
	size_t used = 0, n;
	struct unpack body;
	uint64_t id;
	uint8_t result;
	bool bad;

	while (used < out->len) {
		n = wire_take(out->data + used, out->len - used, &id, &result, &body, &bad);
		MUST(n > 0 && !bad && result < ERR_COUNT);
		used += n;
	}
}

static void
serve(struct store_exec *x, struct buf *in)
{
	const char *why;
	struct buf out;

	buf_init(&out, OUT_MAX);
	while (store_exec_ready(in) && store_exec_run(x, in, &out, &why) == ERR_OK)
		;
	while (store_exec_search(x, &out))
		;
	check_answers(&out);
	buf_fini(&out);
}

/* The writer's calls, then the reader's. */
static void
run(struct buf in[2])
{
	struct store_exec_params p = {.state_dir = state.dir, .part = STORE_WRITER};
	struct store_exec *writer, *reader;
	const char *why;

	MUST(store_exec_open(&writer, &p, &why) == ERR_OK);
	p.part = STORE_READER;
	MUST(store_exec_open(&reader, &p, &why) == ERR_OK);
	serve(writer, &in[STORE_WRITER]);
	serve(reader, &in[STORE_READER]);
	store_exec_close(reader);
	store_exec_close(writer);
	p.part = STORE_WRITER;
	MUST(store_exec_open(&writer, &p, &why) == ERR_OK);
	store_exec_close(writer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf in[2];
	bool locked;

	if (size > INPUT_MAX)
		return 0;
	if (state.dir[0] == '\0') {
		MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
		state_init(&state);
	}
	for (int i = 0; i < 2; i++)
		buf_init(&in[i], 1 << 20);
	read_calls(data, size, in);
	if (in[0].len + in[1].len > 0 && !asks_for_backup(&in[STORE_WRITER])) {
		state_put(&state, &state.ledger, &state.vault);
		run(in);
	}
	for (int i = 0; i < 2; i++)
		buf_fini(&in[i]);
	return 0;
}
