/* SPDX-License-Identifier: Apache-2.0 */
/* Criteria for keys, from a command's arguments to the ledger's terms. */
#include "keys_select.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "daemon/control.h"
#include "gate/tenant.h"
#include "kmip/attr.h"
#include "kmip/names.h"

enum { VALUE_LEN_MAX = 1024, NAME_LEN_MAX = 128, TERMS_LAST = 2 };
#define ATTRIBUTE "attribute="

static bool
add(struct selection *s, const struct ledger_term *t)
{
	if (s->count + TERMS_LAST >= SELECT_TERMS_MAX)
		return false;
	s->terms[s->count++] = *t;
	s->narrow = true;
	return true;
}

static const char *
read_state(struct selection *s, const char *state)
{
	if (state == NULL)
		return NULL;
	if (!kmip_value_by_name(SET_STATE, state, &s->state))
		return "a state is Pre-Active, Active, Deactivated, Compromised, Destroyed or "
		       "Destroyed Compromised";
	s->narrow = true;
	return NULL;
}

/* An attribute of the client's own, which is a text. */
static const char *
add_attr(struct selection *s, struct arena *a, const char *name, const char *value)
{
	struct ttlv v = {.type = TTLV_TEXT};
	struct ledger_term t = {.field = FIELD_ATTR, .match = MATCH_EQUAL, .name = name};
	struct buf b;

	if (value == NULL)
		return NULL;
	v.value = (const uint8_t *)value;
	v.len = (uint32_t)strlen(value);
	buf_init(&b, VALUE_LEN_MAX);
	kmip_attr_pack_value(&b, &v);
	t.value = buf_error(&b) == ERR_OK ? arena_copy(a, b.data, b.len) : NULL;
	t.value_len = b.len;
	buf_fini(&b);
	if (t.value == NULL)
		return "the value of an attribute is too long";
	return add(s, &t) ? NULL : "too many criteria";
}

/* Each argument "attribute=x-NAME=VALUE". */
static const char *
read_attributes(struct selection *s, const struct control_call *call, struct arena *a)
{
	const char *wrong = NULL, *name, *value;

	for (size_t i = 1; i < call->argc && wrong == NULL; i++) {
		if (strncmp(call->argv[i], ATTRIBUTE, strlen(ATTRIBUTE)) != 0)
			continue;
		name = call->argv[i] + strlen(ATTRIBUTE);
		value = strchr(name, '=');
		if (strncmp(name, "x-", 2) != 0 || value == NULL || value - name > NAME_LEN_MAX)
			return "an attribute is given as x-NAME=VALUE";
		name = arena_text(a, name, (size_t)(value - name));
		if (name == NULL)
			return "out of memory";
		wrong = add_attr(s, a, name, value + 1);
	}
	return wrong;
}

/* How long ago: the time that it was then.  False when it is no duration. */
static bool
read_ago(const char *text, int64_t *then)
{
	int64_t ns;

	if (!text_duration(text, &ns))
		return false;
	*then = clock_wall() - ns / NS_PER_S;
	return true;
}

static const char *
read_ages(struct selection *s, const struct control_call *call)
{
	static const struct {
		const char *arg;
		enum ledger_match match;
	} ages[] = {{"older", MATCH_AT_MOST}, {"newer", MATCH_AT_LEAST}};
	static const char wrong[] = "an age is a number with its unit: 90d, 12h, 30min";
	const char *text = control_arg(call, "unused");
	int64_t then;

	s->unused_since = NO_DATE;
	if (text != NULL && !read_ago(text, &s->unused_since))
		return wrong;
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		text = control_arg(call, ages[i].arg);
		if (text == NULL)
			continue;
		if (!read_ago(text, &then))
			return wrong;
		if (!add(s, &(struct ledger_term){.field = FIELD_DATE + DATE_INITIAL,
			     .match = ages[i].match, .number = then}))
			return "too many criteria";
	}
	return NULL;
}

const char *
select_read(struct selection *s, const struct control_call *call, struct arena *a)
{
	const char *wrong;

	*s = (struct selection){.unused_since = NO_DATE};
	wrong = read_state(s, control_arg(call, "state"));
	if (wrong == NULL)
		wrong = add_attr(s, a, "x-Name", control_arg(call, "name")); /* what vCenter shows */
	if (wrong == NULL)
		wrong = add_attr(s, a, "x-Component", control_arg(call, "component"));
	if (wrong == NULL)
		wrong = read_attributes(s, call, a);
	return wrong != NULL ? wrong : read_ages(s, call);
}

size_t
select_terms(struct selection *s, uint32_t state)
{
	size_t n = s->count;

	if (state != 0)
		s->terms[n++] = (struct ledger_term){
		    .field = FIELD_STATE, .match = MATCH_EQUAL, .number = state};
	if (s->unused_since != NO_DATE)
		s->terms[n++] = (struct ledger_term){
		    .field = FIELD_USED, .match = MATCH_AT_MOST, .number = s->unused_since};
	return n;
}

const char *
select_tenant(const struct tenants *ts, const char *id, size_t *first, size_t *end)
{
	*first = 0;
	*end = tenants_count(ts);
	for (size_t i = 0; id != NULL && i < *end; i++) {
		if (strcmp(tenants_at(ts, i)->id, id) == 0) {
			*first = i;
			*end = i + 1;
			return NULL;
		}
	}
	return id == NULL ? NULL : "no such tenant";
}
