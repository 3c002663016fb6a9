/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets: Documentation/arch/x86/boot.rst of Linux, and the PE format. */
#include "lib/kernel_image.h"

#include <stdbool.h>
#include <string.h>

/* The setup header. */
#define PROTOCOL 0x206
#define LOADER_TYPE 0x210
#define LOAD_FLAGS 0x211
#define RAMDISK_ADDRESS 0x218
#define RAMDISK_SIZE 0x21c
#define HEAP_END 0x224
#define CMDLINE_POINTER 0x228
#define RAMDISK_MAX 0x22c
#define XLOAD_FLAGS 0x236
#define HEADER_END 0x268

#define LOADER_QEMU 0xb0
#define CAN_USE_HEAP 0x80
#define LOADED_ABOVE_4G 2u
#define CMDLINE_AT 0x20000u
#define HEAP_END_VALUE (CMDLINE_AT - 0x10000u - 0x200u)
#define ACPI_SIZE 0x28000u
#define Q35_LOW_LIMIT 0xb0000000u /* with that much memory or more, */
#define Q35_LOW_SPLIT 0x80000000u /* so much is below 4 GiB */

static uint32_t get(const unsigned char *at, unsigned size)
{
	uint32_t value = 0;

	while (size-- > 0)
		value = value << 8 | at[size];
	return value;
}

static void put(unsigned char *at, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++, value >>= 8)
		at[i] = (unsigned char)value;
}

static int bad(const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "kernel.format", "the kernel %s", what);
}

static int write_header(unsigned char *file, size_t len, uint64_t initrd_size, long long memory_mib,
	struct err *err)
{
	uint64_t memory = (uint64_t)memory_mib << 20, below_4g, max;

	if (len < HEADER_END || memcmp(file + 0x202, "HdrS", 4) != 0 ||
		get(file + PROTOCOL, 2) < 0x203)
		return bad("has no boot header", err);
	below_4g = memory < Q35_LOW_LIMIT ? memory : Q35_LOW_SPLIT;
	max = get(file + RAMDISK_MAX, 4);
	if (get(file + PROTOCOL, 2) >= 0x20c && get(file + XLOAD_FLAGS, 2) & LOADED_ABOVE_4G)
		max = UINT32_MAX;
	if (max >= below_4g - ACPI_SIZE)
		max = below_4g - ACPI_SIZE - 1;
	if (initrd_size >= max)
		return bad("and its initrd do not fit into that memory", err);
	file[LOADER_TYPE] = LOADER_QEMU;
	file[LOAD_FLAGS] |= CAN_USE_HEAP;
	put(file + RAMDISK_ADDRESS, 4, (uint32_t)((max - initrd_size) & ~UINT64_C(4095)));
	put(file + RAMDISK_SIZE, 4, (uint32_t)initrd_size);
	put(file + HEAP_END, 2, HEAP_END_VALUE);
	put(file + CMDLINE_POINTER, 4, CMDLINE_AT);
	return 0;
}

/* Where the parts are that Authenticode leaves out. */
static int find_gaps(const unsigned char *file, size_t len, size_t *ret_checksum, size_t *ret_entry,
	size_t *ret_end, struct err *err)
{
	size_t pe = get(file + 0x3c, 4), option, certificates, size;

	if (pe > len - 256 || memcmp(file + pe, "PE\0", 4) != 0 ||
		get(file + pe + 24, 2) != 0x20b || get(file + pe + 24 + 108, 4) < 5)
		return bad("is no EFI program of 64 bits", err);
	option = pe + 24;
	certificates = get(file + option + 144, 4);
	size = get(file + option + 148, 4);
	if (size == 0)
		certificates = len;
	else if (certificates < option + 152 || certificates > len || size != len - certificates)
		return bad("has its signature elsewhere than at its end", err);
	*ret_checksum = option + 64;
	*ret_entry = option + 144;
	*ret_end = certificates;
	return 0;
}

int kernel_image_digest(unsigned char *file, size_t len, uint64_t initrd_size, long long memory_mib,
	unsigned char ret_digest[DIGEST_SIZE], struct err *err)
{
	struct digest_stream *stream;
	size_t checksum = 0, entry = 0, end = 0;

	if (write_header(file, len, initrd_size, memory_mib, err) < 0 ||
		find_gaps(file, len, &checksum, &entry, &end, err) < 0)
		return -1;
	stream = digest_stream_new();
	digest_stream_add(stream, file, checksum);
	digest_stream_add(stream, file + checksum + 4, entry - checksum - 4);
	digest_stream_add(stream, file + entry + 8, end - entry - 8);
	digest_stream_finish(stream, ret_digest);
	digest_stream_free(stream);
	return 0;
}
