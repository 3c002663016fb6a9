/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a booted agent becomes a sandbox's machine: with the enrolment secret of this boot it fetches
 * the claim and registers the keys that were born behind it. The secret lives 5 minutes and is
 * bound to the first keys presented.
 */
#ifndef PROVISIONER_ENROLMENTS_H
#define PROVISIONER_ENROLMENTS_H

#include "lib/web.h"

web_handler enrolment_claim;
web_handler enrolment_create;
web_handler enrolment_admit; /* the secret alone, before the evidence is read */

#endif
