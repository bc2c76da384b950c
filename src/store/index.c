/* SPDX-License-Identifier: MIT */
/* N.idx: what a walk through a segment finds out, so that the next open need not walk. HEADS: what the
 * segments that have been trimmed away knew of their streams.
 *
 * Invariant: an index is of the frames in [0, covered) of the segment with this number and salt, and
 * was made when they were durable; so it may be behind, never ahead, and a segment that ends before
 * `covered` has lost something. A damaged index is no index.
 *
 *      N.idx  0 magic "EVBINDEX"    8 major u16, minor u16   12 number u32   16 salt u32
 *            20 last crc u32       24 uuid 16   40 base u64   48 covered u64   56 end position u64
 *            64 max time i64       72 sealed u32   76 landmarks u32   80 streams u32   84 places u32
 *            88 landmarks: position u64, offset u64, time before i64
 *               streams: version i64, number u32, places u32, name_len u16, name, zeros up to 8
 *               places: offset / 8 u32, of each stream in turn; zeros up to 8
 *               crc32c u32, 0 u32
 *
 *      HEADS  0 magic "EVBHEADS"   8 major u16, minor u16   12 streams u32   16 uuid 16   32 first u64
 *            40 streams as above, with 0 places
 *               crc32c u32, 0 u32
 */
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/file.h"
#include "store/crc32c.h"

#define INDEX_HEADER 88u
#define HEADS_HEADER 40u
#define MARK_BYTES   24u
#define STREAM_BYTES 18u
#define FILE_END     8u
#define FILE_MOST    (UINT64_C(1) << 32)

/* ---- writing ---- */

static size_t stream_bytes(const struct evb__stream *stream)
{
    return evb__round8(STREAM_BYTES + stream->name_size);
}

static unsigned char *put_stream(unsigned char *to, const struct evb__stream *stream, uint32_t places)
{
    memset(to + stream_bytes(stream) - 8, 0, 8);
    evb__put64(to, (uint64_t)stream->version);
    evb__put32(to + 8, stream->number);
    evb__put32(to + 12, places);
    evb__put16(to + 16, stream->name_size);
    memcpy(to + STREAM_BYTES, stream->name, stream->name_size);
    return to + stream_bytes(stream);
}

/* The first place of the stream in the segment, which is the last one that it has places in; and how
 * many. */
static uint32_t places_in(const struct evb__stream *stream, uint32_t segment, uint32_t *ret_first)
{
    uint32_t first = stream->count;

    while (first > stream->first && EVB__PLACE_SEGMENT(stream->places[first - 1]) == segment)
        first--;
    *ret_first = first;
    return stream->count - first;
}

static void put_end(unsigned char *bytes, size_t size)
{
    evb__put32(bytes + size - FILE_END, evb__crc32c(0, bytes, size - FILE_END));
    evb__put32(bytes + size - 4, 0);
}

static size_t index_bytes(const evb_store *store, const struct evb__segment *segment, uint32_t *ret_streams,
                          uint32_t *ret_places)
{
    size_t size = INDEX_HEADER + (size_t)segment->mark_count * MARK_BYTES;
    uint32_t first;

    *ret_streams = *ret_places = 0;
    for (uint32_t i = 1; i < store->streams.next_number; i++) {
        const struct evb__stream *stream = store->streams.numbers[i];

        if (stream == NULL || stream->declared != segment->number) continue;
        size += stream_bytes(stream);
        *ret_places += places_in(stream, segment->number, &first);
        ++*ret_streams;
    }
    return size + evb__round8((size_t)*ret_places * 4) + FILE_END;
}

