/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: libconfuse reads its syntax, the option table says what it means. */
#include "daemon/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <confuse.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "config_check.h"
#include "config_report.h"
#include "config_text.h"
#include "config_value.h"

enum {
	ARENA_MAX = 64 << 20,
	PROBLEM_MAX = 2048,
	SCOPE_OPTIONS_MAX = 32 /* options of one scope, sections and the end included */
};

/* References are counted in a plain integer: only the loop's thread uses them. */
struct config_file {
	struct config c; /* what is handed out; first */
	unsigned refs;
	struct arena *arena; /* holds this struct as well */
};

struct load {
	struct config_file *file;
	struct config_converter cv;
	struct config_report report;
};

/*
 * Put behind the file's text, since libconfuse takes a file for whole that ends inside a section:
 * there this option is unknown.  Nobody can write its name by accident.
 */
static const char end_name[] = "\001", end_mark[] = "\001 = end";

/* libconfuse's callbacks carry no argument of ours; this is set while it parses. */
static struct load *loading;

/* --- what libconfuse calls --- */

/*
 * libconfuse forgets on which line a value stood, so each is kept as "LINE:VALUE".  A second
 * assignment replaces the first silently: def.number, unused for text, remembers the first's line.
 */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	size_t size = strlen(value) + 16;
	char *kept = arena_zalloc(loading->file->arena, size);

	if (kept == NULL) {
		config_report(&loading->report, cfg->line,
		    "option \"%s\": does not fit in memory; shorten it", opt->name);
		return -1;
	}
	if ((opt->flags & CFGF_LIST) == 0 && strcmp(value, CONFIG_TEXT_EMPTY) == 0) {
		config_report(&loading->report, cfg->line,
		    "option \"%s\": is no list; write one value, without braces", opt->name);
		return -1;
	}
	if (opt->nvalues == 1 && opt->def.number != 0)
		config_report(&loading->report, cfg->line,
		    "option \"%s\": is given twice, first on line %ld; keep one of them", opt->name,
		    opt->def.number);
	else if (opt->nvalues == 1)
		opt->def.number = cfg->line;
	snprintf(kept, size, "%d:%s", cfg->line, value);
	*(const char **)result = kept;
	return 0;
}

static const char *const scope_names[] = {[SCOPE_config] = "the top level",
    [SCOPE_config_tls] = "tls { }",
    [SCOPE_config_tenant] = "tenant \"TITLE\" { }",
    [SCOPE_config_local] = "vault local { }",
    [SCOPE_config_keyprotect] = "vault keyprotect { }"};

static const char *const vault_names[CONFIG_VAULTS] = {
    [CONFIG_VAULT_LOCAL] = "local", [CONFIG_VAULT_KEYPROTECT] = "keyprotect"};

/* CONFIG_VAULTS when there is none of that name. */
static enum config_vault_kind
vault_kind(const char *name)
{
	unsigned i = 0;

	while (i < CONFIG_VAULTS && strcmp(vault_names[i], name) != 0)
		i++;
	return (enum config_vault_kind)i;
}

/* A provider that this release does not have: that is the news, not its unknown options. */
static bool
report_provider(struct load *ld, const cfg_t *section)
{
	const char *title = config_section_title(section);

	if (strcmp(section->name, "vault") == 0 && vault_kind(title) == CONFIG_VAULTS) {
		config_report(&ld->report, section->line,
		    "option \"vault\": this release has no vault \"%.64s\"; write vault local { } or "
		    "vault keyprotect { }",
		    title);
		return true;
	}
	if (strcmp(section->name, "ledger") == 0 && strcmp(title, "sqlite") != 0) {
		config_report(&ld->report, section->line,
		    "option \"ledger\": this release has no ledger \"%.64s\"; write ledger sqlite "
		    "{ }",
		    title);
		return true;
	}
	return false;
}

static void
report_unknown(struct load *ld, const cfg_t *section, const char *name)
{
	const struct config_option *o;

	if (strcmp(name, end_name) == 0) {
		config_report(&ld->report, section->line,
		    "syntax: section \"%s\" is not closed; add a } to it", section->name);
		return;
	}
	if (report_provider(ld, section))
		return;
	for (size_t i = 0; (o = config_option(i)) != NULL; i++) {
		if (strcmp(o->name, name) == 0) {
			config_report(&ld->report, section->line,
			    "option \"%s\": does not belong here; it belongs %s %s", name,
			    o->scope == SCOPE_config ? "at" : "in", scope_names[o->scope]);
			return;
		}
	}
	config_report(&ld->report, section->line,
	    "option \"%.64s\": is not known; keyferryd.conf(5) lists all options", name);
}

