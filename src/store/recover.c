/* SPDX-License-Identifier: MIT */
/* From the files to the struct: what is there, where it ends, and whether anything is missing.
 *
 * The end of the last segment is judged in this order:
 *      zeros up to the end of the file                             a clean end, appends go on here
 *      a later frame knows that this place was safe on the disk,   damage: EVB_ECORRUPT, all stays
 *      or an index does
 *      else                                                        a torn tail
 *
 * Behind a torn tail nothing acknowledged is missing. What comes goes into a new segment, so that no
 * old frame behind the tear can ever follow a new one. A segment that another one follows ends where
 * the next one's header says: position and last checksum. Every such end is known to have been durable,
 * so what is missing there is damage.
 */
#include "store/recover.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#define ATTEMPTS 3            /* to read a directory in which a writer trims */
#define PAGES    (64u * 1024) /* a multiple of any page: parts of a page are not forgotten */

/* ---- one frame ---- */

static int32_t apply_decl(evb_store *store, struct evb__segment *segment, const struct evb__frame *frame,
                          const unsigned char *bytes)
{
    struct evb__stream *stream;
    const char *name;
    size_t size;
    int32_t rc = evb__decl_take(bytes, frame->len, &name, &size);

    if (rc != EVB_OK) return rc;
    if (frame->count != 0 || frame->version < 0 || frame->stream == 0) return EVB_ECORRUPT;
    stream = evb__stream_by_number(&store->streams, frame->stream);
    if (stream == NULL) {
        rc = evb__stream_add(&store->streams, name, size, frame->stream, &stream);
        if (rc != EVB_OK) return rc;
    }
    if (stream->name_size != size || memcmp(stream->name, name, size) != 0) return EVB_ECORRUPT;
    if (stream->settled &&
        (store->salvaged ? frame->version < stream->version : frame->version != stream->version))
        return EVB_ECORRUPT;
    stream->version = frame->version;
    stream->settled = true;
    stream->declared = segment->number;
    return EVB_OK;
}

/* The events are what they should be, and the latest time of them is known. */
static int32_t look_at_events(struct evb__segment *segment, const struct evb__frame *frame,
                              const unsigned char *bytes)
{
    size_t at = EVB__FRAME_HEADER;

    for (uint32_t i = 0; i < frame->count; i++) {
        struct evb__event_view entry;
        int64_t size = evb__event_take(bytes + at, frame->len - at, &entry), time;

        if (size < 0) return EVB_ECORRUPT;
        time = entry.has_time ? entry.time : frame->time;
        if (time > segment->max_time) segment->max_time = time;
        at += (size_t)size;
    }
    return at == frame->len ? EVB_OK : EVB_ECORRUPT;
}

static int32_t apply_data(evb_store *store, struct evb__segment *segment, const struct evb__frame *frame,
                          const unsigned char *bytes, uint64_t offset)
{
    struct evb__stream *stream = evb__stream_by_number(&store->streams, frame->stream);
    int32_t rc;

    if (stream == NULL || stream->declared != segment->number || frame->count == 0) return EVB_ECORRUPT;
    if (store->salvaged ? frame->version <= stream->version : frame->version != stream->version + 1)
        return EVB_ECORRUPT;
    rc = evb__stream_reserve(stream, 1);
    if (rc == EVB_OK) rc = evb__segment_reserve(segment, 1);
    if (rc != EVB_OK) return rc;
    evb__segment_note(segment, offset, frame->position);
    rc = look_at_events(segment, frame, bytes);
    if (rc != EVB_OK) return rc;
    evb__stream_place(stream, EVB__PLACE(segment->number, offset));
    stream->version = frame->version + frame->count - 1;
    segment->end_position = frame->position + frame->count;
    return EVB_OK;
}

