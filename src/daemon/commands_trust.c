/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands `trust ...' that change who is trusted. */
#include "commands.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#include "clients.h"
#include "daemon.h"
#include "expiry.h"

enum { PEM_MAX = 32 * 1024, SENTENCE_MAX = 512 };

/* A certificate that is coming or going: first on the disk, then in use. */
struct trust_change {
	struct list link; /* in keyferryd.trust_changes */
	struct store_file file;
	struct control_call *call;
	uint8_t sha256[TLS_DIGEST_LEN];
	char directory[CLIENTS_DIRECTORY_MAX], name[CLIENTS_FILE_MAX];

	/* it comes */
	const char *tenant; /* of the call; NULL: it goes */
	struct x509_st *certificate; /* also of what goes, if there are authorities */
	bool read_only;
	struct buf pem;
	enum err err; /* why it is taken back */
	const char *detail;

	/* it goes */
	unsigned at, removed; /* names: looked for, found */
	enum err left; /* why a file may still be there */
	const struct tenant *voucher; /* whose authority lets its client in all the same; borrowed */
	bool unlooked; /* for that: memory lacked, or its file cannot be read and no session shows it */
};

static void
change_end(struct trust_change *c, enum err e, const char *detail)
{
	list_remove(&c->link);
	control_done(c->call, e, detail);
	certificate_unref(c->certificate);
	buf_fini(&c->pem);
	alloc_free(c);
}

static bool
is_changing(const struct keyferryd *d, const uint8_t sha256[TLS_DIGEST_LEN])
{
	LIST_FOREACH(l, &d->trust_changes) {
		const struct trust_change *c = CONTAINER_OF(l, struct trust_change, link);

		if (memcmp(c->sha256, sha256, sizeof(c->sha256)) == 0)
			return true;
	}
	return false;
}

/*
 * One change at a time for each certificate: what is judged at the beginning holds until the end,
 * but for reloads.  NULL: the call has ended.
 */
static struct trust_change *
change_new(struct control_call *call, const uint8_t sha256[TLS_DIGEST_LEN])
{
	struct keyferryd *d = call->user;
	struct trust_change *c;

	if (is_changing(d, sha256)) {
		control_done(call, ERR_BUSY,
		    "another command is changing the trust in this certificate: wait for its end, then "
		    "try again");
		return NULL;
	}
	c = alloc_zero(sizeof(*c));
	if (c == NULL) {
		control_done(call, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	c->call = call;
	memcpy(c->sha256, sha256, sizeof(c->sha256));
	buf_init(&c->pem, PEM_MAX);
	list_append(&d->trust_changes, &c->link);
	return c;
}

void
trust_stop(struct keyferryd *d)
{
	LIST_FOREACH_SAFE(l, next, &d->trust_changes) {
		struct trust_change *c = CONTAINER_OF(l, struct trust_change, link);

		wait_cancel(&c->file.wait);
		LOG(LOG_WARN, "trust", "stopped amid a change: see trust list after the start",
		    kv_text("file", c->name));
		change_end(c, ERR_CANCELLED, NULL);
	}
}

/* Makes the file, or with data NULL removes it; tenant_id NULL: whosever it is. */
static void
change_file(struct trust_change *c, const char *tenant_id, bool read_only,
    void (*done)(struct wait *, enum err), const struct buf *data)
{
	struct keyferryd *d = c->call->user;

	if (tenant_id != NULL)
		clients_directory(tenant_id, c->directory);
	else
		memcpy(c->directory, CLIENTS_TOP, sizeof(CLIENTS_TOP));
	clients_file(c->sha256, read_only, c->name);
	c->file = (struct store_file){
	    .wait.done = done,
	    .directory = c->directory,
	    .name = c->name,
	    .below = tenant_id == NULL,
	    .data = data != NULL ? data->data : NULL,
	    .len = data != NULL ? data->len : 0,
	};
	store_file(d->store, &c->file);
}

/* Whoever gave the command is to know that it has not kept the client out. */
static void
put_voucher(struct json *j, const struct trust_change *c)
{
	char sentence[SENTENCE_MAX];

	if (c->voucher != NULL) {
		snprintf(sentence, sizeof(sentence), "still let in by client-ca of tenant %s, with all "
		    "rights: revoke it in crl-file, or change the rule", c->voucher->id);
		json_text(j, "warning", sentence);
	} else if (c->unlooked) {
		json_text(j, "warning", "it could not be looked whether a client-ca still lets it in");
	}
}

static void
put_done(struct trust_change *c, const char *what, const struct certificate_text *text,
    size_t closed)
{
	char hex[2 * TLS_DIGEST_LEN + 1];
	struct json j;

	text_hex(hex, c->sha256, TLS_DIGEST_LEN);
	json_init(&j, &c->call->out);
	json_object(&j, NULL);
	json_text(&j, "trust", what);
	json_text(&j, "sha256", hex);
	if (text != NULL) {
		json_text(&j, "tenant", c->tenant);
		json_text(&j, "subject", text->subject);
		json_time(&j, "expires", text->not_after);
	} else {
		json_int(&j, "sessions-closed", (int64_t)closed);
		put_voucher(&j, c);
	}
	if (text != NULL && certificate_is_for_signing(c->certificate))
		json_text(&j, "note", "this is an authority's certificate: it is trusted as a client's "
		    "own now; for clients that it signed, see client-ca");
	json_object_end(&j);
	LOG(LOG_NOTICE, "trust", what, kv_text("sha256", hex),
	    kv_text("tenant", c->tenant != NULL ? c->tenant : ""),
	    kv_text("subject", text != NULL ? text->subject : ""),
	    kv_int("sessions-closed", (int64_t)closed),
	    kv_text("still-let-in-by", c->voucher != NULL ? c->voucher->id : c->unlooked ? "?" : ""));
}

/* In use at once: the set of now, with one certificate more. */
static enum err
pin_now(struct keyferryd *d, struct trust_change *c, const struct certificate_text *text,
    const char **detail)
{
	struct tenants *ts = tenants_copy(gate_tenants(d->gate));
	struct tenant *t = ts != NULL ? tenants_by_id(ts, c->tenant) : NULL;
	struct pinned *p = ts != NULL ? pinned_new(text, c->name, c->read_only, true) : NULL;
	enum err e = ERR_NO_MEMORY;

	if (p != NULL) {
		e = t != NULL ? tenants_pin(ts, t, p) : ERR_NO_OBJECT;
		*detail = "the configuration has changed meanwhile: the certificate is not taken";
	}
	if (e == ERR_OK) {
		(void)gate_change_pinned(d->gate, ts, c->sha256, &(struct gate_vouched){0});
		expiry_measure(d);
	}
	pinned_unref(p);
	tenants_unref(ts);
	return e;
}

/* Sessions know what their clients show beside it; else it is asked for alone. */
static void
find_voucher(struct trust_change *c, struct tenants *ts)
{
	const struct tls_shown shown = {.sha256 = c->sha256, .leaf = c->certificate};
	struct known_client known = {0};
	enum tls_verdict v;

	if (c->voucher != NULL || c->certificate == NULL)
		return;
	v = tenants_identify(ts, &shown, &known);
	if (v == TLS_KNOWN && !known.pinned)
		c->voucher = known.tenant;
	c->unlooked |= v == TLS_NO_MEMORY;
}

/* Out of use at once: the set of now, without this certificate. */
static enum err
unpin_now(struct keyferryd *d, struct trust_change *c, size_t *closed)
{
	struct tenants *ts = tenants_copy(gate_tenants(d->gate));
	struct gate_vouched vouched;

	if (ts == NULL)
		return ERR_NO_MEMORY;
	tenants_unpin(ts, c->sha256);
	*closed = gate_change_pinned(d->gate, ts, c->sha256, &vouched);
	c->voucher = vouched.voucher;
	c->unlooked &= !vouched.asked;
	find_voucher(c, ts);
	c->unlooked |= vouched.unseen;
	tenants_unref(ts);
	expiry_measure(d);
	return ERR_OK;
}

/* Not on the disk any more; nor in use, if a reload has found it there. */
static void
file_taken_back(struct wait *w, enum err e)
{
	struct trust_change *c = CONTAINER_OF(w, struct trust_change, file.wait);
	struct keyferryd *d = c->call->user;
	const struct pinned *p;
	struct tenant *t;
	size_t closed;

	if (e == ERR_NO_OBJECT)
		e = ERR_OK;
	p = tenants_pinned(gate_tenants(d->gate), c->sha256, &t);
	if (e == ERR_OK && p != NULL && p->accepted && strcmp(t->id, c->tenant) == 0)
		e = unpin_now(d, c, &closed);
	if (e != ERR_OK) {
		LOG(LOG_WARN, "trust", "what a command began could not be taken back",
		    kv_text("directory", c->directory), kv_text("file", c->name),
		    kv_text("error", err_name(e)));
		c->detail = "it failed, and the certificate's file may be there all the same: give trust "
			    "remove, or the next reload trusts it";
		c->call->unsure = true;
	}
	change_end(c, c->err, c->detail);
}

/* A file that is left would count at the next reload, or stop it. */
static void
file_made(struct wait *w, enum err e)
{
	struct trust_change *c = CONTAINER_OF(w, struct trust_change, file.wait);
	struct keyferryd *d = c->call->user;
	struct certificate_text text;
	const char *detail = NULL;

	if (e == ERR_STORAGE_MOVED) { /* nothing was made, nor could it be taken back */
		change_end(c, e, NULL);
		return;
	}
	if (e == ERR_OK)
		e = certificate_describe(c->certificate, &text);
	if (e == ERR_OK)
		e = pin_now(d, c, &text, &detail);
	if (e != ERR_OK) {
		c->err = e;
		c->detail = detail;
		change_file(c, c->tenant, c->read_only, file_taken_back, NULL);
		return;
	}
	pending_forget(gate_pending(d->gate), c->sha256);
	put_done(c, "trusted", &text, 0);
	c->call->unsure = true; /* what can still fail is the answer */
	change_end(c, ERR_OK, NULL);
}

/* A sentence when it cannot be trusted. */
static const char *
object_to(const struct keyferryd *d, const char *tenant, const struct certificate_text *text)
{
	static char sentence[SENTENCE_MAX];
	const struct tenants *ts = gate_tenants(d->gate);
	const struct tenant *t = tenants_by_id(ts, tenant);
	const char *unfit = certificate_unfit(text, clock_wall());
	struct tenant *owner;

	if (t == NULL)
		return "no such tenant";
	if (tenants_pinned(ts, text->digest, &owner) != NULL) {
		snprintf(sentence, sizeof(sentence), "the certificate is trusted already, for tenant %s",
		    owner->id);
		return sentence;
	}
	if (text->key_unfit != NULL)
		return text->key_unfit;
	if (unfit != NULL && t->accept_expired_until <= clock_wall()) {
		snprintf(sentence, sizeof(sentence),
		    "%s: make a new one in vCenter, or set accept-expired-until for a while", unfit);
		return sentence;
	}
	return NULL;
}

/* Takes the certificate. */
static void
change_begin(struct control_call *call, struct x509_st *x, const char *tenant)
{
	const char *objection;
	struct trust_change *c;
	struct certificate_text text;

	objection = certificate_describe(x, &text) == ERR_OK ? object_to(call->user, tenant, &text)
							       : "its dates cannot be read";
	if (objection != NULL) {
		certificate_unref(x);
		control_done(call, ERR_CONFIG, objection);
		return;
	}
	c = change_new(call, text.digest);
	if (c == NULL) {
		certificate_unref(x);
		return;
	}
	c->certificate = x;
	c->tenant = tenant;
	c->read_only = control_flag(call, "read-only");
	certificate_pem(x, &c->pem);
	if (buf_error(&c->pem) == ERR_OK)
		change_file(c, tenant, c->read_only, file_made, &c->pem);
	else
		change_end(c, buf_error(&c->pem), NULL);
}

void
trust_add_run(struct control_call *call)
{
	const char *tenant = control_word(call, 0), *base64 = control_arg(call, "der");
	uint8_t der[CERTIFICATE_DER_MAX];
	struct x509_st *x = NULL;
	size_t len, size;

	if (tenant == NULL || base64 == NULL) {
		control_done(call, ERR_INVALID_FIELD, "a tenant's id and a certificate are wanted");
		return;
	}
	len = strlen(base64);
	size = text_unbase64_len(base64, len);
	if (size > 0 && size <= sizeof(der) && text_unbase64(der, base64, len))
		x = certificate_from_der(der, size);
	if (x == NULL) {
		control_done(call, ERR_INVALID_FIELD, "this is no certificate, or a very large one");
		return;
	}
	change_begin(call, x, tenant);
}

bool
commands_take_digest(const char *text, uint8_t sha256[TLS_DIGEST_LEN])
{
	char hex[2 * TLS_DIGEST_LEN + 1] = "";
	size_t n = 0;

	for (; text != NULL && *text != '\0'; text++) {
		if (*text == ':' && n % 2 == 0)
			continue;
		if (n == sizeof(hex) - 1)
			return false;
		hex[n++] = *text;
	}
	return n == sizeof(hex) - 1 && text_unhex(sha256, TLS_DIGEST_LEN, hex);
}

void
trust_accept_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	const char *tenant = control_word(call, 1);
	const struct pending_entry *en;
	uint8_t sha256[TLS_DIGEST_LEN];

	if (tenant == NULL || !commands_take_digest(control_word(call, 0), sha256)) {
		control_done(call, ERR_INVALID_FIELD,
		    "the whole SHA-256 digest, 64 hexadecimal digits, and a tenant's id are wanted");
		return;
	}
	en = pending_find(gate_pending(d->gate), sha256);
	if (en == NULL) {
		control_done(call, ERR_NO_OBJECT,
		    "no refused certificate has this digest: let the client connect again, or use trust "
		    "add");
		return;
	}
	change_begin(call, certificate_ref(en->certificate), tenant);
}

static void
all_removed(struct trust_change *c)
{
	static char sentence[SENTENCE_MAX];
	struct keyferryd *d = c->call->user;
	const struct pinned *p = tenants_pinned(gate_tenants(d->gate), c->sha256, NULL);
	size_t closed = 0;
	enum err e;

	if (p == NULL && c->removed == 0) {
		if (c->left != ERR_OK)
			change_end(c, c->left, NULL);
		else
			change_end(c, ERR_NO_OBJECT, "no such certificate");
		return;
	}
	if (p != NULL && !p->accepted) {
		snprintf(sentence, sizeof(sentence), "%sit is in %s: take it out there, then %s",
		    c->removed > 0 ? "what a command had added is removed, but " : "", p->file,
		    c->left == ERR_OK ? "reload" : "give this command again, as a file of it may be left below "
						   "trust/ in the state directory, and reload");
		change_end(c, ERR_NO_OBJECT, sentence);
		return;
	}
	e = p != NULL ? unpin_now(d, c, &closed) : ERR_OK;
	if (e != ERR_OK) {
		change_end(c, e, "the file is gone: reload");
	} else if (c->left != ERR_OK) {
		change_end(c, c->left, "it is not in use any more, but a file of it may be left below trust/ in "
		    "the state directory, and would count at the next reload");
	} else {
		put_done(c, "removed", NULL, closed);
		change_end(c, ERR_OK, NULL);
	}
}

static void next_file(struct trust_change *c);

static void
file_removed(struct wait *w, enum err e)
{
	struct trust_change *c = CONTAINER_OF(w, struct trust_change, file.wait);

	c->removed += e == ERR_OK;
	if (e != ERR_OK && e != ERR_NO_OBJECT)
		c->left = e;
	next_file(c);
}

/*
 * Under both names, whatever is in use: a file that is left would count at the next reload, or at the
 * one that has its tenant again.
 */
static void
next_file(struct trust_change *c)
{
	if (c->at < 2)
		change_file(c, NULL, c->at++ == 1, file_removed, NULL);
	else
		all_removed(c);
}

/* As a reload reads it: whether an authority takes it, too, cannot be told by the digest. */
static void
read_going(struct trust_change *c)
{
	const struct keyferryd *d = c->call->user;
	char path[PATH_MAX];
	struct stack_st_X509 *all = NULL;
	const char *why;
	struct tenant *t, *other;
	const struct tenants *ts = gate_tenants(d->gate);
	const struct pinned *p = tenants_pinned(ts, c->sha256, &t);

	if (p == NULL || !p->accepted || tenants_authority_at(ts, 0, &other) == NULL)
		return;
	clients_directory(t->id, c->directory);
	clients_file(c->sha256, p->read_only, c->name);
	snprintf(path, sizeof(path), "%s/%s/%s", d->state_dir, c->directory, c->name);
	if (certificates_of_file(path, &all, &why) == ERR_OK && certificates_count(all) == 1)
		c->certificate = certificate_ref(certificates_at(all, 0));
	c->unlooked = c->certificate == NULL;
	certificates_free(all);
}

void
trust_remove_run(struct control_call *call)
{
	uint8_t sha256[TLS_DIGEST_LEN];
	struct trust_change *c;

	if (!commands_take_digest(control_word(call, 0), sha256)) {
		control_done(call, ERR_INVALID_FIELD,
		    "the whole SHA-256 digest, 64 hexadecimal digits, is wanted");
		return;
	}
	c = change_new(call, sha256);
	if (c == NULL)
		return;
	read_going(c);
	next_file(c);
}
