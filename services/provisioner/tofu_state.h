/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The http backend that tofu keeps a sandbox's state in (WEB_LOCAL, /tofu/{sandbox_id}). Who asks
 * is one run: its user name is the run's number, its password a MAC over sandbox and number under
 * the key file. So a run that is no longer the current one reads, locks and writes nothing. The
 * state is stored as AES-256-GCM under the same file's key, bound to the sandbox and its serial.
 */
#ifndef PROVISIONER_TOFU_STATE_H
#define PROVISIONER_TOFU_STATE_H

#include "lib/web.h"
#include "services/provisioner/config.h"

#define TOFU_PASSWORD_SIZE 65u
#define TOFU_STATE_BYTES (2u << 20)

web_handler tofu_state_get;
web_handler tofu_state_put;
web_handler tofu_state_delete;
web_handler tofu_state_lock;
web_handler tofu_state_unlock;

/* Before a body is taken: tofu.denied. */
web_handler tofu_state_admit;

/* What a run shows. tofu.bad_key when the file has fewer than 32 bytes. */
int tofu_state_password(const struct provisioner_conf *conf, const char *sandbox_id, long long run,
	char ret_password[TOFU_PASSWORD_SIZE], struct err *err);

#endif
