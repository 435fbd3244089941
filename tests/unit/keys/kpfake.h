/* SPDX-License-Identifier: Apache-2.0 */
/* What the rig's servers do with a request; arg is the struct kprig. */
#ifndef TEST_KPFAKE_H
#define TEST_KPFAKE_H

#include "kprig.h"

#define INSTANCE "11111111-2222-4333-8444-555555555555"
#define ROOT "99999999-2222-4333-8444-555555555555"

void kpfake_on_kp(void *arg, struct httpd_conn *c, const struct httpd_request *q);
void kpfake_on_iam(void *arg, struct httpd_conn *c, const struct httpd_request *q);

#endif
