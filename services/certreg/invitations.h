/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invitations: sri_<32 hex of the id>_<43 base64url>. The inviter's client makes the text and sends
 * its hash; whoever shows the text becomes a member, once, with a key of which the server again
 * sees the hash only. Unknown, used, withdrawn, expired and wrong ones get the same answer.
 */
#ifndef CERTREG_INVITATIONS_H
#define CERTREG_INVITATIONS_H

#include "lib/web.h"

struct invitation;

#define INVITATIONS_ROUTE "POST /v1/invitations"

int invitation_create(struct web_req *req, struct web_res *res, struct err *err);
int invitation_list(struct web_req *req, struct web_res *res, struct err *err);
int invitation_show(struct web_req *req, struct web_res *res, struct err *err);
int invitation_withdraw(struct web_req *req, struct web_res *res, struct err *err);
int invitation_accept(struct web_req *req, struct web_res *res, struct err *err); /* public */

json_t *invitation_json(const struct invitation *invitation);
/* {id, name, hash, expires_at} of an invitation whose roles are set; with `roles` where they are
 * not. The inviter is the caller. */
int invitation_read(
	struct web_req *req, json_t *object, struct invitation *invitation, struct err *err);
/* The one answer to all that is wrong with an invitation. Returns -1. */
int invitation_refuse(struct err *err);

#endif
