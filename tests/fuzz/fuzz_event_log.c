/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of a firmware's measurements, and the firmware's own file: every event lies in the bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/event_log.h"
#include "lib/firmware.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char pcrs[TPM_PCRS][DIGEST_SIZE], digest[DIGEST_SIZE];
	auto_event_log log = { .count = 0 };

	firmware_dxe_digest(data, size, digest, NULL);
	if (event_log_parse(data, size, &log, NULL) < 0)
		return 0;
	for (size_t i = 0; i < log.count; i++) {
		const struct event *event = &log.events[i];

		if (event->pcr >= TPM_PCRS || event->data < data || event->data > data + size ||
			event->len > (size_t)(data + size - event->data))
			abort();
	}
	event_log_replay(&log, pcrs);
	event_log_find(&log, 9, EVENT_TAG, 1);
	return 0;
}