int32_t evb__apply(evb_store *store, struct evb__segment *segment, const struct evb__frame *frame,
                   const unsigned char *bytes, uint64_t offset)
{
    int32_t rc = EVB_OK;

    if ((segment->flags & EVB__SEGMENT_SALVAGED) != 0 ? frame->position < segment->end_position
                                                      : frame->position != segment->end_position)
        return EVB_ECORRUPT;
    switch (frame->kind) {
    case EVB__FRAME_DATA:
        rc = apply_data(store, segment, frame, bytes, offset);
        break;
    case EVB__FRAME_DECL:
        rc = apply_decl(store, segment, frame, bytes);
        break;
    case EVB__FRAME_MARK:
        break;
    case EVB__FRAME_SEAL:
        segment->sealed = true;
        return EVB_OK;
    default:
        if ((frame->kind & EVB__FRAME_KIND_SKIP) == 0) return EVB_ENOTSUP;
        break;
    }
    if (rc != EVB_OK) return rc;
    segment->last_crc = frame->crc;
    segment->end_offset = offset + frame->len;
    return EVB_OK;
}

/* ---- one segment ---- */

static EVB__COLD int32_t damaged(const evb_store *store, uint64_t base, uint64_t offset, const char *what)
{
    char quoted[256];

    evb__log(EVB_LOG_ERROR, "store_damaged", "dir=%s segment=%020" PRIu64 " offset=%" PRIu64 " what=%s",
             evb__log_quote(quoted, sizeof quoted, store->dir, strlen(store->dir)), base, offset, what);
    return EVB_ECORRUPT;
}

/* Frames from the segment's end on, up to something that is none. EVB_EEMPTY or EVB_ECORRUPT: there;
 * else what went wrong. */
static int32_t walk(struct evb__recovery *r, struct evb__segment *segment, int32_t fd, uint64_t size)
{
    struct evb__frame frame;
    const unsigned char *bytes;
    int32_t rc = EVB_OK;

    evb__scan_start(&r->scan, fd, segment->salt, EVB__SEGMENT_MAX, segment->end_offset, size);
    while (!segment->sealed) {
        uint64_t offset = r->scan.offset;

        rc = evb__scan_next(&r->scan, &frame, &bytes);
        if (rc == EVB_OK) rc = evb__apply(r->store, segment, &frame, bytes, offset);
        if (rc != EVB_OK) {
            r->scan.offset = offset;
            break;
        }
        r->marked = frame.kind == EVB__FRAME_MARK;
        if (frame.durable > r->durable) r->durable = frame.durable;
        if (frame.kind == EVB__FRAME_DATA) r->records += frame.count;
    }
    return segment->sealed ? EVB_EEMPTY : rc;
}

int32_t evb__segment_header_read(int32_t fd, struct evb__segment_header *ret)
{
    unsigned char *bytes = evb__alloc(EVB__SEGMENT_HEADER, EVB__ALIGN_MIN);
    int32_t rc;

    if (bytes == NULL) return EVB_ENOMEM;
    rc = evb__pread_full(fd, bytes, EVB__SEGMENT_HEADER, 0);
    if (rc == EVB_OK) rc = evb__segment_decode(bytes, EVB__SEGMENT_HEADER, ret);
    evb__free(bytes, EVB__SEGMENT_HEADER);
    return rc == EVB_ETRUNCATED ? EVB_ECORRUPT : rc;
}

/* Does it follow the one before it? */
static bool follows(const evb_store *store, const struct evb__segment_header *h)
{
    const struct evb__segment *last = store->segment_count != 0 ? evb__segment_last(store) : NULL;

    if (memcmp(h->format.uuid, store->format.uuid, 16) != 0) return false;
    if (last == NULL) return true;
    if ((last->flags & EVB__SEGMENT_SALVAGED) != 0)
        return h->number > last->number && h->base >= last->end_position;
    return h->number == last->number + 1 && h->base == last->end_position &&
           h->prev_end == last->end_position && h->prev_crc == last->last_crc;
}

int32_t evb__half_made(struct evb__recovery *r, uint64_t base, int32_t fd, uint64_t size)
{
    uint64_t covered;
    uint32_t salt;
    int32_t rc = evb__index_covers(r->store, base, &salt, &covered);

    if (rc != EVB_OK) return rc;
    if (covered > EVB__SEGMENT_HEADER) return 0;
    evb__scan_start(&r->scan, fd, 0, EVB__SEGMENT_MAX, EVB__SEGMENT_HEADER, size);
    return size <= EVB__SEGMENT_HEADER ? 1 : evb__scan_zeros(&r->scan);
}

