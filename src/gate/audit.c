/* SPDX-License-Identifier: Apache-2.0 */
/* What audit lines say, and whether they can be written. */
#include "gate/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/ration.h"
#include "base/text.h"
#include "base/trusted.h"
#include "base/why.h"
#include "kmip/names.h"
#include "kmip/reason.h"

#include "audit_client.h"
#include "audit_queue.h"

enum { WHY_MAX = 256, TIME_TEXT = 25, ADDRESS_MAX = 64 };

struct audit {
	struct loop *loop;
	struct audit_queue *queue;
	bool to_file, required;
	struct buf line;
	uint64_t lost; /* lines that no line tells of yet */
	struct ration refusals, messages;
};

static char sentence[WHY_MAX];

struct audit *
audit_new(const struct audit_params *p)
{
	struct audit *a = alloc_zero(sizeof(*a));

	if (a == NULL)
		return NULL;
	a->loop = p->loop;
	buf_init(&a->line, AUDIT_LINE_MAX);
	a->queue = audit_queue_new(p);
	if (a->queue != NULL)
		return a;
	alloc_free(a);
	return NULL;
}

void
audit_free(struct audit *a)
{
	if (a == NULL)
		return;
	audit_queue_free(a->queue);
	buf_fini(&a->line);
	alloc_free(a);
}

void
audit_drain(struct audit *a, void (*done)(void *arg), void *arg)
{
	audit_queue_drain(a->queue, done, arg);
}

bool
audit_settled(const struct audit *a)
{
	return audit_queue_settled(a->queue);
}

/* --- files --- */

static enum err
complain(const char *path, const char *wrong, const char **why)
{
	return why_say(why, ERR_CONFIG, "audit-file %s %s", path, wrong);
}

enum err
audit_open_file(const char *path, int *fd, const char **why)
{
	const int how = O_APPEND | O_CREAT;
	const char *wrong;
	int got = trusted_open(path, TRUSTED_AUDIT, O_RDWR | how, &wrong); /* read: how it ends */

	if (got < 0 && errno == EACCES)
		got = trusted_open(path, TRUSTED_AUDIT, O_WRONLY | how, &wrong);
	if (got < 0)
		return complain(path, wrong, why);
	*fd = got;
	return ERR_OK;
}

enum err
audit_test_file(const char *path, const char **why)
{
	char dir[PATH_MAX];
	const char *wrong;
	int fd = trusted_open(path, TRUSTED_AUDIT, O_WRONLY | O_APPEND, &wrong);

	if (fd >= 0) {
		close(fd);
		return ERR_OK;
	}
	if (errno != ENOENT || strlen(path) >= sizeof(dir))
		return complain(path, wrong, why);
	wrong = trusted_place_not(path);
	if (wrong != NULL)
		return complain(path, wrong, why);
	memcpy(dir, path, strlen(path) + 1);
	return access(dirname(dir), W_OK | X_OK) == 0
	    ? ERR_OK
	    : why_say(why, ERR_CONFIG, "audit-file %s cannot be made: %s", path, strerror(errno));
}

void
audit_use(struct audit *a, int fd, bool required)
{
	a->to_file = fd >= 0;
	a->required = required;
	audit_queue_use(a->queue, fd, !required);
}

bool
audit_refuses(const struct audit *a)
{
	return a != NULL && a->to_file && a->required && audit_queue_complaint(a->queue) != NULL;
}

const char *
audit_complaint(const struct audit *a)
{
	const char *why = audit_queue_complaint(a->queue);

	if (!a->to_file || why == NULL)
		return NULL;
	snprintf(sentence, sizeof(sentence), "audit lines cannot be written (%s): %s", why,
	    a->required ? "requests are refused" : "they wait, then are lost");
	return sentence;
}

/* --- lines --- */

static void
line_begin(struct audit *a, struct json *j, const char *event)
{
	char when[TIME_TEXT];

	buf_reset(&a->line);
	json_init(j, &a->line);
	json_object(j, NULL);
	text_time(when, loop_wall_ms(a->loop));
	json_word(j, "time", when);
	json_word(j, "event", event);
}

/* As spare as the line that it stands before: those that find no room do not eat what is kept. */
static bool
put_lost(struct audit *a, bool spare)
{
	char text[128], when[TIME_TEXT];
	int len;

	text_time(when, clock_wall_ms());
	len = snprintf(text, sizeof(text), "{\"time\":\"%s\",\"event\":\"lines-lost\",\"count\":%llu}\n",
	    when, (unsigned long long)a->lost);
	if (!audit_queue_put(a->queue, text, (size_t)len, spare))
		return false;
	audit_queue_told(a->queue, a->lost);
	a->lost = 0;
	return true;
}

/* spare: one that could be done without if there is little room. */
static void
line_end(struct audit *a, struct json *j, bool spare)
{
	json_object_end(j);
	a->lost += audit_queue_lost(a->queue);
	if (buf_error(&a->line) == ERR_OK && (a->lost == 0 || put_lost(a, spare)) &&
	    audit_queue_put(a->queue, a->line.data, a->line.len, spare))
		return;
	a->lost++;
	metric_inc(METRIC_AUDIT_LOST_TOTAL);
}

