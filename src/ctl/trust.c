/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands `trust ...' that begin here: certificates are read or made, then the daemon is asked
 * to trust them.  Private keys never go to the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "ctl.h"
#include "daemon/config.h"
#include "keys/disk.h"
#include "net/issue.h"

enum { PEM_MAX = 256 * 1024, CHUNK = 4096, PATH_LEN_MAX = 1024, DAYS_DEFAULT = 1825,
	DAYS_MOST = 3650 };

static int
complain(const char *about, const char *why)
{
	fprintf(stderr, "keyferryctl: %s: %s\n", about, why);
	return CTL_REFUSED;
}

/* A file, or standard input for NULL and "-".  False after saying why. */
static bool
read_all(const char *path, struct buf *out)
{
	bool input = path == NULL || strcmp(path, "-") == 0;
	int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? 1 : -1;

	if (input && isatty(fd))
		fprintf(stderr, "Paste the certificate, then press Ctrl-D on a line of its own.\n");
	while (n > 0 && buf_reserve(out, CHUNK) == ERR_OK) {
		n = read(fd, out->data + out->len, CHUNK);
		if (n > 0)
			out->len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n != 0)
		(void)complain(input ? "standard input" : path,
		    n < 0 ? strerror(errno) : "too large for a certificate");
	if (!input && fd >= 0)
		close(fd);
	return n == 0;
}

static bool
take_days(const struct ctl_call *call, unsigned *days)
{
	char *end = NULL;
	unsigned long n = call->days != NULL ? strtoul(call->days, &end, 10) : DAYS_DEFAULT;

	if (call->days != NULL && (*call->days < '0' || *call->days > '9' || *end != '\0'))
		n = 0;
	*days = (unsigned)n;
	return n >= 1 && n <= DAYS_MOST;
}

/*
 * *untouched: the daemon did not take it, and nobody trusts the certificate.  Else, and without
 * CTL_OK, that is not known.
 */
static int
ask_daemon(const struct ctl_call *call, const char *tenant, const struct buf *pem,
    const char *about, bool *untouched)
{
	static struct ctl_call ask;
	struct buf der, line;
	const char *why;
	enum err e;
	int fd, status;

	*untouched = true;

	buf_init(&der, PEM_MAX);
	buf_init(&line, sizeof(ask.request));
	e = issue_der(pem, &der, &why);
	if (e == ERR_OK) {
		buf_printf(&line, "trust add\t=%s%s\tder=", tenant,
		    call->read_only ? "\tread-only=yes" : "");
		text_base64(&line, der.data, der.len);
		buf_put(&line, "", 1);
		ask = *call;
		if (buf_error(&line) == ERR_OK)
			memcpy(ask.request, line.data, line.len);
		else
			e = buf_error(&line);
		why = "the certificate is too large";
	}
	buf_fini(&der);
	buf_fini(&line);
	if (e != ERR_OK)
		return complain(about, why);
	fd = ctl_dial(&ask, &status);
	if (fd >= 0)
		status = ctl_talk_over(&ask, fd);
	*untouched = fd < 0 || status == CTL_REFUSED;
	return status;
}

/*
 * The same for what was made here: key_path, which may be NULL, and cert_path are removed when
 * nobody can trust them.
 */
static int
ask_for_made(const struct ctl_call *call, const char *tenant, const struct buf *cert,
    const char *cert_path, const char *key_path)
{
	bool untouched;
	int status = ask_daemon(call, tenant, cert, cert_path, &untouched);

	if (status == CTL_OK)
		return status;
	if (!untouched) {
		fprintf(stderr, "keyferryctl: whether it is trusted is not known, so %s is kept: "
		    "trusted if trust list shows it, and else once `keyferryctl trust add %s %s' was "
		    "given\n",
		    cert_path, tenant, cert_path);
		return status;
	}
	unlink(cert_path);
	if (key_path != NULL)
		unlink(key_path);
	return status;
}

int
ctl_trust_add(const struct ctl_call *call)
{
	const char *file = call->words[1];
	int status = CTL_REFUSED;
	struct buf pem;
	bool untouched;

	buf_init(&pem, PEM_MAX);
	if (read_all(file, &pem))
		status = ask_daemon(call, call->words[0], &pem,
		    file != NULL ? file : "standard input", &untouched);
	buf_fini(&pem);
	return status;
}

/* Both files or none. */
static int
write_pair(const char *cert_path, const struct buf *cert, const char *key_path,
    const struct buf *key)
{
	const char *why;

	if (disk_write_new(key_path, key->data, key->len, &why) != ERR_OK)
		return complain(key_path, why);
	if (disk_write_new(cert_path, cert->data, cert->len, &why) == ERR_OK)
		return CTL_OK;
	unlink(key_path);
	return complain(cert_path, why);
}

