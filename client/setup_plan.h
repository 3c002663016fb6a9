/* SPDX-License-Identifier: Apache-2.0 */
/* main.yml from the answers of `setup`. */
#ifndef STRONGROOM_CLIENT_SETUP_PLAN_H
#define STRONGROOM_CLIENT_SETUP_PLAN_H

#include <jansson.h>

#include "lib/buf.h"

/* `answers`: {"code.url": text}. What is written is read back by plan_parse() before it is
 * returned. */
int setup_plan(const json_t *answers, struct buf *ret_plan, struct err *err);

#endif