static void
log_item(const struct audit_item *i, const char *name)
{
	bool ping = i->item != 0 && (i->operation == KMIP_OPERATION_DISCOVER_VERSIONS ||
				       i->operation == KMIP_OPERATION_PING);

	LOG(ping ? LOG_DEBUG : LOG_INFO, "audit", name, kv_int("request", (int64_t)i->request),
	    kv_int("item", i->item), kv_text("tenant", i->client->tenant),
	    kv_text("certificate", i->client->digest), kv_text("from", i->client->address),
	    kv_text("uid", i->uid),
	    kv_text("note", i->note != NULL ? i->note : ""), kv_text("result", err_name(i->err)),
	    kv_int("us", i->duration_ns / 1000));
}

static void
put_result(struct json *j, enum err e, int version, uint32_t operation)
{
	json_word(j, "result", kmip_value_name(SET_RESULT_STATUS, kmip_status(e)));
	if (e == ERR_OK)
		return;
	json_word(j, "reason",
	    kmip_value_name(SET_RESULT_REASON, kmip_reason(e, version, operation)));
	json_text(j, "message", err_text(e));
}

void
audit_item(struct audit *a, const struct audit_item *i)
{
	const char *name = kmip_value_name(SET_OPERATION, i->operation);
	struct json j;

	if (i->item == 0)
		name = "message refused";
	else if (name == NULL)
		name = "unknown operation";
	if (a == NULL || !a->to_file) {
		log_item(i, name);
		return;
	}
	line_begin(a, &j, "request");
	json_int(&j, "request", (int64_t)i->request);
	json_int(&j, "item", i->item);
	json_members(&j, i->client->members.data, i->client->members.len);
	json_word(&j, "operation", name);
	if (i->uid[0] != '\0')
		json_text(&j, "uid", i->uid);
	if (i->note != NULL)
		json_text(&j, "note", i->note);
	put_result(&j, i->err, i->version, i->operation);
	json_int(&j, "duration-us", i->duration_ns / 1000);
	line_end(a, &j, i->err == ERR_AUDIT);
}

/* False: there were enough in this second. */
static bool
may_tell(struct ration *r, uint64_t *left_out)
{
	if (r == NULL || ration_take(r, AUDIT_REFUSALS_PER_S, left_out))
		return true;
	metric_inc(METRIC_AUDIT_LEFT_OUT_TOTAL);
	return false;
}

void
audit_message(struct audit *a, const struct audit_message *m)
{
	char digest[2 * TLS_DIGEST_LEN + 1];
	uint64_t left_out = 0;
	struct json j;

	if (!may_tell(a != NULL ? &a->messages : NULL, &left_out))
		return;
	text_hex(digest, m->sha256, TLS_DIGEST_LEN);
	LOG(LOG_INFO, "session", "message refused", kv_text("from", m->address),
	    kv_text("why", err_text(m->err)), kv_text("tenant", m->tenant),
	    kv_text("certificate", digest), kv_int("left-out", (int64_t)left_out));
	if (a != NULL && a->to_file) {
		line_begin(a, &j, "message-refused");
		json_text(&j, "tenant", m->tenant);
		json_text(&j, "certificate", digest);
		json_text(&j, "address", m->address);
		json_text(&j, "why", err_text(m->err));
		json_int(&j, "left-out", (int64_t)left_out);
		line_end(a, &j, true);
	}
}

void
audit_refusal(struct audit *a, const struct audit_refusal *r)
{
	char digest[2 * TLS_DIGEST_LEN + 1] = "none";
	uint64_t left_out = 0;
	struct json j;

	if (!may_tell(a != NULL ? &a->refusals : NULL, &left_out))
		return;
	if (r->sha256 != NULL)
		text_hex(digest, r->sha256, TLS_DIGEST_LEN);
	LOG(LOG_NOTICE, "session", "client refused", kv_text("from", r->address),
	    kv_text("why", r->why), kv_text("certificate", digest), kv_text("subject", r->subject),
	    kv_text("key-proven", r->proven ? "yes" : "no"),
	    kv_int("left-out", (int64_t)left_out));
	if (a != NULL && a->to_file) {
		line_begin(a, &j, "client-refused");
		json_text(&j, "address", r->address);
		json_text(&j, "why", r->why);
		json_text(&j, "certificate", r->sha256 != NULL ? digest : NULL);
		json_text(&j, "subject", r->subject);
		json_bool(&j, "key-proven", r->proven);
		json_int(&j, "left-out", (int64_t)left_out);
		line_end(a, &j, true);
	}
}

void
audit_command(struct audit *a, const struct audit_command *c)
{
	struct json j;

	if (a == NULL || !a->to_file)
		return; /* the control socket logs it */
	line_begin(a, &j, "command");
	json_int(&j, "uid", c->uid);
	json_int(&j, "pid", c->pid);
	json_array(&j, "command");
	for (size_t n = 0; n < c->argc; n++)
		json_text(&j, NULL, c->argv[n]);
	json_array_end(&j);
	json_text(&j, "result", c->err == ERR_OK ? "done" : err_text(c->err));
	line_end(a, &j, c->err == ERR_AUDIT);
}
