/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's vTPM: manufactured once under the operator's own CA (swtpm_setup; its endorsement
 * certificate names the sandbox), its state kept in the sandbox's folder from stop to start, and
 * run by an swtpm in the launcher's cage for as long as its VM lives. What it proves is that a boot
 * went through it, not that the host's root kept his hands off it: swtpm is a process of his.
 */
#ifndef PROVISIONER_VTPM_H
#define PROVISIONER_VTPM_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "services/provisioner/config.h"

struct vtpm {
	const struct provisioner_conf *conf;
	const char *sandbox_id, *folder; /* the sandbox's */
	uid_t uid;			 /* of swtpm; only when the caller is root */
};

/* Manufactures it, or takes the one that the stock has for it, unless that is done. sandbox.vtpm:
 * the folder's vtpm.log says why. */
int vtpm_make(const struct vtpm *vtpm, struct err *err);
/* Starts swtpm for one boot; it ends with the socket that the VM's QEMU gets. */
int vtpm_start(const struct vtpm *vtpm, int *ret_socket, struct err *err);
/* The same for somebody else's QEMU: swtpm takes one connection at a socket of that name, which
 * only `user` may open. */
int vtpm_listen(const struct vtpm *vtpm, const char *socket, uid_t user, struct err *err);
/* Whether the sandbox has one that does not run. */
int vtpm_is_gone(const struct vtpm *vtpm, bool *ret_gone, struct err *err);
int vtpm_end(const struct vtpm *vtpm, struct err *err);

/* swtpm_localca makes a CA of its own where it finds no key, and signs with that: sandbox.vtpm_ca
 * unless the key and the certificate that vtpm_setup names are there. */
int vtpm_check_ca(const char *vtpm_setup, struct err *err);
/* The file with the issuing certificate; the caller frees. NULL: not named. */
char *vtpm_issuer(const char *vtpm_setup);
/* Into the empty folder `state`; swtpm_setup's log is the vTPM's folder's vtpm.log. sandbox.vtpm */
int vtpm_manufacture(
	const struct vtpm *vtpm, const char *state, bool is_background, struct err *err);

#endif
