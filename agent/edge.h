/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one server that the agent talks to: its address and its CA's key come from the
 * launch-measured initdata. The services behind it may restart at any moment, so whoever asks asks
 * again, with growing pauses, as long as the answer says that a later try may do.
 */
#ifndef STRONGROOM_AGENT_EDGE_H
#define STRONGROOM_AGENT_EDGE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"
#include "lib/fetch.h"

#define EDGE_PATIENCE_MS (10 * 60 * 1000LL)

struct edge;

/* `initdata` was checked. initdata.edge */
int edge_new(const json_t *initdata, struct edge **ret_edge, struct err *err);
void edge_free(struct edge *edge);

struct fetch *edge_fetch(const struct edge *edge);
char *edge_url(const struct edge *edge, const char *path); /* caller frees */

/* Whether the same request may succeed later: no connection, a service that is down or overloaded.
 */
bool edge_may_pass(const struct err *err);

struct edge_patience {
	long long end_ms; /* monotonic */
	long pause_ms;	  /* of the next wait */
};

struct edge_patience edge_patience_new(void);
/* Sleeps before the next try, and starts afresh after progress; false when it is time to give up.
 */
bool edge_wait(struct edge_patience *patience, const struct err *err);
void edge_progress(struct edge_patience *patience);

#endif