static int32_t add_segment(evb_store *store, const struct evb__segment_header *header,
                           struct evb__segment **ret)
{
    struct evb__segment *segment = evb__segment_make(header);

    if (segment == NULL) return EVB_ENOMEM;
    if (evb__segment_push(store, segment) != EVB_OK) {
        evb__segment_free(segment);
        return EVB_ENOMEM;
    }
    if ((header->flags & EVB__SEGMENT_SALVAGED) != 0) store->salvaged = true;
    *ret = segment;
    return EVB_OK;
}

/* A header for the file, which has none or one that is no more use: no event is in it. */
static int32_t head_again(evb_store *store, int32_t fd, uint64_t base, const struct evb__segment_header *old)
{
    struct evb__segment_header header;

    evb__segment_next(store, &header);
    if (store->segment_count == 0 && base != 1)
        header.base = header.prev_end = base; /* all before it is trimmed */
    if (old != NULL) {
        header.base = old->base;
        header.number = old->number;
        header.prev_end = old->prev_end;
        header.prev_crc = old->prev_crc;
        header.flags = old->flags;
    }
    return evb__segment_header_write(fd, &header);
}

/* Everything but the last segment ends where the next header says; that is looked at when that one
 * is loaded.
 */
static int32_t load_frames(struct evb__recovery *r, struct evb__segment *segment, int32_t fd, uint64_t size,
                           bool last)
{
    int32_t rc = evb__index_load(r->store, segment);

    if (rc == EVB_ENOTFOUND) {
        rc = EVB_OK;
    } else if (rc == EVB_OK) {
        r->covered = r->marked = true; /* it was made of what had been synced */
        if (segment->end_position > r->durable) r->durable = segment->end_position;
        if (segment->end_offset > size) return damaged(r->store, segment->base, size, "missing_bytes");
        if (!last && segment->sealed) return EVB_OK;
    }
    if (rc != EVB_OK) return rc;
    rc = walk(r, segment, fd, size);
    return rc == EVB_EEMPTY || rc == EVB_ECORRUPT ? EVB_OK : rc;
}

/* fd: of the file of base. Leaves it open as r->fd if it is the last one. 1: the last file is half
 * made. */
static int32_t load_open_segment(struct evb__recovery *r, uint64_t base, int32_t fd, bool last)
{
    evb_store *store = r->store;
    struct evb__segment_header header;
    struct evb__segment *segment;
    int64_t size = evb__files()->size(fd, evb__files()->arg);
    int32_t rc;

    if (size < 0) return (int32_t)size;
    rc = evb__segment_header_read(fd, &header);
    if (rc == EVB_ECORRUPT && last) {
        rc = evb__half_made(r, base, fd, (uint64_t)size);
        if (rc < 0) return rc;
        if (rc == 1)
            return store->segment_count == 0 || evb__segment_last(store)->end_position == base
                       ? 1
                       : damaged(store, base, 0, "missing_frames");
        return damaged(store, base, 0, "header");
    }
    if (rc == EVB_ECORRUPT) return damaged(store, base, 0, "header");
    if (rc != EVB_OK) return rc;
    if (!store->read_only && header.format.ro_compat != 0) return EVB_ENOTSUP;
    if (header.base != base || !follows(store, &header)) return damaged(store, base, 0, "chain");
    rc = add_segment(store, &header, &segment);
    if (rc != EVB_OK) return rc;
    r->size = (uint64_t)size;
    r->marked = r->covered = false;
    return load_frames(r, segment, fd, (uint64_t)size, last);
}

static int32_t load_segment(struct evb__recovery *r, uint64_t base, bool last)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    uint32_t how = EVB__FILE_READ | (last && !r->store->read_only ? EVB__FILE_WRITE : 0);
    int32_t fd = files->open(evb__segment_path(&path, r->store->dir, base, "seg"), how, files->arg), rc;

    if (fd < 0) return fd;
    rc = load_open_segment(r, base, fd, last);
    if (rc == 1 && !r->store->read_only) {
        rc = head_again(r->store, fd, base, NULL);
        if (rc == EVB_OK) rc = load_open_segment(r, base, fd, last);
    }
    if (rc == EVB_OK && last) {
        r->fd = fd;
    } else {
        (void)files->close(fd, files->arg); /* nothing was written, or it has failed */
    }
    return rc == 1 ? EVB_OK : rc;
}

