/* SPDX-License-Identifier: Apache-2.0 */
/* What a Controller may answer (proto/openapi/controller.json): read from outside bytes, checked,
 * or controller.bad_answer. */
#ifndef PROVISIONER_CONTROLLER_ANSWER_H
#define PROVISIONER_CONTROLLER_ANSWER_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"

enum controller_state {
	CONTROLLER_STARTING,
	CONTROLLER_RUNNING,
	CONTROLLER_ENDING,
	CONTROLLER_ENDED,
	CONTROLLER_FAILED,
};

struct controller_machine {
	const char *id;
	long long boot, console_bytes;
	enum controller_state state;
};

struct controller_page {
	const json_t *items; /* texts: ids of sandboxes */
	const char *next;    /* page_token; NULL: that was the last */
};

/* controller.other_machine unless it is about this one. Texts live in the arena. */
int controller_answer_machine(struct arena *arena, const char *text, size_t len,
	const char *sandbox_id, struct controller_machine *ret_machine, struct err *err);
int controller_answer_page(struct arena *arena, const char *text, size_t len,
	struct controller_page *ret_page, struct err *err);

#endif
