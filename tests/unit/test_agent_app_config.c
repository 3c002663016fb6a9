/* SPDX-License-Identifier: Apache-2.0 */
/* What an app finds of its datasets: guest-local places and no query string where the agent reaches
 * them, the real ones where the app does. Runs against a folder. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/app_config.h"
#include "agent/rootfs_path.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define RW "/opt/fortanix/enclave-os/app-config/rw"
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECRET "{\"query_string\":\"c2lnPTE=\",\"encryption\":{\"key\":\"" KEY "\"}}"
#define BARE "{\"query_string\":null,\"encryption\":null}"
#define DOCUMENT                                                                                   \
	"{\"egress\":{\"mode\":\"%s\",\"domains\":[]},\"app\":%s,\"inputs\":["                     \
	"{\"slot\":\"input/rows\",\"object\":\"o\"},"                                              \
	"{\"slot\":\"credentials/input/a\",\"port\":\"input\",\"name\":\"a\","                     \
	"\"location\":{\"url\":\"https://store.example/a%%20b\"}}],\"outputs\":["                  \
	"{\"slot\":\"credentials/output/b\",\"port\":\"output\",\"name\":\"b\","                   \
	"\"location\":{\"url\":\"https://store.example/b\"}}]}"
#define APP                                                                                        \
	"{\"app_config_id\":\"x\",\"runtime\":{\"app_config\":{\"" RW "/c/d.txt\":"                \
	"{\"contents\":\"eA==\"}},\"labels\":{},\"zone_ca\":[]}}"

static struct err err;
static char root[] = "/tmp/app-config-XXXXXX";

/* What lies there; "" when nothing does. */
static const char *text_of(const char *path)
{
	static struct buf text = BUF_INIT(65536);
	auto_free char *full = mem_printf("%s%s", root, path);

	buf_release(&text);
	return buf_read_file(&text, full, NULL) < 0 || !text.data ? "" : (const char *)text.data;
}

static unsigned mode_of(const char *path)
{
	auto_free char *full = mem_printf("%s%s", root, path);
	struct stat st;

	return lstat(full, &st) < 0 ? 0 : st.st_mode & 07777;
}

static json_t *parse(const char *text)
{
	json_t *value = json_parse(text, strlen(text), &err);

	CHECK(value);
	return value;
}

static int write_for(const char *mode, const char *app)
{
	auto_free char *text = mem_printf(DOCUMENT, mode, app);
	auto_json json_t *doc = parse(text),
			 *credentials = json_pack("{s:o,s:o}", "credentials/input/a", parse(SECRET),
				 "credentials/output/b", parse(BARE));
	struct job job = { .rootfs_dir = root,
		.policy = { .doc = doc },
		.secrets = { .credentials = credentials } };

	CHECK(app_config_wanted(&job.policy));
	return app_config_write(&job, &err);
}

static void test_managed(void)
{
	CHECK(write_for("managed", APP) == 0);
	CHECK_TEXT(text_of(RW "/input/a/dataset/location.txt"), "http://127.0.0.1:9093/input/a");
	CHECK_TEXT(text_of(RW "/output/b/dataset/location.txt"), "http://127.0.0.1:9093/output/b");
	CHECK_TEXT(text_of(RW "/input/a/dataset/credentials.bin"),
		"{\"query_string\":\"bWFuYWdlZD0x\",\"encryption\":{\"key\":\"" KEY "\"}}");
	CHECK_TEXT(text_of(RW "/output/b/dataset/credentials.bin"), BARE);
	CHECK_TEXT(text_of(RW "/c/d.txt"), "x");
	CHECK(strstr(text_of(RW "/app-config.json"),
		"\"connections\":{\"input\":{\"a\":{\"dataset\":{\"location\":"
		"\"http://127.0.0.1:9093/input/a\"}}}"));
	CHECK(!strstr(text_of(RW "/app-config.json"), KEY));
	CHECK_NUMBER(mode_of(RW "/input/a/dataset/credentials.bin"), 0600);
	CHECK_NUMBER(mode_of(RW "/input"), 0755);
}

/* Over what was there, and without an app: the ports alone. */
static void test_direct(void)
{
	CHECK(write_for("direct", "null") == 0);
	CHECK_TEXT(text_of(RW "/input/a/dataset/location.txt"), "https://store.example/a%20b");
	CHECK_TEXT(text_of(RW "/input/a/dataset/credentials.bin"), SECRET);
}

/* A link of the image is followed as if its root were '/', and never written through. */
static void test_links(void)
{
	auto_free char *file = mem_printf("%s" RW "/output/b/dataset/location.txt", root);

	CHECK(unlink(file) == 0 && symlink("/tmp/app-config-outside", file) == 0);
	CHECK(write_for("managed", APP) == 0);
	CHECK(access("/tmp/app-config-outside", F_OK) < 0);
	CHECK_TEXT(text_of(RW "/output/b/dataset/location.txt"), "http://127.0.0.1:9093/output/b");
}

static void test_folder_that_leads_out(void)
{
	auto_free char *opt = mem_printf("%s/opt", root), *away = mem_printf("%s/away", root);

	CHECK(rename(opt, away) == 0 && symlink("../../../../away", opt) == 0);
	CHECK(write_for("direct", APP) == 0);
	CHECK_TEXT(text_of("/away/fortanix/enclave-os/app-config/rw/input/a/dataset/location.txt"),
		"https://store.example/a%20b");
	CHECK(unlink(opt) == 0);
}

static void test_nothing_wanted(void)
{
	auto_json json_t *doc = parse("{\"app\":null,\"inputs\":[{\"slot\":\"input/rows\"}]}");
	struct job job = { .rootfs_dir = root, .policy = { .doc = doc } };

	CHECK(!app_config_wanted(&job.policy) && app_config_write(&job, &err) == 0);
	CHECK(mode_of("/opt") == 0);
}

static void test_env(void)
{
	static const char *const env[] = { "NODE_AGENT=127.0.0.1:9092", "https_proxy=x", NULL };

	CHECK(app_config_is_env(env, "NODE_AGENT") && app_config_is_env(env, "https_proxy"));
	CHECK(!app_config_is_env(env, "NODE") && !app_config_is_env(env, "PATH"));
}

int main(void)
{
	auto_fd int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	CHECK(mkdtemp(root));
	test_nothing_wanted();
	test_env();
	test_managed();
	test_direct();
	test_links();
	test_folder_that_leads_out();
	CHECK(rootfs_path_remove(tmp, root + strlen("/tmp/"), NULL, &err) == 0);
	CHECK_DONE();
}
