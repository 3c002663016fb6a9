/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the network card of a VM ends that somebody else starts: a QEMU without a machine in the
 * launcher's cage. It takes one connection on 127.0.0.1 with the card's frames, and its user
 * network leads to the relay and nowhere else, just as that of a VM of the driver qemu.
 */
#ifndef PROVISIONER_VM_SWITCH_H
#define PROVISIONER_VM_SWITCH_H

#include "services/provisioner/driver.h"
#include "services/provisioner/vm_boot.h"

/* With its relay; *ret_port is where the card connects. */
int vm_switch_start(const struct driver_place *place, unsigned *ret_port, struct err *err);
int vm_switch_lives(const struct driver_place *place, bool *ret_lives, struct err *err);
int vm_switch_end(const struct driver_place *place, struct err *err);

#endif
