/* SPDX-License-Identifier: Apache-2.0 */
/* Instances and root keys that vaults share. */
#include "kproot.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

enum { STATE_DEACTIVATED = 3, STATE_ACTIVE = 1 };
#define LOOK_EVERY (300 * NS_PER_S) /* it expires seldom, and an alias hardly ever moves */

struct vault_kp_set {
	struct list instances, roots;
};

struct vault_kp_set *
vault_kp_set_new(void)
{
	struct vault_kp_set *s = alloc_zero(sizeof(*s));

	if (s == NULL)
		return NULL;
	list_init(&s->instances);
	list_init(&s->roots);
	return s;
}

void
vault_kp_set_free(struct vault_kp_set *s)
{
	alloc_free(s);
}

unsigned
vault_kp_set_calls_max(const struct vault_kp_set *s)
{
	unsigned calls = 0;

	LIST_FOREACH (link, &s->instances)
		calls += CONTAINER_OF(link, struct kpinstance, link)->limit.in_flight_max;
	return calls;
}

static bool
same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
copy_text(char **out, const char *s)
{
	*out = s != NULL ? alloc_text(s) : NULL;
	return s == NULL || *out != NULL;
}

/* --- instances --- */

/* Without the slashes that people put at the end of a URL. */
static size_t
url_len(const char *url)
{
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	return len;
}

static void
put_instance(char header[KPROOT_HEADER_MAX], const char *instance)
{
	snprintf(header, KPROOT_HEADER_MAX, "Bluemix-Instance: %s", instance);
}

static bool
is_instance(const struct kpinstance *i, const struct vault_kp_params *p)
{
	char header[KPROOT_HEADER_MAX];

	put_instance(header, p->instance);
	return i->http == p->http && i->iam == p->iam && strcasecmp(i->header, header) == 0 &&
	    strlen(i->url) == url_len(p->url) && strncmp(i->url, p->url, url_len(p->url)) == 0 &&
	    same(i->ca_file, p->route.ca_file) && same(i->proxy, p->route.proxy) &&
	    same(i->service_ids, p->service_ids) &&
	    i->allow_plain == p->route.allow_plain && i->limit.rate_max == p->rate_max &&
	    i->limit.in_flight_max == p->in_flight_max;
}

static void
instance_unref(struct kpinstance *i)
{
	if (--i->refs > 0)
		return;
	list_remove(&i->link);
	kplimit_fini(&i->limit);
	iam_unref(i->iam);
	alloc_free(i->url);
	alloc_free(i->ca_file);
	alloc_free(i->proxy);
	alloc_free(i->service_ids);
	loop_free_later(i->loop, i); /* it may be one that it let in who leaves */
}

static struct kpinstance *
instance_new(const struct vault_kp_params *p)
{
	struct kpinstance *i = alloc_zero(sizeof(*i));

	if (i == NULL)
		return NULL;
	i->refs = 1;
	i->loop = i->limit.loop = p->loop;
	i->http = p->http;
	i->iam = iam_ref(p->iam);
	i->allow_plain = p->route.allow_plain;
	i->limit.rate_max = p->rate_max;
	i->limit.in_flight_max = p->in_flight_max;
	kplimit_init(&i->limit);
	put_instance(i->header, p->instance);
	if (copy_text(&i->url, p->url) && copy_text(&i->ca_file, p->route.ca_file) &&
	    copy_text(&i->proxy, p->route.proxy) &&
	    copy_text(&i->service_ids, p->service_ids) &&
	    kp_ours_read(&i->ours, p->service_ids != NULL ? p->service_ids : "")) {
		i->url[url_len(p->url)] = '\0';
		return i;
	}
	instance_unref(i);
	return NULL;
}

static struct kpinstance *
instance_get(const struct vault_kp_params *p)
{
	struct kpinstance *i;

	LIST_FOREACH (link, &p->set->instances) {
		i = CONTAINER_OF(link, struct kpinstance, link);
		if (is_instance(i, p)) {
			i->refs++;
			return i;
		}
	}
	i = instance_new(p);
	if (i != NULL)
		list_append(&p->set->instances, &i->link);
	return i;
}

/* --- root keys --- */

static void
set_link(struct kphome *h, const struct kproot *r, int64_t attempt_ns, int64_t timeout_ns)
{
	struct kpinstance *i = r->instance;

	h->link = (struct kplink){
	    .loop = i->loop,
	    .http = i->http,
	    .iam = i->iam,
	    .route = {i->ca_file, i->proxy, i->allow_plain},
	    .url = i->url,
	    .instance = i->header,
	    .ring = r->key_ring != NULL ? r->ring : NULL,
	    .attempt_ns = attempt_ns,
	    .limit = &i->limit,
	    .ours = &i->ours,
	    .told = i->told,
	};
	h->timeout_ns = timeout_ns;
}

/* It waits as long as the most patient of its vaults. */
static void
set_times(struct kproot *r)
{
	r->home.link.attempt_ns = r->home.timeout_ns = 0;
	LIST_FOREACH (link, &r->vaults) {
		const struct kphome *h = &CONTAINER_OF(link, struct vault_kp, kin)->home;

		if (h->link.attempt_ns > r->home.link.attempt_ns)
			r->home.link.attempt_ns = h->link.attempt_ns;
		if (h->timeout_ns > r->home.timeout_ns)
			r->home.timeout_ns = h->timeout_ns;
	}
}

