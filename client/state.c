/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint file and its lock, and the entries of tasks in it. */
#include "client/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "client/files.h"
#include "lib/buf.h"
#include "lib/crash.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define STATE_VERSION "strongroom-state-1"
#define STATE_MAX (4u * 1024u * 1024u)
#define LOCK_FILE ".pbstate.lock"

static int take_lock(int *ret_fd, struct err *err)
{
	auto_fd int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char holder[64] = "";

	if (fd < 0)
		return err_errno(err, "open '%s'", LOCK_FILE);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (read(fd, holder, sizeof(holder) - 1) < 0)
			holder[0] = '\0';
		holder[strcspn(holder, "\n")] = '\0';
		return err_set(err, ERR_CONFLICT, "state.locked",
			"another strongroom works in this folder (%s)", holder);
	}
	gethostname(holder, sizeof(holder) - 1);
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "pid %d on %s\n", (int)getpid(), holder) < 0)
		return err_errno(err, "write '%s'", LOCK_FILE);
	*ret_fd = take_fd(fd);
	return 0;
}

static int load_doc(json_t **ret_doc, struct err *err)
{
	auto_buf text = BUF_INIT(STATE_MAX);
	auto_json json_t *doc = NULL;

	if (access(STATE_FILE, F_OK) < 0) {
		*ret_doc = json_pack("{s:s,s:{}}", "v", STATE_VERSION, "tasks");
		return 0;
	}
	if (buf_read_file(&text, STATE_FILE, err) < 0)
		return -1;
	doc = json_parse(text.data ? (char *)text.data : "", text.len, err);
	if (!doc || !json_text(doc, "v") || strcmp(json_text(doc, "v"), STATE_VERSION) != 0 ||
		!json_is_object(json_object_get(doc, "tasks")))
		return err_set(err, ERR_INVALID, "state.invalid", "'%s' is not a %s document",
			STATE_FILE, STATE_VERSION);
	*ret_doc = take_ptr(doc);
	return 0;
}

int state_open(struct state *ret_state, bool write, struct err *err)
{
	struct state state = { .lock_fd = -1 };

	if (write && take_lock(&state.lock_fd, err) < 0)
		return -1;
	if (load_doc(&state.doc, err) < 0) {
		state_close(&state);
		return -1;
	}
	*ret_state = state;
	return 0;
}

void state_close(struct state *state)
{
	json_decref(state->doc);
	if (state->lock_fd >= 0)
		close(state->lock_fd);
	*state = (struct state) { .lock_fd = -1 };
}

/* The lock makes one fixed temporary name safe: a crash leaves at most one file behind, overwritten
 * next time. */
static int write_whole(const char *path, const char *what, const json_t *doc, struct err *err)
{
	auto_free char *text = json_dumps(doc, JSON_INDENT(1) | JSON_SORT_KEYS);
	auto_free char *temporary = mem_printf("%s.new", path);
	auto_fd int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	auto_fd int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || folder < 0)
		return err_errno(err, "open '%s'", temporary);
	if (files_write_all(fd, text, strlen(text), err) < 0)
		return err_wrap(err, "'%s'", temporary);
	if (fsync(fd) < 0)
		return err_errno(err, "sync '%s'", temporary);
	crash_point("checkpoint-before", what);
	if (rename(temporary, path) < 0 || fsync(folder) < 0)
		return err_errno(err, "rename '%s'", temporary);
	crash_point("checkpoint-after", what);
	return 0;
}

int state_save(struct state *state, const char *what, struct err *err)
{
	if (state->lock_fd < 0)
		return err_set(
			err, ERR_INTERNAL, "internal.state", "the state is open for reading");
	return write_whole(STATE_FILE, what, state->doc, err);
}

json_t *state_task(const struct state *state, const char *key)
{
	return json_object_get(json_object_get(state->doc, "tasks"), key);
}

const json_t *state_outputs(const struct state *state, const char *key)
{
	const json_t *entry = state_task(state, key);
	const char *what = json_text(entry, "state");

	return what && strcmp(what, "done") == 0 ? json_object_get(entry, "outputs") : NULL;
}

static void stamp(json_t *entry, const char *name)
{
	char now[CLOCK_TEXT_SIZE];

	clock_rfc3339(clock_unix_ms(), now);
	json_object_set_new(entry, name, json_string(now));
}

int state_begin(
	struct state *state, const char *key, const json_t *inputs, bool resume, struct err *err)
{
	json_t *old = state_task(state, key);
	json_int_t attempts = json_integer_value(json_object_get(old, "attempts"));
	json_t *work = resume ? json_object_get(old, "work") : NULL;
	json_t *entry = json_object();

	json_object_set_new(entry, "state", json_string("running"));
	json_object_set_new(entry, "attempts", json_integer(attempts + 1));
	json_object_set_new(entry, "inputs", json_deep_copy(inputs));
	json_object_set_new(entry, "work", work ? json_deep_copy(work) : json_object());
	if (json_object_get(old, "outputs"))
		json_object_set(entry, "previous", json_object_get(old, "outputs"));
	else if (json_object_get(old, "previous"))
		json_object_set(entry, "previous", json_object_get(old, "previous"));
	stamp(entry, "started_at");
	json_object_set_new(json_object_get(state->doc, "tasks"), key, entry);
	return state_save(state, key, err);
}

