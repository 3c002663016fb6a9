/* SPDX-License-Identifier: Apache-2.0 */
/* populate-codebase: a git repository at a ref, or a local folder, into ./app; what is there and
 * not ours stays. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/codebase.h"
#include "client/files.h"
#include "client/task.h"
#include "lib/mem.h"

#define CLONE_DIR "build/clone"

static bool is_empty_or_absent(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int n = 0;

	if (!dir)
		return access(path, F_OK) < 0;
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n == 0;
}

/* No digest tells of it, and nobody but its owner puts it there. */
static bool is_repository(const char *path)
{
	auto_free char *git = mem_printf("%s/.git", path);

	return access(git, F_OK) == 0;
}

/* What stands in ./app stays when it is the same already (0), and may be replaced (1) only when an
 * earlier run put it there unaltered. */
static int check_free(
	const struct task *task, const char *dest, const char *source, struct err *err)
{
	const char *before = task_previous(task, "tree");
	const char *kept = task_kept(task, "tree");
	char digest[DIGEST_TEXT_SIZE];

	if (is_empty_or_absent(dest))
		return 1;
	if (files_tree_digest(dest, digest, err) < 0)
		return -1;
	if (strcmp(source, digest) == 0)
		return 0;
	if (!is_repository(dest) &&
		((before && strcmp(before, digest) == 0) || (kept && strcmp(kept, digest) == 0)))
		return 1;
	return err_set(err, ERR_CONFLICT, "codebase.in_the_way",
		"'%s' holds something else; move it away", dest);
}

static bool is_same_folder(const char *a, const char *b)
{
	auto_free char *real_a = realpath(a, NULL);
	auto_free char *real_b = realpath(b, NULL);

	return real_a && real_b && strcmp(real_a, real_b) == 0;
}

static int take_folder(struct task *task, const char *from, const char *dest, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	int is_free;

	if (is_same_folder(from, dest))
		return 0;
	if (files_tree_digest(from, digest, err) < 0 ||
		(is_free = check_free(task, dest, digest, err)) < 0 ||
		task_keep(task, "tree", digest, err) < 0)
		return -1;
	task_put(task, "tree", digest);
	return is_free ? files_tree_copy(from, dest, err) : 0;
}

static int fetch_clone(struct task *task, const char *url, char ret_commit[41], struct err *err)
{
	struct codebase_conf conf = {
		.url = url,
		.ref = task_field(task, "ref"),
		.username = task_field(task, "credentials.username"),
		.password_file = task_field(task, "credentials.password_file"),
		.dest = CLONE_DIR,
	};

	if (files_make_dirs("build", 0700, err) < 0 || files_tree_remove(CLONE_DIR, err) < 0)
		return -1;
	return codebase_clone(&conf, ret_commit, err);
}

int task_codebase(struct task *task, struct err *err)
{
	bool is_git = strcmp(task_field(task, "mode"), "git") == 0;
	const char *code_path = task_field(task, "code_path");
	const char *dest = task_field(task, "dest");
	auto_free char *from = NULL;
	char commit[41] = "local";
	const char *url;

	if (task_need(task, "url", &url, err) < 0)
		return -1;
	if (strstr(code_path, "..") || *code_path == '/')
		return err_set(
			err, ERR_INVALID, "plan.field_value", "code_path lies outside the code");
	if (is_git && fetch_clone(task, url, commit, err) < 0)
		return -1;
	from = mem_printf("%s/%s", is_git ? CLONE_DIR : url, code_path);
	if (take_folder(task, strcmp(code_path, ".") == 0 ? (is_git ? CLONE_DIR : url) : from, dest,
		    err) < 0)
		return -1;
	task_put(task, "url", url);
	task_put(task, "commit", commit);
	task_put(task, "path", dest);
	task_put(task, "code_path", dest);
	task_made_present(task, dest);
	ui_note(task->project->ui, "code: %s %s", is_git ? "commit" : "folder",
		is_git ? commit : url);
	return is_git ? files_tree_remove(CLONE_DIR, err) : 0;
}
