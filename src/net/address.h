/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses as text: "192.0.2.1:1234", "[2001:db8::1]:1234", "local". */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stddef.h>

#include <sys/socket.h>

enum { ADDRESS_TEXT = 80 };

/* out must hold ADDRESS_TEXT bytes.  An IPv4 client of a dual-stack socket is shown as IPv4. */
void address_text(char *out, const struct sockaddr_storage *ss, socklen_t len);

#endif
