/* SPDX-License-Identifier: MIT */
/* Opening and closing; how long the struct lives. */
#include "store/recover.h"

#include <inttypes.h>
#include <string.h>
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opts.h"
#include "base/park.h"
#include "base/reader.h"
#include "base/rng.h"

#define ZEROS (256u * 1024) /* as in commit.c: what EVB_STORE_ZERO_FILL writes at a time */

/* ---- life ---- */

int32_t evb__store_enter(const evb_store *store)
{
    if (store == NULL) return EVB_EINVAL;
    return store->generation == evb__process_generation() ? EVB_OK : EVB_EFORKED;
}

static void group_free(struct evb__group *group)
{
    evb__free(group->bytes, group->room);
    evb__free(group->undo, group->undo_room * sizeof *group->undo);
}

static void store_free(evb_store *store)
{
    for (uint32_t i = 0; i < store->segment_count; i++)
        evb__segment_free(store->segments[i]);
    evb__free(store->segments, store->segment_room * sizeof(*store->segments));
    evb__streams_free(&store->streams);
    group_free(&store->groups[0]);
    group_free(&store->groups[1]);
    evb__free(store->zeros, ZEROS);
    evb__free(store->dir, store->dir_bytes);
    evb__mutex_destroy(&store->lock);
    evb__free(store, sizeof *store);
}

void evb__store_unref(evb_store *store)
{
    /* acq_rel: who frees it comes after all who have used it */
    if (evb__sub_acqrel(&store->refs, 1) == 1) store_free(store);
}

void evb__store_hold(evb_store *store)
{
    (void)evb__add_rlx(&store->users, 1); /* relaxed: the caller's own call keeps the store open */
}

void evb__store_release(evb_store *store)
{
    (void)evb__sub_rel(&store->users, 1); /* release: what the user did with it; pairs with evb_store_close */
}

static void close_files(evb_store *store)
{
    const struct evb__files *files = evb__files();

    /* Everything that matters has been synced, or has been said to have failed. */
    if (store->fd >= 0) (void)files->close(store->fd, files->arg);
    if (store->lock_fd >= 0) (void)files->close(store->lock_fd, files->arg);
    store->fd = store->lock_fd = -1;
}

/* ---- a new store ---- */

int32_t evb__store_leftover(evb_store *store)
{
    const struct evb__files *files = evb__files();
    struct evb__recovery r = {.store = store, .fd = -1};
    struct evb__path path;
    int32_t rc = evb__segments_list(&r);

    evb__scan_init(&r.scan, EVB__SCAN_WINDOW);
    if (rc == EVB_OK && (r.count > 1 || (r.count == 1 && r.bases[0] != 1))) rc = EVB_ECORRUPT;
    if (rc == EVB_OK && r.count == 1) {
        r.fd = files->open(evb__segment_path(&path, store->dir, 1, "seg"), EVB__FILE_READ, files->arg);
        rc = r.fd < 0 ? r.fd : EVB_OK;
        if (rc == EVB_OK) {
            int64_t size = files->size(r.fd, files->arg);

            rc = size < 0 ? (int32_t)size : EVB_OK;
            if (size > (int64_t)EVB__SEGMENT_HEADER) {
                evb__scan_start(&r.scan, r.fd, 0, EVB__SEGMENT_MAX, EVB__SEGMENT_HEADER, (uint64_t)size);
                rc = evb__scan_zeros(&r.scan);
                rc = rc == 1   ? EVB_OK
                     : rc == 0 ? EVB_ECORRUPT
                               : rc; /* frames, and no META: it has been lost */
            }
        }
    }
    evb__recovery_end(&r);
    return rc;
}

static int32_t create_store(evb_store *store)
{
    unsigned char meta[EVB__META_BYTES];
    struct evb__segment_header header;
    struct evb__path path;
    int32_t fd = -1, rc = evb__dir_make(evb__path(&path, store->dir, "seg"));

    if (rc == EVB_OK) rc = evb__dir_make(evb__path(&path, store->dir, "snap"));
    if (rc == EVB_OK) rc = evb__store_leftover(store);
    if (rc != EVB_OK) return rc;
    evb__put64(store->format.uuid, evb__rng_seed_random());
    evb__put64(store->format.uuid + 8, evb__rng_seed_random());
    store->format.created = evb__clock_wall();
    evb__segment_next(store, &header);
    rc = evb__segment_create(store, &header, &fd);
    if (rc != EVB_OK) return rc;
    rc = evb__files()->close(fd, evb__files()->arg);
    evb__meta_encode(meta, &store->format);
    if (rc == EVB_OK) rc = evb__dir_sync(store->dir); /* seg is there before META says that all is */
    if (rc == EVB_OK) rc = evb__file_replace(store->dir, "META", meta, sizeof meta, 0);
    return rc == EVB_OK ? evb__dir_sync_parent(store->dir) : rc;
}

