/* SPDX-License-Identifier: Apache-2.0 */
/* What can happen, and what the model has to know of it. */
#include "modelacts.h"

#include "modelrandom.h"

static void
kill_gateway(unsigned gate)
{
	struct gateway *g = &model.gates[gate].g;

	gateway_kill(g);
	world_leave(gate);
	for (int i = 0; i < 200 && g->tenant->refs > 1; i++) {
		loop_turn(model.loop, false);
		if (i % 10 == 9)
			clock_test_advance(100 * NS_PER_MS);
	}
	gateway_start_again(g);
	/* what was deleted lately is looked at anew */
	world_cool(gate, keymgr_now(&model.km) + MODEL_SETTLE_NS);
}

static void
lose(unsigned gate, enum mem_loss loss)
{
	model.gates[gate].g.mem.loses = loss;
	world_risk(gate);
}

static void
set_root(enum keymgr_root to)
{
	int64_t now = keymgr_now(&model.km);

	if (to == ROOT_ACTIVE && model.root_gone_since != 0) {
		model.root_gone_since = 0;
		model.root_back_since = now;
	} else if (to != ROOT_ACTIVE && model.root_gone_since == 0) {
		model.root_gone_since = now;
	}
	model.km.root = to;
	for (unsigned i = 0; i < GATES; i++)
		world_cool(i, now + MODEL_SETTLE_NS);
}

static void
set_role(unsigned gate, enum fakevault_role to)
{
	struct model_gate *mg = &model.gates[gate];
	int64_t now = keymgr_now(&model.km);

	if (to == ROLE_NONE && mg->denied_since == 0) {
		judge_trouble(&model, gate);
		mg->denied_since = now;
	} else if (to != ROLE_NONE && mg->denied_since != 0) {
		mg->denied_since = 0;
		mg->granted_since = now;
		world_cool(gate, now + MODEL_SETTLE_NS);
	}
	mg->g.vault.role = to;
}

static void
set_way(unsigned gate, enum fakevault_way to)
{
	struct model_gate *mg = &model.gates[gate];
	int64_t now = keymgr_now(&model.km);

	if (to == WAY_OPEN && mg->closed_since != 0) {
		mg->open_since = now;
		mg->closed_since = 0;
		world_cool(gate, now + MODEL_SETTLE_NS);
	} else if (to != WAY_OPEN && mg->closed_since == 0) {
		judge_trouble(&model, gate);
		mg->open_since = 0;
		mg->closed_since = now;
	}
	mg->g.vault.way = to;
}

/* Old keys may leave the memory. */
static void
jumped(void)
{
	model.jumped = keymgr_now(&model.km);
	for (unsigned i = 0; i < GATES; i++) {
		world_cool(i, model.jumped + MODEL_SETTLE_NS);
		if (!list_empty(&model.gates[i].g.vault.ops))
			model.gates[i].blurred = model.jumped + RACE_NS;
	}
	world_turns();
}

/* The key manager's time goes on. */
static void
suspend(int64_t ns)
{
	clock_test_jump(ns, ns);
	model.km.ahead += ns;
	jumped();
}

static void
jump(int64_t ns)
{
	if (model.set_clocks) {
		clock_test_jump(model_random_below(2) ? ns : -ns, 0);
	} else {
		clock_test_jump(ns, 0);
		model.km.ahead += ns;
		model.paused = true;
	}
	jumped();
}

static void
customer_deletes(unsigned key, bool last_alone)
{
	struct model_key *k = &model.keys[key];

	if (k->uid[0] == '\0')
		return;
	for (unsigned i = 0; i < GATES; i++)
		world_cool_key(k, i, keymgr_now(&model.km));
	k->withdrawn = true;
	k->partly = last_alone;
	k->in_vain |= k->destroying && k->destroyed == 0;
	keymgr_customer_deletes(&model.km, k->uid, last_alone);
}

static void
customer_restores(unsigned key)
{
	struct model_key *k = &model.keys[key];

	if (k->uid[0] == '\0')
		return;
	for (unsigned i = 0; i < GATES; i++)
		world_cool_key(k, i, keymgr_now(&model.km));
	k->withdrawn = k->partly = false;
	judge_restoring(&model, k);
	k->came_back = keymgr_now(&model.km);
	keymgr_customer_restores(&model.km, k->uid);
}