static void index_put(const evb_store *store, const struct evb__segment *segment, unsigned char *bytes,
                      size_t size, uint32_t streams, uint32_t places)
{
    unsigned char *to = bytes + INDEX_HEADER,
                  *offsets = bytes + size - FILE_END - evb__round8((size_t)places * 4);

    memcpy(bytes, "EVBINDEX", 8);
    evb__put16(bytes + 8, EVB__STORE_MAJOR);
    evb__put16(bytes + 10, EVB__STORE_MINOR);
    evb__put32(bytes + 12, segment->number);
    evb__put32(bytes + 16, segment->salt);
    evb__put32(bytes + 20, segment->last_crc);
    memcpy(bytes + 24, store->format.uuid, 16);
    evb__put64(bytes + 40, segment->base);
    evb__put64(bytes + 48, segment->end_offset);
    evb__put64(bytes + 56, segment->end_position);
    evb__put64(bytes + 64, (uint64_t)segment->max_time);
    evb__put32(bytes + 72, segment == evb__segment_last(store) && !store->rolling ? 0 : 1);
    evb__put32(bytes + 76, segment->mark_count);
    evb__put32(bytes + 80, streams);
    evb__put32(bytes + 84, places);
    for (uint32_t i = 0; i < segment->mark_count; i++, to += MARK_BYTES) {
        evb__put64(to, segment->marks[i].position);
        evb__put64(to + 8, segment->marks[i].offset);
        evb__put64(to + 16, (uint64_t)segment->marks[i].time_before);
    }
    memset(bytes + size - FILE_END - 8, 0, 8);
    for (uint32_t i = 1; i < store->streams.next_number; i++) {
        const struct evb__stream *stream = store->streams.numbers[i];
        uint32_t first, n;

        if (stream == NULL || stream->declared != segment->number) continue;
        n = places_in(stream, segment->number, &first);
        to = put_stream(to, stream, n);
        for (uint32_t k = first; k < stream->count; k++, offsets += 4)
            evb__put32(offsets, (uint32_t)stream->places[k]);
    }
    put_end(bytes, size);
}

int32_t evb__index_save(const evb_store *store, const struct evb__segment *segment)
{
    uint32_t streams, places;
    size_t size = index_bytes(store, segment, &streams, &places);
    unsigned char *bytes = evb__alloc(size, EVB__ALIGN_MIN);
    struct evb__path dir;
    char name[40];
    int32_t rc;

    if (bytes == NULL) return EVB_ENOMEM;
    index_put(store, segment, bytes, size, streams, places);
    (void)snprintf(name, sizeof name, "%020" PRIu64 ".idx", segment->base);
    rc = evb__file_replace(evb__path(&dir, store->dir, "seg"), name, bytes, size, 0);
    evb__free(bytes, size);
    return rc;
}

int32_t evb__heads_save(evb_store *store, uint64_t first)
{
    size_t size = HEADS_HEADER + FILE_END;
    uint32_t streams = 0;
    unsigned char *bytes, *to;
    int32_t rc;

    for (uint32_t i = 1; i < store->streams.next_number; i++)
        if (store->streams.numbers[i] != NULL) size += stream_bytes(store->streams.numbers[i]);
    bytes = evb__alloc(size, EVB__ALIGN_MIN);
    if (bytes == NULL) return EVB_ENOMEM;
    to = bytes + HEADS_HEADER;
    for (uint32_t i = 1; i < store->streams.next_number; i++) {
        if (store->streams.numbers[i] == NULL) continue;
        to = put_stream(to, store->streams.numbers[i], 0);
        streams++;
    }
    memcpy(bytes, "EVBHEADS", 8);
    evb__put16(bytes + 8, EVB__STORE_MAJOR);
    evb__put16(bytes + 10, EVB__STORE_MINOR);
    evb__put32(bytes + 12, streams);
    memcpy(bytes + 16, store->format.uuid, 16);
    evb__put64(bytes + 32, first);
    put_end(bytes, size);
    rc = evb__file_replace(store->dir, "HEADS", bytes, size, 0);
    evb__free(bytes, size);
    return rc;
}

/* ---- reading ---- */

static bool is_whole(const evb_store *store, const unsigned char *bytes, size_t size, size_t header,
                     const char *magic, size_t uuid_at)
{
    return size >= header + FILE_END && memcmp(bytes, magic, 8) == 0 &&
           evb__get32(bytes + size - FILE_END) == evb__crc32c(0, bytes, size - FILE_END) &&
           evb__get16(bytes + 8) == EVB__STORE_MAJOR && memcmp(bytes + uuid_at, store->format.uuid, 16) == 0;
}

