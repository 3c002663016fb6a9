/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second way in: what an app that was made for it finds below
 * /opt/fortanix/enclave-os/app-config when it starts, in its own root and belonging to its root
 * user: rw/app-config.json, the config files of the policy's runtime, and for each dataset
 * rw/<port>/<name>/dataset/{location.txt,credentials.bin}.
 */
#ifndef STRONGROOM_AGENT_APP_CONFIG_H
#define STRONGROOM_AGENT_APP_CONFIG_H

#include "agent/job.h"

#define APP_CONFIG_NODE_PORT 9092   /* node_agent.h */
#define APP_CONFIG_EGRESS_PORT 9093 /* where managed locations are reached: managed.h */
#define APP_CONFIG_PROXY_PORT 9094  /* proxy.h, with direct egress */

/* Whether the policy asks for it: it names an app, or datasets that lie elsewhere. */
bool app_config_wanted(const struct trust_policy *policy);

/* Writes all of that. With egress of the mode `managed` a location is the agent's own, and the
 * query string a placeholder. image.layer_path when the image stands in the way. */
int app_config_write(const struct job *job, struct err *err) __attribute__((warn_unused_result));

#define APP_CONFIG_ENV 5 /* at most */
/* What the policy's own env cannot set, "NAME=value" in the arena, NULL-terminated: NODE_AGENT,
 * APPCONFIG_ID and CCM_BACKEND when it names an app, HTTPS_PROXY and https_proxy with direct
 * egress. */
const char *const *app_config_env(const struct job *job);
/* Whether it is one of `env`. */
bool app_config_is_env(const char *const *env, const char *name);

#endif
