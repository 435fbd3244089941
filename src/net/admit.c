/* SPDX-License-Identifier: Apache-2.0 */
/* The order of handshakes.  There is one loop in a process, so there is one queue. */
#include "admit.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/rand.h>

#include "base/metric.h"

static struct list begun_ones = {&begun_ones, &begun_ones};
static struct list new_ones = {&new_ones, &new_ones};
static struct list crowded_ones = {&crowded_ones, &crowded_ones};
static bool crowds_turn;
static uint32_t waiting[ADMIT_CROWDS];   /* of each, those that wait and were not preferred */
static uint32_t under_way[ADMIT_CROWDS]; /* of each, all that are unfinished */
static int64_t good_until[ADMIT_CROWDS]; /* of each; zero: none of its handshakes succeeded */

unsigned
admit_crowd(const struct sockaddr_storage *ss)
{
	static uint64_t seed; /* nobody shall choose with whom to stand in a crowd */
	uint64_t h;
	char bytes[17] = "";
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (seed == 0 && RAND_bytes((uint8_t *)&seed, sizeof(seed)) != 1)
		seed = 1;
	memcpy(&six, ss, sizeof(six));
	memcpy(&four, ss, sizeof(four));
	h = seed ^ ss->ss_family;
	if (ss->ss_family == AF_INET)
		memcpy(bytes, &four.sin_addr, sizeof(four.sin_addr));
	else if (ss->ss_family == AF_INET6)
		memcpy(bytes, &six.sin6_addr, IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) ? 16 : 8);
	for (size_t i = 0; i < 16; i++)
		h = (h ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3);
	return (unsigned)((h ^ h >> 32) % ADMIT_CROWDS);
}

/* True while its crowd has no more than its share. */
static bool
join_crowd(struct place *p)
{
	p->counted = true;
	return ++waiting[p->crowd] <= ADMIT_SHARE;
}

static void
leave_crowd(struct place *p)
{
	if (p->counted)
		waiting[p->crowd]--;
	p->counted = false;
}

void
admit_wait(struct place *p, bool begun)
{
	if (list_linked(&p->link))
		return;
	p->since = clock_now();
	if (begun && p->steps < ADMIT_STEPS) {
		list_append(&begun_ones, &p->link);
	} else if (join_crowd(p)) {
		list_append(&new_ones, &p->link);
	} else {
		list_append(&crowded_ones, &p->link);
		if (!p->apart)
			metric_inc(METRIC_HANDSHAKES_CROWDED_TOTAL);
		p->apart = true;
	}
}

void
admit_leave(struct place *p)
{
	list_remove(&p->link);
	leave_crowd(p);
}

/* Of those that have not begun, who is to be asked. */
static struct list *
next_queue(void)
{
	if (list_empty(&crowded_ones))
		return &new_ones;
	crowds_turn = !crowds_turn;
	return crowds_turn || list_empty(&new_ones) ? &crowded_ones : &new_ones;
}

static struct list *
take(struct list *queue)
{
	struct list *l = queue->next;

	if (list_empty(queue))
		return NULL;
	if (clock_now() - CONTAINER_OF(l, struct place, link)->since > ADMIT_WAIT_MAX &&
	    queue->prev != l) {
		l = queue->prev;
		metric_inc(METRIC_HANDSHAKES_LATEST_FIRST_TOTAL);
	}
	list_remove(l);
	return l;
}

struct place *
admit_next(void)
{
	struct list *l = list_pop(&begun_ones);
	struct place *p;

	if (l == NULL)
		l = take(next_queue());
	if (l == NULL)
		return NULL;
	p = CONTAINER_OF(l, struct place, link);
	leave_crowd(p);
	p->waited += clock_now() - p->since;
	if (p->steps < ADMIT_STEPS && ++p->steps == ADMIT_STEPS)
		metric_inc(METRIC_HANDSHAKES_DRIPPED_TOTAL);
	return p;
}

bool
admit_anybody(void)
{
	return !list_empty(&begun_ones) || !list_empty(&new_ones) || !list_empty(&crowded_ones);
}

void
admit_enter(struct place *p)
{
	p->entered = true;
	under_way[p->crowd]++;
}

void
admit_exit(struct place *p)
{
	admit_leave(p);
	if (p->entered)
		under_way[p->crowd]--;
	p->entered = false;
}

unsigned
admit_under_way(const struct place *p)
{
	return under_way[p->crowd];
}

int64_t
admit_waited(const struct place *p)
{
	return p->waited + (list_linked(&p->link) ? clock_now() - p->since : 0);
}

void
admit_succeeded(const struct place *p)
{
	good_until[p->crowd] = clock_now() + ADMIT_GOOD;
}

bool
admit_is_good(const struct place *p)
{
	return good_until[p->crowd] > clock_now();
}
