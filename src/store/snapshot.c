/* SPDX-License-Identifier: MIT */
/* Snapshots: one file a stream, replaced as a whole.
 *
 * Invariant: a snapshot never holds what the log may still lose: it is written after a sync of the log.
 * One of a version that the stream does not have is none, nor is a damaged one: replaying is always
 * right. Files are named by a hash of the stream's name, which stands in them too. Threads: any; the
 * last of several at a time stays.
 *
 *       0 magic "EVBSNAPS"   8 major u16, minor u16   12 schema version u32   16 version i64
 *      24 data_len u64      32 name_len u16          34 name, zeros up to 8, data, crc32c u32
 */
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/crc32c.h"

#define SNAP_HEADER 34u
#define SNAP_END    4u
#define SNAP_MOST   (UINT64_C(1) << 31)

/* Where the data begins: at a multiple of 8, as a payload does. */
static size_t data_at(size_t name_size)
{
    return evb__round8(SNAP_HEADER + name_size);
}

/* The hash is of this store's own making, so the seeds are too: nothing but the file name follows
 * from them.
 */
static void snapshot_name(char *buf, size_t cap, const char *stream, size_t size)
{
    (void)snprintf(buf, cap, "%016" PRIx64 "%016" PRIx64 ".snap", evb__hash(stream, size, 1),
                   evb__hash(stream, size, 2));
}

static int32_t name_size_of(const char *stream, size_t *ret)
{
    if (stream == NULL) return EVB_EINVAL;
    *ret = strnlen(stream, EVB__STREAM_NAME_MAX + 1);
    return *ret == 0 || *ret > EVB__STREAM_NAME_MAX ? EVB_EINVAL : EVB_OK;
}

static void snapshot_put(unsigned char *bytes, size_t total, const char *stream, size_t name_size,
                         int64_t version, uint32_t schema_version, const void *data, size_t size)
{
    memcpy(bytes, "EVBSNAPS", 8);
    evb__put16(bytes + 8, EVB__STORE_MAJOR);
    evb__put16(bytes + 10, EVB__STORE_MINOR);
    evb__put32(bytes + 12, schema_version);
    evb__put64(bytes + 16, (uint64_t)version);
    evb__put64(bytes + 24, size);
    memset(bytes + data_at(name_size) - 8, 0, 8); /* the padding is within */
    evb__put16(bytes + 32, (uint16_t)name_size);
    memcpy(bytes + SNAP_HEADER, stream, name_size);
    if (size != 0) memcpy(bytes + data_at(name_size), data, size);
    evb__put32(bytes + total - SNAP_END, evb__crc32c(0, bytes, total - SNAP_END));
}

int32_t evb_snapshot_save(evb_store *store, const char *stream, int64_t version, uint32_t schema_version,
                          const void *data, size_t size)
{
    struct evb__path dir;
    unsigned char *bytes;
    size_t name_size, total;
    char name[64];
    int32_t rc = evb__store_enter(store);

    if (rc == EVB_OK) rc = name_size_of(stream, &name_size);
    if (rc != EVB_OK) return rc;
    if (version < 1 || (data == NULL && size != 0)) return EVB_EINVAL;
    if (store->read_only) return EVB_ENOTSUP;
    if (size > SNAP_MOST / 2) return EVB_ETOOBIG;
    rc = evb_store_sync(store);
    if (rc != EVB_OK) return rc;
    if (evb_store_version(store, stream) < version) return EVB_ECONFLICT;
    total = data_at(name_size) + size + SNAP_END;
    bytes = evb__alloc(total, EVB__ALIGN_MIN);
    if (bytes == NULL) return EVB_ENOMEM;
    snapshot_put(bytes, total, stream, name_size, version, schema_version, data, size);
    snapshot_name(name, sizeof name, stream, name_size);
    /* relaxed: only a number that differs from everybody else's */
    rc = evb__file_replace(evb__path(&dir, store->dir, "snap"), name, bytes, total,
                           evb__add_rlx(&store->turn, 1));
    evb__free(bytes, total);
    return rc;
}

/* Is it one, and this stream's? */
static bool snapshot_fits(const unsigned char *bytes, size_t total, const char *stream, size_t name_size,
                          uint32_t schema_version)
{
    return total >= data_at(name_size) + SNAP_END && memcmp(bytes, "EVBSNAPS", 8) == 0 &&
           evb__get32(bytes + total - SNAP_END) == evb__crc32c(0, bytes, total - SNAP_END) &&
           evb__get16(bytes + 8) == EVB__STORE_MAJOR && evb__get32(bytes + 12) == schema_version &&
           evb__get16(bytes + 32) == name_size && memcmp(bytes + SNAP_HEADER, stream, name_size) == 0 &&
           evb__get64(bytes + 24) == total - data_at(name_size) - SNAP_END;
}

int32_t evb_snapshot_load(evb_store *store, const char *stream, uint32_t schema_version,
                          evb_record *ret_record)
{
    struct evb__path dir, path;
    unsigned char *bytes;
    size_t name_size, total;
    int64_t version;
    char name[64];
    int32_t rc = evb__store_enter(store);

    if (rc == EVB_OK) rc = name_size_of(stream, &name_size);
    if (rc != EVB_OK) return rc;
    if (ret_record == NULL) return EVB_EINVAL;
    snapshot_name(name, sizeof name, stream, name_size);
    rc = evb__file_read(evb__path(&path, evb__path(&dir, store->dir, "snap"), name), SNAP_MOST, &bytes,
                        &total);
    if (rc == EVB_ECORRUPT || rc == EVB_ENOTFOUND || (rc == EVB_OK && total == 0)) return EVB_ENOTFOUND;
    if (rc != EVB_OK) return rc == EVB_ENOMEM ? EVB_ENOMEM : EVB_EIO;
    version = total >= SNAP_HEADER ? (int64_t)evb__get64(bytes + 16) : 0;
    if (!snapshot_fits(bytes, total, stream, name_size, schema_version) || version < 1 ||
        version > evb_store_version(store, stream)) {
        evb__free(bytes, total);
        return EVB_ENOTFOUND;
    }
    *ret_record = (evb_record){.data = bytes + data_at(name_size),
                               .size = total - data_at(name_size) - SNAP_END,
                               .version = version,
                               .schema_version = schema_version,
                               .reserved = {(uint64_t)(uintptr_t)bytes, total}};
    return EVB_OK;
}

void evb_record_free(evb_record *record)
{
    if (record == NULL) return;
    if (record->reserved[0] != 0)
        evb__free((void *)(uintptr_t)record->reserved[0], (size_t)record->reserved[1]);
    memset(record, 0, sizeof *record);
}
