/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node agent of the second way in, as its apps know it: HTTP on 127.0.0.1:9092 of the app's
 * own network. GET /v1/sys/version {"version","api_version"}; POST /v1/certificate/issue {"csr":
 * PEM} gives {"task_id","task_status":"SUCCESS","certificate":PEM chain}, which GET or POST
 * /v1/certificate/result/{task_id} repeats. Failures are {"code","message"}. One thread, one
 * connection after the other, each with little time: an app that holds it up holds up itself.
 */
#ifndef STRONGROOM_AGENT_NODE_AGENT_H
#define STRONGROOM_AGENT_NODE_AGENT_H

#include "agent/node_cert.h"

struct node_agent;

/* Takes the listening socket over and borrows `node`. NULL: no thread could be made. */
struct node_agent *node_agent_start(int listener, const struct node_cert *node, struct err *err);
/* Behind the end of the app: waits for the thread's. NULL is fine. */
void node_agent_stop(struct node_agent *agent);

#endif
