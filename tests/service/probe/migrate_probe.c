/* SPDX-License-Identifier: Apache-2.0 */
/* db_migrate() on files: migrate_probe SCHEMA FILE… with OWNER_DATABASE in the environment. For
 * test_schemas.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"

#define MAX_FILE_BYTES (1u << 20)

static int read_migration(const char *path, struct migration *ret_migration, struct err *err)
{
	auto_buf text = BUF_INIT(MAX_FILE_BYTES);
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (buf_read_file(&text, path, err))
		return -1;
	ret_migration->name = mem_strndup(name, strcspn(name, "."));
	ret_migration->sql = mem_strndup((const char *)text.data, text.len);
	return 0;
}

int main(int argc, char **argv)
{
	struct migration *migrations = mem_array((size_t)argc, sizeof(*migrations));
	struct err err = { .kind = ERR_NONE };
	int status = argc < 3;

	log_open("probe", LOG_LEVEL_WARN);
	for (int i = 2; i < argc && status == 0; i++)
		status = read_migration(argv[i], &migrations[i - 2], &err);
	if (status == 0)
		status = db_migrate(getenv("OWNER_DATABASE"), argv[1], migrations, &err);
	if (status)
		fprintf(stderr, "%s: %s\n", err.code, err.detail);
	for (struct migration *m = migrations; m->name; m++) {
		free((char *)m->name);
		free((char *)m->sql);
	}
	free(migrations);
	return status ? 1 : 0;
}
