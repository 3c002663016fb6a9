/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named points where a test lets the program die as with kill -9. The client: before each request,
 * after its answer, before and after the checkpoint's rename, when all of a task is done but not
 * yet recorded, and behind the last task. The provisioner: at each change of a sandbox's state and
 * around what its driver does. Builds with TEST_HOOKS=1 only; otherwise nothing is compiled.
 * STRONGROOM_CRASH_AT=point or point#N (the Nth time); STRONGROOM_CRASH_LOG=FILE gathers the points
 * passed.
 */
#ifndef STRONGROOM_CRASH_H
#define STRONGROOM_CRASH_H

#ifdef TEST_HOOKS
void crash_point(const char *where, const char *what);
#else
static inline void crash_point(const char *where, const char *what)
{
	(void)where;
	(void)what;
}
#endif

#endif
