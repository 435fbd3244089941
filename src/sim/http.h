/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP servers: listeners, TLS, exchanges from their arrival to their end. */
#ifndef SIM_HTTP_H
#define SIM_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct evhttp;
struct evhttp_bound_socket;
struct sim;

/* PORT_API: IAM, Key Protect and discovery.  PORT_HPCS: the same for HPCS instances. */
enum port { PORT_API, PORT_HPCS, PORT_ADMIN, PORTS };

enum outage { OUTAGE_NONE, OUTAGE_REFUSE, OUTAGE_RESET, OUTAGE_HANDSHAKE };

enum { ADDRESS_SIZE = 128 };

struct http_port {
	struct sim *sim;
	enum port which;
	struct evhttp *http; /* NULL when not listened on */
	struct evhttp_bound_socket *bound;
	char host[ADDRESS_SIZE], host_port[ADDRESS_SIZE + 8];
	uint16_t port;
};

/* Loads certificate and key, when the simulator was given any.  False, having logged why. */
CHECKED bool http_load_tls(struct sim *s);
/* address: "127.0.0.1:0" or "[::1]:0".  False, having logged why. */
CHECKED bool http_open(struct sim *s, enum port which, const char *address);
void http_close_all(struct sim *s);
/* False when the port could not be opened again, or the outage needs TLS. */
CHECKED bool http_set_outage(struct sim *s, enum port which, enum outage o);
/* Ends the exchanges that hang. */
void http_release(struct sim *s);
const char *http_port_name(enum port which);
const char *http_scheme(const struct sim *s, enum port which);

#endif
