/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two patterns meet only where what they begin with (up to the first star) is the beginning of one
 * another, and what they end with the end.  In the order of these edges a beginning stands in front
 * of all that begin so: one pass with a stack meets every pair that may overlap, and few others.  Of
 * the edges of all attributes that every rule asks for, those with the fewest pairs are taken.
 *
 * Rules that no attribute tells apart alone are compared pair by pair.
 */
#include "overlap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"

struct edge {
	size_t of; /* which rule's */
	const char *text;
	size_t len;
};

/* The edges of all rules on one side of one attribute, in order. */
struct side {
	struct edge *edges;
	size_t *open; /* while passing: the edges that are beginnings of the current one */
	struct arena *texts;
	size_t count;
	uint64_t pairs; /* that a pass meets */
};

struct search {
	const struct subject_rule *const *rules;
	size_t count;
	struct authority_overlap found; /* later == SIZE_MAX: none yet */
};

static void
side_fini(struct side *s)
{
	arena_free(s->texts);
	alloc_free(s->edges);
	alloc_free(s->open);
	*s = (struct side){0};
}

static enum err
side_init(struct side *s, size_t count)
{
	*s = (struct side){
	    .edges = alloc_array(count, sizeof(*s->edges)),
	    .open = alloc_array(count, sizeof(*s->open)),
	    .texts = arena_new(count * (SUBJECT_EDGE_MAX + 64)),
	};
	if (s->edges != NULL && s->open != NULL && s->texts != NULL)
		return ERR_OK;
	side_fini(s);
	return ERR_NO_MEMORY;
}

/* --- one pass --- */

static int
by_text(const void *pa, const void *pb)
{
	const struct edge *a = pa, *b = pb;
	int c = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);

	if (c != 0)
		return c;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return a->of < b->of ? -1 : a->of > b->of;
}

static bool
begins(const struct edge *e, const struct edge *with)
{
	return with->len <= e->len && memcmp(e->text, with->text, with->len) == 0;
}

static void
compare(struct search *s, size_t a, size_t b)
{
	const struct authority_overlap pair = {a > b ? a : b, a > b ? b : a};

	if (pair.later > s->found.later ||
	    (pair.later == s->found.later && pair.earlier >= s->found.earlier))
		return;
	if (subject_rules_overlap(s->rules[a], s->rules[b]))
		s->found = pair;
}

/* Counts the pairs; s: compares them, too. */
static uint64_t
pass(const struct side *side, struct search *s)
{
	const struct edge *e = side->edges;
	size_t depth = 0;
	uint64_t pairs = 0;

	for (size_t i = 0; i < side->count; i++) {
		while (depth > 0 && !begins(&e[i], &e[side->open[depth - 1]]))
			depth--;
		for (size_t k = 0; s != NULL && k < depth; k++)
			compare(s, e[i].of, e[side->open[k]].of);
		pairs += depth;
		side->open[depth++] = i;
	}
	return pairs;
}

static void
side_sort(struct side *side)
{
	qsort(side->edges, side->count, sizeof(*side->edges), by_text);
	side->pairs = pass(side, NULL);
}

/* --- the sides --- */

/* Whole names: those that are equal. */
static enum err
search_whole(struct search *s)
{
	struct side side;
	const char *whole;
	enum err e = side_init(&side, s->count);

	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < s->count; i++) {
		whole = subject_rule_whole(s->rules[i]);
		if (whole != NULL)
			side.edges[side.count++] = (struct edge){i, whole, strlen(whole) + 1};
	}
	side_sort(&side);
	(void)pass(&side, s);
	side_fini(&side);
	return ERR_OK;
}

/* nid: NID_undef puts all edges at the same place, so that all pairs are met. */
static enum err
side_new(struct side *side, const struct search *s, int nid, bool at_end)
{
	char text[SUBJECT_EDGE_MAX];
	size_t len;
	enum err e = side_init(side, s->count);

	for (size_t i = 0; e == ERR_OK && i < s->count; i++) {
		struct edge *edge = &side->edges[side->count];

		if (!subject_rule_edge(s->rules[i], nid, at_end, text, &len))
			continue;
		*edge = (struct edge){i, arena_copy(side->texts, text, len), len};
		side->count++;
		if (edge->text == NULL)
			e = ERR_NO_MEMORY;
	}
	if (e == ERR_OK)
		side_sort(side);
	else
		side_fini(side);
	return e;
}

static bool
all_ask_for(const struct search *s, int nid)
{
	for (size_t i = 0; i < s->count; i++)
		if (!subject_rule_asks_for(s->rules[i], nid))
			return false;
	return true;
}

/* Both sides of an attribute; *best is replaced when one of them is better. */
static enum err
try_attribute(const struct search *s, int nid, struct side *best)
{
	struct side side;
	enum err e = ERR_OK;

	for (int at_end = 0; e == ERR_OK && at_end < 2; at_end++) {
		e = side_new(&side, s, nid, at_end != 0);
		if (e == ERR_OK && (best->edges == NULL || side.pairs < best->pairs)) {
			side_fini(best);
			*best = side;
		} else if (e == ERR_OK) {
			side_fini(&side);
		}
	}
	return e;
}

/* Patterns, with one another and with whole names. */
static enum err
search_patterns(struct search *s)
{
	const struct subject_rule *first = NULL;
	struct side best = {0};
	enum err e = ERR_OK;
	int nid;

	for (size_t i = 0; first == NULL && i < s->count; i++)
		if (subject_rule_whole(s->rules[i]) == NULL)
			first = s->rules[i];
	if (first == NULL)
		return ERR_OK;
	for (size_t n = 0; e == ERR_OK && (nid = subject_rule_nid(first, n)) != NID_undef; n++)
		if (all_ask_for(s, nid))
			e = try_attribute(s, nid, &best);
	if (e == ERR_OK && best.edges == NULL)
		e = side_new(&best, s, NID_undef, false);
	if (e == ERR_OK)
		(void)pass(&best, s);
	side_fini(&best);
	return e;
}

enum err
overlap_find(const struct subject_rule *const *rules, size_t count, struct authority_overlap *out)
{
	struct search s = {.rules = rules, .count = count, .found = {SIZE_MAX, SIZE_MAX}};
	enum err e = count > 1 ? search_whole(&s) : ERR_OK;

	if (e == ERR_OK && count > 1)
		e = search_patterns(&s);
	if (e != ERR_OK || s.found.later == SIZE_MAX)
		return e;
	*out = s.found;
	return ERR_CONFIG;
}
