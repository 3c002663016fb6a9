/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `controller`: somebody else's machine, made by his Controller API
 * (proto/openapi/controller.json). It gets initdata and enrolment secret and sees to it that the
 * guest reaches the edge where initdata says; the machine keys come from the guest's own enrolment,
 * never from the Controller. In a sandbox's folder: its console, as far as it was told.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/crash.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/controller_answer.h"
#include "services/provisioner/controller_client.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/templates.h"
#include "services/provisioner/vm_files.h"

#define CONSOLE_PIECE (256u << 10)
#define LOOK_MS 300
#define PAGES_MAX 1000

/* Texts of a document that was sent are a copy of the secret. */
static void wipe(json_t *wish)
{
	const char *secret = json_text(wish, "enrolment_secret");

	explicit_bzero((char *)(uintptr_t)secret, strlen(secret));
}

/* The machine as the answer has it; *ret_exists is false when there is none. */
static int ask(const struct driver_place *place, const struct controller_call *call,
	struct arena *arena, struct controller_machine *ret_machine, bool *ret_exists,
	struct err *err)
{
	auto_response res = { 0 };

	if (controller_client_do(place->conf, call, &res, err) < 0)
		return -1;
	*ret_exists = res.status != 404;
	if (!*ret_exists)
		return 0;
	return controller_answer_machine(arena, (const char *)res.body.data, res.body.len,
		place->sandbox_id, ret_machine, err);
}

static json_t *wish_of(const struct driver_place *place, const struct driver_spec *spec)
{
	return json_pack("{s:s,s:I,s:s,s:s,s:s,s:s,s:O}", "id", spec->sandbox_id, "boot",
		(json_int_t)spec->boot, "owner", template_edge_spki(), "edge",
		place->conf->edge_address, "initdata", spec->initdata, "enrolment_secret",
		spec->enrolment_secret, "parameters", spec->parameters);
}

/* Whether it is certain that the Controller has made nothing. */
static bool is_refusal(const struct err *err)
{
	static const char *const codes[] = { "controller.not_configured", "controller.not_https",
		"controller.denied", "controller.refused", "controller.tls" };

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strcmp(err->code, codes[i]) == 0)
			return true;
	}
	return false;
}

static int make(const struct driver_place *place, const struct driver_spec *spec, struct err *err)
{
	auto_json json_t *wish = wish_of(place, spec);
	const struct controller_call call = { "POST", "/v1/machines", wish, false, 0 };
	auto_arena struct arena *arena = arena_new();
	struct controller_machine machine;
	bool exists;
	int r = ask(place, &call, arena, &machine, &exists, err);

	wipe(wish);
	if (r < 0)
		return -1;
	if (!exists)
		return err_set(err, ERR_UPSTREAM, "controller.refused",
			"the controller has no place where machines are made");
	if (machine.boot != spec->boot)
		return err_set(err, ERR_UPSTREAM, "controller.other_machine",
			"the controller answered about boot %lld", machine.boot);
	return 0;
}

/* The folder comes first: as long as it is there, there may be a machine that runs. */
static int controller_start(
	const struct driver_place *place, const struct driver_spec *spec, struct err *err)
{
	if (vm_files_folder(place->folder, 0700, err) < 0)
		return -1;
	if (unlink(place->console) < 0 && errno != ENOENT)
		return err_errno(err, "remove '%s'", place->console);
	if (make(place, spec, err) < 0) {
		if (is_refusal(err))
			(void)vm_files_remove(place->folder, NULL);
		return -1;
	}
	crash_point("controller", "created");
	return 0;
}

