/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's TPM module against a real swtpm: what it says is what the verifier's library reads,
 * and a credential for another TPM or key opens nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/tpmdev.h"
#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/evidence.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define MAX_RESPONSE 4096u
#define MANY 8

static char dir[] = "/tmp/test_tpmdev.XXXXXX";
static pid_t swtpm;

/* --- a way to swtpm: commands over a socket pair --- */

struct pipe_tcti {
	TSS2_TCTI_CONTEXT_COMMON_V1 common;
	int fd;
};

static int fd_of(TSS2_TCTI_CONTEXT *tcti)
{
	return ((struct pipe_tcti *)tcti)->fd;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
	return send(fd_of(tcti), command, size, MSG_NOSIGNAL) == (ssize_t)size
		       ? TSS2_RC_SUCCESS
		       : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout_ms)
{
	ssize_t got;

	(void)timeout_ms;
	if (!response) {
		*size = MAX_RESPONSE;
		return TSS2_RC_SUCCESS;
	}
	got = read(fd_of(tcti), response, *size); /* swtpm writes a response at once */
	if (got <= 0)
		return TSS2_TCTI_RC_IO_ERROR;
	*size = (size_t)got;
	return TSS2_RC_SUCCESS;
}

static void finalize(TSS2_TCTI_CONTEXT *tcti)
{
	close(fd_of(tcti));
}

static TSS2_RC not_supported(TSS2_TCTI_CONTEXT *tcti)
{
	(void)tcti;
	return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_TCTI_CONTEXT *tcti_new(int fd)
{
	struct pipe_tcti *tcti = mem_alloc(sizeof(*tcti));

	tcti->common.magic = 0x7069706574637469;
	tcti->common.version = 1;
	tcti->common.transmit = transmit;
	tcti->common.receive = receive;
	tcti->common.finalize = finalize;
	tcti->common.cancel = not_supported;
	tcti->fd = fd;
	return (TSS2_TCTI_CONTEXT *)tcti;
}

static void start(const char *state)
{
	auto_free char *folder = mem_printf("dir=%s/%s", dir, state);
	extern char **environ;
	const char *const argv[] = { "swtpm", "socket", "--tpm2", "--tpmstate", folder, "--fd", "5",
		"--flags", "not-need-init,startup-clear", NULL };
	posix_spawn_file_actions_t files;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, 6, 5);
	CHECK(posix_spawnp(
		      &swtpm, argv[0], &files, NULL, (char *const *)(uintptr_t)argv, environ) == 0);
	posix_spawn_file_actions_destroy(&files);
}

static struct tpmdev *boot(const char *state)
{
	struct tpmdev *tpm = NULL;
	struct err err = { 0 };
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(dup3(pair[1], 6, O_CLOEXEC) == 6);
	start(state);
	close(6);
	close(pair[1]);
	CHECK(tpmdev_new(tcti_new(pair[0]), &tpm, &err) == 0);
	return tpm;
}

