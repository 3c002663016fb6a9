/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `qemu`: a VM under TCG (or KVM after a probe) in the launcher's cage, one relay to the
 * edge beside it. A sandbox's folder: qemu.pid, initrd.img and vm/ with secret and console.log. The
 * two files in vm/ are QEMU's user's, the folders never: what a compromised QEMU could put there,
 * this service would meet as root.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vm_user.h"

#define PROBE_MS 6000

/* Paths of one sandbox, freed by paths_release(). */
struct paths {
	char *folder, *vm, *pid, *initrd, *secret, *console, *log, *kernel, *initramfs, *users;
};

static void paths_init(struct paths *paths, const struct provisioner_conf *conf, const char *id)
{
	paths->folder = mem_printf("%s/%s", conf->sandboxes_dir, id);
	paths->vm = mem_printf("%s/vm", paths->folder);
	paths->pid = mem_printf("%s/qemu.pid", paths->folder);
	paths->initrd = mem_printf("%s/initrd.img", paths->folder);
	paths->log = mem_printf("%s/launch.log", paths->folder);
	paths->secret = mem_printf("%s/secret", paths->vm);
	paths->console = mem_printf("%s/console.log", paths->vm);
	paths->kernel = mem_printf("%s/vmlinuz", conf->guest_dir);
	paths->initramfs = mem_printf("%s/initramfs.img", conf->guest_dir);
	paths->users = mem_printf("%s/.users", conf->sandboxes_dir);
}

static void paths_release(struct paths *paths)
{
	free(paths->folder);
	free(paths->vm);
	free(paths->pid);
	free(paths->initrd);
	free(paths->secret);
	free(paths->console);
	free(paths->log);
	free(paths->kernel);
	free(paths->initramfs);
	free(paths->users);
}
#define auto_paths __attribute__((cleanup(paths_release))) struct paths

static bool is_root(void)
{
	return geteuid() == 0;
}

/* Who QEMU runs as; without root, this service's own user. */
static int user_of(const struct provisioner_conf *conf, const struct paths *paths, const char *id,
	uid_t *ret_uid, struct err *err)
{
	*ret_uid = geteuid();
	if (!is_root())
		return 0;
	return vm_user_take(paths->users, (uid_t)conf->sandbox_uid, id, ret_uid, err);
}

static int make_folder(const char *path, mode_t mode, struct err *err)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", path);
	return chmod(path, mode) < 0 ? err_errno(err, "chmod '%s'", path) : 0;
}

/* A file for the VM's user in a folder that is not. */
static int make_vm_file(const char *path, const char *text, uid_t uid, struct err *err)
{
	if (buf_write_file(path, text, strlen(text), 0600, err) < 0)
		return -1;
	if (is_root() && lchown(path, uid, (gid_t)uid) < 0)
		return err_errno(err, "give '%s' to the VM's user", path);
	return 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int remove_tree(const char *path, struct err *err)
{
	if (access(path, F_OK) == 0 && nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0)
		return err_errno(err, "remove '%s'", path);
	return 0;
}

static int prepare(
	const struct driver_spec *spec, const struct paths *paths, uid_t uid, struct err *err)
{
	if (make_folder(paths->folder, 0711, err) < 0 || remove_tree(paths->vm, err) < 0 ||
		make_folder(paths->vm, 0711, err) < 0 ||
		make_vm_file(paths->secret, spec->enrolment_secret, uid, err) < 0 ||
		make_vm_file(paths->console, "", uid, err) < 0)
		return -1;
	return launch_initrd_write(
		paths->initramfs, spec->initdata, strlen(spec->initdata), paths->initrd, err);
}

/* The answer of the probe holds for one boot of the host. */
static bool kvm_works(const struct provisioner_conf *conf, const struct launch_vm *vm,
	const struct launch_conf *launch)
{
	auto_free char *answer_file = mem_printf("%s/.kvm", conf->sandboxes_dir);
	auto_buf boot = BUF_INIT(64), known = BUF_INIT(128);
	auto_free char *answer = NULL;
	bool works;

	if (!conf->kvm || buf_read_file(&boot, "/proc/sys/kernel/random/boot_id", NULL) < 0)
		return false;
	if (buf_read_file(&known, answer_file, NULL) == 0 && known.len > boot.len &&
		memcmp(known.data, boot.data, boot.len) == 0)
		return known.data[boot.len] == 'y';
	works = launch_probe_kvm(vm, launch, PROBE_MS);
	log_info("probed KVM", "works", works ? "yes" : "no", NULL);
	answer = mem_printf("%s%s\n", (const char *)boot.data, works ? "y" : "n");
	(void)buf_write_file(answer_file, answer, strlen(answer), 0644, NULL);
	return works;
}

/* strongroom-relay with the listener as 3 and the VM's pidfd as 4; it outlives us. */
static int start_relay(const struct provisioner_conf *conf, const char *id, uid_t vm_uid,
	int listener, int vm, struct err *err)
{
	auto_free char *uid = mem_printf("%u", vm_uid + VM_USERS);
	const char *argv[] = { conf->relay, "--to", conf->edge_address, "--sandbox", id,
		is_root() ? "--uid" : NULL, uid, "--gid", uid, NULL };
	static char *const env[] = { NULL };
	posix_spawn_file_actions_t files;
	int status = 0, rc;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, listener, 3);
	posix_spawn_file_actions_adddup2(&files, vm, 4);
	rc = posix_spawn(&pid, conf->relay, &files, NULL, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&files);
	errno = rc;
	if (rc != 0)
		return err_errno(err, "start %s", conf->relay);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status == 0 ? 0
			   : err_set(err, ERR_INTERNAL, "sandbox.relay", "the relay did not start");
}

