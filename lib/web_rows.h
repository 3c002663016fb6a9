/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows that most services' tables of routes are made of, for their main.c alone: a member
 * reads, or changes by a JSON body of at most `max` bytes.
 */
#ifndef STRONGROOM_WEB_ROWS_H
#define STRONGROOM_WEB_ROWS_H

#include "lib/web.h"

#define READ(path, handler)                                                                        \
	{                                                                                          \
		"GET", path, WEB_MEMBER, "read", "db", 0, false, .handle = (handler)               \
	}
#define WRITE(method, path, max, handler)                                                          \
	{                                                                                          \
		method, path, WEB_MEMBER, "write", "db", max, true, .handle = (handler)            \
	}

#endif
