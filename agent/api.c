/* SPDX-License-Identifier: Apache-2.0 */
/* Assertion -> token -> proof. Tokens are renewed before they end, and after any 401. */
#include "agent/api.h"

#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

#define TOKEN_PATH "/v1/token"
#define ASSERTION_TYPE "strongroom-agent-assertion+jwt"
#define ASSERTION_SECONDS 60
#define RENEW_BEFORE_MS 60000

const char *const api_form_headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };

void api_init(
	struct api *api, struct edge *edge, const struct machine *machine, const char *audience)
{
	*api = (struct api) { .edge = edge, .machine = machine, .audience = audience };
}

static void wipe_text(char *text)
{
	if (text)
		mem_wipe_free(text, strlen(text));
}

void api_forget_token(struct api *api)
{
	wipe_text(take_ptr(api->token));
}

void api_release(struct api *api)
{
	api_forget_token(api);
}

/* --- token --- */

static int make_assertion(const struct api *api, char **ret_assertion, struct err *err)
{
	const struct machine *machine = api->machine;
	auto_free char *audience = edge_url(api->edge, TOKEN_PATH);
	auto_json json_t *claims = NULL;
	long long now = clock_unix_ms() / 1000;
	char jti[ID_SIZE];

	id_new("req", jti);
	claims = json_pack("{s:s,s:s,s:s,s:I,s:I,s:s}", "iss", machine->sandbox, "sub",
		machine->sandbox, "aud", audience, "iat", (json_int_t)now, "exp",
		(json_int_t)(now + ASSERTION_SECONDS), "jti", jti);
	return jose_token_sign(machine->signing, ASSERTION_TYPE, machine->sig_thumbprint, claims,
		ret_assertion, err);
}

int api_assertion_form(const struct api *api, const char *members, char **ret_form, struct err *err)
{
	static const char grant[] = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
	char *assertion;

	if (make_assertion(api, &assertion, err) < 0)
		return -1;
	*ret_form = mem_printf("grant_type=%s&%s&assertion=%s", grant, members, assertion);
	wipe_text(assertion);
	return 0;
}

static int take_token(struct api *api, const json_t *answer, struct err *err)
{
	const char *token = json_text(answer, "access_token"),
		   *type = json_text(answer, "token_type");
	long long life_ms = json_integer_value(json_object_get(answer, "expires_in")) * 1000;

	if (!token || !type || strcmp(type, "DPoP") != 0)
		return err_set(err, ERR_UPSTREAM, "upstream.protocol", "no DPoP token came back");
	api->token = mem_strdup(token);
	api->token_end_ms =
		clock_monotonic_ms() +
		(life_ms > 2 * RENEW_BEFORE_MS ? life_ms - RENEW_BEFORE_MS : life_ms / 2);
	return 0;
}

static int request_token(struct api *api, const char *form, struct err *err)
{
	auto_free char *url = edge_url(api->edge, TOKEN_PATH);
	struct fetch_request req = { .method = "POST",
		.url = url,
		.headers = api_form_headers,
		.body = form,
		.body_len = strlen(form) };
	json_t *answer = NULL;
	int rc = -1;

	if (fetch_json(edge_fetch(api->edge), &req, NULL, &answer, NULL, err) == 0)
		rc = take_token(api, answer, err);
	machine_wipe_json(answer);
	return rc;
}

static int need_token(struct api *api, struct err *err)
{
	auto_free char *members = mem_printf("audience=%s", api->audience);
	char *form;
	int rc;

	if (api->token && clock_monotonic_ms() < api->token_end_ms)
		return 0;
	api_forget_token(api);
	if (api_assertion_form(api, members, &form, err) < 0)
		return -1;
	rc = request_token(api, form, err);
	wipe_text(form);
	return rc;
}

/* --- proof --- */

