/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which event goes into which PCR, in which order: OVMF of Debian 12 with a fresh variable store,
 * Secure Boot off, and QEMU 7.2. Every formula was held against quotes
 * (tests/unit/test_reference.c).
 */
#include "lib/reference.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/cpio.h"
#include "lib/firmware.h"
#include "lib/json.h"
#include "lib/kernel_image.h"
#include "lib/mem.h"
#include "lib/tpm.h"

#define INITRAMFS_MAX (512u << 20)
#define MIB_MAX (1 << 20)
#define VCPUS_MAX 1024

/* --- predicting from files --- */

static int read_file(const char *path, struct buf *file, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };

	if (buf_read_file(file, path, &inner) < 0)
		return err_set(err, ERR_INVALID, "reference.file", "%s", inner.detail);
	return 0;
}

static int predict_firmware(
	const struct reference_files *files, struct reference *reference, struct err *err)
{
	auto_buf file = BUF_INIT(FIRMWARE_MAX_BYTES);

	if (read_file(files->firmware, &file, err) < 0)
		return -1;
	digest_sha256(file.data, file.len, reference->firmware);
	if (firmware_dxe_digest(file.data, file.len, reference->dxe, err) < 0)
		return -1;
	if (files->pei)
		return codec_hex_decode(files->pei, reference->pei, DIGEST_SIZE, err);
	return firmware_pei_digest(
		reference->firmware, files->memory_mib, files->vcpus, reference->pei, err);
}

static int predict_initramfs(
	const struct reference_files *files, struct reference *reference, struct err *err)
{
	auto_buf file = BUF_INIT(INITRAMFS_MAX);

	if (read_file(files->initramfs, &file, err) < 0 || cpio_pad(&file, err) < 0)
		return -1;
	digest_state_make(file.data, file.len, &reference->initramfs);
	return 0;
}

static int predict_kernel(
	const struct reference_files *files, struct reference *reference, struct err *err)
{
	auto_buf file = BUF_INIT(KERNEL_IMAGE_MAX_BYTES);

	if (read_file(files->kernel, &file, err) < 0)
		return -1;
	return kernel_image_digest(file.data, file.len,
		reference->initramfs.size + CPIO_INITDATA_SIZE, files->memory_mib,
		reference->kernel, err);
}

int reference_predict(
	const struct reference_files *files, struct reference *ret_reference, struct err *err)
{
	struct reference reference = { .memory_mib = files->memory_mib, .vcpus = files->vcpus };

	if (strlen(files->cmdline) >= sizeof(reference.cmdline) || files->memory_mib < 64 ||
		files->memory_mib > MIB_MAX || files->vcpus < 1 || files->vcpus > VCPUS_MAX)
		return err_set(err, ERR_INVALID, "reference.invalid",
			"command line, memory or vCPUs are out of range");
	snprintf(reference.cmdline, sizeof(reference.cmdline), "%s", files->cmdline);
	if (predict_firmware(files, &reference, err) < 0 ||
		predict_initramfs(files, &reference, err) < 0 ||
		predict_kernel(files, &reference, err) < 0)
		return -1;
	*ret_reference = reference;
	return 0;
}

/* --- JSON --- */

static void state_text(const struct digest_state *state, char ret_text[CODEC_HEX_SIZE(32)])
{
	unsigned char bytes[32];

	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(state->words[i / 4] >> (24 - 8 * (i % 4)));
	codec_hex(bytes, sizeof(bytes), ret_text);
}

static json_t *digest_json(const unsigned char digest[DIGEST_SIZE])
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	return json_string(text);
}

json_t *reference_encode(const struct reference *reference)
{
	char state[CODEC_HEX_SIZE(32)];

	state_text(&reference->initramfs, state);
	return json_pack("{s:s,s:s,s:I,s:I,s:o,s:o,s:o,s:o,s:{s:I,s:s}}", "v", REFERENCE_VERSION,
		"cmdline", reference->cmdline, "memory_mib", (json_int_t)reference->memory_mib,
		"vcpus", (json_int_t)reference->vcpus, "firmware", digest_json(reference->firmware),
		"pei", digest_json(reference->pei), "dxe", digest_json(reference->dxe), "kernel",
		digest_json(reference->kernel), "initramfs", "size",
		(json_int_t)reference->initramfs.size, "state", state);
}

