/* SPDX-License-Identifier: MIT */
/* The seeded hash of names, tokens and keys.
 *
 * Invariant: the same bytes and seed give the same value on every host (bytes are read little-endian), so a
 * value may be stored; the seed is per bus and random, so nobody can choose names that collide. Not
 * cryptographic. Threads: any, no state. Every bit of the 64 is usable.
 */
#ifndef EVB__BASE_HASH_H
#define EVB__BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/platform.h"

/* Two 64-bit words folded through one widening multiplication. Both inputs reach every output bit. */
EVB__INLINE uint64_t evb__mix(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 u128;
    u128 m = (u128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl, hh = ah * bh;
    uint64_t mid = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;
    return ((mid << 32) | (uint32_t)ll) ^ (hh + (lh >> 32) + (hl >> 32) + (mid >> 32));
#endif
}

EVB__INLINE uint64_t evb__read64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

EVB__INLINE uint64_t evb__read32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

#define EVB__HASH_K0 0x9e3779b97f4a7c15u
#define EVB__HASH_K1 0xd6e8feb86659fd93u

/* Up to 16 bytes in two overlapping words, longer inputs 16 at a time: names are short, so no set-up and no
 * tail loop. */
EVB__INLINE uint64_t evb__hash(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t a, b, h = seed ^ EVB__HASH_K0;
    /* Both factors hide behind the seed. With a constant here, input equal to it would make the product 0,
     * and everybody could write names that collide under every seed. */
    uint64_t k = ((seed << 32) | (seed >> 32)) ^ EVB__HASH_K1;
    size_t n = size;

    while (n > 16) {
        h = evb__mix(evb__read64(p) ^ k, evb__read64(p + 8) ^ h);
        p += 16;
        n -= 16;
    }
    if (n >= 8) {
        a = evb__read64(p);
        b = evb__read64(p + n - 8);
    } else if (n >= 4) {
        a = evb__read32(p);
        b = evb__read32(p + n - 4);
    } else if (n > 0) {
        a = ((uint64_t)p[0] << 16) | ((uint64_t)p[n >> 1] << 8) | p[n - 1];
        b = 0;
    } else {
        a = b = 0;
    }
    return evb__mix(EVB__HASH_K1 ^ size, evb__mix(a ^ k, b ^ h));
}

#endif
