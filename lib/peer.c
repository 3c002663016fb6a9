/* SPDX-License-Identifier: Apache-2.0 */
/* Queries between services (peer.h), each with a fresh assertion for exactly the service that is
 * asked. */
#include "lib/peer.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/fetch.h"
#include "lib/mem.h"
#include "lib/service.h"

#define TIMEOUT_MS 10000L

static const char *const names[] = {
	[PEER_CERTREG] = "certreg",
	[PEER_PROVISIONER] = "provisioner",
	[PEER_REGISTRY_GW] = "registry-gw",
	[PEER_POLICY] = "policy",
	[PEER_ORCHESTRATOR] = "orchestrator",
};

static const char *url_of(const struct service_conf *conf, enum peer peer)
{
	switch (peer) {
	case PEER_CERTREG:
		return conf->certreg_url;
	case PEER_PROVISIONER:
		return conf->provisioner_url;
	case PEER_REGISTRY_GW:
		return conf->registry_gw_url;
	case PEER_POLICY:
		return conf->policy_url;
	case PEER_ORCHESTRATOR:
		break;
	}
	return conf->orchestrator_url;
}

/* Our caller did nothing wrong when a peer refuses us: but for "not there" and "not now" it is our
 * failure. */
static int failed(enum peer peer, struct err *err)
{
	if (err && err->kind != ERR_NOT_FOUND && err->kind != ERR_UNAVAILABLE &&
		err->kind != ERR_TIMEOUT)
		err->kind = ERR_UPSTREAM;
	return err_wrap(err, "%s", names[peer]);
}

static int ask(struct worker *worker, enum peer peer, const char *method, const char *path,
	json_t **ret_json, struct err *err)
{
	struct fetch_request req = { .method = method, .timeout_ms = TIMEOUT_MS };
	const char *headers[] = { NULL, NULL }, *base = url_of(worker->conf, peer);
	auto_free char *url = NULL, *assertion = NULL;

	if (fetch_split_url(base ? base : "", path, &url, &req.unix_socket, err) < 0)
		return err_wrap(err, "%s", names[peer]);
	assertion = auth_assertion_header(worker->auth, names[peer], err);
	if (!assertion)
		return -1;
	headers[0] = assertion;
	req.url = url;
	req.headers = headers;
	if (fetch_json(worker->fetch, &req, NULL, ret_json, NULL, err) < 0)
		return failed(peer, err);
	return 0;
}

int peer_get(
	struct worker *worker, enum peer peer, const char *path, json_t **ret_json, struct err *err)
{
	return ask(worker, peer, "GET", path, ret_json, err);
}

int peer_post(
	struct worker *worker, enum peer peer, const char *path, json_t **ret_json, struct err *err)
{
	return ask(worker, peer, "POST", path, ret_json, err);
}
