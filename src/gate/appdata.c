/* SPDX-License-Identifier: Apache-2.0 */
/* Application data that a client leaves to the server. */
#include "appdata.h"

#include <string.h>

#include "base/text.h"
#include "kmip/names.h"

#include "objattr_field.h"

enum err
appdata_complete(struct arena *a, struct kmip_attr *at, bool *made)
{
	char data[UID_TEXT_LEN + 1];
	struct ttlv name;
	struct buf b;
	size_t mark;
	enum err e;

	*made = kmip_attr_lacks_application_data(at, &name) && ttlv_is_text(&name, APPDATA_NAMESPACE);
	if (!*made)
		return ERR_OK;
	e = text_uuid4(data);
	if (e != ERR_OK)
		return e;
	buf_init(&b, OBJATTR_SCRATCH_MAX);
	mark = ttlv_begin(&b, at->value.tag);
	ttlv_put_text(&b, TAG_APPLICATION_NAMESPACE, APPDATA_NAMESPACE, strlen(APPDATA_NAMESPACE));
	ttlv_put_text(&b, TAG_APPLICATION_DATA, data, strlen(data));
	ttlv_end(&b, mark);
	if (!objattr_view(a, &b, &at->value))
		e = ERR_NO_MEMORY;
	buf_fini(&b);
	return e;
}
