/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong in a handshake, in the few kinds that are counted. */
#ifndef NET_FAILURE_H
#define NET_FAILURE_H

/* Of OpenSSL's reason the label (FAILURE, base/label.def). */
unsigned failure_label(int reason);

#endif
