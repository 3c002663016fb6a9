/* SPDX-License-Identifier: Apache-2.0 */
/* When images were last pulled: noted in memory by each pull, written down together by a loop, and
 * at most once a minute for each image. What a kill -9 finds unwritten is lost. */
#ifndef REGISTRY_GW_USES_H
#define REGISTRY_GW_USES_H

#include <pthread.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/id.h"

struct worker;

#define USES_MAX 1024u /* between two beats; a pull beyond is noted by the next one */

struct uses {
	pthread_mutex_t lock;
	char ids[USES_MAX][ID_SIZE]; /* by hash; "": free */
	size_t count;
};

void uses_init(struct uses *uses);
void uses_note(struct uses *uses, const char *image_id);
int uses_beat(struct worker *worker, struct err *err);

#endif
