/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thirteen tasks: which fields mean something here, which of the original's are ignored (with
 * the reason that is shown) or refused, what each registers, and on whose results it depends.
 */
#include "client/plan.h"
#include "client/task.h"

#define MAPPED(name)                                                                               \
	{                                                                                          \
		name, FIELD_MAPPED, FIELD_VALUE, NULL, NULL, NULL                                  \
	}
#define MAPPED_OR(name, fallback)                                                                  \
	{                                                                                          \
		name, FIELD_MAPPED, FIELD_VALUE, NULL, fallback, NULL                              \
	}
#define MAPPED_ONE(name, allowed, fallback, reason)                                                \
	{                                                                                          \
		name, FIELD_MAPPED, FIELD_VALUE, allowed, fallback, reason                         \
	}
#define MAPPED_PATH(name, fallback)                                                                \
	{                                                                                          \
		name, FIELD_MAPPED, FIELD_PATH, NULL, fallback, NULL                               \
	}
#define IGNORED(name, reason)                                                                      \
	{                                                                                          \
		name, FIELD_IGNORED, FIELD_VALUE, NULL, NULL, reason                               \
	}
#define REFUSED(name, reason)                                                                      \
	{                                                                                          \
		name, FIELD_UNSUPPORTED, FIELD_VALUE, NULL, NULL, reason                           \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, FIELD_MAPPED, FIELD_VALUE, NULL, NULL, NULL                                  \
	}

#define NO_CA "keys are vouched for by your own pins, not by a CA"
#define NO_MACHINE "a policy names no machine; grants to its key are made when the run is ordered"
#define NO_SCONE "layers are encrypted with ocicrypt; there is no SCONE file system"
#define CONTAINERFILE "the Containerfile says it"

/* Who owns the project: compared with get-certs, so that a plan cannot mean another key than the
 * one that signs. */
#define CERTIFICATE_FIELDS                                                                         \
	MAPPED("cert_path"), MAPPED("certificate"), IGNORED("ca_cert_path", NO_CA),                \
		IGNORED("ca_certificate", NO_CA)

static const struct task_field codebase_fields[] = {
	MAPPED_ONE("mode", "git|local", "git", NULL),
	MAPPED("url"),
	MAPPED("ref"),
	MAPPED_OR("code_path", "."),
	MAPPED_OR("dest", "app"),
	IGNORED("main_file", CONTAINERFILE),
	IGNORED("deps_path", CONTAINERFILE),
	IGNORED("deps_file", CONTAINERFILE),
	IGNORED("stack", CONTAINERFILE),
	MAPPED("credentials.username"),
	MAPPED("credentials.password_file"),
	REFUSED("credentials.password",
		"a secret in main.yml is no secret; use credentials.password_file"),
	END,
};

static const struct task_field certs_fields[] = {
	MAPPED_ONE("mode", "self-signed", "self-signed", "from-CA comes later"),
	MAPPED_ONE("action", "create|fetch", "create", NULL),
	MAPPED_OR("path", "certs"),
	MAPPED_OR("name", "client"),
	MAPPED_OR("days", "365"),
	END,
};

static const struct task_field keypair_fields[] = {
	MAPPED_ONE("mode", "create|generate|fetch|self-signed", "create", NULL),
	MAPPED_OR("path", "keys"),
	MAPPED_OR("name", "receiver"),
	END,
};

static const struct task_field algokey_fields[] = {
	MAPPED_OR("path", "keys"),
	END,
};

static const struct task_field sandbox_fields[] = {
	MAPPED("template_id"),
	MAPPED("name"),
	MAPPED("parameters.*"),
	MAPPED("space"),
	MAPPED_ONE("accept_evidence", "tee|software-tpm|none", "tee", NULL),
	MAPPED_OR("wait_seconds", "600"),
	CERTIFICATE_FIELDS,
	END,
};

static const struct task_field image_fields[] = {
	IGNORED("lang", CONTAINERFILE),
	MAPPED_PATH("app_dir", "app"),
	IGNORED("deps_dir", CONTAINERFILE),
	MAPPED_PATH("archive", NULL),
	MAPPED("containerfile"),
	MAPPED("key_algo"),
	IGNORED("sdbx_pubkey", NO_MACHINE),
	CERTIFICATE_FIELDS,
	IGNORED("domain", "images are bound by their digest in the policy"),
	MAPPED("docker.image_name"),
	MAPPED_OR("docker.image_tag", "latest"),
	IGNORED("docker.image_repo", "a repository lies below the name of your tenant"),
	END,
};

static const struct task_field data_fields[] = {
	IGNORED("sdbx_pubkey", NO_MACHINE),
	CERTIFICATE_FIELDS,
	MAPPED("projection_id"),
	MAPPED_PATH("data_identifier", NULL),
	MAPPED("slot"),
	MAPPED("space"),
	END,
};

static const struct task_field bundle_fields[] = {
	MAPPED_OR("name", "output"),
	IGNORED("id", "the bundle's id is made here"),
	END,
};

