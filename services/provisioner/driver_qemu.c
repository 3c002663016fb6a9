/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `qemu`: a VM under TCG (or KVM after a probe) in the launcher's cage, one relay to the
 * edge beside it, and a vTPM (vtpm.h) when it is measured. In a sandbox's folder, beside what it
 * boots from (vm_boot.h): qemu.pid, launch.log.
 */
#include <errno.h>
#include <stdlib.h>

#include "launcher/launch.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/vm_boot.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vm_relay.h"
#include "services/provisioner/vm_user.h"
#include "services/provisioner/vtpm.h"

#define LAST_BREATH_MS 2000 /* from the end of QEMU's files to the end of QEMU */

static struct vtpm vtpm_of(const struct driver_place *place)
{
	return (struct vtpm) { .conf = place->conf,
		.sandbox_id = place->sandbox_id,
		.folder = place->folder,
		.uid = place->uid + 2 * VM_USERS };
}

static struct vm_process process_of(const struct driver_place *place, const char *note)
{
	return (struct vm_process) { note, "qemu-system", "-name", place->sandbox_id };
}

static char *note_of(const struct driver_place *place)
{
	return mem_printf("%s/qemu.pid", place->folder);
}

static int launch(const struct driver_place *place, const struct driver_spec *spec, int tpm,
	pid_t *ret_pid, int *ret_listener, struct err *err)
{
	auto_free char *log = mem_printf("%s/launch.log", place->folder);
	const struct launch_conf cage = vm_boot_cage(place, log);
	auto_boot boot = { 0 };
	struct launch_vm vm;

	if (vm_boot_prepare(place, spec, &boot, err) < 0)
		return -1;
	vm = (struct launch_vm) { .name = place->sandbox_id,
		.kernel = boot.kernel,
		.initrd = boot.initrd,
		.folder = boot.vm,
		.console_file = place->console,
		.secret_file = place->secret,
		.memory_mib = (unsigned)boot.memory_mib,
		.vcpus = (unsigned)boot.vcpus,
		.kvm = vm_boot_kvm(place, &boot) };
	if (spec->is_measured) {
		vm.firmware = place->conf->firmware;
		vm.vars = boot.vars;
		vm.tpm = tpm;
	}
	return launch_vm_start(&vm, &cage, ret_pid, ret_listener, err);
}

/* The VM with its vTPM and its relay. */
static int qemu_start(
	const struct driver_place *place, const struct driver_spec *spec, struct err *err)
{
	const struct vtpm vtpm = vtpm_of(place);
	auto_free char *note = note_of(place);
	auto_fd int tpm = -1, listener = -1;
	pid_t pid;

	if (vm_files_folder(place->folder, 0711, err) < 0)
		return -1;
	if (spec->is_measured && (vtpm_make(&vtpm, err) < 0 || vtpm_start(&vtpm, &tpm, err) < 0))
		return -1;
	if (launch(place, spec, tpm, &pid, &listener, err) < 0 ||
		vm_process_note(note, pid, err) < 0)
		return -1;
	return vm_relay_start(place->conf, place->sandbox_id, place->uid, listener, pid, err);
}

/* QEMU first, whose end is swtpm's. */
static int qemu_stop(const struct driver_place *place, struct err *err)
{
	auto_free char *note = note_of(place);
	const struct vm_process qemu = process_of(place, note);
	const struct vtpm vtpm = vtpm_of(place);

	return vm_process_end(&qemu, err) < 0 ? -1 : vtpm_end(&vtpm, err);
}

/* A vTPM is gone as soon as its QEMU is: only one that a living QEMU misses died by itself. */
static int qemu_inspect(const struct driver_place *place, const char **ret_gone, struct err *err)
{
	auto_free char *note = note_of(place);
	const struct vm_process qemu = process_of(place, note);
	const struct vtpm vtpm = vtpm_of(place);
	bool has_lost;
	pid_t pid;

	if (vtpm_is_gone(&vtpm, &has_lost, err) < 0 || vm_process_find(&qemu, &pid, err) < 0)
		return -1;
	*ret_gone = NULL;
	if (pid == 0 || (has_lost && vm_process_ends(pid, LAST_BREATH_MS)))
		*ret_gone = "sandbox.died";
	else if (has_lost)
		*ret_gone = "sandbox.vtpm_died";
	return 0;
}

/* A VM whose folder somebody removed. */
static int qemu_list(
	const struct driver_place *all, driver_on_id *on_id, void *arg, struct err *err)
{
	return vm_process_list(all->all, on_id, arg, err);
}

const struct driver driver_qemu = {
	.name = "qemu",
	.secret = VM_BOOT_SECRET,
	.console = VM_BOOT_CONSOLE,
	.start = qemu_start,
	.inspect = qemu_inspect,
	.stop = qemu_stop,
	.list = qemu_list,
};
