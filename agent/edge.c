/* SPDX-License-Identifier: Apache-2.0 */
/* Address, pin and patience. */
#include "agent/edge.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/tcg.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#define FIRST_PAUSE_MS 50
#define LONGEST_PAUSE_MS 3000
/* Without AES instructions ChaCha20 is the faster one, and nginx lets the client choose. */
#define CIPHERS_EMULATED "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"

struct edge {
	struct fetch *fetch;
	char *origin;
};

int edge_new(const json_t *initdata, struct edge **ret_edge, struct err *err)
{
	const json_t *edge = json_object_get(initdata, "edge");
	long long port = json_integer_value(json_object_get(edge, "port"));
	const char *host = json_text(edge, "host"), *spki = json_text(edge, "ca_spki");
	const struct fetch_conf conf = { .ca_spki = spki,
		.tls13_ciphers = tcg_is_emulated() ? CIPHERS_EMULATED : NULL,
		.user_agent = "strongroom-agent" };
	struct edge *made;

	if (!host || !*host || !spki || port < 1 || port > 65535)
		return err_set(err, ERR_INVALID, "initdata.edge", "initdata names no edge address");
	made = mem_alloc(sizeof(*made));
	made->origin = strchr(host, ':') ? mem_printf("https://[%s]:%lld", host, port)
					 : mem_printf("https://%s:%lld", host, port);
	made->fetch = fetch_new(&conf);
	*ret_edge = made;
	return 0;
}

void edge_free(struct edge *edge)
{
	if (!edge)
		return;
	fetch_free(edge->fetch);
	free(edge->origin);
	free(edge);
}

struct fetch *edge_fetch(const struct edge *edge)
{
	return edge->fetch;
}

char *edge_url(const struct edge *edge, const char *path)
{
	return mem_printf("%s%s", edge->origin, path);
}

bool edge_may_pass(const struct err *err)
{
	static const char *const passing[] = { "idempotency.in_progress", "object.busy" };

	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		if (strcmp(err->code, passing[i]) == 0)
			return true;
	}
	return err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT ||
	       err->kind == ERR_UPSTREAM || err->kind == ERR_LIMITED ||
	       err->kind == ERR_UNAUTHENTICATED;
}

struct edge_patience edge_patience_new(void)
{
	return (struct edge_patience) { clock_monotonic_ms() + EDGE_PATIENCE_MS, FIRST_PAUSE_MS };
}

/* Agents that lost the same service must not come back in step. */
static long with_jitter(long pause_ms)
{
	unsigned char byte;

	rand_bytes(&byte, sizeof(byte));
	return pause_ms / 2 + pause_ms * byte / 510;
}

bool edge_wait(struct edge_patience *patience, const struct err *err)
{
	if (!edge_may_pass(err) || clock_monotonic_ms() >= patience->end_ms)
		return false;
	if (patience->pause_ms >= LONGEST_PAUSE_MS)
		log_failure("the edge does not answer yet", err);
	usleep((useconds_t)with_jitter(patience->pause_ms) * 1000);
	patience->pause_ms *= 2;
	if (patience->pause_ms > LONGEST_PAUSE_MS)
		patience->pause_ms = LONGEST_PAUSE_MS;
	return true;
}

void edge_progress(struct edge_patience *patience)
{
	*patience = edge_patience_new();
}
