/* SPDX-License-Identifier: MIT */
/* Where a reader is: segments, landmarks, places; and the next frame from there. */
#include "store/reader.h"

#include <string.h>
#include "base/alloc.h"
#include "base/file.h"

/* A segment, as it was while the lock was held. */
struct spot {
    uint64_t base, offset /* where to begin */, limit, end_position;
    uint32_t number, salt;
};

static uint64_t visible_limit(const evb_store *store, const struct evb__segment *segment)
{
    return segment->number == store->visible_segment ? store->visible_offset : segment->end_offset;
}

/* The last landmark at or before a position; the first frame if there is none. */
static uint64_t landmark_before(const struct evb__segment *segment, uint64_t position)
{
    uint32_t low = 0, high = segment->mark_count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (segment->marks[mid].position <= position) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low == 0 ? EVB__SEGMENT_HEADER : segment->marks[low - 1].offset;
}

static void spot_of(const evb_store *store, const struct evb__segment *segment, struct spot *ret)
{
    ret->base = segment->base;
    ret->number = segment->number;
    ret->salt = segment->salt;
    ret->limit = visible_limit(store, segment);
    ret->end_position =
        segment->number == store->visible_segment ? store->visible_position : segment->end_position;
    ret->offset = EVB__SEGMENT_HEADER;
}

/* ---- the file ---- */

static void leave_file(evb_reader *reader)
{
    if (reader->fd >= 0) (void)evb__files()->close(reader->fd, evb__files()->arg);
    reader->fd = -1;
}

/* A file that the list of segments names and the directory does not: whoever trims is at it. */
static int32_t wait_for_trim(evb_reader *reader)
{
    evb_store *store = reader->store;

    if (store->read_only) return EVB_ETRUNCATED; /* another process has done it */
    evb__mutex_lock(&store->lock);
    evb__role_take_locked(store);
    evb__role_pass_locked(store);
    evb__mutex_unlock(&store->lock);
    return EVB_EAGAIN;
}

/* The reader looks at that file from that offset on. EVB_EAGAIN: ask the store again. */
static int32_t go_to(evb_reader *reader, const struct spot *spot)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    int32_t fd;

    if (reader->fd >= 0 && reader->number == spot->number) {
        reader->scan.offset = spot->offset;
        reader->scan.limit = spot->limit;
        reader->end_position = spot->end_position;
        return EVB_OK;
    }
    fd = files->open(evb__segment_path(&path, reader->store->dir, spot->base, "seg"), EVB__FILE_READ,
                     files->arg);
    if (fd == EVB_ENOTFOUND) return wait_for_trim(reader);
    if (fd < 0) return fd == EVB_ENOMEM ? EVB_ENOMEM : EVB_EIO;
    leave_file(reader);
    reader->fd = fd;
    reader->number = spot->number;
    reader->end_position = spot->end_position;
    evb__scan_start(&reader->scan, fd, spot->salt, EVB__SEGMENT_MAX, spot->offset, spot->limit);
    return EVB_OK;
}

/* The next frame in the file. What is visible has been whole once: anything else there is damage. */
static int32_t read_frame(evb_reader *reader)
{
    int32_t rc = evb__scan_next(&reader->scan, &reader->frame, &reader->bytes);

    if (rc != EVB_OK) reader->bytes = NULL;
    if (rc == EVB_OK && reader->frame.kind == EVB__FRAME_DATA && reader->frame.count == 0) rc = EVB_ECORRUPT;
    return rc;
}

/* ---- all, forward ---- */

/* The segment of `want`, or EVB_EEMPTY. */
static int32_t find_forward(evb_reader *reader, struct spot *ret)
{
    evb_store *store = reader->store;
    const struct evb__segment *segment;
    uint64_t first;
    uint32_t i;

    evb__mutex_lock(&store->lock);
    first = store->segments[0]->base;
    if (reader->want < first) {
        reader->want = first;
        evb__mutex_unlock(&store->lock);
        return EVB_ETRUNCATED;
    }
    if (reader->want >= store->visible_position) {
        evb__mutex_unlock(&store->lock);
        return EVB_EEMPTY;
    }
    i = evb__segment_index(store, reader->want);
    evb__assert(i < store->segment_count);
    segment = store->segments[i];
    if (reader->want < segment->base) reader->want = segment->base; /* a gap that salvage has left */
    spot_of(store, segment, ret);
    ret->offset = landmark_before(segment, reader->want);
    if (ret->offset > ret->limit) ret->offset = EVB__SEGMENT_HEADER;
    evb__mutex_unlock(&store->lock);
    return EVB_OK;
}

