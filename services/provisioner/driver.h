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
#include <sys/types.h>

#include "lib/buf.h"
#include "services/provisioner/config.h"

#define DRIVER_CONSOLE_MAX (4 << 20) /* bytes, where the driver sees to it */

struct sandbox;
struct worker;

typedef int driver_on_id(void *arg, const char *sandbox_id, struct err *err);

struct driver_spec {
	const char *sandbox_id;
	long long boot;
	const json_t *parameters;     /* completed */
	const char *initdata;	      /* canonical bytes */
	const char *enrolment_secret; /* reaches the guest only */
	bool is_measured;	      /* the template's class is software-tpm */
};

/* A sandbox as its driver sees it. All that lies in its folder goes with it. */
struct driver_place {
	const struct provisioner_conf *conf;
	const char *sandbox_id;
	char *all; /* the folder of this driver's sandboxes */
	char *folder, *secret, *console;
	uid_t uid; /* in start: the sandbox's own */
};

/* What is wanted of a sandbox: nothing under way, its boot, nothing of it running, nothing left. */
enum driver_goal { DRIVER_QUIET, DRIVER_UP, DRIVER_DOWN, DRIVER_GONE };

/* Why there is no use in this sandbox any more: sandbox.died, sandbox.vtpm_died, tofu.…; empty
 * while it lives. */
struct driver_state {
	char code[48];
	char detail[256];
};

struct driver {
	const char *name;
	const char *folder;	      /* below sandboxes_dir; NULL: that one itself */
	const char *secret, *console; /* files in a sandbox's folder */
	bool is_elsewhere;	      /* no process of it runs on this host */
	/* Starts this boot; nothing runs under this id any more. sandbox.vtpm, launch.failed, … */
	int (*start)(
		const struct driver_place *place, const struct driver_spec *spec, struct err *err);
	/* Why there is no use in this sandbox any more: sandbox.died, sandbox.vtpm_died; NULL
	 * while it lives. */
	int (*inspect)(const struct driver_place *place, const char **ret_gone, struct err *err);
	int (*stop)(const struct driver_place *place, struct err *err);
	/* May be NULL: removes what carries the id and lies outside the folder, after stop. */
	int (*forget)(const struct driver_place *place, struct err *err);
	/* Of a driver whose work takes longer than a step may: one more piece of it. 0: it is so,
	 * else the milliseconds until the next piece. Then start() only leaves what is needed,
	 * stop() asks whether nothing is under way, and inspect is NULL. */
	int (*pursue)(const struct driver_place *place, struct worker *worker,
		const struct sandbox *sandbox, enum driver_goal goal,
		struct driver_state *ret_state, struct err *err);
	/* May be NULL: calls back for each id that is outside the folders, known or not. */
	int (*list)(
		const struct driver_place *all, driver_on_id *on_id, void *arg, struct err *err);
};

extern const struct driver driver_qemu, driver_process, driver_libvirt, driver_controller,
	driver_tofu;
extern const struct driver *const drivers[]; /* ends with NULL */

/* Of `process`, once at the start: runc or bubblewrap. sandbox.bad_runtime */
int driver_process_choose(const struct provisioner_conf *conf, struct err *err);
/* NULL when there is none of that name. */
const struct driver *driver_find(const char *name);

/* Ends what runs under this id, makes what is not there yet, then starts this boot. */
int driver_start(const struct driver *driver, const struct provisioner_conf *conf,
	const struct driver_spec *spec, struct err *err);
/* Its machines take minutes, and step by step. */
bool driver_is_slow(const char *name);
/* Both of drivers that have no pursue(). */
int driver_inspect(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, const char **ret_gone, struct err *err);
int driver_stop(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, struct err *err);
/* What is wanted, or a piece of it: 0 it is so (of DRIVER_UP `ret_state` says more), else the
 * milliseconds until it is worth another look. */
int driver_pursue(const struct driver *driver, struct worker *worker, const struct sandbox *sandbox,
	enum driver_goal goal, struct driver_state *ret_state, struct err *err);
/* The guest has enrolled: what only its start needed (the secret) goes. */
int driver_settled(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, struct err *err);
/* Stops, and removes everything that carries the id. */
int driver_destroy(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, struct err *err);
/* Ids of all that exists, whether anybody knows it or not: calls back for each. */
int driver_list(const struct driver *driver, const struct provisioner_conf *conf,
	driver_on_id *on_id, void *arg, struct err *err);
/* Where its console is written, whether it is there or not; the caller frees. */
char *driver_console_file(
	const struct driver *driver, const struct provisioner_conf *conf, const char *sandbox_id);

/* Whoever starts, stops or destroys holds the sandbox on this host, as long as the descriptor is
 * open: a step that outlived its lease and the one that took over do not meet. sandbox.held. */
int driver_hold(const struct provisioner_conf *conf, const char *sandbox_id, int *ret_fd,
	struct err *err) __attribute__((warn_unused_result));

#endif
