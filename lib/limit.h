/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often somebody may come: a token bucket for each name, in memory that does not grow. Names
 * are kept as marks under a random key, so nobody can choose one that meets another's. When the
 * place of a new name is full, the bucket that lacks least is forgotten: a crowd of names costs
 * those who come seldom nothing. Buckets are this process's own. Any thread.
 */
#ifndef STRONGROOM_LIMIT_H
#define STRONGROOM_LIMIT_H

#include "lib/err.h"

#define LIMIT_BURST_S 5 /* a full bucket holds what comes in so many seconds */

struct limit;

struct limit *limit_new(long per_second); /* NULL, which limits nothing, for 0 */
void limit_free(struct limit *limit);
/* limit.exceeded, with err->retry_s. What is refused takes nothing out of the bucket. */
int limit_take(struct limit *limit, const char *name, struct err *err)
	__attribute__((warn_unused_result));

#endif
