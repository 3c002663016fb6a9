/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime of an application. Its id does not hang on the order of its members, and the files of
 * one that is accepted stay where they belong. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/app_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_order(const json_t *runtime, const char *id)
{
	auto_free char *canonical = NULL;
	auto_json json_t *again = NULL;
	char again_id[APP_CONFIG_ID_SIZE];
	size_t len = 0;

	if (jcs_encode(runtime, &canonical, &len, NULL) < 0)
		return;
	again = json_parse(canonical, len, NULL);
	if (!again || app_config_id(again, again_id, NULL) < 0 || strcmp(id, again_id) != 0)
		abort();
}

static void check_files(const json_t *files)
{
	const char *path;
	json_t *file;

	json_object_foreach ((json_t *)files, path, file) {
		if (!app_config_below_rw(path) || strstr(path, "/../") || strstr(path, "//") ||
			!json_text(file, "contents"))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *runtime = json_parse((const char *)data, size, NULL);
	char id[APP_CONFIG_ID_SIZE];

	if (!runtime || app_config_id(runtime, id, NULL) < 0)
		return 0;
	check_order(runtime, id);
	if (app_config_check(runtime, NULL) == 0)
		check_files(json_object_get(runtime, "app_config"));
	return 0;
}
