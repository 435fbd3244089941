/* SPDX-License-Identifier: Apache-2.0 */
/* A gate and its clients. */
#include "guests.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "kmip/names.h"
#include "kmip/ttlv.h"

#include "../../support/memkeys.h"

enum { TURNS = 12 };

struct rig rig;
struct gate *gate;
struct limit *limit;
struct client guests[GUESTS];
size_t count;
struct buf request;

static struct memkeys mem;

static void
make_request(void)
{
	size_t message, header, version, item;

	buf_init(&request, REQUEST_MAX);
	message = ttlv_begin(&request, TAG_REQUEST_MESSAGE);
	header = ttlv_begin(&request, TAG_REQUEST_HEADER);
	version = ttlv_begin(&request, TAG_PROTOCOL_VERSION);
	ttlv_put_int(&request, TAG_PROTOCOL_VERSION_MAJOR, 1);
	ttlv_put_int(&request, TAG_PROTOCOL_VERSION_MINOR, 1);
	ttlv_end(&request, version);
	ttlv_put_int(&request, TAG_BATCH_COUNT, 1);
	ttlv_end(&request, header);
	item = ttlv_begin(&request, TAG_BATCH_ITEM);
	ttlv_put_enum(&request, TAG_OPERATION, KMIP_OPERATION_DISCOVER_VERSIONS);
	ttlv_end(&request, ttlv_begin(&request, TAG_REQUEST_PAYLOAD));
	ttlv_end(&request, item);
	ttlv_end(&request, message);
	ck_assert_int_eq(buf_error(&request), ERR_OK);
}

struct tenants *
tenants_of(struct authority *authority)
{
	struct certificate_text text = {.not_after = clock_wall() + 86400};
	struct tenants *ts = tenants_new();
	struct tenant *t = memkeys_tenant(&mem, "a");
	struct pinned *p;

	memcpy(text.digest, rig.digests[WHO_RIGHT], TLS_DIGEST_LEN);
	p = pinned_new(&text, "file", false, false);
	t->limit = limit;
	ck_assert_int_eq(tenants_add(ts, t), ERR_OK);
	ck_assert_int_eq(authority != NULL ? tenants_trust(ts, t, authority) : tenants_pin(ts, t, p), ERR_OK);
	pinned_unref(p);
	tenant_unref(t);
	return ts;
}

void
configure(struct tenants *ts)
{
	const struct gate_limits limits = {.sessions_max = 100, .handshakes_max = 100,
	    .handshake_timeout_ns = 60 * NS_PER_S, .request_timeout_ns = 60 * NS_PER_S,
	    .idle_timeout_ns = 60 * NS_PER_S, .request_max = REQUEST_MAX, .response_max = 4096,
	    .items_max = 1};

	(void)gate_configure(gate, rig.tls, ts, &limits);
	tenants_unref(ts);
}

void
set_up(void)
{
	struct gate_params p = {.server_name = "a gateway"};

	rig_init(&rig, &(struct rig_options){.keys = KEYS_EC});
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC), false);
	memkeys_init(&mem, rig.loop);
	p.loop = rig.loop;
	gate = gate_new(&p);
	ck_assert_ptr_nonnull(gate);
	limit = limit_new(rig.loop, "a");
	ck_assert_ptr_nonnull(limit);
	make_request();
	configure(tenants_of(NULL));
	count = 0;
}

void
tear_down(void)
{
	fault_test_clear();
	gate_free(gate);
	for (size_t i = 0; i < count; i++)
		client_fini(&guests[i]);
	buf_fini(&request);
	loop_turn(rig.loop, false);
	limit_unref(limit);
	memkeys_fini(&mem);
	rig_fini(&rig);
	ck_assert_int_eq(metric_get(METRIC_SESSIONS), 0);
}

void
pump(void)
{
	for (int n = 0; n < TURNS; n++) {
		for (size_t i = 0; i < count; i++)
			client_step(&guests[i]);
		loop_turn(rig.loop, false);
	}
}

struct client *
come(int version)
{
	struct client *c = &guests[count++];
	int fd[2];

	rig_pair(fd, false);
	gate_accept(gate, fd[0]);
	client_start(c, &rig, fd[1], &(struct client_options){.who = WHO_RIGHT, .version = version});
	pump();
	ck_assert(c->connected);
	return c;
}

void
ask(struct client *c)
{
	client_send(c, request.data, request.len);
}

size_t
answers(struct client *c)
{
	size_t n = 0, len = 0, at = 0;

	for (; at + TTLV_HEADER <= c->got.len; at += len) {
		len = ttlv_total(c->got.data + at, TAG_RESPONSE_MESSAGE, TTLV_STRUCTURE);
		ck_assert_uint_gt(len, 0);
		n++;
	}
	ck_assert_uint_eq(at, c->got.len);
	buf_reset(&c->got);
	return n;
}

struct client *
keep(int version)
{
	struct client *c = come(version);

	ask(c);
	pump();
	ck_assert_uint_eq(answers(c), 1);
	ck_assert(!c->ended);
	return c;
}
