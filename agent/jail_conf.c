/* SPDX-License-Identifier: Apache-2.0 */
/* A jail's configuration as JSON in a sealed memfd, so that argv and env never stand in /proc of
 * the helper. */
#include <jansson.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/jail_inner.h"
#include "lib/json.h"
#include "lib/mem.h"

static json_t *texts_to_json(const char *const *texts)
{
	json_t *array = json_array();

	for (; texts && *texts; texts++)
		json_array_append_new(array, json_string(*texts));
	return array;
}

static const char *const *texts_from_json(const json_t *array)
{
	const char **texts = mem_array(json_array_size(array) + 1, sizeof(*texts));

	for (size_t i = 0; i < json_array_size(array); i++)
		texts[i] = mem_strdup(json_string_value(json_array_get(array, i)));
	return texts;
}

static json_t *limits_to_json(const struct jail_limits *limits)
{
	return json_pack("[I,I,I,I,I,I,I]", (json_int_t)limits->memory_bytes,
		(json_int_t)limits->pids, (json_int_t)limits->wall_ms,
		(json_int_t)limits->cpu_seconds, (json_int_t)limits->output_bytes,
		(json_int_t)limits->output_files, (json_int_t)limits->stdout_bytes);
}

static void limits_from_json(const json_t *array, struct jail_limits *ret_limits)
{
	long long *const values[] = { &ret_limits->memory_bytes, &ret_limits->pids,
		&ret_limits->wall_ms, &ret_limits->cpu_seconds, &ret_limits->output_bytes,
		&ret_limits->output_files, &ret_limits->stdout_bytes };

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		*values[i] = json_integer_value(json_array_get(array, i));
}

static json_t *ports_to_json(const unsigned short *ports)
{
	json_t *array = json_array();

	for (; *ports; ports++)
		json_array_append_new(array, json_integer(*ports));
	return array;
}

static void set_text(json_t *object, const char *name, const char *text)
{
	if (text)
		json_object_set_new(object, name, json_string(text));
}

static json_t *conf_to_json(const struct jail_conf *conf)
{
	json_t *object = json_object();

	set_text(object, "rootfs_dir", conf->rootfs_dir);
	set_text(object, "input_dir", conf->input_dir);
	set_text(object, "output_dir", conf->output_dir);
	set_text(object, "cgroup", conf->cgroup);
	set_text(object, "cwd", conf->cwd);
	json_object_set_new(object, "argv", texts_to_json(conf->argv));
	json_object_set_new(object, "env", texts_to_json(conf->env));
	json_object_set_new(object, "uid", json_integer(conf->uid));
	json_object_set_new(object, "gid", json_integer(conf->gid));
	json_object_set_new(object, "limits", limits_to_json(&conf->limits));
	json_object_set_new(object, "is_root_writable", json_boolean(conf->is_root_writable));
	json_object_set_new(object, "ports", ports_to_json(conf->ports));
	return object;
}

int jail_conf_write(const struct jail_conf *conf, int *ret_fd, struct err *err)
{
	auto_fd int fd = memfd_create("jail", MFD_CLOEXEC);
	auto_json json_t *object = conf_to_json(conf);

	if (fd < 0 || json_dumpfd(object, fd, JSON_COMPACT) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "write the jail's configuration");
	*ret_fd = take_fd(fd);
	return 0;
}

static char *dup_text(const json_t *object, const char *name)
{
	const char *text = json_text(object, name);

	return text ? mem_strdup(text) : NULL;
}

int jail_conf_read(int fd, struct jail_conf **ret_conf, struct err *err)
{
	auto_json json_t *object = json_loadfd(fd, 0, NULL);
	struct jail_conf *conf;

	if (!object)
		return err_set(err, ERR_INTERNAL, "jail.conf", "the configuration does not parse");
	conf = mem_alloc(sizeof(*conf));
	conf->rootfs_dir = dup_text(object, "rootfs_dir");
	conf->input_dir = dup_text(object, "input_dir");
	conf->output_dir = dup_text(object, "output_dir");
	conf->cgroup = dup_text(object, "cgroup");
	conf->cwd = dup_text(object, "cwd");
	conf->argv = texts_from_json(json_object_get(object, "argv"));
	conf->env = texts_from_json(json_object_get(object, "env"));
	conf->uid = (unsigned)json_integer_value(json_object_get(object, "uid"));
	conf->gid = (unsigned)json_integer_value(json_object_get(object, "gid"));
	limits_from_json(json_object_get(object, "limits"), &conf->limits);
	conf->is_root_writable = json_is_true(json_object_get(object, "is_root_writable"));
	for (size_t i = 0; i < JAIL_MAX_PORTS; i++)
		conf->ports[i] = (unsigned short)json_integer_value(
			json_array_get(json_object_get(object, "ports"), i));
	*ret_conf = conf;
	return 0;
}

static void free_texts(const char *const *texts)
{
	for (const char *const *text = texts; text && *text; text++)
		free((void *)(uintptr_t)*text);
	free((void *)(uintptr_t)texts);
}

void jail_conf_free(struct jail_conf *conf)
{
	const char *const texts[] = { conf->rootfs_dir, conf->input_dir, conf->output_dir,
		conf->cgroup, conf->cwd };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free((void *)(uintptr_t)texts[i]);
	free_texts(conf->argv);
	free_texts(conf->env);
	free(conf);
}
