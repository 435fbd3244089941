/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant's clients, from files. */
#include "clients.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

enum { PATH_LEN_MAX = 1024 };

#define READ_ONLY_END ".read-only.pem"
#define USUAL_END ".pem"

void
clients_directory(const char *tenant_id, char out[CLIENTS_DIRECTORY_MAX])
{
	snprintf(out, CLIENTS_DIRECTORY_MAX, CLIENTS_TOP "/%s", tenant_id);
}

void
clients_file(const uint8_t sha256[TLS_DIGEST_LEN], bool read_only, char out[CLIENTS_FILE_MAX])
{
	char hex[2 * TLS_DIGEST_LEN + 1];

	text_hex(hex, sha256, TLS_DIGEST_LEN);
	snprintf(out, CLIENTS_FILE_MAX, "%s%s", hex, read_only ? READ_ONLY_END : USUAL_END);
}

/* What is added, and where it comes from. */
struct adding {
	struct tenants *ts;
	struct tenant *t;
	const char *title;
	struct buf *why;
	bool read_only, accepted;
	const struct tenants *now; /* in use; NULL: none */
	const char *file;
	enum err err; /* of the last certificate */
};

/* In the set that is in use now, most are. */
static bool
is_known(void *arg, const uint8_t digest[TLS_DIGEST_LEN], struct certificate_text *text)
{
	const struct adding *a = arg;
	const struct pinned *p = a->now != NULL ? tenants_pinned(a->now, digest, NULL) : NULL;

	if (p == NULL)
		return false;
	memcpy(text->subject, p->subject, sizeof(text->subject));
	text->not_after = p->expires;
	return true;
}

static bool
pin(void *arg, const struct certificate_text *text)
{
	struct adding *a = arg;
	struct pinned *p;
	struct tenant *owner;

	if (text->key_unfit != NULL) {
		a->err = ERR_CONFIG;
		buf_printf(a->why, "tenant \"%s\": a certificate in %s: %s",
		    a->title, a->file, text->key_unfit);
		return false;
	}
	p = pinned_new(text, a->file, a->read_only, a->accepted);
	a->err = p != NULL ? tenants_pin(a->ts, a->t, p) : ERR_NO_MEMORY;
	pinned_unref(p);
	if (a->err == ERR_CONFIG && tenants_pinned(a->ts, text->digest, &owner) != NULL)
		buf_printf(a->why,
		    "tenant \"%s\": a certificate in %s belongs to tenant \"%s\" already; give each "
		    "tenant certificates of its own",
		    a->title, a->file, owner->id);
	return a->err == ERR_OK;
}

static enum err
pin_file(struct adding *a, const char *file)
{
	const struct certificates_reader r = {is_known, pin, a};
	const char *sentence;
	enum err e;

	a->file = file;
	a->err = ERR_OK;
	e = certificates_read(
	    file, a->accepted ? TRUSTED_STATE_FILE : TRUSTED_CERTIFICATES, &r, &sentence);
	if (a->err != ERR_OK)
		return a->err;
	if (e != ERR_OK)
		buf_printf(a->why, "tenant \"%s\": %s", a->title, sentence);
	return e;
}

static enum err
pin_files(struct adding *a, const char *const *files, bool read_only)
{
	enum err e = ERR_OK;

	a->read_only = read_only;
	for (size_t i = 0; e == ERR_OK && files[i] != NULL; i++)
		e = pin_file(a, files[i]);
	return e;
}

/* Only names that we gave: an attempt that died may have left another. */
static bool
is_ours(const char *name, bool *read_only)
{
	size_t digest = strspn(name, "0123456789abcdef");

	*read_only = strcmp(name + digest, READ_ONLY_END) == 0;
	return digest == 2 * TLS_DIGEST_LEN && (*read_only || strcmp(name + digest, USUAL_END) == 0);
}

static enum err
pin_accepted(struct adding *a, const char *state_dir, const char *tenant_id)
{
	char way[CLIENTS_DIRECTORY_MAX], path[PATH_LEN_MAX];
	struct dirent *de;
	enum err e = ERR_OK;
	DIR *dir;

	clients_directory(tenant_id, way);
	snprintf(path, sizeof(path), "%s/%s", state_dir, way);
	dir = opendir(path);
	if (dir == NULL && errno == ENOENT)
		return ERR_OK;
	if (dir == NULL) {
		buf_printf(a->why, "tenant \"%s\": %s: %s", a->title, path, strerror(errno));
		return ERR_IO;
	}
	a->accepted = true;
	for (errno = 0; e == ERR_OK && (de = readdir(dir)) != NULL; errno = 0) {
		if (!is_ours(de->d_name, &a->read_only))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", state_dir, way, de->d_name);
		e = pin_file(a, path);
	}
	if (e == ERR_OK && errno != 0) { /* whoever was not seen would be refused */
		buf_printf(a->why, "tenant \"%s\": %s/%s: %s", a->title, state_dir, way, strerror(errno));
		e = ERR_IO;
	}
	closedir(dir);
	return e;
}

/* Whom such a list covers is refused, until there is a new one; or, until it begins. */
static void
tell_of_lists(const struct adding *a, const struct authority *authority)
{
	int64_t until = authority_crl_until(authority), from;
	bool refuses;
	char when[25];

	if (until != 0 && until <= clock_wall())
		LOG(LOG_WARN, "trust",
		    "a revocation list has expired: clients that it covers are refused",
		    kv_text("tenant", a->title));
	from = authority_crl_from(authority, &refuses);
	if (from == 0)
		return;
	text_time(when, from * 1000);
	LOG(LOG_WARN, "trust",
	    refuses ? "a revocation list does not hold yet: clients that it covers are refused until it does"
		    : "a revocation list does not hold yet: the one before it counts until it does",
	    kv_text("tenant", a->title), kv_text("from", when));
}

static enum err
trust(struct adding *a, const struct config_tenant *c)
{
	const char *sentence;
	struct authority *authority;
	enum err e;

	if (c->client_subject == NULL)
		return ERR_OK;
	e = authority_new(&authority, c->client_ca, c->crl_files, c->client_subject, &sentence);
	if (e != ERR_OK) {
		buf_printf(a->why, "tenant \"%s\": %s", a->title, sentence);
		return e;
	}
	tell_of_lists(a, authority);
	e = tenants_trust(a->ts, a->t, authority);
	authority_unref(authority);
	return e;
}

enum err
clients_add(struct tenants *ts, const struct tenants *now, struct tenant *t,
    const struct config_tenant *c, const char *state_dir, struct buf *why)
{
	struct adding a = {.ts = ts, .t = t, .title = c->title, .why = why, .now = now};
	enum err e = pin_files(&a, c->client_certificates, false);

	if (e == ERR_OK)
		e = pin_files(&a, c->read_only_certificates, true);
	if (e == ERR_OK)
		e = pin_accepted(&a, state_dir, c->id);
	return e == ERR_OK ? trust(&a, c) : e;
}

enum err
clients_check(const struct tenants *ts, struct buf *why)
{
	const struct authority *authority;
	const struct tenant *later, *earlier;
	enum err e = tenants_check(ts, &authority, &later, &earlier);

	if (e == ERR_CONFIG)
		buf_printf(why,
		    "tenant \"%s\": client-subject \"%s\" takes clients that tenant \"%s\" takes as "
		    "well; give each tenant subjects of its own",
		    later->id, authority_rule(authority), earlier->id);
	return e;
}
