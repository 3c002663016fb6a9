/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `qemu`: a VM under TCG (or KVM after a probe) in the launcher's cage, one relay to the
 * edge beside it, and a vTPM (vtpm.h) when it is measured. A sandbox's folder: qemu.pid, initrd.img
 * and vm/ with secret, console.log and the firmware's variables. The files in vm/ are QEMU's
 * user's, the folders never: what a compromised QEMU could put there, this service would meet as
 * root.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vm_relay.h"
#include "services/provisioner/vm_user.h"
#include "services/provisioner/vtpm.h"

#define PROBE_MS 6000
#define VARS_MAX (4u << 20)
#define LAST_BREATH_MS 2000 /* from the end of QEMU's files to the end of QEMU */

/* Paths of one sandbox, freed by paths_release(). */
struct paths {
	char *folder, *vm, *pid, *initrd, *secret, *console, *vars, *log, *kernel, *initramfs;
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
}
#define auto_paths __attribute__((cleanup(paths_release))) struct paths

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
		.switch_user = vm_is_root(),
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

/* The VM with its vTPM and its relay. */
static int start_vm(const struct provisioner_conf *conf, const struct driver_spec *spec,
	const struct paths *paths, uid_t uid, struct err *err)
{
	const struct vtpm vtpm = vtpm_of(conf, paths, spec->sandbox_id, uid);
	auto_fd int tpm = -1, listener = -1;
	pid_t pid;

	if (spec->is_measured && (vtpm_make(&vtpm, err) < 0 || vtpm_start(&vtpm, &tpm, err) < 0))
		return -1;
	if (launch(conf, spec, paths, uid, tpm, &pid, &listener, err) < 0 ||
		vm_process_note(paths->pid, pid, err) < 0)
		return -1;
	return vm_relay_start(conf, spec->sandbox_id, uid, listener, pid, err);
}

static int qemu_start(
	const struct provisioner_conf *conf, const struct driver_spec *spec, struct err *err)
{
	auto_paths paths;
	uid_t uid;

	paths_init(&paths, conf, spec->sandbox_id);
	if (end_processes(conf, &paths, spec->sandbox_id, err) < 0 ||
		vm_files_folder(conf->sandboxes_dir, 0711, err) < 0 ||
		vm_user_of(conf, spec->sandbox_id, &uid, err) < 0 ||
		prepare(conf, spec, &paths, uid, err) < 0)
		return -1;
	return start_vm(conf, spec, &paths, uid, err);
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

static int qemu_destroy(
	const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	if (end_processes(conf, &paths, sandbox_id, err) < 0 ||
		vm_files_remove(paths.folder, err) < 0)
		return -1;
	/* last, so that the next VM of this uid finds nothing of this one */
	return vm_user_give_back(conf, sandbox_id, err);
}

static int qemu_list(const struct provisioner_conf *conf,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err)
{
	return vm_files_list(conf->sandboxes_dir, on_id, arg, err);
}

static char *qemu_console_file(const struct provisioner_conf *conf, const char *sandbox_id)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	return take_ptr(paths.console);
}

const struct driver driver_qemu = {
	.name = "qemu",
	.start = qemu_start,
	.inspect = qemu_inspect,
	.settled = qemu_settled,
	.stop = qemu_stop,
	.destroy = qemu_destroy,
	.list = qemu_list,
	.console_file = qemu_console_file,
};
