/* SPDX-License-Identifier: Apache-2.0 */
/* Names in certificates and requests; cert.c, cert_request.c and ocicrypt_check.c only. A NUL
 * inside a name makes two readers see two names, so that it is refused wherever it stands:
 * cert.name_nul. */
#ifndef STRONGROOM_CERT_NAME_H
#define STRONGROOM_CERT_NAME_H

#include <openssl/x509.h>

#include "lib/err.h"

#define CERT_SUBJECT_SIZE 256u

/* RFC 2253; cert.syntax when it is too long. */
int cert_name_text(const X509_NAME *name, char ret_text[CERT_SUBJECT_SIZE], struct err *err);
/* The issuer and the alternative names. */
int cert_name_check_others(X509 *cert, struct err *err);

#endif
