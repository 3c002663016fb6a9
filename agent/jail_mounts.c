/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the app sees of files. The image is an adversary's too: every source is cloned before the
 * pivot and attached behind it, on folders opened without following a link, so that no path of the
 * image is ever resolved outside of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/jail_inner.h"
#include "lib/mem.h"

#define ATTR_DATA (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static const char *const masked[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/bus",
	"/proc/driver",
	"/proc/fs",
	"/proc/interrupts",
	"/proc/iomem",
	"/proc/ioports",
	"/proc/irq",
	"/proc/kallsyms",
	"/proc/kcore",
	"/proc/key-users",
	"/proc/keys",
	"/proc/kmsg",
	"/proc/kpagecount",
	"/proc/kpageflags",
	"/proc/latency_stats",
	"/proc/modules",
	"/proc/sched_debug",
	"/proc/scsi",
	"/proc/slabinfo",
	"/proc/sysrq-trigger",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/proc/vmallocinfo",
	"/proc/zoneinfo",
};

static const struct {
	const char *name;
	unsigned minor;
} devices[] = { { "null", 3 }, { "zero", 5 }, { "full", 7 }, { "random", 8 }, { "urandom", 9 } };

static const struct {
	const char *name;
	const char *target;
} device_links[] = { { "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" } };

#define N_DEVICES ARRAY_LEN(devices)

/* Made while the old root is there, attached when it is gone. In a user namespace that is also
 * the only time: the kernel gives a new /proc only to whoever sees a whole one. */
struct sources {
	int input, output; /* input -1: none */
	int proc;	   /* the app's view */
	int nodes[N_DEVICES];
};

/* A copy of the mount at `path`, attached nowhere yet. */
static int clone_tree(const char *path, uint64_t attributes, struct err *err)
{
	struct mount_attr attr = { .attr_set = attributes };
	auto_fd int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 || (attributes && mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0))
		return err_errno(err, "clone the mount of %s", path);
	return take_fd(fd);
}

/* A new file system, attached nowhere yet. `options`: "name=value" or "name", ended by NULL. */
static int new_mount(
	const char *type, const char *const *options, unsigned attributes, struct err *err)
{
	auto_fd int context = fsopen(type, FSOPEN_CLOEXEC);
	int rc = context < 0 ? -1 : 0, fd;

	for (; *options && rc == 0; options++) {
		auto_free char *name = mem_strdup(*options);
		char *value = strchr(name, '=');

		if (value)
			*value++ = '\0';
		rc = fsconfig(
			context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, name, value, 0);
	}
	if (rc < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_errno(err, "make a %s", type);
	fd = fsmount(context, FSMOUNT_CLOEXEC, attributes);
	return fd < 0 ? err_errno(err, "mount a %s", type) : fd;
}

static int new_proc(unsigned attributes, struct err *err)
{
	const char *const none[] = { NULL };

	return new_mount("proc", none, attributes, err);
}

static int new_tmpfs(
	const char *mode, long long size, const char *inodes, unsigned attributes, struct err *err)
{
	auto_free char *size_option = mem_printf("size=%lld", size);
	const char *const options[] = { mode, size_option, inodes, NULL };

	return new_mount("tmpfs", options, attributes, err);
}

/* Opens a folder of the image, making it when it is not there; a link anywhere on the way is
 * refused. */
static int open_point(const char *path, struct err *err)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_errno(err, "make %s", path);
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (fd < 0)
		return err_set(
			err, ERR_INVALID, "jail.rootfs", "%s of the image is not a folder", path);
	return fd;
}

