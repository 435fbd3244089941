/* SPDX-License-Identifier: Apache-2.0 */
/* Storage children in the test's own process. */
#include "children.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "crash_vfs.h"

struct child children[2];
int children_tries;

void
child_end(struct child *c)
{
	store_exec_close(c->exec);
	if (c->fd >= 0)
		close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	*c = (struct child){.fd = -1};
	buf_init(&c->in, 64 << 20);
	buf_init(&c->out, 64 << 20);
}

void
children_end(void)
{
	child_end(&children[STORE_READER]);
	child_end(&children[STORE_WRITER]);
}

bool
children_are_there(void)
{
	return children[STORE_READER].fd >= 0 || children[STORE_WRITER].fd >= 0;
}

void
child_send(struct child *c)
{
	ssize_t n;

	while (c->out.len > 0) {
		n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
		if (n < 0)
			return;
		buf_consume(&c->out, (size_t)n);
	}
}

/*
 * A process for the store to wait for; the work is done in ours.  Until it has gone it has our descriptors
 * too, and with them a child's end would not be seen.
 */
static pid_t
spawn_nothing(void)
{
	siginfo_t info;
	pid_t pid = vfork(); /* ours need not be copied */

	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	return pid;
}

static void
tell_opens(void *child)
{
	struct child *c = child;

	store_exec_opening(&c->out, WIRE_OPENS);
	child_send(c);
}

static pid_t
spawn_here(void *rig, int fd, enum store_part part)
{
	const struct rig *r = rig;
	struct child *c = &children[part == STORE_READER ? STORE_READER : STORE_WRITER];
	const struct store_exec_params p = {.state_dir = r->state, .part = part, .vfs = CRASH_VFS,
	    .sync_dir = crash_vfs_sync_dir, .opens = tell_opens, .arg = c};
	const char *why = "";
	enum err e;
	pid_t pid;

	if (crash_vfs_is_cut())
		return -1;
	if (part != STORE_READER) {
		children_end();
		children_tries++;
	}
	child_end(c);
	c->fd = dup(fd);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	pid = spawn_nothing();
	e = store_exec_open(&c->exec, &p, &why);
	store_exec_hello(&c->out, c->exec, e, why);
	child_send(c);
	return pid;
}

bool
child_pump(struct child *c, bool sends)
{
	const char *why;
	ssize_t n;

	if (c->fd < 0 || c->exec == NULL)
		return true;
	if (sends)
		child_send(c);
	if (buf_reserve(&c->in, 65536) != ERR_OK)
		return true;
	n = read(c->fd, c->in.data + c->in.len, 65536);
	if (n > 0)
		c->in.len += (size_t)n;
	if (store_exec_run(c->exec, &c->in, &c->out, &why) != ERR_OK ||
	    store_exec_tend(c->exec, &c->out, &why) != ERR_OK || crash_vfs_is_cut())
		return false;
	while (store_exec_search(c->exec, &c->out))
		;
	if (sends)
		child_send(c);
	return !crash_vfs_is_cut();
}

void
children_init(struct rig *r)
{
	r->spawn = spawn_here;
	children[STORE_READER].fd = children[STORE_WRITER].fd = -1;
	crash_vfs_install();
}

void
children_pump(struct rig *r)
{
	(void)r;
	for (int i = 0; i < 2; i++)
		if (!child_pump(&children[i], true)) {
			child_send(&children[i]);
			child_end(&children[i]);
		}
}