static int launch(const struct provisioner_conf *conf, const struct driver_spec *spec,
	const struct paths *paths, uid_t uid, pid_t *ret_pid, int *ret_listener, struct err *err)
{
	struct launch_vm vm = { .name = spec->sandbox_id,
		.kernel = paths->kernel,
		.initrd = paths->initramfs,
		.folder = paths->vm,
		.console_file = paths->console,
		.memory_mib = (unsigned)json_integer_value(
			json_object_get(spec->parameters, "memory_mib")) };
	const struct launch_conf launch = { .launcher = conf->launcher,
		.log_file = paths->log,
		.port = LAUNCH_PORT,
		.switch_user = is_root(),
		.uid = uid,
		.gid = (gid_t)uid };

	vm.kvm = kvm_works(conf, &vm, &launch);
	vm.initrd = paths->initrd;
	vm.secret_file = paths->secret;
	return launch_vm_start(&vm, &launch, ret_pid, ret_listener, err);
}

static int qemu_stop(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	return vm_process_end(paths.pid, sandbox_id, err);
}

static int qemu_start(
	const struct provisioner_conf *conf, const struct driver_spec *spec, struct err *err)
{
	auto_fd int listener = -1, low_listener = -1, vm = -1;
	auto_paths paths;
	uid_t uid;
	pid_t pid;

	paths_init(&paths, conf, spec->sandbox_id);
	if (vm_process_end(paths.pid, spec->sandbox_id, err) < 0 ||
		make_folder(conf->sandboxes_dir, 0711, err) < 0 ||
		user_of(conf, &paths, spec->sandbox_id, &uid, err) < 0 ||
		prepare(spec, &paths, uid, err) < 0 ||
		launch(conf, spec, &paths, uid, &pid, &low_listener, err) < 0)
		return -1;
	listener = fcntl(low_listener, F_DUPFD_CLOEXEC,
		10); /* dup2 onto 3 and 4 must not meet the originals */
	vm = (int)syscall(SYS_pidfd_open, pid, 0);
	if (vm >= 0 && vm < 10) {
		int high = fcntl(vm, F_DUPFD_CLOEXEC, 10);

		close(vm);
		vm = high;
	}
	if (listener < 0 || vm < 0)
		return err_errno(err, "hold the VM");
	if (vm_process_note(paths.pid, pid, err) < 0)
		return -1;
	return start_relay(conf, spec->sandbox_id, uid, listener, vm, err);
}

static int qemu_alive(const struct provisioner_conf *conf, const char *sandbox_id, bool *ret_alive,
	struct err *err)
{
	auto_paths paths;
	pid_t pid;

	paths_init(&paths, conf, sandbox_id);
	if (vm_process_find(paths.pid, sandbox_id, &pid, err) < 0)
		return -1;
	*ret_alive = pid > 0;
	return 0;
}

static int qemu_settled(
	const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	if (unlink(paths.secret) < 0 && errno != ENOENT)
		return err_errno(err, "remove the enrolment secret");
	return 0;
}

static int qemu_remove(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	if (vm_process_end(paths.pid, sandbox_id, err) < 0 || remove_tree(paths.folder, err) < 0)
		return -1;
	/* last, so that the next VM of this uid finds nothing of this one */
	return is_root() ? vm_user_release(paths.users, (uid_t)conf->sandbox_uid, sandbox_id, err)
			 : 0;
}

static int qemu_each(const struct provisioner_conf *conf,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err)
{
	DIR *folder = opendir(conf->sandboxes_dir);
	const struct dirent *entry;
	int r = 0;

	if (!folder)
		return errno == ENOENT ? 0 : err_errno(err, "open '%s'", conf->sandboxes_dir);
	while (r == 0 && (entry = readdir(folder))) {
		if (id_is(entry->d_name, "sbx"))
			r = on_id(arg, entry->d_name, err);
	}
	closedir(folder);
	return r;
}

static int qemu_console(const struct provisioner_conf *conf, const char *sandbox_id,
	struct buf *out, struct err *err)
{
	auto_free char *tail = mem_alloc(out->max);
	auto_fd int fd = -1;
	auto_paths paths;
	struct stat info;
	ssize_t got;

	paths_init(&paths, conf, sandbox_id);
	fd = open(paths.console, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
		return 0;
	got = pread(fd, tail, out->max - 1,
		info.st_size > (off_t)out->max - 1 ? info.st_size - (off_t)out->max + 1 : 0);
	return got > 0 ? buf_add(out, tail, (size_t)got, err) : 0;
}

const struct driver driver_qemu = {
	.name = "qemu",
	.start = qemu_start,
	.alive = qemu_alive,
	.settled = qemu_settled,
	.stop = qemu_stop,
	.remove = qemu_remove,
	.each = qemu_each,
	.console = qemu_console,
};
