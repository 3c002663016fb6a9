/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every file of certreg knows: the configuration and the secrets that its files hold. Const
 * after start, so that all threads may look at both.
 */
#ifndef CERTREG_H
#define CERTREG_H

#include "lib/digest.h"
#include "lib/web.h"

#define PEPPER_MAX_BYTES 1024

struct signing_keys;

struct secrets {
	struct signing_keys *signing_keys;
	struct ca *ca;				  /* ca.h: for certificates of machines */
	unsigned char pepper_digest[DIGEST_SIZE]; /* SHA-256 of the pepper file: the HMAC's key */
};

struct certreg {
	char *signing_keys_dir;	       /* <activation>.pem, P-256 */
	char *pepper;		       /* file: at least 32 random bytes */
	char *ca_key, *ca_certificate; /* files: PEM */
	char *mirror_dir;
	char *audit_key;    /* file: PEM, Ed25519 */
	char *witness_keys; /* file: verifier keys, or empty */
	/* What a tenant may have of each; 0: as many as it likes */
	long quota_keys, quota_certificates, quota_challenges, quota_invitations, quota_spaces,
		quota_members;
	const struct secrets *secrets; /* behind the rows of the table */
	const struct audit_key *audit;
	struct answers *crls, *ocsps; /* internally synchronised, as is the mirror */
	struct mirror *mirror;	      /* internally synchronised */
};

struct answers;	  /* answers.h */
struct mirror;	  /* mirror.h */
struct audit_key; /* audit_key.h */
struct worker;

/* Reads the secrets, brings the mirror up to date; does the bootstrap and ends when one was asked
 * for. */
int certreg_init(struct worker *worker, struct err *err);
int certreg_end(int result); /* wipes the secrets; returns the result */
const struct certreg *certreg_of(const struct worker *worker);

#endif
