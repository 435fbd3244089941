/* SPDX-License-Identifier: Apache-2.0 */
/* GET and HEAD /keys: filters, search, order, pages. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

#include "handlers.h"
#include "keys_json.h"
#include "route.h"
#include "sim.h"
#include "validate.h"

enum { LIMIT_DEFAULT = 200, LIMIT_MOST = 5000, SORTS_MAX = 9, TERMS_MAX = 24, TERMS_PER_FIELD = 3 };

enum comparison { NONE_SET, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

/* A date of struct key, by the name that sort and filter know it by. */
static const struct date_field {
	const char *name;
	size_t offset;
} date_fields[] = {
    {"creationDate", offsetof(struct key, created)},
    {"deletionDate", offsetof(struct key, deleted)},
    {"expirationDate", offsetof(struct key, expires)},
    {"lastRotateDate", offsetof(struct key, rotated)},
    {"lastUpdateDate", offsetof(struct key, updated)},
};

enum { DATE_FIELDS = sizeof(date_fields) / sizeof(date_fields[0]) };

enum sort_by { SORT_ID, SORT_STATE, SORT_EXTRACTABLE, SORT_IMPORTED, SORT_DATE };

struct sort_key {
	enum sort_by by;
	size_t offset; /* of a date */
	bool descending;
};

struct term {
	size_t field; /* in date_fields */
	enum comparison op;
	int64_t when;
};

struct list_query {
	int64_t limit, offset;
	bool states_given, kind_given, extractable;
	unsigned states; /* bit n: state n */
	struct term terms[TERMS_MAX];
	size_t term_count;
	struct sort_key sort[SORTS_MAX];
	size_t sort_count;
	char *search; /* NULL when nothing is searched for */
	bool search_not, search_exact, search_name, search_alias;
};

struct key_set {
	struct key **keys;
	size_t count;
};

static int64_t
date_at(const struct key *k, size_t offset)
{
	int64_t when;

	memcpy(&when, (const char *)k + offset, sizeof(when));
	return when;
}

/* --- reading the query --- */

static bool
read_states(const char *text, struct list_query *q)
{
	if (q->states_given)
		return false;
	q->states_given = true;
	for (const char *p = text;; p += 2) {
		if (*p == '\0' || strchr("01235", *p) == NULL)
			return false;
		q->states |= 1U << (unsigned)(*p - '0');
		if (p[1] == '\0')
			return true;
		if (p[1] != ',')
			return false;
	}
}

static bool
read_kind(const char *text, struct list_query *q)
{
	if (q->kind_given)
		return false;
	q->kind_given = true;
	return validate_bool(text, &q->extractable);
}

/* `gte:"2026-01-02T03:04:05Z"` or `none`. */
static bool
read_term(const char *value, size_t field, struct list_query *q)
{
	static const struct {
		const char *prefix;
		enum comparison op;
	} ops[] = {{"lt:", LESS}, {"lte:", LESS_EQUAL}, {"gt:", GREATER}, {"gte:", GREATER_EQUAL}};
	struct term t = {.field = field, .op = NONE_SET};
	char date[40];
	size_t same = 0, len;

	for (size_t i = 0; i < q->term_count; i++)
		same += q->terms[i].field == field;
	if (same == TERMS_PER_FIELD || q->term_count == TERMS_MAX)
		return false;
	if (strcmp(value, "none") != 0) {
		for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
			if (strncmp(value, ops[i].prefix, strlen(ops[i].prefix)) == 0)
				t.op = ops[i].op;
		value = t.op != NONE_SET ? strchr(value, ':') + 1 : "";
		len = strlen(value);
		if (len < 3 || len > sizeof(date) || value[0] != '"' || value[len - 1] != '"')
			return false;
		snprintf(date, sizeof(date), "%.*s", (int)(len - 2), value + 1);
		if (!validate_date(date, &t.when))
			return false;
	}
	q->terms[q->term_count++] = t;
	return true;
}

