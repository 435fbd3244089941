/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to TLS settings and tenants: everything is prepared before any is used. */
#include "daemon.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#include "clients.h"
#include "expiry.h"
#include "manager.h"
#include "rootlook.h"

struct prepared {
	struct tls_server *tls;
	struct tenants *tenants;
	int audit_file; /* -1: none */
	struct next_certificates next;
};

/* A tenant, and whose its vault is. */
struct owned_tenant {
	struct tenant t;
	struct upstream *upstream; /* NULL: the vault is the tenant's own */
};

static void
release_tenant(struct tenant *t)
{
	struct owned_tenant *o = CONTAINER_OF(t, struct owned_tenant, t);

	if (t->vault != NULL && o->upstream != NULL)
		upstream_release(o->upstream, t->vault);
	else if (t->vault != NULL)
		t->vault->ops->free(t->vault);
	limit_unref(t->limit);
	alloc_free(o);
}

/* The tenant in use with this id, or NULL; n: where it may be. */
static const struct tenant *
tenant_now(const struct keyferryd *d, const char *id, size_t n)
{
	const struct tenants *now = d->gate != NULL ? gate_tenants(d->gate) : NULL;
	const struct tenant *t = now != NULL ? tenants_at(now, n) : NULL;

	if (now != NULL && (t == NULL || strcmp(t->id, id) != 0))
		t = tenants_by_id(now, id);
	return t;
}

static enum err
open_local(struct owned_tenant *o, struct keyferryd *d, const struct config_tenant *c,
    const struct tenant *before, struct buf *why)
{
	const char *file = c->vault.local.root_key_file, *sentence = "";
	enum err e = vault_local_new(&o->t.vault, d->store, d->loop, file, &sentence);

	if (e == ERR_OK)
		vault_local_guard(o->t.vault, d->ledger, o->t.id);
	if (e == ERR_OK && before != NULL)
		e = vault_local_follow(o->t.vault, before->vault, &sentence);
	if (e != ERR_OK)
		buf_printf(why, "tenant \"%s\": %s: %s", c->title, file, sentence);
	return e;
}

static enum err
open_keyprotect(struct owned_tenant *o, struct keyferryd *d, const struct config_tenant *c,
    struct buf *why)
{
	const struct upstream_params p = {
	    .loop = d->loop, .ledger = d->ledger, .lookups = d->lookups, .cache = d->cache};
	const char *sentence = "";
	enum err e = d->upstream != NULL ? ERR_OK : upstream_new(&d->upstream, &p, &sentence);

	if (e == ERR_OK)
		e = upstream_vault(d->upstream, c, &o->t.vault, &sentence);
	if (e != ERR_OK) {
		buf_printf(why, "tenant \"%s\": %s", c->title, sentence);
		return e;
	}
	o->upstream = d->upstream;
	o->t.lookups = d->lookups;
	o->t.cache = d->cache;
	o->t.custody = upstream_custody(d->upstream, o->t.vault);
	o->t.iam = upstream_iam(d->upstream, o->t.vault);
	o->t.cache_terms = (struct cache_terms){c->revocation_bound_ns, c->ride_out_max_ns};
	return ERR_OK;
}

/* A key that two gateways serve must not depend on what one of them alone was told. */
static bool
is_born_active(const struct config_tenant *c)
{
	return c->born_active == SWITCH_ON ||
	    (c->born_active == SWITCH_AUTO && c->vault.kind == CONFIG_VAULT_KEYPROTECT);
}

static enum err
add_tenant(struct tenants *ts, struct keyferryd *d, const struct config_tenant *c, struct buf *why)
{
	struct owned_tenant *o = alloc_zero(sizeof(*o));
	const struct tenant *before = tenant_now(d, c->id, tenants_count(ts));
	struct tenant *t;
	enum err e;

	if (o == NULL)
		return ERR_NO_MEMORY;
	t = &o->t;
	t->refs = 1;
	t->release = release_tenant;
	t->ledger = d->ledger;
	t->alarms = d->alarms;
	t->uses = d->uses;
	t->born_active = is_born_active(c);
	t->refuse_compromised = !c->serve_compromised;
	t->warm_keys = c->warm_keys;
	t->accept_expired_until = c->accept_expired_until;
	strncpy(t->id, c->id, sizeof(t->id) - 1);
	/* what it uses goes on to count */
	t->limit = before != NULL ? limit_ref(before->limit) : limit_new(d->loop, c->id);
	e = t->limit == NULL ? ERR_NO_MEMORY
	    : c->vault.kind == CONFIG_VAULT_LOCAL ? open_local(o, d, c, before, why)
						  : open_keyprotect(o, d, c, why);
	if (e == ERR_OK && before != NULL && before->vault->ops == t->vault->ops) {
		t->keys_in = before->keys_in;
		t->keys_unseen = before->keys_unseen;
	}
	if (e == ERR_OK)
		e = tenants_add(ts, t);
	if (e == ERR_OK)
		e = clients_add(ts, d->gate != NULL ? gate_tenants(d->gate) : NULL, t, c, d->state_dir,
		    why);
	tenant_unref(t);
	return e;
}

