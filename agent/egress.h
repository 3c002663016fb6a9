/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way out of a sandbox, for one run: connections through the edge to the hosts that the
 * policy names. The orchestrator holds each target against the policy and resolves it; it passes
 * bytes on and sees no content, for what goes through is TLS to the target. Any thread may open.
 */
#ifndef STRONGROOM_AGENT_EGRESS_H
#define STRONGROOM_AGENT_EGRESS_H

#include <jansson.h>

#include "agent/machine.h"
#include "agent/work.h"
#include "lib/err.h"
#include "lib/fetch_tunnel.h"

struct egress;

/* Borrows both. initdata.edge */
int egress_new(const struct machine *machine, const struct work *work, struct egress **ret_egress,
	struct err *err) __attribute__((warn_unused_result));
/* Ends what egress_connect() made, waits for it, so that all is noted, and opens nothing more. */
void egress_end(struct egress *egress);
bool egress_is_over(struct egress *egress);
void egress_free(struct egress *egress); /* that, too; NULL is fine */

/* A connection to `target`, "host:port": egress.*, as the orchestrator says, or upstream.*. */
int egress_open(struct egress *egress, const char *target, struct fetch_tunnel **ret_tunnel,
	struct err *err) __attribute__((warn_unused_result));
/* Notes what the pump has counted, and frees the tunnel. */
void egress_close(struct egress *egress, const char *target, struct fetch_tunnel *tunnel,
	const struct fetch_pump *pump);
/* Moves bytes between it and pump->fd to the end, and closes it. */
void egress_pump(struct egress *egress, const char *target, struct fetch_tunnel *tunnel,
	struct fetch_pump *pump);

/* The same for libcurl: the name of an abstract unix socket, outside the app's network, that takes
 * one connection of this process; a thread moves its bytes. */
#define EGRESS_NAME_SIZE 16
int egress_connect(struct egress *egress, const char *target, char ret_name[EGRESS_NAME_SIZE],
	struct err *err) __attribute__((warn_unused_result));

/* For the receipt: [{"target","bytes_in","bytes_out","connections"}], in the order of first use. */
json_t *egress_used(struct egress *egress);

#endif