/* An alias cannot look like one. */
static bool
is_id(const char *s)
{
	if (strlen(s) != UID_TEXT_LEN || strspn(s, "0123456789abcdefABCDEF-") != UID_TEXT_LEN)
		return false;
	for (size_t i = 0; i < UID_TEXT_LEN; i++)
		if ((s[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23))
			return false;
	return true;
}

/* As Key Protect writes it. */
static void
put_lower(char id[UID_TEXT_LEN + 1], const char *s)
{
	for (size_t i = 0; i <= UID_TEXT_LEN; i++)
		id[i] = (char)tolower((unsigned char)s[i]);
}

bool
kproot_has_alias(const struct kproot *r)
{
	return !is_id(r->root_key);
}

void
kproot_path(char path[KPOP_PATH_LEN], const struct kproot *r, const char *action)
{
	snprintf(path, KPOP_PATH_LEN, "/keys/%s%s", r->id[0] != '\0' ? r->id : r->root_key, action);
}

void
kproot_look(const struct kproot *r, struct kpop *o, void (*done)(struct wait *, enum err))
{
	snprintf(o->path, KPOP_PATH_LEN, "/keys/%s/metadata", r->root_key);
	kpop_call(o, &o->call, "GET", o->path, NULL, done);
}

static void
set_id(struct kproot *r, const char *id)
{
	r->no_alias = false;
	if (strcasecmp(r->id, id) == 0)
		return;
	if (r->id[0] != '\0') {
		r->moves++;
		LOG(LOG_NOTICE, "keyprotect", "the alias names another root key now",
		    kv_text("alias", r->root_key), kv_text("was", r->id), kv_text("is", id));
	}
	snprintf(r->id, sizeof(r->id), "%s", id);
	alloc_free(r->canary);
	r->canary = NULL;
}

enum err
kproot_seen(struct kproot *r, const struct kpcall *c, enum err e)
{
	const struct buf *b = &c->http.answer;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	r->no_alias = e == ERR_NO_OBJECT && kproot_has_alias(r);
	if (e == ERR_OK &&
	    (kp_read_keys(b->data, b->len, kp_keep_key, &k, &rows) != ERR_OK || rows != 1))
		e = ERR_VAULT_DOWN;
	if (e != ERR_OK)
		return e;
	set_id(r, k.id);
	r->no_wrap = k.state == STATE_DEACTIVATED;
	r->look_at = clock_now() + LOOK_EVERY;
	if (kp_key_is_gone(&k))
		return ERR_NO_OBJECT;
	return k.state == STATE_ACTIVE || k.state == STATE_DEACTIVATED ? ERR_OK : ERR_WRONG_STATE;
}

static void
root_free(struct kproot *r)
{
	list_remove(&r->link);
	kpop_free_all(&r->home, ERR_CANCELLED);
	instance_unref(r->instance);
	alloc_free(r->root_key);
	alloc_free(r->key_ring);
	alloc_free(r->canary);
	alloc_free(r);
}

/* Takes over the reference of the instance, in any case. */
static struct kproot *
root_new(const struct vault_kp_params *p, struct kpinstance *i)
{
	struct kproot *r = alloc_zero(sizeof(*r));

	if (r == NULL) {
		instance_unref(i);
		return NULL;
	}
	r->source.news = kpnews_start;
	r->instance = i;
	list_init(&r->vaults);
	list_init(&r->home.ops);
	if (!copy_text(&r->root_key, p->root_key) || !copy_text(&r->key_ring, p->key_ring)) {
		root_free(r);
		return NULL;
	}
	if (is_id(p->root_key))
		put_lower(r->id, p->root_key);
	snprintf(r->ring, sizeof(r->ring), "X-Kms-Key-Ring: %s", p->key_ring ? p->key_ring : "");
	set_link(&r->home, r, 0, 0);
	list_append(&p->set->roots, &r->link);
	return r;
}

static struct kproot *
root_get(const struct vault_kp_params *p)
{
	struct kpinstance *i = instance_get(p);

	if (i == NULL)
		return NULL;
	LIST_FOREACH (link, &p->set->roots) {
		struct kproot *r = CONTAINER_OF(link, struct kproot, link);

		if (r->instance == i && same(r->root_key, p->root_key) &&
		    same(r->key_ring, p->key_ring)) {
			instance_unref(i); /* the root has its own */
			return r;
		}
	}
	return root_new(p, i);
}

enum err
kproot_join(struct vault_kp *v, const struct vault_kp_params *p)
{
	struct kproot *r = root_get(p);

	if (r == NULL)
		return ERR_NO_MEMORY;
	v->root = r;
	set_link(&v->home, r, p->attempt_ns, p->timeout_ns);
	list_append(&r->vaults, &v->kin);
	set_times(r);
	return ERR_OK;
}

void
kproot_leave(struct vault_kp *v)
{
	struct kproot *r = v->root;

	if (r == NULL)
		return;
	v->root = NULL;
	list_remove(&v->kin);
	if (list_empty(&r->vaults))
		root_free(r);
	else
		set_times(r);
}

bool
kproot_is_suspended(struct kproot *r, const struct kpcall *c)
{
	if (c->class == KP_OK || c->class == KP_SEALED)
		r->sealed = c->class == KP_SEALED;
	return c->class == KP_STATE || c->class == KP_SEALED;
}
