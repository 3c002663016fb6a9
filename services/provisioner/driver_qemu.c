/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `qemu`: a VM under TCG (or KVM after a probe) in the launcher's cage, one relay to the
 * edge beside it, and a vTPM (vtpm.h) when it is measured. A sandbox's folder: qemu.pid, initrd.img
 * and vm/ with secret, console.log and the firmware's variables. The files in vm/ are QEMU's
 * user's, the folders never: what a compromised QEMU could put there, this service would meet as
 * root.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vm_user.h"
#include "services/provisioner/vtpm.h"

#define PROBE_MS 6000
#define VARS_MAX (4u << 20)
#define LAST_BREATH_MS 2000 /* from the end of QEMU's files to the end of QEMU */

/* Paths of one sandbox, freed by paths_release(). */
struct paths {
	char *folder, *vm, *pid, *initrd, *secret, *console, *vars, *log, *kernel, *initramfs,
		*users;
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
	paths->vars = mem_printf("%s/vars.fd", paths->vm);
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
	free(paths->vars);
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

static struct vm_process process_of(const struct paths *paths, const char *id)
{
	return (struct vm_process) { paths->pid, "qemu-system", "-name", id };
}

static struct vtpm vtpm_of(const struct provisioner_conf *conf, const struct paths *paths,
	const char *id, uid_t vm_uid)
{
	return (struct vtpm) { .conf = conf,
		.sandbox_id = id,
		.folder = paths->folder,
		.uid = vm_uid + 2 * VM_USERS };
}

/* Always the same variables at the start of a boot: they are measured. */
static int copy_vars(
	const struct provisioner_conf *conf, const struct paths *paths, uid_t uid, struct err *err)
{
	auto_buf vars = BUF_INIT(VARS_MAX);

	if (buf_read_file(&vars, conf->firmware_vars, err) < 0)
		return -1;
	return vm_files_make(paths->vars, vars.data, vars.len, uid, err);
}

static int prepare(const struct provisioner_conf *conf, const struct driver_spec *spec,
	const struct paths *paths, uid_t uid, struct err *err)
{
	const char *secret = spec->enrolment_secret;

	if (vm_files_folder(paths->folder, 0711, err) < 0 || vm_files_remove(paths->vm, err) < 0 ||
		vm_files_folder(paths->vm, 0711, err) < 0 ||
		vm_files_make(paths->secret, secret, strlen(secret), uid, err) < 0 ||
		vm_files_make(paths->console, "", 0, uid, err) < 0)
		return -1;
	if (spec->is_measured && copy_vars(conf, paths, uid, err) < 0)
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
	const struct paths *paths, uid_t uid, int tpm, pid_t *ret_pid, int *ret_listener,
	struct err *err)
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
	if (spec->is_measured) {
		vm.firmware = conf->firmware;
		vm.vars = paths->vars;
		vm.tpm = tpm;
	}
	vm.initrd = paths->initrd;
	vm.secret_file = paths->secret;
	return launch_vm_start(&vm, &launch, ret_pid, ret_listener, err);
}

/* QEMU first, whose end is swtpm's. */
static int end_processes(const struct provisioner_conf *conf, const struct paths *paths,
	const char *id, struct err *err)
{
	const struct vm_process qemu = process_of(paths, id);
	const struct vtpm vtpm = vtpm_of(conf, paths, id, 0);

	return vm_process_end(&qemu, err) < 0 ? -1 : vtpm_end(&vtpm, err);
}

static int qemu_stop(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	return end_processes(conf, &paths, sandbox_id, err);
}

/* The VM with its vTPM; what the relay needs comes back. */
static int start_vm(const struct provisioner_conf *conf, const struct driver_spec *spec,
	const struct paths *paths, uid_t uid, int *ret_listener, int *ret_vm, struct err *err)
{
	const struct vtpm vtpm = vtpm_of(conf, paths, spec->sandbox_id, uid);
	auto_fd int tpm = -1, listener = -1;
	pid_t pid;

	if (spec->is_measured && (vtpm_make(&vtpm, err) < 0 || vtpm_start(&vtpm, &tpm, err) < 0))
		return -1;
	if (launch(conf, spec, paths, uid, tpm, &pid, &listener, err) < 0 ||
		vm_process_note(paths->pid, pid, err) < 0)
		return -1;
	*ret_listener = vm_files_raise(take_fd(listener));
	*ret_vm = vm_files_raise((int)syscall(SYS_pidfd_open, pid, 0));
	return *ret_listener < 0 || *ret_vm < 0 ? err_errno(err, "hold the VM") : 0;
}

static int qemu_start(
	const struct provisioner_conf *conf, const struct driver_spec *spec, struct err *err)
{
	auto_fd int listener = -1, vm = -1;
	auto_paths paths;
	uid_t uid;

	paths_init(&paths, conf, spec->sandbox_id);
	if (end_processes(conf, &paths, spec->sandbox_id, err) < 0 ||
		vm_files_folder(conf->sandboxes_dir, 0711, err) < 0 ||
		user_of(conf, &paths, spec->sandbox_id, &uid, err) < 0 ||
		prepare(conf, spec, &paths, uid, err) < 0 ||
		start_vm(conf, spec, &paths, uid, &listener, &vm, err) < 0)
		return -1;
	return start_relay(conf, spec->sandbox_id, uid, listener, vm, err);
}

/* A vTPM is gone as soon as its QEMU is: only one that a living QEMU misses died by itself. */
static int qemu_inspect(const struct provisioner_conf *conf, const char *sandbox_id,
	const char **ret_gone, struct err *err)
{
	struct vm_process qemu;
	auto_paths paths;
	struct vtpm vtpm;
	bool has_lost;
	pid_t pid;

	paths_init(&paths, conf, sandbox_id);
	qemu = process_of(&paths, sandbox_id);
	vtpm = vtpm_of(conf, &paths, sandbox_id, 0);
	if (vtpm_is_gone(&vtpm, &has_lost, err) < 0 || vm_process_find(&qemu, &pid, err) < 0)
		return -1;
	*ret_gone = NULL;
	if (pid == 0 || (has_lost && vm_process_ends(pid, LAST_BREATH_MS)))
		*ret_gone = "sandbox.died";
	else if (has_lost)
		*ret_gone = "sandbox.vtpm_died";
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
	if (end_processes(conf, &paths, sandbox_id, err) < 0 ||
		vm_files_remove(paths.folder, err) < 0)
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
	.inspect = qemu_inspect,
	.settled = qemu_settled,
	.stop = qemu_stop,
	.remove = qemu_remove,
	.each = qemu_each,
	.console = qemu_console,
};
