/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM boots from: kernel and initrd of the guest's build with the sandbox's initdata behind
 * them, the enrolment secret, fresh firmware variables. In a sandbox's folder: initrd.img, and vm/
 * with secret, console.log and vars.fd. The files in vm/ are the VM's user's, the folders never:
 * what a compromised QEMU could put there, this service would meet as root.
 */
#ifndef PROVISIONER_VM_BOOT_H
#define PROVISIONER_VM_BOOT_H

#include "launcher/launch.h"
#include "services/provisioner/driver.h"

#define VM_BOOT_SECRET "vm/secret"
#define VM_BOOT_CONSOLE "vm/console.log"

struct vm_boot {
	char *vm, *kernel, *initramfs, *initrd, *vars;
	long long memory_mib, vcpus;
};

/* Names and makes them all anew. */
int vm_boot_prepare(const struct driver_place *place, const struct driver_spec *spec,
	struct vm_boot *ret_boot, struct err *err);
void vm_boot_release(struct vm_boot *boot);
#define auto_boot __attribute__((cleanup(vm_boot_release))) struct vm_boot

/* How the launcher runs what is of this VM, under the sandbox's uid; `log_file` is borrowed. */
struct launch_conf vm_boot_cage(const struct driver_place *place, const char *log_file);
/* Whether KVM works on this host; what a probe said holds for one boot of the host. */
bool vm_boot_kvm(const struct driver_place *place, const struct vm_boot *boot);

#endif
