/* SPDX-License-Identifier: Apache-2.0 */
/* An attestation result for people: which checks were made, what was expected, what was found. */
#ifndef STRONGROOM_CLIENT_EVIDENCE_TABLE_H
#define STRONGROOM_CLIENT_EVIDENCE_TABLE_H

#include <jansson.h>

#include "client/ui.h"

/* `result` as trust_evidence_appraise() gives it. With --json one object "attestation"; else a line
 * for each check on stdout, and under one that failed what was expected and found. */
void evidence_table_print(struct ui *ui, const json_t *result);
/* Beside other work: only the checks that are not ok, as notes. */
void evidence_table_note(struct ui *ui, const json_t *result);
/* The sentence of trust.md 3 about who can read what. */
void evidence_table_say_class(struct ui *ui, const char *class);

#endif
