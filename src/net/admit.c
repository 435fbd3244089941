/* SPDX-License-Identifier: Apache-2.0 */
/* The order of handshakes.  There is one loop in a process, so there is one queue. */
#include "admit.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/rand.h>

#include "base/metric.h"

enum { KNOWN, NEW, CROWDED, SUSPECT, QUEUES };

struct queue {
	struct list all;
	uint64_t due; /* the queue that is due soonest has the turn */
	uint8_t stride; /* by so much is it due later after a turn */
	uint8_t late; /* turns one after the other in which its oldest had waited for too long */
};

/* The latest address of which it is known. */
struct mark {
	uint32_t whose;
	uint32_t until; /* clock_now() in seconds, rounded up; zero: never */
};

struct crowd {
	uint32_t waiting;   /* and were not preferred */
	uint32_t under_way; /* all that are unfinished */
	struct mark good, suspect;
};

#define QUEUE(which, stride) [which] = {{&queues[which].all, &queues[which].all}, 0, stride, 0}
static struct queue queues[QUEUES] = {
    QUEUE(KNOWN, 1), QUEUE(NEW, 2), QUEUE(CROWDED, 2), QUEUE(SUSPECT, 8)};
static struct list begun_known = {&begun_known, &begun_known};
static struct list begun_others = {&begun_others, &begun_others};
static unsigned begun_turns; /* since one that had not begun had a turn */
static uint64_t last_due; /* of the queue that had the last turn */
static struct crowd crowds[ADMIT_CROWDS];

static struct crowd *
crowd_of(uint32_t whose)
{
	return &crowds[whose % ADMIT_CROWDS];
}

uint32_t
admit_whose(const struct sockaddr_storage *ss)
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
	return (uint32_t)(h ^ h >> 32);
}

static void
leave_crowd(struct place *p)
{
	if (p->counted)
		crowd_of(p->whose)->waiting--;
	p->counted = false;
}

/* Counts it among its crowd. */
static unsigned
choose_queue(struct place *p)
{
	bool within = ++crowd_of(p->whose)->waiting <= ADMIT_SHARE;

	p->counted = true;
	if (p->steps >= ADMIT_STEPS || admit_is_suspect(p->whose))
		return SUSPECT;
	if (within)
		return admit_is_good(p->whose) ? KNOWN : NEW;
	if (!p->apart)
		metric_inc(METRIC_HANDSHAKES_CROWDED_TOTAL);
	p->apart = true;
	return CROWDED;
}

void
admit_wait(struct place *p, bool begun)
{
	struct queue *q;

	if (list_linked(&p->link))
		return;
	p->since = clock_now();
	if (begun && p->steps < ADMIT_STEPS) {
		list_append(admit_is_good(p->whose) ? &begun_known : &begun_others, &p->link);
		return;
	}
	q = &queues[choose_queue(p)];
	if (list_empty(&q->all) && q->due < last_due)
		q->due = last_due; /* turns that it had no use for are gone */
	list_append(&q->all, &p->link);
}

void
admit_leave(struct place *p)
{
	list_remove(&p->link);
	leave_crowd(p);
}

/* Of those that have not begun, who is to be asked.  NULL: nobody waits. */
static struct queue *
next_queue(void)
{
	struct queue *q = NULL;

	for (unsigned i = 0; i < QUEUES; i++)
		if (!list_empty(&queues[i].all) && (q == NULL || queues[i].due < q->due))
			q = &queues[i];
	if (q == NULL)
		return NULL;
	last_due = q->due;
	q->due += q->stride;
	return q;
}

static struct list *
take(struct queue *q)
{
	struct list *l = q->all.next;
	bool late = clock_now() - CONTAINER_OF(l, struct place, link)->since > ADMIT_WAIT_MAX;

	if (!late || q->all.prev == l) {
		q->late = 0;
	} else if (++q->late % ADMIT_OLDEST_TURN != 0) {
		l = q->all.prev;
		metric_inc(METRIC_HANDSHAKES_LATEST_FIRST_TOTAL);
	}
	list_remove(l);
	return l;
}

static struct list *
pop_begun(void)
{
	struct list *l = list_pop(&begun_known);

	return l != NULL ? l : list_pop(&begun_others);
}

static struct list *
pop_queued(void)
{
	struct queue *q = next_queue();

	begun_turns = 0;
	return q != NULL ? take(q) : NULL;
}

struct place *
admit_next(void)
{
	bool theirs = begun_turns++ < ADMIT_BEGUN_TURNS;
	struct list *l = theirs ? pop_begun() : pop_queued();
	struct place *p;

	if (l == NULL)
		l = theirs ? pop_queued() : pop_begun();
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
	bool any = !list_empty(&begun_known) || !list_empty(&begun_others);

	for (unsigned i = 0; i < QUEUES; i++)
		any = any || !list_empty(&queues[i].all);
	return any;
}

void
admit_enter(struct place *p)
{
	p->entered = true;
	crowd_of(p->whose)->under_way++;
}

void
admit_exit(struct place *p)
{
	admit_leave(p);
	if (p->entered)
		crowd_of(p->whose)->under_way--;
	p->entered = false;
}

unsigned
admit_under_way(const struct place *p)
{
	return crowd_of(p->whose)->under_way;
}

int64_t
admit_waited(const struct place *p)
{
	return p->waited + (list_linked(&p->link) ? clock_now() - p->since : 0);
}

static uint32_t
seconds_now(void)
{
	return (uint32_t)(clock_now() / NS_PER_S);
}

static void
set_mark(struct mark *m, const struct place *p, uint32_t seconds)
{
	m->whose = p->whose;
	m->until = seconds_now() + 1 + seconds;
}

static bool
is_marked(const struct mark *m, uint32_t whose)
{
	return m->until > seconds_now() && m->whose == whose;
}

void
admit_succeeded(const struct place *p)
{
	set_mark(&crowd_of(p->whose)->good, p, ADMIT_GOOD_S);
}

void
admit_blame(struct place *p)
{
	if (admit_waited(p) > ADMIT_BLAMELESS)
		return;
	p->blamed = true;
	set_mark(&crowd_of(p->whose)->suspect, p, ADMIT_SUSPECT_S);
}

bool
admit_is_good(uint32_t whose)
{
	return is_marked(&crowd_of(whose)->good, whose);
}

bool
admit_is_suspect(uint32_t whose)
{
	return is_marked(&crowd_of(whose)->suspect, whose) && !admit_is_good(whose);
}

bool
admit_turns_away(uint32_t whose)
{
	static uint32_t second, taken;

	if (!admit_is_suspect(whose))
		return false;
	if (second != seconds_now())
		taken = 0;
	second = seconds_now();
	if (taken >= ADMIT_CHANCES)
		return true;
	taken++;
	return false;
}
