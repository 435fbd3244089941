/* SPDX-License-Identifier: Apache-2.0 */
/* No service manager to notify. */
#include "notify.h"

void
notify(const char *state)
{
	(void)state;
}
