/* SPDX-License-Identifier: Apache-2.0 */
/* Links. */
#include "link.h"

#include <string.h>

#include "kmip/attr.h"
#include "kmip/message.h"
#include "kmip/names.h"

enum { VALUE_MAX = 256 };

enum err
link_add(struct object *o, struct arena *a, uint32_t type, const char *uid)
{
	const char *name = kmip_attr_info(ATTR_LINK)->name;
	struct buf b, packed;
	struct ttlv value;
	uint32_t index = 0;
	size_t mark;
	enum err e;

	while (object_attr_get(o, name, index) != NULL)
		index++;
	buf_init(&b, VALUE_MAX);
	buf_init(&packed, VALUE_MAX);
	mark = ttlv_begin(&b, TAG_ATTRIBUTE_VALUE);
	ttlv_put_enum(&b, TAG_LINK_TYPE, type);
	ttlv_put_text(&b, TAG_LINKED_OBJECT_IDENTIFIER, uid, strlen(uid));
	ttlv_end(&b, mark);
	e = buf_error(&b);
	if (e == ERR_OK)
		e = ttlv_check(b.data, b.len, KMIP_ELEMENTS_MAX, &value);
	if (e == ERR_OK) {
		kmip_attr_pack_value(&packed, &value);
		e = buf_error(&packed);
	}
	if (e == ERR_OK)
		e = object_attr_set(o, a, name, strlen(name), index, packed.data, packed.len);
	buf_fini(&packed);
	buf_fini(&b);
	return e;
}