json_t *state_work(struct state *state, const char *key)
{
	return json_object_get(state_task(state, key), "work");
}

int state_finish(
	struct state *state, const char *key, json_t *outputs, json_t *files, struct err *err)
{
	json_t *entry = state_task(state, key);

	json_object_set_new(entry, "state", json_string("done"));
	json_object_set(entry, "outputs", outputs);
	json_object_set(entry, "files", files);
	json_object_del(entry, "failure");
	json_object_del(entry, "previous");
	stamp(entry, "ended_at");
	return state_save(state, key, err);
}

int state_fail(struct state *state, const char *key, const char *code, struct err *err)
{
	json_t *entry = state_task(state, key);

	json_object_set_new(entry, "state", json_string("failed"));
	json_object_set_new(entry, "failure", json_string(code));
	stamp(entry, "ended_at");
	return state_save(state, key, err);
}

void state_spend(struct state *state, const char *key, const char *why)
{
	json_t *entry = state_task(state, key);

	if (!entry)
		return;
	json_object_set_new(entry, "state", json_string("spent"));
	json_object_set_new(entry, "failure", json_string(why));
}

void state_use(struct state *state, const char *key)
{
	json_t *entry = state_task(state, key);

	if (entry)
		json_object_set_new(entry, "used", json_true());
}

bool state_is_used(const struct state *state, const char *key)
{
	return json_is_true(json_object_get(state_task(state, key), "used"));
}

void state_forget(struct state *state, const char *key)
{
	json_object_del(json_object_get(state->doc, "tasks"), key);
}

const char *state_idempotency(struct state *state, const char *key, const char *request,
	const json_t *body, struct err *err)
{
	json_t *work = state_work(state, key);
	auto_free char *name = mem_printf("idempotency-%s", request);
	char id[ID_SIZE], digest[DIGEST_TEXT_SIZE] = "";
	const char *known = json_text(json_object_get(work, name), "body");

	if (body && jcs_digest(body, digest, err) < 0)
		return NULL;
	if (!known || strcmp(known, digest) != 0) {
		id_new("req", id);
		json_object_set_new(work, name, json_pack("{s:s,s:s}", "key", id, "body", digest));
		if (state_save(state, key, err) < 0)
			return NULL;
	}
	return json_text(json_object_get(work, name), "key");
}

/* The first input whose digest is another one, or is new, or is gone. */
static const char *changed_input(const json_t *before, const json_t *now)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)now, name, value) {
		if (!json_equal(value, json_object_get(before, name)))
			return name;
	}
	json_object_foreach ((json_t *)before, name, value) {
		if (!json_object_get(now, name))
			return name;
	}
	return NULL;
}

static const char *missing_file(const json_t *files)
{
	char digest[DIGEST_TEXT_SIZE];
	const char *path;
	json_t *value;

	json_object_foreach ((json_t *)files, path, value) {
		struct err ignored = { 0 };

		if (access(path, F_OK) < 0)
			return path;
		if (strcmp(json_string_value(value), STATE_PRESENT) == 0)
			continue;
		if (files_tree_digest(path, digest, &ignored) < 0 ||
			strcmp(digest, json_string_value(value)) != 0)
			return path;
	}
	return NULL;
}

enum state_verdict state_decide(const json_t *entry, const json_t *inputs, char why[STATE_WHY_SIZE])
{
	const char *what = json_text(entry, "state");
	const char *failure = json_text(entry, "failure");
	const char *name = what ? changed_input(json_object_get(entry, "inputs"), inputs) : NULL;

	if (!what) {
		snprintf(why, STATE_WHY_SIZE, "never ran");
		return STATE_RUN;
	}
	if (strcmp(what, "spent") == 0) {
		snprintf(why, STATE_WHY_SIZE, "%s", failure ? failure : "spent");
		return STATE_RUN;
	}
	if (name) {
		snprintf(why, STATE_WHY_SIZE, "changed: %s", name);
		return STATE_CHANGED;
	}
	if (strcmp(what, "done") != 0) {
		snprintf(why, STATE_WHY_SIZE, "%s%s", failure ? "failed: " : "was interrupted",
			failure ? failure : "");
		return STATE_RESUME;
	}
	name = missing_file(json_object_get(entry, "files"));
	if (name) {
		snprintf(why, STATE_WHY_SIZE, "missing or altered: %s", name);
		return STATE_CHANGED;
	}
	snprintf(why, STATE_WHY_SIZE, "done");
	return STATE_SKIP;
}

int register_load(json_t **ret_register, struct err *err)
{
	auto_buf text = BUF_INIT(STATE_MAX);

	if (access(REGISTER_FILE, F_OK) < 0) {
		*ret_register = json_pack("{s:{}}", "properties");
		return 0;
	}
	if (buf_read_file(&text, REGISTER_FILE, err) < 0)
		return -1;
	*ret_register = json_parse(text.data ? (char *)text.data : "", text.len, err);
	return *ret_register ? 0 : err_wrap(err, "'%s'", REGISTER_FILE);
}

int register_set(json_t *reg, const char *name, const json_t *fields, struct err *err)
{
	json_object_set_new(reg, name, json_deep_copy(fields));
	return write_whole(REGISTER_FILE, "register", reg, err);
}
