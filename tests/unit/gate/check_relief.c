/* SPDX-License-Identifier: Apache-2.0 */
/* Who has to leave an unfinished handshake when others wait for its place. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret.h"
#include "gate/gate.h"

#include "admit.h"
#include "rig.h"

enum { CEILING = 20, SHARE = 1 + CEILING / 4, TURN = 8 /* handshakes */ };

/* An address in 127/8 each, so that some stand together and others do not. */
struct guest {
	int fd;
	struct client client;
};

static struct rig rig;
static struct gate *gate;
static struct guest guests[3 * CEILING];
static size_t count, waiting;
static uint32_t net; /* of the test: what is known of an address outlives it */
static bool accepting;

static void
may_accept(void *arg, bool may)
{
	(void)arg;
	accepting = may;
}

static size_t
how_many_wait(void *arg)
{
	(void)arg;
	return accepting ? 0 : waiting;
}

static void
configure(size_t ceiling)
{
	const struct gate_limits limits = {.sessions_max = 100, .handshakes_max = ceiling,
	    .handshake_timeout_ns = 60 * NS_PER_S, .request_timeout_ns = 60 * NS_PER_S,
	    .idle_timeout_ns = 60 * NS_PER_S, .request_max = 1024, .response_max = 1024,
	    .items_max = 1};
	struct tenants *ts = tenants_new();

	(void)gate_configure(gate, rig.tls, ts, &limits);
	tenants_unref(ts);
}

static int64_t
ended(enum metric m)
{
	static int64_t seen[METRIC_COUNT];
	int64_t now = metric_get(m), more = now - seen[m];

	seen[m] = now;
	return more;
}

static void
set_up(void)
{
	struct gate_params p = {.may_accept = may_accept, .waiting = how_many_wait};

	/* what is known of addresses is forgotten, and a second begins */
	clock_test_advance((ADMIT_GOOD_S + 2) * NS_PER_S - clock_now() % NS_PER_S);
	rig_init(&rig, &(struct rig_options){.keys = KEYS_EC});
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC), false);
	p.loop = rig.loop;
	gate = gate_new(&p);
	ck_assert_ptr_nonnull(gate);
	accepting = true;
	net++;
	waiting = count = 0;
	for (enum metric m = 0; m < METRIC_COUNT; m++)
		(void)ended(m);
	configure(CEILING);
}

static void
tear_down(void)
{
	gate_free(gate);
	for (size_t i = 0; i < count; i++) {
		if (guests[i].client.ssl != NULL)
			client_fini(&guests[i].client);
		else
			close(guests[i].fd);
	}
	rig_fini(&rig);
	ck_assert_int_eq(metric_get(METRIC_SESSIONS), 0);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES), 0);
}

static void
turns(int n)
{
	while (n-- > 0)
		loop_turn(rig.loop, false);
}

/* A connection from 127.0.test.host; with a hello, which is answered, or without. */
static void
come(uint8_t host, bool hello)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000000U + net * 256 + host)}};
	socklen_t len = sizeof(to);
	int ls = socket(AF_INET, SOCK_STREAM, 0), near;
	struct guest *g = &guests[count++];

	*g = (struct guest){.fd = socket(AF_INET, SOCK_STREAM, 0)};
	ck_assert_int_eq(bind(ls, (struct sockaddr *)&to, len), 0);
	ck_assert_int_eq(listen(ls, 1), 0);
	ck_assert_int_eq(getsockname(ls, (struct sockaddr *)&to, &len), 0);
	ck_assert_int_eq(bind(g->fd, (struct sockaddr *)&from, sizeof(from)), 0);
	ck_assert_int_eq(connect(g->fd, (struct sockaddr *)&to, len), 0);
	near = accept4(ls, NULL, NULL, SOCK_NONBLOCK);
	close(ls);
	gate_accept(gate, near);
	fcntl(g->fd, F_SETFL, O_NONBLOCK);
	if (hello) {
		client_start(&g->client, &rig, g->fd, &(struct client_options){.who = WHO_RIGHT});
		client_step(&g->client);
	}
	turns(2);
}

/* Lets time pass as the relief's timer sees it. */
static void
pass(int64_t ns)
{
	for (; ns > 0; ns -= 10 * NS_PER_MS) {
		clock_test_advance(10 * NS_PER_MS);
		turns(2);
	}
}

