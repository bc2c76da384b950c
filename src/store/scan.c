/* SPDX-License-Identifier: MIT */
/* Walking through the frames of a segment file. */
#include "store/scan.h"

#include <string.h>
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"

#define ROOM_MIN ((size_t)4096)

void evb__scan_init(struct evb__scan *scan, size_t chunk)
{
    memset(scan, 0, sizeof *scan);
    scan->fd = -1;
    scan->chunk = chunk;
}

void evb__scan_start(struct evb__scan *scan, int32_t fd, uint32_t salt, uint32_t max_frame, uint64_t offset,
                     uint64_t limit)
{
    evb__assert(offset % 8 == 0);
    scan->fd = fd;
    scan->salt = salt;
    scan->max_frame = max_frame;
    scan->offset = offset;
    scan->limit = limit;
    scan->have = 0;
    scan->at = offset;
}

void evb__scan_free(struct evb__scan *scan)
{
    evb__free(scan->bytes, scan->room);
    scan->bytes = NULL;
    scan->room = 0;
    scan->have = 0;
}

/* A window for size bytes: a chunk, or less while there is less to look at. */
static int32_t scan_room(struct evb__scan *scan, size_t size, uint64_t left)
{
    size_t room = scan->room < ROOM_MIN ? ROOM_MIN : scan->room;
    unsigned char *bytes;

    while (room < size || (room < scan->chunk && room < left))
        room *= 2;
    if (scan->room >= room) return EVB_OK;
    bytes = evb__alloc(room, EVB__ALIGN_MIN);
    if (bytes == NULL) return EVB_ENOMEM;
    if (scan->have != 0) memcpy(bytes, scan->bytes, scan->have);
    evb__free(scan->bytes, scan->room);
    scan->bytes = bytes;
    scan->room = room;
    return EVB_OK;
}

/* The bytes of the window before the offset go. */
static void scan_slide(struct evb__scan *scan)
{
    size_t gone;

    if (scan->offset < scan->at || scan->offset >= scan->at + scan->have) {
        scan->have = 0;
    } else if (scan->offset != scan->at) {
        gone = (size_t)(scan->offset - scan->at);
        scan->have -= gone;
        memmove(scan->bytes, scan->bytes + gone, scan->have);
    }
    scan->at = scan->offset;
}

int32_t evb__scan_fill(struct evb__scan *scan, size_t size, const unsigned char **ret_bytes, size_t *ret_have)
{
    const struct evb__files *files = evb__files();
    uint64_t left = scan->limit > scan->offset ? scan->limit - scan->offset : 0;
    int32_t rc;

    if (size > left) size = (size_t)left;
    if (scan->offset < scan->at || scan->offset + size > scan->at + scan->have) {
        scan_slide(scan);
        rc = scan_room(scan, size, left);
        if (rc != EVB_OK) return rc;
        while (scan->have < size) {
            /* a chunk at a time, or what is missing, but never more than may be looked at */
            size_t want = scan->have + scan->chunk <= scan->room ? scan->chunk : scan->room - scan->have;
            int64_t got;

            if (want > left - scan->have) want = (size_t)(left - scan->have);
            got = files->pread(scan->fd, scan->bytes + scan->have, want, scan->at + scan->have, files->arg);
            if (got < 0) return (int32_t)got;
            if (got == 0) break; /* shorter than it said */
            scan->have += (size_t)got;
        }
    }
    *ret_bytes = scan->bytes + (scan->offset - scan->at);
    *ret_have = (size_t)(scan->at + scan->have - scan->offset);
    if (*ret_have > size) *ret_have = size;
    return EVB_OK;
}

/* evb__scan_fill for the common case that the window has it all. */
static inline int32_t scan_have(struct evb__scan *scan, size_t size, const unsigned char **ret_bytes,
                                size_t *ret_have)
{
    uint64_t skip = scan->offset - scan->at; /* enormous before the window */

    if (skip > scan->have || scan->have - skip < size || scan->limit - scan->offset < size)
        return evb__scan_fill(scan, size, ret_bytes, ret_have);
    *ret_bytes = scan->bytes + skip;
    *ret_have = size;
    return EVB_OK;
}

/* The frame at the offset, without going on. */
static int32_t scan_look(struct evb__scan *scan, struct evb__frame *ret, const unsigned char **ret_bytes)
{
    size_t have;
    int32_t rc = scan_have(scan, EVB__FRAME_HEADER, ret_bytes, &have);

    if (rc != EVB_OK) return rc;
    rc = evb__frame_take(*ret_bytes, have, ret);
    if (rc != EVB_OK) return rc;
    if (ret->len > scan->max_frame || ret->len > scan->limit - scan->offset) return EVB_ECORRUPT;
    rc = scan_have(scan, ret->len, ret_bytes, &have);
    if (rc != EVB_OK) return rc;
    if (have < ret->len || !evb__frame_fits(*ret_bytes, ret, scan->salt)) return EVB_ECORRUPT;
    return EVB_OK;
}

int32_t evb__scan_next(struct evb__scan *scan, struct evb__frame *ret, const unsigned char **ret_bytes)
{
    int32_t rc;

    if (scan->offset >= scan->limit) return EVB_EEMPTY;
    rc = scan_look(scan, ret, ret_bytes);
    if (rc == EVB_OK) scan->offset += ret->len;
    return rc;
}

int32_t evb__scan_zeros(struct evb__scan *scan)
{
    uint64_t start = scan->offset;
    int32_t rc = 1;

    while (scan->offset < scan->limit && rc == 1) {
        const unsigned char *bytes;
        size_t have, i;
        int32_t filled = evb__scan_fill(scan, scan->chunk, &bytes, &have);

        if (filled != EVB_OK) rc = filled;
        if (filled != EVB_OK || have == 0) break;
        for (i = 0; i + 8 <= have && evb__read64(bytes + i) == 0; i += 8) {
        }
        for (; i < have && bytes[i] == 0; i++) {
        }
        if (i < have) rc = 0;
        scan->offset += have;
    }
    scan->offset = start;
    return rc;
}

int32_t evb__scan_resync(struct evb__scan *scan, uint64_t position, struct evb__frame *ret)
{
    for (; scan->offset + EVB__FRAME_HEADER <= scan->limit; scan->offset += 8) {
        const unsigned char *bytes;
        size_t have;
        int32_t rc = evb__scan_fill(scan, EVB__FRAME_HEADER, &bytes, &have);

        if (rc != EVB_OK) return rc;
        if (have < EVB__FRAME_HEADER) break;
        /* Cheap looks first: the checksum of a long frame costs, and there are many places. */
        if (evb__frame_take(bytes, have, ret) != EVB_OK || ret->position < position ||
            ret->durable > ret->position)
            continue;
        rc = scan_look(scan, ret, &bytes);
        if (rc == EVB_OK || rc != EVB_ECORRUPT) return rc;
    }
    return EVB_EEMPTY;
}
