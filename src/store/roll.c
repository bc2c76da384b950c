/* SPDX-License-Identifier: MIT */
/* The next segment, and the end of the first ones: retention and trim. */
#include "store/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"

#include <inttypes.h>

void evb__segment_next(const evb_store *store, struct evb__segment_header *ret)
{
    const struct evb__segment *last = store->segment_count != 0 ? evb__segment_last(store) : NULL;

    *ret = (struct evb__segment_header){.format = store->format, .base = 1, .number = 1};
    ret->format.created = evb__clock_wall();
    ret->salt = (uint32_t)(evb__rng_seed_random() >> 16);
    if (last == NULL) return;
    ret->base = ret->prev_end = last->end_position;
    ret->prev_crc = last->last_crc;
    ret->number = last->number + 1;
}

/* The old file says that another one follows, and ends where its frames do. */
static int32_t seal_file(evb_store *store, struct evb__segment *segment, int32_t fd)
{
    const struct evb__files *files = evb__files();
    struct evb__frame frame = {.len = EVB__FRAME_HEADER,
                               .position = segment->end_position,
                               .time = segment->max_time,
                               .kind = EVB__FRAME_SEAL};
    unsigned char bytes[EVB__FRAME_HEADER];
    int32_t rc;

    evb__frame_put(bytes, &frame);
    evb__frame_seal(bytes, store->durable, segment->salt);
    rc = evb__pwrite_full(fd, bytes, sizeof bytes, segment->end_offset);
    if (rc == EVB_OK) rc = files->truncate(fd, segment->end_offset + sizeof bytes, files->arg);
    if (rc == EVB_OK) rc = files->datasync(fd, files->arg);
    return rc;
}

int32_t evb__roll_locked(evb_store *store)
{
    const struct evb__files *files = evb__files();
    struct evb__segment *old = evb__segment_last(store), *segment;
    struct evb__segment_header header;
    int32_t fd = -1, old_fd = store->fd, rc;

    evb__assert(store->busy && store->durable == store->next_position &&
                store->groups[store->fill].used == 0);
    evb__assert(old->end_position > old->base);
    evb__segment_next(store, &header);
    segment = evb__segment_make(&header);
    if (segment == NULL) return EVB_ENOMEM;
    rc = evb__segment_push(store, segment); /* reserves the place */
    if (rc != EVB_OK) {
        evb__segment_free(segment);
        return rc;
    }
    store->segment_count--;
    store->rolling = true;
    evb__mutex_unlock(&store->lock);
    rc = evb__segment_create(store, &header, &fd);
    if (rc == EVB_OK) {
        (void)seal_file(store, old, old_fd); /* a help to whoever loses a file; the next one says it, too */
        (void)evb__index_save(store, old);   /* a help to the next open */
        (void)files->close(old_fd, files->arg);
    }
    evb__mutex_lock(&store->lock);
    store->rolling = false;
    if (rc != EVB_OK) {
        evb__segment_free(segment);
        if (rc != EVB_ENOSPC && rc != EVB_ENOMEM && rc != EVB_EAGAIN && rc != EVB_ETOOBIG)
            evb__store_poison_locked(store);
        return rc;
    }
    old->sealed = true;
    (void)evb__segment_push(store, segment);
    store->fd = fd;
    store->allocated = EVB__SEGMENT_HEADER;
    store->marked = false;
    store->visible_segment = segment->number;
    store->visible_offset = EVB__SEGMENT_HEADER;
    evb__groups_begin(store);
    if (store->opts.retain_bytes != 0 || store->opts.retain_ns != 0) (void)evb__trim_locked(store, 0, true);
    return EVB_OK;
}

/* ---- the first segments go ---- */

static bool too_old(const evb_store *store, const struct evb__segment *segment, uint64_t bytes_behind,
                    int64_t now)
{
    if (store->opts.retain_bytes != 0 && bytes_behind > store->opts.retain_bytes) return true;
    return store->opts.retain_ns != 0 && segment->max_time < now - store->opts.retain_ns;
}

/* How many segments from the first on nobody wants. The last one always stays. */
static uint32_t unwanted(const evb_store *store, uint64_t before_position, bool retention)
{
    uint64_t bytes = 0;
    int64_t now = retention ? evb__clock_wall() : 0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < store->segment_count; i++)
        bytes += store->segments[i]->end_offset;
    for (; n + 1 < store->segment_count; n++) {
        const struct evb__segment *segment = store->segments[n];

        if (retention ? !too_old(store, segment, bytes, now) : segment->end_position > before_position) break;
        bytes -= segment->end_offset;
    }
    return n;
}

static void unlink_segments(evb_store *store, uint32_t n)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;

    /* What stays by mistake goes at the next open: HEADS says from where on the store is. */
    for (uint32_t i = 0; i < n; i++) {
        (void)files->unlink(evb__segment_path(&path, store->dir, store->segments[i]->base, "seg"),
                            files->arg);
        (void)files->unlink(evb__segment_path(&path, store->dir, store->segments[i]->base, "idx"),
                            files->arg);
    }
    (void)evb__dir_sync(evb__path(&path, store->dir, "seg"));
}

int32_t evb__trim_locked(evb_store *store, uint64_t before_position, bool retention)
{
    uint32_t n = unwanted(store, before_position, retention), first;
    int32_t rc;

    evb__assert(store->busy);
    if (n == 0) return 0;
    store->rolling = true; /* the table of streams stands still */
    evb__mutex_unlock(&store->lock);
    rc = evb__heads_save(store, store->segments[n]->base);
    if (rc == EVB_OK) unlink_segments(store, n);
    evb__mutex_lock(&store->lock);
    store->rolling = false;
    if (rc != EVB_OK) return rc;
    for (uint32_t i = 0; i < n; i++)
        evb__segment_free(store->segments[i]);
    store->segment_count -= n;
    for (uint32_t i = 0; i < store->segment_count; i++)
        store->segments[i] = store->segments[i + n];
    first = store->segments[0]->number;
    for (uint32_t i = 1; i < store->streams.next_number; i++)
        if (store->streams.numbers[i] != NULL) evb__stream_trim(store->streams.numbers[i], first);
    evb__st_rel(&store->first, store->segments[0]->base); /* pairs with evb_store_first_position */
    return (int32_t)n;
}

int32_t evb_store_trim(evb_store *store, uint64_t before_position)
{
    int32_t rc = evb__store_enter(store);

    if (rc != EVB_OK) return rc;
    if (store->read_only) return EVB_ENOTSUP;
    evb__mutex_lock(&store->lock);
    evb__role_take_locked(store);
    /* HEADS tells versions for good: nothing may be in them that a power cut could still take. */
    store->rolling = true;
    rc = evb__commit_locked(store, true);
    if (rc == EVB_OK) rc = evb__trim_locked(store, before_position, false);
    store->rolling = false;
    evb__role_pass_locked(store);
    evb__mutex_unlock(&store->lock);
    return rc;
}
