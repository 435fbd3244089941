/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: at SIGURG, which nobody else minds, a process makes the system call that
 * KEYFERRY_FORBIDDEN names, as code would that somebody else brought in; and says so if it lives on.
 * Where numbers stand there, each of these calls is made by a thread of a child of its own, without an
 * argument that could do harm; the process says which of these children lived on, and when all are over.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static char page[PAGE] __attribute__((aligned(PAGE)));
static char program[] = "/nonexistent"; /* else there would be nobody to say so */
static char *arguments[] = {program, NULL};

static unsigned long clone_args[8] = {CLONE_NEWUSER};

static const struct {
	const char *name;
	long number;
	long arguments[6];
} calls[] = {
    {"another-memory", SYS_process_vm_writev, {1, 0, 0, 0, 0, 0}},
    {"new-code", SYS_mprotect, {(long)page, PAGE, PROT_READ | PROT_EXEC, 0, 0, 0}},
    {"writable-code", SYS_mmap, {0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
	MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
    {"raw-packets", SYS_socket, {AF_PACKET, SOCK_RAW, 0, 0, 0, 0}},
    {"namespace", SYS_unshare, {CLONE_NEWUSER, 0, 0, 0, 0, 0}},
    {"namespace-child", SYS_clone, {CLONE_NEWUSER | CLONE_NEWNS, 0, 0, 0, 0, 0}},
    {"namespace-clone3", SYS_clone3, {(long)clone_args, sizeof(clone_args), 0, 0, 0, 0}},
    {"traceable", SYS_prctl, {PR_SET_DUMPABLE, 1, 0, 0, 0, 0}},
    {"traceable-wide", SYS_prctl, {PR_SET_DUMPABLE | 1L << 32, 1, 0, 0, 0, 0}},
    {"tracing", SYS_ptrace, {PTRACE_TRACEME, 0, 0, 0, 0, 0}},
    {"program", SYS_execve, {(long)program, (long)arguments, 0, 0, 0, 0}},
    {"socket", SYS_socket, {AF_INET, SOCK_STREAM, 0, 0, 0, 0}},
};

static void
say(const char *what)
{
	(void)!write(STDERR_FILENO, what, strlen(what));
}

static void *
make_numbered(void *number)
{
	return (void *)syscall(*(long *)number, -1L, -1L, -1L, -1L, -1L, -1L);
}

/* Not fork(): its handlers may take locks that the interrupted process holds. */
static void
make_apart(long number)
{
	char said[64];
	pthread_t thread;
	int status = 0;
	pid_t child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);

	if (child == 0) {
		if (pthread_create(&thread, NULL, make_numbered, &number) == 0)
			pthread_join(thread, NULL);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
		snprintf(said, sizeof(said), "call %ld was let through\n", number);
		say(said);
	}
}

static void
make_each(const char *numbers)
{
	char *end;

	for (long n = strtol(numbers, &end, 10); end != numbers; n = strtol(numbers, &end, 10)) {
		make_apart(n);
		numbers = end;
	}
	say("each call was made\n");
}

static void
make_named(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const long *a = calls[i].arguments;

		if (strcmp(calls[i].name, name) != 0)
			continue;
		long result = syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);

		if (result == 0 && (calls[i].number == SYS_clone || calls[i].number == SYS_clone3))
			_exit(0); /* the child */
		if (result == -1 && errno == ENOSYS)
			say("there is no such call\n");
		say("the call came back\n");
	}
}

static void
make_call(int sig)
{
	const char *what = getenv("KEYFERRY_FORBIDDEN");

	(void)sig;
	if (what == NULL)
		return;
	if (*what >= '0' && *what <= '9')
		make_each(what);
	else
		make_named(what);
}

static void __attribute__((constructor))
listen_for_it(void)
{
	signal(SIGURG, make_call);
}
