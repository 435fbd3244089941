/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway's life, and what is asked of it: bytes in, bytes out. */
#include "modelgate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define RECOVER_AGAIN_NS (2 * NS_PER_S)
#define PATIENCE_NS (15 * NS_PER_S)
static const char tenant_id[] = "t1";

/* --- life --- */

static void
orphaned(void *arg)
{
	struct gateway *g = arg;

	loop_defer(g->loop, &g->recover_soon);
}

static void
again(struct gateway *g)
{
	timer_set(g->loop, &g->recover_again, clock_now() + RECOVER_AGAIN_NS);
}

static void
recovered(struct wait *w, enum err e)
{
	if (e != ERR_OK)
		again(CONTAINER_OF(w, struct gateway, recover.wait));
}

static struct vault *
vault_of(void *arg, const char *tenant)
{
	struct gateway *g = arg;

	(void)tenant;
	return &g->vault.vault;
}

static void
recover(struct gateway *g)
{
	if (wait_pending(&g->recover.wait)) {
		again(g);
		return;
	}
	g->recover = (struct recover){
	    .wait.done = recovered, .ledger = &g->mem.ledger, .vault = vault_of, .arg = g};
	recover_start(&g->recover, g->loop);
}

static void
on_recover_soon(struct defer *d)
{
	recover(CONTAINER_OF(d, struct gateway, recover_soon));
}

static void
on_recover_again(struct timer *t)
{
	recover(CONTAINER_OF(t, struct gateway, recover_again));
}

/* The one place that knows how a watch is made. */
static void
begin_watch(struct gateway *g)
{
	const struct watch_params p = {
	    .loop = g->loop,
	    .source = &g->vault.source,
	    .ledger = &g->mem.ledger,
	    .lookups = g->lookups,
	    .cache = g->cache,
	    .custody = g->custody,
	    .bound_ns = g->terms.bound_ns,
	};

	g->watch = watch_new(&p);
	g->watched = watch_add(g->watch, tenant_id, &g->vault.vault);
	if (g->watched == NULL)
		abort();
}

static void
start(struct gateway *g)
{
	const struct custody_params cp = {.name = tenant_id,
	    .bound_ns = g->terms.bound_ns,
	    .ride_out_ns = g->terms.ride_out_ns};

	g->cache = cache_new(g->loop, g->cache_max);
	g->custody = custody_new(&cp);
	g->lookups = lookups_new(g->loop);
	if (g->cache == NULL || g->custody == NULL || g->lookups == NULL)
		abort();
	g->vault.vault.cache = g->cache;
	begin_watch(g);
	g->tenant = memkeys_tenant(&g->mem, tenant_id);
	g->tenant->vault = &g->vault.vault;
	g->tenant->cache = g->cache;
	g->tenant->custody = g->custody;
	g->tenant->cache_terms = g->terms;
	g->tenant->lookups = g->lookups;
	g->tenant->born_active = true;
	g->recover_soon.fn = on_recover_soon;
	g->recover_again.fn = on_recover_again;
	loop_defer(g->loop, &g->recover_soon);
}

static void
stop(struct gateway *g)
{
	wait_cancel(&g->recover.wait);
	wait_cancel(&g->rewrap.wait);
	loop_undefer(&g->recover_soon);
	timer_clear(g->loop, &g->recover_again);
	watch_remove(g->watched);
	watch_free(g->watch);
	lookups_free(g->lookups);
	cache_free(g->cache);
	g->cache = g->vault.vault.cache = NULL;
	custody_unref(g->custody);
	g->vault.vault.ops->free(&g->vault.vault);
	if (g->tenant->refs != 1)
		abort(); /* a request was left behind */
	tenant_unref(g->tenant);
}

void
gateway_init(struct gateway *g, struct loop *l, struct keymgr *km, const struct cache_terms *t,
    size_t cache_max)
{
	memset(g, 0, sizeof(*g));
	g->loop = l;
	g->terms = *t;
	g->cache_max = cache_max;
	memkeys_init(&g->mem, l);
	g->mem.orphaned = orphaned;
	g->mem.arg = g;
	fakevault_init(&g->vault, l, km);
	start(g);
}

void
gateway_fini(struct gateway *g)
{
	stop(g);
	for (int i = 0; i < 50; i++) { /* a rewrap's change runs to its end */
		loop_turn(g->loop, false);
		clock_test_advance(NS_PER_MS);
	}
	memkeys_fini(&g->mem);
}

void
gateway_kill(struct gateway *g)
{
	memledger_kill(&g->mem);
	fakevault_kill(&g->vault);
}

void
gateway_start_again(struct gateway *g)
{
	stop(g);
	loop_turn(g->loop, false);
	g->vault.killed = false;
	memledger_revive(&g->mem);
	start(g);
}

static void
rewrapped(struct wait *w, enum err e)
{
	(void)w, (void)e;
}

void
gateway_rewrap(struct gateway *g)
{
	if (wait_pending(&g->rewrap.wait))
		return;
	g->rewrap = (struct rewrap){.wait.done = rewrapped,
	    .loop = g->loop,
	    .vault = &g->vault.vault,
	    .ledger = &g->mem.ledger,
	    .tenant = tenant_id};
	rewrap_start(&g->rewrap);
}

/* --- what is asked --- */

