/* SPDX-License-Identifier: Apache-2.0 */
/* Rules by which requests go wrong. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#include "exchange.h"

enum fault_end { FAULT_SEND, FAULT_RESET, FAULT_TRUNCATE, FAULT_HANG };

enum { FAULT_HEADERS_MAX = 4, RULES_MAX = 256, PATTERN_SIZE = 256, METHOD_SIZE = 16 };

struct fault_header {
	char *name, *value;
};

struct fault_rule {
	struct list link;
	uint64_t id;
	char method[METHOD_SIZE], path[PATTERN_SIZE], operation[PATTERN_SIZE]; /* "" for any */
	char port[METHOD_SIZE];
	int64_t skip, count; /* good passes first; then how many, -1 for ever */
	int64_t delay_ms, delay_after_ms;
	int64_t status; /* 0: as it would be */
	char *body, *content_type;
	struct fault_header headers[FAULT_HEADERS_MAX];
	bool commit; /* the request is carried out, whatever is answered */
	enum fault_end end;
	uint64_t hits;
};

struct faults {
	struct list rules;
	size_t rule_count;
	uint64_t last_id;
};

void faults_init(struct faults *f);
void faults_clear(struct faults *f);
/* The first rule that applies, counted; or NULL. */
struct fault_rule *faults_match(struct faults *f, const struct exchange *x);
struct fault_rule *faults_find(struct faults *f, uint64_t id);

enum fail faults_admin_list(struct exchange *x);
enum fail faults_admin_add(struct exchange *x);
enum fail faults_admin_clear(struct exchange *x);

#endif
