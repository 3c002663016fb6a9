/* SPDX-License-Identifier: Apache-2.0 */
/* What a run says becomes progress, and lines of the console. */
#include "services/provisioner/tofu_job.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "services/provisioner/tofu_run.h"

#define SAID_BYTES (4u << 20)
#define CONSOLE_MAX (4 << 20)

static void on_text(void *arg, const char *level, const char *text)
{
	dprintf(*(const int *)arg, "%s: %s\n", level, text);
}

/* The console is its owner's to read. What a program says on its standard error is the operator's.
 */
static int open_console(const struct driver_place *place)
{
	auto_fd int fd = open(place->console, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	struct stat info;

	if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size < CONSOLE_MAX)
		return take_fd(fd);
	return -1;
}

void tofu_job_listen(
	const struct tofu_job *job, struct tofu_stream *ret_said, bool speaks, bool has_ended)
{
	auto_fd int console = has_ended ? open_console(job->place) : -1;
	auto_buf out = BUF_INIT(SAID_BYTES);

	tofu_stream_init(ret_said);
	if (console >= 0) {
		dprintf(console, "--- tofu %s, run %lld\n", job->row.running, job->row.run);
		ret_said->on_text = on_text;
		ret_said->arg = &console;
	}
	if (speaks) {
		(void)tofu_run_output(job->place, "out", &out); /* as far as that fits */
		tofu_stream_add(ret_said, out.data, out.len);
	}
	tofu_stream_end(ret_said);
	ret_said->arg = NULL;
	ret_said->on_text = NULL;
}

int tofu_job_beat(const struct tofu_job *job, const struct tofu_stream *said, struct err *err)
{
	char progress[TOFU_TEXT_SIZE + 64];

	if (strcmp(job->row.running, "apply") == 0 && *said->doing)
		snprintf(progress, sizeof(progress), "tofu apply: %u done, now %s", said->applied,
			said->doing);
	else
		snprintf(progress, sizeof(progress), "tofu %s", job->row.running);
	return store_tofu_beat(job->worker->db, job->sandbox, &job->row, progress, err);
}
