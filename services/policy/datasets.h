/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets: what a data owner offers or receives. Where the data lies is a version of its own: one
 * of our objects, or a URL elsewhere whose query string and key are credentials, sealed by their
 * owner to his own key and kept for him. A share (shares.h) shows all but the credentials to a
 * space's members.
 */
#ifndef POLICY_DATASETS_H
#define POLICY_DATASETS_H

#include "services/policy/record.h"

#define DATASET_DESCRIPTION_MAX 1024
#define DATASET_LONG_DESCRIPTION_MAX (64 * 1024)

extern const struct record_kind dataset_kind;
web_handler dataset_version_create;
web_handler dataset_version_list;
web_handler dataset_credentials_set;
web_handler dataset_credentials_show;
web_handler dataset_fetch_description;

/* {"url"}: http(s)://host[:port]/path without a query, or s3://bucket/key. dataset.bad_location */
int dataset_location_check(const json_t *location, struct err *err);
/* Adds object, location, digest and size of a version's row. */
void dataset_put_data(json_t *record, const struct db_rows *rows, size_t i);
/* The dataset's present credentials_version gets these. */
int dataset_credentials_add(struct db *db, struct web_req *req, const char *id,
	const json_t *credentials, struct err *err);

/* For orders: whether a run of `tenant` in `space` may use the dataset now: it is the tenant's own,
 * or its owner shares it with that space; deleted or no longer shared: it may not. */
int dataset_usable(struct web_req *req, const char *tenant, const char *space, const char *id,
	bool *ret_usable, struct err *err);

#endif
