/* SPDX-License-Identifier: Apache-2.0 */
/* Two tenants of one Key Protect, under one root key or two. */
#ifndef TESTS_ROOTCASE_H
#define TESTS_ROOTCASE_H

#include "kprig.h"

#define OTHER_ROOT "88888888-2222-4333-8444-555555555555"
#define THIRD_ROOT "77777777-2222-4333-8444-555555555555"

extern struct kprig *rig;
extern struct vault *other; /* the second tenant's; NULL without one */

void setup(void);
void teardown(void);

struct vault *vault_with(const struct vault_kp_params *p);
/* Another tenant, in the same instance: under that root key, or (NULL) under the same one. */
void add_tenant(const char *root_key);
/* A key that is stored. */
struct object *stored_key(void);

#endif
