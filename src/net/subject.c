/* SPDX-License-Identifier: Apache-2.0 */
/* Subject rules: a whole name, or patterns for some of its attributes. */
#include "subject.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/why.h"
#include "net/certificate.h"

enum { TERMS_MAX = 8, TEXT_MAX = SUBJECT_EDGE_MAX - 1 };

struct term {
	int nid;
	char *pattern; /* UTF-8; every '*' stands for any characters */
};

struct subject_rule {
	char *text;
	const char *whole; /* in text; NULL: the terms count */
	size_t whole_len;
	struct term terms[TERMS_MAX];
	size_t count;
};

static const char whole_mark[] = "subject=";

/* --- patterns --- */

/* What stands behind the last star has to be the end: most texts are told apart by it at once. */
static bool
ends_so(const char *pattern, const char *s)
{
	const char *star = strrchr(pattern, '*');
	size_t len = star != NULL ? strlen(star + 1) : 0, have = strlen(s);

	return len <= have && (star == NULL || memcmp(star + 1, s + have - len, len) == 0);
}

/* Both have a star: of what stands behind their last ones, one is the end of the other. */
static bool
ends_meet(const char *a, const char *b)
{
	const char *end_a = strrchr(a, '*') + 1, *end_b = strrchr(b, '*') + 1;
	size_t na = strlen(end_a), nb = strlen(end_b), n = na < nb ? na : nb;

	return memcmp(end_a + na - n, end_b + nb - n, n) == 0;
}

/* Iterative, and without a stack: goes back to the last star only. */
static bool
matches(const char *pattern, const char *s)
{
	const char *star = NULL, *retry = NULL;

	if (!ends_so(pattern, s))
		return false;
	while (*s != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			retry = s;
		} else if (*pattern == *s) {
			pattern++;
			s++;
		} else if (star != NULL) {
			pattern = star;
			s = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/*
 * Whether some text matches both.  Where both have a star that is one with the longer beginning, the
 * longer end, and in between all that either wants, one after the other: the stars swallow the rest.
 */
static bool
patterns_meet(const char *a, const char *b)
{
	size_t na = strcspn(a, "*"), nb = strcspn(b, "*");

	if (memcmp(a, b, na < nb ? na : nb) != 0)
		return false;
	if (a[na] == '\0')
		return matches(b, a);
	return b[nb] == '\0' ? matches(a, b) : ends_meet(a, b);
}

/* --- reading a rule --- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Copies a value up to a comma that no backslash stands before; *p moves behind it. */
static bool
take_value(const char **p, char *out)
{
	size_t n = 0;

	for (; **p != '\0' && **p != ','; (*p)++) {
		if (**p == '\\' && (*p)[1] != '\0')
			(*p)++;
		if (n == TEXT_MAX)
			return false;
		out[n++] = **p;
	}
	while (n > 0 && is_blank(out[n - 1]))
		n--;
	out[n] = '\0';
	if (**p == ',')
		(*p)++;
	return n > 0;
}

static enum err
take_term(struct subject_rule *r, const char **p, const char **why)
{
	struct term *t = &r->terms[r->count];
	char type[32] = "", value[TEXT_MAX + 1];
	size_t len;

	*p += strspn(*p, " \t");
	len = strcspn(*p, "=,");
	if ((*p)[len] != '=' || len == 0 || len >= sizeof(type))
		return why_say(why, ERR_CONFIG,
		    "client-subject: \"%.60s\" is not of the form CN=PATTERN, O=PATTERN", *p);
	memcpy(type, *p, len);
	while (len > 0 && is_blank(type[len - 1]))
		type[--len] = '\0';
	*p = strchr(*p, '=') + 1;
	*p += strspn(*p, " \t");
	t->nid = OBJ_txt2nid(type);
	ERR_clear_error();
	if (t->nid == NID_undef)
		return why_say(why, ERR_CONFIG,
		    "client-subject: no attribute of a name is called \"%s\"; such as CN, O, OU, C",
		    type);
	for (size_t i = 0; i < r->count; i++)
		if (r->terms[i].nid == t->nid)
			return why_say(why, ERR_CONFIG, "client-subject: %s is there twice", type);
	if (!take_value(p, value))
		return why_say(why, ERR_CONFIG, "client-subject: %s has no pattern", type);
	t->pattern = alloc_text(value);
	if (t->pattern == NULL)
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	r->count++;
	return ERR_OK;
}

/* A rule that takes everybody is no rule. */
static enum err
check_terms(const struct subject_rule *r, const char **why)
{
	for (size_t i = 0; i < r->count; i++)
		if (strspn(r->terms[i].pattern, "*") < strlen(r->terms[i].pattern))
			return ERR_OK;
	return why_say(why, ERR_CONFIG,
	    "client-subject: takes every subject; name what this tenant's clients have in common");
}

enum err
subject_rule_new(struct subject_rule **out, const char *text, const char **why)
{
	struct subject_rule *r = alloc_zero(sizeof(*r));
	const char *p;
	enum err e = ERR_OK;

	if (r != NULL)
		r->text = alloc_text(text);
	if (r == NULL || r->text == NULL) {
		subject_rule_free(r);
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	if (strncmp(text, whole_mark, strlen(whole_mark)) == 0) {
		r->whole = r->text + strlen(whole_mark);
		r->whole_len = strlen(r->whole);
		if (*r->whole == '\0')
			e = why_say(why, ERR_CONFIG, "client-subject: names no subject");
	} else {
		for (p = r->text; e == ERR_OK && *p != '\0';)
			e = r->count < TERMS_MAX ? take_term(r, &p, why)
						 : why_say(why, ERR_CONFIG,
						       "client-subject: more than %d attributes",
						       TERMS_MAX);
		if (e == ERR_OK)
			e = check_terms(r, why);
	}
	if (e != ERR_OK) {
		subject_rule_free(r);
		return e;
	}
	*out = r;
	return ERR_OK;
}

void
subject_rule_free(struct subject_rule *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->count; i++)
		alloc_free(r->terms[i].pattern);
	alloc_free(r->text);
	alloc_free(r);
}

const char *
subject_rule_text(const struct subject_rule *r)
{
	return r->text;
}

/* --- subjects --- */

struct attribute {
	int nid;
	size_t at; /* its value in values, as UTF-8; VALUE_NONE: not one that a pattern can match */
};
#define VALUE_NONE SIZE_MAX

struct subject {
	struct attribute attributes[SUBJECT_ATTRIBUTES_MAX];
	size_t count;
	struct buf values, whole;
};

static void
add_attribute(struct subject *s, const X509_NAME_ENTRY *entry)
{
	struct attribute *a = &s->attributes[s->count++];
	unsigned char *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));

	a->nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
	a->at = VALUE_NONE;
	if (len >= 0 && memchr(utf8, '\0', (size_t)len) == NULL) {
		a->at = s->values.len;
		buf_put(&s->values, utf8, (size_t)len);
		buf_put(&s->values, "", 1);
	}
	OPENSSL_free(utf8);
}

