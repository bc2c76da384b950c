/* SPDX-License-Identifier: MIT */
/* Appending: versions, frames, levels; and what a stream and the store have so far. */
#include "store/store.h"

#include <evbus/bus.h>

#include <string.h>
#include "base/alloc.h"
#include "base/clock.h"
#include "topic/dialect.h"

#define TAIL_RESERVE (2u * EVB__FRAME_HEADER) /* of a segment, for its MARK and its SEAL */

static int32_t measure(const evb_store *store, struct evb__append *a, uint64_t *bytes)
{
    uint64_t frame = EVB__FRAME_HEADER;

    if (a->n > EVB__FRAME_EVENTS) return EVB_ETOOBIG;
    a->ids = true;
    for (uint32_t i = 0; i < a->n; i++) {
        size_t size;
        int32_t rc = evb__event_measure(&a->records[i], a->stream, &size);

        if (rc != EVB_OK) return rc;
        frame += size;
        if (frame > store->max_frame) return EVB_ETOOBIG;
        if (a->records[i].event_id == NULL) a->ids = false;
    }
    a->bytes = (uint32_t)frame;
    a->name_size = strlen(a->stream);
    *bytes += frame;
    return EVB_OK;
}

static bool expected_is(int64_t expected, int64_t version)
{
    if (expected == EVB_ANY_VERSION) return true;
    if (expected == EVB_STREAM_EXISTS) return version > 0;
    return expected == version;
}

/* ---- into the fill group, under the lock ---- */

static bool fits_segment(const evb_store *store, size_t bytes)
{
    return evb__segment_last(store)->end_offset + bytes + TAIL_RESERVE <= store->opts.segment_bytes;
}

static bool fits_group(const evb_store *store, size_t bytes)
{
    size_t used = store->groups[store->fill].used;

    return used == 0 || used + bytes <= EVB__GROUP_MAX;
}

static int32_t group_reserve(struct evb__group *g, size_t bytes, uint32_t count)
{
    size_t room = g->room == 0 ? 4096 : g->room;
    uint32_t undo_room = g->undo_room == 0 ? 16 : g->undo_room;
    unsigned char *grown;

    while (undo_room - g->undo_count < count)
        undo_room *= 2; /* bounded: so many frames fit into a group */
    if (undo_room != g->undo_room) {
        struct evb__stream_undo *undo = evb__alloc(undo_room * sizeof *undo, EVB__ALIGN_MIN);

        if (undo == NULL) return EVB_ENOMEM;
        if (g->undo_count != 0) memcpy(undo, g->undo, g->undo_count * sizeof *undo);
        evb__free(g->undo, g->undo_room * sizeof *undo);
        g->undo = undo;
        g->undo_room = undo_room;
    }
    while (room < g->used + bytes)
        room *= 2;
    if (room == g->room) return EVB_OK;
    grown = evb__alloc(room, EVB__ALIGN_MIN);
    if (grown == NULL) return EVB_ENOMEM;
    if (g->used != 0) memcpy(grown, g->bytes, g->used);
    evb__free(g->bytes, g->room);
    g->bytes = grown;
    g->room = room;
    return EVB_OK;
}

/* Everything that may fail, before anything changes. */
static int32_t prepare(evb_store *store, struct evb__append *appends, uint32_t count, size_t bytes)
{
    int32_t rc = evb__segment_reserve(evb__segment_last(store), count);

    for (uint32_t i = 0; i < count && rc == EVB_OK; i++) {
        struct evb__append *a = &appends[i];

        if (a->to == NULL) a->to = evb__stream_find(&store->streams, a->stream, a->name_size);
        if (a->to == NULL) rc = evb__stream_add(&store->streams, a->stream, a->name_size, 0, &a->to);
        if (rc == EVB_OK) rc = evb__stream_reserve(a->to, count); /* they may all go to it */
    }
    return rc == EVB_OK ? group_reserve(&store->groups[store->fill], bytes, count) : rc;
}

