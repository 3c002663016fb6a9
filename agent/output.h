/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step output: what the app left is packed, encrypted under the granted output key and uploaded as
 * it is packed, in constant memory; then the receipt over the ciphertext is signed.
 */
#ifndef STRONGROOM_AGENT_OUTPUT_H
#define STRONGROOM_AGENT_OUTPUT_H

#include "agent/job.h"

/* Fills job->output and job->receipt. output.*, upload.lost, receipt.invalid */
int output_deliver(struct job *job, struct err *err) __attribute__((warn_unused_result));

#endif
