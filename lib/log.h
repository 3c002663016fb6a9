/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfmt on stderr, one line an event:
 *   level=info svc=policy req=req_… tenant=tnt_… msg="policy created" policy=pol_…
 * Values are quoted and escaped; the caller gives key/value pairs behind the message, ended by
 * NULL. Request context is thread-local. Library code logs at debug only. Never a secret.
 */
#ifndef STRONGROOM_LOG_H
#define STRONGROOM_LOG_H

#include <stdbool.h>

#include "lib/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Once, before threads. `service` must outlive the program. */
void log_open(const char *service, enum log_level level);
/* Whether lines of this level are written: for those who would have to gather much for one. */
bool log_shows(enum log_level level);
int log_level_parse(const char *name, enum log_level *ret_level);

/* What every later line of this thread carries; NULL clears a value. */
void log_context_set(const char *request_id, const char *principal);

/* log_info("policy created", "policy", id, "tenant", tenant, NULL); */
void log_error(const char *msg, ...) __attribute__((sentinel));
void log_warn(const char *msg, ...) __attribute__((sentinel));
void log_info(const char *msg, ...) __attribute__((sentinel));
void log_debug(const char *msg, ...) __attribute__((sentinel));

/* The one line of a failure: code and detail of `err` behind `msg`. */
void log_failure(const char *msg, const struct err *err);

#endif
