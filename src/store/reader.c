/* SPDX-License-Identifier: MIT */
/* Reading: the calls, the events of a frame, and waiting for more. */
#include "store/reader.h"

#include <evbus/bus.h>
#include <string.h>
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/opts.h"
#include "base/park.h"
#include "base/reader.h"
#include "store/recover.h"
#include "topic/dialect.h"

#define STREAM_WINDOW (16u * 1024)      /* frames of one stream lie apart */
#define POLL_NS       INT64_C(10000000) /* beside a writer in another process, who cannot wake us */

/* ---- the events of a frame ---- */

static int32_t reserve(void **memory, uint32_t *room, uint32_t count, size_t size)
{
    uint32_t grown = *room == 0 ? 16 : *room;
    void *bytes;

    if (count <= *room) return EVB_OK;
    while (grown < count)
        grown *= 2;
    bytes = evb__alloc(grown * size, EVB__ALIGN_MIN);
    if (bytes == NULL) return EVB_ENOMEM;
    evb__free(*memory, *room * size);
    *memory = bytes;
    *room = grown;
    return EVB_OK;
}

/* Backwards: where each event begins. */
static int32_t find_starts(evb_reader *reader)
{
    void *starts = reader->starts;
    int32_t rc = reserve(&starts, &reader->starts_room, reader->frame.count, sizeof *reader->starts);
    size_t at = EVB__FRAME_HEADER;

    if (rc != EVB_OK) return rc;
    reader->starts = starts;
    for (uint32_t i = 0; i < reader->frame.count; i++) {
        struct evb__event_view entry;
        int64_t size = evb__event_take(reader->bytes + at, reader->frame.len - at, &entry);

        if (size < 0) return EVB_ECORRUPT;
        reader->starts[i] = (uint32_t)at;
        at += (size_t)size;
    }
    return EVB_OK;
}

/* A frame, and what reading it needs; again and again until both are there, so that lack of memory
 * loses nothing. */
static int32_t open_frame(evb_reader *reader)
{
    int32_t rc = reader->fresh ? EVB_OK : evb__reader_frame(reader);

    if (rc != EVB_OK) {
        reader->bytes = NULL; /* of a frame that was passed over on the way there */
        return rc;
    }
    reader->fresh = true;
    reader->next = reader->backwards ? reader->frame.count : 0;
    reader->at = EVB__FRAME_HEADER;
    rc = reader->backwards ? find_starts(reader) : EVB_OK;
    if (rc == EVB_OK) reader->fresh = false;
    return rc;
}

/* The next event of the frame and its index in it. */
static int32_t take_event(evb_reader *reader, struct evb__event_view *ret, uint32_t *ret_index)
{
    size_t at = reader->backwards ? reader->starts[reader->next - 1] : reader->at;
    int64_t size = evb__event_take(reader->bytes + at, reader->frame.len - at, ret);

    if (size < 0) return EVB_ECORRUPT;
    *ret_index = reader->backwards ? --reader->next : reader->next++;
    reader->at = at + (size_t)size;
    return EVB_OK;
}

static bool frame_is_done(const evb_reader *reader)
{
    return reader->bytes == NULL || reader->fresh ||
           (reader->backwards ? reader->next == 0 : reader->next == reader->frame.count);
}

/* ---- what is wanted of them ---- */

static const struct evb__stream *stream_of(evb_reader *reader)
{
    uint32_t number = reader->frame.stream;
    const struct evb__stream **known = &reader->names[number % EVB__READER_NAMES];

    if (*known != NULL && (*known)->number == number) return *known;
    evb__mutex_lock(&reader->store->lock);
    *known = evb__stream_by_number(&reader->store->streams, number);
    evb__mutex_unlock(&reader->store->lock);
    return *known;
}

static bool in_range(const evb_reader *reader, uint64_t position, int64_t version)
{
    if (reader->backwards)
        return (reader->by_stream ? position <= reader->from_position : position <= reader->want) &&
               version <= reader->want_version;
    return (reader->by_stream ? position >= reader->from_position : position >= reader->want) &&
           version >= reader->want_version;
}

static bool matches(const evb_reader *reader, const char *topic)
{
    const struct evb__dialect *dialect;
    size_t size;

    if (reader->pattern == NULL) return true;
    dialect = evb__dialect(EVB_TOPICS_DOT);
    size = strlen(topic);
    return evb__topic_check(dialect, topic, size) == EVB_OK &&
           evb__matches(dialect, reader->pattern, reader->pattern_size, topic, size);
}