static const uint32_t operations[] = {
    [OP_CREATE] = KMIP_OPERATION_CREATE,
    [OP_GET] = KMIP_OPERATION_GET,
    [OP_ACTIVATE] = KMIP_OPERATION_ACTIVATE,
    [OP_REVOKE] = KMIP_OPERATION_REVOKE,
    [OP_COMPROMISE] = KMIP_OPERATION_REVOKE,
    [OP_DESTROY] = KMIP_OPERATION_DESTROY,
    [OP_ADD] = KMIP_OPERATION_ADD_ATTRIBUTE,
    [OP_STATE] = KMIP_OPERATION_GET_ATTRIBUTES,
};

static void
put_attr(struct buf *b, const char *name, uint32_t number, bool is_enum)
{
	size_t at = ttlv_begin(b, TAG_ATTRIBUTE);

	ttlv_put_text(b, TAG_ATTRIBUTE_NAME, name, strlen(name));
	if (is_enum)
		ttlv_put_enum(b, TAG_ATTRIBUTE_VALUE, number);
	else
		ttlv_put_int(b, TAG_ATTRIBUTE_VALUE, (int32_t)number);
	ttlv_end(b, at);
}

static void
put_template(struct buf *b)
{
	size_t at;

	ttlv_put_enum(b, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	at = ttlv_begin(b, TAG_TEMPLATE_ATTRIBUTE);
	put_attr(b, "Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, true);
	put_attr(b, "Cryptographic Usage Mask", 0x0c, false);
	put_attr(b, "Cryptographic Length", 8 * KEYMGR_KEY_LEN, false);
	ttlv_end(b, at);
}

static void
put_payload(struct buf *b, const struct exchange *x)
{
	char name[32];
	size_t at;

	if (x->op == OP_CREATE)
		put_template(b);
	else
		ttlv_put_text(b, TAG_UNIQUE_IDENTIFIER, x->uid, strlen(x->uid));
	if (x->op == OP_REVOKE || x->op == OP_COMPROMISE) {
		at = ttlv_begin(b, TAG_REVOCATION_REASON);
		ttlv_put_enum(b, TAG_REVOCATION_REASON_CODE,
		    x->op == OP_REVOKE ? KMIP_REVOCATION_REASON_CODE_CESSATION_OF_OPERATION
				       : KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE);
		ttlv_end(b, at);
	} else if (x->op == OP_ADD) {
		snprintf(name, sizeof(name), "x-model-%u", x->number);
		put_attr(b, name, x->number, false);
	} else if (x->op == OP_STATE) {
		ttlv_put_text(b, TAG_ATTRIBUTE_NAME, "State", strlen("State"));
	}
}

static void
put_message(struct buf *b, const struct exchange *x)
{
	size_t message = ttlv_begin(b, TAG_REQUEST_MESSAGE);
	size_t header = ttlv_begin(b, TAG_REQUEST_HEADER);
	size_t at = ttlv_begin(b, TAG_PROTOCOL_VERSION);

	ttlv_put_int(b, TAG_PROTOCOL_VERSION_MAJOR, 1);
	ttlv_put_int(b, TAG_PROTOCOL_VERSION_MINOR, 1);
	ttlv_end(b, at);
	ttlv_put_int(b, TAG_BATCH_COUNT, 1);
	ttlv_end(b, header);
	header = ttlv_begin(b, TAG_BATCH_ITEM);
	ttlv_put_enum(b, TAG_OPERATION, operations[x->op]);
	at = ttlv_begin(b, TAG_REQUEST_PAYLOAD);
	put_payload(b, x);
	ttlv_end(b, at);
	ttlv_end(b, header);
	ttlv_end(b, message);
}

/* --- what is answered --- */

/* Notes what is of interest, at whatever depth. */
static void
take(struct exchange *x, struct ttlv_reader *r)
{
	struct ttlv_reader inside;
	struct ttlv t;

	while (ttlv_next(r, &t)) {
		if (t.type == TTLV_STRUCTURE) {
			ttlv_enter(&inside, &t);
			take(x, &inside);
		} else if (t.tag == TAG_RESULT_STATUS) {
			x->status = ttlv_uint(&t);
		} else if (t.tag == TAG_RESULT_REASON) {
			x->reason = ttlv_uint(&t);
		} else if (t.tag == TAG_UNIQUE_IDENTIFIER && t.len == UID_TEXT_LEN) {
			memcpy(x->uid, t.value, UID_TEXT_LEN);
		} else if (t.tag == TAG_KEY_MATERIAL && t.len <= sizeof(x->key)) {
			memcpy(x->key, t.value, t.len);
			x->key_len = t.len;
		} else if (t.tag == TAG_ATTRIBUTE_VALUE && t.type == TTLV_ENUM) {
			x->state = ttlv_uint(&t);
		}
	}
}

static void
answered(void *user, struct buf *b)
{
	struct exchange *x = user;
	struct ttlv_reader r;
	struct ttlv root;

	if (ttlv_check(b->data, b->len, 8192, &root) != ERR_OK)
		abort();
	x->status = UINT32_MAX;
	ttlv_enter(&r, &root);
	take(x, &r);
	x->rq = NULL;
	x->answered(x);
}

void
gateway_ask(struct gateway *g, struct exchange *x)
{
	struct request_params p = {
	    .loop = g->loop,
	    .tenant = g->tenant,
	    .server_name = "keyferry test",
	    .response_max = 64 << 10,
	    .items_max = 8,
	    .deadline = clock_now() + PATIENCE_NS,
	    .client = memkeys_client(),
	    .answered = answered,
	    .user = x,
	};
	struct buf b;

	buf_init(&b, 4096);
	put_message(&b, x);
	if (buf_error(&b) != ERR_OK || !rq_start(&x->rq, &p, b.data, b.len))
		abort();
	buf_fini(&b);
}
