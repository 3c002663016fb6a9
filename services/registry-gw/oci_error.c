/* SPDX-License-Identifier: Apache-2.0 */
/* One table from our codes to the specification's; what is not in it goes by its kind. */
#include "services/registry-gw/oci_error.h"

#include <stdbool.h>
#include <string.h>

#include "lib/mem.h"

static const struct {
	const char *code;
	const char *oci;
} by_code[] = {
	{ "archive.digest", "DIGEST_INVALID" },
	{ "archive.size", "SIZE_INVALID" },
	{ "blob.not_found", "BLOB_UNKNOWN" },
	{ "blob.range", "RANGE_INVALID" },
	{ "digest.invalid", "DIGEST_INVALID" },
	{ "digest.unsupported", "DIGEST_INVALID" },
	{ "manifest.bad_reference", "MANIFEST_INVALID" },
	{ "manifest.blob_unknown", "MANIFEST_BLOB_UNKNOWN" },
	{ "manifest.digest", "DIGEST_INVALID" },
	{ "manifest.invalid", "MANIFEST_INVALID" },
	{ "manifest.not_found", "MANIFEST_UNKNOWN" },
	{ "repository.bad_name", "NAME_INVALID" },
	{ "repository.not_found", "NAME_UNKNOWN" },
	{ "upload.bad_range", "BLOB_UPLOAD_INVALID" },
	{ "upload.busy", "BLOB_UPLOAD_INVALID" },
	{ "upload.cut", "BLOB_UPLOAD_INVALID" },
	{ "upload.digest", "DIGEST_INVALID" },
	{ "upload.invalid", "BLOB_UPLOAD_INVALID" },
	{ "upload.length", "SIZE_INVALID" },
	{ "upload.not_found", "BLOB_UPLOAD_UNKNOWN" },
	{ "upload.offset", "RANGE_INVALID" },
};

static const struct {
	int status;
	const char *oci;
} by_status[] = {
	{ 401, "UNAUTHORIZED" },
	{ 403, "DENIED" },
	{ 404, "NAME_UNKNOWN" },
	{ 405, "UNSUPPORTED" },
	{ 413, "SIZE_INVALID" },
	{ 415, "UNSUPPORTED" },
	{ 422, "DENIED" },
	{ 429, "TOOMANYREQUESTS" },
	{ 503, "UNAVAILABLE" },
};

static bool is_about(const char *area, const struct err *err)
{
	return strncmp(err->code, area, strlen(area)) == 0;
}

static const char *code_of(const struct err *err, int status)
{
	for (size_t i = 0; i < ARRAY_LEN(by_code); i++) {
		if (strcmp(by_code[i].code, err->code) == 0)
			return by_code[i].oci;
	}
	if (status == 400 && (is_about("archive.", err) || is_about("oci.", err)))
		return "MANIFEST_INVALID";
	for (size_t i = 0; i < ARRAY_LEN(by_status); i++) {
		if (by_status[i].status == status)
			return by_status[i].oci;
	}
	return "UNKNOWN";
}

json_t *oci_error_body(const struct err *err, int status)
{
	const char *message = status < 500 ? err->detail : "the registry cannot answer now";

	return json_pack("{s:[{s:s, s:s, s:{s:s}}]}", "errors", "code", code_of(err, status),
		"message", message, "detail", "code", err->code);
}
