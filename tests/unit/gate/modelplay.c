/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of acts: made from a seed, played, printed. */
#include "modelplay.h"

#include <stdio.h>

#include "modelrandom.h"

static const struct {
	const char *text;
	unsigned weight;
} kinds[] = {
#define ACT(name, weight, text) {text, weight},
#include "modelacts.def"
#undef ACT
};

static enum act_kind
any_kind(void)
{
	unsigned sum = 0, i = 0, at;

	for (unsigned k = 0; k < ACT_KINDS; k++)
		sum += kinds[k].weight;
	at = (unsigned)model_random_below(sum);
	for (; at >= kinds[i].weight; i++)
		at -= kinds[i].weight;
	return (enum act_kind)i;
}

static int64_t
any_time(enum act_kind kind)
{
	static const int64_t most[] = {
	    5 * NS_PER_S, 15 * NS_PER_S, 30 * NS_PER_S, 100 * NS_PER_S, 700 * NS_PER_S};
	size_t i = (size_t)model_random_below(sizeof(most) / sizeof(*most));

	if (kind == ACT_SUSPEND || kind == ACT_JUMP)
		return model_random_between(1, 300) * NS_PER_S;
	if (kind == ACT_PASS)
		return model_random_between(1, most[i] / NS_PER_MS) * NS_PER_MS;
	return model_random_below(3) ? model_random_between(0, 200) * NS_PER_MS : 0;
}

/* What seldom comes together by chance.  ACT_KINDS ends a scene. */
static const enum act_kind scenes[][9] = {
    {ACT_GET, ACT_PASS, ACT_WAY_REFUSED, ACT_GET, ACT_PASS, ACT_GET, ACT_PASS, ACT_GET,
	ACT_KINDS},
    {ACT_GET, ACT_PASS, ACT_WAY_HANGS, ACT_PASS, ACT_GET, ACT_WAY_OPEN, ACT_PASS, ACT_GET,
	ACT_KINDS},
    {ACT_REVOKE, ACT_PASS, ACT_DESTROY, ACT_PASS, ACT_RESTORE, ACT_GET, ACT_KINDS},
    {ACT_GET, ACT_DELETE, ACT_PASS, ACT_GET, ACT_RESTORE, ACT_PASS, ACT_GET, ACT_KINDS},
    {ACT_GET, ACT_ROOT_DELETE, ACT_PASS, ACT_GET, ACT_PASS, ACT_GET, ACT_ROOT_BACK, ACT_KINDS},
    {ACT_GET, ACT_PASS, ACT_ROLE_NONE, ACT_PASS, ACT_GET, ACT_PASS, ACT_GET, ACT_ROLE_MANAGER,
	ACT_KINDS},
    {ACT_GET, ACT_ROOT_DELETE, ACT_SUSPEND, ACT_GET, ACT_ROOT_BACK, ACT_KINDS},
    {ACT_GET, ACT_PASS, ACT_ROLE_NONE, ACT_JUMP, ACT_GET, ACT_ROLE_MANAGER, ACT_KINDS},
    {ACT_GET, ACT_PASS, ACT_DELETE, ACT_SUSPEND, ACT_GET, ACT_PASS, ACT_RESTORE, ACT_KINDS},
    {ACT_REVOKE, ACT_PASS, ACT_DELETE_LAST, ACT_PASS, ACT_GET, ACT_RESTORE, ACT_PASS, ACT_GET,
	ACT_KINDS},
    {ACT_ROLE_WRITER, ACT_REVOKE, ACT_PASS, ACT_DELETE_LAST, ACT_PASS, ACT_GET, ACT_STATE,
	ACT_GET, ACT_KINDS},
    {ACT_REVOKE, ACT_DELETE, ACT_PASS, ACT_RESTORE, ACT_PASS, ACT_STATE, ACT_GET, ACT_KINDS},
    {ACT_ROOT_ROTATE, ACT_REWRAP, ACT_PASS, ACT_DELETE, ACT_PASS, ACT_RESTORE, ACT_PASS,
	ACT_GET, ACT_KINDS},
};

