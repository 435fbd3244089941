/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event: time, level, subject, text, key=value pairs.  Values are escaped by the
 * writer.  errno is kept.  A line that cannot be written at once is lost and counted; the next one
 * says how many were.  Lines go to one file descriptor (standard error by default).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/* A value of a pair.  Build with the functions below; keys are literals of ours. */
struct log_kv {
	const char *key;
	enum { LOG_KV_END, LOG_KV_TEXT, LOG_KV_BYTES, LOG_KV_INT } kind;
	const char *text;
	int64_t num; /* the number, or the length of text */
};

static inline struct log_kv
kv_text(const char *key, const char *value)
{
	return (struct log_kv){key, LOG_KV_TEXT, value, 0};
}

static inline struct log_kv
kv_bytes(const char *key, const void *value, int64_t len)
{
	return (struct log_kv){key, LOG_KV_BYTES, value, len};
}

static inline struct log_kv
kv_int(const char *key, int64_t value)
{
	return (struct log_kv){key, LOG_KV_INT, NULL, value};
}

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_parse_level(const char *s, enum log_level *out);
const char *log_level_name(enum log_level level);
/* with_time: put the time in front (not wanted under a journal).  The descriptor is borrowed. */
void log_set_output(int fd, bool with_time);

void log_line(enum log_level level, const char *subject, const char *text, const struct log_kv *kv);

/* LOG(LOG_INFO, "session", "closed", kv_text("why", why), kv_int("age-ms", age)); */
#define LOG(level, subject, ...) LOG_WITH(level, subject, __VA_ARGS__, (struct log_kv){0})
#define LOG_WITH(level, subject, text, ...)                                                        \
	do {                                                                                       \
		if ((level) <= log_get_level())                                                    \
			log_line(level, subject, text, (const struct log_kv[]){__VA_ARGS__});      \
	} while (0)

#endif
