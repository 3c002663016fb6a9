/* SPDX-License-Identifier: Apache-2.0 */
/* The provisioner's own configuration rows. */
#ifndef PROVISIONER_CONFIG_H
#define PROVISIONER_CONFIG_H

#include <stdbool.h>

#include "lib/service.h"

struct provisioner_conf {
	char *templates_dir; /* <name>/template.yaml */
	char *sandboxes_dir; /* <id>/: everything of one sandbox */
	char *guest_dir;     /* vmlinuz, initramfs.img, guest.json */
	char *launcher;	     /* strongroom-launch */
	char *relay;	     /* strongroom-relay */
	char *edge_ca;	     /* PEM of the CA whose key the agent pins */
	char *edge_address;  /* host:port of the edge, for the relay */
	long sandbox_uid;    /* first of 512 uids, 256 for QEMU, then 256 for the relays; 0: this
				service's own, which must not be root */
	bool kvm;	     /* try KVM, after a time-limited probe */
};

#endif
