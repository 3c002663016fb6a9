/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes are sections inside an LZMA section, which is found by its GUID. */
#include "lib/firmware.h"

#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/mem.h"

#define INNER_MAX (64u << 20)
#define SECTION_GUID_DEFINED 0x02
#define SECTION_VOLUME 0x17
#define EXTENDED_SIZE 0xffffffu

/* EE4E5898-3914-4259-9D6E-DC7BD79403CF */
static const unsigned char LZMA_GUID[16] = { 0x98, 0x58, 0x4e, 0xee, 0x14, 0x39, 0x59, 0x42, 0x9d,
	0x6e, 0xdc, 0x7b, 0xd7, 0x94, 0x03, 0xcf };

struct section {
	unsigned type;
	size_t size, head; /* all of it, and before the content */
};

static int bad(const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "firmware.format", "the firmware %s", what);
}

static size_t number(const unsigned char *bytes, size_t size)
{
	size_t value = 0;

	while (size-- > 0)
		value = value << 8 | bytes[size];
	return value;
}

static int read_section(
	const unsigned char *data, size_t len, struct section *ret_section, struct err *err)
{
	struct section section = { .head = 4 };

	if (len < 8)
		return bad("ends within a section", err);
	section.size = number(data, 3);
	section.type = data[3];
	if (section.size == EXTENDED_SIZE) {
		section.size = number(data + 4, 4);
		section.head = 8;
	}
	if (section.size < section.head || section.size > len)
		return bad("has a section of an impossible size", err);
	*ret_section = section;
	return 0;
}

/* The compressed bytes: behind the section's head, its GUID and the offset of the data. */
static int find_compressed(const unsigned char *file, size_t len, const unsigned char **ret_data,
	size_t *ret_len, struct err *err)
{
	const unsigned char *guid = memmem(file, len, LZMA_GUID, sizeof(LZMA_GUID)), *start;
	struct section section = { .size = 0 };
	size_t offset;

	if (!guid || guid - file < 4)
		return bad("has no LZMA section", err);
	start = guid - 4;
	if (read_section(start, len - (size_t)(start - file), &section, err) < 0)
		return -1;
	if (section.type != SECTION_GUID_DEFINED || section.size < 24)
		return bad("has no LZMA section", err);
	offset = number(start + 20, 2);
	if (offset < 24 || offset > section.size)
		return bad("has a section of an impossible size", err);
	*ret_data = start + offset;
	*ret_len = section.size - offset;
	return 0;
}

static int decompress(const unsigned char *data, size_t len, unsigned char **ret_inner,
	size_t *ret_len, struct err *err)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	auto_free unsigned char *inner = NULL;
	lzma_ret result;
	size_t size;

	if (len < 13 || (size = number(data + 5, 8)) > INNER_MAX || size == 0)
		return bad("has no LZMA stream of a known size", err);
	inner = mem_alloc(size);
	stream.next_in = data;
	stream.avail_in = len;
	stream.next_out = inner;
	stream.avail_out = size;
	if (lzma_alone_decoder(&stream, INNER_MAX) != LZMA_OK)
		return err_set(err, ERR_INTERNAL, "firmware.lzma", "cannot start to decompress");
	result = lzma_code(&stream, LZMA_FINISH);
	lzma_end(&stream);
	if ((result != LZMA_OK && result != LZMA_STREAM_END) || stream.avail_out != 0)
		return bad("has a damaged LZMA stream", err);
	*ret_inner = take_ptr(inner);
	*ret_len = size;
	return 0;
}

