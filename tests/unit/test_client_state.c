/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint: what is skipped, resumed and done again, and that a lock keeps a second program
 * out. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/files.h"
#include "client/state.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static json_t *inputs_of(const char *value)
{
	return json_pack("{s:s,s:s}", "field url", value, "file app", "sha256:0");
}

static void test_decide(void)
{
	auto_json json_t *before = inputs_of("a"), *now = inputs_of("b"), *more = inputs_of("a");
	auto_json json_t *done = json_pack("{s:s,s:O}", "state", "done", "inputs", before);
	auto_json json_t *half = json_pack("{s:s,s:O}", "state", "running", "inputs", before);
	auto_json json_t *failed = json_pack(
		"{s:s,s:s,s:O}", "state", "failed", "failure", "run.failed", "inputs", before);
	auto_json json_t *spent = json_pack(
		"{s:s,s:s,s:O}", "state", "spent", "failure", "its key went", "inputs", before);
	char why[STATE_WHY_SIZE];

	json_object_set_new(more, "field ref", json_string("x"));
	CHECK_NUMBER(state_decide(NULL, now, why), STATE_RUN);
	CHECK_NUMBER(state_decide(done, before, why), STATE_SKIP);
	CHECK_NUMBER(state_decide(done, now, why), STATE_CHANGED);
	CHECK_TEXT(why, "changed: field url");
	CHECK_NUMBER(state_decide(done, more, why), STATE_CHANGED);
	CHECK_TEXT(why, "changed: field ref");
	CHECK_NUMBER(state_decide(half, before, why), STATE_RESUME);
	CHECK_NUMBER(state_decide(half, now, why), STATE_CHANGED);
	CHECK_NUMBER(state_decide(failed, before, why), STATE_RESUME);
	CHECK_TEXT(why, "failed: run.failed");
	CHECK_NUMBER(state_decide(spent, before, why), STATE_RUN);
	CHECK_TEXT(why, "its key went");
}

static void test_made_files(void)
{
	auto_json json_t *inputs = inputs_of("a"), *entry = NULL;
	char digest[DIGEST_TEXT_SIZE], why[STATE_WHY_SIZE];
	struct err err = { 0 };

	CHECK_NUMBER(buf_write_file("made", "one", 3, 0600, &err), 0);
	CHECK_NUMBER(files_tree_digest("made", digest, &err), 0);
	entry = json_pack(
		"{s:s,s:O,s:{s:s}}", "state", "done", "inputs", inputs, "files", "made", digest);
	CHECK_NUMBER(state_decide(entry, inputs, why), STATE_SKIP);
	CHECK_NUMBER(buf_write_file("made", "two", 3, 0600, &err), 0);
	CHECK_NUMBER(state_decide(entry, inputs, why), STATE_CHANGED);
	json_object_set_new(json_object_get(entry, "files"), "made", json_string(STATE_PRESENT));
	CHECK_NUMBER(state_decide(entry, inputs, why), STATE_SKIP);
	unlink("made");
	CHECK_NUMBER(state_decide(entry, inputs, why), STATE_CHANGED);
	CHECK_TEXT(why, "missing or altered: made");
}

/* What a crash leaves is what was saved: work stays over a resume, and is new when inputs changed.
 */
static void test_work(void)
{
	auto_json json_t *inputs = inputs_of("a"), *outputs = json_pack("{s:s}", "id", "x");
	auto_json json_t *made = json_object();
	auto_json json_t *body = json_pack("{s:i,s:i}", "a", 1, "b", 2);
	auto_free char *key = NULL;
	struct state state;
	struct err err = { 0 };
	struct stat st;

	CHECK_NUMBER(state_open(&state, true, &err), 0);
	CHECK_NUMBER(state_begin(&state, "get-certs", inputs, false, &err), 0);
	key = mem_strdup(state_idempotency(&state, "get-certs", "post", body, &err));
	state_close(&state);
	CHECK_NUMBER(state_open(&state, true, &err), 0);
	CHECK_NUMBER(state_begin(&state, "get-certs", inputs, true, &err), 0);
	CHECK_TEXT(state_idempotency(&state, "get-certs", "post", body, &err), key);
	CHECK_TEXT(state_idempotency(&state, "get-certs", "post", body, &err), key);
	CHECK(strcmp(state_idempotency(&state, "get-certs", "post", inputs, &err), key) != 0);
	CHECK(strcmp(state_idempotency(&state, "get-certs", "put", body, &err), key) != 0);
	CHECK_NUMBER(
		json_integer_value(json_object_get(state_task(&state, "get-certs"), "attempts")),
		2);
	CHECK(state_outputs(&state, "get-certs") == NULL);
	CHECK_NUMBER(state_finish(&state, "get-certs", outputs, made, &err), 0);
	CHECK_TEXT(json_text(state_outputs(&state, "get-certs"), "id"), "x");
	CHECK_NUMBER(state_begin(&state, "get-certs", inputs, false, &err), 0);
	CHECK(strcmp(state_idempotency(&state, "get-certs", "post", body, &err), key) != 0);
	CHECK_TEXT(
		json_text(json_object_get(state_task(&state, "get-certs"), "previous"), "id"), "x");
	state_close(&state);
	CHECK_NUMBER(stat(STATE_FILE, &st), 0);
	CHECK_NUMBER(st.st_mode & 0777, 0600);
}

static void test_lock_and_damage(void)
{
	struct state first, second = { .lock_fd = -1 };
	struct err err = { 0 };

	CHECK_NUMBER(state_open(&first, true, &err), 0);
	CHECK_FAILS(state_open(&second, true, &err), &err, "state.locked");
	CHECK_NUMBER(state_open(&second, false, &err), 0);
	CHECK_FAILS(state_save(&second, "x", &err), &err, "internal.state");
	state_close(&second);
	state_close(&first);
	CHECK_NUMBER(buf_write_file(STATE_FILE, "{\"v\":1", 6, 0600, &err), 0);
	CHECK_FAILS(state_open(&second, true, &err), &err, "state.invalid");
}

int main(void)
{
	char folder[] = "/tmp/strongroom-state-XXXXXX";
	struct err err = { 0 };

	CHECK(mkdtemp(folder) && chdir(folder) == 0);
	test_decide();
	test_made_files();
	test_work();
	test_lock_and_damage();
	CHECK(chdir("/") == 0);
	CHECK_NUMBER(files_tree_remove(folder, &err), 0);
	CHECK_DONE();
}