static void encode(evb_store *store, struct evb__append *o)
{
    struct evb__stream *stream = o->to;
    struct evb__segment *segment = evb__segment_last(store);
    struct evb__group *g = &store->groups[store->fill];
    unsigned char *to = g->bytes + g->used;
    int64_t now = o->records[0].time_ns != 0 ? o->records[0].time_ns : evb__clock_wall();
    struct evb__frame frame = {.len = o->bytes,
                               .position = store->next_position,
                               .time = now,
                               .version = stream->version + 1,
                               .stream = stream->number,
                               .count = (uint16_t)o->n,
                               .kind = EVB__FRAME_DATA};
    uint64_t offset = segment->end_offset;

    if (stream->declared != segment->number) {
        evb__decl_put(to, frame.position, now, stream->version, stream->number, o->stream, o->name_size);
        to += evb__decl_bytes(o->name_size);
        offset += evb__decl_bytes(o->name_size);
    }
    g->undo[g->undo_count++] = (struct evb__stream_undo){.stream = stream,
                                                         .version = stream->version,
                                                         .declared = stream->declared,
                                                         .place = EVB__PLACE(segment->number, offset)};
    stream->declared = segment->number;
    evb__frame_put(to, &frame);
    to += EVB__FRAME_HEADER;
    evb__segment_note(segment, offset, frame.position);
    for (uint32_t i = 0; i < o->n; i++) {
        int64_t time = o->records[i].time_ns != 0 ? o->records[i].time_ns : now;

        to = evb__event_put(to, &o->records[i], o->stream);
        if (time > segment->max_time) segment->max_time = time;
    }
    evb__assert((size_t)(to - g->bytes) == g->used + (offset - segment->end_offset) + o->bytes);
    g->used = (size_t)(to - g->bytes);
    g->appends++;
    evb__stream_place(stream, EVB__PLACE(segment->number, offset));
    segment->end_offset = offset + o->bytes;
    stream->version += o->n;
    store->next_position += o->n;
    segment->end_position = store->next_position;
    o->position = store->next_position - 1;
    o->version = stream->version;
}

/* ---- waiting for it ---- */

/* With the role: room in the fill group and in the segment, as far as it is missing. */
static int32_t make_room_locked(evb_store *store, size_t bytes)
{
    bool roll = !fits_segment(store, bytes);
    int32_t rc = EVB_OK;

    if (!roll) return fits_group(store, bytes) ? EVB_OK : evb__commit_locked(store, false);
    store->rolling = true; /* nothing may come behind what is committed now */
    rc = evb__commit_locked(store, true);
    if (rc == EVB_OK) rc = evb__roll_locked(store);
    store->rolling = false;
    return rc;
}

static int32_t make_room(evb_store *store, size_t bytes, bool role)
{
    int32_t rc;

    if (role) return make_room_locked(store, bytes);
    evb__role_take_locked(store);
    rc = store->poisoned ? EVB_EPOISONED : make_room_locked(store, bytes);
    evb__role_pass_locked(store);
    return rc;
}

/* Where the streams are now; what the frames need at most. EVB_ECONFLICT with the version of it. */
static int32_t look_up(evb_store *store, struct evb__append *appends, uint32_t count, size_t *ret_bytes)
{
    uint32_t number = evb__segment_last(store)->number;

    *ret_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct evb__append *a = &appends[i];
        int64_t version;

        a->to = evb__stream_find(&store->streams, a->stream, a->name_size);
        version = a->to != NULL ? a->to->version : 0;
        if (!expected_is(a->expected, version)) {
            a->version = version;
            return EVB_ECONFLICT;
        }
        if (version > INT64_MAX - (int64_t)EVB__FRAME_EVENTS * count) return EVB_ETOOBIG;
        *ret_bytes += a->bytes;
        if (a->to == NULL || a->to->declared != number) *ret_bytes += evb__decl_bytes(a->name_size);
    }
    return EVB_OK;
}

/* Under the lock; role: held. EVB_OK: they have joined the fill group. */
static int32_t place_locked(evb_store *store, struct evb__append *appends, uint32_t count, bool role)
{
    for (;;) {
        size_t bytes;
        int32_t rc;

        if (store->poisoned) return EVB_EPOISONED;
        rc = look_up(store, appends, count, &bytes);
        if (rc != EVB_OK) return rc;
        if (!store->rolling && fits_segment(store, bytes) && fits_group(store, bytes)) {
            rc = prepare(store, appends, count, bytes);
            for (uint32_t i = 0; i < count && rc == EVB_OK; i++)
                encode(store, &appends[i]);
            return rc;
        }
        rc = make_room(store, bytes, role);
        if (rc != EVB_OK) return rc;
    }
}