static int invalid(const char *member, struct err *err)
{
	return err_set(err, ERR_INVALID, "reference.invalid",
		"the reference values' member '%s' is missing or wrong", member);
}

static int read_digest(
	const json_t *json, const char *name, unsigned char ret[DIGEST_SIZE], struct err *err)
{
	const char *text = json_text(json, name);

	return text && digest_parse(text, ret, NULL) == 0 ? 0 : invalid(name, err);
}

static int read_number(const json_t *json, const char *name, long long min, long long max,
	long long *ret_number, struct err *err)
{
	const json_t *number = json_object_get(json, name);

	if (!json_is_integer(number) || json_integer_value(number) < min ||
		json_integer_value(number) > max)
		return invalid(name, err);
	*ret_number = json_integer_value(number);
	return 0;
}

static int read_state(const json_t *json, struct digest_state *state, struct err *err)
{
	const char *text = json_text(json, "state");
	unsigned char bytes[32];
	long long size = 0;

	if (json_object_size(json) != 2 ||
		read_number(json, "size", 0, INITRAMFS_MAX, &size, NULL) < 0 ||
		size % CPIO_INITDATA_SIZE != 0 || !text ||
		codec_hex_decode(text, bytes, sizeof(bytes), NULL) < 0)
		return invalid("initramfs", err);
	memset(state, 0, sizeof(*state));
	for (unsigned i = 0; i < 32; i++)
		state->words[i / 4] = state->words[i / 4] << 8 | bytes[i];
	state->size = (uint64_t)size;
	return 0;
}

int reference_decode(const json_t *json, struct reference *ret_reference, struct err *err)
{
	const char *version = json_text(json, "v"), *cmdline = json_text(json, "cmdline");
	struct reference reference = { .vcpus = 0 };

	if (json_object_size(json) != 9 || !version || strcmp(version, REFERENCE_VERSION) != 0)
		return invalid("v", err);
	if (!cmdline || strlen(cmdline) >= sizeof(reference.cmdline))
		return invalid("cmdline", err);
	snprintf(reference.cmdline, sizeof(reference.cmdline), "%s", cmdline);
	if (read_number(json, "memory_mib", 64, MIB_MAX, &reference.memory_mib, err) < 0 ||
		read_number(json, "vcpus", 1, VCPUS_MAX, &reference.vcpus, err) < 0 ||
		read_digest(json, "firmware", reference.firmware, err) < 0 ||
		read_digest(json, "pei", reference.pei, err) < 0 ||
		read_digest(json, "dxe", reference.dxe, err) < 0 ||
		read_digest(json, "kernel", reference.kernel, err) < 0 ||
		read_state(json_object_get(json, "initramfs"), &reference.initramfs, err) < 0)
		return -1;
	*ret_reference = reference;
	return 0;
}

/* --- one boot --- */

static void extend_bytes(unsigned char pcr[DIGEST_SIZE], const void *data, size_t len)
{
	unsigned char digest[DIGEST_SIZE];

	digest_sha256(data, len, digest);
	tpm_extend(pcr, digest);
}

static void extend_text(unsigned char pcr[DIGEST_SIZE], const char *text)
{
	extend_bytes(pcr, text, strlen(text));
}

static void extend_separator(unsigned char pcr[DIGEST_SIZE])
{
	extend_bytes(pcr, "\0\0\0", 4);
}

/* UEFI_VARIABLE_DATA of a variable that does not exist, or of SecureBoot = 0. */
static void extend_variable(
	unsigned char pcr[DIGEST_SIZE], const unsigned char guid[16], const char *name, size_t size)
{
	unsigned char event[64] = { 0 };
	size_t len = strlen(name);

	memcpy(event, guid, 16);
	event[16] = (unsigned char)len;
	event[24] = (unsigned char)size;
	for (size_t i = 0; i < len; i++)
		event[32 + 2 * i] = (unsigned char)name[i];
	extend_bytes(pcr, event, 32 + 2 * len + size);
}

static void extend_secure_boot(unsigned char pcr[DIGEST_SIZE])
{
	static const unsigned char global[16] = { 0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11,
		0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c };
	static const unsigned char database[16] = { 0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45,
		0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f };

	extend_variable(pcr, global, "SecureBoot", 1);
	extend_variable(pcr, global, "PK", 0);
	extend_variable(pcr, global, "KEK", 0);
	extend_variable(pcr, database, "db", 0);
	extend_variable(pcr, database, "dbx", 0);
}

