/* SPDX-License-Identifier: Apache-2.0 */
/* The provisioner's own configuration rows. */
#ifndef PROVISIONER_CONFIG_H
#define PROVISIONER_CONFIG_H

#include <stdbool.h>

#include "lib/service.h"

struct provisioner_conf {
	char *templates_dir;		/* <name>/template.yaml */
	char *sandboxes_dir;		/* <id>/: everything of one sandbox */
	char *guest_dir;		/* vmlinuz, initramfs.img, guest.json */
	char *launcher;			/* strongroom-launch */
	char *relay;			/* strongroom-relay */
	char *edge_ca;			/* PEM of the CA whose key the agent pins */
	char *edge_address;		/* host:port of the edge, for the relay */
	char *firmware, *firmware_vars; /* OVMF's code and variables, for measured sandboxes */
	char *vtpm_setup;		/* swtpm_setup's configuration: the CA of vTPMs */
	char *vtpm_ca;			/* PEM of that CA\'s root */
	char *vtpm_chain;   /* PEM of that CA's certificates below its root, the issuer first */
	long vtpm_stock;    /* as many are manufactured ahead (vtpm_stock.h) */
	long sandbox_uid;   /* first of 768 uids, 256 each for QEMU, the relays and swtpm; 0: this
			       service's own, which must not be root */
	bool kvm;	    /* try KVM, after a time-limited probe */
	char *runc, *bwrap; /* of the driver process */
	char *process_runtime; /* auto, runc or bwrap */
	long process_uid;      /* first of the apps' uids there, 65536 for each of 256 sandboxes */
	/* Of the driver tofu, which is off without `tofu`. */
	char *tofu;	     /* program */
	char *tofu_listen;   /* tcp:127.0.0.1:port, where it reaches its state */
	char *runner;	     /* strongroom-run */
	char *tofu_settings; /* <template>/: variables.json, terraform.lock.hcl, env/NAME */
	char *tofu_plugins;  /* folder of providers; empty: as tofu finds them */
	long tofu_drift_ms;  /* how often it looks for changes behind our back; 0: never */
	long tofu_limit_ms, tofu_grace_ms; /* of one run; from its SIGINT to SIGKILL */
	char *tofu_state_key;		   /* file: at least 32 random bytes */
	/* Of the driver libvirt. */
	char *libvirt_uri;	     /* empty: the host's daemon, or libvirt in this process */
	char *firmware_confidential; /* OVMF without variables, for SEV-SNP and TDX */
	/* Of the driver controller; empty: none. */
	char *controller_url, *controller_ca, *controller_cert, *controller_key, *controller_token;
	long controller_timeout_ms; /* of one request */
	char *pool;		    /* what waits for somebody (pool.h) */
	/* Limits; 0: none. */
	long host_sandboxes, host_vcpus, host_memory_mib;
	long tenant_sandboxes, tenant_vcpus, tenant_memory_mib, tenant_weight, tenant_queue;
	long member_sandboxes, member_weight, lifetime_s;
};

#endif
