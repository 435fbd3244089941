/* SPDX-License-Identifier: Apache-2.0 */
/* A vault on the small Key Protect, and what tests ask of it. */
#include "kprig.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "kpfake.h"

enum { BACKGROUND = 40 };

void
kprig_key_file(struct kprig *r, const char *text)
{
	char fresh[112];
	FILE *f;

	snprintf(fresh, sizeof(fresh), "%s.new", r->key_file);
	f = fopen(fresh, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	chmod(fresh, 0600);
	ck_assert_int_eq(rename(fresh, r->key_file), 0);
}

static void
on_event(void *arg, const struct iam *i, const char *what, const char *detail)
{
	struct kprig *r = arg;

	(void)i, (void)detail;
	r->events++;
	snprintf(r->event, sizeof(r->event), "%s", what);
}

void
kprig_vault(struct kprig *r)
{
	const char *why;

	if (r->vault != NULL)
		r->vault->ops->free(r->vault);
	ck_assert_msg(vault_kp_new(&r->vault, &r->params, &why) == ERR_OK, "%s", why);
}

struct kprig *
kprig_new(void)
{
	struct http_params hp = {
	    .connections_max = 64, .per_host_max = 32, .connect_timeout_ns = 3 * NS_PER_S};
	struct kprig *r = calloc(1, sizeof(*r));
	struct iam_params ip = {.route.allow_plain = true, .event = on_event, .arg = r};
	const char *why;
	static int quiet = -1;
	uint8_t random[1];
	bool locked;

	clock_test_freeze(1760000000);
	if (quiet < 0)
		quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_set_output(quiet, false);
	log_set_level(LOG_DEBUG); /* so that every line is at least formatted */
	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	/* the generators keep their states there */
	ck_assert_int_eq(RAND_bytes(random, 1) + RAND_priv_bytes(random, 1), 2);
	ck_assert_int_eq(http_init(&why), ERR_OK);
	r->loop = loop_new();
	r->http = http_new(r->loop, &hp);
	r->kp = (struct httpd){.answer = kpfake_on_kp, .arg = r};
	r->iam_server = (struct httpd){.answer = kpfake_on_iam, .arg = r};
	httpd_start(&r->kp, r->loop);
	httpd_start(&r->iam_server, r->loop);
	strcpy(r->dir, "/tmp/keyferry-kp.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->key_file, sizeof(r->key_file), "%s/apikey", r->dir);
	kprig_key_file(r, "KEY-1\n");
	snprintf(r->iam_url, sizeof(r->iam_url), "%s/identity/token", r->iam_server.url);
	r->set = iam_set_new(r->loop, r->http);
	ip.url = r->iam_url;
	ip.api_key_file = r->key_file;
	ck_assert_int_eq(iam_get(r->set, &ip, &r->iam), ERR_OK);
	r->token_life_s = 3600;
	r->root_state = 1;
	r->arena = arena_new(4 << 20);
	vault_kp_defaults(&r->params);
	r->params.set = r->vaults = vault_kp_set_new();
	r->params.loop = r->loop;
	r->params.http = r->http;
	r->params.iam = r->iam;
	r->params.url = r->kp.url;
	r->params.route.allow_plain = true;
	r->params.instance = INSTANCE;
	r->params.root_key = ROOT;
	kprig_vault(r);
	return r;
}

void
kprig_free(struct kprig *r)
{
	if (r->vault != NULL)
		r->vault->ops->free(r->vault);
	vault_kp_set_free(r->vaults);
	iam_unref(r->iam);
	iam_set_free(r->set);
	kprig_settle(r);
	http_free(r->http);
	httpd_stop(&r->kp);
	httpd_stop(&r->iam_server);
	arena_free(r->arena);
	loop_free(r->loop);
	http_fini();
	unlink(r->key_file);
	rmdir(r->dir);
	free(r);
}

void
kpjob_done(struct wait *w, enum err e)
{
	struct kpjob *j = w->owner;

	ck_assert(!j->done);
	j->done = true;
	j->e = e;
}

void
kprig_settle(struct kprig *r)
{
	for (int i = 0; i < 200; i++)
		loop_turn(r->loop, false);
}

void
kprig_run(struct kprig *r, struct kpjob *j)
{
	for (int step = 0; step < 1200 && !j->done; step++) {
		for (int i = 0; i < 100 && !j->done; i++)
			loop_turn(r->loop, false);
		if (!j->done)
			clock_test_advance(50 * NS_PER_MS);
	}
	ck_assert_msg(j->done, "not done after a minute");
}

struct object *
kprig_object(struct kprig *r, uint32_t bits)
{
	struct object *o = arena_zalloc(r->arena, sizeof(*o));

	strcpy(o->tenant, "east");
	ck_assert_int_eq(text_uuid7(o->uid), ERR_OK);
	o->type = 2;
	o->state = OBJECT_ACTIVE;
	o->algorithm = 3;
	o->length = bits;
	o->usage_mask = 12;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	return o;
}

enum err
kprig_make(struct kprig *r, struct object *o, struct secret **key)
{
	struct kpjob j = {false};
	struct vault_make m = {.wait = {.done = kpjob_done, .owner = &j},
	    .arena = r->arena,
	    .object = o,
	    .key = key != NULL ? *key : NULL};

	r->vault->ops->make(r->vault, &m);
	ck_assert(!j.done);
	kprig_run(r, &j);
	if (key != NULL)
		*key = m.key;
	else
		secret_unref(m.key);
	return j.e;
}

static enum err
change(struct kprig *r, void (*op)(struct vault *, struct vault_change *), const struct object *o)
{
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};

	op(r->vault, &c);
	ck_assert(!j.done);
	kprig_run(r, &j);
	return j.e;
}

enum err
kprig_store(struct kprig *r, struct object *o)
{
	return change(r, r->vault->ops->store, o);
}

enum err
kprig_destroy(struct kprig *r, const struct object *o)
{
	return change(r, r->vault->ops->destroy, o);
}

enum err
kprig_retire(struct kprig *r, const struct object *o, const struct object *successor)
{
	struct kpjob j = {false};
	struct vault_change c = {
	    .wait = {.done = kpjob_done, .owner = &j}, .object = o, .successor = successor};

	r->vault->ops->retire(r->vault, &c);
	ck_assert(!j.done);
	kprig_run(r, &j);
	return j.e;
}

enum err
kprig_find(struct kprig *r, struct vault_find *f, const struct object *o)
{
	struct kpjob j = {false};

	f->wait = (struct wait){.done = kpjob_done, .owner = &j};
	f->arena = r->arena;
	f->tenant = o->tenant;
	f->uid = o->uid;
	r->vault->ops->find(r->vault, f);
	kprig_run(r, &j);
	secret_unref(f->key);
	f->key = NULL;
	return j.e;
}

enum err
kprig_unwrap(struct kprig *r, const struct object *o, struct secret **key)
{
	struct kpjob j = {false};
	struct vault_unwrap u = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};

	r->vault->ops->unwrap(r->vault, &u);
	ck_assert(!j.done);
	kprig_run(r, &j);
	r->suspended = u.suspended;
	r->record_only = u.record_only;
	if (key != NULL)
		*key = u.key;
	else
		secret_unref(u.key);
	return j.e;
}

