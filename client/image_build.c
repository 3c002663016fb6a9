/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine is a table of three command lines: does it work, build, save. buildah comes twice: with
 * a store of its own below the work folder, which needs no daemon, no overlay and no OCI runtime
 * and leaves nothing behind, and as it is set up on this machine.
 */
#include "client/image_build.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/image_run.h"
#include "lib/buf.h"
#include "lib/mem.h"

#define MAX_ARGS 24
#define MAX_ID 256u

/* What stands for itself in the command lines below. */
enum word {
	FILE_WORD,
	CONTEXT_WORD,
	ID_FILE_WORD,
	ID_WORD,
	ARCHIVE_WORD,
	OCI_ARCHIVE_WORD,
	STORE_WORD,
	RUN_WORD,
	N_WORDS
};
static const char *const words[N_WORDS] = { "{file}", "{context}", "{idfile}", "{id}", "{archive}",
	"oci-archive:{archive}", "{store}", "{run}" };

#define PRIVATE "buildah", "--root", "{store}", "--runroot", "{run}", "--storage-driver", "vfs"

static const struct engine {
	const char *check[MAX_ARGS], *build[MAX_ARGS], *save[MAX_ARGS];
} engines[] = {
	{
		{ "docker", "version" },
		{ "docker", "build", "--iidfile", "{idfile}", "-f", "{file}", "{context}" },
		{ "docker", "save", "-o", "{archive}", "{id}" },
	},
	{
		{ "podman", "info" },
		{ "podman", "build", "--format", "oci", "--iidfile", "{idfile}", "-f", "{file}",
			"{context}" },
		{ "podman", "save", "--format", "oci-archive", "-o", "{archive}", "{id}" },
	},
	{
		{ PRIVATE, "info" },
		{ PRIVATE, "build", "--isolation", "chroot", "--format", "oci", "--layers=false",
			"--iidfile", "{idfile}", "-f", "{file}", "{context}" },
		{ PRIVATE, "push", "{id}", "oci-archive:{archive}" },
	},
	{
		{ "buildah", "info" },
		{ "buildah", "build", "--format", "oci", "--iidfile", "{idfile}", "-f", "{file}",
			"{context}" },
		{ "buildah", "push", "{id}", "oci-archive:{archive}" },
	},
};

struct build {
	char *log;
	char *values[N_WORDS];
};

/* The template with its words replaced; `ret_argv` has MAX_ARGS + 1 places. */
static void fill(const struct build *build, const char *const *template, const char **ret_argv)
{
	size_t n = 0;

	for (; n < MAX_ARGS && template[n]; n++) {
		ret_argv[n] = template[n];
		for (size_t i = 0; i < N_WORDS; i++) {
			if (strcmp(template[n], words[i]) == 0)
				ret_argv[n] = build->values[i];
		}
	}
	ret_argv[n] = NULL;
}

static int step(const struct build *build, const char *const *template, struct err *err)
{
	const char *argv[MAX_ARGS + 1];

	fill(build, template, argv);
	return image_run(argv, build->log, "image.build_failed", err);
}

static bool works(const struct build *build, const struct engine *engine)
{
	const char *argv[MAX_ARGS + 1];

	fill(build, engine->check, argv);
	return image_run_works(argv, build->log);
}

static int read_id(struct build *build, struct err *err)
{
	auto_buf buf = BUF_INIT(MAX_ID);

	if (buf_read_file(&buf, build->values[ID_FILE_WORD], err) < 0)
		return err_wrap(err, "the id of the image");
	free(build->values[ID_WORD]);
	build->values[ID_WORD] = mem_strndup(
		(const char *)buf.data, buf.len ? strcspn((const char *)buf.data, "\r\n") : 0);
	if (!*build->values[ID_WORD])
		return err_set(err, ERR_UNPROCESSABLE, "image.build_failed", "the image has no id");
	return 0;
}

static int build_with(struct build *build, const struct engine *engine, struct err *err)
{
	if (step(build, engine->build, err) < 0 || read_id(build, err) < 0)
		return -1;
	unlink(build->values[ARCHIVE_WORD]);
	return step(build, engine->save, err);
}

/* The same program again (buildah) gets a chance when its first way fails; another program does
 * not. */
static int try_engines(struct build *build, struct err *err)
{
	const char *built_with = NULL;
	int result = -1;

	for (size_t i = 0; i < ARRAY_LEN(engines) && result < 0; i++) {
		if (built_with && strcmp(built_with, engines[i].check[0]) != 0)
			break;
		if (!works(build, &engines[i]))
			continue;
		built_with = engines[i].check[0];
		result = build_with(build, &engines[i], err);
	}
	if (!built_with)
		return err_set(err, ERR_UNPROCESSABLE, "image.no_engine",
			"none of docker, podman and buildah is installed and works");
	return result;
}

/* Without root, files in the store belong to subordinate ids. */
static int remove_store(const struct build *build, struct err *err)
{
	const char *const unshare[] = { "buildah", "unshare", "rm", "-rf", "--",
		build->values[STORE_WORD], build->values[RUN_WORD], NULL };

	if (geteuid() != 0 && access(build->values[STORE_WORD], F_OK) == 0)
		(void)image_run_works(unshare, build->log);
	if (files_tree_remove(build->values[STORE_WORD], err) < 0)
		return -1;
	return files_tree_remove(build->values[RUN_WORD], err);
}

static int find_file(const char *context, const char *named, char **ret_file, struct err *err)
{
	const char *const names[] = { "Containerfile", "Dockerfile" };

	for (size_t i = 0; i < (named ? 1 : ARRAY_LEN(names)); i++) {
		auto_free char *path = mem_printf("%s/%s", context, named ? named : names[i]);

		if (access(path, R_OK) == 0) {
			*ret_file = take_ptr(path);
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "image.no_containerfile", "'%s' has no %s", context,
		named ? named : "Containerfile or Dockerfile");
}

int image_build(const char *context, const char *containerfile, const char *work_dir,
	char **ret_archive, struct err *err)
{
	struct build build = { .log = NULL };
	char **values = build.values;
	int result;

	if (find_file(context, containerfile, &values[FILE_WORD], err) < 0)
		return -1;
	build.log = mem_printf("%s/build.log", work_dir);
	values[CONTEXT_WORD] = mem_strdup(context);
	values[ID_FILE_WORD] = mem_printf("%s/build.id", work_dir);
	values[ARCHIVE_WORD] = mem_printf("%s/build.tar", work_dir);
	values[OCI_ARCHIVE_WORD] = mem_printf("oci-archive:%s", values[ARCHIVE_WORD]);
	values[STORE_WORD] = mem_printf("%s/build.store", work_dir);
	values[RUN_WORD] = mem_printf("%s/build.run", work_dir);
	result = try_engines(&build, err);
	unlink(values[ID_FILE_WORD]);
	if (remove_store(&build, result < 0 ? NULL : err) < 0)
		result = -1;
	if (result == 0)
		*ret_archive = take_ptr(values[ARCHIVE_WORD]);
	else
		unlink(values[ARCHIVE_WORD]);
	for (size_t i = 0; i < N_WORDS; i++)
		free(values[i]);
	free(build.log);
	return result;
}
