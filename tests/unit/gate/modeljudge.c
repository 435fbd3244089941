/* SPDX-License-Identifier: Apache-2.0 */
/* The model's judgement. */
#include "modeljudge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Between the decision to serve and the answer: the ledger, and the test's own steps. */
#define SLACK_NS (3 * NS_PER_S)
#define WIPE_NS (15 * NS_PER_S) /* the third refusal comes that much after the bound */
#define CHECK_NS (30 * NS_PER_S) /* the last check before an outage is no older */

char model_blame[256];
const char *model_blamed;

void
blame(const char *text, ...)
{
	va_list ap;

	if (model_blame[0] != '\0')
		return;
	model_blamed = text;
	va_start(ap, text);
	vsnprintf(model_blame, sizeof(model_blame), text, ap);
	va_end(ap);
}

static int64_t
max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static double
seconds(int64_t ns)
{
	return (double)ns / NS_PER_S;
}

/* Since when nothing at all is wrong between a gateway and its keys; 0: something is. */
static int64_t
healthy_since(const struct model *m, unsigned gate)
{
	const struct model_gate *mg = &m->gates[gate];

	if (mg->open_since == 0 || mg->denied_since != 0 || m->root_gone_since != 0)
		return 0;
	return max(max(mg->open_since, mg->granted_since), m->root_back_since);
}

static bool
is_healthy(const struct model *m, unsigned gate, int64_t when)
{
	int64_t since = healthy_since(m, gate);

	return since != 0 && since + MODEL_SETTLE_NS <= when &&
	    (m->jumped == 0 || m->jumped + MODEL_SETTLE_NS <= when);
}

/* The key manager had a record all that time before. */
static bool
is_there(struct model *m, const struct model_key *k, int64_t when)
{
	const struct keymgr_key *truth = keymgr_key(&m->km, k->uid);

	if (k->partly)
		return false;
	if (k->came_back != 0 && when < k->came_back + MODEL_SETTLE_NS)
		return false;
	return truth != NULL && truth->there_since != 0 &&
	    truth->there_since + MODEL_SETTLE_NS <= when;
}

bool
judge_moving(const struct model_key *k, int64_t when, int64_t within)
{
	for (unsigned i = 0; i < GATES; i++)
		if (k->at[i].moved != 0 && when < k->at[i].moved + within)
			return true;
	return false;
}

/* --- what was served --- */

/*
 * Until when a gateway may serve what is not to be served since then: for the bound while the key
 * manager answers, counted from when it does; else as long as an outage may be ridden out.
 */
static int64_t
limit(const struct model *m, unsigned gate, int64_t since, int64_t more)
{
	const struct model_gate *mg = &m->gates[gate];
	int64_t most = since + KEYMGR_LAG_NS + max(MODEL_BOUND_NS, m->terms.ride_out_ns) + more;
	int64_t open = max(since, mg->open_since) + MODEL_BOUND_NS + more;

	return mg->open_since != 0 && open < most ? open : most;
}

/* What a gateway does with a key, and how much longer than it may that goes unnoticed. */
struct use {
	struct model *m;
	unsigned gate;
	const char *did;
	int64_t more;
};

static void
judge_since(const struct use *u, unsigned key, int64_t since, const char *what)
{
	int64_t now = keymgr_now(&u->m->km);
	int64_t more = u->more + (u->m->paused ? MODEL_BOUND_NS : 0);

	if (since != 0 && now > limit(u->m, u->gate, since, more))
		blame("gateway %c %s key %u %.1f s after %s", 'A' + u->gate, u->did, key,
		    seconds(now - since), what);
}

/* What it replaced itself must not come back to it; what both replaced at once may be as high. */
static int64_t
gone_for(const struct use *u, unsigned key)
{
	const struct model_key *k = &u->m->keys[key];
	int64_t top = k->at[u->gate].top;

	if (k->at[GATES - 1 - u->gate].moved != 0)
		return 0;
	return top != 0 ? keymgr_gone_since(&u->m->km, k->uid, top) : 0;
}

static void
judge_use(const struct use *u, unsigned key)
{
	const struct keymgr_key *truth = keymgr_key(&u->m->km, u->m->keys[key].uid);

	judge_since(u, key, u->m->root_gone_since, "the root key went");
	judge_since(u, key, u->m->gates[u->gate].denied_since, "its right was withdrawn");
	judge_since(u, key, truth->gone_since, "the last record went");
	judge_since(u, key, gone_for(u, key), "the highest record went that it knew");
}

/*
 * That the record is gone which a gateway knows wipes the key at once, and only then a successor is
 * looked for, of which the same round may tell.  So a key is not promised to stay while another gateway
 * replaces its record, nor while it is open which one counts of those that the customer brought back.
 * It is, whatever its own gateway replaces, and by the next Get after that.
 */
static bool
may_be_dropped(const struct model_key *k, unsigned gate, int64_t when)
{
	const struct model_seen *other = &k->at[GATES - 1 - gate];

	return (k->came_back != 0 && when < k->came_back + MODEL_SETTLE_NS) ||
	    (other->moved != 0 && when < other->moved + MODEL_SETTLE_NS);
}

