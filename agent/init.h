/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The duties of PID 1 in the sandbox VM: mounts, kernel modules, kernel settings, network, reaping,
 * power off. Nothing here runs when the agent is an ordinary process.
 */
#ifndef STRONGROOM_INIT_H
#define STRONGROOM_INIT_H

#include <stdbool.h>

#include "lib/err.h"

#define INIT_WORK_DIR "/run/work" /* tmpfs for images, inputs and outputs */
#define INIT_CGROUP "/sys/fs/cgroup/app"

/* Mounts everything and gives the root a parent mount, so that a jail can pivot away from it. */
int init_mounts(struct err *err);
/* Loads the fixed list of modules, then closes the kernel to any other and locks its settings. */
int init_modules(struct err *err);
/* lo, and eth0 with slirp's fixed addresses: no DHCP, no route beyond the link. */
int init_network(struct err *err);
/* cgroup v2 controllers for the app's group. */
int init_cgroup(struct err *err);

/* Whether the kernel's command line has that word. */
bool init_cmdline_has(const char *word);

/* Takes in every dead child that nobody waits for. */
void init_reap(void);
_Noreturn void init_power_off(void);

#endif
