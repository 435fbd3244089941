/* SPDX-License-Identifier: Apache-2.0 */
/* Which tenants share what, and what becomes of it in a reload.  Nothing is called here. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "upstream.h"
#include "watch_parts.h"

enum { TENANTS = 2000, ROOTS = 20 };
#define BOUND (60 * NS_PER_S)
#define HOUR (3600 * NS_PER_S)

static struct ledger ledger;
static struct upstream_params params;
static struct upstream *upstream;
static char key_file[] = "/tmp/keyferry-upstream.XXXXXX";

static void
setup(void)
{
	const char *why;
	bool locked;
	int fd;

	clock_test_freeze(1760000000);
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC), false);
	ck_assert_int_eq(secret_heap_init(1 << 18, true, &locked), ERR_OK);
	strcpy(key_file, "/tmp/keyferry-upstream.XXXXXX");
	fd = mkstemp(key_file);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "KEY\n", 4), 4);
	close(fd);
	params = (struct upstream_params){.loop = loop_new(), .ledger = &ledger};
	params.lookups = lookups_new(params.loop);
	params.cache = cache_new(params.loop, 4096);
	ck_assert_int_eq(upstream_new(&upstream, &params, &why), ERR_OK);
}

static void
teardown(void)
{
	upstream_free(upstream);
	cache_free(params.cache);
	lookups_free(params.lookups);
	loop_free(params.loop);
	unlink(key_file);
}

static struct config_tenant
tenant(const char *id, const char *prefix)
{
	return (struct config_tenant){
	    .title = id,
	    .id = id,
	    .vault = {.kind = CONFIG_VAULT_KEYPROTECT,
		.keyprotect = {.url = "https://127.0.0.1:1",
		    .iam_url = "https://127.0.0.1:1/identity/token",
		    .instance = "11111111-2222-4333-8444-555555555555",
		    .root_key = "root",
		    .key_ring = "default",
		    .name_prefix = prefix,
		    .api_key_file = key_file,
		    .call_timeout_ns = NS_PER_S,
		    .operation_timeout_ns = NS_PER_S,
		    .call_rate_max = 50,
		    .calls_max = 32}},
	    .revocation_bound_ns = BOUND,
	    .ride_out_max_ns = HOUR,
	};
}

static struct vault *
open_vault(const struct config_tenant *c)
{
	struct vault *v;
	const char *why;

	ck_assert_msg(upstream_vault(upstream, c, &v, &why) == ERR_OK, "%s", why);
	return v;
}

static struct watch *
watch_of(const struct vault *v)
{
	return upstream_watch(upstream, v)->watch;
}

START_TEST(test_shared)
{
	struct config_tenant c = tenant("a", "pa"), d = tenant("b", "pb");
	struct vault *a = open_vault(&c), *b = open_vault(&d), *again = open_vault(&c), *apart;

	ck_assert_ptr_eq(a, again);
	ck_assert_ptr_ne(a, b);
	ck_assert_ptr_eq(watch_of(a), watch_of(b));
	ck_assert_ptr_ne(upstream_watch(upstream, a), upstream_watch(upstream, b));
	ck_assert_ptr_eq(upstream_custody(upstream, a), upstream_custody(upstream, b));
	ck_assert_str_eq(custody_name(upstream_custody(upstream, a)),
	    "11111111-2222-4333-8444-555555555555/root");
	d.vault.keyprotect.root_key = "another";
	apart = open_vault(&d);
	ck_assert_ptr_ne(watch_of(a), watch_of(apart));
	ck_assert_ptr_ne(upstream_custody(upstream, a), upstream_custody(upstream, apart));
	upstream_release(upstream, again);
	upstream_release(upstream, a);
	ck_assert_ptr_null(upstream_custody(upstream, a));
	upstream_release(upstream, b);
	upstream_release(upstream, apart);
}
END_TEST

/* Of a tenant's vaults, while who began before a reload still has the one of before. */
START_TEST(test_only)
{
	struct config_tenant c = tenant("a", "pa"), d = tenant("b", "pb");
	struct vault *before = open_vault(&c), *another = open_vault(&d), *after;

	ck_assert(upstream_is_only(upstream, before));
	c.vault.keyprotect.root_key = "another";
	after = open_vault(&c);
	ck_assert(!upstream_is_only(upstream, after));
	ck_assert(!upstream_is_only(upstream, before));
	ck_assert(upstream_is_only(upstream, another));
	upstream_release(upstream, before);
	ck_assert(upstream_is_only(upstream, after));
	upstream_release(upstream, after);
	upstream_release(upstream, another);
}
END_TEST

