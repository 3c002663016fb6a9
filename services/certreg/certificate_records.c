/* SPDX-License-Identifier: Apache-2.0 */
/* Records of certificates: reading, describing, revoking. A list parses no certificate. */
#include <string.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/certificates.h"
#include "services/certreg/mirror.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store_certificates.h"
#include "services/certreg/store_tokens.h"

#define MAX_NAME 127
#define MAX_COMMENT 1000
#define LABELS_MAX 64
#define LABEL_KEY_MAX 63
#define LABEL_VALUE_MAX 255
#define LABEL_KEY_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-"

/* --- rules --- */

static json_t *x5t_of(const struct certificate *certificate)
{
	unsigned char digest[DIGEST_SIZE] = { 0 };
	auto_free char *text = NULL;

	codec_hex_decode(certificate->fingerprint, digest, sizeof(digest), NULL);
	text = codec_b64url_text(digest, sizeof(digest));
	return json_string(text);
}

static json_t *warning_of(const struct certificate *certificate)
{
	if (certificate->warning_days == 0)
		return json_null();
	return json_sprintf("expires_in_%lld_day%s", certificate->warning_days,
		certificate->warning_days == 1 ? "" : "s");
}

#define TEXT(member)                                                                               \
	{                                                                                          \
#member, offsetof(struct certificate, member)                                      \
	}

/* As they stand in the record, which Postgres holds as UTF-8; null where one does not apply. */
static const struct {
	const char *name;
	size_t offset;
} record_texts[] = { TEXT(id), TEXT(name), TEXT(fingerprint), TEXT(spki), TEXT(subject),
	TEXT(serial), TEXT(not_before), TEXT(not_after), TEXT(algorithm), TEXT(source), TEXT(state),
	TEXT(replaces), TEXT(replaced_by), TEXT(retires_at), TEXT(revoked_at),
	TEXT(revocation_reason), TEXT(member), TEXT(created_at) };

json_t *certificate_json(const struct certificate *certificate)
{
	json_t *record = json_object(), *labels = json_loads(certificate->labels, 0, NULL);

	for (size_t i = 0; i < ARRAY_LEN(record_texts); i++) {
		const char *text =
			*(const char *const *)((const char *)certificate + record_texts[i].offset);

		json_object_set_new_nocheck(record, record_texts[i].name,
			text ? json_string_nocheck(text) : json_null());
	}
	json_object_set_new(record, "labels", labels ? labels : json_object());
	json_object_set_new(record, "x5t#S256", x5t_of(certificate));
	json_object_set_new(record, "warning", warning_of(certificate));
	return record;
}

static bool is_label(const char *key, const json_t *value)
{
	size_t len = strlen(key);

	if (len == 0 || len > LABEL_KEY_MAX || strspn(key, LABEL_KEY_CHARS) != len)
		return false;
	return json_is_string(value) && json_string_length(value) <= LABEL_VALUE_MAX &&
	       (json_string_length(value) == 0 || name_check(json_string_value(value), NULL) == 0);
}

int certificate_labels(
	struct arena *arena, const json_t *labels, const char **ret_text, struct err *err)
{
	auto_free char *text = NULL;
	const char *key;
	json_t *value;

	*ret_text = NULL;
	if (!labels)
		return 0;
	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		if (!is_label(key, value))
			return err_set(err, ERR_INVALID, "label.invalid",
				"a label is a key of letters, digits and ._/- and a printable "
				"text");
	}
	if (json_object_size(labels) > LABELS_MAX)
		return err_set(err, ERR_INVALID, "label.invalid", "at most %d labels", LABELS_MAX);
	text = json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
	*ret_text = arena_strdup(arena, text);
	return 0;
}

int certificate_may_change(
	const struct web_req *req, const struct certificate *certificate, struct err *err)
{
	const struct principal *who = req->principal;

	if (strcmp(certificate->member, who->subject) == 0 || roles_have(who->roles, "owner") ||
		roles_have(who->roles, "admin"))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
		"certificates of other members are for owner and admin");
}

/* --- reading --- */

void certificate_answer(
	struct web_req *req, struct web_res *res, const struct certificate *certificate, int status)
{
	res->status = status;
	res->json = certificate_json(certificate);
	resource_etag(req, res, certificate->revision);
}

/* Every ?label=key=value must hold. */
static int read_labels(struct web_req *req, const char **ret_labels, struct err *err)
{
	auto_json json_t *labels = json_object();
	const char *pair;

	*ret_labels = NULL;
	for (size_t n = 0; (pair = web_query_at(req, "label", n)); n++) {
		const char *equals = strchr(pair, '=');

		if (!equals)
			return err_set(err, ERR_INVALID, "label.invalid",
				"label is asked for by key=value");
		json_object_set_new(labels,
			arena_strndup(req->arena, pair, (size_t)(equals - pair)),
			json_string(equals + 1));
	}
	return json_object_size(labels) > 0
		       ? certificate_labels(req->arena, labels, ret_labels, err)
		       : 0;
}

