/* SPDX-License-Identifier: Apache-2.0 */
/* The table of state.h. */
#include "services/provisioner/state.h"

#include <stddef.h>
#include <string.h>

#include "lib/mem.h"

#define BOOTING "creating" /* or starting */

static const struct {
	const char *from;
	enum state_event event;
	const char *to;
} table[] = {
	{ "queued", STATE_ADMIT, BOOTING },
	{ "queued", STATE_STOP, "stopping" },
	{ "queued", STATE_CANCEL, "stopping" },
	{ "creating", STATE_ENROL, "ready" },
	{ "creating", STATE_FAIL, "failed" },
	{ "creating", STATE_STOP, "stopping" },
	{ "creating", STATE_CANCEL, "stopping" },
	{ "starting", STATE_ENROL, "ready" },
	{ "starting", STATE_FAIL, "failed" },
	{ "starting", STATE_STOP, "stopping" },
	{ "starting", STATE_CANCEL, "stopping" },
	{ "ready", STATE_START, BOOTING },
	{ "ready", STATE_DIE, "stopped" },
	{ "ready", STATE_STOP, "stopping" },
	{ "ready", STATE_IDLE, "stopping" },
	{ "stopping", STATE_ENDED, "stopped" },
	{ "stopped", STATE_START, "queued" },
	{ "failed", STATE_START, "queued" },
	{ "failed", STATE_RETRY, "queued" },
	{ "failed", STATE_STOP, "stopping" },
	{ "deleting", STATE_ENDED, "deleted" },
};

const char *state_after(const char *state, enum state_event event, long long boot)
{
	if (event == STATE_DELETE || event == STATE_EXPIRE)
		return strcmp(state, "deleting") != 0 && strcmp(state, "deleted") != 0 ? "deleting"
										       : NULL;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].event != event || strcmp(table[i].from, state) != 0)
			continue;
		return strcmp(table[i].to, BOOTING) == 0 && boot > 1 ? "starting" : table[i].to;
	}
	return NULL;
}