static bool
read_filter(struct exchange *x, const char *text, struct list_query *q)
{
	char *copy = arena_text(x->arena, text, strlen(text)), *rest = copy, *word;

	if (copy == NULL || *copy == '\0')
		return false;
	while ((word = strsep(&rest, " ")) != NULL) {
		char *value = strchr(word, '=');
		size_t i = 0;

		if (value == NULL)
			return false;
		*value++ = '\0';
		while (i < DATE_FIELDS && strcmp(date_fields[i].name, word) != 0)
			i++;
		if (i < DATE_FIELDS ? !read_term(value, i, q)
		    : strcmp(word, "state") == 0
			? !read_states(value, q)
			: strcmp(word, "extractable") != 0 || !read_kind(value, q))
			return false;
	}
	return true;
}

static bool
read_sort_key(const char *name, struct sort_key *s)
{
	static const struct {
		const char *name;
		enum sort_by by;
	} plain[] = {{"id", SORT_ID}, {"state", SORT_STATE}, {"extractable", SORT_EXTRACTABLE},
	    {"imported", SORT_IMPORTED}};

	*s = (struct sort_key){.descending = *name == '-'};
	name += s->descending;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (strcmp(plain[i].name, name) == 0) {
			s->by = plain[i].by;
			return true;
		}
	}
	for (size_t i = 0; i < DATE_FIELDS; i++) {
		if (strcmp(date_fields[i].name, name) == 0) {
			s->by = SORT_DATE;
			s->offset = date_fields[i].offset;
			return true;
		}
	}
	return false;
}

static bool
read_sort(struct exchange *x, const char *text, struct list_query *q)
{
	char *copy = arena_text(x->arena, text, strlen(text)), *rest = copy, *word;

	if (copy == NULL)
		return false;
	while ((word = strsep(&rest, ",")) != NULL)
		if (q->sort_count == SORTS_MAX || !read_sort_key(word, &q->sort[q->sort_count++]))
			return false;
	return true;
}

static bool
skip_prefix(const char **text, const char *prefix)
{
	size_t len = strlen(prefix);

	if (strncmp(*text, prefix, len) != 0)
		return false;
	*text += len;
	return true;
}

static bool
read_search(struct exchange *x, const char *text, struct list_query *q)
{
	for (bool more = true; more;) {
		more = false;
		if (skip_prefix(&text, "escape:"))
			break; /* what follows is text, whatever it looks like */
		if (skip_prefix(&text, "not:"))
			more = q->search_not = true;
		else if (skip_prefix(&text, "exact:"))
			more = q->search_exact = true;
		else if (skip_prefix(&text, "name:"))
			more = q->search_name = true;
		else if (skip_prefix(&text, "alias:"))
			more = q->search_alias = true;
	}
	if (!q->search_name && !q->search_alias)
		q->search_name = q->search_alias = true;
	q->search = arena_text(x->arena, text, strlen(text));
	return q->search != NULL && q->search[0] != '\0';
}

static enum fail
read_query(struct exchange *x, const char *allowed, struct list_query *q)
{
	const char *s;

	*q = (struct list_query){.limit = LIMIT_DEFAULT};
	if (!exchange_query_only(x, allowed))
		return FAIL_INVALID_QUERY;
	if ((s = exchange_query(x, "limit")) != NULL &&
	    !validate_number(s, 1, LIMIT_MOST, &q->limit))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "limit");
	if ((s = exchange_query(x, "offset")) != NULL &&
	    !validate_number(s, 0, INT32_MAX, &q->offset))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "offset");
	if ((s = exchange_query(x, "state")) != NULL && !read_states(s, q))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "state");
	if ((s = exchange_query(x, "extractable")) != NULL && !read_kind(s, q))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "extractable");
	if ((s = exchange_query(x, "filter")) != NULL && !read_filter(x, s, q))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "filter");
	if ((s = exchange_query(x, "sort")) != NULL && !read_sort(x, s, q))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "sort");
	if ((s = exchange_query(x, "search")) != NULL && !read_search(x, s, q))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "search");
	if (!q->states_given)
		q->states = 1U << 0 | 1U << 1 | 1U << 2 | 1U << 3;
	return FAIL_NONE;
}

