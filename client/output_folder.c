/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything on the way lies in one hidden folder beside the destination: `new` until it is whole,
 * `old` until the new one stands in its place. What is removed is known by what is in it: the
 * destination as an earlier output, the hidden folder as one that a killed client left.
 */
#include "client/output_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/untar.h"
#include "lib/mem.h"

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Absent, or a folder with nothing in it but these. */
static bool holds_only(const char *path, const char *const *names)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *entry;
	bool is_so = true;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while (is_so && (entry = readdir(dir)))
		is_so = is_one_of(entry->d_name, names);
	closedir(dir);
	return is_so;
}

/* Each output has a result.json, and beside it what proto/README.md 1.7 names. */
static bool is_output(const char *path)
{
	static const char *const parts[] = { "result.json", "stdout", "stderr", "output", NULL };
	static const char *const none[] = { NULL };
	auto_free char *result = mem_printf("%s/%s", path, parts[0]);

	return holds_only(path, none) || (holds_only(path, parts) && access(result, F_OK) == 0);
}

static int check_free(const char *place, const char *work, struct err *err)
{
	static const char *const parts[] = { "new", "old", NULL };

	if (is_output(place) && holds_only(work, parts))
		return 0;
	return err_set(err, ERR_CONFLICT, "output.in_the_way",
		"'%s' is there and is no earlier output; move it away",
		is_output(place) ? work : place);
}

/* Of a client that was killed while neither stood in the place. */
static int take_back(const char *old, const char *place, struct err *err)
{
	if (access(place, F_OK) == 0 || rename(old, place) == 0 || errno == ENOENT)
		return 0;
	return err_errno(err, "move '%s' back", place);
}

/* The old one comes back when the new one cannot take its place. */
static int swap(const char *old, const char *new, const char *place, struct err *err)
{
	if (rename(place, old) < 0 && errno != ENOENT)
		return err_errno(err, "move '%s' away", place);
	if (rename(new, place) == 0)
		return 0;
	err_errno(err, "rename '%s'", new);
	if (rename(old, place) < 0 && errno != ENOENT)
		return err_wrap(err, "what was '%s' is now '%s'", place, old);
	return -1;
}

static char *beside(const char *place)
{
	const char *slash = strrchr(place, '/'), *name = slash ? slash + 1 : place;

	return mem_printf("%.*s.%s.strongroom", (int)(name - place), place, name);
}

int output_folder_replace(int fd, const char *dest, struct err *err)
{
	auto_free char *place = mem_strdup(dest), *work = NULL, *new = NULL, *old = NULL;

	for (size_t len = strlen(place); len > 1 && place[len - 1] == '/'; len--)
		place[len - 1] = '\0';
	work = beside(place);
	new = mem_printf("%s/new", work);
	old = mem_printf("%s/old", work);
	if (check_free(place, work, err) < 0 || take_back(old, place, err) < 0 ||
		files_tree_remove(work, err) < 0 || files_make_dirs(new, 0755, err) < 0)
		return -1;
	if (untar(fd, new, err) < 0) {
		(void)files_tree_remove(work, NULL);
		return -1;
	}
	return swap(old, new, place, err) < 0 ? -1 : files_tree_remove(work, err);
}
