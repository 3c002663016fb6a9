/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of an OCI registry (distribution-spec 1.1) for one repository: blobs and manifests, in and
 * out. What breaks off is taken up where it was: uploads at the offset that the registry reports
 * (or from the start when it has forgotten), downloads by Range. No byte counts as received before
 * its digest was compared. Belongs to one thread, like the `struct fetch` below it.
 */
#ifndef STRONGROOM_OCI_REGISTRY_H
#define STRONGROOM_OCI_REGISTRY_H

#include "lib/fetch.h"
#include "lib/oci.h"

struct oci_registry;

struct oci_registry_conf {
	struct fetch *fetch;	/* borrowed */
	const char *base_url;	/* http(s)://host[:port] or unix:/socket */
	const char *repository; /* "tenant/name" */
	const char *actions;	/* of the scope: "pull" or "pull,push" */
	/* A Bearer token for the scope `repository:NAME:ACTIONS`; caller frees. Called again after
	 * a 401. NULL: no token. */
	int (*token)(void *arg, const char *scope, char **ret_token, struct err *err);
	void *token_arg;
	/* Remembers the upload under way, so that a later process goes on with it; or NULL. */
	const char *session_file;
	long long chunk_bytes; /* of a PATCH; 0: 64 MiB */
	unsigned attempts;     /* failures in a row without a byte of progress; 0: 6 */
	void (*progress)(void *arg, long long done, long long total); /* of the blob; may be NULL */
	void *progress_arg;
	/* A Warning that came with a manifest's answer, fit for a terminal; may be NULL. */
	void (*warned)(void *arg, const char *text);
	void *warned_arg;
};

/* registry.name, fetch.bad_url */
int oci_registry_new(const struct oci_registry_conf *conf, struct oci_registry **ret_registry,
	struct err *err) __attribute__((warn_unused_result));
void oci_registry_free(struct oci_registry *registry); /* wipes the token */

/* All of these: registry.denied, registry.not_found, registry.refused (the registry's own code and
 * words in the detail), registry.unavailable and upstream.* after the last attempt. */
int oci_registry_has_blob(struct oci_registry *registry, const struct oci_blob *blob, bool *ret_has,
	struct err *err) __attribute__((warn_unused_result));
/* The blob's bytes are those of `fd` from offset 0. Does not ask whether it is there. */
int oci_registry_put_blob(struct oci_registry *registry, const struct oci_blob *blob, int fd,
	struct err *err) __attribute__((warn_unused_result));
/* Into `fd` from offset 0; the file is emptied again on failure. oci.digest */
int oci_registry_get_blob(struct oci_registry *registry, const struct oci_blob *blob, int fd,
	struct err *err) __attribute__((warn_unused_result));
/* `reference` is a digest or a tag. Got by digest, the bytes are compared with it: oci.digest */
int oci_registry_put_manifest(struct oci_registry *registry, const char *reference,
	const char *type, const void *text, size_t len, struct err *err)
	__attribute__((warn_unused_result));
int oci_registry_get_manifest(struct oci_registry *registry, const char *reference, struct buf *buf,
	struct err *err) __attribute__((warn_unused_result));
/* By a tag: that tag goes; by a digest: the manifest with all its tags. */
int oci_registry_delete_manifest(struct oci_registry *registry, const char *reference,
	struct err *err) __attribute__((warn_unused_result));

#endif
