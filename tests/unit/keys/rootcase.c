/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of root keys begin with. */
#include "rootcase.h"

#include <check.h>

struct kprig *rig;
struct vault *other;

void
setup(void)
{
	rig = kprig_new();
	other = NULL;
}

void
teardown(void)
{
	if (other != NULL)
		other->ops->free(other);
	kprig_free(rig);
}

struct vault *
vault_with(const struct vault_kp_params *p)
{
	struct vault *v;
	const char *why;

	ck_assert_msg(vault_kp_new(&v, p, &why) == ERR_OK, "%s", why);
	return v;
}

void
add_tenant(const char *root_key)
{
	struct vault_kp_params p = rig->params;

	p.name_prefix = "other";
	if (root_key != NULL)
		p.root_key = root_key;
	other = vault_with(&p);
}

struct object *
stored_key(void)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	return o;
}
