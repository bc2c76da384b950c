/* SPDX-License-Identifier: MIT */
/* Opening: from the files to the struct, and a writer's additions to a store that only reads.
 *
 * Invariant: opening twice finds the same; a power cut at any moment of it loses nothing. A
 * read-only store changes no file. Threads: evb__recover the opener, before anybody else sees the
 * store; evb__refresh any thread.
 */
#ifndef EVB__STORE_RECOVER_H
#define EVB__STORE_RECOVER_H

#include "store/store.h"

struct evb__recovery {
    evb_store *store;
    struct evb__scan scan;
    uint64_t *bases; /* of the files in seg, rising */
    uint32_t count, room;
    int32_t fd;       /* of the last segment */
    uint64_t size;    /* of its file */
    uint64_t durable; /* the highest watermark met */
    uint64_t records; /* met in frames that were read */
    bool marked;      /* the last frame is a MARK */
    bool covered;     /* the last segment has an index */
};

/* Leaves what it met in *ret_recovery; its memory is gone. */
int32_t evb__recover(evb_store *store, struct evb__recovery *ret_recovery);
/* Read-only: what the writer has added since. */
int32_t evb__refresh(evb_store *store);

/* The frame at offset of the last segment becomes part of the store. */
int32_t evb__apply(evb_store *store, struct evb__segment *segment, const struct evb__frame *frame,
                   const unsigned char *bytes, uint64_t offset);

/* EVB_ECORRUPT: neither copy is one. */
int32_t evb__segment_header_read(int32_t fd, struct evb__segment_header *ret);

/* The last file has no header: it was being made, unless there is something behind, or an index says
 * so. 1: half made. Moves r->scan. */
int32_t evb__half_made(struct evb__recovery *r, uint64_t base, int32_t fd, uint64_t size);

/* The files in seg, into r->bases. */
int32_t evb__segments_list(struct evb__recovery *r);
void evb__recovery_end(struct evb__recovery *r);

#endif