int
ctl_trust_make(const struct ctl_call *call)
{
	const char *tenant = call->words[0], *cert_path = call->words[1], *key_path = call->words[2];
	struct buf cert, key;
	const char *why;
	unsigned days;
	int status;

	if (!take_days(call, &days))
		return complain("--days", "a whole number from 1 to 3650 is wanted");
	if (!ctl_guard_memory())
		return CTL_REFUSED;
	buf_init(&cert, PEM_MAX);
	buf_init(&key, PEM_MAX);
	if (issue_pair(ISSUE_CLIENT, tenant, call->ec, days, &cert, &key, &why) == ERR_OK)
		status = write_pair(cert_path, &cert, key_path, &key);
	else
		status = complain(tenant, why);
	if (status == CTL_OK)
		status = ask_for_made(call, tenant, &cert, cert_path, key_path);
	buf_fini(&cert);
	buf_fini(&key);
	return status;
}

/* --- requests --- */

/* The authority of a tenant: what its name is, and its files. */
struct signer {
	char name[128], dir[PATH_LEN_MAX - 128], cert_path[PATH_LEN_MAX], key_path[PATH_LEN_MAX];
	struct buf cert, key;
};

static bool
find_signer(const struct ctl_call *call, const char *tenant, struct signer *s)
{
	const struct config *config = ctl_load_config(call);
	bool good;

	if (config == NULL)
		return false;
	snprintf(s->dir, sizeof(s->dir), "%s/signing", config->state_dir);
	config_unref(config);
	good = strchr(tenant, '/') == NULL && strlen(tenant) <= 64 &&
	    (mkdir(s->dir, 0700) == 0 || errno == EEXIST) && disk_sync_parent(s->dir) == 0;
	if (!good) {
		(void)complain(s->dir, "cannot be made, or this is no tenant's id");
		return false;
	}
	snprintf(s->name, sizeof(s->name), "%s signing", tenant);
	snprintf(s->cert_path, sizeof(s->cert_path), "%s/%s.pem", s->dir, tenant);
	snprintf(s->key_path, sizeof(s->key_path), "%s/%s.key", s->dir, tenant);
	return true;
}

/*
 * The key is the last to come and the first to go: where it is, its certificate is.  A key alone is
 * of no use, since what the authority signed is trusted one by one.
 */
static bool
make_signer(struct signer *s)
{
	const char *about = s->key_path, *why = "the old key cannot be removed";
	bool found;
	enum err e = disk_remove(s->key_path, &found);

	if (e == ERR_OK) {
		about = s->name;
		e = issue_pair(ISSUE_AUTHORITY, s->name, true, DAYS_MOST, &s->cert, &s->key, &why);
	}
	if (e == ERR_OK) {
		about = s->cert_path;
		e = disk_put(s->cert_path, s->cert.data, s->cert.len, &why);
	}
	if (e == ERR_OK) {
		about = s->key_path;
		e = disk_put(s->key_path, s->key.data, s->key.len, &why);
	}
	if (e != ERR_OK)
		(void)complain(about, why);
	return e == ERR_OK;
}

/* Reads the tenant's authority, or makes it: one command at a time. */
static bool
load_signer(struct signer *s)
{
	int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && flock(fd, LOCK_EX) == 0;

	if (!good)
		(void)complain(s->dir, strerror(errno));
	else if (access(s->key_path, F_OK) == 0 && access(s->cert_path, F_OK) == 0)
		good = read_all(s->cert_path, &s->cert) && read_all(s->key_path, &s->key);
	else
		good = make_signer(s);
	if (fd >= 0)
		close(fd);
	return good;
}

static int
sign(const struct ctl_call *call, struct signer *s, const struct buf *request, unsigned days)
{
	const char *out = call->words[2], *why;
	struct buf cert;
	int status = CTL_REFUSED;

	buf_init(&cert, PEM_MAX);
	if (issue_for_request(request, &s->cert, &s->key, days, &cert, &why) != ERR_OK)
		(void)complain(call->words[1], why);
	else if (disk_write_new(out, cert.data, cert.len, &why) != ERR_OK)
		(void)complain(out, why);
	else
		status = ask_for_made(call, call->words[0], &cert, out, NULL);
	buf_fini(&cert);
	return status;
}

int
ctl_trust_sign(const struct ctl_call *call)
{
	struct signer s;
	struct buf request;
	int status = CTL_REFUSED;
	unsigned days;

	if (!take_days(call, &days))
		return complain("--days", "a whole number from 1 to 3650 is wanted");
	if (!ctl_guard_memory())
		return CTL_REFUSED;
	buf_init(&s.cert, PEM_MAX);
	buf_init(&s.key, PEM_MAX);
	buf_init(&request, PEM_MAX);
	if (read_all(call->words[1], &request) && find_signer(call, call->words[0], &s) &&
	    load_signer(&s))
		status = sign(call, &s, &request, days);
	buf_fini(&s.cert);
	buf_fini(&s.key);
	buf_fini(&request);
	return status;
}