static void
judge_served(struct model_call *c)
{
	struct model *m = c->m;
	struct model_key *k = &m->keys[c->key];
	struct model_seen *at = &k->at[c->gate];
	const struct keymgr_key *truth = keymgr_key(&m->km, k->uid);

	m->counts.served++;
	if (c->x.key_len != KEYMGR_KEY_LEN || memcmp(c->x.key, truth->bytes, KEYMGR_KEY_LEN) != 0)
		blame("gateway %c served other bytes for key %u", 'A' + c->gate, c->key);
	if (at->destroyed != 0 && at->destroyed < c->began)
		blame("gateway %c served key %u, which it destroyed", 'A' + c->gate, c->key);
	if (at->dead && m->jumped <= c->began && k->destroyed < c->began)
		blame("gateway %c served key %u, restored after it was destroyed", 'A' + c->gate,
		    c->key);
	if (m->jumped <= c->began && m->gates[c->gate].blurred <= c->began)
		judge_use(&(struct use){m, c->gate, "served", SLACK_NS}, c->key);
	if (at->known == 0)
		at->known = keymgr_now(&m->km);
	if (at->warm == 0 && at->cooled < c->began && !may_be_dropped(k, c->gate, c->began))
		at->warm = c->began;
}

/* --- what is in memory --- */

static void
judge_entry(const struct cache_info *info, void *arg)
{
	const struct use *u = arg;

	for (unsigned i = 0; i < MODEL_KEYS; i++) {
		const struct model_key *k = &u->m->keys[i];

		if (strcmp(k->uid, info->uid) != 0)
			continue;
		judge_use(u, i);
		if (k->at[u->gate].destroyed != 0)
			blame("gateway %c keeps key %u, which it destroyed", 'A' + u->gate, i);
	}
}

/* After a jump of time nothing is served unproved, but it leaves the memory by and by. */
void
judge_memory(struct model *m)
{
	int64_t calm = m->jumped == 0 ? 0
				      : m->jumped + MODEL_SETTLE_NS +
		max(MODEL_BOUND_NS, m->terms.ride_out_ns);

	for (unsigned i = 0; i < GATES; i++) {
		struct use u = {m, i, "keeps", WIPE_NS};

		if (m->gates[i].g.cache != NULL && calm <= keymgr_now(&m->km))
			cache_each(m->gates[i].g.cache, NULL, judge_entry, &u);
	}
}

/* --- what was not served --- */

void
judge_trouble(struct model *m, unsigned gate)
{
	struct model_gate *mg = &m->gates[gate];

	if (mg->closed_since == 0 && mg->denied_since == 0)
		mg->well_before = healthy_since(m, gate);
	else
		mg->well_before = 0;
}

/* Before that all was well, and the key in memory. */
static bool
was_warm(const struct model_call *c, int64_t since)
{
	const struct model *m = c->m;
	const struct model_gate *mg = &m->gates[c->gate];
	const struct model_seen *at = &m->keys[c->key].at[c->gate];

	return since != 0 && since < c->began && mg->well_before != 0 &&
	    mg->well_before + MODEL_SETTLE_NS <= since && at->warm != 0 && at->warm <= since &&
	    !m->small_cache && (m->jumped == 0 || m->jumped + MODEL_SETTLE_NS <= since);
}

/* The key manager is away, or refuses access and that may be a blip. */
static bool
must_ride(const struct model_call *c)
{
	const struct model_gate *mg = &c->m->gates[c->gate];
	int64_t now = keymgr_now(&c->m->km);
	int64_t most = max(MODEL_BOUND_NS, c->m->terms.ride_out_ns);

	if (mg->denied_since != 0)
		return c->m->root_gone_since == 0 && was_warm(c, mg->denied_since) &&
		    now < mg->denied_since + MODEL_BOUND_NS / 3;
	return was_warm(c, mg->closed_since) && now < mg->closed_since + most - CHECK_NS;
}

static void
judge_refused(struct model_call *c)
{
	struct model *m = c->m;
	struct model_key *k = &m->keys[c->key];

	m->counts.refused++;
	m->counts.not_found += c->x.reason == KMIP_RESULT_REASON_ITEM_NOT_FOUND;
	if (k->destroying || c->risky || !is_there(m, k, c->began))
		return;
	if (is_healthy(m, c->gate, c->began))
		blame("gateway %c refused key %u, reason %u, although all is well", 'A' + c->gate,
		    c->key, c->x.reason);
	else if (must_ride(c))
		blame("gateway %c refused key %u, reason %u, which it should have ridden out",
		    'A' + c->gate, c->key, c->x.reason);
	else if (c->x.reason == KMIP_RESULT_REASON_ITEM_NOT_FOUND &&
	    (m->jumped == 0 || m->jumped + MODEL_SETTLE_NS <= c->began))
		blame("gateway %c says that key %u is not there", 'A' + c->gate, c->key);
}

