/* SPDX-License-Identifier: Apache-2.0 */
/* Two gateways, a key manager and time; requests under way. */
#include "modelworld.h"

#include <string.h>

#include "base/metric.h"
#include "modelrandom.h"

enum { CALLS = 12, WALL = 1760000000, TURNS = 60, QUIET_TURNS = 3 };

struct model model;
static struct model_call calls[CALLS];

/* --- chance --- */

/* Half of a call's time.  Slow ones count as a disturbance. */
static int64_t
call_delay(void *arg)
{
	struct model_gate *mg = arg;
	uint64_t chance = model_random_below(100);
	int64_t delay = chance < 40 ? 0
	    : chance < 90	    ? model_random_between(0, 20 * NS_PER_MS)
	    : chance < 99	    ? model_random_between(0, 300 * NS_PER_MS)
				    : model_random_between(NS_PER_S, 3 * NS_PER_S);

	if (delay >= NS_PER_S && mg->open_since != 0)
		mg->open_since = keymgr_now(&model.km) + delay;
	return delay;
}

static int64_t
ledger_delay(void *arg)
{
	(void)arg;
	return model_random_below(4) ? 0 : model_random_between(0, 5 * NS_PER_MS);
}

static int64_t
list_lag(void *arg)
{
	(void)arg;
	return model_random_below(2) ? 0 : model_random_between(0, KEYMGR_LAG_NS);
}

/* --- time --- */

bool
world_waits(void)
{
	for (size_t i = 0; i < CALLS; i++)
		if (calls[i].used)
			return true;
	return false;
}

static bool
is_busy(void)
{
	return world_waits() || metric_get(METRIC_REQUESTS) > 0;
}

void
world_turns(void)
{
	unsigned quiet = 0;

	for (unsigned i = 0; i < TURNS && quiet < QUIET_TURNS; i++) {
		loop_turn(model.loop, false);
		quiet = is_busy() ? 0 : quiet + 1;
	}
}

static int64_t
step_now(int64_t passed)
{
	if (is_busy())
		return passed < NS_PER_S ? 20 * NS_PER_MS : 250 * NS_PER_MS;
	for (unsigned i = 0; i < GATES; i++)
		if (!list_empty(&model.gates[i].g.vault.ops))
			return 500 * NS_PER_MS;
	return 2 * NS_PER_S;
}

void
world_pass(int64_t ns)
{
	int64_t passed = 0;

	world_turns();
	while (passed < ns) {
		int64_t step = step_now(passed);

		if (step > ns - passed)
			step = ns - passed;
		clock_test_advance(step);
		passed += step;
		world_turns();
	}
	judge_memory(&model);
}

/* --- what may be in memory --- */

/* Something may drop the key from memory, up to then: what was deleted is heard late, too. */
void
world_cool_key(struct model_key *k, unsigned gate, int64_t until)
{
	k->at[gate].warm = 0;
	if (until > k->at[gate].cooled)
		k->at[gate].cooled = until;
}

void
world_cool(unsigned gate, int64_t until)
{
	for (unsigned i = 0; i < MODEL_KEYS; i++)
		world_cool_key(&model.keys[i], gate, until);
}

/* Its record may be replaced, up to then. */
void
world_move_key(struct model_key *k, unsigned gate, int64_t when)
{
	k->at[gate].moved = when;
	k->raced |= k->destroying && k->at[gate].destroyed == 0;
	for (unsigned i = 0; i < GATES; i++)
		if (i != gate)
			world_cool_key(k, i, when);
}

/* --- requests --- */

static void
answered(struct exchange *x)
{
	struct model_call *c = CONTAINER_OF(x, struct model_call, x);

	if (model.ending && c->x.op == OP_GET)
		judge_last(c);
	else
		judge_answer(c);
	c->used = false;
}

void
world_risk(unsigned gate)
{
	for (size_t i = 0; i < CALLS; i++)
		calls[i].risky |= calls[i].gate == gate;
}

/* What is under way may be shared. */
static bool
is_risky(unsigned gate)
{
	for (size_t i = 0; i < CALLS; i++)
		if (calls[i].used && calls[i].risky && calls[i].gate == gate)
			return true;
	return false;
}

void
world_ask(unsigned gate, unsigned key, enum model_op op)
{
	struct model_key *k = &model.keys[key];
	size_t i = 0;

	while (i < CALLS && calls[i].used)
		i++;
	if (i == CALLS || k->creating || (k->uid[0] == '\0') != (op == OP_CREATE))
		return;
	calls[i] = (struct model_call){.x = {.op = op, .answered = answered},
	    .m = &model,
	    .used = true,
	    .risky = model.gates[gate].g.mem.loses != MEM_LOSES_NOTHING || is_risky(gate),
	    .gate = gate,
	    .key = key,
	    .began = keymgr_now(&model.km),
	    .moving = judge_moving(k, keymgr_now(&model.km), RACE_NS),
	    .state = k->at[gate].state};
	calls[i].x.number = (unsigned)model_random_below(5);
	memcpy(calls[i].x.uid, k->uid, sizeof(k->uid));
	k->creating = op == OP_CREATE;
	k->in_vain |= op == OP_DESTROY && (k->partly || keymgr_key(&model.km, k->uid)->gone_since != 0);
	if (op == OP_REVOKE || op == OP_COMPROMISE) {
		world_move_key(k, gate, keymgr_now(&model.km));
		if (k->at[gate].tried == 0)
			k->at[gate].tried = calls[i].began;
	}
	for (unsigned n = 0; op == OP_DESTROY && n < GATES; n++)
		world_cool_key(k, n, calls[i].began);
	k->destroying |= op == OP_DESTROY;
	gateway_ask(&model.gates[gate].g, &calls[i].x);
}

void
world_leave(unsigned gate)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct model_call *c = &calls[i];

		if (!c->used || c->gate != gate)
			continue;
		rq_abandon(c->x.rq);
		if (c->x.op == OP_CREATE)
			model.keys[c->key].creating = false;
		c->used = false;
	}
}

/* --- life --- */

void
world_begin(const struct cache_terms *terms, size_t cache_max, uint64_t seed)
{
	clock_test_freeze(WALL);
	model_random_seed(seed);
	memset(&model, 0, sizeof(model));
	memset(calls, 0, sizeof(calls));
	model_blame[0] = '\0';
	model.terms = *terms;
	model.small_cache = cache_max < MODEL_KEYS * KEYMGR_KEY_LEN;
	model.loop = loop_new();
	keymgr_init(&model.km);
	model.km.lag = list_lag;
	for (unsigned i = 0; i < GATES; i++) {
		struct model_gate *mg = &model.gates[i];

		gateway_init(&mg->g, model.loop, &model.km, &model.terms, cache_max);
		mg->g.mem.delay = ledger_delay;
		mg->g.vault.delay = call_delay;
		mg->g.vault.arg = mg;
		mg->open_since = mg->granted_since = keymgr_now(&model.km);
	}
}

void
world_end(void)
{
	for (unsigned i = 0; i < GATES; i++)
		world_leave(i);
	world_turns();
	for (int i = 0; i < 100 && metric_get(METRIC_REQUESTS) > 0; i++)
		world_pass(NS_PER_S / 2);
	for (unsigned i = 0; i < GATES; i++)
		gateway_fini(&model.gates[i].g);
	world_pass(NS_PER_S);
	loop_free(model.loop);
	keymgr_fini(&model.km);
	if (metric_get(METRIC_REQUESTS) != 0 || metric_get(METRIC_CACHE_KEYS) != 0 ||
	    metric_get(METRIC_CACHE_BYTES) != 0)
		blame("requests or keys are left behind");
}

