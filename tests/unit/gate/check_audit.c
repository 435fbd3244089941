/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: what its lines say, and what becomes of them when nobody writes them in time. */
#include "gate/audit.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "kmip/names.h"

#include "audit_queue.h"

enum { TEXT_MAX = 16 * 1024 * 1024, NOBODY = 65534 };

static struct loop *loop;
static struct audit_client *client;
static struct audit *audit;
static int quiet = -1;
static int child = -1; /* the child's end: the tests play the child */
static unsigned spawned;
static bool refuse_spawn;
static char *text; /* what the child has received for the present file */
static size_t text_len;
static uint64_t lines_seen;
static int files; /* how many were handed over */
static const uint8_t digest[TLS_DIGEST_LEN] = {0xab};

static pid_t
spawn(void *arg, int fd)
{
	ck_assert_ptr_eq(arg, &spawned);
	spawned++;
	if (refuse_spawn)
		return -1;
	child = dup(fd);
	lines_seen = 0;
	return getpid(); /* nobody's child, which is no harm */
}

static void
turns(void)
{
	for (int i = 0; i < 10; i++)
		loop_turn(loop, false);
}

static int
some_file(void)
{
	return dup(STDERR_FILENO);
}

/* One packet; false when there is none.  A file begins a new text. */
static bool
take_packet(void)
{
	static char data[AUDIT_PACKET_MAX + 1];
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(child, &m, MSG_DONTWAIT);
	int fd;

	if (n <= 0)
		return false;
	if (m.msg_controllen > 0) {
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
		close(fd);
		files++;
		text_len = 0;
		return true;
	}
	ck_assert_int_le(n, AUDIT_PACKET_MAX);
	ck_assert_int_eq(data[n - 1], '\n'); /* whole lines */
	memcpy(text + text_len, data, (size_t)n);
	text_len += (size_t)n;
	text[text_len] = '\0';
	for (ssize_t i = 0; i < n; i++)
		lines_seen += data[i] == '\n';
	return true;
}

static void
report(int failing)
{
	const struct audit_report r = {.lines = lines_seen, .failing = failing};

	ck_assert_int_eq(send(child, &r, sizeof(r), 0), sizeof(r));
	turns();
}

/* The child takes all that is ready and says so. */
static void
take_all(void)
{
	do {
		turns();
		while (take_packet())
			;
		report(0);
	} while (metric_get(METRIC_AUDIT_QUEUE_BYTES) > 0);
	while (take_packet())
		;
	report(0);
}

static void
put_item(uint64_t request, enum err e)
{
	audit_item(audit,
	    &(struct audit_item){.request = request,
		.item = 1,
		.client = client,
		.operation = KMIP_OPERATION_GET,
		.uid = "01890000-0000-7000-8000-000000000001",
		.err = e,
		.version = KMIP_1_1,
		.duration_ns = 1234567});
}

static void
setup(void)
{
	clock_test_freeze(1760000000);
	log_set_level(LOG_ERROR);
	if (quiet < 0)
		quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_set_output(quiet, false);
	loop = loop_new();
	client = audit_client_new("a", "192.0.2.1:4711", digest);
	ck_assert_ptr_nonnull(client);
	audit = audit_new(&(struct audit_params){.loop = loop, .spawn = spawn, .arg = &spawned});
	ck_assert_ptr_nonnull(audit);
	text = calloc(1, TEXT_MAX);
	text_len = 0;
	spawned = 0;
	files = 0;
	refuse_spawn = false;
	for (int m = 0; m < METRIC_COUNT; m++)
		metric_set((enum metric)m, 0);
}

static void
teardown(void)
{
	audit_free(audit);
	audit_client_unref(client);
	loop_free(loop);
	close(child);
	free(text);
	fault_test_clear();
}

/* --- lines --- */

