/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of tofu for a sandbox, by runner/, which outlives this service. Whether anything of it
 * lives is a lock on `run.lock` that the runner, tofu and its plugins inherit: the kernel ends it
 * with the last of them, and no pid is ever mistaken for another. A sandbox's folder: run.lock,
 * control (where a run is asked to stop), exit (how it ended), out and err (what it said), and
 * work/, which alone is the sandbox's user's.
 */
#ifndef PROVISIONER_TOFU_RUN_H
#define PROVISIONER_TOFU_RUN_H

#include <stdbool.h>

#include "lib/buf.h"
#include "services/provisioner/driver.h"

struct tofu_run {
	long long number;
	const char *const *argv;    /* behind the program, ends with NULL */
	const char *const *secrets; /* "NAME=value", ends with NULL */
};

enum tofu_end { TOFU_LIVES, TOFU_LOST, TOFU_DONE };

struct tofu_result {
	enum tofu_end end;
	int status;	 /* of TOFU_DONE; -1: killed */
	bool is_stopped; /* it was asked to, or its time was over */
};

/* Whether something of a run lives. */
int tofu_run_lives(const struct driver_place *place, bool *ret_lives, struct err *err);
/* Nothing of another run lives. tofu.no_program, tofu.lives. */
int tofu_run_start(const struct driver_place *place, const struct tofu_run *run, struct err *err);
/* How that run ended. */
int tofu_run_result(const struct driver_place *place, long long number,
	struct tofu_result *ret_result, struct err *err);
/* Asks it to stop, as often as one likes. */
void tofu_run_stop(const struct driver_place *place);
/* The processes that work in its folder, when nobody is left to ask. */
void tofu_run_kill(const struct driver_place *place);
/* What it said, as far as that fits. */
int tofu_run_output(const struct driver_place *place, const char *name, struct buf *ret_output);

#endif
