/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a tenant's roles (owner, admin, algorithm-owner, data-owner, auditor) may change what.
 */
#ifndef STRONGROOM_ROLES_H
#define STRONGROOM_ROLES_H

/* Policies, pipelines, orders, sandboxes, runs, objects: everybody but auditors. */
#define ROLES_WORK "owner admin algorithm-owner data-owner"
/* Datasets and projections. */
#define ROLES_DATA "owner admin data-owner"

/* Images in the registry, as /v2 lets them push and delete. */
#define ROLES_IMAGES "owner admin algorithm-owner"
/* What of its images a tenant wants. */
#define ROLES_RULE "owner admin"

#endif