enum err
kprig_probe(struct kprig *r, const struct object *o, bool *found)
{
	enum vault_gone gone;

	return kprig_probe_gone(r, o, found, &gone);
}

enum err
kprig_probe_gone(struct kprig *r, const struct object *o, bool *found, enum vault_gone *gone)
{
	struct kpjob j = {false};
	struct vault_probe p = {
	    .wait = {.done = kpjob_done, .owner = &j}, .object = o};

	r->vault->ops->probe(r->vault, &p);
	ck_assert(!j.done);
	kprig_run(r, &j);
	*found = p.found;
	*gone = p.gone;
	return j.e;
}

unsigned
kprig_ahead(struct kprig *r, struct vault *busy, struct vault *asked, const struct object *o)
{
	struct kpjob j[BACKGROUND] = {{false}}, mine = {false};
	struct vault_unwrap u[BACKGROUND],
	    now = {.wait = {.done = kpjob_done, .owner = &mine}, .object = o};
	unsigned done = 0;

	for (int i = 0; i < BACKGROUND; i++) {
		u[i] = (struct vault_unwrap){.wait = {.done = kpjob_done, .owner = &j[i]},
		    .object = o,
		    .terms.background = true};
		busy->ops->unwrap(busy, &u[i]);
	}
	kprig_settle(r);
	asked->ops->unwrap(asked, &now);
	kprig_run(r, &mine);
	ck_assert_int_eq(mine.e, ERR_OK);
	secret_unref(now.key);
	for (int i = 0; i < BACKGROUND; i++) {
		done += j[i].done;
		wait_cancel(&u[i].wait);
		secret_unref(u[i].key);
	}
	return done;
}
