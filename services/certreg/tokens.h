/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/token: an API key, or a sandbox's assertion, for a token of one service. */
#ifndef CERTREG_TOKENS_H
#define CERTREG_TOKENS_H

#include "lib/web.h"

int token_create(struct web_req *req, struct web_res *res, struct err *err);

#endif
