/* SPDX-License-Identifier: MIT */
/* CRC32C (Castagnoli, as in iSCSI, RFC 3720): the checksum of everything the store writes.
 *
 * Invariant: the value depends on the bytes and the seed only, not on host, alignment or how the
 * bytes were cut: crc32c(crc32c(s, a), b) == crc32c(s, ab). With seed 0 it is the value of the
 * standard. For fixed bytes different seeds give different values: frames of another segment, whose
 * seed is another salt, never fit by accident of position. Threads: any, no state.
 */
#ifndef EVB__STORE_CRC32C_H
#define EVB__STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* By the processor's own instruction where there is one (SSE4.2, ARMv8 CRC; asked at run time), else by
 * tables. */
uint32_t evb__crc32c(uint32_t seed, const void *data, size_t size);

/* The same by tables, whatever the processor has. */
uint32_t evb__crc32c_tables(uint32_t seed, const void *data, size_t size);

#endif