static void
prepared_fini(struct prepared *p)
{
	tls_server_unref(p->tls);
	tenants_unref(p->tenants);
	if (p->audit_file >= 0)
		close(p->audit_file);
}

/* Reopened at each reload, so that a file that was moved away is left alone from then on. */
static enum err
prepare_audit(const struct keyferryd *d, const struct config *c, struct prepared *p,
    const char **why)
{
	if (c->audit_file == NULL)
		return ERR_OK;
	return d->audit != NULL ? audit_open_file(c->audit_file, &p->audit_file, why)
				: audit_test_file(c->audit_file, why);
}

/* The first of each file: what follows is its chain. */
static enum err
load_next(struct next_certificates *next, const char *const *files, struct buf *why)
{
	const char *sentence;
	struct stack_st_X509 *list;
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && files[i] != NULL; i++) {
		if (next->count == NEXT_CERTIFICATES_MAX) {
			buf_printf(why, "more than %d files in next-certificate", NEXT_CERTIFICATES_MAX);
			return ERR_CONFIG;
		}
		e = certificates_of_file(files[i], &list, &sentence);
		if (e != ERR_OK) {
			buf_printf(why, "%s", sentence);
			return e;
		}
		e = certificate_describe(certificates_at(list, 0), &next->all[next->count]);
		if (e == ERR_OK)
			next->count++;
		else
			buf_printf(why, "%s: its dates cannot be read", files[i]);
		certificates_free(list);
	}
	return e;
}

/*
 * libcurl reads them when it connects, and minds nothing.  Looked at in each reload, as vaults that stay
 * read them again; but not once for each tenant where all name the same file.
 */
static enum err
check_authorities(const struct config *c, struct buf *why)
{
	const char *file, *seen = "", *sentence;
	struct stack_st_X509 *list;
	enum err e;

	for (size_t i = 0; i < c->tenants_count; i++) {
		const struct config_vault *v = &c->tenants[i].vault;

		file = v->kind == CONFIG_VAULT_KEYPROTECT ? v->keyprotect.ca_file : NULL;
		if (file == NULL || strcmp(file, seen) == 0)
			continue;
		e = certificates_of_file(file, &list, &sentence);
		if (e != ERR_OK) {
			buf_printf(why, "tenant \"%s\": ca-file %s", c->tenants[i].title, sentence);
			return e;
		}
		certificates_free(list);
		seen = file;
	}
	return ERR_OK;
}

/*
 * In a directory that is not ours no client was trusted by command: who was would be shut out.  Looked at when
 * they were read, so that what went away meanwhile is not taken for empty either.
 */
static enum err
check_state(const struct keyferryd *d, struct buf *why)
{
	enum err e = d->store != NULL ? store_in_place(d->store) : ERR_OK;

	if (e != ERR_OK)
		buf_printf(why, "%s: %s: clients that commands trusted cannot be read from there", d->state_dir,
		    err_text(e));
	return e;
}

static enum err
prepare(struct keyferryd *d, const struct config *c, struct prepared *p, struct buf *why)
{
	const struct tls_params tls = {
	    .certificates = c->tls.certificates,
	    .private_keys = c->tls.private_keys,
	    .min_version_13 = c->tls.min_version_13,
	    .legacy_cbc = c->tls.legacy_cbc,
	    .resumption = c->tls.resumption,
	    .resumption_12 = c->tls.resumption_12,
	    .ticket_key_file = c->tls.ticket_key_file,
	    .loop = d->loop,
	    .check = gate_check_certificate,
	    .check_arg = d->gate,
	};
	const char *sentence = "";
	enum err e;

	*p = (struct prepared){.tenants = tenants_new(), .audit_file = -1};
	e = p->tenants != NULL ? tls_server_new(&p->tls, &tls, &sentence) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = prepare_audit(d, c, p, &sentence);
	if (e != ERR_OK)
		buf_printf(why, "%s", sentence);
	if (e == ERR_OK)
		e = load_next(&p->next, c->tls.next_certificates, why);
	if (e == ERR_OK)
		e = check_authorities(c, why);
	for (size_t i = 0; e == ERR_OK && i < c->tenants_count; i++)
		e = add_tenant(p->tenants, d, &c->tenants[i], why);
	if (e == ERR_OK)
		e = check_state(d, why);
	if (e == ERR_OK)
		e = clients_check(p->tenants, why);
	if (e != ERR_OK) {
		if (why->len == 0)
			buf_printf(why, "%s", err_text(e));
		prepared_fini(p);
	}
	return e;
}

