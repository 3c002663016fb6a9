/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Habits that every resource of every service shares: strong ETags with If-Match, keyset pages
 * (newest first), and Idempotency-Key on creates, each caller's own (table `idempotency` of the
 * service's own schema; for 24 hours it keeps an id and a digest of what was asked for, never a
 * body).
 */
#ifndef STRONGROOM_RESOURCE_H
#define STRONGROOM_RESOURCE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/db.h"
#include "lib/web.h"

/* ETag "r<revision>" on the answer, and `etag` in its JSON object. */
void resource_etag(struct web_req *req, struct web_res *res, long long revision);
/* resource.if_match_missing (428), resource.changed (412). */
int resource_if_match(const struct web_req *req, long long revision, struct err *err);
/* Whether If-None-Match names this revision: the long poll's "nothing new yet". */
bool resource_unchanged(const struct web_req *req, long long revision);

struct page {
	const char *before; /* ids below this one; "~" at the start */
	const char *limit;  /* rows to ask for: size + 1, as text */
	size_t size;
};
/* ?page_size= (1 to 200, default 50) and ?page_token=: page.bad_size, page.bad_token. */
int resource_page(const struct web_req *req, struct page *ret_page, struct err *err);

/* The page_token that goes on behind this id. */
json_t *resource_page_token(const char *id);

typedef json_t *resource_row(const struct db_rows *rows, size_t row);
/* {"items":[…],"next_page_token":…} from at most size + 1 rows with the columns `id` and
 * `revision`; items get their `etag`. */
json_t *resource_list(const struct db_rows *rows, const struct page *page, resource_row *encode);

/* The id that this very request made earlier (arena-owned), or NULL, and the caller goes on.
 * `route` is the method and the path. idempotency.bad_key; idempotency.mismatch (422) when the key
 * came with another route or JSON body. Sets Idempotent-Replayed on a hit. */
int resource_replayed(struct web_req *req, struct web_res *res, const char *route,
	const char **ret_id, struct err *err);
/* First in the transaction of the create, so that a twin meets this key before any other unique
 * one: idempotency.in_progress (409). Nothing without the header. */
int resource_remember(struct db *db, const struct web_req *req, const char *route, const char *id,
	struct err *err);
/* For service.forgets. */
extern const struct sql resource_forget;

#endif
