/* SPDX-License-Identifier: Apache-2.0 */
/* Sensitive and Extractable of what comes from another key. */
#include "inherit.h"

static const struct {
	enum kmip_attr_id flag, history;
	bool hidden; /* the flag's value that hides; `history' says whether it was always so */
} hiding[] = {
    {ATTR_SENSITIVE, ATTR_ALWAYS_SENSITIVE, true},
    {ATTR_EXTRACTABLE, ATTR_NEVER_EXTRACTABLE, false},
};

enum err
inherit(struct arena *a, struct object *made, const struct object *from, bool born)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < sizeof(hiding) / sizeof(hiding[0]); i++) {
		enum kmip_attr_id flag = hiding[i].flag, history = hiding[i].history;
		bool hidden = hiding[i].hidden;

		if (objattr_flag(from, flag) != hidden) {
			if (born && objattr_flag(made, history))
				e = objattr_set_flag(made, a, history, false);
			continue;
		}
		if (object_attr_get(made, kmip_attr_info(flag)->name, 0) != NULL &&
		    objattr_flag(made, flag) != hidden)
			return ERR_INHERITED;
		e = objattr_set_flag(made, a, flag, hidden);
		if (e == ERR_OK)
			e = objattr_set_flag(made, a, history,
			    objattr_flag(from, history) && (born || objattr_flag(made, history)));
	}
	return e;
}