/* What descriptors allow, but for those of connections to key managers; wanted 0: all of that. */
static size_t
sessions_allowed(const struct keyferryd *d, size_t wanted)
{
	size_t upstream = d->upstream != NULL ? upstream_connections_max(d->upstream) : 0;
	size_t allowed = d->sessions_ceiling;

	allowed -= upstream < allowed / 2 ? upstream : allowed / 2;
	if (wanted > allowed)
		LOG(LOG_WARN, "daemon", "sessions-max is more than descriptors allow",
		    kv_int("sessions-max", (int64_t)wanted), kv_int("allowed", (int64_t)allowed));
	return wanted == 0 || wanted > allowed ? allowed : wanted;
}

/*
 * Its tenant is there, and the version of the root key that was missing is still; whether a check passes only a
 * Get can tell.
 */
static bool
alarm_stands(const void *arg, const struct alarm *a)
{
	const struct tenant *t = tenants_by_id(arg, a->tenant);

	return t != NULL && (!a->unkeyed || !vault_local_has(t->vault, a->root_version));
}

enum err
daemon_apply(struct keyferryd *d, const struct config *c, struct buf *why, size_t *closed)
{
	struct gate_limits limits = {
	    .request_max = c->request_size_max,
	    .response_max = c->response_size_max,
	    .items_max = c->items_max,
	    .handshakes_max = c->handshakes_max,
	    .handshake_timeout_ns = c->handshake_timeout_ns,
	    .request_timeout_ns = c->request_timeout_ns,
	    .idle_timeout_ns = c->idle_timeout_ns,
	};
	struct prepared p;
	enum err e = prepare(d, c, &p, why);

	if (e != ERR_OK)
		return e;
	limits.sessions_max = sessions_allowed(d, c->sessions_max);
	log_set_level(c->log_level);
	audit_use(d->audit, p.audit_file, c->audit_required);
	p.audit_file = -1;
	*closed = gate_configure(d->gate, p.tls, p.tenants, &limits);
	d->next = p.next;
	alarms_sweep(d->alarms, alarm_stands, p.tenants);
	expiry_look(d);
	for (size_t i = 0; i < tenants_count(p.tenants); i++) {
		const struct tenant *t = tenants_at(p.tenants, i);

		limit_set(t->limit, &c->tenants[i].limits);
		if (t->custody != NULL)
			upstream_set(d->upstream, t->vault, &t->cache_terms);
	}
	prepared_fini(&p);
	return ERR_OK;
}

enum err
daemon_test(const struct config *c, struct buf *why)
{
	struct keyferryd d = {.loop = loop_new(), .state_dir = alloc_text(c->state_dir)};
	struct prepared p;
	enum err e = d.loop != NULL && d.state_dir != NULL ? prepare(&d, c, &p, why) : ERR_NO_MEMORY;

	if (e == ERR_OK)
		prepared_fini(&p);
	upstream_free(d.upstream);
	loop_free(d.loop);
	alloc_free(d.state_dir);
	return e;
}

/* A log rotation counts on it, whatever else is wrong: what was moved away may be deleted later. */
static void
reopen_audit(struct keyferryd *d)
{
	const char *why = "";
	int fd;

	if (d->config->audit_file == NULL)
		return;
	if (audit_open_file(d->config->audit_file, &fd, &why) == ERR_OK)
		audit_use(d->audit, fd, d->config->audit_required);
	else
		LOG(LOG_ERROR, "daemon", "the audit log stays in the old file", kv_text("why", why));
}

/* --- a start --- */

struct look {
	struct kinds kinds;
	enum err e;
	bool over;
};

static void
look_over(struct wait *w, enum err e)
{
	struct look *l = CONTAINER_OF(w, struct look, kinds.wait);

	l->e = e;
	l->over = true;
}

static struct kinds
kinds_of(struct keyferryd *d, const struct config *c, struct buf *why,
    void (*done)(struct wait *, enum err))
{
	return (struct kinds){.wait.done = done, .loop = d->loop, .ledger = d->ledger,
	    .gate = d->gate, .config = c, .why = why};
}

