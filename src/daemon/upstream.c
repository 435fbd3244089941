/* SPDX-License-Identifier: Apache-2.0 */
/* The way to key managers elsewhere. */
#include "upstream.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "keys/vault_kp.h"

enum { CONNECTIONS_MAX = 64, PER_HOST_MAX = 32, SETTINGS_MAX = 32 * 1024, WHY_MAX = 4096 };
#define CONNECT_TIMEOUT (3 * NS_PER_S)

struct upstream {
	struct upstream_params p;
	struct http *http;
	struct iam_set *tokens;
	struct list vaults;
};

struct shared_vault {
	struct list link;
	unsigned refs;
	struct buf settings; /* what it was made from */
	struct vault *vault;
	struct custody *custody;
	struct watch *watch; /* NULL when settings are only tested */
};

enum err
upstream_new(struct upstream **out, const struct upstream_params *p, const char **why)
{
	const struct http_params hp = {
	    .connections_max = CONNECTIONS_MAX,
	    .per_host_max = PER_HOST_MAX,
	    .connect_timeout_ns = CONNECT_TIMEOUT,
	};
	struct upstream *u = alloc_zero(sizeof(*u));
	enum err e;

	*why = "out of memory";
	if (u == NULL)
		return ERR_NO_MEMORY;
	u->p = *p;
	list_init(&u->vaults);
	e = http_init(why);
	if (e != ERR_OK) {
		alloc_free(u);
		return e;
	}
	u->http = http_new(p->loop, &hp);
	if (u->http != NULL)
		u->tokens = iam_set_new(p->loop, u->http);
	if (u->tokens == NULL) {
		upstream_free(u);
		return ERR_NO_MEMORY;
	}
	*out = u;
	return ERR_OK;
}

static void
shut_vault(struct shared_vault *s)
{
	watch_free(s->watch);
	s->watch = NULL;
	vault_kp_shut(s->vault);
}

void
upstream_shut(struct upstream *u)
{
	if (u == NULL)
		return;
	LIST_FOREACH(it, &u->vaults)
		shut_vault(CONTAINER_OF(it, struct shared_vault, link));
}

void
upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	if (u->tokens != NULL)
		iam_set_free(u->tokens);
	if (u->http != NULL) {
		loop_turn(u->p.loop, false); /* calls that were cancelled go between turns */
		http_free(u->http);
	}
	http_fini();
	alloc_free(u);
}

static void
put_text(struct buf *b, const char *s)
{
	buf_printf(b, "%s%s\n", s != NULL ? "=" : "", s != NULL ? s : "");
}

/* All of a vault's settings in one text: vaults with equal ones are the same. */
static void
put_settings(struct buf *b, const struct config_tenant *t)
{
	const struct config_keyprotect *c = &t->vault.keyprotect;

	put_text(b, t->id);
	put_text(b, c->url);
	put_text(b, c->iam_url);
	put_text(b, c->instance);
	put_text(b, c->root_key);
	put_text(b, c->key_ring);
	put_text(b, c->name_prefix);
	put_text(b, c->api_key_file);
	put_text(b, c->token_file);
	put_text(b, c->profile_id);
	put_text(b, c->profile_name);
	put_text(b, c->ca_file);
	put_text(b, c->proxy);
	buf_printf(b, "%d %lld %lld %u %u", c->own_generator, (long long)c->call_timeout_ns,
	    (long long)c->operation_timeout_ns, c->call_rate_max, c->calls_max);
}

static void
tell_token_event(void *arg, const struct iam *i, const char *what, const char *detail)
{
	(void)arg;
	LOG(iam_state(i) == IAM_GOOD ? LOG_INFO : LOG_WARN, "iam", what, kv_text("credential", iam_name(i)), kv_text("detail", detail));
}

/* A file that cannot be used is told before anybody needs it, and by its name. */
static enum err
check_credential(const struct iam *iam, const char **why)
{
	static char text[WHY_MAX];
	const char *sentence;
	enum err e = iam_check(iam, &sentence);

	if (e != ERR_OK) {
		snprintf(text, sizeof(text), "%s: %s", iam_name(iam), sentence);
		*why = text;
	}
	return e;
}

