/* SPDX-License-Identifier: Apache-2.0 */
/* KMIP's numbers to texts and back, expanded from kmip.def. */
#include "kmip/names.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct tag_row {
	uint32_t number;
	const char *text;
};

struct value_row {
	enum kmip_set set;
	uint32_t number;
	int since;
	const char *text;
};

/* Both tables are sorted as they stand in kmip.def; the unit test holds that. */
static const struct tag_row tags[] = {
#define TAG(name, number, text) {number, text},
#define ENUM(set, name, number, since, text)
#include "kmip/kmip.def"
#undef TAG
#undef ENUM
};

static const struct value_row values[] = {
#define TAG(name, number, text)
#define ENUM(set, name, number, since, text) {SET_##set, number, since, text},
#include "kmip/kmip.def"
#undef TAG
#undef ENUM
};

static const uint32_t set_tags[] = {
#define SET(name, tag) [SET_##name] = tag,
#include "kmip/kmip_sets.def"
#undef SET
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int
compare_tag(const void *key, const void *member)
{
	uint32_t number = *(const uint32_t *)key;
	const struct tag_row *row = member;

	return (number > row->number) - (number < row->number);
}

const char *
kmip_tag_name(uint32_t tag)
{
	const struct tag_row *row = bsearch(&tag, tags, COUNT(tags), sizeof(tags[0]), compare_tag);

	return row != NULL ? row->text : NULL;
}

static bool
is_before(const struct value_row *row, enum kmip_set set, uint32_t number)
{
	return row->set != set ? row->set < set : row->number < number;
}

/* Not bsearch(): each request and each audit line look for some. */
static const struct value_row *
find_value(enum kmip_set set, uint32_t value)
{
	const struct value_row *at = values;

	for (size_t left = COUNT(values); left > 0;) {
		size_t half = left / 2;

		if (is_before(at + half, set, value)) {
			at += half + 1;
			left -= half + 1;
		} else {
			left = half;
		}
	}
	return at < values + COUNT(values) && at->set == set && at->number == value ? at : NULL;
}

const char *
kmip_value_name(enum kmip_set set, uint32_t value)
{
	const struct value_row *row = find_value(set, value);

	return row != NULL ? row->text : NULL;
}

bool
kmip_value_by_name(enum kmip_set set, const char *name, uint32_t *out)
{
	for (size_t i = 0; i < COUNT(values); i++) {
		if (values[i].set == set && strcmp(values[i].text, name) == 0) {
			*out = values[i].number;
			return true;
		}
	}
	return false;
}

bool
kmip_set_of_tag(uint32_t tag, enum kmip_set *out)
{
	for (size_t i = 0; i < COUNT(set_tags); i++) {
		if (set_tags[i] == tag) {
			*out = (enum kmip_set)i;
			return true;
		}
	}
	return false;
}

bool
kmip_value_known(enum kmip_set set, uint32_t value, int version)
{
	const struct value_row *row = find_value(set, value);

	return row != NULL && row->since <= version;
}
