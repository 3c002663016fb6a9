/* SPDX-License-Identifier: Apache-2.0 */
/* Dying at a named point, for tests of resuming. Empty unless TEST_HOOKS is defined. */
#include "lib/crash.h"

#ifdef TEST_HOOKS
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note_passed(const char *point)
{
	const char *path = getenv("STRONGROOM_CRASH_LOG");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	dprintf(fd, "%s\n", point);
	close(fd);
}

/* How often `wanted` was passed, this time included. */
static bool is_due(const char *point)
{
	static atomic_uint passed;
	const char *wanted = getenv("STRONGROOM_CRASH_AT");
	const char *number = wanted ? strchr(wanted, '#') : NULL;
	size_t len = wanted ? (number ? (size_t)(number - wanted) : strlen(wanted)) : 0;

	if (!wanted || strlen(point) != len || memcmp(point, wanted, len) != 0)
		return false;
	return atomic_fetch_add(&passed, 1) + 1 == (number ? strtoul(number + 1, NULL, 10) : 1);
}

void crash_point(const char *where, const char *what)
{
	char point[128];

	snprintf(point, sizeof(point), "%s:%s", where, what);
	note_passed(point);
	if (is_due(point))
		kill(getpid(), SIGKILL);
}
#else
typedef int crash_c_is_not_empty;
#endif
