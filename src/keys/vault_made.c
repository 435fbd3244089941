/* SPDX-License-Identifier: Apache-2.0 */
/* Which kind of vault made a record: no record of one kind can be read as one of the other. */
#include <string.h>

#include "keys/vault.h"
#include "kprecord.h"

const char *
vault_made_by(const struct object *o)
{
	struct kprecord r;
	uint32_t version;

	if (o->record == NULL)
		return NULL;
	if (envelope_root_version(o, &version) == ERR_OK)
		return "local";
	return kprecord_read(&r, o) == ERR_OK ? "keyprotect" : NULL;
}

bool
vault_is_foreign(const struct vault_ops *ops, const struct object *o)
{
	const char *name = vault_made_by(o);

	return name != NULL && strcmp(name, ops->name) != 0;
}