START_TEST(test_line)
{
	audit_use(audit, some_file(), false);
	put_item(7, ERR_OK);
	take_all();
	ck_assert_str_eq(text,
	    "{\"time\":\"2025-10-09T08:53:20.000Z\",\"event\":\"request\",\"request\":7,\"item\":1,"
	    "\"tenant\":\"a\",\"certificate\":"
	    "\"ab00000000000000000000000000000000000000000000000000000000000000\","
	    "\"address\":\"192.0.2.1:4711\",\"operation\":\"Get\","
	    "\"uid\":\"01890000-0000-7000-8000-000000000001\",\"result\":\"Success\","
	    "\"duration-us\":1234}\n");
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LINES_TOTAL), 1);
	put_item(8, ERR_NO_OBJECT);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"result\":\"Operation Failed\","
					   "\"reason\":\"Item Not Found\","
					   "\"message\":\"no such object\""));
}
END_TEST

/* An administrator shows no certificate; what is configured may have to be escaped. */
START_TEST(test_line_of_an_administrator)
{
	struct audit_client *admin = audit_client_new("a\"b", "control", NULL);

	ck_assert_ptr_nonnull(admin);
	ck_assert_str_eq(audit_client_address(admin), "control");
	audit_use(audit, some_file(), false);
	audit_item(audit, &(struct audit_item){.request = 1, .item = 1, .uid = "",
	    .client = admin, .operation = KMIP_OPERATION_DESTROY, .version = KMIP_1_4});
	audit_client_unref(admin);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"item\":1,\"tenant\":\"a\\\"b\",\"certificate\":null,"
					   "\"address\":\"control\",\"operation\":\"Destroy\","
					   "\"result\":\"Success\",\"duration-us\":0}\n"));
}
END_TEST

START_TEST(test_text_of_strangers)
{
	audit_use(audit, some_file(), false);
	audit_refusal(audit, &(struct audit_refusal){.address = "192.0.2.1:1",
				 .why = "unknown certificate",
				 .subject = "CN=\"x\"\n{\"event\":\"request\"}\xff",
				 .sha256 = digest,
				 .proven = true});
	take_all();
	ck_assert_uint_eq(lines_seen, 1);
	ck_assert_ptr_nonnull(strstr(text, "\"key-proven\":true"));
	ck_assert_ptr_null(strstr(text, "\n{"));
	ck_assert_ptr_nonnull(strstr(text, "CN=\\\"x\\\"\\u000a{\\\"event"));
}
END_TEST

/* Apart from those of handshakes. */
START_TEST(test_messages_are_rationed)
{
	const struct audit_message m = {.tenant = "t", .address = "192.0.2.1:1", .sha256 = digest,
	    .err = ERR_REQUEST_TOO_LARGE};
	const struct audit_refusal r = {.address = "192.0.2.1:1", .why = "w", .subject = "s"};

	audit_use(audit, some_file(), false);
	for (int i = 0; i < AUDIT_REFUSALS_PER_S + 5; i++)
		audit_message(audit, &m);
	audit_refusal(audit, &r);
	take_all();
	ck_assert_uint_eq(lines_seen, AUDIT_REFUSALS_PER_S + 1);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LEFT_OUT_TOTAL), 5);
	clock_test_advance(NS_PER_S);
	audit_message(audit, &m);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"message-refused\",\"tenant\":\"t\""));
	ck_assert_ptr_nonnull(strstr(text, "\"why\":\"the request is larger than allowed\","
					   "\"left-out\":5}"));
}
END_TEST

START_TEST(test_refusals_are_rationed)
{
	const struct audit_refusal r = {.address = "192.0.2.1:1", .why = "w", .subject = "s"};

	audit_use(audit, some_file(), false);
	for (int i = 0; i < AUDIT_REFUSALS_PER_S + 5; i++)
		audit_refusal(audit, &r);
	take_all();
	ck_assert_uint_eq(lines_seen, AUDIT_REFUSALS_PER_S);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LEFT_OUT_TOTAL), 5);
	clock_test_advance(NS_PER_S);
	audit_refusal(audit, &r);
	take_all();
	ck_assert_uint_eq(lines_seen, AUDIT_REFUSALS_PER_S + 1);
	ck_assert_ptr_nonnull(strstr(text, "\"left-out\":5}"));
}
END_TEST

