/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's cage around an ordinary program, QEMU's arguments, and the bytes of an initrd. */
#include <arpa/inet.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/buf.h"
#include "lib/cpio.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static char *launcher;
static char dir[] = "/tmp/test_launch.XXXXXX";

static char *in_dir(const char *name)
{
	return mem_printf("%s/%s", dir, name);
}

static struct launch_conf conf_of(char *const *argv, const char *log)
{
	return (struct launch_conf) { .launcher = launcher,
		.argv = argv,
		.log_file = log,
		.port = 443,
		.view = { "--ro", "/bin", "--ro", "/lib", "--ro", "/lib64", "--ro", "/proc",
			"--dev", "/dev/null", "--dev", "/dev/zero", "--rw", dir, NULL } };
}

/* Waits for the program's end by its log: it is no child of ours. */
static char *log_of(const char *path)
{
	struct buf text = BUF_INIT(64 << 10);
	struct err err;

	for (int i = 0; i < 500; i++) {
		buf_release(&text);
		text = (struct buf)BUF_INIT(64 << 10);
		if (buf_read_file(&text, path, &err) == 0 && text.data &&
			strstr((const char *)text.data, "end\n"))
			break;
		usleep(10000);
	}
	return (char *)text.data;
}

static void test_cage(void)
{
	static char script[] =
		"read a b < /proc/net/dev; grep -c : /proc/net/dev; readlink /proc/self/ns/net;"
		"ls /proc/self/fd | wc -l; grep NoNewPrivs /proc/self/status; echo end";
	static char *const argv[] = { (char *)"/bin/sh", (char *)"-c", script, NULL };
	auto_free char *log = in_dir("cage.log");
	struct launch_conf conf = conf_of(argv, log);
	char ours[64] = { 0 };
	auto_free char *text = NULL;
	auto_fd int listener = -1;
	struct sockaddr_in in = { 0 };
	socklen_t len = sizeof(in);
	struct err err = { 0 };
	pid_t pid = 0;

	CHECK(readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) > 0);
	CHECK(launch_start(&conf, &pid, &listener, &err) == 0);
	CHECK(pid > 1 && listener >= 0);
	text = log_of(log);
	CHECK(text && strncmp(text, "1\nnet:", 6) == 0); /* lo alone */
	CHECK(text && !strstr(text, ours));
	CHECK(text && strstr(text, "\n4\nNoNewPrivs:\t1\nend\n")); /* 0 1 2 and ls's own */
	CHECK(getsockname(listener, (struct sockaddr *)&in, &len) == 0);
	CHECK_NUMBER(ntohs(in.sin_port), 443);
	CHECK(in.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

/* Nothing of the host but what was named, and nothing to be changed but where that was said. It
 * tries this on folders of its own only: where the cage fails, the host must not be harmed by its
 * test. */
static void test_root(void)
{
	char hidden[] = "/tmp/test_launch_hidden.XXXXXX", shown[] = "/tmp/test_launch_shown.XXXXXX";
	bool are_made = mkdtemp(hidden) && mkdtemp(shown) && chmod(hidden, 0777) == 0;
	auto_free char *log = in_dir("root.log"), *written = in_dir("written");
	auto_free char *script = mem_printf(
		"echo /* /dev/* /tmp/*; cd %s; echo a > written;"
		"for folder in %s %s; do (echo a > $folder/file) 2>/dev/null && echo made; done;"
		"test -e /etc/passwd && echo seen; cp /bin/true own; ./own || echo refused $?;"
		"echo a > /dev/null && grep -c ' / ro,nosuid,nodev,noexec' /proc/self/mountinfo;"
		"echo end",
		dir, hidden, shown);
	auto_free char *expected =
		mem_printf("/bin /dev /lib /lib64 /proc /tmp /dev/null /dev/zero %s %s\n"
			   "/bin/sh: 1: ./own: Permission denied\nrefused 126\n1\nend\n",
			dir, shown);
	auto_free char *clean = mem_printf("rm -rf %s %s", hidden, shown), *text = NULL;
	char *const argv[] = { (char *)"/bin/sh", (char *)"-c", script, NULL };
	struct launch_conf conf = conf_of(argv, log);
	auto_fd int listener = -1;
	struct err err = { 0 };
	size_t n = 0;
	pid_t pid = 0;

	CHECK(are_made);
	while (conf.view[n])
		n++;
	conf.view[n] = "--ro";
	conf.view[n + 1] = shown;
	CHECK(launch_start(&conf, &pid, &listener, &err) == 0);
	text = log_of(log);
	CHECK_TEXT(text ? text : "", expected);
	CHECK(access(written, F_OK) == 0);
	CHECK(system(clean) == 0); /* NOLINT: names of our own */
}

/* A guest that writes its console for ever fills neither the host's disk nor dies of it. */
static void test_file_limit(void)
{
	auto_free char *file = in_dir("console"), *log = in_dir("limit.log");
	auto_free char *script =
		mem_printf("head -c 5000000 /dev/zero > %s; echo wrote $?; echo end", file);
	char *const argv[] = { (char *)"/bin/sh", (char *)"-c", script, NULL };
	struct launch_conf conf = conf_of(argv, log);
	auto_fd int listener = -1;
	auto_free char *text = NULL;
	struct err err = { 0 };
	struct stat st = { 0 };
	pid_t pid = 0;

	CHECK(launch_start(&conf, &pid, &listener, &err) == 0);
	text = log_of(log);
	CHECK(text && strstr(text, "wrote 1\nend\n")); /* an error, not a signal */
	CHECK(stat(file, &st) == 0);
	CHECK_NUMBER(st.st_size, 4 << 20);
}

/* Our end of the listener works while the program lives elsewhere, and it outlives nobody's child.
 */
static void test_life(void)
{
	static char *const argv[] = { (char *)"/bin/sleep", (char *)"60", NULL };
	struct launch_conf conf = conf_of(argv, NULL);
	auto_fd int listener = -1;
	struct err err = { 0 };
	pid_t pid = 0;

	conf.switch_user = geteuid() == 0;
	conf.uid = conf.gid = 65534;
	CHECK(launch_start(&conf, &pid, &listener, &err) == 0);
	CHECK(pid > 1 && kill(pid, 0) == 0);
	if (pid > 1) {
		auto_free char *path = mem_printf("/proc/%d", pid);
		struct stat st;

		CHECK(stat(path, &st) == 0 && st.st_uid == (geteuid() == 0 ? 65534 : geteuid()));
		CHECK(getpgid(pid) == pid && getsid(pid) == pid);
		kill(pid, SIGKILL);
	}
}

/* The caller blocks SIGTERM in its threads, as services do: the program hears it all the same. */
static void test_hears_signals(void)
{
	static char *const argv[] = { (char *)"/bin/sleep", (char *)"60", NULL };
	struct launch_conf conf = conf_of(argv, NULL);
	auto_fd int listener = -1, pidfd = -1;
	struct err err = { 0 };
	struct pollfd end;
	sigset_t term, before;
	pid_t pid = 0;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &before);
	CHECK(launch_start(&conf, &pid, &listener, &err) == 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
	pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	CHECK(pidfd >= 0 && kill(pid, SIGTERM) == 0);
	end = (struct pollfd) { .fd = pidfd, .events = POLLIN };
	CHECK_NUMBER(poll(&end, 1, 10000), 1);
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

static void test_failures(void)
{
	static char *const absent[] = { (char *)"/absent/program", NULL };
	struct launch_conf conf = conf_of(absent, NULL);
	int listener = -1;
	struct err err = { 0 };
	pid_t pid = 0;

	CHECK_FAILS(launch_start(&conf, &pid, &listener, &err), &err, "launch.failed");
	CHECK(strstr(err.detail, "/absent/program") != NULL);
	CHECK(pid == 0 && listener == -1);
	conf.launcher = "/absent/launcher";
	CHECK_FAILS(launch_start(&conf, &pid, &listener, &err), &err, "internal.system");
	conf.launcher = "/bin/true";
	CHECK_FAILS(launch_start(&conf, &pid, &listener, &err), &err, "launch.failed");
}

static void test_argv(void)
{
	const struct launch_vm vm = { .name = "sbx_1",
		.kernel = "k",
		.initrd = "i",
		.console_file = "/run/a,b/console",
		.secret_file = "/run/secret",
		.memory_mib = 256,
		.vcpus = 2 };
	char **argv = launch_qemu_argv(&vm);
	auto_buf all = BUF_INIT(1 << 16);

	for (char **arg = argv; *arg; arg++)
		CHECK(buf_printf(&all, NULL, "%s ", *arg) == 0);
	CHECK(strstr((char *)all.data, " -machine q35,accel=tcg ") != NULL);
	CHECK(strstr((char *)all.data, " -smp 2 -m 256 ") != NULL);
	CHECK(strstr((char *)all.data, " file,id=console,path=/run/a,,b/console ") != NULL);
	CHECK(strstr((char *)all.data,
		      " -fw_cfg name=opt/strongroom/enrolment,file=/run/secret ") != NULL);
	CHECK(strstr((char *)all.data,
		      " -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
		      "resourcecontrol=deny ") != NULL);
	CHECK(strstr((char *)all.data, "fwd") == NULL);
	launch_argv_free(argv);
}

static void test_initrd(void)
{
	auto_free char *initramfs = in_dir("initramfs"), *path = in_dir("initrd"),
		       *copy = in_dir("copy");
	auto_free char *command = NULL;
	auto_buf out = BUF_INIT(1 << 16), read_back = BUF_INIT(1 << 16);
	struct err err = { 0 };

	CHECK(buf_write_file(initramfs, "odd", 3, 0644, &err) == 0);
	CHECK(launch_initrd_write(initramfs, "{\"v\":1}", 7, path, &err) == 0);
	CHECK(buf_read_file(&out, path, &err) == 0);
	CHECK(out.len == 2 * CPIO_INITDATA_SIZE && memcmp(out.data, "odd\0", 4) == 0);
	command = mem_printf(
		"cd %s && mkdir x && cd x && tail -c +4097 ../initrd | cpio -idm --quiet &&"
		"cat etc/strongroom/initdata.json > ../copy",
		dir);
	CHECK(system(command) == 0); /* NOLINT: names of our own */
	CHECK(buf_read_file(&read_back, copy, &err) == 0);
	CHECK_TEXT(read_back.data ? (char *)read_back.data : "", "{\"v\":1}");
}

int main(void)
{
	char self[4096] = { 0 };
	auto_free char *clean = NULL;

	CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	launcher = mem_printf("%s/../bin/strongroom-launch", dirname(self));
	CHECK(mkdtemp(dir) != NULL);
	test_cage();
	test_root();
	test_file_limit();
	test_life();
	test_hears_signals();
	test_failures();
	test_argv();
	test_initrd();
	clean = mem_printf("rm -rf %s", dir);
	CHECK(system(clean) == 0); /* NOLINT: a name of our own */
	free(launcher);
	CHECK_DONE();
}
