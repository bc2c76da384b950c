/* SPDX-License-Identifier: MIT */
/* The table of streams: by name and by number, each with its version and the places of its frames.
 *
 * Invariant: a stream that has been met stays, under its number, until the table goes; so a reader
 * may keep the pointer and the name. places[first..count) are the frames of the stream that are
 * kept, rising; a place is the number of a segment and an offset in it. version is that of the last
 * event that was given one, which may still be on its way to the disk; evb__stream_back takes it
 * back when it does not arrive. Threads: everything here under the store's lock, name and number
 * excepted, which never change.
 */
#ifndef EVB__STORE_STREAMS_H
#define EVB__STORE_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evb__stream {
    struct evb__stream *next; /* of the same bucket */
    uint64_t hash;
    int64_t version;
    int64_t heads_version; /* what HEADS said, 0: nothing */
    uint64_t *places;
    uint32_t first, count, room;
    uint32_t number;
    uint32_t declared; /* number of the last segment in which its name stands, 0 = none */
    uint16_t name_size;
    bool settled; /* version comes from a segment, not from HEADS alone */
    char name[];
};

struct evb__streams {
    struct evb__stream **buckets, **numbers;
    uint32_t bucket_count; /* power of two */
    uint32_t count;        /* streams */
    uint32_t room;         /* of numbers */
    uint32_t next_number;  /* numbers[0..next_number), with holes; the first one is 1 */
    uint64_t seed;
};

/* What a stream was before an append, for taking it back. */
struct evb__stream_undo {
    struct evb__stream *stream;
    int64_t version;
    uint32_t declared;
    uint64_t place; /* of the append: it goes, and what came after */
};

#define EVB__PLACE(segment, offset) ((uint64_t)(segment) << 32 | (uint64_t)(offset) >> 3)
#define EVB__PLACE_SEGMENT(place)   ((uint32_t)((place) >> 32))
#define EVB__PLACE_OFFSET(place)    ((uint64_t)(uint32_t)(place) << 3)

int32_t evb__streams_init(struct evb__streams *streams);
void evb__streams_free(struct evb__streams *streams);

struct evb__stream *evb__stream_find(const struct evb__streams *streams, const char *name, size_t size);
struct evb__stream *evb__stream_by_number(const struct evb__streams *streams, uint32_t number);
/* Makes it, under the next number or (not 0) under this one. EVB_ENOMEM; EVB_ECORRUPT: name or
 * number is taken, or the number cannot be. */
int32_t evb__stream_add(struct evb__streams *streams, const char *name, size_t size, uint32_t number,
                        struct evb__stream **ret_stream);

/* Room for one more place, so that evb__stream_place cannot fail. */
int32_t evb__stream_reserve(struct evb__stream *stream, uint32_t more);
void evb__stream_place(struct evb__stream *stream, uint64_t place);
void evb__stream_back(const struct evb__stream_undo *undo);
/* Places in segments before this one are gone. */
void evb__stream_trim(struct evb__stream *stream, uint32_t first_segment);

#endif