/* Under the lock, leaves without it: until the level is content, or the disk, if `sync`. */
static int32_t settle(evb_store *store, bool role, bool sync)
{
    struct evb__waiter me;
    int32_t rc;

    if (store->opts.sync == EVB_SYNC_MEM && !sync) {
        evb__st_rel(&store->last, store->next_position - 1); /* a number that people ask for */
        evb__store_thread_wake_locked(store);
        evb__mutex_unlock(&store->lock);
        return EVB_OK;
    }
    if (role) { /* EACH: alone in the group */
        rc = evb__commit_locked(store, true);
        evb__role_pass_locked(store);
        evb__mutex_unlock(&store->lock);
        return rc;
    }
    if (sync) store->groups[store->fill].sync = true;
    rc = evb__commit_wait_locked(store, &me);
    if (rc == EVB_OK && store->opts.sync == EVB_SYNC_INTERVAL && !sync) {
        evb__mutex_lock(&store->lock);
        evb__store_thread_wake_locked(store);
        evb__mutex_unlock(&store->lock);
    }
    return rc;
}

int32_t evb__store_append_all(evb_store *store, struct evb__append *appends, uint32_t count, bool sync,
                              struct evb__turns *turns, uint64_t *ret_turn)
{
    bool role = store->opts.sync == EVB_SYNC_EACH;
    uint64_t bytes = 0;
    int32_t rc = store->read_only ? EVB_ENOTSUP : EVB_OK;

    for (uint32_t i = 0; i < count && rc == EVB_OK; i++) {
        rc = measure(store, &appends[i], &bytes);
        if (count > 1) bytes += evb__decl_bytes(appends[i].name_size);
        if (rc == EVB_OK && bytes > store->max_frame) rc = EVB_ETOOBIG;
    }
    if (rc != EVB_OK) return rc;
    evb__mutex_lock(&store->lock);
    if (role) evb__role_take_locked(store);
    rc = place_locked(store, appends, count, role);
    if (rc == EVB_OK && turns != NULL) *ret_turn = ++turns->drawn;
    if (rc == EVB_OK) return settle(store, role, sync);
    if (role) evb__role_pass_locked(store);
    evb__mutex_unlock(&store->lock);
    return rc;
}

/* ---- the same append once more ---- */

/* What is on its way to the disk has arrived, or failed. */
static int32_t wait_for_all(evb_store *store, bool sync)
{
    struct evb__waiter me;

    evb__mutex_lock(&store->lock);
    if (store->poisoned) {
        evb__mutex_unlock(&store->lock);
        return EVB_EPOISONED;
    }
    if (sync) store->groups[store->fill].sync = true;
    return evb__commit_wait_locked(store, &me);
}

/* 1: the stream has these very events behind the expected version; 0: it has not. */
static int32_t same_events(evb_store *store, struct evb__append *o)
{
    evb_read_opts from = {.stream = o->stream, .from_version = o->expected + 1};
    evb_reader *reader;
    evb_record record;
    int32_t rc = evb_store_read(store, &from, &reader);

    if (rc == EVB_ETRUNCATED) return 0;
    if (rc != EVB_OK) return rc;
    for (uint32_t i = 0; i < o->n; i++) {
        rc = evb_reader_next(reader, 0, &record);
        if (rc != EVB_OK) break;
        if (record.event_id == NULL || memcmp(record.event_id, o->records[i].event_id, EVB__EVENT_ID) != 0 ||
            record.version != o->expected + 1 + (int64_t)i) {
            rc = EVB_EEMPTY;
            break;
        }
        o->position = record.position;
    }
    evb_reader_close(reader);
    if (rc == EVB_OK) o->version = o->expected + (int64_t)o->n;
    return rc == EVB_OK ? 1 : rc == EVB_EEMPTY || rc == EVB_ETRUNCATED ? 0 : rc;
}

/* After a conflict at an exact version. */
static int32_t append_again(evb_store *store, struct evb__append *o, uint32_t *ret_flags)
{
    int64_t version = o->version;
    int32_t rc;

    if (o->expected < 0 || !o->ids || version - o->expected < (int64_t)o->n) return EVB_ECONFLICT;
    rc = wait_for_all(store, false);
    if (rc == EVB_OK) rc = same_events(store, o);
    if (rc == 0) {
        o->version = evb_store_version(store, o->stream);
        return EVB_ECONFLICT;
    }
    if (rc < 0) return rc;
    *ret_flags = EVB_APPEND_DUPLICATE;
    return EVB_OK;
}