static int32_t fill_record(evb_reader *reader, const struct evb__event_view *entry,
                           const struct evb__stream *stream, uint32_t index, evb_record *ret)
{
    void *headers = reader->headers;
    int32_t rc = reserve(&headers, &reader->headers_room, entry->header_count, sizeof *reader->headers);

    if (rc != EVB_OK) return rc;
    reader->headers = headers;
    if (entry->header_count != 0) evb__event_headers(entry, reader->headers);
    *ret = (evb_record){.stream = stream->name,
                        .topic = entry->topic != NULL ? entry->topic : stream->name,
                        .data = entry->data,
                        .size = entry->data_len,
                        .key = entry->key,
                        .key_len = entry->key_len,
                        .header_count = entry->header_count,
                        .headers = entry->header_count != 0 ? reader->headers : NULL,
                        .event_id = entry->id,
                        .position = reader->frame.position + index,
                        .version = reader->frame.version + (int64_t)index,
                        .time_ns = entry->has_time ? entry->time : reader->frame.time,
                        .schema_type = entry->schema_type,
                        .schema_version = entry->schema_version};
    return EVB_OK;
}

/* It has been looked at: the next one is another. */
static void step(evb_reader *reader, uint64_t position, int64_t version)
{
    if (reader->backwards) {
        if (position <= reader->want) reader->want = position - 1;
        if (reader->by_stream && version <= reader->want_version) reader->want_version = version - 1;
    } else {
        if (position >= reader->want) reader->want = position + 1;
        if (version >= reader->want_version && reader->by_stream) reader->want_version = version + 1;
    }
}

/* The next record that is wanted, of those that are visible. */
static int32_t next_visible(evb_reader *reader, evb_record *ret)
{
    for (;;) {
        const struct evb__stream *stream;
        struct evb__event_view entry;
        uint64_t position;
        int64_t version;
        uint32_t index, next;
        size_t at;
        int32_t rc = EVB_OK;

        if (frame_is_done(reader)) rc = open_frame(reader);
        at = reader->at;
        next = reader->next;
        if (rc == EVB_OK) rc = take_event(reader, &entry, &index);
        if (rc != EVB_OK) return rc;
        position = reader->frame.position + index;
        version = reader->frame.version + (int64_t)index;
        stream = stream_of(reader);
        if (stream == NULL) return EVB_ECORRUPT;
        if (!in_range(reader, position, version)) continue;
        if (reader->from_time != INT64_MIN) {
            if ((entry.has_time ? entry.time : reader->frame.time) < reader->from_time) {
                step(reader, position, version);
                continue;
            }
            reader->from_time = INT64_MIN;
        }
        if (matches(reader, entry.topic != NULL ? entry.topic : stream->name)) {
            rc = fill_record(reader, &entry, stream, index, ret);
            if (rc == EVB_OK) {
                step(reader, position, version);
            } else { /* not handed out: again next time */
                reader->at = at;
                reader->next = next;
            }
            return rc;
        }
        step(reader, position, version);
    }
}

/* The common case by itself, for half the instructions: forward, no filter, an event that has data and
 * nothing else. 1: next_visible is to look, and finds what it would have found. */
static int32_t next_plain(evb_reader *reader, evb_record *ret)
{
    const struct evb__frame *f = &reader->frame;
    const unsigned char *from;
    const struct evb__stream *stream;
    const char *name;
    uint64_t position;
    int64_t version, time;
    size_t size;

    if (reader->backwards || reader->pattern != NULL || reader->from_time != INT64_MIN) return 1;
    if (frame_is_done(reader)) {
        int32_t rc = open_frame(reader);

        if (rc != EVB_OK) return rc == EVB_EEMPTY ? 1 : rc; /* the end is next_visible's */
    }
    from = reader->bytes + reader->at;
    size = evb__event_plain(from, f->len - reader->at);
    position = f->position + reader->next;
    version = f->version + (int64_t)reader->next;
    if (size == 0 || position < (reader->by_stream ? reader->from_position : reader->want) ||
        version < reader->want_version)
        return 1;
    stream = stream_of(reader);
    if (stream == NULL) return 1;
    name = stream->name;
    time = f->time;
    reader->next++;
    reader->at += size;
    if (position >= reader->want) reader->want = position + 1;
    if (reader->by_stream) reader->want_version = version + 1;
    reader->told = false;
    size = evb__get32(from);
    *ret = (evb_record){.stream = name,
                        .topic = name,
                        .data = from + EVB__EVENT_HEADER,
                        .size = size,
                        .position = position,
                        .version = version,
                        .time_ns = time};
    return EVB_OK;
}

