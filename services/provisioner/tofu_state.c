/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, the seal around a state, and the five verbs of the http backend. */
#include "services/provisioner/tofu_state.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/gcm.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/store.h"
#include "services/provisioner/store_tofu.h"

#define KEY_MIN_BYTES 32u
#define KEY_MAX_BYTES 4096u
#define MAX_CREDENTIALS 256u
#define MAX_RUN 1000000000ll

/* --- keys: one file, a key of its own for each purpose --- */

static int derive(const struct provisioner_conf *conf, const char *purpose,
	unsigned char ret_key[DIGEST_SIZE], struct err *err)
{
	struct buf file = BUF_INIT(KEY_MAX_BYTES);
	int r = buf_read_file(&file, conf->tofu_state_key, err);

	if (r == 0 && file.len < KEY_MIN_BYTES)
		r = err_set(err, ERR_INTERNAL, "tofu.bad_key",
			"the file of tofu_state_key needs at least %u bytes", KEY_MIN_BYTES);
	if (r == 0)
		digest_hmac_sha256(file.data, file.len, purpose, strlen(purpose), ret_key);
	buf_wipe(&file);
	return r;
}

int tofu_state_password(const struct provisioner_conf *conf, const char *sandbox_id, long long run,
	char ret_password[TOFU_PASSWORD_SIZE], struct err *err)
{
	auto_free char *who = mem_printf("%s %lld", sandbox_id, run);
	unsigned char key[DIGEST_SIZE], mac[DIGEST_SIZE];

	if (derive(conf, "strongroom-tofu-password-1", key, err) < 0)
		return -1;
	digest_hmac_sha256(key, sizeof(key), who, strlen(who), mac);
	codec_hex(mac, sizeof(mac), ret_password);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(mac, sizeof(mac));
	return 0;
}

/* --- who asks --- */

/* "Basic base64(run:password)": the caller wipes and frees. */
static char *credentials(const struct web_req *req, size_t *ret_len)
{
	const char *header = web_header(req, "Authorization");
	unsigned char *plain = NULL;
	char *text;

	if (!header || strncasecmp(header, "Basic ", 6) != 0 || strlen(header) > MAX_CREDENTIALS ||
		codec_b64_decode(header + 6, strlen(header + 6), &plain, ret_len, NULL) < 0)
		return NULL;
	text = mem_strndup((const char *)plain, *ret_len);
	mem_wipe_free(plain, *ret_len);
	return text;
}

/* The run whose password this is; 0 when it is none's. */
static int run_of(const struct web_req *req, const char *text, long long *ret_run, struct err *err)
{
	char expected[TOFU_PASSWORD_SIZE], *password;
	long long run = strtoll(text, &password, 10);
	int r;

	*ret_run = 0;
	if (run < 1 || run > MAX_RUN || *password != ':')
		return 0;
	r = tofu_state_password(
		req->worker->program, web_param(req, "sandbox_id"), run, expected, err);
	if (r == 0 && strlen(password + 1) == sizeof(expected) - 1 &&
		digest_equal(password + 1, expected, sizeof(expected) - 1))
		*ret_run = run;
	explicit_bzero(expected, sizeof(expected));
	return r;
}

static int authenticate(struct web_req *req, struct tofu_caller *ret_caller, struct err *err)
{
	const char *id = web_param(req, "sandbox_id"), *tenant = NULL;
	long long run = 0;
	size_t len = 0;
	char *text = credentials(req, &len);
	int r = text && id_is(id, "sbx") ? run_of(req, text, &run, err) : 0;

	mem_wipe_free(text, len);
	if (r < 0)
		return -1;
	if (run && store_sweep_tenant(req->worker->db, req->arena, id, &tenant, err) < 0)
		return -1;
	if (!tenant)
		return err_set(err, ERR_UNAUTHENTICATED, "tofu.denied",
			"this is no password of a run of this sandbox");
	*ret_caller = (struct tofu_caller) { tenant, id, run };
	return 0;
}

int tofu_state_admit(struct web_req *req, struct web_res *res, struct err *err)
{
	struct tofu_caller caller;

	(void)res;
	return authenticate(req, &caller, err);
}

/* --- the seal: base64(nonce, ciphertext, tag) --- */

static char *aad_of(const char *sandbox_id, long long serial)
{
	return mem_printf("strongroom-tofu-state-1 %s %lld", sandbox_id, serial);
}

static int seal(const struct web_req *req, const char *sandbox_id, long long serial,
	char **ret_text, struct err *err)
{
	auto_free char *aad = aad_of(sandbox_id, serial);
	auto_free unsigned char *sealed = mem_alloc(GCM_NONCE + req->body_len + GCM_TAG);
	unsigned char key[DIGEST_SIZE];
	const struct gcm gcm = { key, sizeof(key), sealed, aad, strlen(aad) };
	bool done;

	if (derive(req->worker->program, "strongroom-tofu-state-1", key, err) < 0)
		return -1;
	rand_bytes(sealed, GCM_NONCE);
	done = gcm_seal(&gcm, req->body, req->body_len, sealed + GCM_NONCE);
	explicit_bzero(key, sizeof(key));
	if (!done)
		return err_set(err, ERR_INTERNAL, "tofu.seal", "the state could not be encrypted");
	*ret_text = codec_b64_text(sealed, GCM_NONCE + req->body_len + GCM_TAG);
	return 0;
}

