/* SPDX-License-Identifier: Apache-2.0 */
/* The folder that an output is unpacked into: an earlier output gives way to it, nothing else does.
 */
#ifndef STRONGROOM_CLIENT_OUTPUT_FOLDER_H
#define STRONGROOM_CLIENT_OUTPUT_FOLDER_H

#include "lib/err.h"

/* Unpacks the tar of `fd` beside `dest` and puts it there, in place of an earlier output at once:
 * there is never a half of one beside a half of another. output.in_the_way when something else
 * stands there, output.unsafe as of untar(). */
int output_folder_replace(int fd, const char *dest, struct err *err)
	__attribute__((warn_unused_result));

#endif
