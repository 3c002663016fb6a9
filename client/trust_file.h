/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trust file: what a verifier believes, from whoever runs the instance, on another way than the
 * instance itself. Nothing in it is ever taken from a server.
 *   {"v":"strongroom-trust-1","edge_ca_spki":D,"templates":{ID:{"version":N,"kernel":D,
 *    "initramfs":D,"agent":D,"references":[…]}},"vtpm_ca":PEM,"client":D,"log_key":VKEY}
 * references (lib/reference.h, made by `template measure`) and vtpm_ca are for measured templates,
 * client and log_key are optional.
 */
#ifndef STRONGROOM_CLIENT_TRUST_FILE_H
#define STRONGROOM_CLIENT_TRUST_FILE_H

#include <jansson.h>

#include "lib/err.h"
#include "lib/reference.h"
#include "proto/trust.h"

#define TRUST_FILE_MAX_BYTES (256u * 1024u)

/* profile.trust_file */
int trust_file_read(const char *path, json_t **ret_trust, struct err *err)
	__attribute__((warn_unused_result));
/* trust.no_template */
const json_t *trust_file_template(const json_t *trust, const char *template_id, struct err *err);

/* Fills what of `expect` comes from the trust file: template, version, edge CA, vTPM CA and, when
 * the template has some, the reference values. `parameters` of the sandbox choose among those by
 * memory_mib and vcpus; without them the first ones are meant. `ret_reference` must outlive
 * `expect`. trust.no_template, reference.invalid */
int trust_file_expect(const json_t *trust, const char *template_id, const json_t *parameters,
	struct trust_expect *expect, struct reference *ret_reference, struct err *err)
	__attribute__((warn_unused_result));

#endif
