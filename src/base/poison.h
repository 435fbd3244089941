/* SPDX-License-Identifier: Apache-2.0 */
/* Tells AddressSanitizer of memory that waits for its next use: nobody may touch it. */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#define POISON(at, len) ASAN_POISON_MEMORY_REGION((at), (len))
#define UNPOISON(at, len) ASAN_UNPOISON_MEMORY_REGION((at), (len))
#else
#define POISON(at, len) ((void)(at), (void)(len))
#define UNPOISON(at, len) ((void)(at), (void)(len))
#endif

#endif