static void
add_act(struct sequence *s, enum act_kind kind, unsigned gate, unsigned key)
{
	if (s->count < ACTS_MAX)
		s->acts[s->count++] = (struct act){kind, gate, key, any_time(kind), model_random()};
}

/* Less than a third of the bound, some of it, or until nothing of before is felt. */
static int64_t
scene_time(void)
{
	switch (model_random_below(3)) {
	case 0:
		return model_random_between(3 * NS_PER_S, 19 * NS_PER_S);
	case 1:
		return model_random_between(20 * NS_PER_S, 80 * NS_PER_S);
	default:
		return model_random_between(90 * NS_PER_S, 130 * NS_PER_S);
	}
}

/* Of one gateway and one key, but for some things that the other one does. */
static void
add_scene(struct sequence *s)
{
	const enum act_kind *k = scenes[model_random_below(sizeof(scenes) / sizeof(*scenes))];
	unsigned gate = (unsigned)model_random_below(GATES), key = (unsigned)model_random_below(2);

	for (; *k != ACT_KINDS; k++) {
		add_act(s, *k, model_random_below(5) ? gate : GATES - 1 - gate, key);
		if (*k == ACT_PASS)
			s->acts[s->count - 1].ns = scene_time();
	}
}

void
sequence_make(struct sequence *s, uint64_t seed)
{
	static const int64_t rides[] = {0, 120 * NS_PER_S, 600 * NS_PER_S};
	size_t most;

	model_random_seed(seed);
	*s = (struct sequence){.ride_out_ns = rides[model_random_below(3)],
	    .cache_max = model_random_below(8) ? 4096 : 2 * KEYMGR_KEY_LEN,
	    .pauses = model_random_below(2)};
	most = 8 + model_random_below(ACTS_MAX - 8);
	while (s->count < most) {
		unsigned gate = (unsigned)model_random_below(GATES);
		unsigned keys = model_random_below(3) ? 2 : MODEL_KEYS;
		unsigned key = (unsigned)model_random_below(keys);

		if (s->count < 2)
			add_act(s, ACT_CREATE, gate, (unsigned)s->count);
		else if (model_random_below(8) == 0)
			add_scene(s);
		else
			add_act(s, any_kind(), gate, key);
	}
}

static void
judge_all(void)
{
	model.ending = true;
	for (unsigned i = 0; i < GATES * MODEL_KEYS; i++) {
		unsigned gate = i % GATES, key = i / GATES;

		if (model.keys[key].uid[0] == '\0')
			continue;
		world_ask(gate, key, OP_STATE);
		world_ask(gate, key, OP_GET);
		world_pass(20 * NS_PER_S);
		if (world_waits())
			blame("a request is not answered");
	}
	judge_intents(&model);
}

bool
sequence_play(const struct sequence *s)
{
	world_begin(&(struct cache_terms){MODEL_BOUND_NS, s->ride_out_ns}, s->cache_max,
	    s->acts[0].chance);
	model.set_clocks = !s->pauses;
	for (size_t i = 0; i < s->count && model_blame[0] == '\0'; i++)
		act_play(&s->acts[i]);
	if (model_blame[0] == '\0')
		act_heal();
	if (model_blame[0] == '\0')
		judge_all();
	world_end();
	return model_blame[0] == '\0';
}

void
sequence_print(const struct sequence *s)
{
	printf("  ride-out-max %d s, cache of %zu bytes, %s\n", (int)(s->ride_out_ns / NS_PER_S),
	    s->cache_max, s->pauses ? "pauses" : "clocks are set");
	for (size_t i = 0; i < s->count; i++) {
		const struct act *a = &s->acts[i];

		printf("  gateway %c, key %u, %9.3f s: %s\n", 'A' + a->gate, a->key,
		    (double)a->ns / NS_PER_S, kinds[a->kind].text);
	}
}
