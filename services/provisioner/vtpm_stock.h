/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vTPMs that are manufactured before anybody asks. Each is for one sandbox, which its endorsement
 * certificate names, so it is made for an id that nobody has yet: the next measured sandbox of this
 * host gets that id. Below sandboxes_dir/.vtpms/<its issuer>: `new` is being made, `ready/<id>`
 * waits, `taken/<id>` is for the row with that id until its first boot. Each way between them is
 * one rename, so what two reach for only one of them gets, and a taken one never waits again.
 */
#ifndef PROVISIONER_VTPM_STOCK_H
#define PROVISIONER_VTPM_STOCK_H

#include <stdbool.h>

#include "lib/id.h"
#include "lib/service.h"
#include "services/provisioner/config.h"

#define VTPM_STOCK_MAX 64

/* A loop's run: one more when there are fewer than `vtpm_stock`; of another issuer none stays. */
int vtpm_stock_run(struct worker *worker, struct err *err);
/* The id of one that is the caller's from now on; false when none waits. */
bool vtpm_stock_take(const struct provisioner_conf *conf, char ret_id[ID_SIZE]);
/* The one taken for this sandbox becomes the folder `state`; false when there is none. */
bool vtpm_stock_move(
	const struct provisioner_conf *conf, const char *sandbox_id, const char *state);
/* The sandbox needs none any more. */
int vtpm_stock_drop(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err);
/* Calls back for each taken one, whether there is such a sandbox or not. */
int vtpm_stock_list(const struct provisioner_conf *conf,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err);

#endif