/* libconfuse tells its findings apart by their wording only. */
static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	static const char unknown[] = "no such option '", twice[] = "found duplicate title '";
	char text[512];
	size_t len;

	vsnprintf(text, sizeof(text), fmt, ap);
	len = strlen(text);
	if (len > 0 && text[len - 1] == '\'')
		text[len - 1] = '\0';
	if (strncmp(text, unknown, strlen(unknown)) == 0) {
		report_unknown(loading, cfg, text + strlen(unknown));
		return;
	}
	if (strncmp(text, twice, strlen(twice)) == 0) {
		config_report(&loading->report, cfg->line,
		    "option \"tenant\": the title \"%s\" is used twice; every tenant needs its own",
		    text + strlen(twice));
		return;
	}
	if (len > 0 && text[len - 1] == '\0')
		text[len - 1] = '\'';
	config_report(
	    &loading->report, cfg->line, "syntax: %s; keyferryd.conf(5) shows the form", text);
}

static void
on_error_ignored(cfg_t *cfg, const char *fmt, va_list ap)
{
	(void)cfg, (void)fmt, (void)ap;
}

/* --- reading --- */

/* Fills in the options of a scope; returns how many.  opts has room for SCOPE_OPTIONS_MAX. */
static size_t
scope_options(cfg_opt_t *opts, enum config_scope scope)
{
	const struct config_option *o;
	size_t n = 0;

	for (size_t i = 0; (o = config_option(i)) != NULL && n < SCOPE_OPTIONS_MAX - 4; i++) {
		if (o->scope != scope)
			continue;
		if (config_type_is_list(o->type))
			opts[n++] =
			    (cfg_opt_t)CFG_STR_LIST_CB(o->name, NULL, CFGF_NODEFAULT, on_value);
		else
			opts[n++] = (cfg_opt_t)CFG_STR_CB(o->name, NULL, CFGF_NODEFAULT, on_value);
	}
	return n;
}

/*
 * The lexer is one for the process and stays inside a string that a file left open, so that the
 * next file would be misread.  This text ends whatever is open, and then fails.
 */
static void
reset_lexer(void)
{
	cfg_opt_t none[] = {CFG_END()};
	cfg_t *cfg = cfg_init(none, CFGF_NONE);

	if (cfg == NULL)
		return;
	cfg_set_error_function(cfg, on_error_ignored);
	(void)cfg_parse_buf(cfg, "\"'*/\"x\"");
	cfg_free(cfg);
}

/* The parsed tree, or NULL after a report.  text holds the file, terminated. */
static cfg_t *
parse(struct load *ld, const char *text)
{
	const cfg_flag_t titled = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
	cfg_opt_t top[SCOPE_OPTIONS_MAX] = {0}, tls[SCOPE_OPTIONS_MAX] = {0};
	cfg_opt_t tenant[SCOPE_OPTIONS_MAX] = {0}, vault[SCOPE_OPTIONS_MAX] = {0};
	cfg_opt_t ledger[] = {CFG_END()};
	size_t n;
	cfg_t *cfg;

	(void)scope_options(tls, SCOPE_config_tls);
	n = scope_options(vault, SCOPE_config_local);
	(void)scope_options(vault + n, SCOPE_config_keyprotect);
	n = scope_options(tenant, SCOPE_config_tenant);
	tenant[n++] = (cfg_opt_t)CFG_SEC("vault", vault, titled);
	tenant[n] = (cfg_opt_t)CFG_SEC("ledger", ledger, titled);
	n = scope_options(top, SCOPE_config);
	top[n++] = (cfg_opt_t)CFG_STR(end_name, NULL, CFGF_NODEFAULT);
	top[n++] = (cfg_opt_t)CFG_SEC("tls", tls, CFGF_NONE);
	top[n] = (cfg_opt_t)CFG_SEC("tenant", tenant, titled);

	cfg = cfg_init(top, CFGF_NONE);
	if (cfg == NULL) {
		config_report(
		    &ld->report, 0, "there is no memory to read it; give the daemon more");
		return NULL;
	}
	cfg_set_error_function(cfg, on_error);
	loading = ld;
	if (cfg_parse_buf(cfg, text) != CFG_SUCCESS) {
		if (!ld->report.failed)
			config_report(&ld->report, cfg->line,
			    "syntax: cannot be read on; keyferryd.conf(5) shows the form");
		cfg_free(cfg);
		cfg = NULL;
		reset_lexer();
	}
	loading = NULL;
	return cfg;
}