/* Neither what cannot be told nor one tenant's fault keeps the others from their keys. */
void
daemon_mark_kinds(struct keyferryd *d)
{
	struct buf why;
	struct look l = {.kinds = kinds_of(d, d->config, &why, look_over)};

	buf_init(&why, 8192);
	l.kinds.starting = true;
	kinds_look(&l.kinds);
	while (!l.over)
		loop_turn(d->loop, true); /* calls to the child have deadlines */
	if (l.e != ERR_OK)
		LOG(LOG_WARN, "daemon", "tenants' keys were not asked for the kind of their vault",
		    kv_bytes("why", why.data, (int64_t)why.len));
	for (size_t i = l.kinds.tenant; i < d->config->tenants_count; i++)
		tenants_by_id(gate_tenants(d->gate), d->config->tenants[i].id)->keys_unseen = true;
	buf_fini(&why);
}

/* --- a reload --- */

/* Whoever waits may ask for the next one. */
static void
end_reload(struct keyferryd *d, enum err e)
{
	struct reload *r = &d->reload;
	struct list waits, *l;

	list_init(&waits);
	list_move_all(&waits, &r->waits);
	while ((l = list_pop(&waits)) != NULL)
		wait_finish(CONTAINER_OF(l, struct wait, link), e);
}

static void
refuse(struct keyferryd *d, enum err e)
{
	const struct buf *why = &d->reload.why;

	metric_inc(METRIC_RELOADS_FAILED_TOTAL);
	LOG(LOG_ERROR, "daemon", "reload refused; nothing changed",
	    kv_bytes("why", why->data, (int64_t)why->len));
	d->reload_refused_ms = clock_wall_ms();
	manager_reloaded(why);
	reopen_audit(d);
	end_reload(d, e);
}

static void
applied(struct keyferryd *d, const struct config *fresh, size_t closed)
{
	struct buf *why = &d->reload.why, names;

	metric_inc(METRIC_RELOADS_TOTAL);
	d->reload_refused_ms = 0;
	manager_reloaded(NULL);
	buf_init(&names, 1024);
	if (config_reload_diff(d->config, fresh, &names)) {
		buf_printf(why, "these take effect at a restart only: ");
		buf_put(why, names.data, names.len);
		LOG(LOG_WARN, "daemon", "options that need a restart have changed",
		    kv_bytes("options", names.data, (int64_t)names.len));
	}
	buf_fini(&names);
	config_unref(d->config);
	d->config = fresh;
	rootlook_start(d);
	LOG(LOG_NOTICE, "daemon", "reloaded", kv_int("sessions-closed", (int64_t)closed),
	    kv_int("sessions-unseen", (int64_t)gate_unseen(d->gate)),
	    kv_int("tenants", (int64_t)fresh->tenants_count));
	end_reload(d, ERR_OK);
}

static void
kinds_known(struct wait *w, enum err e)
{
	struct keyferryd *d = CONTAINER_OF(w, struct keyferryd, reload.kinds.wait);
	const struct config *fresh = d->reload.fresh;
	size_t closed = 0;

	d->reload.fresh = NULL;
	if (e == ERR_OK)
		e = daemon_apply(d, fresh, &d->reload.why, &closed);
	if (e == ERR_OK) {
		applied(d, fresh, closed);
		return;
	}
	config_unref(fresh);
	refuse(d, e);
}

/* It ends for all who wait for it. */
static void
leave_reload(struct wait *w)
{
	(void)w;
}

static void
drop_reload(struct reload *r)
{
	wait_cancel(&r->kinds.wait);
	config_unref(r->fresh);
	r->fresh = NULL;
	buf_fini(&r->why);
}

void
daemon_reload(struct keyferryd *d, struct wait *w)
{
	struct reload *r = &d->reload;
	enum err e;

	w->cancel = leave_reload;
	list_append(&r->waits, &w->link);
	drop_reload(r);
	buf_init(&r->why, 64 * 1024);
	e = config_load(d->config->path, &r->fresh, &r->why);
	r->kinds = kinds_of(d, r->fresh, &r->why, kinds_known);
	if (e == ERR_OK)
		kinds_look(&r->kinds);
	else
		wait_finish_soon(d->loop, &r->kinds.wait, e);
}

void
daemon_reload_stop(struct keyferryd *d)
{
	wait_cancel(&d->asked_to_reload);
	drop_reload(&d->reload);
	end_reload(d, ERR_CANCELLED);
}
