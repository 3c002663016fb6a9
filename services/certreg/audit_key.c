/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the log's key and the list of witnesses. */
#include "services/certreg/audit_key.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/mem.h"

#define FILE_MAX_BYTES (16 * 1024)

static struct audit_key key; /* written by audit_key_read() only */

static int read_private(const char *path, const char *base_url, struct err *err)
{
	struct buf pem = BUF_INIT(FILE_MAX_BYTES);
	char origin[NOTE_MAX_NAME + 1];
	int result = buf_read_file(&pem, path, err);

	if (result == 0)
		result = cert_key_read((const char *)pem.data, pem.len, &key.private_key, err);
	buf_wipe(&pem);
	if (result < 0)
		return err_wrap(err, "audit_key");
	if (!checkpoint_origin(base_url, origin))
		return err_set(err, ERR_INVALID, "config.bad_audit_key",
			"base_url '%s' gives the audit log no name", base_url);
	return note_key_of(key.private_key, origin, false, &key.own, err);
}

/* One verifier key a line; empty lines and lines with # in front say nothing. */
static int read_witnesses(const char *path, struct err *err)
{
	auto_buf file = BUF_INIT(FILE_MAX_BYTES);
	char *line, *rest;

	if (buf_read_file(&file, path, err) < 0)
		return err_wrap(err, "witness_keys");
	rest = (char *)file.data;
	while ((line = strsep(&rest, "\n"))) {
		struct note_key *witness = &key.witnesses[key.n_witnesses];

		if (!*line || *line == '#')
			continue;
		if (key.n_witnesses == AUDIT_MAX_WITNESSES)
			return err_set(err, ERR_INVALID, "config.bad_audit_key",
				"more than %d witnesses", AUDIT_MAX_WITNESSES);
		if (note_key_parse(line, witness, err) < 0)
			return err_wrap(err, "witness_keys '%s'", path);
		if (!witness->is_witness)
			return err_set(err, ERR_INVALID, "config.bad_audit_key",
				"'%s' is no witness's key", witness->name);
		key.n_witnesses++;
	}
	return 0;
}

int audit_key_read(const struct certreg *certreg, const char *base_url,
	const struct audit_key **ret_key, struct err *err)
{
	if (read_private(certreg->audit_key, base_url, err) < 0)
		return -1;
	if (certreg->witness_keys && *certreg->witness_keys &&
		read_witnesses(certreg->witness_keys, err) < 0)
		return -1;
	*ret_key = &key;
	return 0;
}

void audit_key_wipe(void)
{
	EVP_PKEY_free(key.private_key);
	explicit_bzero(&key, sizeof(key));
}
