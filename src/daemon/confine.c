/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls the process may still make, through libseccomp. */
#include "confine.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <seccomp.h>

#if defined(__SANITIZE_ADDRESS__)
#define KF_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define KF_SANITIZED
#endif
#endif

static const char *const calls[] = {
#define CALL(name) #name,
#include "calls.def"
#undef CALL
};

/* getaddrinfo() asks netlink which addresses this machine has. */
static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/* Not for children: to start a program, and sockets beside the one that they have. */
static const int parents_only[] = {SCMP_SYS(execve), SCMP_SYS(socket), SCMP_SYS(socketpair),
    SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4)};

/* A call that this architecture does not have need not be allowed. */
static int
allow_plain(scmp_filter_ctx ctx)
{
	int rc = 0, number;

	for (size_t i = 0; rc == 0 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		number = seccomp_syscall_resolve_name(calls[i]);
		if (number != __NR_SCMP_ERROR)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
	}
	return rc;
}

/* Memory is never both written and run; the loader of a child maps code, and nothing makes any. */
static int
allow_memory(scmp_filter_ctx ctx)
{
	static const unsigned long either[] = {PROT_EXEC, PROT_WRITE};
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	for (int i = 0; rc == 0 && i < 2; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, either[i], 0));
	return rc;
}

static int
allow_sockets(scmp_filter_ctx ctx)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(families) / sizeof(families[0]); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	return rc;
}

static enum err
refuse(struct buf *why, const char *cause)
{
	buf_printf(why, "system calls cannot be filtered: %s; set seccomp = false to go without", cause);
	return ERR_INTERNAL;
}

enum err
confine(struct buf *why)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	/* that is how the library says that it cannot kill with a filter, having tried the call */
	if (ctx == NULL)
		return refuse(why, "the kernel, or the service manager's SystemCallFilter=, forbids the "
		    "call seccomp");
	rc = allow_plain(ctx);
	if (rc == 0)
		rc = allow_memory(ctx);
	if (rc == 0)
		rc = allow_sockets(ctx);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc == 0 ? ERR_OK : refuse(why, strerror(-rc));
}

enum err
confine_child(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx != NULL ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < sizeof(parents_only) / sizeof(parents_only[0]); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, parents_only[i], 0);
	if (rc == 0)
		rc = seccomp_load(ctx);
	if (ctx != NULL)
		seccomp_release(ctx);
	return rc == 0 ? ERR_OK : ERR_INTERNAL;
}
