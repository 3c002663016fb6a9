/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run, from the work that was handed out to its result. The steps of a job are files of their
 * own (pull, inputs, execute, output); each gets the job and leaves in it what the next ones need.
 */
#ifndef STRONGROOM_AGENT_JOB_H
#define STRONGROOM_AGENT_JOB_H

#include <stdbool.h>

#include "agent/api.h"
#include "agent/jail.h"
#include "agent/machine.h"
#include "agent/run.h"
#include "agent/secrets.h"
#include "agent/verify.h"
#include "agent/work.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/id.h"
#include "proto/trust.h"

struct job_output {
	char object[ID_SIZE];
	char digest[DIGEST_TEXT_SIZE]; /* of the ciphertext */
	long long size;
};

struct job {
	const struct agent_boot *boot;
	struct verify *verify; /* of the boot */
	struct api *api;
	struct arena *arena;
	char *rootfs_dir, *input_dir, *output_dir; /* below boot->work_dir */
	struct work work;
	struct trust_policy policy;
	struct trust_order order;
	struct secrets secrets;
	struct egress *egress;	 /* NULL: the policy gives none */
	struct managed *managed; /* of the mode managed */
	struct jail_result result;
	bool has_result;
	struct job_output output;
	json_t *receipt;
	json_t *log_head; /* as seen at the start, or NULL */
	long long started, seq;
};

/* `json` is what work_poll() gave. Ends in a result, a refusal, or, when the run is no longer ours,
 * in nothing; every key and byte of it is gone on return. -1: nobody was told of an end, so the
 * same work will be handed out again. */
int job_run(const struct agent_boot *boot, struct verify *verify, struct api *api, json_t *json);

/* Empty folders below the work folder; a nameless file there. */
int job_folders(struct job *job, struct err *err);
void job_folders_remove(struct job *job);
int job_temporary(const struct job *job, int *ret_fd, struct err *err);

/* Writes all of it; agent.storage when the sandbox is full. */
int job_write(int fd, const void *data, size_t len, struct err *err);

#endif
