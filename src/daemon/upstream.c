/* SPDX-License-Identifier: Apache-2.0 */
/* The way to key managers elsewhere. */
#include "upstream.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "keys/share.h"
#include "keys/vault_kp.h"

enum {
	CONNECTIONS_MAX = 1024,
	TOKEN_CALLS = 8, /* beside those of vaults */
	SETTINGS_MAX = 32 * 1024,
	WHY_MAX = 4096,
	CONNECTION_NAME_MAX = 160,
};
#define CONNECT_TIMEOUT (3 * NS_PER_S)

struct upstream {
	struct upstream_params p;
	struct http *http;
	struct iam_set *tokens;
	struct vault_kp_set *set;
	struct list connections, vaults;
};

/* What the vaults with one source of news have in common. */
struct connection {
	struct list link;
	struct vault_source *source;
	struct custody *custody;
	struct watch *watch; /* NULL when settings are only tested */
	struct list vaults;  /* by their kin */
};

/* A tenant's, through every configuration in which its settings are the same. */
struct shared_vault {
	struct list link, kin;
	unsigned refs;
	struct buf settings; /* what it was made from */
	char tenant[TENANT_ID_MAX + 1];
	struct iam *iam;
	struct vault *vault;
	struct connection *connection;
	struct watch_tenant *watched; /* NULL when there is no watch */
	struct cache_terms terms;
	bool terms_told;     /* to the cache, which may have keys of the tenant's from before */
	struct share *share; /* NULL when attributes stay here */
};

enum err
upstream_new(struct upstream **out, const struct upstream_params *p, const char **why)
{
	const struct http_params hp = {
	    .connections_max = TOKEN_CALLS,
	    .per_host_max = TOKEN_CALLS,
	    .connect_timeout_ns = CONNECT_TIMEOUT,
	};
	struct upstream *u = alloc_zero(sizeof(*u));
	enum err e;

	*why = "out of memory";
	if (u == NULL)
		return ERR_NO_MEMORY;
	u->p = *p;
	list_init(&u->vaults);
	list_init(&u->connections);
	e = http_init(why);
	if (e != ERR_OK) {
		alloc_free(u);
		return e;
	}
	u->http = http_new(p->loop, &hp);
	if (u->http != NULL)
		u->tokens = iam_set_new(p->loop, u->http);
	if (u->tokens != NULL)
		u->set = vault_kp_set_new();
	if (u->set == NULL) {
		upstream_free(u);
		return ERR_NO_MEMORY;
	}
	*out = u;
	return ERR_OK;
}

void
upstream_shut(struct upstream *u)
{
	if (u == NULL)
		return;
	LIST_FOREACH(it, &u->vaults) {
		struct shared_vault *s = CONTAINER_OF(it, struct shared_vault, link);

		watch_remove(s->watched);
		s->watched = NULL;
		share_free(s->share);
		s->share = NULL;
		vault_kp_shut(s->vault);
	}
	LIST_FOREACH(it, &u->connections) {
		struct connection *n = CONTAINER_OF(it, struct connection, link);

		watch_free(n->watch);
		n->watch = NULL;
	}
}

void
upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	vault_kp_set_free(u->set);
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
	put_text(b, c->service_ids);
	put_text(b, c->api_key_file);
	put_text(b, c->token_file);
	put_text(b, c->profile_id);
	put_text(b, c->profile_name);
	put_text(b, c->ca_file);
	put_text(b, c->proxy);
	buf_printf(b, "%d %d %lld %lld %u %u", c->attributes_shared, c->own_generator,
	    (long long)c->call_timeout_ns, (long long)c->operation_timeout_ns, c->call_rate_max,
	    c->calls_max);
}

