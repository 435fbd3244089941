/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what IAM, or whoever answers in its place, may send: the body with the token. */
#include <string.h>

#include "base/secret.h"
#include "fuzz.h"
#include "iamwire.h"

enum { HEAP = 1 << 20 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iamwire_answer token = {.header = NULL};
	static size_t base;
	const char *header;
	bool locked;

	if (base == 0) {
		MUST(secret_heap_init(HEAP, true, &locked) == ERR_OK);
		base = secret_heap_used() + 1;
	}
	if (iamwire_read(data, size, &token) == ERR_OK && token.header != NULL) {
		header = (const char *)secret_bytes(token.header);
		MUST(memchr(header, 0, secret_len(token.header)) != NULL);
		/* it becomes a line of a request: whoever can end it could add others */
		MUST(strpbrk(header, "\r\n") == NULL);
	}
	secret_unref(token.header);
	MUST(secret_heap_used() + 1 == base);
	return 0;
}
