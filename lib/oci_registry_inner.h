/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the registry client share: one authorised request, and when to try again. */
#ifndef STRONGROOM_OCI_REGISTRY_INNER_H
#define STRONGROOM_OCI_REGISTRY_INNER_H

#include "lib/oci_registry.h"

#define OCI_REGISTRY_CHUNK (64LL << 20)

struct oci_registry {
	struct oci_registry_conf conf;
	char *base_url, *repository, *scope, *session_file;
	char *token;
};

struct oci_call {
	const char *method;
	const char *path;	 /* "/v2/…" */
	const char *headers[6];	 /* ends with NULL */
	struct fetch_request io; /* body, sink and progress of the request */
};

/* One request with its token, which is fetched again after a 401. 0 for any other answer. */
int oci_registry_call(struct oci_registry *registry, const struct oci_call *call,
	struct fetch_response *ret_res, struct err *err) __attribute__((warn_unused_result));
/* The same, again and again while the registry cannot be reached or is not well. */
int oci_registry_call_patiently(struct oci_registry *registry, const struct oci_call *call,
	struct fetch_response *ret_res, struct err *err) __attribute__((warn_unused_result));
/* The error of a status that was not hoped for. */
int oci_registry_refused(const struct fetch_response *res, const char *what, struct err *err);

/* Waits and says yes while `err` may pass by itself and attempts are left; counts in *failures. */
bool oci_registry_again(
	const struct oci_registry *registry, const struct err *err, unsigned *failures);

#endif
