/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that route.c chooses from, by the file that has them. */
#ifndef SIM_HANDLERS_H
#define SIM_HANDLERS_H

#include "exchange.h"

/* keys.c */
enum fail keys_get(struct exchange *x);
enum fail keys_metadata(struct exchange *x);
enum fail keys_versions(struct exchange *x);
enum fail keys_delete(struct exchange *x);
enum fail keys_restore(struct exchange *x);
enum fail keys_purge(struct exchange *x);
enum fail keys_patch(struct exchange *x);
enum fail keys_registrations(struct exchange *x);
enum fail keys_register(struct exchange *x);
/* keys_create.c */
enum fail keys_create(struct exchange *x);
/* keys_list.c */
enum fail keys_list(struct exchange *x);
enum fail keys_count(struct exchange *x);
/* keys_actions.c */
enum fail keys_wrap(struct exchange *x);
enum fail keys_unwrap(struct exchange *x);
enum fail keys_rewrap(struct exchange *x);
enum fail keys_rotate(struct exchange *x);
enum fail keys_disable(struct exchange *x);
enum fail keys_enable(struct exchange *x);
enum fail keys_set_deletion(struct exchange *x);
enum fail keys_unset_deletion(struct exchange *x);
enum fail keys_sync(struct exchange *x);
/* aliases_rings.c */
enum fail aliases_create(struct exchange *x);
enum fail aliases_delete(struct exchange *x);
enum fail rings_list(struct exchange *x);
enum fail rings_create(struct exchange *x);
enum fail rings_delete(struct exchange *x);
/* policies.c */
enum fail policies_get(struct exchange *x);
enum fail policies_put(struct exchange *x);
enum fail policies_instance_get(struct exchange *x);
enum fail policies_instance_put(struct exchange *x);
/* discovery.c */
enum fail discovery_broker(struct exchange *x);
enum fail discovery_resource(struct exchange *x);
enum fail discovery_ip_port(struct exchange *x);
enum fail discovery_not_simulated(struct exchange *x);
/* admin.c */
enum fail admin_status(struct exchange *x);
enum fail admin_setup(struct exchange *x);
enum fail admin_clock(struct exchange *x);
enum fail admin_settings(struct exchange *x);
enum fail admin_outage(struct exchange *x);
enum fail admin_failover(struct exchange *x);
enum fail admin_fill(struct exchange *x);
enum fail admin_keys(struct exchange *x);
enum fail admin_act(struct exchange *x);
enum fail admin_revoke(struct exchange *x);

#endif
