/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spaces, where members of several tenants work together (trust.md 4). A certificate's key of the
 * founder invites a key by its SPKI; the invitation travels between people, not through us; owner
 * or admin of the other tenant joins with it and an acceptance by that very key. Both words stay
 * with the membership for every member to check.
 */
#ifndef CERTREG_SPACES_H
#define CERTREG_SPACES_H

#include "lib/web.h"

struct space;
struct space_invitation;

#define SPACES_ROUTE "POST /v1/spaces"
#define SPACE_INVITATIONS_ROUTE "POST /v1/spaces/{space_id}/invitations"

int space_create(struct web_req *req, struct web_res *res, struct err *err);
int space_list(struct web_req *req, struct web_res *res, struct err *err);
int space_show(struct web_req *req, struct web_res *res, struct err *err);
int space_tenants(struct web_req *req, struct web_res *res, struct err *err); /* for services */
int space_join(struct web_req *req, struct web_res *res, struct err *err);
int space_remove(struct web_req *req, struct web_res *res, struct err *err); /* or leave */

int space_invite(struct web_req *req, struct web_res *res, struct err *err);
int space_invitation_list(struct web_req *req, struct web_res *res, struct err *err);
int space_invitation_withdraw(struct web_req *req, struct web_res *res, struct err *err);

json_t *space_json(const struct space *space);
json_t *space_invitation_json(const struct space_invitation *invitation);

#endif