/* --- meaning --- */

static void
convert_option(struct load *ld, cfg_t *section, const struct config_option *o, void *base)
{
	cfg_opt_t *opt = cfg_getopt(section, o->name);
	size_t count = config_value_count(opt), bad;
	const char **texts;

	if (count == 0 && o->fallback == NULL) {
		config_report(&ld->report, section->line,
		    "option \"%s\": is missing above in %s; it is: %s", o->name,
		    scope_names[o->scope], o->help);
		return;
	}
	texts = arena_array(ld->file->arena, count + 1, sizeof(*texts));
	if (texts == NULL) {
		config_report(&ld->report, section->line,
		    "option \"%s\": does not fit in memory; shorten it", o->name);
		return;
	}
	for (size_t i = 0; i < count; i++)
		texts[i] = config_value_text(opt, i);
	if (count == 0)
		texts[0] = o->fallback;
	buf_reset(&ld->cv.problem);
	if (!config_convert(&ld->cv, o, texts, count > 0 ? count : 1, base, &bad))
		config_report(&ld->report, count > 0 ? config_value_line(opt, bad) : section->line,
		    "option \"%s\": %.*s", o->name, (int)ld->cv.problem.len,
		    (const char *)ld->cv.problem.data);
}

static void
convert_scope(struct load *ld, cfg_t *section, enum config_scope scope, void *base)
{
	const struct config_option *o;

	for (size_t i = 0; (o = config_option(i)) != NULL; i++)
		if (o->scope == scope)
			convert_option(ld, section, o, base);
}

/* libconfuse takes the options of every vault in each of them. */
static void
refuse_scope(struct load *ld, cfg_t *section, enum config_scope scope)
{
	const struct config_option *o;

	for (size_t i = 0; (o = config_option(i)) != NULL; i++) {
		cfg_opt_t *opt = o->scope == scope ? cfg_getopt(section, o->name) : NULL;

		if (opt != NULL && opt->nvalues > 0)
			config_report(&ld->report, config_value_line(opt, 0),
			    "option \"%s\": does not belong here; it belongs in %s", o->name,
			    scope_names[scope]);
	}
}

static void
convert_vault(struct load *ld, cfg_t *tenant, struct config_vault *vault)
{
	unsigned count = cfg_size(tenant, "vault");

	if (count != 1) {
		config_report(&ld->report, tenant->line,
		    "option \"vault\": %s in tenant \"%.64s\" above; write one vault local { } or "
		    "vault keyprotect { }",
		    count == 0 ? "is missing" : "is given twice", config_section_title(tenant));
		return;
	}
	tenant = cfg_getnsec(tenant, "vault", 0);
	if (report_provider(ld, tenant))
		return;
	vault->kind = vault_kind(config_section_title(tenant));
	if (vault->kind == CONFIG_VAULT_LOCAL) {
		refuse_scope(ld, tenant, SCOPE_config_keyprotect);
		convert_scope(ld, tenant, SCOPE_config_local, &vault->local);
	} else {
		refuse_scope(ld, tenant, SCOPE_config_local);
		convert_scope(ld, tenant, SCOPE_config_keyprotect, &vault->keyprotect);
		config_check_keyprotect(&ld->report, tenant, &vault->keyprotect);
	}
}

static void
convert_ledger(struct load *ld, cfg_t *tenant, struct config_ledger *ledger)
{
	ledger->kind = CONFIG_LEDGER_SQLITE;
	for (unsigned i = 0; i < cfg_size(tenant, "ledger"); i++)
		(void)report_provider(ld, cfg_getnsec(tenant, "ledger", i));
}

static void
convert_tenants(struct load *ld, cfg_t *top)
{
	struct config *c = &ld->file->c;
	struct config_tenant *tenants;
	size_t count = cfg_size(top, "tenant");
	const char *title;
	cfg_t *section;

	if (count == 0) {
		config_report(&ld->report, top->line,
		    "option \"tenant\": is missing; without one nobody may connect: tenant "
		    "\"TITLE\" { ... }");
		return;
	}
	tenants = arena_array(ld->file->arena, count, sizeof(*tenants));
	if (tenants == NULL) {
		config_report(&ld->report, top->line,
		    "option \"tenant\": there are too many; up to what memory holds");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		section = cfg_getnsec(top, "tenant", (unsigned)i);
		title = config_section_title(section);
		tenants[i].title = arena_text(ld->file->arena, title, strlen(title));
		convert_scope(ld, section, SCOPE_config_tenant, &tenants[i]);
		config_check_clients(&ld->report, section, &tenants[i]);
		convert_vault(ld, section, &tenants[i].vault);
		convert_ledger(ld, section, &tenants[i].ledger);
		for (size_t k = 0; k < i; k++)
			config_check_apart(&ld->report, section, &tenants[i], &tenants[k]);
		if (tenants[i].title == NULL)
			config_report(&ld->report, section->line,
			    "option \"tenant\": does not fit in memory; shorten it");
	}
	c->tenants = tenants;
	c->tenants_count = count;
}

