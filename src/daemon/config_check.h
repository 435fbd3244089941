/* SPDX-License-Identifier: Apache-2.0 */
/* What must fit together in the configuration; config.c, which reads it, is told what does not. */
#ifndef DAEMON_CONFIG_CHECK_H
#define DAEMON_CONFIG_CHECK_H

#include <stddef.h>

#include <confuse.h>

#include "daemon/config.h"

struct config_reading; /* of one file, in config.c */

/* The file is refused, for this; line 0: as a whole. */
void __attribute__((format(printf, 3, 4))) config_report(struct config_reading *ld, int line,
    const char *fmt, ...);
int config_value_line(const cfg_opt_t *opt, size_t n);
const char *config_section_title(const cfg_t *section);

void config_check_tls(struct config_reading *ld, cfg_t *section);
void config_check_keyprotect(struct config_reading *ld, cfg_t *section,
    const struct config_keyprotect *kp);
/* Who may be this tenant's clients. */
void config_check_clients(struct config_reading *ld, cfg_t *section, const struct config_tenant *t);
/* Two tenants, the latter given before: neither id nor records may be the same. */
void config_check_apart(struct config_reading *ld, cfg_t *section, const struct config_tenant *t,
    const struct config_tenant *other);

#endif
