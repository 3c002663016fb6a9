/* SPDX-License-Identifier: Apache-2.0 */
/* Where an object's bytes lie: <objects_dir>/<tenant>/<object>, 0600. Ids are checked before they
 * become paths. */
#ifndef ORCHESTRATOR_OBJECT_FILE_H
#define ORCHESTRATOR_OBJECT_FILE_H

#include "services/orchestrator/config.h"
#include "services/orchestrator/store.h"

/* Open for reading. internal.system when it is missing. */
int object_file_read(const struct orchestrator_conf *conf, const struct object *object, int *ret_fd,
	struct err *err);
/* Open for appending, made when missing, with the writer's lock: object.busy (409). */
int object_file_append(const struct orchestrator_conf *conf, const struct object *object,
	int *ret_fd, struct err *err);
/* Whether somebody writes it. */
bool object_file_is_busy(const struct orchestrator_conf *conf, const struct object *object);
int object_file_size(int fd, long long *ret_size, struct err *err);
int object_file_remove(
	const struct orchestrator_conf *conf, const struct object *object, struct err *err);

#endif