/* ---- the end ---- */

enum { TAIL_CLEAN, TAIL_TORN };

/* TAIL_*, EVB_ECORRUPT or what went wrong. The walk has stopped at the end of the last segment. */
static int32_t judge_tail(struct evb__recovery *r)
{
    struct evb__segment *segment = evb__segment_last(r->store);
    struct evb__frame frame;
    int32_t rc;

    if (segment->sealed) return damaged(r->store, segment->base, segment->end_offset, "missing_segment");
    evb__scan_start(&r->scan, r->fd, segment->salt, EVB__SEGMENT_MAX, segment->end_offset, r->size);
    rc = evb__scan_zeros(&r->scan);
    if (rc != 0) return rc == 1 ? TAIL_CLEAN : rc;
    while ((rc = evb__scan_resync(&r->scan, segment->end_position, &frame)) == EVB_OK) {
        if (frame.durable > segment->end_position)
            return damaged(r->store, segment->base, segment->end_offset, "frame");
        r->scan.offset += frame.len;
    }
    return rc == EVB_EEMPTY ? TAIL_TORN : rc;
}

/* Names that are seen may be in the system's memory only, if whoever made them came no further. */
static int32_t sync_names(const evb_store *store)
{
    struct evb__path path;
    int32_t rc = evb__dir_sync(evb__path(&path, store->dir, "seg"));

    if (rc == EVB_OK) rc = evb__dir_sync(store->dir);
    return rc == EVB_OK ? evb__dir_sync_parent(store->dir) : rc;
}

/* What no watermark vouches for, once more. EVB_EAGAIN: it is not what was seen. */
static int32_t look_again(struct evb__recovery *r, uint64_t from)
{
    const struct evb__segment *segment = evb__segment_last(r->store);
    struct evb__segment_header header;
    uint32_t last_crc = segment->last_crc;
    uint64_t offset = from;
    struct evb__frame frame;
    const unsigned char *bytes;
    int32_t rc = evb__segment_header_read(r->fd, &header);

    if (rc == EVB_ECORRUPT || (rc == EVB_OK && header.salt != segment->salt)) return EVB_EAGAIN;
    if (rc != EVB_OK) return rc;
    evb__scan_start(&r->scan, r->fd, segment->salt, EVB__SEGMENT_MAX, from, segment->end_offset);
    while ((rc = evb__scan_next(&r->scan, &frame, &bytes)) == EVB_OK) {
        offset = r->scan.offset;
        last_crc = frame.crc;
    }
    if (rc == EVB_ECORRUPT ||
        (rc == EVB_EEMPTY && (offset != segment->end_offset || last_crc != segment->last_crc)))
        return EVB_EAGAIN;
    return rc == EVB_EEMPTY ? EVB_OK : rc;
}

/* What was found may so far be in the system's memory only, and a sync that failed in another life
 * may have left it there for good: so sync, forget, and look again at header and frames. */
static int32_t make_sure(struct evb__recovery *r)
{
    const struct evb__files *files = evb__files();
    const struct evb__segment *segment = evb__segment_last(r->store);
    uint64_t from = EVB__SEGMENT_HEADER;
    int32_t rc = files->datasync(r->fd, files->arg);

    if (rc != EVB_OK || r->marked) return rc;
    rc = sync_names(r->store);
    if (rc != EVB_OK || files->forget == NULL) return rc;
    for (uint32_t i = 0; i < segment->mark_count && segment->marks[i].position <= r->durable; i++)
        from = segment->marks[i].offset;
    rc = files->forget(r->fd, 0, PAGES, files->arg);
    if (rc == EVB_OK) rc = files->forget(r->fd, from - from % PAGES, 0, files->arg);
    return rc == EVB_OK ? look_again(r, from) : rc;
}