static void
tell_token_event(void *arg, const struct iam *i, const char *what, const char *detail)
{
	(void)arg;
	LOG(iam_state(i) == IAM_GOOD ? LOG_INFO : LOG_WARN, "iam", what,
	    kv_text("credential", iam_name(i)), kv_text("detail", detail));
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
make_vault(struct upstream *u, const struct config_keyprotect *c, struct shared_vault *s,
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
	enum err e = iam_get(u->tokens, &ip, &s->iam);

	if (e != ERR_OK) {
		*why = e == ERR_CONFIG ? "there is not one credential" : err_text(e);
		return e;
	}
	vault_kp_defaults(&p);
	p.set = u->set;
	p.loop = u->p.loop;
	p.http = u->http;
	p.iam = s->iam;
	p.url = c->url;
	p.route = ip.route;
	p.instance = c->instance;
	p.root_key = c->root_key;
	p.key_ring = c->key_ring;
	p.name_prefix = c->name_prefix;
	p.service_ids = c->service_ids;
	p.own_generator = c->own_generator;
	p.attempt_ns = c->call_timeout_ns;
	p.timeout_ns = c->operation_timeout_ns;
	p.rate_max = c->call_rate_max;
	p.in_flight_max = c->calls_max;
	e = check_credential(s->iam, why);
	if (e == ERR_OK)
		e = vault_kp_new(&s->vault, &p, why);
	if (e == ERR_OK)
		s->vault->cache = u->p.cache;
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

/* Calls are limited by instance; none of them shall wait for a connection besides. */
static void
allow_connections(struct upstream *u)
{
	unsigned max = upstream_connections_max(u);

	http_allow(u->http, max, max);
}

unsigned
upstream_connections_max(const struct upstream *u)
{
	unsigned max = vault_kp_set_calls_max(u->set) + TOKEN_CALLS;

	return max < CONNECTIONS_MAX ? max : CONNECTIONS_MAX;
}

/* --- connections --- */

static void
connection_free(struct connection *n)
{
	list_remove(&n->link);
	watch_free(n->watch);
	if (n->custody != NULL)
		custody_unref(n->custody);
	alloc_free(n);
}

/* NULL without memory. */
static struct connection *
connection_new(struct upstream *u, struct vault_source *source, const struct config_tenant *c)
{
	char name[CONNECTION_NAME_MAX];
	const struct custody_params cp = {
	    .name = name, .bound_ns = c->revocation_bound_ns, .ride_out_ns = c->ride_out_max_ns};
	struct watch_params wp = {
	    .loop = u->p.loop,
	    .source = source,
	    .ledger = u->p.ledger,
	    .lookups = u->p.lookups,
	    .cache = u->p.cache,
	    .bound_ns = c->revocation_bound_ns,
	};
	struct connection *n = alloc_zero(sizeof(*n));

	if (n == NULL)
		return NULL;
	n->source = source;
	list_init(&n->vaults);
	snprintf(name, sizeof(name), "%s/%s", c->vault.keyprotect.instance,
	    c->vault.keyprotect.root_key);
	n->custody = wp.custody = custody_new(&cp);
	if (n->custody != NULL && u->p.ledger != NULL)
		n->watch = watch_new(&wp);
	if (n->custody == NULL || (u->p.ledger != NULL && n->watch == NULL)) {
		connection_free(n);
		return NULL;
	}
	list_append(&u->connections, &n->link);
	return n;
}

static struct connection *
connection_for(struct upstream *u, struct vault_source *source, const struct config_tenant *c)
{
	LIST_FOREACH(it, &u->connections) {
		struct connection *n = CONTAINER_OF(it, struct connection, link);

		if (n->source == source)
			return n;
	}
	return connection_new(u, source, c);
}

/* The shortest bound and the longest ride-out; each get has its tenant's own. */
static void
set_terms(struct connection *n)
{
	struct cache_terms all = {INT64_MAX, 0};

	LIST_FOREACH(it, &n->vaults) {
		const struct cache_terms *t = &CONTAINER_OF(it, struct shared_vault, kin)->terms;

		if (t->bound_ns < all.bound_ns)
			all.bound_ns = t->bound_ns;
		if (t->ride_out_ns > all.ride_out_ns)
			all.ride_out_ns = t->ride_out_ns;
	}
	custody_set(n->custody, all.bound_ns, all.ride_out_ns);
	if (n->watch != NULL)
		watch_set_bound(n->watch, all.bound_ns);
}

static enum err
connect_vault(struct upstream *u, struct shared_vault *s, const struct config_tenant *c)
{
	struct connection *n = connection_for(u, vault_kp_source(s->vault), c);

	if (n == NULL)
		return ERR_NO_MEMORY;
	s->connection = n;
	snprintf(s->tenant, sizeof(s->tenant), "%s", c->id);
	s->terms = (struct cache_terms){c->revocation_bound_ns, c->ride_out_max_ns};
	list_append(&n->vaults, &s->kin);
	set_terms(n);
	if (n->watch != NULL)
		s->watched = watch_add(n->watch, s->tenant, s->vault);
	return n->watch == NULL || s->watched != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* In a reload the same tenant may have two vaults for some time. */
static bool
has_tenant(const struct connection *n, const char *tenant)
{
	LIST_FOREACH(it, &n->vaults)
		if (strcmp(CONTAINER_OF(it, struct shared_vault, kin)->tenant, tenant) == 0)
			return true;
	return false;
}

static void
disconnect_vault(struct shared_vault *s)
{
	struct connection *n = s->connection;

	if (n == NULL)
		return;
	watch_remove(s->watched);
	list_remove(&s->kin);
	if (list_empty(&n->vaults)) {
		connection_free(n);
		return;
	}
	if (!has_tenant(n, s->tenant))
		cache_withdraw(n->custody, s->tenant);
	set_terms(n);
}

/* --- vaults --- */

/* Changes of attributes are written behind, unless settings are only tested. */
static enum err
begin_share(struct upstream *u, struct shared_vault *s, const struct config_tenant *c)
{
	const struct share_params sp = {
	    .loop = u->p.loop, .vault = s->vault, .ledger = u->p.ledger, .tenant = c->id};

	if (!c->vault.keyprotect.attributes_shared || u->p.ledger == NULL)
		return ERR_OK;
	s->share = share_new(&sp);
	return s->share != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static void
shared_free(struct shared_vault *s)
{
	share_free(s->share);
	disconnect_vault(s);
	if (s->vault != NULL)
		s->vault->ops->free(s->vault);
	iam_unref(s->iam);
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
			e = make_vault(u, &c->vault.keyprotect, s, why);
		if (e == ERR_OK)
			e = connect_vault(u, s, c);
		if (e == ERR_OK)
			e = begin_share(u, s, c);
		if (e != ERR_OK) {
			shared_free(s);
			return e;
		}
		list_append(&u->vaults, &s->link);
		allow_connections(u);
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

	return s != NULL ? s->connection->custody : NULL;
}

struct watch_tenant *
upstream_watch(struct upstream *u, const struct vault *v)
{
	struct shared_vault *s = find_shared(u, v);

	return s != NULL ? s->watched : NULL;
}

bool
upstream_is_only(struct upstream *u, const struct vault *v)
{
	const struct shared_vault *s = find_shared(u, v);

	LIST_FOREACH(it, &u->vaults) {
		const struct shared_vault *other = CONTAINER_OF(it, struct shared_vault, link);

		if (s != NULL && other != s && strcmp(other->tenant, s->tenant) == 0)
			return false;
	}
	return true;
}

const struct iam *
upstream_iam(struct upstream *u, const struct vault *v)
{
	struct shared_vault *s = find_shared(u, v);

	return s != NULL ? s->iam : NULL;
}

void
upstream_set(struct upstream *u, const struct vault *v, const struct cache_terms *terms)
{
	struct shared_vault *s = find_shared(u, v);

	if (s == NULL || (s->terms_told && s->terms.bound_ns == terms->bound_ns &&
			     s->terms.ride_out_ns == terms->ride_out_ns))
		return; /* most tenants in most reloads: no walk through all keys for each */
	s->terms = *terms;
	s->terms_told = true;
	set_terms(s->connection);
	if (u->p.cache != NULL)
		cache_set_terms(u->p.cache, s->tenant, terms);
}

/* A vault with other options begins with nothing in memory, and in an outage stays so. */
static void
tell_lost_ride(const struct upstream *u, const struct shared_vault *s)
{
	const struct custody *old = s->connection->custody;

	if (custody_state_for(old, s->terms.ride_out_ns) != CUSTODY_RIDING_OUT)
		return;
	LIST_FOREACH(it, &u->connections) {
		const struct connection *n = CONTAINER_OF(it, struct connection, link);

		if (n == s->connection || strcmp(custody_name(n->custody), custody_name(old)) != 0 ||
		    !has_tenant(n, s->tenant))
			continue;
		LOG(LOG_WARN, "upstream",
		    "options of the vault were changed in an outage: its keys left the memory, and are "
		    "served again when the key manager answers",
		    kv_text("tenant", s->tenant));
		return;
	}
}

void
upstream_release(struct upstream *u, struct vault *v)
{
	struct shared_vault *s = find_shared(u, v);

	if (s == NULL || --s->refs > 0)
		return;
	tell_lost_ride(u, s);
	list_remove(&s->link);
	shared_free(s);
	allow_connections(u);
}
