/* SPDX-License-Identifier: Apache-2.0 */
/* What tenants of one instance share: watches, calls, and their limits. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "keys/lookup.h"
#include "keys/watch.h"
#include "rootcase.h"

enum { TENANTS = 2000, ROOTS = 20 };

/* --- who shares what --- */

START_TEST(test_sources)
{
	struct vault_kp_params p = rig->params;
	struct vault *v;

#define SHARES(member, value, whether)                                                             \
	p = rig->params;                                                                           \
	p.member = value;                                                                          \
	v = vault_with(&p);                                                                        \
	ck_assert_int_eq(vault_kp_source(v) == vault_kp_source(rig->vault), whether);              \
	v->ops->free(v)
	char url[200];

	snprintf(url, sizeof(url), "%s//", rig->params.url);
	SHARES(name_prefix, "other", true);
	SHARES(own_generator, true, true);
	SHARES(timeout_ns, NS_PER_S, true);
	SHARES(attempt_ns, NS_PER_S, true);
	SHARES(url, url, true);
	SHARES(instance, "11111111-2222-4333-8444-555555555555", true);
	SHARES(url, "https://elsewhere", false);
	SHARES(instance, "11111111-2222-4333-8444-555555555556", false);
	SHARES(root_key, "another", false);
	SHARES(key_ring, "ring", false);
	SHARES(route.proxy, "http://proxy", false);
	SHARES(route.ca_file, "/ca.pem", false);
	SHARES(rate_max, 7, false);
	SHARES(in_flight_max, 7, false);
	SHARES(service_ids, "another", false);
	p = rig->params;
	p.key_ring = "ring";
	v = vault_with(&p);
	other = vault_with(&p);
	ck_assert_ptr_eq(vault_kp_source(v), vault_kp_source(other));
	v->ops->free(v);
}
END_TEST

START_TEST(test_credentials)
{
	struct iam_params ip = {
	    .url = rig->iam_url, .profile_name = "p", .route.allow_plain = true};
	struct vault_kp_params p = rig->params;

	ck_assert_int_eq(iam_get(rig->set, &ip, &p.iam), ERR_OK);
	other = vault_with(&p);
	ck_assert_ptr_ne(vault_kp_source(other), vault_kp_source(rig->vault));
	iam_unref(p.iam);
}
END_TEST

START_TEST(test_uid_in)
{
	static const char uid[] = "0199a0b0-0000-7000-8000-000000000001";
	const struct vault_ops *ops = rig->vault->ops;
	char name[100];

	add_tenant(NULL);
	snprintf(name, sizeof(name), "vmware_kmip_%s", uid);
	ck_assert_str_eq(ops->uid_in(rig->vault, name), uid);
	ck_assert_ptr_null(ops->uid_in(other, name));
	name[strlen(name) - 1] = '\0';
	ck_assert_ptr_null(ops->uid_in(rig->vault, name));
	snprintf(name, sizeof(name), "vmware_kmip_x_%s", uid);
	ck_assert_ptr_null(ops->uid_in(rig->vault, name));
	ck_assert_ptr_null(ops->uid_in(rig->vault, "vmware_kmip"));
	ck_assert_ptr_null(ops->uid_in(rig->vault, ""));
	ck_assert_ptr_null(ops->uid_in(rig->vault, uid));
}
END_TEST

/* --- many tenants, few watchers --- */

/* What the watches need beside the source; no record of the tenants is there to be looked up. */
struct watcher {
	struct vault_source *source;
	struct custody *custody;
	struct watch *watch;
};

static struct watcher *
watcher_of(struct watcher *all, unsigned *count, struct vault *v, const struct watch_params *with)
{
	struct custody_params cp = {.name = "x", .bound_ns = with->bound_ns};
	struct watch_params p = *with;

	for (unsigned i = 0; i < *count; i++)
		if (all[i].source == vault_kp_source(v))
			return &all[i];
	ck_assert_uint_lt(*count, ROOTS);
	p.source = all[*count].source = vault_kp_source(v);
	p.custody = all[*count].custody = custody_new(&cp);
	all[*count].watch = watch_new(&p);
	ck_assert_ptr_nonnull(all[*count].watch);
	return &all[(*count)++];
}

