/* SPDX-License-Identifier: Apache-2.0 */
/* Forced into every file of ours: functions that have no safe use. */
#ifndef STRONGROOM_BANNED_H
#define STRONGROOM_BANNED_H
#ifdef __GNUC__
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#undef sprintf /* a macro in fortified stdio.h under clang */
#pragma GCC poison strcpy strcat sprintf strtok gmtime localtime ctime atoi atol strncpy gets
#endif
#endif