static int attach(int tree, const char *path, struct err *err)
{
	auto_fd int point = tree < 0 ? -1 : open_point(path, err);

	if (tree < 0 || point < 0)
		return -1;
	if (move_mount(tree, "", point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_errno(err, "attach %s", path);
	return 0;
}

static int attach_and_close(int tree, const char *path, struct err *err)
{
	auto_fd int owned = tree;

	return attach(owned, path, err);
}

static int read_only(const char *path, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (mount_setattr(AT_FDCWD, path, 0, &attr, sizeof(attr)) < 0)
		return err_errno(err, "make %s read-only", path);
	return 0;
}

/* The image's clone becomes the root; what was the root is gone from this namespace. */
static int pivot(const char *rootfs_dir, struct err *err)
{
	auto_fd int tree = clone_tree(rootfs_dir, ATTR_DATA, err);

	if (tree < 0)
		return -1;
	if (move_mount(tree, "", AT_FDCWD, rootfs_dir, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
		chdir(rootfs_dir) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
		umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_errno(err, "pivot into the image");
	return 0;
}

/* Made where the agent may, else the node that its own root has. */
static int add_device(const char *path, unsigned minor, int node, struct err *err)
{
	auto_fd int fd = -1;

	if (mknod(path, S_IFCHR | 0666, makedev(1, minor)) == 0)
		return 0;
	if (errno == EPERM && node >= 0)
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 ||
		move_mount(node, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_errno(err, "make %s", path);
	return 0;
}

static int fill_dev(const int nodes[], struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		auto_free char *path = mem_printf("/dev/%s", devices[i].name);

		if (add_device(path, devices[i].minor, nodes[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(device_links); i++) {
		auto_free char *path = mem_printf("/dev/%s", device_links[i].name);

		if (symlink(device_links[i].target, path) < 0)
			return err_errno(err, "make %s", path);
	}
	return 0;
}

static int build_dev(const struct jail_conf *conf, const int nodes[], struct err *err)
{
	int tree = new_tmpfs(
		"mode=755", 64 << 10, "nr_inodes=32", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);

	if (attach_and_close(tree, "/dev", err) < 0 || fill_dev(nodes, err) < 0)
		return -1;
	tree = new_tmpfs("mode=1777", conf->limits.memory_bytes / 2, "nr_inodes=1024",
		ATTR_DATA | MOUNT_ATTR_NOEXEC, err);
	return attach_and_close(tree, "/dev/shm", err) < 0 ? -1 : read_only("/dev", err);
}

/* Whole-machine views of /proc: files become /dev/null, folders an empty one. */
static int mask_proc(struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(masked); i++) {
		struct stat st;
		auto_fd int tree = -1;

		if (lstat(masked[i], &st) < 0)
			continue;
		tree = S_ISDIR(st.st_mode) ? new_tmpfs("mode=555", 4096, "nr_inodes=1",
						     ATTR_DATA | MOUNT_ATTR_RDONLY, err)
					   : clone_tree("/dev/null", 0, err);
		if (tree < 0)
			return -1;
		if (move_mount(tree, "", AT_FDCWD, masked[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return err_errno(err, "mask %s", masked[i]);
	}
	return 0;
}

static int attach_all(const struct jail_conf *conf, const struct sources *sources, struct err *err)
{
	umask(0);
	if (attach(sources->proc, "/proc", err) < 0 || build_dev(conf, sources->nodes, err) < 0 ||
		attach_and_close(new_tmpfs("mode=1777", conf->limits.memory_bytes / 2,
					 "nr_inodes=65536", ATTR_DATA, err),
			"/tmp", err) < 0 ||
		attach(sources->output, "/output", err) < 0)
		return -1;
	if (sources->input >= 0 && attach(sources->input, "/input", err) < 0)
		return -1;
	umask(022);
	if (mask_proc(err) < 0)
		return -1;
	return conf->is_root_writable ? 0 : read_only("/", err);
}

static int open_sources(const struct jail_conf *conf, struct sources *ret_sources, struct err *err)
{
	uint64_t data = ATTR_DATA | MOUNT_ATTR_NOEXEC;

	ret_sources->input =
		conf->input_dir ? clone_tree(conf->input_dir, data | MOUNT_ATTR_RDONLY, err) : -1;
	if (conf->input_dir && ret_sources->input < 0)
		return -1;
	ret_sources->output = clone_tree(conf->output_dir, data, err);
	ret_sources->proc =
		ret_sources->output < 0 ? -1 : new_proc((unsigned)data | MOUNT_ATTR_RDONLY, err);
	for (size_t i = 0; i < N_DEVICES; i++) {
		auto_free char *path = mem_printf("/dev/%s", devices[i].name);

		ret_sources->nodes[i] = clone_tree(path, 0, NULL);
	}
	return ret_sources->proc < 0 ? -1 : 0;
}

static void close_sources(const struct sources *sources)
{
	const int fds[] = { sources->input, sources->output, sources->proc };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	for (size_t i = 0; i < N_DEVICES; i++) {
		if (sources->nodes[i] >= 0)
			close(sources->nodes[i]);
	}
}

int jail_mounts_build(const struct jail_conf *conf, int *ret_proc, struct err *err)
{
	struct sources sources;
	auto_fd int proc = -1;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(err, "make the mounts private");
	proc = new_proc(0, err);
	if (proc < 0 || open_sources(conf, &sources, err) < 0)
		return -1; /* the helper ends */
	if (pivot(conf->rootfs_dir, err) < 0 || attach_all(conf, &sources, err) < 0)
		return -1;
	close_sources(&sources);
	*ret_proc = take_fd(proc);
	return 0;
}