static void
rewrap(unsigned gate)
{
	for (unsigned i = 0; i < MODEL_KEYS; i++)
		world_move_key(&model.keys[i], gate, keymgr_now(&model.km) + 30 * NS_PER_S);
	gateway_rewrap(&model.gates[gate].g);
}

void
act_play(const struct act *a)
{
	struct model_gate *mg = &model.gates[a->gate];

	model_random_seed(a->chance);
	switch (a->kind) {
	case ACT_PASS: break;
	case ACT_CREATE: world_ask(a->gate, a->key, OP_CREATE); break;
	case ACT_GET: world_ask(a->gate, a->key, OP_GET); break;
	case ACT_STATE: world_ask(a->gate, a->key, OP_STATE); break;
	case ACT_ACTIVATE: world_ask(a->gate, a->key, OP_ACTIVATE); break;
	case ACT_REVOKE: world_ask(a->gate, a->key, OP_REVOKE); break;
	case ACT_COMPROMISE: world_ask(a->gate, a->key, OP_COMPROMISE); break;
	case ACT_DESTROY: world_ask(a->gate, a->key, OP_DESTROY); break;
	case ACT_ADD: world_ask(a->gate, a->key, OP_ADD); break;
	case ACT_LEAVE: world_leave(a->gate); break;
	case ACT_DELETE: customer_deletes(a->key, false); break;
	case ACT_DELETE_LAST: customer_deletes(a->key, true); break;
	case ACT_RESTORE: customer_restores(a->key); break;
	case ACT_ROOT_DISABLE: set_root(ROOT_DISABLED); break;
	case ACT_ROOT_DELETE: set_root(ROOT_DELETED); break;
	case ACT_ROOT_BACK: set_root(ROOT_ACTIVE); break;
	case ACT_ROOT_ROTATE: model.km.root_version++; break;
	case ACT_REWRAP: rewrap(a->gate); break;
	case ACT_ROLE_NONE: set_role(a->gate, ROLE_NONE); break;
	case ACT_ROLE_WRITER: set_role(a->gate, ROLE_WRITER); break;
	case ACT_ROLE_MANAGER: set_role(a->gate, ROLE_MANAGER); break;
	case ACT_WAY_REFUSED: set_way(a->gate, WAY_REFUSED); break;
	case ACT_WAY_HANGS: set_way(a->gate, WAY_HANGS); break;
	case ACT_WAY_OPEN: set_way(a->gate, WAY_OPEN); break;
	case ACT_LOSE_CALL: mg->g.vault.loses = LOSES_CALL; break;
	case ACT_LOSE_ANSWER: mg->g.vault.loses = LOSES_ANSWER; break;
	case ACT_LEDGER_CALL: lose(a->gate, MEM_LOSES_CALL); break;
	case ACT_LEDGER_ANSWER: lose(a->gate, MEM_LOSES_ANSWER); break;
	case ACT_KILL: kill_gateway(a->gate); break;
	case ACT_FLUSH:
		cache_flush(mg->g.cache, NULL);
		world_cool(a->gate, keymgr_now(&model.km));
		break;
	case ACT_SUSPEND: suspend(a->ns); return;
	case ACT_JUMP: jump(a->ns); return;
	case ACT_KINDS: break;
	}
	world_pass(a->ns);
}

void
act_heal(void)
{
	set_root(ROOT_ACTIVE);
	for (unsigned i = 0; i < GATES; i++) {
		set_way(i, WAY_OPEN);
		set_role(i, ROLE_MANAGER);
		model.gates[i].g.vault.loses = LOSES_NOTHING;
		model.gates[i].g.mem.loses = MEM_LOSES_NOTHING;
	}
	for (unsigned i = 0; i < MODEL_KEYS; i++)
		if (model.keys[i].withdrawn && !model.keys[i].destroying)
			customer_restores(i);
	world_pass(3 * MODEL_BOUND_NS);
}