static void shut_down(struct tpmdev *tpm)
{
	tpmdev_free(tpm);
	while (waitpid(swtpm, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static void manufacture(const char *state)
{
	auto_free char *command = mem_printf(
		"cd %s && mkdir %s && printf 'statedir=%s\\nsigningkey=%s/key\\nissuercert=%s/ca\\n"
		"certserial=%s/serial\\n' > localca && : > options && printf 'create_certs_tool="
		"/usr/bin/swtpm_localca\\ncreate_certs_tool_config=%s/localca\\n"
		"create_certs_tool_options=%s/options\\nactive_pcr_banks=sha256\\n' > setup && "
		"swtpm_setup $([ $(id -u) != 0 ] || echo --runas root) --tpm2 --tpmstate %s "
		"--config setup --create-ek-cert --lock-nvram --overwrite --vmid sbx_test "
		"> log 2>&1",
		dir, state, dir, dir, dir, dir, dir, dir, state);

	CHECK(system(command) == 0); /* NOLINT: names of our own */
}

/* --- tests --- */

static size_t bytes_of(const json_t *object, const char *name, unsigned char **ret_data)
{
	const char *text = json_text(object, name);
	struct err err = { 0 };
	size_t len = 0;

	CHECK(text && codec_b64url_decode(text, strlen(text), ret_data, &len, &err) == 0);
	return len;
}

static json_t *credential_for(const json_t *certificate_of, const json_t *ak_of, const void *secret)
{
	struct tpm_credential made;
	struct err err = { 0 };
	json_t *json;

	CHECK(evidence_credential(json_text(certificate_of, "ek_certificate"),
		      json_text(ak_of, "ak"), secret, 32, &made, &err) == 0);
	auto_free char *blob = codec_b64url_text(made.blob, made.blob_len);
	auto_free char *encrypted = codec_b64url_text(made.secret, made.secret_len);

	json = json_pack("{s:s,s:s}", "blob", blob, "secret", encrypted);
	return json;
}

static void test_credentials(struct tpmdev *tpm, const json_t *identity, const json_t *other)
{
	static const unsigned char secret[32] = "thirty-two bytes that are secret";
	auto_free char *expected = codec_b64url_text(secret, sizeof(secret)), *opened = NULL;
	auto_json json_t *good = credential_for(identity, identity, secret);
	auto_json json_t *other_tpm = credential_for(other, identity, secret);
	auto_json json_t *other_key = credential_for(identity, other, secret);
	auto_json json_t *garbage = json_pack("{s:s,s:s}", "blob", "AAAA", "secret", "AAAA");
	auto_json json_t *partial = json_pack("{s:s}", "blob", "AAAA");
	json_t *const bad[] = { other_tpm, other_key, garbage, partial };
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(tpmdev_activate(tpm, bad[i], &opened, &err), &err, "tpm.credential");
	CHECK(!opened);
	for (int i = 0; i < MANY; i++) { /* a TPM holds three sessions at a time */
		free(take_ptr(opened));
		CHECK(tpmdev_activate(tpm, good, &opened, &err) == 0);
		CHECK_TEXT(opened ? opened : "", expected);
	}
}

/* PCR 0 to 9 of a TPM that no firmware has used are zero. */
static void expected_pcrs(const unsigned char *claim, unsigned char ret_digest[DIGEST_SIZE])
{
	unsigned char pcrs[11][DIGEST_SIZE] = { 0 };

	if (claim)
		tpm_extend(pcrs[10], claim);
	digest_sha256(pcrs, sizeof(pcrs), ret_digest);
}

static void check_quote(struct tpmdev *tpm, const json_t *identity, const unsigned char *claim)
{
	static const unsigned char binding[DIGEST_SIZE] = "what is bound to machine and no";
	auto_free unsigned char *ak = NULL, *quote = NULL, *signature = NULL;
	auto_json json_t *report = json_object();
	unsigned char pcrs[DIGEST_SIZE];
	auto_key EVP_PKEY *key = NULL;
	struct tpm_public public = { 0 };
	struct tpm_quote said = { 0 };
	struct err err = { 0 };
	size_t ak_len = bytes_of(identity, "ak", &ak), len, signature_len;

	CHECK(tpmdev_quote(tpm, binding, report, &err) == 0);
	len = bytes_of(report, "quote", &quote);
	signature_len = bytes_of(report, "signature", &signature);
	CHECK(tpm_public_parse(ak, ak_len, &public, &err) == 0 &&
		public.attributes == TPM_AK_ATTRIBUTES);
	CHECK(tpm_public_key(&public, &key, &err) == 0);
	CHECK(tpm_signature_verify(key, quote, len, signature, signature_len, &err) == 0);
	CHECK(tpm_quote_parse(quote, len, &said, &err) == 0);
	CHECK(said.pcr_select == EVIDENCE_PCR_SELECT && said.extra_data_len == DIGEST_SIZE);
	CHECK(memcmp(said.extra_data, binding, DIGEST_SIZE) == 0);
	expected_pcrs(claim, pcrs);
	CHECK(memcmp(said.pcr_digest, pcrs, DIGEST_SIZE) == 0);
}

static void test_boots(void)
{
	static const unsigned char claim[DIGEST_SIZE] = "the digest of whose it now is";
	auto_json json_t *identity = NULL, *again = NULL, *other = NULL;
	struct tpmdev *tpm = boot("other");
	struct err err = { 0 };

	CHECK(tpmdev_identity(tpm, &other, &err) == 0);
	shut_down(tpm);
	tpm = boot("one");
	CHECK(tpmdev_identity(tpm, &identity, &err) == 0);
	test_credentials(tpm, identity, other);
	check_quote(tpm, identity, NULL);
	CHECK(tpmdev_extend(tpm, claim, &err) == 0);
	check_quote(tpm, identity, claim);
	shut_down(tpm);
	tpm = boot("one");
	CHECK(tpmdev_identity(tpm, &again, &err) == 0 && json_equal(identity, again));
	check_quote(tpm, again, NULL);
	shut_down(tpm);
	CHECK(!json_equal(identity, other));
}

/* A TPM that goes away is an error, not a hang and not a crash. */
static void test_dead(void)
{
	struct tpmdev *tpm = boot("one");
	auto_json json_t *report = json_object();
	unsigned char binding[DIGEST_SIZE] = { 0 };
	struct err err = { 0 };

	kill(swtpm, SIGKILL);
	CHECK_FAILS(tpmdev_quote(tpm, binding, report, &err), &err, "tpm.failed");
	CHECK_FAILS(tpmdev_extend(tpm, binding, &err), &err, "tpm.failed");
	shut_down(tpm);
}

int main(void)
{
	auto_free char *clean = NULL;

	setenv("TSS2_LOG", "all+none", 0); /* what is refused here is no news */
	CHECK(mkdtemp(dir) != NULL);
	manufacture("one");
	manufacture("other");
	test_boots();
	test_dead();
	clean = mem_printf("rm -rf %s", dir);
	CHECK(system(clean) == 0); /* NOLINT */
	CHECK_DONE();
}