/* ---- the end, for now ---- */

/* More may be visible than was: what the writer of another process has added, what only memory has.
 * 1: look again. */
static int32_t bring_more(evb_reader *reader)
{
    evb_store *store = reader->store;
    uint64_t before, after;
    int32_t rc = EVB_OK;

    evb__mutex_lock(&store->lock);
    before = store->visible_position;
    /* closed: set under the lock */
    if (store->opts.sync == EVB_SYNC_MEM && evb__ld_rlx(&store->closed) == 0 &&
        store->next_position > before) {
        evb__role_take_locked(store);
        (void)evb__commit_locked(store, false); /* no room: that is no news for a reader */
        evb__role_pass_locked(store);
    }
    evb__mutex_unlock(&store->lock);
    if (store->read_only) rc = evb__refresh(store);
    evb__mutex_lock(&store->lock);
    after = store->visible_position;
    evb__mutex_unlock(&store->lock);
    return after != before ? 1 : rc;
}

/* Sleeps until more is visible than `seen`, or the store is closed, or the time is up. */
static int32_t wait_for_more(evb_reader *reader, uint64_t seen, int64_t deadline)
{
    evb_store *store = reader->store;
    int64_t left = evb__remaining(deadline);
    uint32_t word;
    bool sleeps;

    if (left == 0) return EVB_ETIMEDOUT;
    if (store->read_only && (left < 0 || left > POLL_NS)) left = POLL_NS;
    evb__mutex_lock(&store->lock);
    sleeps = store->visible_position == seen && evb__ld_rlx(&store->closed) == 0; /* changes under the lock */
    word = evb__ld_rlx(&store->moved);                                            /* likewise */
    if (sleeps) store->followers++;
    evb__mutex_unlock(&store->lock);
    if (!sleeps) return EVB_OK;
    (void)evb__park(&store->moved, word, left);
    evb__mutex_lock(&store->lock);
    store->followers--;
    evb__mutex_unlock(&store->lock);
    return EVB_OK;
}

static uint64_t visible(evb_store *store)
{
    uint64_t position;

    evb__mutex_lock(&store->lock);
    position = store->visible_position;
    evb__mutex_unlock(&store->lock);
    return position;
}

/* At the end. EVB_OK: look again. */
static int32_t at_end(evb_reader *reader, uint64_t seen, int64_t timeout_ns, int64_t deadline)
{
    int32_t rc;

    if (reader->backwards) return EVB_EEMPTY;
    rc = bring_more(reader);
    if (rc != EVB_OK) return rc == 1 ? EVB_OK : rc;
    if (reader->store->damaged) return EVB_ECORRUPT;
    if (!reader->follow) return EVB_EEMPTY;
    if (!reader->told) {
        reader->told = true;
        return EVB_EAGAIN;
    }
    if (timeout_ns == 0) return EVB_EEMPTY;
    if (evb__in_callback(evb__self())) return EVB_EDEADLK;
    return wait_for_more(reader, seen, deadline);
}

static int32_t reader_check(const evb_reader *reader)
{
    if (reader->generation != evb__process_generation()) return EVB_EFORKED;
    return evb__ld_acq(&reader->store->closed) != 0 ? EVB_ECLOSED : EVB_OK; /* pairs with evb_store_close */
}

static EVB__NOINLINE int32_t next_or_wait(evb_reader *reader, int64_t timeout_ns, evb_record *ret_record)
{
    int64_t deadline = -1;
    bool timed = false;

    for (;;) {
        uint64_t seen;
        int32_t rc = reader_check(reader);

        if (rc != EVB_OK) return rc;
        /* asked only where the end may be near: 0 is never the answer, and has it asked again */
        seen = reader->follow && frame_is_done(reader) ? visible(reader->store) : 0;
        rc = next_visible(reader, ret_record);
        if (rc == EVB_OK) reader->told = false;
        if (rc != EVB_EEMPTY) return rc;
        if (!timed && timeout_ns > 0) { /* the clock is asked when there is something to wait for */
            deadline = evb__deadline(timeout_ns);
            timed = true;
        }
        rc = at_end(reader, seen, timeout_ns, deadline);
        if (rc != EVB_OK) return rc;
    }
}

