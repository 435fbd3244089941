/* SPDX-License-Identifier: Apache-2.0 */
/* Links. */
#include "link.h"

#include <string.h>

#include "kmip/names.h"

#include "objattr.h"

enum { VALUE_MAX = 256 };

enum err
link_add(struct object *o, struct arena *a, uint32_t type, const char *uid)
{
	const char *name = kmip_attr_info(ATTR_LINK)->name;
	struct buf b;
	uint32_t index = 0;
	size_t mark;
	enum err e;

	while (object_attr_get(o, name, index) != NULL)
		index++;
	buf_init(&b, VALUE_MAX);
	mark = ttlv_begin(&b, TAG_ATTRIBUTE_VALUE);
	ttlv_put_enum(&b, TAG_LINK_TYPE, type);
	ttlv_put_text(&b, TAG_LINKED_OBJECT_IDENTIFIER, uid, strlen(uid));
	ttlv_end(&b, mark);
	e = objattr_keep(o, a, name, index, &b);
	buf_fini(&b);
	return e;
}
