/* SPDX-License-Identifier: Apache-2.0 */
/* Names and texts of errors, expanded from err.def. */
#include "base/err.h"

const char *
err_text(enum err e)
{
	switch (e) {
#define ERR(name, text)                                                                            \
	case ERR_##name:                                                                           \
		return text;
#include "base/err.def"
#undef ERR
	}
	return "unknown error";
}

const char *
err_name(enum err e)
{
	switch (e) {
#define ERR(name, text)                                                                            \
	case ERR_##name:                                                                           \
		return #name;
#include "base/err.def"
#undef ERR
	}
	return "UNKNOWN";
}
