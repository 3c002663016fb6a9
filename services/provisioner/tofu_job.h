/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's row of the driver tofu in hand, and what its run says of itself. */
#ifndef PROVISIONER_TOFU_JOB_H
#define PROVISIONER_TOFU_JOB_H

#include "lib/service.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/store_tofu.h"
#include "services/provisioner/tofu_stream.h"

#define TOFU_SHOW_BYTES (8u << 20)

struct tofu_job {
	struct worker *worker;
	const struct driver_place *place;
	const struct sandbox *sandbox;
	struct arena *arena; /* of the row's texts */
	struct tofu_row row;
};

/* The row as it is in hand, with that step, due in so long. */
int tofu_job_set(struct tofu_job *job, const char *step, long long wait_ms, struct err *err);
/* The step failed: again, or that is its end. */
int tofu_job_failed(struct tofu_job *job, const char *code, const char *detail, struct err *err);

/* What the run said so far, if that is a stream; at its end it goes to the console, too. */
void tofu_job_listen(
	const struct tofu_job *job, struct tofu_stream *ret_said, bool speaks, bool has_ended);
/* It lives: its lock is kept, and its owner sees how far it is. */
int tofu_job_beat(const struct tofu_job *job, const struct tofu_stream *said, struct err *err);

#endif
