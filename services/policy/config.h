/* SPDX-License-Identifier: Apache-2.0 */
/* The policy service's own configuration rows. */
#ifndef POLICY_CONFIG_H
#define POLICY_CONFIG_H

struct policy_conf {
	char *fetch_ports, *fetch_prefixes, *fetch_ca_file;
	long fetch_timeout_ms;
};

#endif