static const struct task_field policy_fields[] = {
	MAPPED("approvers.*"),
	MAPPED("space"),
	MAPPED("app"),
	MAPPED("app_config"),
	MAPPED("workflow"),
	MAPPED_PATH("offers", NULL),
	MAPPED_ONE("egress.mode", "none|managed|direct", "none", NULL),
	MAPPED("egress.domains.*"),
	MAPPED("egress.roots.*"),
	MAPPED("template_id"),
	MAPPED("algo_image"),
	MAPPED_PATH("pub_client", NULL),
	MAPPED("pipeline_name"),
	MAPPED("output.name"),
	MAPPED("dataset.cid"),
	MAPPED("argv.*"),
	MAPPED("env.*"),
	MAPPED("cwd"),
	MAPPED("limits.*"),
	MAPPED_OR("max_runs", "100"),
	MAPPED_OR("deadline_days", "30"),
	CERTIFICATE_FIELDS,
	IGNORED("mrenclave", "measurements come from the trust file and from dockerize-algo"),
	IGNORED("data_loc", "the policy holds the data set's version and digest"),
	IGNORED("key_algo", "the commitment to the image key is made from dockerize-algo's"),
	IGNORED("algo_fspf_key", NO_SCONE),
	IGNORED("algo_fspf_tag", NO_SCONE),
	IGNORED("out_fspf_key", NO_SCONE),
	IGNORED("sdbx_pubkey", NO_MACHINE),
	IGNORED("domain", "images are bound by their digest in the policy"),
	IGNORED("dataset.name", "the policy names the data set by id, version and digest"),
	IGNORED("dataset.data_sym_ekey", NO_MACHINE),
	IGNORED("docker.*", "the image is named by algo_image"),
	IGNORED("sandbox.*", NO_MACHINE),
	END,
};

static const struct task_field upload_fields[] = {
	MAPPED_PATH("policy_doc", "policy/policy.json"),
	MAPPED("template_id"),
	MAPPED("pipeline_name"),
	END,
};

static const struct task_field execute_fields[] = {
	MAPPED("entity"),
	END,
};

static const struct task_field retrieve_fields[] = {
	MAPPED("experiment_id"),
	MAPPED_OR("dest", "artefacts"),
	IGNORED("policy_doc", "the receipt is checked against the policy that was ordered"),
	IGNORED("pipeline_id", "the run names its pipeline"),
	END,
};

static const struct task_field decrypt_fields[] = {
	MAPPED("from"),
	MAPPED_ONE("keep_original", "true|false|yes|no|True|False", "true", NULL),
	MAPPED_OR("dest", "output"),
	END,
};

const struct task_kind plan_kinds[13] = {
	{ "populate-codebase", "codebase_metadata", codebase_fields, "path commit code_path url",
		{ { 0 } }, false, task_codebase },
	{ "get-certs", "cert_metadata", certs_fields,
		"path name cert_path certificate key certificate_id spki fingerprint", { { 0 } },
		true, task_certs },
	{ "get-client-keypair", "client_keypair_metadata", keypair_fields,
		"path name public_key private_key spki", { { 0 } }, false, task_keypair },
	{ "get-symmetric-algokey", "algokey_metadata", algokey_fields, "path key key_id", { { 0 } },
		false, task_algokey },
	{ "set-sandbox-specs", "sandbox_metadata", sandbox_fields,
		"instance_id instance_name template_id template_name template_version public_key "
		"measurement status evidence_class accept_evidence space",
		{ { "get-certs", "spki" } }, true, task_sandbox },
	{ "dockerize-algo", "algo_metadata", image_fields,
		"algo_image image repository manifest config layout key_algo mrenclave",
		{ { "populate-codebase", "commit" }, { "get-certs", "spki" },
			{ "get-symmetric-algokey", "key" } },
		true, task_image },
	{ "get-data-projection", "data_metadata", data_fields,
		"cid name data_sym_ekey dataset_id version object digest size file slot rows",
		{ { "get-certs", "spki" } }, true, task_data },
	{ "output-encrypt-bundle", "output_metadata", bundle_fields,
		"name id key encrypt_output decrypt_input decrypt_output",
		{ { "set-sandbox-specs", "template_id template_version" },
			{ "dockerize-algo", "manifest config" },
			{ "get-data-projection", "dataset_id version digest" } },
		false, task_bundle },
	{ "prepare-policy", "policy_metadata", policy_fields,
		"policy_doc policy_hash pipeline_name openings",
		{ { "get-certs", "spki" },
			{ "set-sandbox-specs", "template_id template_version accept_evidence" },
			{ "dockerize-algo", NULL }, { "get-data-projection", NULL },
			{ "output-encrypt-bundle", NULL } },
		true, task_policy },
	{ "upload-policy", "submission_metadata", upload_fields,
		"id pipeline_id pipeline_version policy_id policy_hash pipeline_name",
		{ { "prepare-policy", "openings" } }, true, task_upload },
	{ "execute-policy", "execution_metadata", execute_fields,
		"id experiment_id name status run_nonce object digest size execution_started_at",
		{ { "upload-policy", NULL } }, true, task_execute },
	{ "retrieve-output", "output_metadata", retrieve_fields, "path receipt id name",
		{ { "execute-policy", NULL } }, true, task_retrieve },
	{ "decrypt-output", "result_metadata", decrypt_fields, "path returncode",
		{ { "retrieve-output", NULL }, { "execute-policy", NULL } }, false, task_decrypt },
};