START_TEST(test_command)
{
	const char *argv[] = {"keys show", "=u\"id"};

	audit_use(audit, some_file(), false);
	audit_command(audit, &(struct audit_command){argv, 2, 1000, 42, ERR_OK});
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"command\",\"uid\":1000,\"pid\":42,"
					   "\"command\":[\"keys show\",\"=u\\\"id\"],"
					   "\"result\":\"done\"}"));
}
END_TEST

START_TEST(test_without_a_file)
{
	put_item(1, ERR_OK);
	audit_command(audit, &(struct audit_command){NULL, 0, 0, 0, ERR_OK});
	audit_item(NULL, &(struct audit_item){.client = client, .uid = ""});
	turns();
	ck_assert_uint_eq(spawned, 0);
	ck_assert(!audit_refuses(audit) && !audit_refuses(NULL));
	ck_assert_ptr_null(audit_complaint(audit));
}
END_TEST

/* --- order, files --- */

START_TEST(test_order)
{
	enum { COUNT = 5000 };
	const char *at;
	unsigned long n = 0;

	audit_use(audit, some_file(), false);
	for (int i = 1; i <= COUNT; i++)
		put_item((uint64_t)i, ERR_OK);
	take_all();
	for (at = text; (at = strstr(at, "\"request\":")) != NULL; at += 10)
		ck_assert_uint_eq(strtoul(at + 10, NULL, 10), ++n);
	ck_assert_uint_eq(n, COUNT);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LINES_TOTAL), COUNT);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL), 0);
	ck_assert_int_eq(files, 1);
}
END_TEST

static void
work_on(struct defer *d)
{
	loop_defer(loop, d);
}

static bool
comes_with_other_work(int turns_at_most)
{
	while (turns_at_most-- > 0) {
		loop_turn(loop, false);
		if (take_packet())
			return true;
	}
	return false;
}

/* While there is other work, but not for long; where requests need their lines, nothing waits. */
START_TEST(test_lines_go_together)
{
	struct defer work = {.fn = work_on};

	audit_use(audit, some_file(), false);
	turns();
	while (take_packet())
		;
	loop_defer(loop, &work);
	put_item(1, ERR_OK);
	ck_assert(!comes_with_other_work(3));
	put_item(2, ERR_OK);
	ck_assert(comes_with_other_work(LOOP_PATIENCE));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":1,"));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":2,"));
	for (uint64_t n = 0; metric_get(METRIC_AUDIT_QUEUE_BYTES) < AUDIT_GATHER_MAX; n++)
		put_item(n, ERR_OK);
	ck_assert(comes_with_other_work(1));
	audit_use(audit, some_file(), true);
	put_item(3, ERR_OK);
	ck_assert(comes_with_other_work(1));
	while (comes_with_other_work(1))
		;
	ck_assert_ptr_nonnull(strstr(text, "\"request\":3,"));
	loop_undefer(&work);
	audit_use(audit, some_file(), false);
	turns();
	while (take_packet())
		;
	put_item(4, ERR_OK); /* and without other work at once */
	ck_assert(comes_with_other_work(1));
}
END_TEST

START_TEST(test_next_file)
{
	audit_use(audit, some_file(), false);
	put_item(1, ERR_OK);
	audit_use(audit, some_file(), false);
	put_item(2, ERR_OK);
	turns();
	ck_assert(take_packet() && files == 1);
	ck_assert(take_packet());
	ck_assert_ptr_nonnull(strstr(text, "\"request\":1,"));
	ck_assert(take_packet() && files == 2);
	ck_assert(take_packet());
	ck_assert_ptr_null(strstr(text, "\"request\":1,"));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":2,"));
	audit_use(audit, -1, false);
	put_item(3, ERR_OK);
	turns();
	ck_assert(!take_packet());
	audit_use(audit, some_file(), false);
	put_item(4, ERR_OK);
	take_all();
	ck_assert_int_eq(files, 3);
	ck_assert_uint_eq(lines_seen, 3);
}
END_TEST

