/* SPDX-License-Identifier: Apache-2.0 */
/* Results as text and as JSON. */
#include "report.h"

#include <stdio.h>

#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/json.h"

enum { JSON_MAX = 64 * 1024, BAR = 40 };

/* Of 100,000. */
static const struct share {
	const char *name, *key;
	unsigned of;
} shares[] = {{"p50", "p50_us", 50000}, {"p90", "p90_us", 90000}, {"p99", "p99_us", 99000},
    {"p99.9", "p99_9_us", 99900}, {"max", "max_us", 100000}};

enum { SHARES = sizeof(shares) / sizeof(shares[0]) };

const char *
report_mode(enum mode m)
{
	static const char *const names[] = {
#define MODE(name, text, help) text,
#include "mode.def"
#undef MODE
	};

	return names[m];
}

static const char *
version_text(const struct run_options *o)
{
	return o->tls_version == 0 ? "any" : o->tls_version == TLS1_2_VERSION ? "1.2" : "1.3";
}

static double
per_second(const struct run_result *r)
{
	return r->wall_ns > 0 ? (double)r->done * 1e9 / (double)r->wall_ns : 0;
}

static int64_t
each(int64_t sum, uint64_t n)
{
	return n > 0 ? sum / (int64_t)n : 0;
}

void
report_progress(const struct run_options *o, const struct run_result *r)
{
	if (r->wall_ns == 0)
		fprintf(stderr, "\r\033[Kpreparing: %u sessions open", r->opened);
	else
		fprintf(stderr, "\r\033[K%s: %lld s, %llu done, %.0f/s, %llu failed, p99 %.1f ms",
		    report_mode(o->mode), (long long)(r->wall_ns / NS_PER_S),
		    (unsigned long long)r->done, per_second(r), (unsigned long long)r->failed,
		    (double)hist_percentile(&r->latency, 99000) / 1e6);
	fflush(stderr);
}

/* --- text --- */

static void
print_histogram(const struct hist *h)
{
	uint64_t most = 1;

	for (unsigned p = HIST_SUB_BITS; p < HIST_POWER_MAX; p++)
		if (hist_power(h, p) > most)
			most = hist_power(h, p);
	for (unsigned p = HIST_SUB_BITS; p < HIST_POWER_MAX; p++) {
		uint64_t n = hist_power(h, p);

		if (n > 0)
			printf("  < %10.3f ms %10llu %.*s\n", (double)(UINT64_C(2) << p) / 1e6,
			    (unsigned long long)n, (int)((n * BAR + most - 1) / most),
			    "########################################");
	}
}

void
report_text(const struct run_options *o, const struct run_result *r)
{
	printf("%s: %llu done in %.1f s (%.0f/s), %llu failed; %u connections, TLS %s\n",
	    report_mode(o->mode), (unsigned long long)r->done, (double)r->wall_ns / 1e9,
	    per_second(r), (unsigned long long)r->failed, o->connections, version_text(o));
	printf("handshakes %llu (%llu resumed), messages %llu\n", (unsigned long long)r->handshakes,
	    (unsigned long long)r->resumed, (unsigned long long)r->messages);
	if (r->latency.count > 0) {
		printf("latency");
		for (unsigned i = 0; i < SHARES; i++)
			printf("  %s %.2f ms", shares[i].name,
			    (double)hist_percentile(&r->latency, shares[i].of) / 1e6);
		printf("  mean %.2f ms\n", (double)hist_mean(&r->latency) / 1e6);
		print_histogram(&r->latency);
	}
	if (o->pid != 0 && o->mode == MODE_IDLE)
		printf("server memory %lld bytes for each session\n",
		    (long long)each(r->server_memory, r->opened));
	else if (o->pid != 0)
		printf("server CPU %.1f us for each operation\n",
		    (double)each(r->server_cpu_ns, r->done) / 1e3);
	for (unsigned i = 0; i < r->failures_count; i++)
		printf("failed %llu: %s\n", (unsigned long long)r->failures[i].count,
		    r->failures[i].why);
}

/* --- JSON --- */

static void
put_latency(struct json *j, const struct hist *h)
{
	json_object(j, "latency");
	json_int(j, "mean_us", hist_mean(h) / 1000);
	for (unsigned i = 0; i < SHARES; i++)
		json_int(j, shares[i].key, hist_percentile(h, shares[i].of) / 1000);
	json_array(j, "histogram");
	for (unsigned p = HIST_SUB_BITS; p < HIST_POWER_MAX; p++) {
		if (hist_power(h, p) == 0)
			continue;
		json_object(j, NULL);
		json_int(j, "below_ns", INT64_C(2) << p);
		json_int(j, "count", (int64_t)hist_power(h, p));
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

void
report_json(const struct run_options *o, const struct run_result *r)
{
	struct json j;
	struct buf b;

	buf_init(&b, JSON_MAX);
	json_init(&j, &b);
	json_object(&j, NULL);
	json_text(&j, "mode", report_mode(o->mode));
	json_text(&j, "tls", version_text(o));
	json_int(&j, "connections", o->connections);
	json_int(&j, "wall_us", r->wall_ns / 1000);
	json_int(&j, "begun", (int64_t)r->begun);
	json_int(&j, "done", (int64_t)r->done);
	json_int(&j, "failed", (int64_t)r->failed);
	json_int(&j, "handshakes", (int64_t)r->handshakes);
	json_int(&j, "resumed", (int64_t)r->resumed);
	json_int(&j, "messages", (int64_t)r->messages);
	json_int(&j, "opened", r->opened);
	put_latency(&j, &r->latency);
	if (o->pid != 0) {
		json_int(&j, "server_cpu_us", r->server_cpu_ns / 1000);
		json_int(&j, "server_cpu_ns_per_operation", each(r->server_cpu_ns, r->done));
		json_int(&j, "server_memory_per_session", each(r->server_memory, r->opened));
	}
	json_array(&j, "failures");
	for (unsigned i = 0; i < r->failures_count; i++) {
		json_object(&j, NULL);
		json_text(&j, "why", r->failures[i].why);
		json_int(&j, "count", (int64_t)r->failures[i].count);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_fini(&b);
}