static bool
is_there(const struct guest *g)
{
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = recv(g->fd, bytes, sizeof(bytes), 0)) > 0)
		;
	return n < 0 && errno == EAGAIN;
}

static void
expect_ends(int64_t silent, int64_t over_share, int64_t stalled)
{
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_SILENT_TOTAL), silent);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_OVER_SHARE_TOTAL), over_share);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_STALLED_TOTAL), stalled);
}

static void
expect(int64_t silent, int64_t over_share, int64_t stalled)
{
	expect_ends(silent, over_share, stalled);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES), CEILING - silent - over_share - stalled);
}

static void
fill(bool hello, uint8_t step)
{
	for (uint8_t i = 0; i < CEILING; i++)
		come((uint8_t)(1 + i * step), hello);
	ck_assert(!accepting);
	expect(0, 0, 0);
}

/* One address may have them all, for as long as a handshake may take. */
START_TEST(nobody_leaves_for_nobody)
{
	fill(_i == 0, 0);
	pass(10 * NS_PER_S);
	expect(0, 0, 0);
}
END_TEST

/* Of an address with too many they go first, and as those. */
START_TEST(the_silent_of_many_leave_first)
{
	come(1, true);
	come(1, false);
	for (uint8_t i = 2; i < CEILING; i++)
		come(1, true);
	waiting = 1;
	pass(40 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(0, 1, 0);
	ck_assert(is_there(&guests[0]));
	ck_assert(!is_there(&guests[1]));
	ck_assert(accepting);
}
END_TEST

START_TEST(the_silent_leave_sooner)
{
	fill(false, 1);
	waiting = 2;
	pass(90 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(2, 0, 0);
	ck_assert(!is_there(&guests[1]));
	ck_assert(is_there(&guests[2]));
}
END_TEST

/* As many as others wait for, the oldest first; never below its share so soon. */
START_TEST(one_address_gives_up_what_others_need)
{
	fill(true, 0);
	waiting = _i == 0 ? 3 : 100;
	pass(190 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(0, _i == 0 ? 3 : CEILING - SHARE, 0);
	ck_assert(accepting);
	ck_assert(!is_there(&guests[0]));
	ck_assert(is_there(&guests[CEILING - 1]));
}
END_TEST

START_TEST(any_client_may_keep_us_waiting_for_so_long)
{
	fill(true, 1);
	waiting = 2;
	pass(490 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(0, 0, 2);
	ck_assert(!is_there(&guests[1]));
	ck_assert(is_there(&guests[2]));
}
END_TEST

/* Nobody's tenant: but its certificate is known, and its proof good. */
static void
succeed(uint8_t host)
{
	come(host, true);
	for (int i = 0; i < 6; i++) {
		client_step(&guests[0].client);
		turns(2);
	}
	ck_assert(guests[0].client.connected);
	client_fini(&guests[0].client);
	count = 0;
	turns(2);
}

/* Where others come through, they are no more than slow. */
START_TEST(an_address_that_succeeds_may_be_slower)
{
	for (uint8_t host = 1; host <= 4; host++)
		succeed(host);
	for (uint8_t i = 0; i < CEILING; i++)
		come(1 + i % 4, true);
	expect(0, 0, 0);
	waiting = 3;
	pass(3 * NS_PER_S - 10 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(0, 0, 3);
}
END_TEST

START_TEST(who_succeeds_does_not_excuse_too_many)
{
	succeed(1);
	fill(true, 0);
	waiting = 100;
	pass(490 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(0, CEILING - SHARE, 0);
}
END_TEST

/*
 * All places are one known address's, as many more of it wait, and then somebody: the kernel's queue moves
 * by the places above its share in each time of patience.
 */
START_TEST(a_queue_moves_by_the_ceiling)
{
	int64_t began, batches = (CEILING + 1 + CEILING - SHARE - 1) / (CEILING - SHARE);

	succeed(1);
	fill(true, 0);
	began = clock_now();
	for (waiting = CEILING + 1; waiting > 0;) {
		if (!gate_has_room(gate)) {
			pass(10 * NS_PER_MS);
			ck_assert_int_le(clock_now() - began, batches * 510 * NS_PER_MS);
			continue;
		}
		waiting--;
		come(waiting > 0 ? 1 : 2, true);
	}
	ck_assert(is_there(&guests[count - 1]));
	ck_assert_int_ge(clock_now() - began, (batches - 1) * 500 * NS_PER_MS);
}
END_TEST

START_TEST(who_succeeds_does_not_excuse_the_silent)
{
	for (uint8_t host = 1; host <= 4; host++)
		succeed(host);
	for (uint8_t i = 0; i < CEILING; i++)
		come(_i == 0 ? 1 : 1 + i % 4, false);
	expect(0, 0, 0);
	waiting = 3;
	pass(_i == 0 ? 40 * NS_PER_MS : 90 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(_i == 0 ? 0 : 3, _i == 0 ? 3 : 0, 0);
}
END_TEST

/* Who is alone is not too many. */
START_TEST(a_small_ceiling_leaves_a_share)
{
	configure(1);
	come(1, true);
	ck_assert(!accepting);
	expect_ends(0, 0, 0);
	waiting = 1;
	pass(490 * NS_PER_MS);
	expect_ends(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect_ends(0, 0, 1);
	ck_assert(accepting);
}
END_TEST

/* Nobody else will be accepted. */
START_TEST(draining_sends_nobody_away_for_others)
{
	fill(true, 0);
	waiting = 100;
	pass(190 * NS_PER_MS);
	gate_drain(gate, NULL, NULL);
	pass(100 * NS_PER_MS);
	expect(0, 0, 0);
}
END_TEST

/* Those who have had an answer are waited for; those in the queue wait for us. */
START_TEST(what_they_wait_for_us_does_not_count)
{
	for (uint8_t i = 0; i < CEILING; i++)
		come(1, false);
	clock_test_advance(100 * NS_PER_MS); /* the rest of a loop that was late: it takes no other */
	turns(1);
	waiting = 100;
	for (int i = 0; i < CEILING; i++) {
		client_start(&guests[i].client, &rig, guests[i].fd,
		    &(struct client_options){.who = WHO_RIGHT});
		client_step(&guests[i].client);
	}
	turns(1);
	clock_test_advance(900 * NS_PER_MS);
	turns(1);
	expect(0, TURN, 0);
	turns(2);
	for (int i = 0; i < CEILING; i++)
		ck_assert_int_eq(is_there(&guests[i]), i >= TURN);
}
END_TEST

/* --- those that are known to come to nothing --- */

/* A ceiling's worth, of one address each, one of which has had to go. */
static void
fill_with_suspects(bool hello)
{
	fill(hello, 1);
	waiting = 1;
	pass(500 * NS_PER_MS);
	if (hello)
		expect(0, 0, 1);
	else
		expect(1, 0, 0);
	come(200, true); /* it takes the place */
	waiting = 0;
	expect_ends(0, 0, 0);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES), CEILING);
}

static struct histogram
work(unsigned result)
{
	return *metric_histogram(METRIC_HANDSHAKE_WORK_SECONDS, result, 0);
}

static int64_t
observed(struct histogram h)
{
	int64_t n = 0;

	for (size_t i = 0; i < HISTOGRAM_BOUNDS + 1; i++)
		n += h.buckets[i];
	return n;
}

/* By what became of them. */
START_TEST(what_strangers_cost_is_counted)
{
	struct histogram refused = work(LABEL_HANDSHAKE_REFUSED);
	struct histogram silent = work(LABEL_HANDSHAKE_SILENT);

	rig.check_ns = 7 * NS_PER_MS;
	come(250, true);
	for (int i = 0; i < 5; i++) {
		client_step(&guests[0].client);
		turns(2);
	}
	ck_assert_int_eq(observed(work(LABEL_HANDSHAKE_REFUSED)) - observed(refused), 1);
	ck_assert_int_eq(work(LABEL_HANDSHAKE_REFUSED).sum_ns - refused.sum_ns, rig.check_ns);
	for (uint8_t i = 1; i <= CEILING; i++)
		come(i, false);
	waiting = 1;
	pass(110 * NS_PER_MS);
	ck_assert_int_eq(observed(work(LABEL_HANDSHAKE_SILENT)) - observed(silent), 1);
	ck_assert_int_eq(work(LABEL_HANDSHAKE_SILENT).sum_ns, silent.sum_ns);
}
END_TEST

/* The place of the oldest, in the same turn, though none has had to go for it before. */
START_TEST(suspects_give_way_at_once)
{
	bool hello = _i == 0;

	fill_with_suspects(hello);
	ck_assert(accepting);
	for (int i = 1; i < CEILING; i++) {
		ck_assert(gate_has_room(gate));
		ck_assert(is_there(&guests[i]));
		come((uint8_t)(200 + i), true);
		ck_assert(!is_there(&guests[i]));
		expect_ends(hello ? 0 : 1, 0, hello ? 1 : 0);
		ck_assert_int_eq(metric_get(METRIC_HANDSHAKES), CEILING);
	}
	/* those who came are no suspects: nobody gives way to others before their time is over */
	ck_assert(!gate_has_room(gate));
	ck_assert(!accepting);
}
END_TEST

/* Not when it ends, as somebody can give way, though the ceiling is reached yet. */
START_TEST(a_ceiling_is_counted_when_a_pause_begins)
{
	(void)ended(METRIC_HANDSHAKES_CEILING_TOTAL);
	fill(true, 1);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_CEILING_TOTAL), 1);
	pass(500 * NS_PER_MS); /* they are suspects then */
	ck_assert(accepting);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES), CEILING);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_CEILING_TOTAL), 0);
	gate_drain(gate, NULL, NULL); /* no ceiling's pause */
	ck_assert(!accepting);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_CEILING_TOTAL), 0);
}
END_TEST

