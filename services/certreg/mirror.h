/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readable tree of certificates: <mirror_dir>/<tenant>/<member>/<spki hex>.pem and .json.
 * Postgres is the truth; the tree follows in its own thread within about a second of a commit, for
 * two files with fsync cost more than all the rest of a registration. At start and at a slow beat
 * the whole tree is brought up to date, which also takes away what does not belong there
 * (half-written files of a killed process among it).
 */
#ifndef CERTREG_MIRROR_H
#define CERTREG_MIRROR_H

#include "lib/err.h"
#include "services/certreg/certreg.h"

struct certificate;
struct mirror; /* what has changed since the thread looked */

#define MIRROR_BEAT_MS 500

struct mirror *mirror_new(void);
void mirror_free(struct mirror *mirror);

/* Behind the commit of a change, any thread. What is lost by an end or a full queue is made good by
 * the next walk over all. */
void mirror_add(const struct certreg *certreg, const struct certificate *certificate);
int mirror_follow(struct worker *worker, struct err *err); /* the thread's beat */
int mirror_reconcile(struct worker *worker, struct err *err);

#endif
