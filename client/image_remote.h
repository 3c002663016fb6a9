/* SPDX-License-Identifier: Apache-2.0 */
/* Images in the registry: what a reference means, a connection to its repository, and what goes to
 * and fro there. */
#ifndef STRONGROOM_CLIENT_IMAGE_REMOTE_H
#define STRONGROOM_CLIENT_IMAGE_REMOTE_H

#include <jansson.h>
#include <stdbool.h>

#include "client/image.h"
#include "lib/oci_registry.h"

struct image_ref {
	char *repository; /* tenant/name */
	char *tag;	  /* "latest" when nothing was said; NULL with a digest alone */
	char *digest;	  /* or NULL */
};
/* "tenant/name", with :TAG or @DIGEST or both. registry.name */
int image_ref_parse(const char *text, struct image_ref *ret_ref, struct err *err)
	__attribute__((warn_unused_result));
const char *image_ref_reference(const struct image_ref *ref); /* the digest, or the tag */
void image_ref_release(struct image_ref *ref);
#define auto_image_ref __attribute__((cleanup(image_ref_release))) struct image_ref

struct image_remote_conf {
	const char *repository;
	const char *actions;  /* "pull", "pull,push", ... */
	const char *base_url; /* https://edge:port */
	const char *ca_file;  /* PEM, or NULL: the system's */
	/* A registry token for "repository:NAME:ACTIONS"; the caller frees it. Called again after a
	 * 401. */
	int (*token)(void *arg, const char *scope, char **ret_token, struct err *err);
	void *token_arg;
	const char *session_file; /* of uploads; or NULL */
	image_progress *progress; /* may be NULL */
	void *progress_arg;
	void (*warned)(void *arg, const char *text); /* as oci_registry_conf.warned */
	void *warned_arg;
};
struct image_remote;

int image_remote_new(const struct image_remote_conf *conf, struct image_remote **ret_remote,
	struct err *err) __attribute__((warn_unused_result));
void image_remote_free(struct image_remote *remote);
struct oci_registry *image_remote_registry(struct image_remote *remote);

/* The descriptor of what a tag or digest names. New reference. */
int image_remote_find(struct image_remote *remote, const char *reference, json_t **ret_descriptor,
	struct err *err) __attribute__((warn_unused_result));

/* The image of a layout and all that it needs; what the registry has is not sent again, and an
 * upload that broke off is taken up. `descriptor` is one of its index.json; `tag` may be NULL. With
 * `allow_plain` false nothing is sent of an image that has a layer in clear:
 * image.not_encrypted. */
int image_remote_push(struct image_remote *remote, const char *layout, json_t *descriptor,
	const char *tag, bool allow_plain, struct err *err) __attribute__((warn_unused_result));
/* Into the layout, which is made; blobs that are there and whole are not fetched again. index.json
 * names `descriptor` and `tag` (or NULL). */
int image_remote_pull(struct image_remote *remote, json_t *descriptor, const char *tag,
	const char *layout, struct err *err) __attribute__((warn_unused_result));

#endif