int firmware_dxe_digest(
	const void *file, size_t len, unsigned char ret_digest[DIGEST_SIZE], struct err *err)
{
	auto_free unsigned char *inner = NULL;
	const unsigned char *data = NULL;
	unsigned n_volumes = 0;
	struct section section = { .size = 0 };
	size_t size = 0;

	if (find_compressed(file, len, &data, &size, err) < 0 ||
		decompress(data, size, &inner, &size, err) < 0)
		return -1;
	if (!inner)
		return bad("has nothing in it", err);
	for (size_t at = 0; at < size; at = (at + section.size + 3) & ~(size_t)3) {
		if (read_section(inner + at, size - at, &section, err) < 0)
			return -1;
		if (section.type != SECTION_VOLUME || ++n_volumes < 2)
			continue;
		digest_sha256(inner + at + section.head, section.size - section.head, ret_digest);
		return 0;
	}
	return bad("has no second volume", err);
}

/* --- golden values, learned by `strongroom template measure --learn` --- */

static const struct golden {
	const char *firmware; /* SHA-256 of the file */
	int memory_mib, vcpus;
	const char *pei;
} GOLDEN[] = {
	/* Debian 12, ovmf 2022.11-6+deb12u2, OVMF_CODE.fd */
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 256, 1,
		"f163cd8fcee98919f1aacec92a7b734a1fcac8d015b60a6ac8c6db4e9dd9b0ce" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 512, 1,
		"8bb8905a47c8e299015674aaad7c962bd93477eba2f85d30974e6b3dce64faac" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 768, 1,
		"f0e4d02d3ef25ef155b17bef9686e949d80ff08656cb623e707105583c22d3b2" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 1024, 1,
		"0a1d9b9b2dce86ed105c5c9337a787cd51190cdea246ff0b52da81822ad3026d" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 1536, 1,
		"66bf52043b25c4c4028cff716b4636a83eb21f7a370c7c19801822677e394a30" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 2048, 1,
		"1f4a59fa6be049f3a7a72e04835bb7747a9958a1339e3acf5689552ac33a40a8" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 3072, 1,
		"1f4a59fa6be049f3a7a72e04835bb7747a9958a1339e3acf5689552ac33a40a8" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 768, 2,
		"8363dbb11421f504be687fb93137b1b152c5c9bbc454313e910c871d7801a263" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 768, 4,
		"8c9c24c2ea14556bf576e7c383324ef4fbb0717f6d0e77527cd4122d9ba27162" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 2048, 2,
		"b0d991bd8dc7c6a6ab89018a573dc45e39ceee501038ed2a2f49ce31e7e6bcdf" },
	{ "d9b568def24088c92f34b5479e0ed7e44d0a4d4cea8a0f5716719180bba48106", 2048, 4,
		"92f9220c9d851e83120683827b9cb29a2e53e8289acce4aaa51ec39318a6e902" },
	/* Debian 12, ovmf 2022.11-6+deb12u2, OVMF_CODE_4M.fd */
	{ "b157d97b1f69729514feb7f201d2cbe4957f23ab77920e361fe9f822ba49ca4c", 256, 1,
		"a87d62757d139619887b30e73c66a06bdcb97eb869f7f096a65657daa421a732" },
	{ "b157d97b1f69729514feb7f201d2cbe4957f23ab77920e361fe9f822ba49ca4c", 512, 1,
		"f4f0c52697278027731926901650c9eccd0e4181d6b63339c07552c2c969915d" },
};

int firmware_pei_digest(const unsigned char file_digest[DIGEST_SIZE], long long memory_mib,
	long long vcpus, unsigned char ret_digest[DIGEST_SIZE], struct err *err)
{
	char hex[CODEC_HEX_SIZE(DIGEST_SIZE)];

	codec_hex(file_digest, DIGEST_SIZE, hex);
	for (size_t i = 0; i < ARRAY_LEN(GOLDEN); i++) {
		if (strcmp(GOLDEN[i].firmware, hex) == 0 && GOLDEN[i].memory_mib == memory_mib &&
			GOLDEN[i].vcpus == vcpus)
			return codec_hex_decode(GOLDEN[i].pei, ret_digest, DIGEST_SIZE, err);
	}
	return err_set(err, ERR_NOT_FOUND, "firmware.no_golden",
		"no value for the firmware %.12s… with %lld MiB and %lld vCPUs", hex, memory_mib,
		vcpus);
}