static int32_t next_forward(evb_reader *reader)
{
    for (;;) {
        struct spot spot;
        uint64_t offset = reader->scan.offset;
        bool here;
        int32_t rc = reader->fd >= 0 ? read_frame(reader) : EVB_EEMPTY;

        if (rc == EVB_OK) {
            const struct evb__frame *f = &reader->frame;

            if (f->kind != EVB__FRAME_DATA || f->position + f->count <= reader->want) continue;
            if (f->position > reader->want && !reader->store->salvaged) rc = EVB_ECORRUPT;
            if (rc == EVB_OK) return EVB_OK;
            reader->scan.offset = offset; /* the same answer next time */
            reader->bytes = NULL;
        }
        if (rc != EVB_EEMPTY) return rc;
        rc = find_forward(reader, &spot);
        if (rc != EVB_OK) return rc;
        here = reader->fd >= 0 && reader->number == spot.number;
        if (here) {
            if (spot.limit == reader->scan.limit) return EVB_ECORRUPT; /* it ends before it should */
            spot.offset = reader->scan.offset;
        }
        rc = go_to(reader, &spot);
        if (rc == EVB_ETRUNCATED) reader->want = spot.end_position;
        if (rc != EVB_OK && rc != EVB_EAGAIN) return rc;
    }
}

/* ---- all, backwards ---- */

/* The segment of `want` and the landmark before it, or EVB_EEMPTY. */
static int32_t find_backwards(evb_reader *reader, struct spot *ret)
{
    evb_store *store = reader->store;
    const struct evb__segment *segment;
    uint32_t i;
    int32_t rc = EVB_EEMPTY;

    evb__mutex_lock(&store->lock);
    i = evb__segment_index(store, reader->want);
    if (i < store->segment_count && reader->want < store->segments[i]->base) {
        /* between two: salvage has left a gap, or there was never anything */
        reader->want = i > 0 ? store->segments[i - 1]->end_position - 1 : 0;
        i = i > 0 ? i - 1 : 0;
    }
    if (reader->want != 0 && i < store->segment_count) {
        segment = store->segments[i];
        spot_of(store, segment, ret);
        ret->offset = landmark_before(segment, reader->want);
        rc = EVB_OK;
    }
    evb__mutex_unlock(&store->lock);
    return rc;
}

static int32_t keep_frame(evb_reader *reader, uint64_t offset)
{
    uint32_t room = reader->frames_room == 0 ? 1024 : reader->frames_room * 2;
    uint32_t *frames;

    if (reader->frame_count == reader->frames_room) {
        frames = evb__alloc(room * sizeof *frames, EVB__ALIGN_MIN);
        if (frames == NULL) return EVB_ENOMEM;
        if (reader->frame_count != 0) memcpy(frames, reader->frames, reader->frame_count * sizeof *frames);
        evb__free(reader->frames, reader->frames_room * sizeof *frames);
        reader->frames = frames;
        reader->frames_room = room;
    }
    reader->frames[reader->frame_count++] = (uint32_t)(offset >> 3);
    return EVB_OK;
}

/* The frames from the landmark up to the one with `want`. */
static int32_t gather(evb_reader *reader)
{
    reader->frame_count = 0;
    for (;;) {
        uint64_t offset = reader->scan.offset;
        int32_t rc = read_frame(reader);

        if (rc == EVB_EEMPTY) break;
        if (rc == EVB_OK && reader->frame.kind != EVB__FRAME_DATA) continue;
        if (rc == EVB_OK && reader->frame.position > reader->want) break;
        if (rc == EVB_OK) rc = keep_frame(reader, offset);
        if (rc != EVB_OK) return rc;
    }
    return reader->frame_count != 0 ? EVB_OK : EVB_ECORRUPT; /* it was said to be here */
}

