/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy's gates at the output: size, number and types of files, and how many rows a table must
 * have. They are held against what would be packed, before any of it is encrypted. A refusal goes
 * through the operator, so that no name and no number of the app's is in it.
 */
#ifndef STRONGROOM_AGENT_GATES_H
#define STRONGROOM_AGENT_GATES_H

#include <jansson.h>
#include <stdbool.h>

#include "agent/outpack.h"

/* Whether there is any. */
bool gates_stand(const json_t *gates);
/* Takes stdout and stderr out of `conf` where types or rows are gated, unless txt is an allowed
 * type: what is printed has neither. output.gate_bytes, output.gate_files, output.gate_type,
 * output.gate_rows; csv and tsv files have rows, behind their header, others cannot be counted. */
int gates_check(const json_t *doc, struct outpack_conf *conf, struct err *err)
	__attribute__((warn_unused_result));

#endif