/* Some of them have a chance, as they may be honest; for the others nothing is computed, and nobody goes. */
START_TEST(suspects_are_turned_away)
{
	enum { CHANCES = 128 };
	int fds[CHANCES];

	(void)ended(METRIC_HANDSHAKES_TURNED_AWAY_TOTAL);
	fill_with_suspects(true);
	for (int i = 0; i < CHANCES; i++) {
		if (!gate_has_room(gate))
			pass(20 * NS_PER_MS);
		come(1, false); /* from where one has had to go */
		fds[i] = guests[--count].fd;
		ck_assert(is_there(&guests[count]));
		ck_assert_int_eq(metric_get(METRIC_HANDSHAKES), CEILING);
	}
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_TURNED_AWAY_TOTAL), 0);
	(void)ended(METRIC_HANDSHAKES_STALLED_TOTAL);
	(void)ended(METRIC_HANDSHAKES_SILENT_TOTAL);
	(void)ended(METRIC_HANDSHAKES_OVER_SHARE_TOTAL);
	pass(20 * NS_PER_MS);
	for (int i = 1; i <= 3; i++) {
		ck_assert(gate_has_room(gate));
		come(1, false);
		ck_assert(!is_there(&guests[count - 1]));
		ck_assert_int_eq(ended(METRIC_HANDSHAKES_TURNED_AWAY_TOTAL), 1);
	}
	expect_ends(0, 0, 0);
	for (int i = 0; i < CHANCES; i++)
		close(fds[i]);
}
END_TEST

