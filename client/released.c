/* SPDX-License-Identifier: Apache-2.0 */
/* The files of released.h. */
#include "client/released.h"

#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

#define FOLDER "released"

int released_write(const struct released *released, struct err *err)
{
	auto_free char *path = mem_printf(FOLDER "/%s.json", released->run), *text = NULL;
	auto_json json_t *file = json_pack("{s:s,s:s,s:s,s:s,s:s,s:O}", "run", released->run,
		"policy_id", released->policy_id, "policy_hash", released->policy_hash, "run_nonce",
		released->run_nonce, "sandbox", released->sandbox, "machine", released->machine);

	text = json_dumps(file, JSON_INDENT(1) | JSON_SORT_KEYS);
	return files_make_dirs(FOLDER, 0755, err) < 0
		       ? -1
		       : buf_write_file(path, text, strlen(text), 0644, err);
}

int released_read(
	const char *run, json_t **ret_file, struct released *ret_released, struct err *err)
{
	auto_free char *path = mem_printf(FOLDER "/%s.json", run);
	auto_buf text = BUF_INIT(64 * 1024);
	json_t *file;

	if (access(path, F_OK) < 0)
		return err_set(err, ERR_CONFLICT, "output.not_released",
			"no release of an output's key to %s was made in this folder", run);
	if (buf_read_file(&text, path, err) < 0)
		return -1;
	file = json_parse((char *)text.data, text.len, err);
	if (!file)
		return err_wrap(err, "%s", path);
	if (!json_text_is(file, "run", run)) {
		json_decref(file);
		return err_set(err, ERR_CONFLICT, "output.not_released",
			"%s was written for another run", path);
	}
	*ret_file = file;
	*ret_released = (struct released) { json_text(file, "run"), json_text(file, "policy_id"),
		json_text(file, "policy_hash"), json_text(file, "run_nonce"),
		json_text(file, "sandbox"), json_object_get(file, "machine") };
	return 0;
}
