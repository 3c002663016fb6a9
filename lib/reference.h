/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference values of a measured boot (q35, OVMF, direct kernel start), predicted from the files it
 * boots from. What depends on the sandbox, its initdata, comes in at the end: the hash of the
 * initrd goes on behind the initramfs, from the state that is kept here.
 */
#ifndef STRONGROOM_REFERENCE_H
#define STRONGROOM_REFERENCE_H

#include <jansson.h>
#include <stdint.h>

#include "lib/digest.h"
#include "lib/err.h"

#define REFERENCE_VERSION "strongroom-reference-1"
#define REFERENCE_PCRS 10u /* 0 to 9 */
#define REFERENCE_CMDLINE_MAX 1024u

struct reference_files {
	const char *firmware, *kernel, *initramfs; /* paths */
	const char *cmdline;			   /* as QEMU gets it */
	long long memory_mib, vcpus;
	const char *pei; /* hex, learned; NULL: from the shipped table */
};

struct reference {
	char cmdline[REFERENCE_CMDLINE_MAX];
	long long memory_mib, vcpus;
	unsigned char firmware[DIGEST_SIZE]; /* of the file */
	unsigned char pei[DIGEST_SIZE], dxe[DIGEST_SIZE];
	unsigned char kernel[DIGEST_SIZE]; /* Authenticode, as QEMU hands it over */
	struct digest_state initramfs;	   /* behind the padded file */
};

/* What one sandbox's boot measures. */
struct reference_boot {
	unsigned char pcrs[REFERENCE_PCRS][DIGEST_SIZE];
	unsigned char cmdline[DIGEST_SIZE], initrd[DIGEST_SIZE]; /* the two events of PCR 9 */
};

/* reference.file, kernel.format, firmware.format, firmware.no_golden */
int reference_predict(
	const struct reference_files *files, struct reference *ret_reference, struct err *err);
/* The JSON form, for a trust file. reference.invalid */
json_t *reference_encode(const struct reference *reference);
int reference_decode(const json_t *json, struct reference *ret_reference, struct err *err);

/* limit.buffer when the initdata is too long. */
int reference_boot(const struct reference *reference, const char *initdata, size_t len,
	struct reference_boot *ret_boot, struct err *err);

/* {"0":hex,…}: the PCRs that are the same for all sandboxes, all but 9. New reference. */
json_t *reference_pcrs(const struct reference *reference);

#endif
