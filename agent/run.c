/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's way to the edge: proves that the one address in initdata answers. */
#include "agent/run.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

static int edge_connect(const json_t *edge, struct err *err)
{
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = { .sin_family = AF_INET };
	const char *host = json_text(edge, "host");

	in.sin_port = htons((uint16_t)json_integer_value(json_object_get(edge, "port")));
	if (!host || inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return err_set(err, ERR_INVALID, "initdata.edge", "initdata names no edge address");
	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		return err_errno(err, "connect to the edge");
	return 0;
}

int agent_run(struct agent_boot *boot)
{
	struct err err = { 0 };

	if (edge_connect(json_object_get(boot->initdata, "edge"), &err) < 0) {
		log_failure("edge unreachable", &err);
		return -1;
	}
	log_info("edge reachable", "sandbox", json_text(boot->initdata, "sandbox"), "boot",
		boot->boot_id, "agent", boot->digest, NULL);
	return 0;
}
