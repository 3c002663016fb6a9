/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's arguments, the question whether KVM works here, and the initrd with a sandbox's initdata
 * behind it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/buf.h"
#include "lib/mem.h"

#define MAX_ARGS 64
#define QEMU "/usr/bin/qemu-system-x86_64"
#define INITRD_MAX (256u << 20)

static void add(char **argv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(char **argv, const char *fmt, ...)
{
	va_list args;

	while (*argv)
		argv++;
	va_start(args, fmt);
	if (vasprintf(argv, fmt, args) < 0)
		abort();
	va_end(args);
}

static void add_pair(char **argv, const char *name, const char *value)
{
	add(argv, "%s", name);
	add(argv, "%s", value);
}

/* A comma in a file's name ends it for QEMU unless doubled. */
static char *escape(const char *path)
{
	char *text = mem_alloc(strlen(path) * 2 + 1), *out = text;

	for (; *path; path++) {
		if (*path == ',')
			*out++ = ',';
		*out++ = *path;
	}
	return text;
}

static void add_machine(char **argv, const struct launch_vm *vm)
{
	add_pair(argv, "-machine", vm->kvm ? "q35,accel=kvm" : "q35,accel=tcg");
	add_pair(argv, "-cpu", vm->kvm ? "host" : "max");
	add_pair(argv, "-smp", "1");
	add(argv, "-m");
	add(argv, "%u", vm->memory_mib);
	add(argv, "-nodefaults");
	add(argv, "-no-user-config");
	add(argv, "-no-reboot");
	add_pair(argv, "-display", "none");
	add_pair(argv, "-monitor", "none");
	add_pair(argv, "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static void add_devices(char **argv, const struct launch_vm *vm)
{
	auto_free char *console = escape(vm->console_file);

	add(argv, "-chardev");
	add(argv, "file,id=console,path=%s", console);
	add_pair(argv, "-serial", "chardev:console");
	add_pair(argv, "-object", "rng-random,id=rng,filename=/dev/urandom");
	add_pair(argv, "-device", "virtio-rng-pci,rng=rng");
	add_pair(argv, "-netdev", "user,id=net,ipv6=off");
	add_pair(argv, "-device", "virtio-net-pci,netdev=net,romfile=");
	if (vm->secret_file) {
		auto_free char *secret = escape(vm->secret_file);

		add(argv, "-fw_cfg");
		add(argv, "name=" LAUNCH_SECRET_NAME ",file=%s", secret);
	}
}

char **launch_qemu_argv(const struct launch_vm *vm)
{
	char **argv = mem_array(MAX_ARGS, sizeof(*argv));

	add(argv, "%s", vm->qemu ? vm->qemu : QEMU);
	if (vm->name)
		add_pair(argv, "-name", vm->name);
	add_machine(argv, vm);
	add_devices(argv, vm);
	add_pair(argv, "-kernel", vm->kernel);
	add_pair(argv, "-initrd", vm->initrd);
	add_pair(argv, "-append", vm->cmdline ? vm->cmdline : LAUNCH_CMDLINE);
	if (vm->pid_file)
		add_pair(argv, "-pidfile", vm->pid_file);
	return argv;
}

void launch_argv_free(char **argv)
{
	for (char **arg = argv; arg && *arg; arg++)
		free(*arg);
	free(argv);
}

/* Waits for the end of a child, kills it at the limit; true when it ended by itself. */
static bool ends_within(pid_t pid, long limit_ms)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };
	bool ended = pidfd >= 0 && poll(&wait, 1, (int)limit_ms) == 1;

	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return ended;
}

static bool says_ok(const char *console_file)
{
	auto_buf text = BUF_INIT(1 << 20);
	struct err err;

	return buf_read_file(&text, console_file, &err) == 0 && text.data &&
	       strstr((const char *)text.data, "probe ok");
}

bool launch_probe_kvm(const struct launch_vm *vm, long limit_ms)
{
	struct launch_vm probe = *vm;
	posix_spawn_file_actions_t files;
	char **argv;
	pid_t pid;
	int rc;

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return false;
	probe.kvm = true;
	probe.cmdline = LAUNCH_CMDLINE " strongroom.probe=1";
	probe.secret_file = probe.pid_file = NULL;
	unlink(probe.console_file);
	argv = launch_qemu_argv(&probe);
	posix_spawn_file_actions_init(&files);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	rc = posix_spawn(&pid, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	launch_argv_free(argv);
	return rc == 0 && ends_within(pid, limit_ms) && says_ok(probe.console_file);
}

/* --- initrd --- */

static int pad(struct buf *out, struct err *err)
{
	static const char zeros[4];

	return buf_add(out, zeros, (4 - out->len % 4) % 4, err);
}

/* newc, as deploy/guest/mkcpio writes it: root's, time 0, inodes counted from 1. */
static int add_entry(struct buf *out, unsigned inode, const char *name, unsigned mode,
	const void *data, size_t len, struct err *err)
{
	bool folder = (mode & 0170000) == 0040000;

	if (buf_printf(out, err, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x%s",
		    inode, mode, 0u, 0u, folder ? 2u : 1u, 0u, len, 0u, 0u, 0u, 0u,
		    strlen(name) + 1, 0u, name) < 0 ||
		buf_add(out, "", 1, err) < 0 || pad(out, err) < 0)
		return -1;
	return buf_add(out, data, len, err) < 0 ? -1 : pad(out, err);
}

int launch_initrd_write(
	const char *initramfs, const void *initdata, size_t len, const char *path, struct err *err)
{
	auto_buf out = BUF_INIT(INITRD_MAX);

	if (buf_read_file(&out, initramfs, err) < 0 || pad(&out, err) < 0 ||
		add_entry(&out, 1, "etc", 0040755, "", 0, err) < 0 ||
		add_entry(&out, 2, "etc/strongroom", 0040755, "", 0, err) < 0 ||
		add_entry(&out, 3, "etc/strongroom/initdata.json", 0100644, initdata, len, err) <
			0 ||
		add_entry(&out, 0, "TRAILER!!!", 0, "", 0, err) < 0)
		return -1;
	return buf_write_file(path, out.data, out.len, 0644, err);
}
