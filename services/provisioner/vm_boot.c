/* SPDX-License-Identifier: Apache-2.0 */
/* The files of vm_boot.h, and the question whether KVM works here. */
#include "services/provisioner/vm_boot.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/templates.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_user.h"

#define PROBE_MS 6000
#define VARS_MAX (4u << 20)

void vm_boot_release(struct vm_boot *boot)
{
	free(boot->vm);
	free(boot->kernel);
	free(boot->initramfs);
	free(boot->initrd);
	free(boot->vars);
}

/* Always the same variables at the start of a boot: they are measured. */
static int copy_vars(const struct driver_place *place, const char *path, struct err *err)
{
	auto_buf vars = BUF_INIT(VARS_MAX);

	if (buf_read_file(&vars, place->conf->firmware_vars, err) < 0)
		return -1;
	return vm_files_make(path, vars.data, vars.len, place->uid, err);
}

int vm_boot_prepare(const struct driver_place *place, const struct driver_spec *spec,
	struct vm_boot *ret_boot, struct err *err)
{
	const char *secret = spec->enrolment_secret;

	*ret_boot = (struct vm_boot) { .vm = mem_printf("%s/vm", place->folder),
		.kernel = mem_printf("%s/vmlinuz", place->conf->guest_dir),
		.initramfs = mem_printf("%s/initramfs.img", place->conf->guest_dir),
		.initrd = mem_printf("%s/initrd.img", place->folder),
		.vars = mem_printf("%s/vm/vars.fd", place->folder),
		.memory_mib = json_integer_value(json_object_get(spec->parameters, "memory_mib")),
		.vcpus = template_vcpus(spec->parameters) };
	if (vm_files_folder(place->folder, 0711, err) < 0 ||
		vm_files_remove(ret_boot->vm, err) < 0 ||
		vm_files_folder(ret_boot->vm, 0711, err) < 0 ||
		vm_files_make(place->secret, secret, strlen(secret), place->uid, err) < 0 ||
		vm_files_make(place->console, "", 0, place->uid, err) < 0)
		return -1;
	if (spec->is_measured && copy_vars(place, ret_boot->vars, err) < 0)
		return -1;
	return launch_initrd_write(
		ret_boot->initramfs, spec->initdata, strlen(spec->initdata), ret_boot->initrd, err);
}

struct launch_conf vm_boot_cage(const struct driver_place *place, const char *log_file)
{
	return (struct launch_conf) { .launcher = place->conf->launcher,
		.log_file = log_file,
		.port = LAUNCH_PORT,
		.switch_user = vm_is_root(),
		.uid = place->uid,
		.gid = (gid_t)place->uid };
}

bool vm_boot_kvm(const struct driver_place *place, const struct vm_boot *boot)
{
	auto_free char *log = mem_printf("%s/launch.log", place->folder);
	const struct launch_conf cage = vm_boot_cage(place, log);
	const struct provisioner_conf *conf = place->conf;
	const struct launch_vm vm = { .name = place->sandbox_id,
		.kernel = boot->kernel,
		.initrd = boot->initramfs,
		.folder = boot->vm,
		.console_file = place->console,
		.memory_mib = (unsigned)boot->memory_mib,
		.vcpus = (unsigned)boot->vcpus };
	auto_free char *answer_file = mem_printf("%s/.kvm", conf->sandboxes_dir);
	auto_buf up = BUF_INIT(64), known = BUF_INIT(128);
	auto_free char *answer = NULL;
	bool works;

	if (!conf->kvm || buf_read_file(&up, "/proc/sys/kernel/random/boot_id", NULL) < 0)
		return false;
	if (buf_read_file(&known, answer_file, NULL) == 0 && known.len > up.len &&
		memcmp(known.data, up.data, up.len) == 0)
		return known.data[up.len] == 'y';
	works = launch_probe_kvm(&vm, &cage, PROBE_MS);
	log_info("probed KVM", "works", works ? "yes" : "no", NULL);
	answer = mem_printf("%s%s\n", (const char *)up.data, works ? "y" : "n");
	(void)buf_write_file(answer_file, answer, strlen(answer), 0644, NULL);
	return works;
}