static void
judge_get(struct model_call *c)
{
	bool ok = c->x.status == KMIP_RESULT_STATUS_SUCCESS;

	c->m->counts.ridden += ok && must_ride(c);
	c->m->counts.must += ok && is_healthy(c->m, c->gate, c->began);
	if (ok)
		judge_served(c);
	else
		judge_refused(c);
}

/* --- states --- */

static void
judge_state(struct model_call *c)
{
	struct model *m = c->m;
	struct model_key *k = &m->keys[c->key];
	struct model_seen *at = &k->at[c->gate];
	const struct keymgr_key *truth = keymgr_key(&m->km, k->uid);
	enum object_state is = (enum object_state)c->x.state;

	if (c->x.status != KMIP_RESULT_STATUS_SUCCESS)
		return;
	if (is < c->state)
		blame("gateway %c let key %u go back from state %d to %d", 'A' + c->gate, c->key,
		    c->state, is);
	if (is < k->state && !k->destroying && is_there(m, k, c->began) &&
	    truth->there_since < k->state_at && k->came_back < k->state_at &&
	    is_healthy(m, c->gate, c->began) && k->state_at + MODEL_SETTLE_NS <= c->began)
		blame("gateway %c has not heard that key %u is in state %d", 'A' + c->gate, c->key,
		    k->state);
	if (is > at->state)
		at->state = is;
	if (at->known == 0)
		at->known = keymgr_now(&m->km);
}

static void
note_state(struct model_call *c, enum object_state is)
{
	struct model_key *k = &c->m->keys[c->key];
	struct model_seen *at = &k->at[c->gate];

	/* one of a call whose answer was lost may count as much */
	at->top = at->tried != 0 ? at->tried : c->began;
	at->tried = 0;
	if (is > at->state)
		at->state = is;
	if (is <= k->state)
		return;
	k->state = is;
	k->state_at = keymgr_now(&c->m->km);
}

static void
note_created(struct model_call *c)
{
	struct model_key *k = &c->m->keys[c->key];

	k->creating = false;
	if (c->x.status != KMIP_RESULT_STATUS_SUCCESS)
		return;
	c->m->counts.created++;
	memcpy(k->uid, c->x.uid, sizeof(k->uid));
	k->created = k->at[c->gate].known = keymgr_now(&c->m->km);
	if (k->at[c->gate].cooled < c->began)
		k->at[c->gate].warm = k->at[c->gate].known;
}

static void
note_destroyed(struct model_call *c)
{
	struct model_key *k = &c->m->keys[c->key];

	c->m->counts.destroyed++;
	k->raced |= c->moving || c->began < k->created + RACE_NS ||
	    (k->came_back != 0 && c->began < k->came_back + RACE_NS);
	k->at[c->gate].destroyed = keymgr_now(&c->m->km);
	if (k->destroyed == 0)
		k->destroyed = k->at[c->gate].destroyed;
}

void
judge_answer(struct model_call *c)
{
	bool ok = c->x.status == KMIP_RESULT_STATUS_SUCCESS;

	if (c->x.op == OP_CREATE)
		note_created(c);
	else if (c->x.op == OP_GET)
		judge_get(c);
	else if (c->x.op == OP_STATE)
		judge_state(c);
	else if (ok && c->x.op == OP_REVOKE)
		note_state(c, OBJECT_DEACTIVATED);
	else if (ok && c->x.op == OP_COMPROMISE)
		note_state(c, OBJECT_COMPROMISED);
	else if (ok && c->x.op == OP_DESTROY)
		note_destroyed(c);
}

/* Who had the time to hear of the destruction has to remember it. */
void
judge_restoring(struct model *m, struct model_key *k)
{
	int64_t now = keymgr_now(&m->km);

	if (k->destroyed == 0 || k->restored)
		return;
	k->restored = true;
	for (unsigned i = 0; i < GATES; i++) {
		int64_t well = healthy_since(m, i), known = k->at[i].known;

		k->at[i].dead = k->at[i].destroyed != 0 ||
		    (!k->in_vain && !k->raced && known != 0 && known <= k->destroyed &&
			is_healthy(m, i, now) && well <= now - MODEL_SETTLE_NS &&
			k->destroyed + MODEL_SETTLE_NS <= now);
	}
}

/* --- the end --- */

void
judge_last(struct model_call *c)
{
	const struct model_key *k = &c->m->keys[c->key];
	bool ok = c->x.status == KMIP_RESULT_STATUS_SUCCESS;

	judge_answer(c);
	if (!k->destroying && !ok)
		blame("gateway %c has lost key %u: reason %u", 'A' + c->gate, c->key, c->x.reason);
	if (k->destroyed != 0 && !k->restored && !k->raced && ok)
		blame("gateway %c still has key %u, which was destroyed", 'A' + c->gate, c->key);
}

/* Every change was settled. */
void
judge_intents(const struct model *m)
{
	for (unsigned i = 0; i < GATES; i++)
		for (size_t n = 0; n < m->gates[i].g.mem.count; n++)
			if (m->gates[i].g.mem.objects[n].intent != 0)
				blame("gateway %c has an intent left", 'A' + i);
}
