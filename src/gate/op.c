/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations, expanded from op.def. */
#include "op.h"

#include "base/metric.h"
#include "kmip/names.h"

static const struct op ops[] = {
#define OP(operation, since, right, start)                                                         \
	{KMIP_OPERATION_##operation, since, RIGHT_##right, start},
#include "op.def"
#undef OP
};

enum { OPS = sizeof(ops) / sizeof(ops[0]) };

const struct op *
op_find(uint32_t operation, int version)
{
	for (size_t i = 0; i < OPS; i++)
		if (ops[i].operation == operation)
			return ops[i].since <= version ? &ops[i] : NULL;
	return NULL;
}

unsigned
op_label(const struct op *op)
{
	return op != NULL ? (unsigned)(op - ops) : SIZE_OF_OPERATION - 1;
}

const char *
op_label_text(unsigned label)
{
	_Static_assert((int)OPS < (int)SIZE_OF_OPERATION, "label.def has too few operations");

	if (label < OPS)
		return kmip_value_name(SET_OPERATION, ops[label].operation);
	return label == SIZE_OF_OPERATION - 1 ? "unknown" : NULL;
}

const struct op *
op_at(size_t n)
{
	return n < OPS ? &ops[n] : NULL;
}