/* It has kept us waiting for long, and has spoken now. */
START_TEST(a_suspect_that_answers_stays)
{
	fill_with_suspects(true);
	ck_assert_int_eq(write(guests[1].fd, "\x16", 1), 1);
	ck_assert(gate_has_room(gate));
	come(220, true); /* before its bytes are read */
	expect_ends(0, 0, 1);
	ck_assert(is_there(&guests[1]));
	ck_assert(!is_there(&guests[2]));
}
END_TEST

static void
speak_no_tls(void)
{
	static const char words[] = "GET / HTTP/1.0\r\n\r\n";

	for (int i = 0; i < CEILING; i++)
		ck_assert_int_eq(write(guests[i].fd, words, strlen(words)), (int)strlen(words));
}

/* Theirs have failed, and they do not close: they hold places yet, of which others have need. */
START_TEST(those_who_do_not_go_are_not_waited_for)
{
	fill(false, 1);
	(void)ended(METRIC_HANDSHAKES_FAILED_TOTAL);
	speak_no_tls();
	turns(CEILING);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), 0);
	ck_assert(!gate_has_room(gate));
	pass(20 * NS_PER_MS);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), 0);
	ck_assert(gate_has_room(gate));
	come(200, true);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), 1);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES), CEILING);
	pass(2 * NS_PER_S);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), CEILING - 1);
	expect_ends(0, 0, 0);
}
END_TEST