/* Rotations while the disk hangs: each file gets what came after it and before the next. */
START_TEST(test_next_files)
{
	audit_use(audit, some_file(), false);
	put_item(1, ERR_OK);
	audit_use(audit, some_file(), false);
	put_item(2, ERR_OK);
	audit_use(audit, some_file(), false);
	audit_use(audit, some_file(), false); /* no line between them */
	put_item(3, ERR_OK);
	turns();
	for (int i = 1; i <= 3; i++) {
		char request[32];

		snprintf(request, sizeof(request), "\"request\":%d,", i);
		ck_assert(take_packet() && files == i);
		ck_assert(take_packet());
		ck_assert_ptr_nonnull(strstr(text, request));
		ck_assert_uint_eq(lines_seen, (uint64_t)i);
	}
	ck_assert(!take_packet());
}
END_TEST

/* More than are remembered: what is too much for one goes to the next, and no line is missing. */
START_TEST(test_too_many_files)
{
	audit_use(audit, some_file(), false);
	for (int i = 1; i <= 100; i++) {
		put_item((uint64_t)i, ERR_OK);
		audit_use(audit, some_file(), false);
	}
	take_all();
	ck_assert_int_eq(files, 9);
	ck_assert_uint_eq(lines_seen, 100);
	ck_assert_ptr_null(strstr(text, "\"request\":8,"));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":9,"));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":100,"));
}
END_TEST

/* --- nobody writes them --- */

static uint64_t
fill(enum err e)
{
	uint64_t n = 0;
	int64_t before = metric_get(METRIC_AUDIT_LOST_TOTAL);

	for (; metric_get(METRIC_AUDIT_LOST_TOTAL) == before; n++) {
		put_item(n + 1, e);
		if (n % 64 == 0)
			loop_turn(loop, false);
	}
	return n - 1;
}

START_TEST(test_required)
{
	uint64_t kept;

	audit_use(audit, some_file(), true);
	turns();
	ck_assert(!audit_refuses(audit));
	fill(ERR_AUDIT); /* lines of what was refused leave room for what was done */
	ck_assert(audit_refuses(audit));
	ck_assert_ptr_nonnull(strstr(audit_complaint(audit), "requests are refused"));
	kept = fill(ERR_OK);
	ck_assert_uint_gt(kept, 1000);
	put_item(0, ERR_OK);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL), 3);
	take_all();
	ck_assert(!audit_refuses(audit));
	ck_assert_ptr_null(audit_complaint(audit));
	put_item(99, ERR_OK);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"lines-lost\",\"count\":"));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":99,"));
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL), 3);
}
END_TEST

START_TEST(test_disk_full)
{
	audit_use(audit, some_file(), true);
	put_item(1, ERR_OK);
	turns();
	report(ENOSPC);
	ck_assert(audit_refuses(audit));
	ck_assert_ptr_nonnull(strstr(audit_complaint(audit), "No space left"));
	report(ENOSPC);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_FAILURES_TOTAL), 1);
	take_all();
	ck_assert(!audit_refuses(audit));
	audit_use(audit, some_file(), false);
	turns();
	report(ENOSPC);
	ck_assert(!audit_refuses(audit));
	ck_assert_ptr_nonnull(strstr(audit_complaint(audit), "then are lost"));
}
END_TEST

/* Steps of a quarter of a second. */
static void
pass(int quarters)
{
	for (; quarters > 0; quarters--) {
		clock_test_advance(NS_PER_S / 4);
		turns();
	}
}

