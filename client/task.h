/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One task of a plan while it runs, and the thirteen functions that do the work. A task reads
 * resolved fields, keeps what it needs to go on after a crash in `work` (task_keep), and leaves
 * results in `outputs` and the digests of files it made in `made`. It must do nothing twice: every
 * request that changes something has a stored key.
 */
#ifndef STRONGROOM_CLIENT_TASK_H
#define STRONGROOM_CLIENT_TASK_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "client/api.h"
#include "client/plan.h"
#include "client/project.h"
#include "lib/err.h"

struct task {
	struct project *project;
	const struct plan_task *plan;
	const char *key;
	json_t *fields;	 /* {"docker.image_name": text}: resolved, fallbacks filled in */
	json_t *outputs; /* becomes the register entry */
	json_t *made;	 /* {path: digest} */
};

/* --- fields --- */
const char *task_field(const struct task *task, const char *name); /* NULL when absent */
int task_need(const struct task *task, const char *name, const char **ret_text, struct err *err);
int task_number(const struct task *task, const char *name, long long min, long long max,
	long long *ret_number, struct err *err);
/* Fields below "prefix." as {name: text}; new reference. */
json_t *task_fields_below(const struct task *task, const char *prefix);

/* The field `space`, which may be a name, as an id from now on. */
int task_find_space(struct task *task, struct err *err);

/* --- results of earlier tasks: plan.missing_task when there are none --- */
const json_t *task_after(const struct task *task, const char *key, struct err *err);
const char *task_after_text(
	const struct task *task, const char *key, const char *output, struct err *err);

/* --- work: survives a crash --- */
const char *task_kept(const struct task *task, const char *name); /* NULL when not kept yet */
json_t *task_kept_json(const struct task *task, const char *name);
int task_keep(struct task *task, const char *name, const char *text, struct err *err);
int task_keep_json(
	struct task *task, const char *name, json_t *value, struct err *err); /* takes value over */

/* --- outputs --- */
void task_put(struct task *task, const char *name, const char *text);
void task_put_number(struct task *task, const char *name, long long number);
int task_made(struct task *task, const char *path, struct err *err);
void task_made_present(struct task *task, const char *path); /* only that it is there counts */
const char *task_previous(
	const struct task *task, const char *output); /* of the run before, or NULL */

/* A call that changes something, under the stored idempotency key of `label`; the answer's `id` is
 * kept under the label, and a second time it is not sent at all. ret_id is borrowed from work. */
int task_create(struct task *task, const char *label, const char *audience, const char *path,
	const json_t *body, const char **ret_id, struct err *err)
	__attribute__((warn_unused_result));
int task_call(struct task *task, struct api_call *call, json_t **ret_json, struct err *err)
	__attribute__((warn_unused_result));

/* The owner's certificate key (get-certs), opened; a plan that names another certificate is
 * refused: plan.certificate_mismatch. */
int task_owner_key(const struct task *task, EVP_PKEY **ret_key, struct err *err);
int task_owner_check(const struct task *task, struct err *err);

int task_codebase(struct task *task, struct err *err);
int task_certs(struct task *task, struct err *err);
int task_keypair(struct task *task, struct err *err);
int task_algokey(struct task *task, struct err *err);
int task_sandbox(struct task *task, struct err *err);
int task_image(struct task *task, struct err *err);
int task_data(struct task *task, struct err *err);
int task_bundle(struct task *task, struct err *err);
int task_policy(struct task *task, struct err *err);
int task_upload(struct task *task, struct err *err);
int task_execute(struct task *task, struct err *err);
int task_retrieve(struct task *task, struct err *err);
int task_decrypt(struct task *task, struct err *err);

#endif
