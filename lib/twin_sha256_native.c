/* SPDX-License-Identifier: Apache-2.0 */
/* The compression function of SHA-256 on two states by x86's SHA extensions: one message schedule,
 * and rounds of the one while the other's are under way. */
#include <stdlib.h>

#include "lib/twin_sha256_native.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define NATIVE __attribute__((target("sha,sse4.1")))
#define CPUID_1_ECX_SSSE3 (1u << 9)
#define CPUID_1_ECX_SSE41 (1u << 19)
#define CPUID_7_EBX_SHA (1u << 29)

bool twin_sha256_is_native(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & CPUID_1_ECX_SSSE3) || !(c & CPUID_1_ECX_SSE41))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & CPUID_7_EBX_SHA);
}

/* clang-format off */
static const uint32_t K[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
/* clang-format on */

struct lanes {
	__m128i abef, cdgh;
};

NATIVE static inline void four_rounds(struct lanes *state, __m128i words, __m128i rest)
{
	state->cdgh = _mm_sha256rnds2_epu32(state->cdgh, state->abef, words);
	state->abef = _mm_sha256rnds2_epu32(state->abef, state->cdgh, rest);
}

NATIVE static inline void both(
	struct lanes *one, struct lanes *other, __m128i message, const uint32_t *k)
{
	__m128i words = _mm_add_epi32(message, _mm_load_si128((const __m128i *)k));
	__m128i rest = _mm_shuffle_epi32(words, 0x0e);

	four_rounds(one, words, rest);
	four_rounds(other, words, rest);
}

/* The next four words of the message schedule out of the sixteen before. */
NATIVE static inline __m128i next(__m128i m0, __m128i m1, __m128i m2, __m128i m3)
{
	__m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(m0, m1), _mm_alignr_epi8(m3, m2, 4));

	return _mm_sha256msg2_epu32(sum, m3);
}

NATIVE static inline __m128i load(const unsigned char *at)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);

	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)at), big_endian);
}

NATIVE static inline void one_block(
	struct lanes *one, struct lanes *other, const unsigned char *data)
{
	__m128i m0 = load(data), m1 = load(data + 16), m2 = load(data + 32), m3 = load(data + 48);

	both(one, other, m0, K);
	both(one, other, m1, K + 4);
	both(one, other, m2, K + 8);
	both(one, other, m3, K + 12);
	for (size_t i = 16; i < 64; i += 16) {
		m0 = next(m0, m1, m2, m3);
		both(one, other, m0, K + i);
		m1 = next(m1, m2, m3, m0);
		both(one, other, m1, K + i + 4);
		m2 = next(m2, m3, m0, m1);
		both(one, other, m2, K + i + 8);
		m3 = next(m3, m0, m1, m2);
		both(one, other, m3, K + i + 12);
	}
}

NATIVE static inline struct lanes get(const uint32_t words[TWIN_WORDS])
{
	return (struct lanes) { _mm_loadu_si128((const __m128i *)words),
		_mm_loadu_si128((const __m128i *)(words + 4)) };
}

NATIVE static inline void put(uint32_t words[TWIN_WORDS], const struct lanes *state)
{
	_mm_storeu_si128((__m128i *)words, state->abef);
	_mm_storeu_si128((__m128i *)(words + 4), state->cdgh);
}

NATIVE static inline void add(struct lanes *state, const struct lanes *before)
{
	state->abef = _mm_add_epi32(state->abef, before->abef);
	state->cdgh = _mm_add_epi32(state->cdgh, before->cdgh);
}

NATIVE void twin_sha256_blocks(uint32_t plain[TWIN_WORDS], uint32_t keyed[TWIN_WORDS],
	const unsigned char *data, size_t blocks)
{
	struct lanes one = get(plain), other = get(keyed);

	for (; blocks > 0; blocks--, data += TWIN_BLOCK) {
		struct lanes one_before = one, other_before = other;

		one_block(&one, &other, data);
		add(&one, &one_before);
		add(&other, &other_before);
	}
	put(plain, &one);
	put(keyed, &other);
}

#else

bool twin_sha256_is_native(void)
{
	return false;
}

/* Nobody asks: there is none. */
void twin_sha256_blocks(uint32_t plain[TWIN_WORDS], uint32_t keyed[TWIN_WORDS],
	const unsigned char *data, size_t blocks)
{
	(void)plain;
	(void)keyed;
	(void)data;
	(void)blocks;
	abort();
}

#endif