/* Those that had to wait for us before they failed are no suspects, and have some more time. */
START_TEST(who_had_to_wait_may_linger)
{
	fill(false, 1);
	(void)ended(METRIC_HANDSHAKES_FAILED_TOTAL);
	clock_test_advance(100 * NS_PER_MS); /* the rest of a loop that was late: it takes no other */
	turns(1);
	speak_no_tls();
	turns(1);
	clock_test_advance(480 * NS_PER_MS);
	turns(CEILING);
	pass(30 * NS_PER_MS);
	for (int i = 0; i < TURN; i++)
		come((uint8_t)(200 + i), true);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), TURN);
	ck_assert(!gate_has_room(gate));
	waiting = 3;
	pass(140 * NS_PER_MS);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), 0);
	pass(40 * NS_PER_MS);
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), 3);
	expect_ends(0, 0, 0);
}
END_TEST

/* A machine that stood still: its clients had no chance to say anything, or we to hear it. */
START_TEST(our_own_stall_is_not_theirs)
{
	fill(true, 1);
	waiting = 100;
	clock_test_advance(700 * NS_PER_MS);
	turns(2);
	expect(0, 0, 0);
	pass(490 * NS_PER_MS);
	expect(0, 0, 0);
	pass(10 * NS_PER_MS);
	expect(0, 0, CEILING);
}
END_TEST

/* Nor does any give way to who comes, suspects that they are. */
START_TEST(after_a_stall_nobody_is_idle)
{
	fill(false, 1);
	(void)ended(METRIC_HANDSHAKES_FAILED_TOTAL);
	speak_no_tls();
	turns(CEILING);
	clock_test_advance(100 * NS_PER_MS);
	ck_assert(gate_has_room(gate)); /* we know of no stall yet */
	turns(1);
	ck_assert(!gate_has_room(gate));
	pass(490 * NS_PER_MS);
	ck_assert(!gate_has_room(gate));
	pass(10 * NS_PER_MS);
	ck_assert(gate_has_room(gate));
	ck_assert_int_eq(ended(METRIC_HANDSHAKES_FAILED_TOTAL), 0);
}
END_TEST

START_TEST(a_loop_that_is_always_late_gives_relief)
{
	fill(true, 1);
	waiting = 3;
	for (int i = 0; i < 6; i++) {
		clock_test_advance(90 * NS_PER_MS);
		turns(1);
		expect(0, 0, 0);
	}
	for (int i = 0; i < 2; i++) {
		clock_test_advance(90 * NS_PER_MS);
		turns(1);
	}
	expect(0, 0, 3);
}
END_TEST

static Suite *
relief_suite(void)
{
	Suite *s = suite_create("relief");
	TCase *t = tcase_create("relief");

	tcase_set_timeout(t, 120); /* handshakes take their time on a loaded machine */
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_strangers_cost_is_counted);
	tcase_add_loop_test(t, nobody_leaves_for_nobody, 0, 2);
	tcase_add_test(t, the_silent_of_many_leave_first);
	tcase_add_test(t, the_silent_leave_sooner);
	tcase_add_loop_test(t, one_address_gives_up_what_others_need, 0, 2);
	tcase_add_test(t, any_client_may_keep_us_waiting_for_so_long);
	tcase_add_test(t, an_address_that_succeeds_may_be_slower);
	tcase_add_test(t, who_succeeds_does_not_excuse_too_many);
	tcase_add_test(t, a_queue_moves_by_the_ceiling);
	tcase_add_loop_test(t, who_succeeds_does_not_excuse_the_silent, 0, 2);
	tcase_add_test(t, a_small_ceiling_leaves_a_share);
	tcase_add_test(t, draining_sends_nobody_away_for_others);
	tcase_add_test(t, what_they_wait_for_us_does_not_count);
	tcase_add_loop_test(t, suspects_give_way_at_once, 0, 2);
	tcase_add_test(t, a_ceiling_is_counted_when_a_pause_begins);
	tcase_add_test(t, suspects_are_turned_away);
	tcase_add_test(t, a_suspect_that_answers_stays);
	tcase_add_test(t, those_who_do_not_go_are_not_waited_for);
	tcase_add_test(t, who_had_to_wait_may_linger);
	tcase_add_test(t, our_own_stall_is_not_theirs);
	tcase_add_test(t, after_a_stall_nobody_is_idle);
	tcase_add_test(t, a_loop_that_is_always_late_gives_relief);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r;
	bool locked;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (alloc_install() != ERR_OK || secret_heap_init(4096 * 1024, true, &locked) != ERR_OK)
		abort();
	r = srunner_create(relief_suite());
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
