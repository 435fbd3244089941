/* SPDX-License-Identifier: Apache-2.0 */
/* What must fit together in the configuration. */
#ifndef DAEMON_CONFIG_CHECK_H
#define DAEMON_CONFIG_CHECK_H

#include <confuse.h>

#include "daemon/config.h"

#include "config_report.h"

void config_check_tls(struct config_report *r, cfg_t *section);
void config_check_audit(struct config_report *r, cfg_t *section, const struct config *c);
void config_check_keyprotect(struct config_report *r, cfg_t *section,
    const struct config_keyprotect *kp);
/* Who may be this tenant's clients. */
void config_check_clients(struct config_report *r, cfg_t *section, const struct config_tenant *t);
/* Two tenants, the latter given before: neither id nor records may be the same. */
void config_check_apart(struct config_report *r, cfg_t *section, const struct config_tenant *t,
    const struct config_tenant *other);

#endif
