/* SPDX-License-Identifier: Apache-2.0 */
/* outpack -> stream_aead -> upload. */
#include "agent/output.h"

#include "agent/gates.h"
#include "agent/outpack.h"
#include "agent/receipt.h"
#include "agent/upload.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"

static int encrypt(void *arg, const void *data, size_t len, struct err *err)
{
	return stream_aead_add(arg, data, len, err);
}

static int send(void *arg, const void *data, size_t len, struct err *err)
{
	return upload_add(arg, data, len, err);
}

static int pack(const struct job *job, struct stream_aead *stream, struct err *err)
{
	const json_t *limits = json_object_get(job->policy.doc, "limits");
	const struct jail_result *result = &job->result;
	struct outpack_conf conf = {
		.output_dir = job->output_dir,
		.returncode = result->returncode,
		.signal = result->signal,
		.limits_hit = result->limits_hit,
		.stdout_data = result->stdout_text.data,
		.stdout_len = result->stdout_text.len,
		.stderr_data = result->stderr_text.data,
		.stderr_len = result->stderr_text.len,
		.max_bytes = json_integer_value(json_object_get(limits, "output_bytes")),
		.max_files = json_integer_value(json_object_get(limits, "output_files")),
	};

	if (gates_check(json_object_get(job->policy.doc, "gates"), &conf, err) < 0 ||
		outpack_write(&conf, encrypt, stream, NULL, err) < 0)
		return -1;
	return stream_aead_finish(stream, err);
}

static int pack_into(struct job *job, struct upload *upload, struct err *err)
{
	const char *name = json_text(json_object_get(job->policy.doc, "output"), "name");
	struct stream_aead *stream;
	auto_free char *aad = NULL;
	size_t len;
	int rc;

	if (trust_output_aad(job->policy.hash, job->order.run_nonce, name, &aad, &len, err) < 0)
		return -1;
	stream = stream_aead_encrypter(job->secrets.output, aad, len, send, upload);
	rc = pack(job, stream, err);
	stream_aead_free(stream);
	return rc;
}

static int send_output(struct job *job, struct err *err)
{
	struct job_output *output = &job->output;
	struct upload *upload = NULL;
	int rc;

	if (upload_new(job->api, job->work.run, job->work.fence, &upload, err) < 0)
		return -1;
	rc = pack_into(job, upload, err);
	if (rc == 0)
		rc = upload_finish(upload, output->object, output->digest, &output->size, err);
	upload_free(upload);
	secrets_wipe(&job->secrets);
	return rc;
}

int output_deliver(struct job *job, struct err *err)
{
	return send_output(job, err) < 0 ? -1 : receipt_make(job, &job->receipt, err);
}