/* The stream that begins at `at`, of which the name is in the file; made if nobody knew it. */
static int32_t take_stream(evb_store *store, const unsigned char *at, const unsigned char *end,
                           struct evb__stream **ret_stream)
{
    size_t left = (size_t)(end - at), name_size;
    const char *name = (const char *)at + STREAM_BYTES;
    uint32_t number;

    if (left < STREAM_BYTES) return EVB_ECORRUPT;
    name_size = evb__get16(at + 16);
    number = evb__get32(at + 8);
    if (name_size == 0 || name_size > EVB__STREAM_NAME_MAX || evb__round8(STREAM_BYTES + name_size) > left ||
        number == 0)
        return EVB_ECORRUPT;
    *ret_stream = evb__stream_by_number(&store->streams, number);
    if (*ret_stream == NULL) return evb__stream_add(&store->streams, name, name_size, number, ret_stream);
    if ((*ret_stream)->name_size != name_size || memcmp((*ret_stream)->name, name, name_size) != 0)
        return EVB_ECORRUPT;
    return EVB_OK;
}

static int32_t take_index_streams(evb_store *store, struct evb__segment *segment, const unsigned char *at,
                                  const unsigned char *offsets, uint32_t streams, uint32_t places)
{
    const unsigned char *end = offsets;

    for (uint32_t i = 0; i < streams; i++) {
        struct evb__stream *stream;
        int64_t version;
        uint32_t n;
        int32_t rc = take_stream(store, at, end, &stream);

        if (rc != EVB_OK) return rc;
        version = (int64_t)evb__get64(at);
        n = evb__get32(at + 12);
        if (n > places || (stream->settled && version < stream->version)) return EVB_ECORRUPT;
        places -= n;
        rc = evb__stream_reserve(stream, n);
        if (rc != EVB_OK) return rc;
        for (uint32_t k = 0; k < n; k++, offsets += 4) {
            uint64_t place = (uint64_t)segment->number << 32 | evb__get32(offsets);

            if (stream->count > stream->first && stream->places[stream->count - 1] >= place)
                return EVB_ECORRUPT;
            if (EVB__PLACE_OFFSET(place) < EVB__SEGMENT_HEADER ||
                EVB__PLACE_OFFSET(place) >= segment->end_offset)
                return EVB_ECORRUPT;
            evb__stream_place(stream, place);
        }
        stream->version = version;
        stream->declared = segment->number;
        stream->settled = true;
        at += stream_bytes(stream);
    }
    return places == 0 ? EVB_OK : EVB_ECORRUPT;
}

/* A landmark lies where a frame can, behind the one before it. */
static bool mark_fits(const struct evb__segment *segment, const struct evb__landmark *mark,
                      const unsigned char *bytes)
{
    bool first = mark == segment->marks;

    return mark->offset % 8 == 0 && mark->offset < evb__get64(bytes + 48) &&
           mark->offset >= (first ? EVB__SEGMENT_HEADER : mark[-1].offset) &&
           mark->position >= (first ? segment->base : mark[-1].position) &&
           mark->position <= evb__get64(bytes + 56);
}

