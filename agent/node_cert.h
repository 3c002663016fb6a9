/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for an app's own keys, issued by the machine signing key of this boot. The chain
 * says: the agent whose evidence and receipts are by this key ran, under the policy and the run
 * that the certificate names, an app that held the private key. It says nothing about any name.
 */
#ifndef STRONGROOM_AGENT_NODE_CERT_H
#define STRONGROOM_AGENT_NODE_CERT_H

#include "agent/machine.h"
#include "lib/err.h"

struct node_cert {
	const struct machine *machine;
	const char *policy;	   /* its hash */
	const char *run;	   /* run_… */
	const char *app_config_id; /* the common name */
	long long not_after;	   /* a day at most */
};

/* `csr`: PEM, its own signature checked. *ret_chain: PEM of the certificate and of its issuer,
 * caller frees. node.bad_request, cert.request_*, cert.key_* */
int node_cert_issue(const struct node_cert *node, const char *csr, char **ret_chain,
	struct err *err) __attribute__((warn_unused_result));

#endif
