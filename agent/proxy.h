/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Egress of the mode `direct`: a CONNECT proxy on 127.0.0.1:9094 of the app's network, which the
 * app finds as HTTPS_PROXY. It leads to the policy's domains and nowhere else, and only for
 * CONNECT, so that TLS runs from the app to the domain: plain http is refused, and what goes
 * through must begin as TLS does.
 */
#ifndef STRONGROOM_AGENT_PROXY_H
#define STRONGROOM_AGENT_PROXY_H

#include <jansson.h>

#include "agent/egress.h"

struct proxy;

/* Takes the listening socket over, borrows the rest. node.no_thread */
struct proxy *proxy_start(
	int listener, struct egress *egress, const json_t *domains, struct err *err);
/* Behind the end of the app. NULL is fine. */
void proxy_stop(struct proxy *proxy);

#endif