/* It says nothing, and few lines wait. */
START_TEST(test_disk_hangs)
{
	audit_use(audit, some_file(), true);
	for (int i = 0; i < 20; i++) { /* there is always a line that waits, but none for long */
		put_item(1, ERR_OK);
		pass(6);
		ck_assert(!audit_refuses(audit));
		put_item(2, ERR_OK);
		turns();
		while (take_packet())
			;
		put_item(3, ERR_OK);
		report(0);
	}
	take_all();
	put_item(4, ERR_OK);
	pass(7);
	ck_assert(!audit_refuses(audit));
	pass(4);
	ck_assert(audit_refuses(audit));
	ck_assert_ptr_nonnull(strstr(audit_complaint(audit), "the disk is too slow"));
	ck_assert_int_eq(metric_get(METRIC_AUDIT_FAILURES_TOTAL), 1);
	put_item(5, ERR_AUDIT);
	take_all();
	ck_assert(!audit_refuses(audit));
	ck_assert_ptr_null(audit_complaint(audit));
	pass(20);
	ck_assert(!audit_refuses(audit));
}
END_TEST

START_TEST(test_child_dies)
{
	audit_use(audit, some_file(), true);
	put_item(1, ERR_OK);
	put_item(2, ERR_OK);
	turns();
	ck_assert(take_packet() && take_packet());
	close(child);
	turns();
	ck_assert(audit_refuses(audit));
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL), 2); /* nobody knows */
	put_item(3, ERR_OK);
	refuse_spawn = true;
	clock_test_advance(NS_PER_S);
	turns();
	ck_assert_uint_eq(spawned, 2);
	refuse_spawn = false;
	clock_test_advance(NS_PER_S);
	turns();
	ck_assert_uint_eq(spawned, 3);
	ck_assert(!audit_refuses(audit));
	take_all();
	ck_assert_int_eq(files, 2);
	ck_assert_uint_eq(lines_seen, 2);
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"lines-lost\",\"count\":2}\n{"));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":3,"));
	put_item(4, ERR_OK);
	take_all();
	ck_assert_uint_eq(lines_seen, 3); /* said once */
}
END_TEST

static void
lose_child(void)
{
	close(child);
	turns();
	clock_test_advance(NS_PER_S);
	turns();
}

/* The line that tells of lost ones may be lost itself. */
START_TEST(test_child_dies_again)
{
	audit_use(audit, some_file(), false);
	put_item(1, ERR_OK);
	put_item(2, ERR_OK);
	turns();
	lose_child();
	put_item(3, ERR_OK); /* behind the one that tells of two */
	turns();
	lose_child();
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL), 4);
	put_item(4, ERR_OK);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"lines-lost\",\"count\":4}\n{"));
	put_item(5, ERR_OK);
	turns();
	lose_child();
	put_item(6, ERR_OK);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"lines-lost\",\"count\":1}\n{"));
}
END_TEST

START_TEST(test_no_memory)
{
	struct buf others[100]; /* they have the blocks that earlier buffers left behind */

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		buf_init(&others[i], 1000);
		buf_put(&others[i], "x", 1);
	}
	audit_use(audit, some_file(), false);
	take_all();
	fault_test_arm(FAULT_ALLOC, 0, 1000);
	put_item(1, ERR_OK);
	fault_test_clear();
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL), 1);
	put_item(2, ERR_OK);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"count\":1}\n{"));
	ck_assert_ptr_nonnull(strstr(text, "\"request\":2,"));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		buf_fini(&others[i]);
}
END_TEST

/* What is spare is lost first; the room that is kept for what was done is there all the same. */
START_TEST(test_reserve)
{
	int64_t lost, bytes;

	audit_use(audit, some_file(), true);
	turns();
	fill(ERR_AUDIT);
	put_item(0, ERR_OK);
	bytes = metric_get(METRIC_AUDIT_QUEUE_BYTES);
	lost = metric_get(METRIC_AUDIT_LOST_TOTAL);
	for (int i = 0; i < 1000; i++)
		put_item(0, ERR_AUDIT); /* no room for those, nor for telling so */
	ck_assert_int_eq(metric_get(METRIC_AUDIT_QUEUE_BYTES), bytes);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL) - lost, 1000);
	for (int i = 0; i < 100; i++)
		put_item(1, ERR_OK);
	ck_assert_int_eq(metric_get(METRIC_AUDIT_LOST_TOTAL) - lost, 1000);
	take_all();
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"lines-lost\",\"count\":1000}"));
}
END_TEST

