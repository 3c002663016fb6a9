/* SPDX-License-Identifier: Apache-2.0 */
/* git clone and checkout of one ref. */
#include "client/codebase.h"

/* Not git2.h: its index.h has a member that lib/banned.h forbids as a function. */
#include <git2/clone.h>
#include <git2/errors.h>
#include <git2/global.h>
#include <git2/object.h>
#include <git2/repository.h>
#include <git2/revparse.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"

struct login {
	const struct codebase_conf *conf;
	unsigned tries;
};

static int give_credentials(git_credential **ret_credential, const char *url, const char *username,
	unsigned allowed, void *arg)
{
	struct login *login = arg;
	auto_buf password = BUF_INIT(4096);
	struct err err = { 0 };

	(void)url;
	if (!login->conf->password_file || login->tries++ ||
		!(allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT))
		return GIT_EAUTH;
	if (buf_read_file(&password, login->conf->password_file, &err) < 0 || !password.data)
		return GIT_EAUTH;
	password.data[strcspn((char *)password.data, "\r\n")] = '\0';
	return git_credential_userpass_plaintext_new(ret_credential,
		login->conf->username ? login->conf->username
		: username	      ? username
				      : "git",
		(char *)password.data);
}

static int git_failure(struct err *err, const char *code, const char *what, const char *name)
{
	const git_error *reason = git_error_last();

	return err_set(err, ERR_INVALID, code, "%s '%s': %s", what, name,
		reason ? reason->message : "no reason given");
}

/* A ref as people write it: a tag or commit, or a branch that so far exists on the remote only. */
static int find_ref(
	git_repository *repository, const char *ref, git_object **ret_object, struct err *err)
{
	auto_free char *remote = mem_printf("refs/remotes/origin/%s", ref);
	git_object *object = NULL;

	if (git_revparse_single(&object, repository, remote) < 0 &&
		git_revparse_single(&object, repository, ref) < 0)
		return git_failure(err, "codebase.ref", "find ref", ref);
	if (git_object_peel(ret_object, object, GIT_OBJECT_COMMIT) < 0) {
		git_object_free(object);
		return git_failure(err, "codebase.ref", "find the commit of", ref);
	}
	git_object_free(object);
	return 0;
}

static int check_out(
	git_repository *repository, const char *ref, char ret_commit[41], struct err *err)
{
	git_checkout_options options;
	git_object *commit = NULL;
	int result = 0;

	if (find_ref(repository, ref ? ref : "HEAD", &commit, err) < 0)
		return -1;
	git_checkout_options_init(&options, GIT_CHECKOUT_OPTIONS_VERSION);
	options.checkout_strategy = GIT_CHECKOUT_FORCE;
	if (git_checkout_tree(repository, commit, &options) < 0 ||
		git_repository_set_head_detached(repository, git_object_id(commit)) < 0)
		result = git_failure(err, "codebase.ref", "check out", ref ? ref : "HEAD");
	git_oid_tostr(ret_commit, 41, git_object_id(commit));
	git_object_free(commit);
	return result;
}

/* scheme://user[:secret]@host: the part before the first slash behind the scheme holds an @ */
static int check_url(const char *url, struct err *err)
{
	const char *host = strstr(url, "://");
	size_t len = host ? strcspn(host + 3, "/") : 0;

	if (host && memchr(host + 3, '@', len) && strncmp(url, "http", 4) == 0)
		return err_set(err, ERR_INVALID, "codebase.url",
			"no user or password in the address; use credentials.password_file");
	return 0;
}

int codebase_clone(const struct codebase_conf *conf, char ret_commit[41], struct err *err)
{
	git_clone_options options;
	struct login login = { .conf = conf };
	git_repository *repository = NULL;
	int result;

	if (check_url(conf->url, err) < 0)
		return -1;
	git_libgit2_init();
	git_clone_options_init(&options, GIT_CLONE_OPTIONS_VERSION);
	options.checkout_opts.checkout_strategy = GIT_CHECKOUT_NONE;
	options.fetch_opts.callbacks.credentials = give_credentials;
	options.fetch_opts.callbacks.payload = &login;
	if (git_clone(&repository, conf->url, conf->dest, &options) < 0)
		result = git_failure(err, "codebase.clone", "clone", conf->url);
	else
		result = check_out(repository, conf->ref, ret_commit, err);
	git_repository_free(repository);
	git_libgit2_shutdown();
	return result;
}