static int32_t take_index(evb_store *store, struct evb__segment *segment, const unsigned char *bytes,
                          size_t size)
{
    uint32_t marks = evb__get32(bytes + 76), streams = evb__get32(bytes + 80),
             places = evb__get32(bytes + 84);
    uint64_t need =
        INDEX_HEADER + (uint64_t)marks * MARK_BYTES + ((uint64_t)places * 4 + 7) / 8 * 8 + FILE_END;
    const unsigned char *at = bytes + INDEX_HEADER;

    if (evb__get32(bytes + 12) != segment->number || evb__get32(bytes + 16) != segment->salt ||
        evb__get64(bytes + 40) != segment->base)
        return EVB_ENOTFOUND; /* of an earlier file of this name */
    if (need > size || evb__get64(bytes + 48) < EVB__SEGMENT_HEADER || evb__get64(bytes + 48) % 8 != 0 ||
        evb__get64(bytes + 56) < segment->base)
        return EVB_ECORRUPT;
    evb__assert(segment->mark_count == 0);
    if (marks != 0) {
        segment->marks = evb__alloc(marks * sizeof *segment->marks, EVB__ALIGN_MIN);
        if (segment->marks == NULL) return EVB_ENOMEM;
        segment->mark_room = marks;
    }
    for (; segment->mark_count < marks; segment->mark_count++, at += MARK_BYTES) {
        struct evb__landmark *mark = &segment->marks[segment->mark_count];

        mark->position = evb__get64(at);
        mark->offset = evb__get64(at + 8);
        mark->time_before = (int64_t)evb__get64(at + 16);
        if (!mark_fits(segment, mark, bytes)) return EVB_ECORRUPT;
    }
    segment->last_crc = evb__get32(bytes + 20);
    segment->end_offset = evb__get64(bytes + 48);
    segment->end_position = evb__get64(bytes + 56);
    segment->max_time = (int64_t)evb__get64(bytes + 64);
    segment->sealed = evb__get32(bytes + 72) != 0;
    return take_index_streams(store, segment, at, bytes + size - FILE_END - evb__round8((size_t)places * 4),
                              streams, places);
}

int32_t evb__index_covers(const evb_store *store, uint64_t base, uint32_t *ret_salt, uint64_t *ret_covered)
{
    struct evb__path path;
    unsigned char *bytes;
    size_t size;
    uint64_t of;
    int32_t rc = evb__file_read(evb__segment_path(&path, store->dir, base, "idx"), FILE_MOST, &bytes, &size);

    *ret_covered = 0;
    if (rc == EVB_ENOTFOUND || rc == EVB_ECORRUPT) return EVB_OK;
    if (rc != EVB_OK) return rc;
    if (!is_whole(store, bytes, size, INDEX_HEADER, "EVBINDEX", 24)) {
        evb__free(bytes, size);
        return EVB_OK;
    }
    *ret_salt = evb__get32(bytes + 16);
    of = evb__get64(bytes + 40);
    if (of == base) *ret_covered = evb__get64(bytes + 48);
    evb__free(bytes, size);
    return EVB_OK;
}

int32_t evb__index_load(evb_store *store, struct evb__segment *segment)
{
    struct evb__path path;
    unsigned char *bytes;
    size_t size;
    int32_t rc =
        evb__file_read(evb__segment_path(&path, store->dir, segment->base, "idx"), FILE_MOST, &bytes, &size);

    if (rc == EVB_ENOMEM) return rc;
    if (rc != EVB_OK) return EVB_ENOTFOUND; /* the segment itself will do */
    rc = is_whole(store, bytes, size, INDEX_HEADER, "EVBINDEX", 24) ? take_index(store, segment, bytes, size)
                                                                    : EVB_ENOTFOUND;
    evb__free(bytes, size);
    return rc;
}

static int32_t take_heads(evb_store *store, const unsigned char *bytes, size_t size)
{
    const unsigned char *at = bytes + HEADS_HEADER, *end = bytes + size - FILE_END;
    uint32_t streams = evb__get32(bytes + 12);

    for (uint32_t i = 0; i < streams; i++) {
        struct evb__stream *stream;
        int32_t rc = take_stream(store, at, end, &stream);

        if (rc != EVB_OK) return rc;
        stream->version = stream->heads_version = (int64_t)evb__get64(at);
        at += stream_bytes(stream);
    }
    evb__init(&store->first, evb__get64(bytes + 32));
    return EVB_OK;
}

int32_t evb__heads_load(evb_store *store)
{
    struct evb__path path;
    unsigned char *bytes;
    size_t size;
    int32_t rc = evb__file_read(evb__path(&path, store->dir, "HEADS"), FILE_MOST, &bytes, &size);

    if (rc != EVB_OK) return rc;
    rc = is_whole(store, bytes, size, HEADS_HEADER, "EVBHEADS", 16) ? take_heads(store, bytes, size)
                                                                    : EVB_ECORRUPT;
    evb__free(bytes, size);
    return rc;
}