/* ---- the calls ---- */

static void fill_result(evb_append_result *ret, const struct evb__append *o, uint32_t flags, bool conflict)
{
    evb_append_result result = {
        .flags = flags, .position = conflict ? 0 : o->position, .version = o->version};
    uint32_t size;

    if (ret == NULL) return;
    size = ret->struct_size != 0 && ret->struct_size < sizeof result ? ret->struct_size
                                                                     : (uint32_t)sizeof result;
    result.struct_size = size;
    memcpy(ret, &result, size);
}

static bool topics_are_valid(const evb_record *records, uint32_t n)
{
    const struct evb__dialect *dialect = evb__dialect(EVB_TOPICS_DOT);

    for (uint32_t i = 0; i < n; i++) {
        const char *topic = records[i].topic;

        if (topic == NULL || evb__topic_check(dialect, topic, strnlen(topic, EVB__NAME_MAX + 1)) != EVB_OK)
            return false;
    }
    return true;
}

int32_t evb_store_append(evb_store *store, const char *stream, int64_t expected_version,
                         const evb_record *records, uint32_t n, evb_append_result *ret_result)
{
    struct evb__append o = {.stream = stream, .expected = expected_version, .records = records, .n = n};
    uint32_t flags = 0;
    size_t size;
    int32_t rc = evb__store_enter(store);

    if (rc != EVB_OK) return rc;
    if (stream == NULL || records == NULL || n == 0 || expected_version < EVB_STREAM_EXISTS)
        return EVB_EINVAL;
    if (ret_result != NULL && ret_result->struct_size != 0 && ret_result->struct_size < 2 * sizeof(uint32_t))
        return EVB_EINVAL;
    size = strnlen(stream, EVB__STREAM_NAME_MAX + 1);
    if (size == 0 || size > EVB__STREAM_NAME_MAX) return EVB_EINVAL;
    if (store->read_only) return EVB_ENOTSUP;
    if (n > EVB__FRAME_EVENTS) return EVB_ETOOBIG;
    if (!topics_are_valid(records, n)) return EVB_EINVAL;
    rc = evb__store_append_all(store, &o, 1, false, NULL, NULL);
    if (rc == EVB_EIO) evb__store_tell(store);
    if (rc == EVB_ECONFLICT) rc = append_again(store, &o, &flags);
    if (rc == EVB_OK || rc == EVB_ECONFLICT) fill_result(ret_result, &o, flags, rc != EVB_OK);
    return rc;
}

int32_t evb_store_sync(evb_store *store)
{
    int32_t rc = evb__store_enter(store);

    if (rc != EVB_OK) return rc;
    if (store->read_only) return EVB_ENOTSUP;
    rc = wait_for_all(store, true);
    if (rc == EVB_EIO) evb__store_tell(store);
    return rc;
}

int64_t evb_store_version(evb_store *store, const char *stream)
{
    const struct evb__stream *found;
    int64_t version;
    size_t size;
    int32_t rc = evb__store_enter(store);

    if (rc != EVB_OK) return rc;
    if (stream == NULL) return EVB_EINVAL;
    size = strnlen(stream, EVB__STREAM_NAME_MAX + 1);
    if (size == 0 || size > EVB__STREAM_NAME_MAX) return EVB_EINVAL;
    evb__mutex_lock(&store->lock);
    found = evb__stream_find(&store->streams, stream, size);
    version = found != NULL ? found->version : 0;
    evb__mutex_unlock(&store->lock);
    return version;
}

uint64_t evb_store_last_position(evb_store *store)
{
    /* acquire: who has the number can read what it names; pairs with the group that brought it */
    return evb__store_enter(store) == EVB_OK ? evb__ld_acq(&store->last) : 0;
}

uint64_t evb_store_first_position(evb_store *store)
{
    uint64_t last = evb_store_last_position(store),
             first = last != 0 ? evb__ld_acq(&store->first) : 0; /* pairs with trim */

    return first <= last ? first : 0; /* the kept segment may have no event yet */
}