static int32_t next_backwards(evb_reader *reader)
{
    while (reader->frame_count == 0) {
        struct spot spot;
        int32_t rc = reader->want == 0 ? EVB_EEMPTY : find_backwards(reader, &spot);

        if (rc == EVB_OK) rc = go_to(reader, &spot);
        if (rc == EVB_EAGAIN) continue;
        if (rc == EVB_ETRUNCATED) rc = EVB_EEMPTY; /* this way round that is the end */
        if (rc == EVB_OK) rc = gather(reader);
        if (rc != EVB_OK) {
            reader->frame_count = 0;
            reader->bytes = NULL;
            return rc;
        }
    }
    reader->scan.offset = (uint64_t)reader->frames[reader->frame_count - 1] << 3;
    {
        int32_t rc = read_frame(reader);

        if (rc != EVB_OK) return rc == EVB_EEMPTY ? EVB_ECORRUPT : rc;
    }
    reader->frame_count--;
    return EVB_OK;
}

/* ---- a stream ---- */

/* The first of its places that is above `place`. */
static uint32_t place_above(const struct evb__stream *stream, uint64_t place)
{
    uint32_t low = stream->first, high = stream->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (stream->places[mid] <= place) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* True: there is nothing left of the stream, and there was something that the reader has not seen. */
static bool fetch_places(evb_reader *reader)
{
    evb_store *store = reader->store;
    const struct evb__stream *stream;
    bool gone = false;
    uint64_t end;
    uint32_t i, n = 0;

    evb__mutex_lock(&store->lock);
    if (reader->stream == NULL)
        reader->stream = evb__stream_find(&store->streams, reader->text, reader->name_size);
    stream = reader->stream;
    end = EVB__PLACE(store->visible_segment, store->visible_offset); /* no frame begins here yet */
    if (stream != NULL && reader->backwards) {
        if (end > reader->last_place) end = reader->last_place;
        for (i = end == 0 ? stream->first : place_above(stream, end - 1);
             i > stream->first && n < EVB__READER_PLACES; i--)
            reader->places[n++] = stream->places[i - 1];
    } else if (stream != NULL) {
        for (i = place_above(stream, reader->last_place);
             i < stream->count && stream->places[i] < end && n < EVB__READER_PLACES; i++)
            reader->places[n++] = stream->places[i];
        gone = stream->first == stream->count && reader->want_version > 0 &&
               stream->version >= reader->want_version;
        if (gone) reader->want_version = stream->version + 1;
    }
    evb__mutex_unlock(&store->lock);
    reader->place_count = n;
    reader->place_next = 0;
    return gone;
}

/* The frame at a place of the stream. EVB_EAGAIN: it has been trimmed. */
static int32_t read_place(evb_reader *reader, uint64_t place)
{
    evb_store *store = reader->store;
    const struct evb__segment *segment;
    struct spot spot;
    int32_t rc;

    evb__mutex_lock(&store->lock);
    segment = evb__segment_by_number(store, EVB__PLACE_SEGMENT(place));
    if (segment != NULL) spot_of(store, segment, &spot);
    evb__mutex_unlock(&store->lock);
    if (segment == NULL) return EVB_EAGAIN;
    spot.offset = EVB__PLACE_OFFSET(place);
    rc = go_to(reader, &spot);
    if (rc == EVB_ETRUNCATED) return EVB_EAGAIN;
    if (rc == EVB_OK) rc = read_frame(reader);
    if (rc == EVB_EEMPTY) return EVB_ECORRUPT;
    if (rc == EVB_OK &&
        (reader->frame.kind != EVB__FRAME_DATA || reader->frame.stream != reader->stream->number)) {
        reader->bytes = NULL;
        rc = EVB_ECORRUPT;
    }
    return rc;
}

static int32_t next_of_stream(evb_reader *reader)
{
    for (;;) {
        uint64_t place;
        int32_t rc;

        if (reader->place_next == reader->place_count && fetch_places(reader)) return EVB_ETRUNCATED;
        if (reader->place_count == 0) return EVB_EEMPTY;
        place = reader->places[reader->place_next];
        rc = read_place(reader, place);
        if (rc == EVB_EAGAIN) { /* gone, and all of this segment; what follows it will show that */
            if (reader->backwards) return EVB_EEMPTY;
            reader->place_count = reader->place_next = 0;
            reader->last_place = EVB__PLACE(EVB__PLACE_SEGMENT(place), 0) | UINT32_MAX;
            continue;
        }
        if (rc != EVB_OK) return rc;
        if (!reader->backwards && reader->want_version > 0 && reader->frame.version > reader->want_version &&
            !reader->store->salvaged) { /* what was between is gone: say so, and go on here */
            reader->want_version = reader->frame.version;
            reader->bytes = NULL;
            return EVB_ETRUNCATED;
        }
        reader->place_next++;
        reader->last_place = place;
        if (!reader->backwards && reader->frame.version + reader->frame.count - 1 < reader->want_version)
            continue;
        if (reader->backwards && reader->frame.version > reader->want_version) continue;
        return EVB_OK;
    }
}

int32_t evb__reader_frame(evb_reader *reader)
{
    if (reader->by_stream) return next_of_stream(reader);
    return reader->backwards ? next_backwards(reader) : next_forward(reader);
}

/* ---- beginning ---- */

/* The first segment with an event of this time or later, and the landmark before it; UINT32_MAX:
 * none. Under the lock. */
static uint32_t segment_of_time(const evb_store *store, int64_t time, uint32_t *ret_mark)
{
    for (uint32_t i = 0; i < store->segment_count; i++) {
        const struct evb__segment *segment = store->segments[i];
        uint32_t low = 0, high = segment->mark_count;

        if (segment->max_time < time) continue;
        while (low < high) { /* time_before rises */
            uint32_t mid = low + (high - low) / 2;

            if (segment->marks[mid].time_before < time) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        *ret_mark = low == 0 ? 0 : low - 1;
        return i;
    }
    return UINT32_MAX;
}

/* Where the walk to an event of this time has to begin: position and place. */
static void begin_at_time(evb_reader *reader, int64_t time)
{
    evb_store *store = reader->store;
    uint32_t mark, i;

    evb__mutex_lock(&store->lock);
    i = segment_of_time(store, time, &mark);
    if (i == UINT32_MAX) {
        reader->want = store->visible_position;
        reader->last_place = EVB__PLACE(store->visible_segment, store->visible_offset) - 1;
    } else {
        const struct evb__segment *segment = store->segments[i];
        bool marked = segment->mark_count != 0;

        reader->want = marked ? segment->marks[mark].position : segment->base;
        reader->last_place = EVB__PLACE(segment->number, marked ? segment->marks[mark].offset : 8) - 1;
    }
    evb__mutex_unlock(&store->lock);
    reader->from_time = time;
}

/* Backwards from a time: from the event before the first later one, which is looked for forward. */
static int32_t position_before_time(evb_reader *reader, int64_t time, uint64_t *ret)
{
    evb_read_opts from = {.from_time_ns = time};
    evb_reader *forward;
    evb_record record;
    int32_t rc;

    if (time == INT64_MAX) return EVB_OK;
    from.from_time_ns = time + 1;
    if (from.from_time_ns == 0) from.from_time_ns = 1;
    rc = evb_store_read(reader->store, &from, &forward);
    if (rc != EVB_OK) return rc;
    rc = evb_reader_next(forward, 0, &record);
    evb_reader_close(forward);
    if (rc == EVB_OK) *ret = record.position - 1;
    return rc == EVB_EEMPTY ? EVB_OK : rc;
}

/* The version of the frame at a place. */
static int32_t version_at(evb_reader *reader, uint32_t index, int64_t *ret, uint64_t *ret_place)
{
    evb_store *store = reader->store;
    bool there;
    int32_t rc;

    evb__mutex_lock(&store->lock);
    there = index >= reader->stream->first && index < reader->stream->count;
    if (there) *ret_place = reader->stream->places[index];
    evb__mutex_unlock(&store->lock);
    if (!there) return EVB_EAGAIN;
    rc = read_place(reader, *ret_place);
    *ret = reader->frame.version;
    reader->bytes = NULL;
    return rc;
}

/* By halves to the frame with the version, as far as that is visible; a start a little early is a
 * start, too.
 */
static int32_t begin_at_version(evb_reader *reader, int64_t version)
{
    evb_store *store = reader->store;
    uint32_t low, high;
    int64_t found, current = 0;
    uint64_t place, end;
    int32_t rc;

    reader->want_version = version;
    evb__mutex_lock(&store->lock);
    reader->stream = evb__stream_find(&store->streams, reader->text, reader->name_size);
    low = high = 0;
    if (reader->stream != NULL) {
        end = EVB__PLACE(store->visible_segment, store->visible_offset);
        low = reader->stream->first;
        high = end == 0 ? low : place_above(reader->stream, end - 1);
        current = reader->stream->version;
    }
    evb__mutex_unlock(&store->lock);
    if (version > current) return EVB_OK; /* backwards: from the last one; forward: what is still to come */
    if (low == high)
        return current != 0 && reader->stream->count == reader->stream->first ? EVB_ETRUNCATED : EVB_OK;
    rc = version_at(reader, low, &found, &place);
    if (rc != EVB_OK) return rc == EVB_EAGAIN ? EVB_ETRUNCATED : rc;
    if (version < found) return EVB_ETRUNCATED;
    while (high - low > 1) { /* the frame at low begins at or before it, the one at high behind it */
        uint32_t mid = low + (high - low) / 2;
        uint64_t at;

        rc = version_at(reader, mid, &found, &at);
        if (rc == EVB_EAGAIN) break; /* trimmed meanwhile: the walk will say so */
        if (rc != EVB_OK) return rc;
        if (found <= version) {
            low = mid;
            place = at;
        } else {
            high = mid;
        }
    }
    reader->last_place = reader->backwards ? place + 1 : place - 1;
    return EVB_OK;
}

static int32_t begin_at_position(evb_reader *reader, uint64_t position)
{
    evb_store *store = reader->store;
    int32_t rc = EVB_OK;

    evb__mutex_lock(&store->lock);
    if (position < store->segments[0]->base) {
        rc = EVB_ETRUNCATED;
    } else {
        uint32_t i = evb__segment_index(store, position);

        reader->from_position = position;
        if (!reader->backwards) {
            reader->want = position;
        } else if (position < reader->want) {
            reader->want = position;
        }
        /* A stream is walked from there on; backwards it is walked from its end, and passes over
         * what is behind. */
        if (!reader->backwards && i < store->segment_count)
            reader->last_place =
                EVB__PLACE(store->segments[i]->number, landmark_before(store->segments[i], position)) - 1;
        if (reader->backwards && i + 1 < store->segment_count)
            reader->last_place = EVB__PLACE(store->segments[i + 1]->number, 0);
    }
    evb__mutex_unlock(&store->lock);
    return rc;
}

int32_t evb__reader_begin(evb_reader *reader, const evb_read_opts *o)
{
    evb_store *store = reader->store;
    uint64_t before = UINT64_MAX;
    int32_t rc;

    reader->from_time = INT64_MIN;
    evb__mutex_lock(&store->lock);
    reader->want = reader->backwards ? store->visible_position - 1 : store->segments[0]->base;
    evb__mutex_unlock(&store->lock);
    reader->from_position = reader->backwards ? UINT64_MAX : 0;
    reader->want_version = reader->backwards ? INT64_MAX : 0;
    reader->last_place = reader->backwards ? UINT64_MAX : 0;
    if (o->from_position != 0) return begin_at_position(reader, o->from_position);
    if (o->from_version != 0) return begin_at_version(reader, o->from_version);
    if (o->from_time_ns == 0) return EVB_OK;
    if (!reader->backwards) {
        begin_at_time(reader, o->from_time_ns);
        return EVB_OK;
    }
    rc = position_before_time(reader, o->from_time_ns, &before);
    if (rc != EVB_OK || before == UINT64_MAX) return rc;
    if (before < evb__ld_acq(&store->first)) { /* all of it is later; pairs with trim */
        reader->want = 0;
        reader->last_place = 0;
        return EVB_OK;
    }
    return begin_at_position(reader, before);
}
