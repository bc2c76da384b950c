/* SPDX-License-Identifier: MIT */
/* CRC32C: by instruction, or eight bytes at a time by tables. */
#include "store/crc32c.h"

#include <string.h>
#include "base/hash.h"
#include "base/platform.h"
#include "store/crc32c_table.h"

#if defined(__GNUC__) && defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define CRC_ARM 1
#endif

#define LANES_FROM 96u /* bytes */

uint32_t evb__crc32c_tables(uint32_t seed, const void *data, size_t size)
{
    const unsigned char *p = data;
    uint32_t crc = ~seed;

    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word = evb__read64(p) ^ crc;

        crc = crc_table[7][word & 0xff] ^ crc_table[6][word >> 8 & 0xff] ^ crc_table[5][word >> 16 & 0xff] ^
              crc_table[4][word >> 24 & 0xff] ^ crc_table[3][word >> 32 & 0xff] ^
              crc_table[2][word >> 40 & 0xff] ^ crc_table[1][word >> 48 & 0xff] ^ crc_table[0][word >> 56];
    }
    for (; size > 0; p++, size--)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#if defined(__GNUC__) && defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t seed, const void *data,
                                                                     size_t size)
{
    const unsigned char *p = data;
    uint64_t crc = (uint32_t)~seed;

    for (; size >= 8; p += 8, size -= 8)
        crc = __builtin_ia32_crc32di(crc, evb__read64(p));
    if (size >= 4) {
        crc = __builtin_ia32_crc32si((uint32_t)crc, (uint32_t)evb__read32(p));
        p += 4;
        size -= 4;
    }
    for (; size > 0; p++, size--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}

typedef long long crc_pair __attribute__((vector_size(16)));

/* What has to be taken modulo the polynomial for `crc` with n words of zeros behind it. */
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t crc_times(uint64_t crc, size_t n)
{
    crc_pair a = {(long long)crc, 0}, b = {crc_ahead[n - 1], 0};

    return (uint64_t)__builtin_ia32_pclmulqdq128(a, b, 0)[0];
}

/* The instruction has an answer after three cycles and takes a new question in each: three pieces of
 * the bytes at once, one behind the other (Gopal et al., Intel 323405, 2011). n words a piece, at
 * most 32. */
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t crc_lanes(uint64_t crc,
                                                                          const unsigned char *p, size_t n)
{
    const unsigned char *q = p + n * 8, *r = q + n * 8, *end = q;
    uint64_t second = 0, third = 0;

    for (; p != end; p += 8, q += 8, r += 8) {
        crc = __builtin_ia32_crc32di(crc, evb__read64(p));
        second = __builtin_ia32_crc32di(second, evb__read64(q));
        third = __builtin_ia32_crc32di(third, evb__read64(r));
    }
    return third ^ __builtin_ia32_crc32di(0, crc_times(crc, 2 * n) ^ crc_times(second, n));
}

#define LANE_MOST 32u /* words of a piece: crc_ahead knows twice as many */

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_by_lanes(uint32_t seed, const void *data,
                                                                      size_t size)
{
    const unsigned char *p = data;
    uint64_t crc = (uint32_t)~seed;

    while (size >= LANES_FROM) {
        size_t n = size / 24 < LANE_MOST ? size / 24 : LANE_MOST;

        crc = crc_lanes(crc, p, n);
        p += n * 24;
        size -= n * 24;
    }
    return crc_by_instruction(~(uint32_t)crc, p, size);
}

static int crc_has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

static int crc_has_lanes(void)
{
    return __builtin_cpu_supports("pclmul");
}

#elif defined(CRC_ARM)

/* The instructions in words of the assembler: the names of the intrinsics differ between compilers,
 * and one of them hides its own unless the whole file is compiled for such processors. */
static uint32_t crc_by_instruction(uint32_t seed, const void *data, size_t size)
{
    const unsigned char *p = data;
    uint32_t crc = ~seed;

    for (; size >= 8; p += 8, size -= 8)
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(evb__read64(p)));
    for (; size > 0; p++, size--)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*p));
    return ~crc;
}

static int crc_has_instruction(void)
{
    return (getauxval(AT_HWCAP) & (1UL << 7)) != 0; /* HWCAP_CRC32 */
}

static uint32_t crc_by_lanes(uint32_t seed, const void *data, size_t size)
{
    return crc_by_instruction(seed, data, size);
}

static int crc_has_lanes(void)
{
    return 0;
}

#else

static uint32_t crc_by_instruction(uint32_t seed, const void *data, size_t size)
{
    return evb__crc32c_tables(seed, data, size);
}

static int crc_has_instruction(void)
{
    return 0;
}

static uint32_t crc_by_lanes(uint32_t seed, const void *data, size_t size)
{
    return crc_by_instruction(seed, data, size);
}

static int crc_has_lanes(void)
{
    return 0;
}

#endif

uint32_t evb__crc32c(uint32_t seed, const void *data, size_t size)
{
    /* A look into memory that is ready before main, on x86; on ARM a walk of a short list. Frames
     * are long enough for either. */
    if (!crc_has_instruction()) return evb__crc32c_tables(seed, data, size);
    return size >= LANES_FROM && crc_has_lanes() ? crc_by_lanes(seed, data, size)
                                                 : crc_by_instruction(seed, data, size);
}