/* The length is looked at first: it costs nothing, and whoever shows a name chose it. */
static bool
is_short(const X509_NAME *name)
{
	size_t len;

	return X509_NAME_get0_der(name, NULL, &len) == 1 && len <= SUBJECT_DER_MAX &&
	    X509_NAME_entry_count(name) <= SUBJECT_ATTRIBUTES_MAX;
}

struct subject *
subject_new(const X509 *x)
{
	const X509_NAME *name = X509_get_subject_name(x);
	struct subject *s = is_short(name) ? alloc_zero(sizeof(*s)) : NULL;

	if (s == NULL)
		return NULL;
	buf_init(&s->values, 8 * SUBJECT_DER_MAX);
	buf_init(&s->whole, 8 * SUBJECT_DER_MAX);
	for (int i = 0; i < X509_NAME_entry_count(name); i++)
		add_attribute(s, X509_NAME_get_entry(name, i));
	certificate_subject(x, &s->whole);
	ERR_clear_error();
	if (buf_error(&s->values) == ERR_OK && buf_error(&s->whole) == ERR_OK)
		return s;
	subject_free(s);
	return NULL;
}

void
subject_free(struct subject *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->values);
	buf_fini(&s->whole);
	alloc_free(s);
}

/* --- applying a rule --- */

/* The one value of an attribute; NULL when there is none, or there are two. */
static const char *
value_of(const struct subject *s, int nid)
{
	const struct attribute *found = NULL;

	for (size_t i = 0; i < s->count; i++) {
		if (s->attributes[i].nid != nid)
			continue;
		if (found != NULL)
			return NULL;
		found = &s->attributes[i];
	}
	return found != NULL && found->at != VALUE_NONE ? (const char *)s->values.data + found->at
							 : NULL;
}