/* BootOrder is one entry, Boot0000, which is the firmware's own menu. */
static void extend_boot_options(unsigned char pcr[DIGEST_SIZE])
{
	static const unsigned char menu[] = { 0x09, 0x01, 0x00, 0x00, 0x2c, 0x00, 'U', 0, 'i', 0,
		'A', 0, 'p', 0, 'p', 0, 0, 0, 0x04, 0x07, 0x14, 0x00, 0xc9, 0xbd, 0xb8, 0x7c, 0xeb,
		0xf8, 0x34, 0x4f, 0xaa, 0xea, 0x3e, 0xe4, 0xaf, 0x65, 0x16, 0xa1, 0x04, 0x06, 0x14,
		0x00, 0x21, 0xaa, 0x2c, 0x46, 0x14, 0x76, 0x03, 0x45, 0x83, 0x6e, 0x8a, 0xb6, 0xf4,
		0x66, 0x23, 0x31, 0x7f, 0xff, 0x04, 0x00 };

	extend_bytes(pcr, "\0", 2);
	extend_bytes(pcr, menu, sizeof(menu));
}

/* As OVMF hands it to the kernel: UTF-16 with a NUL, and the initrd that it serves. */
static void cmdline_digest(const char *cmdline, unsigned char ret_digest[DIGEST_SIZE])
{
	static const char tail[] = " initrd=initrd";
	unsigned char wide[2 * (REFERENCE_CMDLINE_MAX + sizeof(tail))] = { 0 };
	size_t len = strlen(cmdline), all = len + sizeof(tail);

	for (size_t i = 0; i < all; i++)
		wide[2 * i] = (unsigned char)(i < len ? cmdline[i] : tail[i - len]);
	digest_sha256(wide, 2 * all, ret_digest);
}

static int initrd_digest(const struct digest_state *initramfs, const char *initdata, size_t len,
	unsigned char ret_digest[DIGEST_SIZE], struct err *err)
{
	auto_buf archive = BUF_INIT(CPIO_INITDATA_SIZE);

	if (cpio_add_initdata(&archive, initdata, len, err) < 0)
		return -1;
	digest_state_finish(initramfs, archive.data, archive.len, ret_digest);
	return 0;
}

int reference_boot(const struct reference *reference, const char *initdata, size_t len,
	struct reference_boot *ret_boot, struct err *err)
{
	struct reference_boot boot = { .pcrs = { { 0 } } };

	if (initrd_digest(&reference->initramfs, initdata, len, boot.initrd, err) < 0)
		return -1;
	cmdline_digest(reference->cmdline, boot.cmdline);
	extend_bytes(boot.pcrs[0], "\0", 2); /* the version: an empty text */
	tpm_extend(boot.pcrs[0], reference->pei);
	tpm_extend(boot.pcrs[0], reference->dxe);
	extend_boot_options(boot.pcrs[1]);
	tpm_extend(boot.pcrs[4], reference->kernel);
	extend_text(boot.pcrs[4], "Calling EFI Application from Boot Option");
	extend_secure_boot(boot.pcrs[7]);
	for (unsigned i = 0; i <= 7; i++)
		extend_separator(boot.pcrs[i]);
	extend_text(boot.pcrs[5], "Exit Boot Services Invocation");
	extend_text(boot.pcrs[5], "Exit Boot Services Returned with Success");
	tpm_extend(boot.pcrs[9], boot.cmdline);
	tpm_extend(boot.pcrs[9], boot.initrd);
	*ret_boot = boot;
	return 0;
}

json_t *reference_pcrs(const struct reference *reference)
{
	char hex[CODEC_HEX_SIZE(DIGEST_SIZE)], name[8];
	struct reference_boot boot;
	json_t *pcrs = json_object();

	if (reference_boot(reference, "", 0, &boot, NULL) < 0)
		return pcrs;
	for (unsigned i = 0; i + 1 < REFERENCE_PCRS; i++) {
		codec_hex(boot.pcrs[i], DIGEST_SIZE, hex);
		snprintf(name, sizeof(name), "%u", i);
		json_object_set_new(pcrs, name, json_string(hex));
	}
	return pcrs;
}
