/* SPDX-License-Identifier: Apache-2.0 */
/* A project folder that is open: plan, state, register, and the profile it works with. Paths are
 * relative to it. */
#ifndef STRONGROOM_CLIENT_PROJECT_H
#define STRONGROOM_CLIENT_PROJECT_H

#include <jansson.h>
#include <stdbool.h>

#include "client/api.h"
#include "client/plan.h"
#include "client/profile.h"
#include "client/state.h"
#include "client/ui.h"

struct project {
	struct ui *ui;
	struct profile profile;
	struct api *api;
	struct plan plan;
	struct state state;
	json_t *reg;
	bool cancel_old; /* a run that is in the way of the next */
};

struct project_options {
	const char *plan_path; /* NULL: main.yml */
	const char *profile;
	bool write; /* takes the lock */
};

int project_open(struct project *ret_project, const struct project_options *options, struct ui *ui,
	struct err *err) __attribute__((warn_unused_result));
void project_close(struct project *project);

/* The task's fields with references resolved and fallbacks filled in; new reference. */
int project_fields(const struct project *project, size_t at, json_t **ret_fields, struct err *err);
/* {name: digest} of everything that the task depends on now. */
int project_inputs(const struct project *project, size_t at, const json_t *fields,
	json_t **ret_inputs, struct err *err);

/* Forgets the task and what follows, in memory; a run that is ordered again needs an output key of
 * its own. */
int project_forget(struct project *project, const char *key, struct err *err);
/* Whether a policy that is about to be written needs another output key: a run has had this one. */
bool project_renews_key(const struct project *project, enum state_verdict policy);

/* Runs the tasks in order, each checkpointed. `first` and `until`: the first and last to look at,
 * or NULL. */
int project_run(struct project *project, const char *first, const char *until, struct err *err);

#endif
