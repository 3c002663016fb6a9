/* SPDX-License-Identifier: Apache-2.0 */
/* What follows manifests/ and blobs/ in a path: tags and digests; and ?n= of lists. */
#ifndef REGISTRY_GW_REFERENCE_H
#define REGISTRY_GW_REFERENCE_H

#include <stdbool.h>

#include "lib/web.h"

/* tag of the OCI specification */
bool reference_is_tag(const char *text);
bool reference_is_digest(const char *text);
/* digest.invalid; digest.unsupported for algorithms other than sha256. */
int reference_check_digest(const char *text, struct err *err);
/* Either of the two; manifest.bad_reference, and those of a digest. */
int reference_check(const char *text, struct err *err);
/* ?n=, or `most` without it or above it. tags.bad_page */
int reference_page_limit(
	const struct web_req *req, long long most, long long *ret_limit, struct err *err);

#endif