/* Once writing fails, the next file is wanted at once, and lines are when it goes on. */
START_TEST(test_next_file_of_a_full_disk)
{
	audit_use(audit, some_file(), true);
	put_item(1, ERR_OK);
	turns();
	ck_assert(take_packet() && take_packet());
	lines_seen = 0; /* it was not written */
	report(ENOSPC);
	put_item(2, ERR_AUDIT);
	turns();
	ck_assert(!take_packet());
	audit_use(audit, some_file(), true);
	turns();
	ck_assert(take_packet() && files == 2);
	ck_assert(!take_packet());
	lines_seen = 1;
	report(0);
	ck_assert(!audit_refuses(audit));
	ck_assert(take_packet());
	ck_assert_ptr_nonnull(strstr(text, "\"request\":2,"));
}
END_TEST

/* One that was made for writing alone will do; of others it is seen how they end. */
START_TEST(test_files)
{
	static const struct {
		mode_t mode;
		int how;
	} cases[] = {{0600, O_RDWR}, {0200, O_WRONLY}};
	char dir[] = "/tmp/check-audit-XXXXXX", path[sizeof(dir) + 2];
	const char *why;
	int fd;

	if (geteuid() == 0) /* to whom modes are nothing */
		ck_assert_int_eq(seteuid(NOBODY), 0);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a", dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		ck_assert_int_ge(fd, 0);
		close(fd);
		ck_assert_int_eq(chmod(path, cases[i].mode), 0);
		ck_assert_int_eq(audit_test_file(path, &why), ERR_OK);
		ck_assert_int_eq(audit_open_file(path, &fd, &why), ERR_OK);
		ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, cases[i].how);
		close(fd);
		unlink(path);
	}
	rmdir(dir);
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

static void
count_end(void *arg)
{
	++*(unsigned *)arg;
}

START_TEST(test_drain)
{
	unsigned ends = 0;

	audit_use(audit, some_file(), true);
	audit_drain(audit, count_end, &ends);
	ck_assert_uint_eq(ends, 0); /* from the loop */
	turns();
	ck_assert_uint_eq(ends, 1);
	put_item(1, ERR_OK);
	audit_drain(audit, count_end, &ends);
	pass(20);
	ck_assert_uint_eq(ends, 1);
	take_all();
	ck_assert_uint_eq(ends, 2);
	put_item(2, ERR_OK);
	audit_drain(audit, count_end, &ends);
	pass(39);
	ck_assert_uint_eq(ends, 2);
	pass(1);
	ck_assert_uint_eq(ends, 3);
	take_all();
	ck_assert_uint_eq(ends, 3);
}
END_TEST

static Suite *
audit_suite(void)
{
	Suite *s = suite_create("audit");
	TCase *t = tcase_create("audit");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_line);
	tcase_add_test(t, test_line_of_an_administrator);
	tcase_add_test(t, test_text_of_strangers);
	tcase_add_test(t, test_messages_are_rationed);
	tcase_add_test(t, test_refusals_are_rationed);
	tcase_add_test(t, test_command);
	tcase_add_test(t, test_without_a_file);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_lines_go_together);
	tcase_add_test(t, test_next_file);
	tcase_add_test(t, test_next_files);
	tcase_add_test(t, test_too_many_files);
	tcase_add_test(t, test_required);
	tcase_add_test(t, test_reserve);
	tcase_add_test(t, test_disk_full);
	tcase_add_test(t, test_disk_hangs);
	tcase_add_test(t, test_child_dies);
	tcase_add_test(t, test_child_dies_again);
	tcase_add_test(t, test_no_memory);
	tcase_add_test(t, test_next_file_of_a_full_disk);
	tcase_add_test(t, test_files);
	tcase_add_test(t, test_drain);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r;
	int failed;

	if (alloc_install() != ERR_OK)
		return EXIT_FAILURE;
	r = srunner_create(audit_suite());
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