static enum err
make_vault(struct upstream *u, const struct config_keyprotect *c, struct vault **out,
    const char **why)
{
	const struct iam_params ip = {
	    .url = c->iam_url,
	    .api_key_file = c->api_key_file,
	    .token_file = c->token_file,
	    .profile_id = c->profile_id,
	    .profile_name = c->profile_name,
	    .route = {.ca_file = c->ca_file, .proxy = c->proxy},
	    .event = tell_token_event,
	};
	struct vault_kp_params p;
	struct iam *iam;
	enum err e = iam_get(u->tokens, &ip, &iam);

	if (e != ERR_OK) {
		*why = e == ERR_CONFIG ? "there is not one credential" : err_text(e);
		return e;
	}
	vault_kp_defaults(&p);
	p.loop = u->p.loop;
	p.http = u->http;
	p.iam = iam;
	p.url = c->url;
	p.route = ip.route;
	p.instance = c->instance;
	p.root_key = c->root_key;
	p.key_ring = c->key_ring;
	p.name_prefix = c->name_prefix;
	p.own_generator = c->own_generator;
	p.attempt_ns = c->call_timeout_ns;
	p.timeout_ns = c->operation_timeout_ns;
	p.rate_max = c->call_rate_max;
	p.in_flight_max = c->calls_max;
	e = check_credential(iam, why);
	if (e == ERR_OK)
		e = vault_kp_new(out, &p, why);
	iam_unref(iam);
	return e;
}

static struct shared_vault *
same_settings(struct upstream *u, const struct buf *settings)
{
	LIST_FOREACH(it, &u->vaults) {
		struct shared_vault *s = CONTAINER_OF(it, struct shared_vault, link);

		if (s->settings.len == settings->len &&
		    memcmp(s->settings.data, settings->data, settings->len) == 0)
			return s;
	}
	return NULL;
}

/* The custody, and who keeps asking. */
static enum err
begin_watch(struct upstream *u, struct shared_vault *s, const struct config_tenant *c)
{
	const struct custody_params cp = {
	    .name = c->id, .bound_ns = c->revocation_bound_ns, .ride_out_ns = c->ride_out_max_ns};
	struct watch_params wp = {
	    .loop = u->p.loop,
	    .vault = s->vault,
	    .ledger = u->p.ledger,
	    .lookups = u->p.lookups,
	    .cache = u->p.cache,
	    .tenant = c->id,
	    .bound_ns = c->revocation_bound_ns,
	};

	s->custody = wp.custody = custody_new(&cp);
	if (s->custody == NULL || u->p.ledger == NULL)
		return s->custody != NULL ? ERR_OK : ERR_NO_MEMORY;
	s->watch = watch_new(&wp);
	return s->watch != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static void
shared_free(struct shared_vault *s)
{
	watch_free(s->watch);
	if (s->custody != NULL)
		custody_unref(s->custody);
	if (s->vault != NULL)
		s->vault->ops->free(s->vault);
	buf_fini(&s->settings);
	alloc_free(s);
}

enum err
upstream_vault(struct upstream *u, const struct config_tenant *c, struct vault **out,
    const char **why)
{
	struct shared_vault *s = alloc_zero(sizeof(*s)), *same;
	enum err e;

	*why = "out of memory";
	if (s == NULL)
		return ERR_NO_MEMORY;
	buf_init(&s->settings, SETTINGS_MAX);
	put_settings(&s->settings, c);
	e = buf_error(&s->settings);
	same = e == ERR_OK ? same_settings(u, &s->settings) : NULL;
	if (same != NULL) {
		shared_free(s);
		s = same;
	} else {
		if (e == ERR_OK)
			e = make_vault(u, &c->vault.keyprotect, &s->vault, why);
		if (e == ERR_OK)
			e = begin_watch(u, s, c);
		if (e != ERR_OK) {
			shared_free(s);
			return e;
		}
		list_append(&u->vaults, &s->link);
	}
	s->refs++;
	*out = s->vault;
	return ERR_OK;
}

static struct shared_vault *
find_shared(struct upstream *u, const struct vault *v)
{
	LIST_FOREACH(it, &u->vaults) {
		struct shared_vault *s = CONTAINER_OF(it, struct shared_vault, link);

		if (s->vault == v)
			return s;
	}
	return NULL;
}

struct custody *
upstream_custody(struct upstream *u, const struct vault *v)
{
	struct shared_vault *s = find_shared(u, v);

	return s != NULL ? s->custody : NULL;
}

struct watch *
upstream_watch(struct upstream *u, const struct vault *v)
{
	struct shared_vault *s = find_shared(u, v);

	return s != NULL ? s->watch : NULL;
}

void
upstream_set(struct upstream *u, const struct vault *v, const struct cache_terms *terms)
{
	struct shared_vault *s = find_shared(u, v);

	if (s == NULL)
		return;
	custody_set(s->custody, terms->bound_ns, terms->ride_out_ns);
	if (s->watch != NULL)
		watch_set_bound(s->watch, terms->bound_ns);
}

void
upstream_release(struct upstream *u, struct vault *v)
{
	struct shared_vault *s = find_shared(u, v);

	if (s == NULL || --s->refs > 0)
		return;
	list_remove(&s->link);
	shared_free(s);
}
