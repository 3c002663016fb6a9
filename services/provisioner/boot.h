/* SPDX-License-Identifier: Apache-2.0 */
/* One boot's start, of somebody's sandbox or of one that waits for somebody. */
#ifndef PROVISIONER_BOOT_H
#define PROVISIONER_BOOT_H

#include <stdbool.h>

#include "lib/service.h"
#include "services/provisioner/driver.h"

struct boot {
	const char *sandbox_id, *parameters, *initdata;
	long long number;
};

/* Keeps the secret's hash, before the guest can present it. */
typedef int boot_note(void *arg, const char *hash, struct err *err);

/* Ends what runs under the id and starts this boot with a fresh secret, which only the guest gets.
 */
int boot_start(struct worker *worker, const struct driver *driver, const struct boot *boot,
	boot_note *note, void *arg, struct err *err);

/* Whether a sandbox with this initdata has a TPM. */
bool boot_is_measured(const char *initdata);

#endif