/* --- choosing --- */

static bool
term_holds(const struct term *t, const struct key *k)
{
	int64_t when = date_at(k, date_fields[t->field].offset);

	if (t->op == NONE_SET)
		return when == 0;
	if (when == 0)
		return false;
	switch (t->op) {
	case LESS:
		return when < t->when;
	case LESS_EQUAL:
		return when <= t->when;
	case GREATER:
		return when > t->when;
	case GREATER_EQUAL:
		return when >= t->when;
	case NONE_SET:
		break;
	}
	return false;
}

/* All but the search: what the caller may see of what was asked for. */
static bool
is_wanted(const struct exchange *x, const struct list_query *q, const struct key *k)
{
	if ((q->states >> (unsigned)k->state & 1) == 0 ||
	    (q->kind_given && q->extractable != k->extractable))
		return false;
	if (x->ring != NULL && !key_in_ring(&x->sim->store, k, x->ring))
		return false;
	/* A grant on a single key does not list it. */
	if (!access_allows(x->who, x->inst, k->ring, NULL, x->route->right))
		return false;
	for (size_t i = 0; i < q->term_count; i++)
		if (!term_holds(&q->terms[i], k))
			return false;
	return clock_now() - k->born >= k->inst->set.list_lag_ms * NS_PER_MS;
}

static enum fail
collect(struct exchange *x, const struct list_query *q, struct key_set *set)
{
	set->keys = alloc_array(x->inst->key_count, sizeof(struct key *));
	set->count = 0;
	if (set->keys == NULL)
		return FAIL_INTERNAL;
	LIST_FOREACH_SAFE(l, next, &x->inst->keys)
	{
		struct key *k = key_refresh(&x->sim->store, CONTAINER_OF(l, struct key, link));

		if (k != NULL && is_wanted(x, q, k))
			set->keys[set->count++] = k;
	}
	return FAIL_NONE;
}

static bool
text_found(const struct list_query *q, const char *text)
{
	return q->search_exact ? strcasecmp(text, q->search) == 0
			       : strcasestr(text, q->search) != NULL;
}

static bool
search_found(const struct list_query *q, const struct key *k)
{
	bool found = q->search_name && text_found(q, k->name);

	LIST_FOREACH(l, &k->aliases)
	found =
	    found || (q->search_alias && text_found(q, CONTAINER_OF(l, struct alias, link)->name));
	return found != q->search_not;
}

/* What a full id or alias leads to without a search, when it is in the set. */
static struct key *
look_up(struct exchange *x, const struct list_query *q)
{
	struct key *k;

	if (q->search_not || (!validate_uuid(q->search) && !q->search_alias))
		return NULL;
	k = key_find(&x->sim->store, x->inst, q->search);
	return k != NULL && is_wanted(x, q, k) ? k : NULL;
}

/* Leaves what the search finds.  *direct: found by id or alias, and to be shown first. */
static enum fail
search(struct exchange *x, const struct list_query *q, struct key_set *set, struct key **direct,
    bool *incomplete)
{
	size_t kept = 0;

	*direct = look_up(x, q);
	if ((int64_t)set->count > x->inst->set.search_ceiling) {
		if (*direct == NULL)
			return FAIL_SEARCH_TOO_BROAD;
		set->keys[0] = *direct;
		set->count = 1;
		*incomplete = true;
		return FAIL_NONE;
	}
	for (size_t i = 0; i < set->count; i++)
		if (set->keys[i] == *direct || search_found(q, set->keys[i]))
			set->keys[kept++] = set->keys[i];
	set->count = kept;
	return FAIL_NONE;
}

/* --- order --- */