static void wipe_state(void *object)
{
	struct buf *plain = object;

	buf_wipe(plain);
}

/* The plain state lives as long as the request, and is wiped then. */
static int open_into(
	struct web_req *req, const char *aad, const char *text, struct buf *plain, struct err *err)
{
	auto_free unsigned char *sealed = NULL;
	unsigned char key[DIGEST_SIZE];
	size_t len;
	bool done;

	if (codec_b64_decode(text, strlen(text), &sealed, &len, err) < 0 ||
		derive(req->worker->program, "strongroom-tofu-state-1", key, err) < 0)
		return -1;
	done = len >= GCM_NONCE + GCM_TAG;
	if (done) {
		const struct gcm gcm = { key, sizeof(key), sealed, aad, strlen(aad) };

		plain->len = len - GCM_NONCE - GCM_TAG;
		plain->data = mem_alloc(plain->len + 1);
		done = gcm_open(&gcm, sealed + GCM_NONCE, plain->len, plain->data);
	}
	explicit_bzero(key, sizeof(key));
	return done ? 0
		    : err_set(err, ERR_INTERNAL, "tofu.seal",
			      "the stored state is not what this key encrypted for this sandbox");
}

/* --- verbs --- */

int tofu_state_get(struct web_req *req, struct web_res *res, struct err *err)
{
	struct buf *plain = arena_alloc(req->arena, sizeof(*plain));
	struct tofu_caller caller;
	auto_free char *aad = NULL;
	const char *state = NULL;
	long long serial = 0;

	if (authenticate(req, &caller, err) < 0 ||
		store_tofu_get(req->worker->db, req->arena, &caller, &serial, &state, err) < 0)
		return -1;
	if (!state) {
		res->status = 204;
		return 0;
	}
	arena_defer(req->arena, wipe_state, plain);
	aad = aad_of(caller.sandbox_id, serial);
	if (open_into(req, aad, state, plain, err) < 0)
		return -1;
	res->content_type = "application/json";
	res->text = (const char *)plain->data;
	res->text_len = plain->len;
	return 0;
}

/* Anything that has a number of its own; what else is in it is tofu's. */
static int serial_of(const struct web_req *req, long long *ret_serial, struct err *err)
{
	auto_json json_t *state = json_loadb((const char *)req->body, req->body_len, 0, NULL);
	const json_t *serial = json_object_get(state, "serial");

	if (!json_is_integer(serial) || json_integer_value(serial) < 0 ||
		!json_is_integer(json_object_get(state, "version")))
		return err_set(err, ERR_INVALID, "tofu.bad_state",
			"this is no state: it has no version and serial");
	*ret_serial = json_integer_value(serial);
	return 0;
}

int tofu_state_put(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *lock = web_query(req, "ID");
	auto_free char *sealed = NULL;
	struct tofu_caller caller;
	long long serial = 0;

	(void)res;
	if (authenticate(req, &caller, err) < 0 || serial_of(req, &serial, err) < 0 ||
		seal(req, caller.sandbox_id, serial, &sealed, err) < 0)
		return -1;
	return store_tofu_put(req->worker->db, &caller, lock ? lock : "", serial, sealed, err);
}

int tofu_state_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	struct tofu_caller caller;

	(void)res;
	if (authenticate(req, &caller, err) < 0)
		return -1;
	return store_tofu_delete(req->worker->db, &caller, err);
}

static int lock_id_of(const struct web_req *req, const char **ret_id, struct err *err)
{
	*ret_id = json_text(req->json, "ID");
	if (*ret_id && **ret_id && strlen(*ret_id) <= 64)
		return 0;
	return err_set(err, ERR_INVALID, "tofu.bad_lock", "this is no lock: it has no ID");
}

int tofu_state_lock(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id, *holder, *info = (const char *)req->body;
	struct tofu_caller caller;

	if (authenticate(req, &caller, err) < 0 || lock_id_of(req, &id, err) < 0 ||
		store_tofu_lock(req->worker->db, req->arena, &caller, id, info, &holder, err) < 0)
		return -1;
	if (!holder)
		return 0;
	res->status = 423;
	res->content_type = "application/json";
	res->text = holder;
	res->text_len = strlen(holder);
	return 0;
}

int tofu_state_unlock(struct web_req *req, struct web_res *res, struct err *err)
{
	struct tofu_caller caller;
	const char *id;

	(void)res;
	if (authenticate(req, &caller, err) < 0 || lock_id_of(req, &id, err) < 0)
		return -1;
	return store_tofu_unlock(req->worker->db, &caller, id, err);
}