/* ---- opening ---- */

int32_t evb__store_meta(evb_store *store)
{
    struct evb__path path;
    unsigned char *bytes;
    size_t size;
    int32_t rc = evb__file_read(evb__path(&path, store->dir, "META"), EVB__META_BYTES, &bytes, &size);

    if (rc != EVB_OK) return rc;
    rc = evb__meta_decode(bytes, size, &store->format);
    evb__free(bytes, size);
    if (rc == EVB_OK && store->format.ro_compat != 0 && !store->read_only) rc = EVB_ENOTSUP;
    return rc;
}

int32_t evb__store_lock(const char *dir, bool create, int32_t *ret_fd)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    int32_t fd = files->open(evb__path(&path, dir, "LOCK"),
                             EVB__FILE_READ | EVB__FILE_WRITE | (create ? EVB__FILE_CREATE : 0), files->arg);
    int32_t rc = fd < 0 ? fd : files->lock(fd, files->arg);

    if (rc == EVB_OK) {
        *ret_fd = fd;
    } else if (fd >= 0) {
        (void)files->close(fd, files->arg);
    }
    return rc;
}

static int32_t open_files(evb_store *store)
{
    int32_t rc;

    if (store->read_only) return evb__store_meta(store); /* EVB_ENOTFOUND: nothing there */
    rc = evb__dir_make(store->dir);
    if (rc == EVB_OK) rc = evb__store_lock(store->dir, true, &store->lock_fd);
    if (rc != EVB_OK) return rc;
    rc = evb__store_meta(store);
    if (rc != EVB_ENOTFOUND) return rc;
    rc = create_store(store);
    return rc == EVB_OK ? evb__store_meta(store) : rc;
}

static int32_t check_opts(evb_store_opts *o)
{
    if (o->sync > EVB_SYNC_MEM || o->reserved != 0 || o->interval_ns < 0 || o->retain_ns < 0)
        return EVB_EINVAL;
    if ((o->flags & ~(uint32_t)(EVB_STORE_READ_ONLY | EVB_STORE_ZERO_FILL)) != 0) return EVB_EINVAL;
    if (o->segment_bytes == 0) o->segment_bytes = EVB__SEGMENT_DEFAULT;
    if (o->segment_bytes < EVB__SEGMENT_MIN || o->segment_bytes > EVB__SEGMENT_MAX) return EVB_EINVAL;
    if (o->interval_ns == 0) o->interval_ns = EVB__INTERVAL_DEFAULT;
    return EVB_OK;
}

static int32_t make_store(const char *dir, const evb_store_opts *o, evb_store **ret_store)
{
    size_t size = strlen(dir) + 1;
    evb_store *store = evb__zalloc(sizeof *store, EVB__CACHE_LINE);
    int32_t rc;

    if (store == NULL) return EVB_ENOMEM;
    evb__mutex_init(&store->lock);
    store->fd = store->lock_fd = -1;
    store->opts = *o;
    store->read_only = (o->flags & EVB_STORE_READ_ONLY) != 0;
    store->max_frame = (uint32_t)(o->segment_bytes / 4);
    store->generation = evb__process_generation();
    evb__init(&store->refs, 1);
    evb__waiters_init(&store->entrants);
    evb__waiters_init(&store->groups[0].waiters);
    evb__waiters_init(&store->groups[1].waiters);
    store->dir = evb__alloc(size, EVB__ALIGN_MIN);
    store->dir_bytes = size;
    if ((o->flags & EVB_STORE_ZERO_FILL) != 0) store->zeros = evb__zalloc(ZEROS, EVB__ALIGN_MIN);
    rc = evb__streams_init(&store->streams);
    if (store->dir == NULL || (store->zeros == NULL && (o->flags & EVB_STORE_ZERO_FILL) != 0) ||
        rc != EVB_OK) {
        store_free(store);
        return EVB_ENOMEM;
    }
    memcpy(store->dir, dir, size);
    *ret_store = store;
    return EVB_OK;
}

int32_t evb__store_make(const char *dir, evb_store **ret_store)
{
    evb_store_opts o = {.segment_bytes = EVB__SEGMENT_DEFAULT};
    int32_t rc = evb__readers_init(NULL, NULL);

    return rc == EVB_OK ? make_store(dir, &o, ret_store) : rc;
}

static void log_open(const evb_store *store, const struct evb__recovery *r, int64_t since)
{
    char quoted[256];

    evb__log(EVB_LOG_INFO, "recovery_done",
             "dir=%s records=%" PRIu64 " last_position=%" PRIu64 " segments=%u ms=%" PRId64,
             evb__log_quote(quoted, sizeof quoted, store->dir, strlen(store->dir)), r->records,
             store->next_position - 1, (unsigned)store->segment_count, (evb__clock_mono() - since) / 1000000);
}

