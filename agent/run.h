/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's work once the VM is up: claim, keys, enrolment, runs. main.c prepares what it needs.
 */
#ifndef STRONGROOM_RUN_H
#define STRONGROOM_RUN_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/digest.h"
#include "lib/id.h"

#define AGENT_VERSION "0.1.0"

struct agent_boot {
	json_t *initdata;	       /* parsed and checked to be canonical; launch-measured */
	char *enrolment_secret;	       /* wiped by whoever used it */
	char boot_id[37];	       /* the kernel's */
	char digest[DIGEST_TEXT_SIZE]; /* of the agent's own executable: the measurement of trust.md
					*/
	const char *work_dir;	       /* tmpfs, or a folder of an ordinary process */
	const char *cgroup;	       /* of the app, does not exist yet; NULL: no cgroup v2 here */
	bool is_vm;		       /* PID 1; otherwise a process under test */
};

/* Returns when the VM is to be powered off: 0, or -1 after having logged why. */
int agent_run(struct agent_boot *boot);

#endif