int32_t evb_reader_next(evb_reader *reader, int64_t timeout_ns, evb_record *ret_record)
{
    int32_t rc;

    if (reader == NULL || ret_record == NULL || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    rc = reader_check(reader);
    if (rc == EVB_OK) rc = next_plain(reader, ret_record);
    return rc == 1 ? next_or_wait(reader, timeout_ns, ret_record) : rc;
}

/* ---- begin and end ---- */

static void reader_free(evb_reader *reader)
{
    if (reader->fd >= 0) (void)evb__files()->close(reader->fd, evb__files()->arg);
    evb__scan_free(&reader->scan);
    evb__free(reader->text, reader->text_bytes);
    evb__free(reader->starts, reader->starts_room * sizeof *reader->starts);
    evb__free(reader->frames, reader->frames_room * sizeof *reader->frames);
    evb__free(reader->headers, reader->headers_room * sizeof *reader->headers);
    evb__free(reader, sizeof *reader);
}

static int32_t check_opts(const evb_read_opts *o, size_t *ret_name, size_t *ret_pattern)
{
    int starts = (o->from_position != 0) + (o->from_version != 0) + (o->from_time_ns != 0);

    *ret_name = o->stream != NULL ? strnlen(o->stream, EVB__STREAM_NAME_MAX + 1) : 0;
    *ret_pattern = o->topic_pattern != NULL ? strnlen(o->topic_pattern, EVB__NAME_MAX + 1) : 0;
    if ((o->flags & ~(uint32_t)(EVB_READ_BACKWARDS | EVB_READ_FOLLOW)) != 0) return EVB_EINVAL;
    if (o->flags == (EVB_READ_BACKWARDS | EVB_READ_FOLLOW)) return EVB_EINVAL;
    if (starts > 1 || o->from_version < 0 || (o->from_version != 0 && o->stream == NULL)) return EVB_EINVAL;
    if (o->stream != NULL && (*ret_name == 0 || *ret_name > EVB__STREAM_NAME_MAX)) return EVB_EINVAL;
    if (o->topic_pattern != NULL &&
        evb__pattern_check(evb__dialect(EVB_TOPICS_DOT), o->topic_pattern, *ret_pattern) != EVB_OK)
        return EVB_EINVAL;
    return EVB_OK;
}

static int32_t make_reader(evb_store *store, const evb_read_opts *o, size_t name, size_t pattern,
                           evb_reader **ret)
{
    evb_reader *reader = evb__zalloc(sizeof *reader, EVB__ALIGN_MIN);

    if (reader == NULL) return EVB_ENOMEM;
    reader->store = store;
    reader->generation = store->generation;
    reader->fd = -1;
    reader->backwards = (o->flags & EVB_READ_BACKWARDS) != 0;
    reader->follow = (o->flags & EVB_READ_FOLLOW) != 0;
    reader->by_stream = o->stream != NULL;
    evb__scan_init(&reader->scan, reader->by_stream ? STREAM_WINDOW : EVB__SCAN_WINDOW);
    reader->text_bytes = name + pattern + 2;
    reader->text = evb__zalloc(reader->text_bytes, EVB__ALIGN_MIN);
    if (reader->text == NULL) {
        reader_free(reader);
        return EVB_ENOMEM;
    }
    reader->name_size = name;
    if (name != 0) memcpy(reader->text, o->stream, name);
    reader->pattern_size = pattern;
    if (o->topic_pattern != NULL) {
        memcpy(reader->text + name + 1, o->topic_pattern, pattern);
        reader->pattern = reader->text + name + 1;
    }
    *ret = reader;
    return EVB_OK;
}

int32_t evb_store_read(evb_store *store, const evb_read_opts *opts, evb_reader **ret_reader)
{
    evb_reader *reader;
    evb_read_opts o;
    size_t name, pattern;
    int32_t rc = evb__store_enter(store);

    if (rc != EVB_OK) return rc;
    if (ret_reader == NULL) return EVB_EINVAL;
    rc = EVB__OPTS_READ(&o, opts);
    if (rc == EVB_OK) rc = check_opts(&o, &name, &pattern);
    if (rc == EVB_OK) rc = make_reader(store, &o, name, pattern, &reader);
    if (rc != EVB_OK) return rc;
    rc = bring_more(reader);
    if (rc >= 0) rc = evb__reader_begin(reader, &o);
    if (rc != EVB_OK) {
        reader_free(reader);
        return rc;
    }
    (void)evb__add_rlx(&store->refs, 1); /* relaxed: the caller has one */
    *ret_reader = reader;
    return EVB_OK;
}

void evb_reader_close(evb_reader *reader)
{
    evb_store *store;

    if (reader == NULL || reader->generation != evb__process_generation()) return;
    store = reader->store;
    reader_free(reader);
    evb__store_unref(store);
}
