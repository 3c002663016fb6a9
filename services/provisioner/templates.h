/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: versioned YAML documents in Postgres. Those of <templates_dir>/<name>/template.yaml
 * are built in: published at start as they are, and a version that was another file then does not
 * let the service start. Operators make others (template_edit.c): a draft, then published and never
 * changed again, then deprecated. Parameters are a closed table (name, type, min, max, enum,
 * pattern, default); the JSON Schema shown to clients is generated from it. Reference values come
 * from the guest's build (guest.json): to a client they are hints, it compares them with its own
 * trust file.
 */
#ifndef PROVISIONER_TEMPLATES_H
#define PROVISIONER_TEMPLATES_H

#include "lib/service.h"
#include "services/provisioner/store.h"
#include "services/provisioner/store_template.h"

#define TEMPLATE_MAX_LEN (16 * 1024)

enum template_kind { TEMPLATE_INTEGER, TEMPLATE_TEXT };

struct template_parameter {
	char *name, *help, *fallback;
	enum template_kind kind;
	long long min, max;
	char **allowed; /* texts; NULL: any */
	unsigned n_allowed;
	char *pattern; /* of texts: POSIX extended, means the same in a JSON Schema; NULL: any */
};

struct template
{
	char *id, *title, *driver;
	char *class; /* of the evidence that its sandboxes give: none, software-tpm */
	long long version;
	long long weight;	 /* in quotas; 0: 1 */
	char **roles, **tenants; /* who may use it: one of these; NULL: any */
	unsigned n_roles, n_tenants;
	struct template_parameter *parameters;
	unsigned parameters_count;
};

web_handler template_list;
web_handler template_show;
web_handler template_version; /* one version: an operator sees its document and its state, too */

/* In template_edit.c, for operators. */
web_handler template_versions;
web_handler template_create;
web_handler template_replace;
web_handler template_delete;
web_handler template_publish;
web_handler template_deprecate;

/* Publishes the files, reads the guest's digests and the edge CA's key: template.invalid with file,
 * line and column. */
int templates_init(struct worker *worker, struct err *err);

/* The newest published version that is for the caller, or that one (`version` > 0); the caller
 * frees. template.not_found, also when it is not for the caller. */
int template_find(struct web_req *req, const char *id, long long version,
	struct template **ret_template, struct err *err);
/* The newest published version, whoever it is for; NULL when there is none. */
int template_newest(
	struct worker *worker, const char *id, struct template **ret_template, struct err *err);
/* What a sandbox of it is measured with, canonical: nothing of a tenant or a policy, no secret. */
int template_initdata(
	const struct template *template, const char *id, char **ret_text, struct err *err);
const char *template_edge_spki(void);
/* The version in the path; 0 when that is no number, which no template has. */
long long template_version_of(const struct web_req *req);
/* As a member sees it, and as an operator does. */
json_t *template_record(const struct template *template, const struct template_row *row);
json_t *template_operator_record(const struct template *template, const struct template_row *row);

/* --- template_check.c: no state --- */

/* Whether it can be used at all: template.invalid, `name` says which. */
int template_check(const struct template *template, const char *name, struct err *err);
/* JSON Schema of its parameters. New reference. */
json_t *template_schema(const struct template *template);
/* Given parameters (may be NULL) checked and completed by the defaults: template.bad_parameter. New
 * reference. */
int template_complete(const struct template *template, const json_t *given, json_t **ret_parameters,
	struct err *err);
/* The parameter of that name, or 1. */
long long template_vcpus(const json_t *parameters);
/* What a sandbox of it takes from the quotas: its parameters `vcpus` (or 1) and `memory_mib`, and
 * the template's weight. */
void template_takes(
	const struct template *template, const json_t *parameters, struct sandbox *ret_sandbox);

/* --- template_file.c --- */

/* Reads one document: template.invalid with line and column; the caller frees. */
int template_parse(const char *text, size_t len, const char *name, struct template **ret_template,
	struct err *err);
void template_free(struct template *template);
void template_cleanup(struct template **template);
#define auto_template __attribute__((cleanup(template_cleanup)))

#endif
