/* SPDX-License-Identifier: Apache-2.0 */
/* Applications: an image by its digest and the domains it may reach, both of which somebody else
 * approves by a task; and their configurations, each with its APPCONFIG_ID. */
#ifndef POLICY_APPS_H
#define POLICY_APPS_H

#include "proto/trust.h"
#include "services/policy/record.h"

struct principal;

extern const struct record_kind app_kind;
extern const struct record_kind app_config_kind;

/* Whether the repository is one of the caller's tenant: <its name>/… */
bool app_is_own_image(const struct principal *who, const char *repository);

/* Of the application that the policy names, one of the caller's or shared with him: its image is
 * the policy's, and image and domains were approved. app.not_found, app.wrong_image,
 * app.build_not_approved, app.domain_not_approved */
int app_check_policy(struct web_req *req, const struct trust_policy *policy, struct err *err);
/* The last of these alone: where the application connects by itself, `approved` has all of it. */
int app_check_domains(const struct trust_policy *policy, const json_t *approved, struct err *err);

#endif
