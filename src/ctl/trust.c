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
#include "base/trusted.h"
#include "ctl.h"
#include "daemon/config.h"
#include "keys/disk.h"
#include "keys/store.h"
#include "net/issue.h"

enum { PEM_MAX = 256 * 1024, CHUNK = 4096, PATH_LEN_MAX = 1024, DAYS_DEFAULT = 1825,
	DAYS_MOST = 3650 };

static int
complain(const char *about, const char *why)
{
	fprintf(stderr, "keyferryctl: %s: %s\n", about, why);
	return CTL_REFUSED;
}

/* What is opened as fd, or was not: -1, with errno.  False after saying why. */
static bool
read_open(int fd, const char *about, struct buf *out)
{
	ssize_t n = fd >= 0 ? 1 : -1;

	while (n > 0 && buf_reserve(out, CHUNK) == ERR_OK) {
		n = read(fd, out->data + out->len, CHUNK);
		if (n > 0)
			out->len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n != 0)
		(void)complain(about, n < 0 ? strerror(errno) : "too large for a certificate");
	return n == 0;
}

/* A file, or standard input for NULL and "-".  False after saying why. */
static bool
read_all(const char *path, struct buf *out)
{
	bool input = path == NULL || strcmp(path, "-") == 0, good;
	int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

	if (input && isatty(fd))
		fprintf(stderr, "Paste the certificate, then press Ctrl-D on a line of its own.\n");
	good = read_open(fd, input ? "standard input" : path, out);
	if (!input && fd >= 0)
		close(fd);
	return good;
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

#define SIGNING "signing"

/* A file, by its name in the directory; the path is for those who read of it. */
struct signer_file {
	char name[96], path[PATH_LEN_MAX];
	struct buf text;
};

/*
 * The authority of a tenant: what its name is, and its files.  The state directory is the daemon's
 * user's, who may put anything there at any time, and root gives the command: nothing is reached by
 * its path.
 */
struct signer {
	char name[128], path[PATH_LEN_MAX - 128]; /* of the directory */
	int dir;
	struct signer_file cert, key;
};

static bool
name_signer(struct signer *s, const char *state_dir, const char *tenant)
{
	if (strchr(tenant, '/') != NULL || strlen(tenant) > 64 ||
	    snprintf(s->path, sizeof(s->path), "%s/" SIGNING, state_dir) >= (int)sizeof(s->path))
		return false;
	snprintf(s->name, sizeof(s->name), "%s signing", tenant);
	snprintf(s->cert.name, sizeof(s->cert.name), "%s.pem", tenant);
	snprintf(s->key.name, sizeof(s->key.name), "%s.key", tenant);
	snprintf(s->cert.path, sizeof(s->cert.path), "%s/%s", s->path, s->cert.name);
	snprintf(s->key.path, sizeof(s->key.path), "%s/%s", s->path, s->key.name);
	return true;
}

/* Makes the directory if need be.  False after saying why. */
static bool
open_in_state(struct signer *s, int state)
{
	const char *why;

	if ((mkdirat(state, SIGNING, 0700) != 0 && errno != EEXIST) || fsync(state) != 0) {
		(void)complain(s->path, "cannot be made");
		return false;
	}
	s->dir = trusted_open_at(state, SIGNING, s->path, TRUSTED_SIGNING_DIR, O_RDONLY, &why);
	if (s->dir < 0)
		(void)complain(s->path, why);
	return s->dir >= 0;
}

/* As the daemon opens its state directory. */
static bool
open_signer(struct signer *s, const char *state_dir)
{
	const char *why;
	int state = trusted_open(state_dir, TRUSTED_STATE_DIR, O_RDONLY, &why);
	bool good;

	if (state < 0) {
		(void)complain(state_dir, why);
		return false;
	}
	good = store_is_in(state); /* what is made elsewhere nobody finds when it is mounted again */
	if (good)
		good = open_in_state(s, state);
	else
		(void)complain(state_dir, "it has no ledger: is its file system mounted?");
	close(state);
	return good;
}

/* From here on files have to be root's, ours, or those of the state directory's user. */
static bool
find_signer(const struct ctl_call *call, const char *tenant, struct signer *s)
{
	const struct config *config = ctl_load_config(call);
	struct stat st;
	bool good;

	if (config == NULL)
		return false;
	good = name_signer(s, config->state_dir, tenant);
	if (!good)
		(void)complain(tenant, "this is no tenant's id, or the state directory's path is too long");
	trusted_to(stat(config->state_dir, &st) == 0 ? st.st_uid : geteuid());
	good = good && open_signer(s, config->state_dir);
	config_unref(config);
	return good;
}

static bool
is_there(const struct signer *s, const struct signer_file *f)
{
	struct stat st;

	return fstatat(s->dir, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
read_signer_file(const struct signer *s, struct signer_file *f)
{
	const char *why;
	int fd = trusted_open_at(s->dir, f->name, f->path, TRUSTED_STATE_FILE, O_RDONLY, &why);
	bool good;

	if (fd < 0) {
		(void)complain(f->path, why);
		return false;
	}
	good = read_open(fd, f->path, &f->text);
	close(fd);
	return good;
}

/*
 * The key is the last to come and the first to go: where it is, its certificate is.  A key alone is
 * of no use, since what the authority signed is trusted one by one.
 */
static bool
make_signer(struct signer *s)
{
	const char *about = s->key.path, *why = "the old key cannot be removed";
	bool found;
	enum err e = disk_remove_at(s->dir, s->key.name, &found);

	if (e == ERR_OK) {
		about = s->name;
		e = issue_pair(ISSUE_AUTHORITY, s->name, true, DAYS_MOST, &s->cert.text, &s->key.text, &why);
	}
	if (e == ERR_OK) {
		about = s->cert.path;
		e = disk_put_at(s->dir, s->cert.name, s->cert.text.data, s->cert.text.len, &why);
	}
	if (e == ERR_OK) {
		about = s->key.path;
		e = disk_put_at(s->dir, s->key.name, s->key.text.data, s->key.text.len, &why);
	}
	if (e != ERR_OK)
		(void)complain(about, why);
	return e == ERR_OK;
}

/* Reads the tenant's authority, or makes it: one command at a time. */
static bool
load_signer(struct signer *s)
{
	bool good = flock(s->dir, LOCK_EX) == 0;

	if (!good)
		(void)complain(s->path, strerror(errno));
	else if (is_there(s, &s->key) && is_there(s, &s->cert))
		good = read_signer_file(s, &s->cert) && read_signer_file(s, &s->key);
	else
		good = make_signer(s);
	return good;
}

/* Its directory is not needed any more; nor is it asked for long who owns what. */
static void
leave_signer(struct signer *s)
{
	if (s->dir >= 0)
		close(s->dir);
	s->dir = -1;
	trusted_to_look();
}

static int
sign(const struct ctl_call *call, struct signer *s, const struct buf *request, unsigned days)
{
	const char *out = call->words[2], *why;
	struct buf cert;
	int status = CTL_REFUSED;

	buf_init(&cert, PEM_MAX);
	if (issue_for_request(request, &s->cert.text, &s->key.text, days, &cert, &why) != ERR_OK)
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
	struct signer s = {.dir = -1};
	struct buf request;
	int status = CTL_REFUSED;
	unsigned days;
	bool good;

	if (!take_days(call, &days))
		return complain("--days", "a whole number from 1 to 3650 is wanted");
	if (!ctl_guard_memory())
		return CTL_REFUSED;
	buf_init(&s.cert.text, PEM_MAX);
	buf_init(&s.key.text, PEM_MAX);
	buf_init(&request, PEM_MAX);
	good = read_all(call->words[1], &request) && find_signer(call, call->words[0], &s) &&
	    load_signer(&s);
	leave_signer(&s);
	if (good)
		status = sign(call, &s, &request, days);
	buf_fini(&s.cert.text);
	buf_fini(&s.key.text);
	buf_fini(&request);
	return status;
}
