/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a VM. Every call is idempotent and named by the sandbox's durable id, which everything
 * outside carries: after a crash the same call finds what is there. A driver keeps no state in this
 * process.
 */
#ifndef PROVISIONER_DRIVER_H
#define PROVISIONER_DRIVER_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/buf.h"
#include "services/provisioner/config.h"

struct driver_spec {
	const char *sandbox_id;
	long long boot;
	const json_t *parameters;     /* completed */
	const char *initdata;	      /* canonical bytes */
	const char *enrolment_secret; /* reaches the guest only */
	bool is_measured;	      /* the template's class is software-tpm */
};

struct driver {
	const char *name;
	/* Makes what is not there yet, ends what runs under this id, then starts this boot.
	 * sandbox.vtpm, launch.failed, … */
	int (*start)(const struct provisioner_conf *conf, const struct driver_spec *spec,
		struct err *err);
	/* Why there is no use in this sandbox any more: sandbox.died, sandbox.vtpm_died; NULL
	 * while it lives. */
	int (*inspect)(const struct provisioner_conf *conf, const char *sandbox_id,
		const char **ret_gone, struct err *err);
	/* The guest has enrolled: what only its start needed (the secret) goes. */
	int (*settled)(
		const struct provisioner_conf *conf, const char *sandbox_id, struct err *err);
	int (*stop)(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err);
	/* Stops, and removes everything that carries the id. */
	int (*destroy)(
		const struct provisioner_conf *conf, const char *sandbox_id, struct err *err);
	/* Ids of all that exists, whether anybody knows it or not: calls back for each. */
	int (*list)(const struct provisioner_conf *conf,
		int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
		struct err *err);
	/* Where its console is written, whether it is there or not; the caller frees. */
	char *(*console_file)(const struct provisioner_conf *conf, const char *sandbox_id);
};

extern const struct driver driver_qemu, driver_process;
extern const struct driver *const drivers[]; /* ends with NULL */

/* NULL when there is none of that name. */
const struct driver *driver_find(const char *name);

/* Whoever starts, stops or destroys holds the sandbox on this host, as long as the descriptor is
 * open: a step that outlived its lease and the one that took over do not meet. sandbox.held. */
int driver_hold(const struct provisioner_conf *conf, const char *sandbox_id, int *ret_fd,
	struct err *err) __attribute__((warn_unused_result));

#endif
