/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receipt is verified first; the plaintext goes to a file without a name, and only behind the
 * last verified segment is it unpacked, beside its destination, and renamed.
 */
#include "client/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/audit_log.h"
#include "client/files.h"
#include "client/keystore.h"
#include "client/output_folder.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"
#include "proto/trust.h"

/* --- the receipt --- */

/* What it says beyond what trust_receipt_check() compares: the machine that we believed, and that
 * run. */
static int check_machine(const struct output *output, const json_t *predicate, struct err *err)
{
	const char *const same[][2] = { { "sandbox", output->sandbox },
		{ "evidence", output->evidence }, { "run", output->run } };

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		if (same[i][1] && !json_text_is(predicate, same[i][0], same[i][1]))
			return err_set(err, ERR_FORBIDDEN, "receipt.wrong_machine",
				"the receipt's %s is not the one that was ordered", same[i][0]);
	}
	return 0;
}

int output_check(
	struct api *api, const struct output *output, const json_t *receipt, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	struct trust_receipt_expect expect = { .policy_hash = output->policy_hash,
		.run_nonce = output->run_nonce,
		.output_digest = digest };
	auto_json json_t *statement = NULL;
	const json_t *predicate;

	if (digest_file(output->path, digest, &expect.output_size, err) < 0 ||
		trust_receipt_check(output->machine, receipt, &expect, &statement, err) < 0)
		return -1;
	predicate = json_object_get(statement, "predicate");
	if (check_machine(output, predicate, err) < 0)
		return -1;
	/* the agent saw the same log as we do */
	return audit_log_check(api, json_object_get(predicate, "log_head"), err);
}

/* --- the plaintext --- */

static int to_fd(void *arg, const void *data, size_t len, struct err *err)
{
	return files_write_all(*(int *)arg, data, len, err);
}

static int pump(struct stream_aead *aead, const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char chunk[65536];
	ssize_t got;

	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	while ((got = read(fd, chunk, sizeof(chunk))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, "read '%s'", path);
		if (stream_aead_add(aead, chunk, (size_t)got, err) < 0)
			return -1;
	}
	return stream_aead_finish(aead, err);
}

static int decrypt_to(int fd, const struct output *output, const json_t *secret, struct err *err)
{
	auto_free char *aad = NULL;
	struct stream_aead *aead;
	unsigned char key[32];
	size_t len = 0;
	int result;

	if (keystore_symmetric(secret, key, err) < 0 ||
		trust_output_aad(
			output->policy_hash, output->run_nonce, output->name, &aad, &len, err) < 0)
		return -1;
	aead = stream_aead_decrypter(key, aad, len, to_fd, &fd);
	explicit_bzero(key, sizeof(key));
	result = pump(aead, output->path, err);
	stream_aead_free(aead);
	return result;
}

int output_open(
	const struct output *output, const json_t *secret, const char *dest, struct err *err)
{
	auto_fd int fd = files_unnamed(".", err);

	if (fd < 0 || decrypt_to(fd, output, secret, err) < 0)
		return -1;
	return output_folder_replace(fd, dest, err);
}