struct order {
	const struct list_query *q;
	const struct key *direct;
};

static int
compare_numbers(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int
compare_by(const struct sort_key *s, const struct key *a, const struct key *b)
{
	switch (s->by) {
	case SORT_ID:
		return strcmp(a->id, b->id);
	case SORT_STATE:
		return compare_numbers((int64_t)a->state, (int64_t)b->state);
	case SORT_EXTRACTABLE:
		return compare_numbers(a->extractable, b->extractable);
	case SORT_IMPORTED:
		return compare_numbers(a->imported, b->imported);
	case SORT_DATE:
		return compare_numbers(date_at(a, s->offset), date_at(b, s->offset));
	}
	return 0;
}

static int
compare_keys(const void *pa, const void *pb, void *arg)
{
	const struct key *a = *(struct key *const *)pa, *b = *(struct key *const *)pb;
	const struct order *o = arg;

	if (a == o->direct || b == o->direct)
		return (b == o->direct) - (a == o->direct);
	for (size_t i = 0; i < o->q->sort_count; i++) {
		int c = compare_by(&o->q->sort[i], a, b);

		if (c != 0)
			return o->q->sort[i].descending ? -c : c;
	}
	return strcmp(a->id, b->id);
}

/* --- answers --- */

static void
put_search(struct json *j, const struct list_query *q, bool incomplete)
{
	if (q->search == NULL)
		return;
	if (incomplete)
		json_bool(j, "incompleteSearch", true);
	json_object(j, "searchQuery");
	json_text(j, "query", q->search);
	json_array(j, "scopes");
	if (q->search_name)
		json_text(j, NULL, "name");
	if (q->search_alias)
		json_text(j, NULL, "alias");
	json_array_end(j);
	json_bool(j, "not", q->search_not);
	json_bool(j, "exact", q->search_exact);
	json_object_end(j);
}

static void
reply_page(
    struct exchange *x, const struct list_query *q, const struct key_set *set, bool incomplete)
{
	size_t from = (size_t)q->offset < set->count ? (size_t)q->offset : set->count;
	size_t shown = set->count - from;
	struct json j;

	if (shown > (size_t)q->limit)
		shown = (size_t)q->limit;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "key", (int64_t)shown);
	put_search(&j, q, incomplete);
	json_object_end(&j);
	if (shown > 0) {
		json_array(&j, "resources");
		for (size_t i = from; i < from + shown; i++)
			keys_json_put(&j, x, set->keys[i], KEY_ROW);
		json_array_end(&j);
	}
	json_object_end(&j);
}

enum fail
keys_list(struct exchange *x)
{
	struct list_query q;
	struct key_set set = {NULL, 0};
	struct key *direct = NULL;
	bool incomplete = false;
	enum fail f = read_query(x, " limit offset state extractable filter sort search ", &q);

	if (f == FAIL_NONE)
		f = collect(x, &q, &set);
	if (f == FAIL_NONE && q.search != NULL)
		f = search(x, &q, &set, &direct, &incomplete);
	if (f == FAIL_NONE) {
		struct order o = {&q, direct};

		qsort_r(set.keys, set.count, sizeof(struct key *), compare_keys, &o);
		reply_page(x, &q, &set, incomplete);
	}
	alloc_free(set.keys);
	return f;
}

enum fail
keys_count(struct exchange *x)
{
	struct list_query q;
	struct key_set set = {NULL, 0};
	enum fail f = read_query(x, " state extractable filter ", &q);
	char *text = arena_zalloc(x->arena, 24);

	if (f == FAIL_NONE)
		f = collect(x, &q, &set);
	if (f == FAIL_NONE && text != NULL) {
		snprintf(text, 24, "%zu", set.count);
		exchange_reply_empty(x, 200);
		exchange_add_header(x, "Key-Total", text);
	}
	alloc_free(set.keys);
	return f == FAIL_NONE && text == NULL ? FAIL_INTERNAL : f;
}
