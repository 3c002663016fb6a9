/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphertext is decrypted as it arrives, into a nameless file that gets its name at the end. */
#include "agent/inputs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/download.h"
#include "agent/egress.h"
#include "agent/managed.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"

static int get_object(void *arg, const struct fetch_request *req, long *ret_status, struct err *err)
{
	return api_try(arg, req, NULL, NULL, ret_status, err);
}

static int decrypt(void *arg, const void *data, size_t len, struct err *err)
{
	return stream_aead_add(arg, data, len, err);
}

static int write_plain(void *arg, const void *data, size_t len, struct err *err)
{
	return job_write(*(const int *)arg, data, len, err);
}

static struct stream_aead *decrypter(
	const unsigned char *key, const json_t *input, int *fd, struct err *err)
{
	struct stream_aead *stream;
	auto_free char *aad = NULL;
	size_t len;

	if (trust_input_aad(json_text(input, "dataset"),
		    json_integer_value(json_object_get(input, "version")), &aad, &len, err) < 0)
		return NULL;
	stream = stream_aead_decrypter(key, aad, len, write_plain, fd);
	return stream;
}

static int fetch_into(
	struct job *job, const json_t *input, const unsigned char *key, int fd, struct err *err)
{
	auto_free char *path = mem_printf("/v1/agent/objects/%s", json_text(input, "object"));
	struct stream_aead *stream = decrypter(key, input, &fd, err);
	const struct download download = { .get = get_object,
		.get_arg = job->api,
		.path = path,
		.digest = json_text(input, "digest"),
		.size = json_integer_value(json_object_get(input, "size")),
		.code = "input.digest",
		.sink = decrypt,
		.sink_arg = stream };
	int rc;

	if (!stream)
		return -1;
	rc = download_run(&download, err) < 0 ? -1 : stream_aead_finish(stream, err);
	stream_aead_free(stream);
	return rc;
}

/* The app's root is another user outside: what it may read must be readable by all. */
static int publish(const struct job *job, const json_t *input, int fd, struct err *err)
{
	const char *slot = json_text(input, "slot") + strlen("input/");
	auto_free char *folder = mem_printf("%s/%s", job->input_dir, slot);
	auto_free char *path = mem_printf("%s/%s", folder, json_text(input, "file"));
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (mkdir(folder, 0755) < 0 || fchmod(fd, 0444) < 0 ||
		linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
		return err_errno(err, "place the input '%s'", slot);
	return 0;
}

/* The way out, where the policy gives one, and what is to be had by it before the app starts. */
static int open_egress(struct job *job, struct err *err)
{
	const json_t *egress = json_object_get(job->policy.doc, "egress");

	if (json_text_is(egress, "mode", "none"))
		return 0;
	if (egress_new(job->verify->machine, &job->work, &job->egress, err) < 0)
		return -1;
	return json_text_is(egress, "mode", "managed")
		       ? managed_new(job, job->egress, &job->managed, err)
		       : 0;
}

int inputs_fetch(struct job *job, struct err *err)
{
	json_t *input;
	size_t i;

	if (open_egress(job, err) < 0)
		return -1;
	json_array_foreach (json_object_get(job->policy.doc, "inputs"), i, input) {
		auto_fd int fd = -1;

		if (json_object_get(input, "location")) /* managed.h's, or the app's own */
			continue;
		if (job_temporary(job, &fd, err) < 0 ||
			fetch_into(job, input, job->secrets.inputs[i], fd, err) < 0 ||
			publish(job, input, fd, err) < 0)
			return -1;
	}
	secrets_wipe_inputs(&job->secrets);
	return 0;
}
