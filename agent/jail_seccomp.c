/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of an app. What is not on a list does not exist for it (ENOSYS), so a kernel's
 * newer calls are closed too. The second list is what an attacker reaches for first: refused by
 * name (EPERM), which also says to a reader that these were not forgotten.
 */
#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include "agent/jail_inner.h"
#include "lib/mem.h"

#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

/* files, waiting, memory, processes and threads, time, talk between its own processes */
static const char *const allowed[] = { "access", "chdir", "chmod", "chown", "close", "close_range",
	"copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
	"fallocate", "fchdir", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl", "fdatasync",
	"fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs",
	"fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "lchown",
	"lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek",
	"lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open",
	"openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2",
	"read", "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat",
	"renameat2", "rmdir", "sendfile", "setxattr", "splice", "stat", "statfs", "statx",
	"symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "umask",
	"unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice", "write", "writev",
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
	"eventfd", "eventfd2", "inotify_add_watch", "inotify_init", "inotify_init1",
	"inotify_rm_watch", "ioctl", "io_cancel", "io_destroy", "io_getevents", "io_setup",
	"io_submit", "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "signalfd",
	"signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_settime", "brk", "get_mempolicy",
	"madvise", "mbind", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall",
	"mmap", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc",
	"pkey_free", "pkey_mprotect", "remap_file_pages", "set_mempolicy", "shmat", "shmctl",
	"shmdt", "shmget", "alarm", "arch_prctl", "capget", "execve", "execveat", "exit",
	"exit_group", "fork", "futex", "futex_waitv", "get_robust_list", "get_thread_area",
	"getcpu", "getegid", "geteuid", "getgid", "getgroups", "getitimer", "getpgid", "getpgrp",
	"getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit", "getrusage",
	"getsid", "gettid", "getuid", "kill", "landlock_add_rule", "landlock_create_ruleset",
	"landlock_restrict_self", "pause", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64",
	"restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
	"rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
	"sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
	"sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity",
	"sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp",
	"set_robust_list", "set_thread_area", "set_tid_address", "setfsgid", "setfsuid", "setgid",
	"setgroups", "setitimer", "setpgid", "setpriority", "setregid", "setresgid", "setresuid",
	"setreuid", "setrlimit", "setsid", "setuid", "sigaltstack", "tgkill", "tkill", "vfork",
	"wait4", "waitid", "clock_getres", "clock_gettime", "clock_nanosleep", "getrandom",
	"gettimeofday", "nanosleep", "sysinfo", "time", "timer_create", "timer_delete",
	"timer_getoverrun", "timer_gettime", "timer_settime", "times", "uname", "accept", "accept4",
	"bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "mq_getsetattr",
	"mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget",
	"msgrcv", "msgsnd", "recvfrom", "recvmmsg", "recvmsg", "semctl", "semget", "semop",
	"semtimedop", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown" };

static const char *const refused[] = { "acct", "add_key", "adjtimex", "bpf", "chroot",
	"clock_adjtime", "clock_settime", "delete_module", "fanotify_init", "finit_module",
	"fsconfig", "fsmount", "fsopen", "fspick", "init_module", "io_uring_enter",
	"io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load",
	"kexec_load", "keyctl", "migrate_pages", "mount", "mount_setattr", "move_mount",
	"move_pages", "name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open",
	"pidfd_getfd", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev",
	"ptrace", "quotactl", "reboot", "request_key", "setdomainname", "sethostname", "setns",
	"settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd",
	"vhangup" };

static const int families[] = { AF_UNIX, AF_INET };
static const unsigned long personalities[] = { 0, 0x8, 0x20000, 0x20008, 0xffffffff };

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = seccomp_rule_add(ctx, action, seccomp_syscall_resolve_name(names[i]), 0);
	return rc;
}

/* One rule on the first argument. */
static int add_first(scmp_filter_ctx ctx, uint32_t action, const char *name, enum scmp_compare op,
	scmp_datum_t a, scmp_datum_t b)
{
	const struct scmp_arg_cmp first = { .arg = 0, .op = op, .datum_a = a, .datum_b = b };

	return seccomp_rule_add_array(ctx, action, seccomp_syscall_resolve_name(name), 1, &first);
}

/* Calls that are fine with some arguments only. */
static int add_conditional(scmp_filter_ctx ctx)
{
	int rc = add_first(ctx, SCMP_ACT_ALLOW, "clone", SCMP_CMP_MASKED_EQ, NAMESPACES, 0);

	for (size_t i = 0; i < ARRAY_LEN(families) && rc == 0; i++)
		rc = add_first(
			ctx, SCMP_ACT_ALLOW, "socket", SCMP_CMP_EQ, (scmp_datum_t)families[i], 0);
	if (rc == 0) /* what programs expect to hear about a family that is not there */
		rc = add_first(
			ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", SCMP_CMP_GT, AF_INET, 0);
	if (rc == 0)
		rc = add_first(ctx, SCMP_ACT_ALLOW, "socketpair", SCMP_CMP_EQ, AF_UNIX, 0);
	for (size_t i = 0; i < ARRAY_LEN(personalities) && rc == 0; i++)
		rc = add_first(
			ctx, SCMP_ACT_ALLOW, "personality", SCMP_CMP_EQ, personalities[i], 0);
	return rc;
}

int jail_seccomp_load(struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int rc = ctx ? seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) : -ENOMEM;

	if (rc == 0)
		rc = add_names(ctx, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
	if (rc == 0)
		rc = add_names(ctx, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_LEN(refused));
	if (rc == 0)
		rc = add_conditional(ctx);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc == 0)
		return 0;
	return err_set(err, ERR_INTERNAL, "jail.seccomp", "system call filter: error %d", -rc);
}