START_TEST(test_many)
{
	static struct vault *vaults[TENANTS];
	struct watch *watches[ROOTS];
	unsigned count = 0, k;
	char id[32], root[32];
	struct config_tenant c;

	for (int i = 0; i < TENANTS; i++) {
		snprintf(id, sizeof(id), "tenant-%d", i);
		snprintf(root, sizeof(root), "root-%d", i % ROOTS);
		c = tenant(id, id);
		c.vault.keyprotect.root_key = root;
		vaults[i] = open_vault(&c);
		for (k = 0; k < count && watches[k] != watch_of(vaults[i]); k++)
			continue;
		ck_assert_uint_lt(k, ROOTS);
		if (k == count)
			watches[count++] = watch_of(vaults[i]);
	}
	ck_assert_uint_eq(count, ROOTS);
	for (int i = 0; i < TENANTS; i++)
		upstream_release(upstream, vaults[i]);
}
END_TEST

/* The watch keeps the shortest bound that is in use, whoever comes, changes or goes. */
START_TEST(test_bounds)
{
	struct config_tenant c = tenant("a", "pa"), d = tenant("b", "pb");
	struct vault *a = open_vault(&c), *b;
	struct watch *w = watch_of(a);
	struct cache_terms terms = {BOUND / 4, 0};

	ck_assert_int_eq(w->p.bound_ns, BOUND);
	d.revocation_bound_ns = BOUND / 2;
	b = open_vault(&d);
	ck_assert_int_eq(w->p.bound_ns, BOUND / 2);
	upstream_set(upstream, a, &terms); /* a reload */
	ck_assert_int_eq(w->p.bound_ns, BOUND / 4);
	terms.bound_ns = 10 * BOUND;
	upstream_set(upstream, a, &terms);
	ck_assert_int_eq(w->p.bound_ns, BOUND / 2);
	upstream_release(upstream, b);
	ck_assert_int_eq(w->p.bound_ns, 10 * BOUND);
	upstream_release(upstream, a);
}
END_TEST

/* Riding out is known for as long as one tenant may; each is told its own end. */
START_TEST(test_ride_out)
{
	struct config_tenant c = tenant("a", "pa"), d = tenant("b", "pb");
	struct vault *a, *b;
	struct custody *cu;
	struct custody_evidence well, outage;
	int64_t heard;
	char text[CUSTODY_TEXT_MAX];

	d.ride_out_max_ns = 0;
	a = open_vault(&c);
	b = open_vault(&d);
	cu = upstream_custody(upstream, a);
	heard = clock_wall_ms();
	well = (struct custody_evidence){.e = ERR_OK, .began = stamp_now()};
	custody_verdict(cu, &well);
	clock_test_advance(2 * BOUND);
	outage = (struct custody_evidence){.e = ERR_VAULT_DOWN, .began = stamp_now()};
	custody_verdict(cu, &outage);
	ck_assert_int_eq(custody_state(cu), CUSTODY_RIDING_OUT);
	ck_assert_int_eq(custody_until(cu, HOUR), heard + HOUR / NS_PER_MS);
	ck_assert_int_eq(custody_state_for(cu, HOUR), CUSTODY_RIDING_OUT);
	ck_assert_int_eq(custody_until(cu, 0), 0);
	ck_assert_int_eq(custody_state_for(cu, 0), CUSTODY_CUT_OFF);
	custody_text(cu, 0, text);
	ck_assert_int_eq(strncmp(text, "cut off since ", 14), 0);
	ck_assert_ptr_null(strstr(text, "until"));
	upstream_release(upstream, a);
	clock_test_advance(1);
	custody_verdict(cu, &outage);
	ck_assert_int_eq(custody_state(cu), CUSTODY_CUT_OFF);
	upstream_release(upstream, b);
}
END_TEST