/* Adds what is behind our file's end; a failure is no reason to think ill of the machine. */
static void fetch_console(const struct driver_place *place, long long bytes)
{
	auto_fd int fd =
		open(place->console, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	auto_free char *path = NULL;
	auto_response res = { 0 };
	struct controller_call call = {
		.method = "GET", .once = true, .max_response = CONSOLE_PIECE
	};
	struct stat info;

	if (fd < 0 || fstat(fd, &info) < 0 || info.st_size >= bytes ||
		info.st_size >= DRIVER_CONSOLE_MAX)
		return;
	path = mem_printf("/v1/machines/%s/console?after=%lld&limit=%u", place->sandbox_id,
		(long long)info.st_size, CONSOLE_PIECE);
	call.path = path;
	if (controller_client_do(place->conf, &call, &res, NULL) < 0 || res.status != 200)
		return;
	if (write(fd, res.body.data, res.body.len) < 0)
		log_warn("a console could not be kept", "sandbox", place->sandbox_id, NULL);
}

/* Whoever looks comes again by himself. */
static int look(const struct driver_place *place, struct arena *arena,
	struct controller_machine *ret_machine, bool *ret_exists, struct err *err)
{
	auto_free char *path = mem_printf("/v1/machines/%s", place->sandbox_id);
	const struct controller_call call = { "GET", path, NULL, true, 0 };

	return ask(place, &call, arena, ret_machine, ret_exists, err);
}

static bool has_ended(const struct controller_machine *machine)
{
	return machine->state == CONTROLLER_ENDED || machine->state == CONTROLLER_FAILED;
}

static int controller_inspect(
	const struct driver_place *place, const char **ret_gone, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	struct controller_machine machine;
	bool exists;

	if (look(place, arena, &machine, &exists, err) < 0)
		return -1;
	if (exists)
		fetch_console(place, machine.console_bytes);
	*ret_gone = !exists || has_ended(&machine) ? "sandbox.died" : NULL;
	return 0;
}

/* Until nothing runs any more, or is there any more. */
static int await_end(const struct driver_place *place, bool is_removed, struct err *err)
{
	long long end_ms = clock_monotonic_ms() + controller_client_patience_ms(place->conf);

	do {
		auto_arena struct arena *arena = arena_new();
		struct controller_machine machine;
		bool exists;

		if (look(place, arena, &machine, &exists, err) < 0)
			return -1;
		if (!exists || (!is_removed && has_ended(&machine)))
			return 0;
		poll(NULL, 0, LOOK_MS);
	} while (clock_monotonic_ms() < end_ms);
	return err_set(err, ERR_TIMEOUT, "controller.will_not_end",
		"the controller's machine '%s' does not end", place->sandbox_id);
}

static int end(
	const struct driver_place *place, const char *method, const char *verb, struct err *err)
{
	auto_free char *path = mem_printf("/v1/machines/%s%s", place->sandbox_id, verb);
	const struct controller_call call = { method, path, NULL, true, 0 };
	bool is_removed = strcmp(method, "DELETE") == 0;
	auto_response res = { 0 };

	if (controller_client_do(place->conf, &call, &res, err) < 0)
		return -1;
	if (res.status == 404 || (is_removed && res.status == 204))
		return 0;
	return await_end(place, is_removed, err);
}

static int controller_stop(const struct driver_place *place, struct err *err)
{
	if (access(place->folder, F_OK) < 0)
		return 0;
	return end(place, "POST", ":stop", err);
}

static int controller_forget(const struct driver_place *place, struct err *err)
{
	if (!controller_client_is_set(place->conf) && access(place->folder, F_OK) < 0)
		return 0;
	return end(place, "DELETE", "", err);
}

static int list_page(const struct driver_place *all, const char *path, struct arena *arena,
	struct controller_page *ret_page, struct err *err)
{
	const struct controller_call call = { "GET", path, NULL, false, 256u << 10 };
	auto_response res = { 0 };

	if (controller_client_do(all->conf, &call, &res, err) < 0)
		return -1;
	return controller_answer_page(
		arena, (const char *)res.body.data, res.body.len, ret_page, err);
}

static int controller_list(
	const struct driver_place *all, driver_on_id *on_id, void *arg, struct err *err)
{
	auto_free char *path = mem_printf("/v1/machines?owner=%s", template_edge_spki());

	if (!controller_client_is_set(all->conf))
		return 0;
	for (int i = 0; i < PAGES_MAX; i++) {
		auto_arena struct arena *arena = arena_new();
		struct controller_page page;
		json_t *id;
		size_t k;

		if (list_page(all, path, arena, &page, err) < 0)
			return -1;
		json_array_foreach (page.items, k, id) {
			if (on_id(arg, json_string_value(id), err) < 0)
				return -1;
		}
		if (!page.next)
			return 0;
		free(path);
		path = mem_printf(
			"/v1/machines?owner=%s&page_token=%s", template_edge_spki(), page.next);
	}
	return err_set(
		err, ERR_UPSTREAM, "controller.bad_answer", "the list of machines has no end");
}

const struct driver driver_controller = {
	.name = "controller",
	.folder = "controller",
	.secret = "secret", /* never written: it goes out with the wish */
	.console = "console.log",
	.is_elsewhere = true,
	.start = controller_start,
	.inspect = controller_inspect,
	.stop = controller_stop,
	.forget = controller_forget,
	.list = controller_list,
};
