/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder that tofu works in, one for each sandbox, made anew for each boot: main.tf.json, which
 * calls the operator's module and holds no value of anybody, terraform.tfvars.json with all values,
 * a copy of the module, whose digest must be the one in its tofu.json, and the operator's lock file
 * of providers. From strings in *.tf.json tofu evaluates templates, from those in *.tfvars.json it
 * does not: that is why a parameter is never anywhere else.
 */
#ifndef PROVISIONER_TOFU_FILES_H
#define PROVISIONER_TOFU_FILES_H

#include "services/provisioner/driver.h"
#include "services/provisioner/store.h"

#define TOFU_MOST_SECRETS 32u

/* What one boot is made of. */
struct tofu_boot {
	const struct sandbox *sandbox;
	const char *secret; /* NULL when no guest is to enrol */
	const char *edge;   /* https://host:port, as clients reach it */
};

/* work/ as it must be for this boot: tofu.bad_settings, tofu.module_changed. Keeps .terraform and
 * errored.tfstate. */
int tofu_files_make(
	const struct driver_place *place, const struct tofu_boot *boot, struct err *err);
/* The types of resources that the template allows. New reference. */
int tofu_files_types(const struct driver_place *place, const char *template_id, json_t **ret_types,
	struct err *err);
/* "NAME=value" of each file in the template's env/, ends with NULL; the caller frees by
 * tofu_files_wipe(). tofu.bad_settings. */
int tofu_files_secrets(const struct driver_place *place, const char *template_id,
	char *ret_secrets[TOFU_MOST_SECRETS], struct err *err);
void tofu_files_wipe(char *secrets[TOFU_MOST_SECRETS]);
/* A file in work/, wherever it may come from. */
bool tofu_files_has(const struct driver_place *place, const char *name);
int tofu_files_drop(const struct driver_place *place, const char *name, struct err *err);

#endif
