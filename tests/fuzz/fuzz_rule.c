/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the rules for subjects: two of them, and a subject ("CN=x" a line), lines apart.  When a
 * subject obeys both rules they overlap, or two tenants would have the same client.
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "fuzz.h"
#include "subject.h"

enum { INPUT_MAX = 4096 };

/* What is none is left out. */
static void
add_attribute(X509_NAME *name, char *line)
{
	char *value = strchr(line, '=');

	if (value == NULL)
		return;
	*value++ = '\0';
	(void)X509_NAME_add_entry_by_txt(name, line, MBSTRING_UTF8, (const unsigned char *)value,
	    (int)strlen(value), -1, 0);
	ERR_clear_error();
}

static void
judge(const struct subject_rule *a, const struct subject_rule *b, char *lines)
{
	X509 *x = X509_new();
	struct subject *s;
	char *line;
	bool both;

	MUST(x != NULL);
	while ((line = strsep(&lines, "\n")) != NULL)
		add_attribute(X509_get_subject_name(x), line);
	s = subject_new(x);
	if (s != NULL) {
		both = subject_rule_takes(a, s) && subject_rule_takes(b, s);
		MUST(!both || (subject_rules_overlap(a, b) && subject_rules_overlap(b, a)));
	}
	subject_free(s);
	X509_free(x);
}

static struct subject_rule *
read_rule(const char *text)
{
	struct subject_rule *r = NULL;
	const char *why = NULL;

	if (subject_rule_new(&r, text, &why) != ERR_OK) {
		MUST(r == NULL && why != NULL && why[0] != '\0');
		return NULL;
	}
	MUST(strcmp(subject_rule_text(r), text) == 0 && subject_rules_overlap(r, r));
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[INPUT_MAX + 1];
	struct subject_rule *a, *b;
	char *rest = text, *first, *second;

	if (size > INPUT_MAX)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	first = strsep(&rest, "\n");
	second = rest != NULL ? strsep(&rest, "\n") : first;
	a = read_rule(first);
	b = read_rule(second);
	if (a != NULL && b != NULL) {
		MUST(subject_rules_overlap(a, b) == subject_rules_overlap(b, a));
		if (rest != NULL)
			judge(a, b, rest);
	}
	subject_rule_free(a);
	subject_rule_free(b);
	return 0;
}