bool
subject_rule_takes(const struct subject_rule *r, const struct subject *s)
{
	const char *value;

	if (r->whole != NULL)
		return s->whole.len == r->whole_len &&
		    memcmp(s->whole.data, r->whole, r->whole_len) == 0;
	for (size_t i = 0; i < r->count; i++) {
		value = value_of(s, r->terms[i].nid);
		if (value == NULL || !matches(r->terms[i].pattern, value))
			return false;
	}
	return true;
}

/* The value of an attribute in a whole name as RFC 2253 writes it; false when there is not one. */
static bool
value_in_text(const char *whole, int nid, char out[TEXT_MAX + 1])
{
	const char *type = OBJ_nid2sn(nid), *p = whole;
	char value[TEXT_MAX + 1];
	unsigned found = 0;

	while (*p != '\0') {
		size_t len = strcspn(p, "=");
		bool this = strlen(type) == len && memcmp(p, type, len) == 0;

		p += len;
		if (*p == '=')
			p++;
		if (!take_value(&p, value) || !this)
			continue;
		found++;
		memcpy(out, value, sizeof(value));
	}
	return found == 1;
}

/* A name that this does not understand is held for one that may obey. */
static bool
is_understood(const char *whole)
{
	size_t len = strlen(whole);
	bool empty = strstr(whole, "=,") != NULL || (len > 0 && whole[len - 1] == '=');

	return !empty && strpbrk(whole, "+\\#") == NULL;
}

static bool
whole_may_obey(const char *whole, const struct subject_rule *r)
{
	char value[TEXT_MAX + 1];

	if (!is_understood(whole))
		return true;
	for (size_t i = 0; i < r->count; i++)
		if (!value_in_text(whole, r->terms[i].nid, value) ||
		    !matches(r->terms[i].pattern, value))
			return false;
	return true;
}

bool
subject_rules_overlap(const struct subject_rule *a, const struct subject_rule *b)
{
	if (a->whole != NULL && b->whole != NULL)
		return strcmp(a->whole, b->whole) == 0;
	if (a->whole != NULL)
		return whole_may_obey(a->whole, b);
	if (b->whole != NULL)
		return whole_may_obey(b->whole, a);
	for (size_t i = 0; i < a->count; i++)
		for (size_t k = 0; k < b->count; k++)
			if (a->terms[i].nid == b->terms[k].nid &&
			    !patterns_meet(a->terms[i].pattern, b->terms[k].pattern))
				return false;
	return true;
}

/* --- for an order of rules --- */

const char *
subject_rule_whole(const struct subject_rule *r)
{
	return r->whole;
}

int
subject_rule_nid(const struct subject_rule *r, size_t n)
{
	return n < r->count ? r->terms[n].nid : NID_undef;
}

static const struct term *
term_of(const struct subject_rule *r, int nid)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->terms[i].nid == nid)
			return &r->terms[i];
	return NULL;
}

bool
subject_rule_asks_for(const struct subject_rule *r, int nid)
{
	return r->whole != NULL || term_of(r, nid) != NULL;
}

static void
turn_round(char *text, size_t len)
{
	for (size_t i = 0; i < len / 2; i++) {
		char c = text[i];

		text[i] = text[len - 1 - i];
		text[len - 1 - i] = c;
	}
}

bool
subject_rule_edge(const struct subject_rule *r, int nid, bool at_end, char out[SUBJECT_EDGE_MAX],
    size_t *len)
{
	const struct term *t = term_of(r, nid);
	const char *star = NULL;

	*len = 0;
	if (nid == NID_undef || (r->whole != NULL && !is_understood(r->whole)))
		return true;
	if (r->whole != NULL && !value_in_text(r->whole, nid, out))
		return false;
	if (r->whole == NULL) {
		memcpy(out, t->pattern, strlen(t->pattern) + 1);
		star = at_end ? strrchr(out, '*') : strchr(out, '*');
	}
	if (star == NULL)
		*len = strlen(out);
	else if (at_end)
		*len = strlen(star + 1);
	else
		*len = (size_t)(star - out);
	if (star != NULL && at_end)
		memmove(out, star + 1, *len);
	if (at_end)
		turn_round(out, *len);
	if (star == NULL)
		out[(*len)++] = '\0';
	return true;
}
