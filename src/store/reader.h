/* SPDX-License-Identifier: MIT */
/* evb_reader inside: a place in the store and a window on the file there.
 *
 * The reader asks the store, under its lock, where the next frames lie and how far they are visible,
 * and reads them from files of its own by pread; so nobody waits for it and trimmed files stay readable
 * while they are open. Catching up and following are the same loop: read up to what is visible, then
 * sleep until more is.
 *
 *      all, forward     `want` is the next position: its segment, from the landmark before it
 *      all, backwards   likewise: the frames from the landmark up to it, last one first
 *      a stream         the next of its places
 *
 * Invariant: every event between the start and what is visible is handed out once or passed over by the
 * filter, in order of positions; after EVB_ECORRUPT or a failing disk the reader stands where it stood.
 * Threads: its owner's.
 */
#ifndef EVB__STORE_READER_H
#define EVB__STORE_READER_H

#include "store/store.h"

#define EVB__READER_PLACES 32u  /* of a stream, fetched at a time */
#define EVB__READER_NAMES  256u /* streams whose names are at hand */

struct evb_reader {
    /* constant */
    evb_store *store;
    uint32_t generation;
    bool backwards, follow, by_stream;
    char *text; /* stream name, NUL, pattern, NUL */
    size_t text_bytes, name_size, pattern_size;
    const char *pattern; /* NULL: all */

    const struct evb__stream *stream; /* NULL: nobody has appended to it yet */
    uint64_t want;                    /* all: the next position; backwards 0 = the end */
    int64_t want_version;             /* a stream: the next version at least, backwards at most */
    int64_t from_time;                /* skip events before it, until the first that is not; INT64_MIN: no */
    uint64_t from_position;           /* a stream: skip events before it, backwards behind it */
    bool told;                        /* that it has caught up */

    /* the file */
    int32_t fd;
    uint32_t number; /* of its segment */
    uint64_t end_position;
    struct evb__scan scan;

    /* the frame that is being handed out; bytes NULL: none */
    const unsigned char *bytes;
    struct evb__frame frame;
    bool fresh;       /* read, but not ready to be handed out */
    uint32_t next;    /* event; backwards: that many are left */
    size_t at;        /* forward: where it begins in the frame */
    uint32_t *starts; /* backwards: where each begins */
    uint32_t starts_room;

    /* a stream: places fetched and not read yet; all of them lie behind last_place (backwards:
     * before it) */
    uint64_t places[EVB__READER_PLACES], last_place;
    uint32_t place_count, place_next;
    /* all, backwards: offsets of frames, to be read from the last one on */
    uint32_t *frames; /* offset / 8 */
    uint32_t frame_count, frames_room;

    const struct evb__stream *names[EVB__READER_NAMES]; /* by number */
    evb_header *headers;
    uint32_t headers_room;
};

/* seek.c: the next frame into reader->bytes and frame. EVB_EEMPTY: nothing more is visible.
 * EVB_ETRUNCATED: what came next is gone, the next call goes on behind it. EVB_ECORRUPT, EVB_EIO,
 * EVB_ENOMEM. */
int32_t evb__reader_frame(evb_reader *reader);
/* Where it begins, by the options. EVB_ETRUNCATED: what it should begin with is gone. */
int32_t evb__reader_begin(evb_reader *reader, const evb_read_opts *opts);

#endif
