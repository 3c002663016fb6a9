/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's arguments and what it sees of the host, the question whether KVM works here, and the
 * initrd with a sandbox's initdata behind it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/buf.h"
#include "lib/cpio.h"
#include "lib/mem.h"

#define MAX_ARGS 64
#define QEMU "/usr/bin/qemu-system-x86_64"
#define CONSOLE_MAX (5u << 20) /* more than the launcher lets it become */
#define KVM "/dev/kvm"
#define KILL_MS 1000

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

static void add_limits(char **argv)
{
	add(argv, "-nodefaults");
	add(argv, "-no-user-config");
	add_pair(argv, "-display", "none");
	add_pair(argv, "-monitor", "none");
	add_pair(argv, "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static void add_machine(char **argv, const struct launch_vm *vm)
{
	add(argv, "-machine");
	add(argv, "q35,accel=%s%s", vm->kvm ? "kvm" : "tcg", vm->firmware ? ",smm=off" : "");
	add_pair(argv, "-cpu", vm->kvm ? "host" : "max");
	add(argv, "-smp");
	add(argv, "%u", vm->vcpus);
	add(argv, "-m");
	add(argv, "%u", vm->memory_mib);
	add(argv, "-no-reboot");
	add_limits(argv);
}

/* What is measured with these options, attestation in docs/threat-model.md rests on: see
 * lib/reference.h before any of them is changed. */
static void add_firmware(char **argv, const struct launch_vm *vm)
{
	auto_free char *code = escape(vm->firmware), *vars = escape(vm->vars);

	add(argv, "-drive");
	add(argv, "if=pflash,format=raw,unit=0,readonly=on,file=%s", code);
	add(argv, "-drive");
	add(argv, "if=pflash,format=raw,unit=1,file=%s", vars);
	add(argv, "-chardev");
	add(argv, "socket,id=tpm,fd=%d", LAUNCH_FILE);
	add_pair(argv, "-tpmdev", "emulator,id=tpm0,chardev=tpm");
	add_pair(argv, "-device", "tpm-crb,tpmdev=tpm0");
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
	if (vm->firmware)
		add_firmware(argv, vm);
	add_devices(argv, vm);
	add_pair(argv, "-kernel", vm->kernel);
	add_pair(argv, "-initrd", vm->initrd);
	add_pair(argv, "-append", vm->cmdline ? vm->cmdline : LAUNCH_CMDLINE);
	return argv;
}

void launch_argv_free(char **argv)
{
	for (char **arg = argv; arg && *arg; arg++)
		free(*arg);
	free(argv);
}

int launch_vm_start(const struct launch_vm *vm, const struct launch_conf *conf, pid_t *ret_pid,
	int *ret_listener, struct err *err)
{
	static const char *const rom_folders[] = { "/usr/share/qemu", "/usr/share/seabios" };
	char **argv = launch_qemu_argv(vm);
	struct launch_conf caged = *conf;
	int rc;

	caged.argv = argv;
	launch_show_program(&caged, argv[0]);
	for (size_t i = 0; i < ARRAY_LEN(rom_folders); i++) {
		if (access(rom_folders[i], F_OK) == 0)
			launch_show(&caged, "--ro", rom_folders[i]);
	}
	launch_show(&caged, "--ro", vm->kernel);
	launch_show(&caged, "--ro", vm->initrd);
	launch_show(&caged, "--rw", vm->folder);
	if (vm->firmware) {
		launch_show(&caged, "--ro", vm->firmware);
		caged.file = vm->tpm;
	}
	if (vm->kvm)
		launch_show(&caged, "--dev", KVM);
	rc = launch_start(&caged, ret_pid, ret_listener, err);
	launch_argv_free(argv);
	return rc;
}

/* Two ports of one hub: the user network, and the frames that come in. */
static char **switch_argv(const char *name)
{
	char **argv = mem_array(MAX_ARGS, sizeof(*argv));

	add(argv, QEMU);
	add_pair(argv, "-name", name);
	add_pair(argv, "-machine", "none");
	add_limits(argv);
	add_pair(argv, "-netdev", "user,id=net,ipv6=off");
	add(argv, "-netdev");
	add(argv, "stream,id=card,server=on,addr.type=fd,addr.str=%d", LAUNCH_FILE);
	add_pair(argv, "-netdev", "hubport,id=out,hubid=0,netdev=net");
	add_pair(argv, "-netdev", "hubport,id=in,hubid=0,netdev=card");
	return argv;
}

int launch_switch_start(const char *name, const struct launch_conf *conf, pid_t *ret_pid,
	int *ret_listener, struct err *err)
{
	char **argv = switch_argv(name);
	struct launch_conf caged = *conf;
	int rc;

	caged.argv = argv;
	launch_show_program(&caged, argv[0]);
	rc = launch_start(&caged, ret_pid, ret_listener, err);
	launch_argv_free(argv);
	return rc;
}

/* Waits for a process's end, kills it at the limit; true when it ended by itself. */
static bool ends_within(pid_t pid, long limit_ms)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0)
		return errno == ESRCH;
	if (poll(&wait, 1, (int)limit_ms) == 1)
		return true;
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	poll(&wait, 1, KILL_MS);
	return false;
}

static bool says_ok(const char *console_file)
{
	auto_buf text = BUF_INIT(CONSOLE_MAX);
	struct err err;

	return buf_read_file(&text, console_file, &err) == 0 && text.len > 0 &&
	       memmem(text.data, text.len, "probe ok", strlen("probe ok"));
}

bool launch_probe_kvm(const struct launch_vm *vm, const struct launch_conf *conf, long limit_ms)
{
	struct launch_vm probe = *vm;
	auto_fd int listener = -1;
	struct err err;
	pid_t pid;

	if (access(KVM, F_OK) < 0)
		return false;
	probe.kvm = true;
	probe.cmdline = LAUNCH_CMDLINE " strongroom.probe=1";
	probe.secret_file = NULL;
	probe.firmware = NULL;
	return launch_vm_start(&probe, conf, &pid, &listener, &err) == 0 &&
	       ends_within(pid, limit_ms) && says_ok(probe.console_file);
}

/* --- initrd --- */

/* By the kernel, from page to page: nothing of it is in this process. */
static int copy(int from, int to, off_t *ret_size)
{
	struct stat info;
	off_t at = 0;

	if (from < 0 || to < 0 || fstat(from, &info) < 0)
		return -1;
	while (at < info.st_size) {
		if (sendfile(to, from, &at, (size_t)(info.st_size - at)) <= 0)
			return -1;
	}
	*ret_size = at;
	return 0;
}

int launch_initrd_write(
	const char *initramfs, const void *initdata, size_t len, const char *path, struct err *err)
{
	auto_fd int from = open(initramfs, O_RDONLY | O_CLOEXEC);
	auto_fd int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	auto_buf archive = BUF_INIT(CPIO_INITDATA_SIZE);
	off_t size;

	if (cpio_add_initdata(&archive, initdata, len, err) < 0)
		return -1;
	if (copy(from, to, &size) < 0)
		return err_errno(err, "copy '%s' to '%s'", initramfs, path);
	size += (CPIO_INITDATA_SIZE - size % CPIO_INITDATA_SIZE) % CPIO_INITDATA_SIZE;
	if (fchmod(to, 0644) < 0 ||
		pwrite(to, archive.data, archive.len, size) != (ssize_t)archive.len)
		return err_errno(err, "write '%s'", path);
	return 0;
}
