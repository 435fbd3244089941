/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator: what its parts share. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"

#include "faults.h"
#include "http.h"
#include "iam.h"
#include "journal.h"
#include "store.h"

struct sim {
	struct loop *loop;
	struct store store;
	struct iam iam;
	struct faults faults;
	struct journal journal;
	struct http_port ports[PORTS];
	struct list exchanges;
	enum outage outage[PORTS];
	const char *cert_file, *key_file; /* NULL: plain HTTP */
	struct ssl_ctx_st *tls, *tls_broken;
};

#endif
