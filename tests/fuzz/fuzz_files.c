/* SPDX-License-Identifier: MIT */
/* HEADS, indexes and snapshots: one file of a good store is the fuzzer's. And whole stores, of which all
 * files are: kind, length (two bytes), bytes; again and again.
 */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"

static int one_file(const uint8_t *data, size_t size, uint32_t kind)
{
    unsigned char *bytes;
    struct fault_fs *disk;

    if (size == 0 || size > FUZZ_MOST) return 0;
    disk = fuzz_disk();
    bytes = fuzz_copy(data + 1, size - 1);
    if ((data[0] & 1) != 0) fuzz_fix(kind, bytes, size - 1);
    fuzz_put_sample(disk, kind);
    fuzz_put(disk, kind, bytes, size - 1);
    free(bytes);
    fuzz_use(disk);
    return 0;
}

int fuzz_heads(const uint8_t *data, size_t size)
{
    return one_file(data, size, FUZZ_HEADS);
}

int fuzz_idx(const uint8_t *data, size_t size)
{
    return one_file(data, size, FUZZ_INDEX);
}

int fuzz_snapshot(const uint8_t *data, size_t size)
{
    return one_file(data, size, FUZZ_SNAPSHOT);
}

int fuzz_store(const uint8_t *data, size_t size)
{
    struct fault_fs *disk;
    size_t at = 1;

    if (size == 0 || size > FUZZ_MOST) return 0;
    disk = fuzz_disk();
    while (size - at >= 3) {
        uint32_t kind = data[at] % FUZZ_KINDS;
        size_t have = data[at + 1] | (size_t)data[at + 2] << 8;
        unsigned char *bytes;

        at += 3;
        if (have > size - at) have = size - at;
        bytes = fuzz_copy(data + at, have);
        if ((data[0] & 1) != 0) fuzz_fix(kind, bytes, have);
        fuzz_put(disk, kind, bytes, have);
        free(bytes);
        at += have;
    }
    fuzz_use(disk);
    return 0;
}