/* Two thousand tenants on twenty root keys cost twenty canaries and forty lists a round. */
START_TEST(test_many_tenants)
{
	static struct vault *vaults[TENANTS];
	static struct watch_tenant *tenants[TENANTS];
	struct watch_params wp = {.loop = rig->loop, .bound_ns = 60 * NS_PER_S};
	struct vault_kp_params p = rig->params;
	struct watcher watchers[ROOTS];
	char prefix[32], root[40];
	unsigned count = 0, unwraps, lists;

	wp.cache = cache_new(rig->loop, 1000);
	wp.lookups = lookups_new(rig->loop);
	for (int i = 0; i < TENANTS; i++) {
		snprintf(prefix, sizeof(prefix), "tenant%d", i);
		snprintf(root, sizeof(root), "%08x-2222-4333-8444-555555555555", 1 + i % ROOTS);
		p.name_prefix = prefix;
		p.root_key = root;
		vaults[i] = vault_with(&p);
		tenants[i] = watch_add(
		    watcher_of(watchers, &count, vaults[i], &wp)->watch, prefix, vaults[i]);
		ck_assert_ptr_nonnull(tenants[i]);
	}
	ck_assert_uint_eq(count, ROOTS);
	for (int i = 0; i < 200; i++) {
		kprig_settle(rig);
		clock_test_advance(50 * NS_PER_MS);
	}
	ck_assert_uint_eq(rig->wraps, ROOTS); /* each made its canary */
	ck_assert_uint_eq(rig->unwraps, ROOTS); /* and has opened it, when it asked for news */
	ck_assert_uint_eq(rig->lists, 2 * ROOTS);
	ck_assert_uint_eq(rig->lists, 2 * ROOTS);
	ck_assert_uint_eq(rig->rights_tried, ROOTS);
	for (int i = 0; i < ROOTS; i++)
		ck_assert_int_eq(custody_state(watchers[i].custody), CUSTODY_FRESH);
	unwraps = rig->unwraps;
	lists = rig->lists;
	clock_test_advance(8 * NS_PER_S); /* 18 of the 20 seconds: nobody before that */
	for (int i = 0; i < 200; i++) {
		kprig_settle(rig);
		clock_test_advance(50 * NS_PER_MS);
	}
	ck_assert_uint_eq(rig->unwraps - unwraps, ROOTS);
	ck_assert_uint_eq(rig->lists - lists, 2 * ROOTS);
	ck_assert_uint_eq(rig->tokens, 1);
	for (int i = 0; i < TENANTS; i++)
		watch_remove(tenants[i]);
	for (int i = 0; i < ROOTS; i++)
		watch_free(watchers[i].watch);
	for (int i = 0; i < TENANTS; i++)
		vaults[i]->ops->free(vaults[i]);
	for (int i = 0; i < ROOTS; i++)
		custody_unref(watchers[i].custody);
	lookups_free(wp.lookups);
	cache_free(wp.cache);
}
END_TEST

/* --- the limit of an instance --- */

/* Told to come again in two seconds: the other tenant, under another root key, waits as well. */
START_TEST(test_throttled_together)
{
	struct object *o = stored_key();
	struct kpjob j[2] = {{false}};
	struct vault_make m = {.wait = {.done = kpjob_done, .owner = &j[0]},
	    .arena = rig->arena,
	    .object = kprig_object(rig, 256)};
	struct vault_unwrap u = {.wait = {.done = kpjob_done, .owner = &j[1]}, .object = o};
	unsigned wraps;

	add_tenant(_i == 0 ? NULL : OTHER_ROOT);
	rig->fault = (struct spoiled){
	    "POST", "/unwrap", 1, SPOIL_STATUS, 429, "Retry-After: 2\r\n", ""};
	rig->vault->ops->unwrap(rig->vault, &u);
	kprig_settle(rig);
	ck_assert_uint_eq(rig->fault.times, 0);
	wraps = rig->wraps;
	other->ops->make(other, &m);
	kprig_settle(rig);
	clock_test_advance(1900 * NS_PER_MS);
	kprig_settle(rig);
	ck_assert_uint_eq(rig->wraps, wraps);
	kprig_run(rig, &j[0]);
	kprig_run(rig, &j[1]);
	ck_assert_int_eq(j[0].e, ERR_OK);
	ck_assert_int_eq(j[1].e, ERR_OK);
	secret_unref(m.key);
	secret_unref(u.key);
}
END_TEST

/* Who waits at one tenant is ahead of what the other does in the background. */
START_TEST(test_interactive_first)
{
	struct object *o = stored_key();

	rig->params.rate_max = 4;
	kprig_vault(rig);
	add_tenant(OTHER_ROOT);
	ck_assert_uint_lt(kprig_ahead(rig, other, rig->vault, o), 5);
}
END_TEST

/* What the breaker learned from one tenant's calls spares the other's. */
START_TEST(test_breaker)
{
	struct kpjob j = {false};
	struct vault_make m = {.wait = {.done = kpjob_done, .owner = &j}, .arena = rig->arena};
	unsigned calls;

	rig->params.rate_max = 1000;
	kprig_vault(rig);
	add_tenant(OTHER_ROOT);
	rig->fault = (struct spoiled){"POST", "/", 999, SPOIL_STATUS, 503, NULL, ""};
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_VAULT_DOWN);
	calls = rig->kp.requests;
	m.object = kprig_object(rig, 256);
	other->ops->make(other, &m);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_VAULT_DOWN);
	ck_assert_uint_eq(rig->kp.requests, calls);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kpshared");
	TCase *t = tcase_create("kpshared");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_sources);
	tcase_add_test(t, test_credentials);
	tcase_add_test(t, test_uid_in);
	tcase_add_test(t, test_many_tenants);
	tcase_add_loop_test(t, test_throttled_together, 0, 2);
	tcase_add_test(t, test_interactive_first);
	tcase_add_test(t, test_breaker);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
