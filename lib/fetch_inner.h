/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of fetch: requests (fetch.c), their JSON (fetch_json.c), and connections that
 * become something else (fetch_tunnel.c). For these files only. */
#ifndef STRONGROOM_FETCH_INNER_H
#define STRONGROOM_FETCH_INNER_H

#include <curl/curl.h>

#include "lib/fetch.h"
#include "lib/fetch_pin.h"

struct fetch {
	CURL *curl;
	char *ca_file, *ca_pem, *ca_spki, *client_cert, *client_key, *tls13_ciphers, *user_agent;
	long connect_timeout_ms;
	struct fetch_pin pin;
};

/* A handle with all of `fetch`'s settings, which it only reads, and nothing else. */
void fetch_prepare(const struct fetch *fetch, CURL *curl, long timeout_ms);
/* The error behind a failure; `text` may be "". */
int fetch_failed(CURLcode result, const char *text, struct err *err);
/* The error that an answer >= 400 says. */
int fetch_refused(const struct fetch_response *res, struct err *err);

#endif
