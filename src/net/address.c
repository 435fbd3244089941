/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses as text. */
#include "address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void
unmap(struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four = {.sin_family = AF_INET};

	memcpy(&six, ss, sizeof(six));
	if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		return;
	four.sin_port = six.sin6_port;
	memcpy(&four.sin_addr, six.sin6_addr.s6_addr + 12, sizeof(four.sin_addr));
	memcpy(ss, &four, sizeof(four));
	*len = sizeof(four);
}

void
address_text(char *out, const struct sockaddr_storage *ss, socklen_t len)
{
	struct sockaddr_storage copy = *ss;
	char host[64], port[8];

	if (copy.ss_family == AF_INET6)
		unmap(&copy, &len);
	if ((copy.ss_family != AF_INET && copy.ss_family != AF_INET6) ||
	    getnameinfo((const struct sockaddr *)&copy, len, host, sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		snprintf(out, ADDRESS_TEXT, "local");
		return;
	}
	snprintf(out, ADDRESS_TEXT, copy.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