/* ---- all of it ---- */

static int32_t note_file(const char *name, void *user)
{
    struct evb__recovery *r = user;
    size_t size = strlen(name);
    uint64_t base = 0;

    if (size >= 4 && strcmp(name + size - 4, ".tmp") == 0 && !r->store->read_only) {
        struct evb__path dir, path;

        (void)evb__path(&path, evb__path(&dir, r->store->dir, "seg"), name);
        (void)evb__files()->unlink(path.text, evb__files()->arg); /* means nothing, there or not */
        return EVB_OK;
    }
    if (size != 24 || strcmp(name + 20, ".seg") != 0) return EVB_OK;
    for (uint32_t i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9') return EVB_OK;
        base = base * 10 + (uint64_t)(name[i] - '0');
    }
    if (r->count == r->room) {
        uint32_t room = r->room == 0 ? 64 : r->room * 2;
        uint64_t *bases = evb__alloc(room * sizeof *bases, EVB__ALIGN_MIN);

        if (bases == NULL) return EVB_ENOMEM;
        if (r->count != 0) memcpy(bases, r->bases, r->count * sizeof *bases);
        evb__free(r->bases, r->room * sizeof *bases);
        r->bases = bases;
        r->room = room;
    }
    r->bases[r->count++] = base;
    return EVB_OK;
}

static int by_base(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int32_t evb__segments_list(struct evb__recovery *r)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    int32_t rc = files->list(evb__path(&path, r->store->dir, "seg"), note_file, r, files->arg);

    if (rc == EVB_OK && r->count > 1) qsort(r->bases, r->count, sizeof *r->bases, by_base);
    return rc;
}

/* Files of before HEADS were on their way out when the power went. */
static uint32_t drop_trimmed(struct evb__recovery *r, uint64_t first)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    uint32_t n = 0;

    for (; n < r->count && r->bases[n] < first; n++) {
        if (r->store->read_only) continue;
        (void)files->unlink(evb__segment_path(&path, r->store->dir, r->bases[n], "seg"), files->arg);
        (void)files->unlink(evb__segment_path(&path, r->store->dir, r->bases[n], "idx"), files->arg);
    }
    return n;
}

static int32_t check_heads(const evb_store *store)
{
    for (uint32_t i = 1; i < store->streams.next_number; i++) {
        const struct evb__stream *stream = store->streams.numbers[i];

        if (stream != NULL && stream->settled && stream->version < stream->heads_version && !store->salvaged)
            return damaged(store, 0, 0, "heads");
    }
    return EVB_OK;
}

/* The first damage ends what a read-only store shows, and its readers say so there. */
static int32_t load_all(struct evb__recovery *r)
{
    evb_store *store = r->store;
    uint32_t i;
    int32_t rc = evb__heads_load(store);

    if (rc != EVB_OK && rc != EVB_ENOTFOUND) return rc;
    if (rc == EVB_ENOTFOUND) evb__init(&store->first, 1);
    rc = evb__segments_list(r);
    if (rc != EVB_OK) return rc;
    i = drop_trimmed(r, evb__ld_rlx(&store->first));
    if (i == r->count || r->bases[i] != evb__ld_rlx(&store->first))
        return damaged(store, evb__ld_rlx(&store->first), 0, "missing_segment");
    for (; i < r->count && rc == EVB_OK; i++)
        rc = load_segment(r, r->bases[i], i + 1 == r->count);
    if (rc == EVB_ECORRUPT && store->read_only && store->segment_count != 0) {
        store->damaged = true;
        rc = EVB_OK;
    }
    if (rc == EVB_OK && store->segment_count == 0) rc = damaged(store, 1, 0, "missing_segment");
    return rc == EVB_OK ? check_heads(store) : rc;
}

static void show(evb_store *store)
{
    const struct evb__segment *last = evb__segment_last(store);

    store->next_position = store->written = store->durable = store->visible_position = last->end_position;
    store->visible_segment = last->number;
    store->visible_offset = last->end_offset;
    evb__st_rel(&store->last, last->end_position - 1); /* pairs with evb_store_last_position */
}

