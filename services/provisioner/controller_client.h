/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of an external Controller over HTTPS. A call is repeated with back-off while the Controller
 * cannot be reached, is overloaded or fails, for as long as our patience in all; each
 * repetition is the same request with the same idempotency key, so that a lost answer does no harm.
 * Codes: controller.*
 */
#ifndef PROVISIONER_CONTROLLER_CLIENT_H
#define PROVISIONER_CONTROLLER_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/fetch.h"
#include "services/provisioner/config.h"

struct controller_call {
	const char *method, *path;
	const json_t *body;  /* NULL: none. Sent with an idempotency key that is its digest */
	bool once;	     /* no repetition: the caller comes again by itself */
	size_t max_response; /* bytes; 0: 64 KiB */
};

/* Whether there is a Controller in the configuration. */
bool controller_client_is_set(const struct provisioner_conf *conf);
/* How long we wait for what takes more than one request: 2.5 times controller_timeout. */
long controller_client_patience_ms(const struct provisioner_conf *conf);
/* A status from 200 to 299, or 404: the caller's to judge. Anything else is an error. */
int controller_client_do(const struct provisioner_conf *conf, const struct controller_call *call,
	struct fetch_response *ret_res, struct err *err);

#endif
