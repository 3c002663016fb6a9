/* SPDX-License-Identifier: Apache-2.0 */
/* One blob out of the registry, hashed as it comes. A cut connection is taken up by Range; a server
 * that does not know Range sends too much and is asked for the whole again. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/oci_registry_inner.h"

struct download {
	struct oci_registry *registry;
	const struct oci_blob *blob;
	int fd;
	struct digest_stream *digest;
	long long offset, best;
	bool is_resumed; /* some of it came by Range */
};

static int take(void *arg, const void *data, size_t len, struct err *err)
{
	struct download *down = arg;
	const char *at = data;

	if ((long long)len > down->blob->size - down->offset)
		return err_set(err, ERR_UPSTREAM, "oci.digest", "more than the %lld bytes of %s",
			down->blob->size, down->blob->digest);
	digest_stream_add(down->digest, data, len);
	while (len > 0) {
		ssize_t done = pwrite(down->fd, at, len, down->offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(err, "write a blob");
		at += done;
		len -= (size_t)done;
		down->offset += done;
	}
	return 0;
}

static void show(void *arg, long long done, long long total)
{
	const struct download *down = arg;
	const struct oci_registry_conf *conf = &down->registry->conf;

	(void)done, (void)total;
	conf->progress(conf->progress_arg, down->offset, down->blob->size);
}

static int from_start(struct download *down, struct err *err)
{
	digest_stream_free(down->digest);
	down->digest = digest_stream_new();
	down->offset = 0;
	down->is_resumed = false;
	if (ftruncate(down->fd, 0) < 0)
		return err_errno(err, "empty a file");
	return 0;
}

static int get_rest(struct download *down, struct err *err)
{
	auto_free char *path =
		mem_printf("/v2/%s/blobs/%s", down->registry->repository, down->blob->digest);
	auto_free char *range = mem_printf("Range: bytes=%lld-", down->offset);
	struct oci_call call = {
		.method = "GET",
		.path = path,
		.headers = { down->offset > 0 ? range : NULL },
		.io = { .timeout_ms = -1, .sink = take, .sink_arg = down },
	};
	auto_response res = { 0 };

	if (down->registry->conf.progress) {
		call.io.progress = show;
		call.io.progress_arg = down;
	}
	down->is_resumed = down->is_resumed || down->offset > 0;
	if (oci_registry_call(down->registry, &call, &res, err) < 0)
		return -1;
	if (res.status != 200 && res.status != 206)
		return oci_registry_refused(&res, "get a blob", err);
	if (down->offset != down->blob->size)
		return err_set(err, ERR_UPSTREAM, "upstream.truncated", "%lld of %lld bytes came",
			down->offset, down->blob->size);
	return 0;
}

static int compare(struct download *down, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];

	digest_stream_finish_text(down->digest, digest);
	if (strcmp(digest, down->blob->digest) != 0)
		return err_set(err, ERR_UPSTREAM, "oci.digest", "blob %s came with digest %s",
			down->blob->digest, digest);
	return 0;
}

/* Until everything is there, or no attempt is left. */
static int get_all(struct download *down, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };
	unsigned failures = 0;

	while (down->offset < down->blob->size && get_rest(down, &inner) < 0) {
		if (down->offset > down->best) {
			down->best = down->offset;
			failures = 0;
		}
		if (!oci_registry_again(down->registry, &inner, &failures)) {
			if (err)
				*err = inner;
			return -1;
		}
	}
	return compare(down, err);
}

/* What came in pieces and does not fit may have been pieces of different things. */
static bool is_worth_a_whole(const struct download *down, const struct err *err)
{
	return down->is_resumed &&
	       (strcmp(err->code, "oci.digest") == 0 || strcmp(err->code, "registry.refused") == 0);
}

int oci_registry_get_blob(
	struct oci_registry *registry, const struct oci_blob *blob, int fd, struct err *err)
{
	struct download down = { .registry = registry, .blob = blob, .fd = fd };
	struct err inner = { .kind = ERR_NONE };
	int result = from_start(&down, &inner);

	if (result == 0)
		result = get_all(&down, &inner);
	if (result < 0 && is_worth_a_whole(&down, &inner)) {
		result = from_start(&down, &inner);
		if (result == 0)
			result = get_all(&down, &inner);
	}
	digest_stream_free(down.digest);
	if (result == 0)
		return 0;
	if (ftruncate(fd, 0) < 0)
		err_wrap(&inner, "the file could not be emptied");
	if (err)
		*err = inner;
	return -1;
}