static void log_torn(const struct evb__recovery *r, uint64_t bytes)
{
    const struct evb__segment *segment = evb__segment_last(r->store);
    char quoted[256];

    evb__log(EVB_LOG_WARN, "log_truncated", "dir=%s segment=%020" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64,
             evb__log_quote(quoted, sizeof quoted, r->store->dir, strlen(r->store->dir)), segment->base,
             segment->end_offset, bytes);
}

/* No event is in the last segment, and something stands behind its end: the same file, begun anew.
 * First what stands behind the header goes, for good: beside a lost header it would be damage.
 */
static int32_t begin_again(evb_store *store)
{
    struct evb__segment *segment = evb__segment_last(store);
    struct evb__segment_header header = {.base = segment->base,
                                         .number = segment->number,
                                         .prev_end = segment->prev_end,
                                         .prev_crc = segment->prev_crc,
                                         .flags = segment->flags};
    const struct evb__files *files = evb__files();
    int32_t rc = files->truncate(store->fd, EVB__SEGMENT_HEADER, files->arg), again;

    if (rc == EVB_OK) rc = files->datasync(store->fd, files->arg);
    if (rc == EVB_OK) rc = head_again(store, store->fd, segment->base, &header);
    if (rc != EVB_OK) return rc;
    again = evb__segment_header_read(store->fd, &header);
    if (again != EVB_OK) return again;
    segment->salt = header.salt;
    segment->end_offset = EVB__SEGMENT_HEADER;
    segment->last_crc = 0;
    for (uint32_t i = 1; i < store->streams.next_number; i++) {
        struct evb__stream *stream = store->streams.numbers[i];

        if (stream != NULL && stream->declared == segment->number) stream->declared = 0;
    }
    store->allocated = EVB__SEGMENT_HEADER;
    show(store);
    evb__groups_begin(store);
    return EVB_OK;
}

/* A writer goes on behind the end. */
static int32_t take_over(struct evb__recovery *r, int32_t tail)
{
    evb_store *store = r->store;
    struct evb__segment *last = evb__segment_last(store);
    int32_t rc;

    store->fd = r->fd;
    r->fd = -1;
    store->allocated = r->size;
    store->marked = r->marked;
    store->indexed = r->covered;
    evb__groups_begin(store);
    if (tail == TAIL_CLEAN) return EVB_OK;
    log_torn(r, r->size - last->end_offset);
    if (last->end_position == last->base) return begin_again(store);
    evb__mutex_lock(&store->lock);
    store->busy = true;
    rc = evb__roll_locked(store);
    store->busy = false;
    evb__mutex_unlock(&store->lock);
    return rc;
}

static int32_t recover_once(struct evb__recovery *r)
{
    evb_store *store = r->store;
    int32_t rc = load_all(r), tail;

    if (rc != EVB_OK) return rc;
    show(store);
    if (r->fd < 0) return EVB_OK; /* read-only, and the last file is half made or damaged */
    tail = judge_tail(r);
    if (tail == EVB_ECORRUPT && store->read_only) {
        store->damaged = true;
        return EVB_OK;
    }
    if (tail < 0 || store->read_only) return tail < 0 ? tail : EVB_OK;
    rc = make_sure(r);
    return rc == EVB_OK ? take_over(r, tail) : rc;
}

static void forget_all(evb_store *store)
{
    for (uint32_t i = 0; i < store->segment_count; i++)
        evb__segment_free(store->segments[i]);
    store->segment_count = 0;
    evb__streams_free(&store->streams);
}

void evb__recovery_end(struct evb__recovery *r)
{
    if (r->fd >= 0) (void)evb__files()->close(r->fd, evb__files()->arg);
    evb__free(r->bases, r->room * sizeof *r->bases);
    evb__scan_free(&r->scan);
}

