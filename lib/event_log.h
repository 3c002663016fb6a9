/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware's log of what it measured, crypto-agile form (TCG PC Client Platform Firmware
 * Profile, 10): which digest went into which PCR, and why. By itself it proves nothing; it counts
 * when its replay gives the PCRs that a quote is over. Only the SHA-256 bank is kept.
 */
#ifndef STRONGROOM_EVENT_LOG_H
#define STRONGROOM_EVENT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "lib/digest.h"
#include "lib/err.h"
#include "lib/tpm.h"

#define EVENT_LOG_MAX_BYTES (256u << 10)
#define EVENT_LOG_MAX_EVENTS 1024u

enum event_type { /* those that mean something to us */
	EVENT_NO_ACTION = 0x3,
	EVENT_SEPARATOR = 0x4,
	EVENT_TAG = 0x6,
	EVENT_FIRMWARE_VOLUME = 0x80000008,  /* EV_EFI_PLATFORM_FIRMWARE_BLOB */
	EVENT_BOOT_APPLICATION = 0x80000003, /* EV_EFI_BOOT_SERVICES_APPLICATION */
};

struct event {
	uint32_t pcr, type;
	unsigned char digest[DIGEST_SIZE];
	const unsigned char *data; /* borrowed from the log's bytes */
	size_t len;
};

struct event_log {
	struct event *events;
	size_t count;
	unsigned char locality; /* PCR 0 starts from it */
};

/* event_log.syntax. The bytes must outlive the result; event_log_release() frees the list. */
int event_log_parse(const void *data, size_t len, struct event_log *ret_log, struct err *err);
void event_log_release(struct event_log *log);
#define auto_event_log __attribute__((cleanup(event_log_release))) struct event_log

/* What the PCRs hold when exactly this happened since the reset. */
void event_log_replay(const struct event_log *log, unsigned char ret_pcrs[TPM_PCRS][DIGEST_SIZE]);
/* The n-th event of that type in that PCR, from 0; NULL when there is none. */
const struct event *event_log_find(
	const struct event_log *log, uint32_t pcr, uint32_t type, unsigned n);

#endif
