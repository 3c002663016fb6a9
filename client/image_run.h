/* SPDX-License-Identifier: Apache-2.0 */
/* Running a build tool: no shell, no input, its output in a log file. */
#ifndef STRONGROOM_CLIENT_IMAGE_RUN_H
#define STRONGROOM_CLIENT_IMAGE_RUN_H

#include <stdbool.h>

#include "lib/err.h"

/* Appends output and errors of the program (found in PATH) to `log`. -1 with `code` and the end of
 * the log when it cannot be started or does not exit with 0. */
int image_run(const char *const *argv, const char *log, const char *code, struct err *err)
	__attribute__((warn_unused_result));
bool image_run_works(const char *const *argv, const char *log);

#endif
