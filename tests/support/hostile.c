/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An app that means harm: one attempt per name. What it found is printed as `key=value` lines; the
 * test that put it into the cage knows what each must say. Static, no dependency, so that it can be
 * the only file of an image.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

static void say(const char *key, long rc)
{
	printf("%s=%s\n", key, rc < 0 ? strerrorname_np(errno) : "ok");
}

static void say_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	say(path, fd);
	if (fd >= 0)
		close(fd);
}

static int be_good(void)
{
	FILE *file = fopen("/output/answer.txt", "w");

	if (!file || fputs("42\n", file) < 0 || fclose(file) != 0)
		return 1;
	puts("done");
	fputs("a word\n", stderr);
	return 0;
}

static int do_nothing(void)
{
	return 0;
}

static int exit_three(void)
{
	return 3;
}

static int fork_without_end(void)
{
	int refused = 0;

	for (int i = 0; i < 1000; i++) {
		pid_t pid = fork();

		if (pid == 0)
			for (;;)
				pause();
		refused += pid < 0;
	}
	printf("refused=%s\n", refused > 0 ? "some" : "none");
	return 0;
}

static int fill_disk(void)
{
	static char block[65536];
	int fd = open("/output/big", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	long total = 0, got;

	memset(block, 'x', sizeof(block));
	while ((got = write(fd, block, sizeof(block))) > 0)
		total += got;
	say("write", got);
	printf("written=%ld\n", total);
	return 0;
}

static int fill_inodes(void)
{
	char path[64];
	int made = 0;

	for (int i = 0; i < 100000; i++) {
		snprintf(path, sizeof(path), "/output/%d", i);
		if (mkdir(path, 0755) < 0)
			break;
		made++;
	}
	say("mkdir", -1);
	printf("made=%d\n", made);
	return 0;
}

static _Noreturn int fill_memory(void)
{
	for (;;)
		memset(malloc(1 << 20), 1, 1 << 20);
}

static _Noreturn int never_end(void)
{
	signal(SIGTERM, SIG_IGN);
	for (;;)
		sleep(1);
}

static _Noreturn int burn(void)
{
	for (volatile unsigned long i = 0;; i++)
		continue;
}

static int chatter(void)
{
	for (int i = 0; i < 100000; i++)
		puts("all work and no play makes an app a dull app");
	return 0;
}

static int plant(void)
{
	say("symlink", symlink("/etc/shadow", "/output/passwords"));
	say("symlink_up", symlink("../../..", "/output/up"));
	say("fifo", mknod("/output/fifo", S_IFIFO | 0644, 0));
	say("device", mknod("/output/sda", S_IFBLK | 0644, makedev(8, 0)));
	say("hardlink", link("/bin/hostile", "/output/hostile"));
	say("folder", mkdir("/output/real", 0755));
	say("symlink_in", symlink("/", "/output/real/root"));
	return be_good();
}

static void try_namespaces(void)
{
	say("unshare", unshare(CLONE_NEWUSER));
	say("clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	say("clone3", syscall(SYS_clone3, NULL, 0));
	say("setns", setns(0, 0));
	say("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
	say("umount", umount2("/proc/kcore", MNT_DETACH));
	say("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
	say("chroot", chroot("/tmp"));
}

static int try_calls(void)
{
	try_namespaces();
	say("ptrace", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
	say("process_vm_readv", process_vm_readv(1, NULL, 0, NULL, 0, 0));
	say("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
	say("bpf", syscall(SYS_bpf, 0, NULL, 0));
	say("userfaultfd", syscall(SYS_userfaultfd, 0));
	say("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	say("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
	say("finit_module", syscall(SYS_finit_module, 0, "", 0));
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	say("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
	say("socket_unix", socket(AF_UNIX, SOCK_STREAM, 0));
	say("socket_inet", socket(AF_INET, SOCK_STREAM, 0));
	say("socket_inet6", socket(AF_INET6, SOCK_STREAM, 0));
	say("socket_netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	say("socket_packet", socket(AF_PACKET, SOCK_RAW, 0));
	say("socket_vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
	say("setuid", setuid(0));
	say("kill_helper", kill(1, SIGKILL));
	return 0;
}

static int try_files(void)
{
	static const char *const readable[] = { "/proc/1/mem", "/proc/1/environ", "/proc/1/root",
		"/proc/1/fd", "/dev/mem", "/dev/vda", "/dev/ttyS0", "/dev/console", "/dev/kmsg",
		"/sys/firmware", "/etc/strongroom", "/run/work", "/init", "/dev/null",
		"/dev/urandom" };
	static const char *const writable[] = { "/bin/new", "/dev/new", "/input/new", "/tmp/new",
		"/dev/shm/new", "/output/new", "/proc/sys/kernel/core_pattern",
		"/proc/self/oom_score_adj" };
	char byte;

	for (size_t i = 0; i < sizeof(readable) / sizeof(*readable); i++)
		say_open(readable[i], O_RDONLY);
	for (size_t i = 0; i < sizeof(writable) / sizeof(*writable); i++) {
		int fd = open(writable[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		say(writable[i], fd);
	}
	printf("kcore=%zd\n", read(open("/proc/kcore", O_RDONLY | O_CLOEXEC), &byte, 1));
	return 0;
}

/* What the kernel says about this very process. */
static int try_status(void)
{
	static const char *const keys[] = { "Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd",
		"CapAmb", "NoNewPrivs", "Seccomp" };
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	DIR *dir = opendir("/proc/self/fd");
	int open_files = 0;

	while (file && fgets(line, sizeof(line), file))
		for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
			if (strncmp(line, keys[i], strlen(keys[i])) == 0 &&
				line[strlen(keys[i])] == ':')
				printf("%s", line);
	while (dir && readdir(dir))
		open_files++;
	printf("pid=%d open=%d\n", getpid(),
		open_files - 4); /* . .. the file above, the folder itself */
	return 0;
}

static int try_network(void)
{
	FILE *file = fopen("/proc/net/dev", "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strchr(line, ':'))
			printf("interface=%.*s\n", (int)(strchr(line, ':') - line), line);
	return 0;
}

static int crash(void)
{
	abort();
}

static const struct {
	const char *name;
	int (*run)(void);
} attempts[] = { { "good", be_good }, { "nothing", do_nothing }, { "exit3", exit_three },
	{ "fork", fork_without_end }, { "disk", fill_disk }, { "inodes", fill_inodes },
	{ "memory", fill_memory }, { "endless", never_end }, { "burn", burn },
	{ "chatter", chatter }, { "plant", plant }, { "calls", try_calls }, { "files", try_files },
	{ "status", try_status }, { "network", try_network }, { "crash", crash } };

static int attempt(const char *name)
{
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++)
		if (strcmp(name, attempts[i].name) == 0)
			return attempts[i].run();
	return 99;
}

/* One attempt after the other; the last one's return code counts. */
int main(int argc, char **argv)
{
	int rc = 99;

	setvbuf(stdout, NULL, _IOFBF, 0);
	for (int i = 1; i < argc; i++) {
		rc = attempt(argv[i]);
		fflush(stdout);
	}
	return rc;
}