int32_t evb__recover(evb_store *store, struct evb__recovery *ret_recovery)
{
    int32_t rc = EVB_OK;

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct evb__recovery r = {.store = store, .fd = -1};

        if (attempt > 0) {
            forget_all(store);
            rc = evb__streams_init(&store->streams);
            if (rc != EVB_OK) return rc;
        }
        store->salvaged = store->damaged = false;
        evb__scan_init(&r.scan, EVB__SCAN_WINDOW);
        rc = recover_once(&r);
        evb__recovery_end(&r);
        *ret_recovery = r;
        /* EVB_EAGAIN: the disk holds less than was seen at first. EVB_ENOTFOUND: somebody trims. */
        if (rc != EVB_EAGAIN && (rc != EVB_ENOTFOUND || !store->read_only)) break;
    }
    return rc == EVB_EAGAIN || rc == EVB_ENOTFOUND ? EVB_EIO : rc;
}

/* ---- beside a writer ---- */

/* The file behind the last one, if it is there and follows. 1: it is the last one now. */
static int32_t next_file(struct evb__recovery *r)
{
    evb_store *store = r->store;
    const struct evb__files *files = evb__files();
    const struct evb__segment *last = evb__segment_last(store);
    struct evb__segment_header header;
    struct evb__segment *segment;
    struct evb__path path;
    int32_t fd, rc;

    if (last->end_position == last->base) return 0; /* it would have the same name */
    fd = files->open(evb__segment_path(&path, store->dir, last->end_position, "seg"), EVB__FILE_READ,
                     files->arg);
    if (fd < 0) return fd == EVB_ENOTFOUND ? 0 : fd;
    rc = evb__segment_header_read(fd, &header);
    if (rc == EVB_OK && header.base == last->end_position && follows(store, &header)) {
        evb__mutex_lock(&store->lock);
        rc = add_segment(store, &header, &segment);
        evb__mutex_unlock(&store->lock);
        if (rc == EVB_OK) rc = 1;
    } else if (rc == EVB_OK || rc == EVB_ECORRUPT) {
        rc = 0; /* not ready yet */
    }
    (void)files->close(fd, files->arg);
    return rc;
}

static int32_t more_frames(struct evb__recovery *r)
{
    evb_store *store = r->store;
    const struct evb__files *files = evb__files();
    struct evb__segment *last = evb__segment_last(store);
    struct evb__path path;
    int32_t fd = files->open(evb__segment_path(&path, store->dir, last->base, "seg"), EVB__FILE_READ,
                             files->arg),
            rc;
    int64_t size;

    if (fd < 0) return fd;
    size = files->size(fd, files->arg);
    if (size < 0) {
        (void)files->close(fd, files->arg);
        return (int32_t)size;
    }
    evb__scan_start(&r->scan, fd, last->salt, EVB__SEGMENT_MAX, last->end_offset, (uint64_t)size);
    do {
        uint64_t offset = r->scan.offset;
        struct evb__frame frame;
        const unsigned char *bytes;

        rc = last->sealed ? EVB_EEMPTY : evb__scan_next(&r->scan, &frame, &bytes);
        if (rc != EVB_OK) break;
        evb__mutex_lock(&store->lock);
        rc = evb__apply(store, last, &frame, bytes, offset);
        evb__mutex_unlock(&store->lock);
    } while (rc == EVB_OK);
    (void)files->close(fd, files->arg);
    return rc == EVB_EEMPTY || rc == EVB_ECORRUPT ? EVB_OK : rc;
}

int32_t evb__refresh(evb_store *store)
{
    struct evb__recovery r = {.store = store, .fd = -1};
    uint64_t before;
    int32_t rc;

    evb__mutex_lock(&store->lock);
    evb__role_take_locked(store);
    before = store->visible_position;
    rc = store->damaged ? 1 : EVB_OK;
    evb__mutex_unlock(&store->lock);
    evb__scan_init(&r.scan, EVB__SCAN_WINDOW);
    while (rc == EVB_OK) {
        rc = more_frames(&r);
        if (rc == EVB_OK && next_file(&r) != 1) break;
    }
    evb__recovery_end(&r);
    evb__mutex_lock(&store->lock);
    if (rc == EVB_OK) show(store);
    if (store->visible_position != before) evb__moved_locked(store);
    evb__role_pass_locked(store);
    evb__mutex_unlock(&store->lock);
    return rc < 0 ? rc : EVB_OK;
}
