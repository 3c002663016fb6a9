/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what with which repository. Members reach their tenant's prefix as far as their token
 * says; an agent pulls one manifest and what it names, and everything else does not exist for it.
 */
#ifndef REGISTRY_GW_ACCESS_H
#define REGISTRY_GW_ACCESS_H

#include <stdbool.h>

#include "lib/web.h"

enum access_right { ACCESS_PULL, ACCESS_PUSH, ACCESS_DELETE };

struct access {
	const char
		*tenant; /* whose repository it is: an agent's may be another one's than its own */
	const char *space;
	const char *subject;
	const char *repository; /* <tenant name>/<name> */
	const char *image;	/* an agent's one manifest; NULL: a member */
};

/* The caller has a valid token for any repository at all; answers with the challenge otherwise. */
int access_login(struct web_req *req, struct web_res *res, struct err *err);
/* Checks the route's {name...}, outside of /v2 ?repository=. repository.bad_name,
 * repository.not_found, repository.denied, repository.scope and those of auth_check(). */
int access_check(struct web_req *req, struct web_res *res, enum access_right right,
	struct access *ret_access, struct err *err);
/* What access_check() found, in a later part of the same request. */
struct access access_again(const struct web_req *req);
/* The same for an open session: it outlives the token that opened it, for whoever that was. */
int access_check_session(
	struct web_req *req, struct web_res *res, struct access *ret_access, struct err *err);
/* The same before a body is read: only who may push here gets so far. */
int access_admit(struct web_req *req, struct web_res *res, struct err *err);
/* Whether the token also pulls from `repository`, for a mount; never an error. */
bool access_pulls(const struct web_req *req, const char *repository);
/* Whether it pushes to the repository that access_check() found. */
bool access_pushes(const struct web_req *req, const char *repository);
/* 0 when the caller may see this blob or manifest: always for members; blob.not_found and
 * manifest.not_found for what an agent's image does not reach. */
int access_reaches(struct web_req *req, const struct access *access, const char *digest,
	bool is_manifest, struct err *err);

/* name of the OCI specification, at most 245 bytes */
bool access_is_name(const char *name);

#endif
