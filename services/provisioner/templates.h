/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: versioned files <templates_dir>/<name>/template.yaml, read once at start; a version is
 * what it was when it was first read, or the service does not start. Parameters
 * are a closed table (name, type, min, max, enum, default); the JSON Schema shown to clients is
 * generated from it. Reference values come from the guest's build (guest.json): to a client they
 * are hints, it compares them with its own trust file.
 */
#ifndef PROVISIONER_TEMPLATES_H
#define PROVISIONER_TEMPLATES_H

#include "lib/digest.h"
#include "lib/service.h"
#include "services/provisioner/store.h"

enum template_kind { TEMPLATE_INTEGER, TEMPLATE_TEXT };

struct template_parameter {
	char *name, *help, *fallback;
	enum template_kind kind;
	long long min, max;
	char **allowed; /* texts; NULL: any */
	unsigned n_allowed;
};

struct principal;

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

/* Reads every template, the guest's digests and the edge CA's key: template.invalid with file, line
 * and column. */
int templates_init(struct worker *worker, struct err *err);

/* template.not_found, also when it is not for the caller. */
int template_find(const struct principal *caller, const char *id,
	const struct template **ret_template, struct err *err);
const char *template_edge_spki(void);
/* Given parameters (may be NULL) checked and completed by the defaults: template.bad_parameter. New
 * reference. */
int template_complete(const struct template *template, const json_t *given, json_t **ret_parameters,
	struct err *err);

/* What a sandbox of it takes from the quotas: its parameters `vcpus` (or 1) and `memory_mib`, and
 * the template's weight. */
void template_takes(
	const struct template *template, const json_t *parameters, struct sandbox *ret_sandbox);

/* In template_file.c: one file; the caller owns what comes back for the life of the program. */
int template_file_read(const char *path, struct template **ret_template, struct err *err);

#endif