static void
remember(struct custody *cu, const char *tenant_id)
{
	static const struct vault_ops ops;
	struct object *o = calloc(1, sizeof(*o));
	struct cache_terms terms = {BOUND, HOUR};
	struct secret *key = secret_new(32, SECRET_TRANSIENT);
	struct stamp now = stamp_now();

	strcpy(o->tenant, tenant_id);
	strcpy(o->uid, "0199a0b0-0000-7000-8000-000000000001");
	o->digest[0] = 1;
	cache_put(params.cache, cu, &ops, o, key, &terms, &now);
	secret_unref(key);
	free(o);
}

static void
count_one(const struct cache_info *info, void *count)
{
	(void)info;
	++*(unsigned *)count;
}

static unsigned
cached(const char *id)
{
	unsigned n = 0;

	cache_each(params.cache, id, count_one, &n);
	return n;
}

/* A tenant that goes takes its keys along; one whose settings changed keeps them. */
START_TEST(test_keys)
{
	struct config_tenant c = tenant("a", "pa"), d = tenant("b", "pb");
	struct vault *a = open_vault(&c), *b = open_vault(&d), *next;

	remember(upstream_custody(upstream, a), "a");
	remember(upstream_custody(upstream, b), "b");
	c.vault.keyprotect.own_generator = true;
	next = open_vault(&c); /* the reload's, before the old one goes */
	ck_assert_ptr_ne(next, a);
	upstream_release(upstream, a);
	ck_assert_uint_eq(cached("a"), 1);
	upstream_release(upstream, next);
	ck_assert_uint_eq(cached("a"), 0);
	ck_assert_uint_eq(cached("b"), 1);
	upstream_release(upstream, b);
	ck_assert_uint_eq(cached("b"), 0);
}
END_TEST

/* With a reload that allows less, what is in memory already goes. */
START_TEST(test_keys_of_longer_terms)
{
	struct config_tenant c = tenant("a", "pa"), d = tenant("b", "pb");
	struct vault *a = open_vault(&c), *b = open_vault(&d);
	struct cache_terms terms = {BOUND, 0};

	remember(upstream_custody(upstream, a), "a");
	remember(upstream_custody(upstream, b), "b");
	clock_test_advance(BOUND);
	upstream_set(upstream, a, &terms);
	ck_assert_uint_eq(cached("a"), 0);
	ck_assert_uint_eq(cached("b"), 1);
	upstream_release(upstream, a);
	upstream_release(upstream, b);
}
END_TEST

/* A configuration that is only tested watches nothing. */
START_TEST(test_untried)
{
	struct config_tenant c = tenant("a", "pa");
	const char *why;
	struct vault *v;

	upstream_free(upstream);
	cache_free(params.cache);
	params.ledger = NULL;
	params.cache = NULL;
	ck_assert_int_eq(upstream_new(&upstream, &params, &why), ERR_OK);
	v = open_vault(&c);
	ck_assert_ptr_null(upstream_watch(upstream, v));
	upstream_release(upstream, v);
	c.vault.keyprotect.instance = "none";
	ck_assert_int_eq(upstream_vault(upstream, &c, &v, &why), ERR_CONFIG);
	ck_assert_str_eq(why, "the instance is no GUID");
}
END_TEST

START_TEST(test_shut)
{
	struct config_tenant c = tenant("a", "pa"), d = tenant("b", "pb");
	struct vault *a = open_vault(&c), *b = open_vault(&d);

	upstream_shut(upstream);
	ck_assert_ptr_null(upstream_watch(upstream, a));
	ck_assert_ptr_nonnull(upstream_custody(upstream, a));
	upstream_release(upstream, a);
	upstream_release(upstream, b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("upstream");
	TCase *t = tcase_create("upstream");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_shared);
	tcase_add_test(t, test_only);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_ride_out);
	tcase_add_test(t, test_keys);
	tcase_add_test(t, test_keys_of_longer_terms);
	tcase_add_test(t, test_untried);
	tcase_add_test(t, test_shut);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