static int make_proof(const struct api *api, const char *method, const char *url, char **ret_header,
	struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	auto_free char *hash = NULL, *proof = NULL;
	auto_json json_t *claims = NULL;
	char jti[ID_SIZE];

	id_new("req", jti);
	digest_sha256(api->token, strlen(api->token), digest);
	hash = codec_b64url_text(digest, sizeof(digest));
	claims = json_pack("{s:s,s:s%,s:I,s:s,s:s}", "htm", method, "htu", url, strcspn(url, "?#"),
		"iat", (json_int_t)(clock_unix_ms() / 1000), "jti", jti, "ath", hash);
	if (jose_proof_sign(api->machine->signing, claims, &proof, err) < 0)
		return -1;
	*ret_header = mem_printf("DPoP: %s", proof);
	return 0;
}

int api_sign(struct api *api, const struct fetch_request *req, struct api_signed *ret_signed,
	struct err *err)
{
	size_t n = 0;

	if (need_token(api, err) < 0)
		return -1;
	ret_signed->url = edge_url(api->edge, req->url);
	if (make_proof(api, req->method, ret_signed->url, &ret_signed->proof, err) < 0)
		return -1;
	ret_signed->authorization = mem_printf("Authorization: DPoP %s", api->token);
	ret_signed->headers[n++] = ret_signed->authorization;
	ret_signed->headers[n++] = ret_signed->proof;
	for (size_t i = 0; req->headers && req->headers[i] && i < API_MAX_EXTRA; i++)
		ret_signed->headers[n++] = req->headers[i];
	ret_signed->req = *req;
	ret_signed->req.url = ret_signed->url;
	ret_signed->req.headers = ret_signed->headers;
	return 0;
}

void api_signed_release(struct api_signed *request)
{
	free(request->url);
	wipe_text(request->authorization);
	wipe_text(request->proof);
}

/* --- requests --- */

int api_try(struct api *api, const struct fetch_request *req, const json_t *body, json_t **ret_json,
	long *ret_status, struct err *err)
{
	struct api_signed request = { 0 };
	struct err failure = { 0 };
	int rc = api_sign(api, req, &request, &failure);

	if (rc == 0)
		rc = fetch_json(
			edge_fetch(api->edge), &request.req, body, ret_json, ret_status, &failure);
	api_signed_release(&request);
	if (rc == 0)
		return 0;
	if (failure.kind == ERR_UNAUTHENTICATED)
		api_forget_token(api);
	*err = failure;
	return -1;
}

int api_call(struct api *api, const struct fetch_request *req, const json_t *body,
	json_t **ret_json, struct err *err)
{
	struct edge_patience patience = edge_patience_new();
	struct err failure = { 0 };

	while (api_try(api, req, body, ret_json, NULL, &failure) < 0) {
		if (!edge_wait(&patience, &failure)) {
			*err = failure;
			return -1;
		}
	}
	return 0;
}

static int try_head(
	struct api *api, const char *path, struct fetch_response *ret_res, struct err *err)
{
	const struct fetch_request req = { .method = "HEAD", .url = path };
	struct api_signed request = { 0 };
	auto_response res = { 0 };
	int rc = api_sign(api, &req, &request, err);

	if (rc == 0)
		rc = fetch_do(edge_fetch(api->edge), &request.req, &res, err);
	api_signed_release(&request);
	if (rc < 0)
		return -1;
	if (res.status == 401)
		api_forget_token(api);
	if (res.status != 200)
		return err_set(err, res.status == 404 ? ERR_NOT_FOUND : ERR_UPSTREAM,
			"upstream.status", "the server answered %ld", res.status);
	*ret_res = res;
	res = (struct fetch_response) { 0 };
	return 0;
}

int api_head(struct api *api, const char *path, struct fetch_response *ret_res, struct err *err)
{
	struct edge_patience patience = edge_patience_new();
	struct err failure = { 0 };

	while (try_head(api, path, ret_res, &failure) < 0) {
		if (!edge_wait(&patience, &failure)) {
			*err = failure;
			return -1;
		}
	}
	return 0;
}
