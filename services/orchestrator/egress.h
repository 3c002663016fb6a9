/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/agent/egress?target=host:port&run=&fence=: a way out for what runs in a sandbox, to the
 * hosts that its policy names and no others. The agent asks for it as it asks for everything; the
 * host sees whom it connects to and how many bytes pass, and TLS runs end to end inside.
 */
#ifndef ORCHESTRATOR_EGRESS_H
#define ORCHESTRATOR_EGRESS_H

#include "lib/web_stream.h"

extern const struct web_stream_ops egress;

#endif