static int32_t start_thread(evb_store *store)
{
    int32_t rc;

    if (store->read_only || (store->opts.sync != EVB_SYNC_INTERVAL && store->opts.sync != EVB_SYNC_MEM))
        return EVB_OK;
    rc = evb__thread_create(&store->thread, evb__store_thread, store, "evbus-store", 0);
    store->thread_runs = rc == EVB_OK;
    return rc == EVB_OK ? EVB_OK : EVB_EAGAIN;
}

int32_t evb_store_open(const char *dir, const evb_store_opts *opts, evb_store **ret_store)
{
    struct evb__recovery recovery;
    evb_store_opts o;
    evb_store *store;
    int64_t since;
    int32_t rc;

    if (dir == NULL || dir[0] == '\0' || ret_store == NULL || strnlen(dir, EVB__STORE_DIR) == EVB__STORE_DIR)
        return EVB_EINVAL;
    rc = EVB__OPTS_READ(&o, opts);
    if (rc == EVB_OK) rc = check_opts(&o);
    if (rc == EVB_OK) rc = evb__readers_init(NULL, NULL);
    if (rc == EVB_OK) rc = make_store(dir, &o, &store);
    if (rc != EVB_OK) return rc;
    since = evb__clock_mono();
    rc = open_files(store);
    if (rc == EVB_OK) rc = evb__recover(store, &recovery);
    if (rc == EVB_OK) rc = start_thread(store);
    if (rc != EVB_OK) {
        close_files(store);
        evb__store_unref(store);
        return rc;
    }
    log_open(store, &recovery, since);
    *ret_store = store;
    return EVB_OK;
}

/* ---- closing ---- */

static void end_thread(evb_store *store)
{
    if (!store->thread_runs) return;
    evb__mutex_lock(&store->lock);
    store->thread_ends = true;
    (void)evb__add_rel(&store->thread_word, 1); /* the park compares it */
    evb__mutex_unlock(&store->lock);
    evb__wake_one(&store->thread_word);
    evb__thread_join(&store->thread);
    store->thread_runs = false;
}

/* A frame that vouches for all before it, no byte behind it, and an index: the next open need not
 * walk. */
static int32_t write_mark(evb_store *store)
{
    const struct evb__files *files = evb__files();
    struct evb__segment *last = evb__segment_last(store);
    struct evb__frame frame = {.len = EVB__FRAME_HEADER,
                               .position = last->end_position,
                               .time = evb__clock_wall(),
                               .kind = EVB__FRAME_MARK};
    unsigned char bytes[EVB__FRAME_HEADER];
    int32_t rc;

    if (store->marked || last->end_offset == EVB__SEGMENT_HEADER) return EVB_OK;
    evb__frame_put(bytes, &frame);
    evb__frame_seal(bytes, store->durable, last->salt);
    rc = evb__pwrite_full(store->fd, bytes, sizeof bytes, last->end_offset);
    if (rc == EVB_OK) rc = files->truncate(store->fd, last->end_offset + sizeof bytes, files->arg);
    if (rc == EVB_ENOSPC || rc == EVB_ETOOBIG) return EVB_OK; /* nothing is lost without it */
    if (rc == EVB_OK) rc = files->datasync(store->fd, files->arg);
    if (rc != EVB_OK) return EVB_EIO;
    evb__mutex_lock(&store->lock); /* readers look at it */
    last->end_offset += sizeof bytes;
    evb__mutex_unlock(&store->lock);
    last->last_crc = evb__get32(bytes + 4);
    store->marked = true;
    store->indexed = false;
    return EVB_OK;
}

static int32_t finish(evb_store *store)
{
    int32_t rc;

    evb__mutex_lock(&store->lock);
    evb__role_take_locked(store);
    rc = evb__commit_locked(store, true);
    evb__role_pass_locked(store);
    evb__mutex_unlock(&store->lock);
    /* Nobody else is here: the caller owns the store, and readers only look at what is visible. */
    if (rc == EVB_OK) rc = write_mark(store);
    if (rc == EVB_OK && !store->indexed && evb__segment_last(store)->end_offset != EVB__SEGMENT_HEADER)
        (void)evb__index_save(store, evb__segment_last(store)); /* without it the next open walks */
    return rc;
}

int32_t evb_store_close(evb_store *store)
{
    int32_t rc = evb__store_enter(store);

    if (rc != EVB_OK) return rc;
    if (evb__in_callback(evb__self())) return EVB_EDEADLK;
    if (evb__ld_acq(&store->users) != 0) return EVB_EBUSY; /* pairs with evb__store_release */
    end_thread(store);
    if (!store->read_only) rc = finish(store);
    close_files(store);
    evb__mutex_lock(&store->lock);
    evb__st_rel(&store->closed, 1); /* readers; pairs with reader_check */
    evb__moved_locked(store);
    evb__mutex_unlock(&store->lock);
    evb__store_unref(store);
    return rc;
}
