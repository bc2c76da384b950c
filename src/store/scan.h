/* SPDX-License-Identifier: MIT */
/* Walking through the frames of a segment file, a window at a time.
 *
 * Invariant: a frame that is handed out lies whole in the window, at a multiple of 8, and its
 * checksum fits. The window grows to the largest frame met, at most max_frame, and is read by pread:
 * nothing is mapped, so a bad disk is an answer and no signal. Nothing is believed beyond `limit`.
 * Threads: one at a time.
 */
#ifndef EVB__STORE_SCAN_H
#define EVB__STORE_SCAN_H

#include "store/format.h"

#define EVB__SCAN_WINDOW (256u * 1024)

struct evb__scan {
    int32_t fd;
    uint32_t salt, max_frame;
    uint64_t offset; /* of the next frame */
    uint64_t limit;  /* behind the last byte that counts */
    /* the window: bytes [at, at + have) of the file */
    unsigned char *bytes;
    size_t room, have, chunk /* read so much at a time */;
    uint64_t at;
};

/* Nothing is allocated yet. */
void evb__scan_init(struct evb__scan *scan, size_t chunk);
/* Begins at an offset of a file; keeps the memory, forgets the bytes. */
void evb__scan_start(struct evb__scan *scan, int32_t fd, uint32_t salt, uint32_t max_frame, uint64_t offset,
                     uint64_t limit);
void evb__scan_free(struct evb__scan *scan);

/* The frame at scan->offset, which moves behind it; the bytes are valid until the next call.
 * EVB_EEMPTY: at the limit. EVB_ECORRUPT: no frame here; offset stays. EVB_EIO, EVB_ENOMEM. */
int32_t evb__scan_next(struct evb__scan *scan, struct evb__frame *ret, const unsigned char **ret_bytes);

/* size bytes at scan->offset in the window, or all up to the limit when there are fewer. */
int32_t evb__scan_fill(struct evb__scan *scan, size_t size, const unsigned char **ret_bytes,
                       size_t *ret_have);

/* 1: nothing but zeros from the offset to the limit. 0: something else. EVB_EIO, EVB_ENOMEM. */
int32_t evb__scan_zeros(struct evb__scan *scan);

/* Goes to the next place from scan->offset on where a frame lies whose position is at least `position`.
 * EVB_OK: there. EVB_EEMPTY: none up to the limit. */
int32_t evb__scan_resync(struct evb__scan *scan, uint64_t position, struct evb__frame *ret);

#endif
