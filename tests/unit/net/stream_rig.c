/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_rig.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/secret.h"

struct rig rig;
struct served served;
struct client client;
const struct client_options right = {.who = WHO_RIGHT};

static void
set_up(void)
{
	rig_init(&rig, &(struct rig_options){.keys = KEYS_EC});
	served = (struct served){0};
	client = (struct client){.fd = -1};
}

static void
tear_down(void)
{
	fault_test_clear();
	served_fini(&served);
	client_fini(&client);
	rig_fini(&rig);
}

void
establish(const struct client_options *o)
{
	rig_connect(&rig, &served, &client, o);
	rig_pump(&rig, &client, TURNS);
	ck_assert_uint_eq(served.ready, 1);
	ck_assert(client.connected);
}

void
establish_over_tcp(void)
{
	int fd[2];

	rig_pair(fd, true);
	served_start(&served, &rig, fd[0]);
	client_start(&client, &rig, fd[1], &right);
	rig_pump(&rig, &client, TURNS);
	ck_assert_uint_eq(served.ready, 1);
}

void
pump(unsigned turns)
{
	rig_pump(&rig, &client, turns);
}

void
expect_end(enum stream_end why)
{
	ck_assert_uint_eq(served.closed, 1);
	ck_assert_msg(served.end == why, "ended: %s (%s)", stream_end_text(served.end), served.why);
}

size_t
send_some(const uint8_t *data, size_t len)
{
	size_t sent = 0;
	int n;

	while (sent < len && (n = SSL_write(client.ssl, data + sent, (int)(len - sent))) > 0)
		sent += (size_t)n;
	return sent;
}

void
answer(size_t len)
{
	struct buf b;
	uint8_t *at;

	buf_init(&b, BIG);
	at = buf_extend(&b, len);
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7 >> 3);
	ck_assert_int_eq(stream_write(served.s, &b), ERR_OK);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.max, BIG);
}

void
expect_answer(size_t len)
{
	ck_assert_uint_eq(client.got.len, len);
	for (size_t i = 0; i < len; i++)
		if (client.got.data[i] != (uint8_t)(i * 7 >> 3))
			ck_abort_msg("byte %zu differs", i);
}

void
relay(int from, int to, size_t max)
{
	uint8_t bytes[4096];
	ssize_t n = recv(from, bytes, max < sizeof(bytes) ? max : sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		ck_assert_int_eq(send(to, bytes, (size_t)n, 0), n);
}

TCase *
stream_case(void)
{
	TCase *t = tcase_create("stream");
	struct rlimit files;
	bool locked;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (alloc_install() != ERR_OK || secret_heap_init(4096 * 1024, true, &locked) != ERR_OK)
		abort();
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	return t;
}

int
stream_case_run(const char *name, TCase *t)
{
	Suite *suite = suite_create(name);
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
