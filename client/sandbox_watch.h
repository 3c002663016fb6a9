/* SPDX-License-Identifier: Apache-2.0 */
/* Looking on while a sandbox of the server comes up: its console, and its states. */
#ifndef STRONGROOM_CLIENT_SANDBOX_WATCH_H
#define STRONGROOM_CLIENT_SANDBOX_WATCH_H

#include "client/session.h"

/* sandbox logs ID [--follow]: the console on stdout; following, until the sandbox is at rest
 * without a VM. The guest wrote it: nothing in it is anybody's word. */
int sandbox_logs(struct session *session, const struct cli *cli, struct err *err);
/* sandbox wait ID: until it is ready; sandbox.failed when it comes to rest otherwise. */
int sandbox_wait(struct session *session, const struct cli *cli, struct err *err);

#endif