static void
load_text(struct load *ld, struct buf *text)
{
	cfg_t *top, *tls;

	text->len--; /* its terminator */
	if (text->len > 0 && text->data[text->len - 1] != '\n')
		buf_put(text, "\n", 1);
	buf_put(text, end_mark, sizeof(end_mark));
	top = buf_error(text) == ERR_OK ? parse(ld, (const char *)text->data) : NULL;

	if (top == NULL) {
		if (!ld->report.failed)
			config_report(&ld->report, 0, "%s",
			    buf_error(text) == ERR_RESPONSE_TOO_LARGE
				? "is too large; up to 1 MiB"
				: "cannot be read: out of memory");
		return;
	}
	tls = cfg_getsec(top, "tls");
	if (tls->line == 0)
		tls->line = top->line; /* it is not in the file: what is missing is so at the end */
	convert_scope(ld, top, SCOPE_config, &ld->file->c);
	convert_scope(ld, tls, SCOPE_config_tls, &ld->file->c.tls);
	config_check_audit(&ld->report, top, &ld->file->c);
	config_check_tls(&ld->report, tls);
	convert_tenants(ld, top);
	cfg_free(top);
}

static const char no_memory_text[] = ": cannot be read: out of memory\n";

static struct config_file *
file_new(const char *path)
{
	struct arena *arena = arena_new(ARENA_MAX);
	struct config_file *file = arena != NULL ? arena_zalloc(arena, sizeof(*file)) : NULL;

	if (file != NULL)
		file->c.path = arena_text(arena, path, strlen(path));
	if (file == NULL || file->c.path == NULL) {
		arena_free(arena);
		return NULL;
	}
	file->arena = arena;
	file->refs = 1;
	return file;
}

static enum err
no_memory(const char *path, struct buf *errors)
{
	buf_put(errors, path, strlen(path));
	buf_put(errors, no_memory_text, sizeof(no_memory_text) - 1);
	return ERR_NO_MEMORY;
}

void
config_tell(const char *path, const struct buf *errors)
{
	if (errors->len > 0)
		fprintf(stderr, "%.*s", (int)errors->len, (const char *)errors->data);
	else
		fprintf(stderr, "%s%s", path, no_memory_text);
}

enum err
config_load(const char *path, const struct config **out, struct buf *errors)
{
	const char *slash = strrchr(path, '/');
	struct load ld = {.file = file_new(path), .report = {path, errors, false}};
	struct buf text;
	const char *why;
	int line;

	if (ld.file == NULL)
		return no_memory(path, errors);
	ld.cv.arena = ld.file->arena;
	ld.cv.dir = slash == NULL ? "." : arena_text(ld.file->arena, path, (size_t)(slash - path));
	if (ld.cv.dir == NULL) {
		arena_free(ld.file->arena);
		return no_memory(path, errors);
	}
	buf_init(&ld.cv.problem, PROBLEM_MAX / 2);
	buf_init(&text, CONFIG_TEXT_MAX);
	if (!config_text_read(path, &text, &line, &why))
		config_report(&ld.report, line, "%s", why);
	else
		load_text(&ld, &text);
	buf_fini(&text);
	buf_fini(&ld.cv.problem);
	if (ld.report.failed) {
		arena_free(ld.file->arena);
		return ERR_CONFIG;
	}
	*out = &ld.file->c;
	return ERR_OK;
}

/* --- references --- */

static struct config_file *
file_of(const struct config *c)
{
	union {
		const struct config *in;
		struct config_file *out; /* config is its first member; it was made by file_new() */
	} u = {c};

	return u.out;
}

const struct config *
config_ref(const struct config *c)
{
	file_of(c)->refs++;
	return c;
}

void
config_unref(const struct config *c)
{
	if (c != NULL && --file_of(c)->refs == 0)
		arena_free(file_of(c)->arena);
}
