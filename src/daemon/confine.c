/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls the process may still make, through libseccomp. */
#include "confine.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <seccomp.h>

#if defined(__SANITIZE_ADDRESS__)
#define KF_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define KF_SANITIZED
#endif
#endif

/* Which argument of clone the flags are. */
#ifdef __s390__
#define CLONE_FLAGS SCMP_A1
#else
#define CLONE_FLAGS SCMP_A0
#endif
#define NAMESPACES                                                                                 \
	((scmp_datum_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |              \
	    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET))

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

/*
 * Processes and threads, without new namespaces.  The flags of clone3 lie in memory, where no filter
 * looks: it is told to be missing, so that the C library takes clone.
 */
static int
allow_clone(scmp_filter_ctx ctx)
{
	int newer = seccomp_syscall_resolve_name("clone3");
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	    CLONE_FLAGS(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));

	return rc == 0 && newer != __NR_SCMP_ERROR
	    ? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), newer, 0)
	    : rc;
}

/*
 * Whatever is not PR_SET_DUMPABLE, in one of the 32 bits that the kernel looks at; and that only to
 * switch tracing off.
 */
static int
allow_prctl(scmp_filter_ctx ctx)
{
#ifdef KF_SANITIZED
	(void)ctx; /* a look for leaks begins by switching it on */
	return 0;
#else
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, PR_SET_DUMPABLE), SCMP_A1(SCMP_CMP_EQ, 0, 0));

	for (scmp_datum_t bit = 1; rc == 0 && bit <= UINT32_MAX; bit <<= 1)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, bit, ~(scmp_datum_t)PR_SET_DUMPABLE & bit));
	return rc;
#endif
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
	/* for another architecture's calls the library would kill the thread alone */
	rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = allow_plain(ctx);
	if (rc == 0)
		rc = allow_memory(ctx);
	if (rc == 0)
		rc = allow_sockets(ctx);
	if (rc == 0)
		rc = allow_clone(ctx);
	if (rc == 0)
		rc = allow_prctl(ctx);
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
