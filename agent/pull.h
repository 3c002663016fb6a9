/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step pull: the image named by the policy, through the edge, into the job's rootfs folder. Nothing
 * of it is decompressed before ciphertext digest and HMAC are right, nothing is executed before the
 * inner digests and diff_ids are those of the policy.
 */
#ifndef STRONGROOM_AGENT_PULL_H
#define STRONGROOM_AGENT_PULL_H

#include "agent/job.h"

/* image.manifest, image.config, image.layers, image.digest, image.inner_digest, image.diff_id, and
 * the codes of oci.h, ocicrypt.h and rootfs.h. */
int pull_image(struct job *job, struct err *err) __attribute__((warn_unused_result));

/* The manifest's bytes and what the policy says of it; for tests. */
struct oci_manifest;
int pull_check_manifest(const struct trust_policy *policy, const struct oci_manifest *manifest,
	struct err *err) __attribute__((warn_unused_result));

#endif
