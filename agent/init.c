/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1: tables of mounts, modules and kernel settings, each applied in order; the first failure
 * ends the boot. */
#include "agent/init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"

#define MODULE_DIR "/usr/lib/modules/"
#define GUEST_ADDRESS "10.0.2.15"
#define GUEST_NETMASK "255.255.255.0"

struct mount_row {
	const char *type;
	const char *target;
	unsigned long flags;
	const char *data;
};

static const struct mount_row mounts[] = {
	{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "securityfs", "/sys/kernel/security", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "size=64k,mode=755" },
	{ "tmpfs", "/run", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=755" },
	{ "tmpfs", "/tmp", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=16m,mode=700" },
	{ "cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
};

/* In the order of their dependencies. */
static const char *const modules[] = { "virtio_ring", "virtio", "virtio_pci_legacy_dev",
	"virtio_pci_modern_dev", "virtio_pci", "virtio-rng", "qemu_fw_cfg", "failover",
	"net_failover", "virtio_net" };

struct setting {
	const char *path;
	const char *value;
};

static const struct setting settings[] = {
	{ "/proc/sys/kernel/modules_disabled", "1" },
	{ "/proc/sys/kernel/kexec_load_disabled", "1" },
	{ "/proc/sys/kernel/kptr_restrict", "2" },
	{ "/proc/sys/kernel/dmesg_restrict", "1" },
	{ "/proc/sys/kernel/perf_event_paranoid", "3" },
	{ "/proc/sys/kernel/unprivileged_bpf_disabled", "1" },
	{ "/proc/sys/kernel/yama/ptrace_scope", "3" },
	{ "/proc/sys/kernel/sysrq", "0" },
	{ "/proc/sys/kernel/core_pattern", "|/bin/false" },
	{ "/proc/sys/vm/overcommit_memory", "0" },
};

static int write_setting(const char *path, const char *value, struct err *err)
{
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return err_errno(err, "set %s", path);
	return 0;
}

/* The initramfs cannot be pivoted away from; a bind mount of it on top of itself can. */
static int stack_root(struct err *err)
{
	if (mount("/", "/mnt", NULL, MS_BIND, NULL) < 0 || chdir("/mnt") < 0 ||
		mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_errno(err, "stack the root");
	return 0;
}

/* Three quarters of the memory, said explicitly: tmpfs' own default is half. */
static int mount_work(struct err *err)
{
	struct sysinfo memory;
	auto_free char *data = NULL;

	if (sysinfo(&memory) < 0)
		return err_errno(err, "sysinfo");
	data = mem_printf("size=%llu,mode=755",
		(unsigned long long)memory.totalram * memory.mem_unit / 4 * 3);
	if (mkdir(INIT_WORK_DIR, 0755) < 0 ||
		mount("tmpfs", INIT_WORK_DIR, "tmpfs", MS_NOSUID | MS_NODEV, data) < 0)
		return err_errno(err, "mount %s", INIT_WORK_DIR);
	return 0;
}

int init_mounts(struct err *err)
{
	if (stack_root(err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		const struct mount_row *row = &mounts[i];

		if (mount(row->type, row->target, row->type, row->flags, row->data) < 0)
			return err_errno(err, "mount %s", row->target);
	}
	return mount_work(err);
}

static int load_module(const char *name, struct err *err)
{
	auto_free char *path = mem_printf(MODULE_DIR "%s.ko", name);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		return err_errno(err, "load module '%s'", name);
	return 0;
}

int init_modules(struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(modules); i++)
		if (load_module(modules[i], err) < 0)
			return -1;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (write_setting(settings[i].path, settings[i].value, err) < 0)
			return -1;
	return 0;
}

static int interface_request(
	int fd, unsigned long what, struct ifreq *req, const char *address, struct err *err)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (address) {
		inet_pton(AF_INET, address, &in.sin_addr);
		memcpy(&req->ifr_addr, &in, sizeof(in));
	}
	if (ioctl(fd, what, req) < 0)
		return err_errno(err, "configure %s", req->ifr_name);
	return 0;
}

static int interface_up(
	int fd, const char *name, const char *address, const char *netmask, struct err *err)
{
	struct ifreq req = { 0 };

	memcpy(req.ifr_name, name, strlen(name) + 1);
	if (address && (interface_request(fd, SIOCSIFADDR, &req, address, err) < 0 ||
			       interface_request(fd, SIOCSIFNETMASK, &req, netmask, err) < 0))
		return -1;
	req.ifr_flags = IFF_UP | IFF_RUNNING;
	return interface_request(fd, SIOCSIFFLAGS, &req, NULL, err);
}

int init_network(struct err *err)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(err, "socket");
	if (interface_up(fd, "lo", NULL, NULL, err) < 0)
		return -1;
	return interface_up(fd, "eth0", GUEST_ADDRESS, GUEST_NETMASK, err);
}

int init_cgroup(struct err *err)
{
	return write_setting("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids", err);
}

bool init_cmdline_has(const char *word)
{
	auto_file FILE *file = fopen("/proc/cmdline", "re");
	char line[4096], *rest = line, *token;

	if (!file || !fgets(line, sizeof(line), file))
		return false;
	while ((token = strsep(&rest, " \n")))
		if (strcmp(token, word) == 0)
			return true;
	return false;
}

void init_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
}

_Noreturn void init_power_off(void)
{
	fflush(NULL);
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}