static int read_filter(struct web_req *req, struct certificate_filter *ret_filter, struct err *err)
{
	static const char *const states[] = { "active", "retiring", "retired", "expired",
		"revoked" };
	const char *state = web_query(req, "state"), *before = web_query(req, "expires_before");
	long long at;
	bool known = !state;

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		known = known || strcmp(state, states[i]) == 0;
	if (!known || (before && !clock_read_rfc3339(before, &at)))
		return err_set(err, ERR_INVALID, "certificate.bad_filter",
			"state is one of a record's states, expires_before a time such as "
			"2030-01-31T12:00:00Z");
	*ret_filter = (struct certificate_filter) { .state = state, .expires_before = before };
	return read_labels(req, &ret_filter->labels, err);
}

int certificate_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct certificate_filter filter;
	struct page page;

	if (resource_page(req, &page, err) < 0 || read_filter(req, &filter, err) < 0)
		return -1;
	return store_certificate_list(
		req->worker->db, req->principal->tenant, &filter, &page, &res->json, err);
}

static int find(struct web_req *req, struct certificate *ret_certificate, struct err *err)
{
	return store_certificate(req->worker->db, req->principal->tenant,
		web_param(req, "certificate_id"), req->arena, ret_certificate, err);
}

int certificate_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *accept = web_header(req, "Accept");
	struct certificate certificate;

	if (find(req, &certificate, err) < 0)
		return -1;
	if (!accept || strcmp(accept, "application/x-pem-file") != 0) {
		certificate_answer(req, res, &certificate, 200);
		return 0;
	}
	res->text = certificate.pem;
	res->text_len = strlen(certificate.pem);
	res->content_type = "application/x-pem-file";
	resource_etag(req, res, certificate.revision);
	return 0;
}

/* --- changing --- */

/* The record as it stands behind a change, in the mirror too. */
static int changed(struct web_req *req, struct web_res *res, struct err *err)
{
	struct certificate certificate;

	if (find(req, &certificate, err) < 0)
		return -1;
	mirror_add(certreg_of(req->worker), &certificate);
	certificate_answer(req, res, &certificate, 200);
	return 0;
}

struct description {
	const char *name;
	json_t *labels;
};

static const struct json_field description_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct description, name), true, MAX_NAME },
	{ "labels", JSON_FIELD_OBJECT, offsetof(struct description, labels), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int certificate_describe(struct web_req *req, struct web_res *res, struct err *err)
{
	struct certificate certificate;
	struct description input;
	const char *labels;

	if (json_decode(req->arena, req->json, description_fields, &input, err) < 0 ||
		name_check(input.name, err) < 0 ||
		certificate_labels(req->arena, input.labels, &labels, err) < 0)
		return -1;
	if (find(req, &certificate, err) < 0 ||
		certificate_may_change(req, &certificate, err) < 0 ||
		resource_if_match(req, certificate.revision, err) < 0 ||
		store_certificate_describe(req->worker->db, &certificate, input.name, labels, err) <
			0)
		return -1;
	return changed(req, res, err);
}

struct revocation_input {
	const char *reason, *comment;
};

static const struct json_field revocation_fields[] = {
	{ "reason", JSON_FIELD_TEXT, offsetof(struct revocation_input, reason), false, 64 },
	{ "comment", JSON_FIELD_TEXT, offsetof(struct revocation_input, comment), false,
		MAX_COMMENT },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* RFC 5280 5.3.1, but for holds: a revocation is final. */
static int check_reason(const char *reason, struct err *err)
{
	static const char *const reasons[] = { "unspecified", "keyCompromise", "cACompromise",
		"affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn",
		"aACompromise" };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (strcmp(reason, reasons[i]) == 0)
			return 0;
	}
	return err_set(err, ERR_INVALID, "certificate.bad_reason",
		"reason is a name of RFC 5280, such as keyCompromise, superseded or unspecified");
}

/* In an emergency nobody looks an etag up first: it is compared only when it is sent. Revoking what
 * is revoked changes nothing. */
int certificate_revoke(struct web_req *req, struct web_res *res, struct err *err)
{
	struct revocation_input input = { .reason = "unspecified" };
	struct certificate certificate;

	if (json_decode(req->arena, req->json, revocation_fields, &input, err) < 0 ||
		check_reason(input.reason, err) < 0)
		return -1;
	if (find(req, &certificate, err) < 0 || certificate_may_change(req, &certificate, err) < 0)
		return -1;
	if (web_header(req, "If-Match") && resource_if_match(req, certificate.revision, err) < 0)
		return -1;
	if (strcmp(certificate.state, "revoked") != 0 &&
		store_certificate_revoke(
			req->worker->db, &certificate, input.reason, input.comment, err) < 0)
		return -1;
	store_revocation_ring(req->worker);
	return changed(req, res, err);
}
