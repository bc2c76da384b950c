/* SPDX-License-Identifier: MIT */
/* The role and the groups: how frames get from memory to the disk, and who waits for whom. */
#include "store/store.h"

#include <string.h>
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/park.h"

#define CHUNK_MIN (256u * 1024) /* of the file that is made to exist ahead of the frames */
#define CHUNK_MAX (8u * 1024 * 1024)
#define ZEROS     (256u * 1024)
#define HURRY     (4u * 1024 * 1024)
#define PAGE      (64u * 1024) /* a multiple of any */
#define LINGER    2u           /* times that a leader steps aside for others of his kind before he collects */

/* ---- waiting ---- */

void evb__waiters_init(struct evb__waiters *waiters)
{
    waiters->head = NULL;
    waiters->tail = &waiters->head;
}

static void waiters_push(struct evb__waiters *waiters, struct evb__waiter *me)
{
    me->next = NULL;
    evb__init(&me->state, EVB__WAITING);
    *waiters->tail = me;
    waiters->tail = &me->next;
}

static void tell(struct evb__waiter *waiter, uint32_t state)
{
    /* acq_rel: status, and all that the lock guards; pairs with sleep_until_told. The waiter may be
     * gone before the wake. A leader tells himself, too, and does not sleep. */
    if (evb__xchg_acqrel(&waiter->state, state) == EVB__WAITING) evb__wake_one(&waiter->state);
}

static uint32_t sleep_until_told(struct evb__waiter *me)
{
    uint32_t state;

    while ((state = evb__ld_acq(&me->state)) == EVB__WAITING) /* pairs with tell */
        (void)evb__park(&me->state, EVB__WAITING, EVB_FOREVER);
    return state;
}

static void complete(struct evb__waiters *waiters, int32_t status)
{
    struct evb__waiter *waiter = waiters->head, *next;

    for (; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->status = status;
        tell(waiter, EVB__DONE);
    }
    evb__waiters_init(waiters);
}

void evb__role_take_locked(evb_store *store)
{
    struct evb__waiter me;

    if (!store->busy) {
        store->busy = true;
        return;
    }
    waiters_push(&store->entrants, &me);
    evb__mutex_unlock(&store->lock);
    (void)sleep_until_told(&me);
    evb__mutex_lock(&store->lock);
}

void evb__role_pass_locked(evb_store *store)
{
    struct evb__waiter *entrant = store->entrants.head;

    evb__assert(store->busy);
    if (entrant != NULL) {
        store->entrants.head = entrant->next;
        if (entrant->next == NULL) store->entrants.tail = &store->entrants.head;
        tell(entrant, EVB__LEAD);
    } else if (store->groups[store->fill].waiters.head != NULL) {
        tell(store->groups[store->fill].waiters.head, EVB__LEAD);
    } else {
        store->busy = false;
    }
}

int32_t evb__commit_wait_locked(evb_store *store, struct evb__waiter *me)
{
    waiters_push(&store->groups[store->fill].waiters, me);
    if (store->busy) {
        evb__mutex_unlock(&store->lock);
        if (sleep_until_told(me) == EVB__DONE) return me->status;
        evb__mutex_lock(&store->lock);
    }
    store->busy = true;                 /* it was handed to me, or nobody had it */
    evb__st_rlx(&me->state, EVB__LEAD); /* only who has the role tells, and that is me */
    (void)evb__commit_locked(store, false);
    evb__role_pass_locked(store);
    evb__mutex_unlock(&store->lock);
    evb__assert(evb__ld_rlx(&me->state) == EVB__DONE); /* this thread wrote it, or the lock brought it */
    return me->status;
}

void evb__moved_locked(evb_store *store)
{
    (void)evb__add_rel(&store->moved, 1); /* read under the lock, too; the park compares it */
    if (store->followers != 0) evb__wake_all(&store->moved);
}

/* ---- groups ---- */

static void group_begin(evb_store *store, struct evb__group *group)
{
    const struct evb__segment *segment = evb__segment_last(store);

    group->used = 0;
    group->offset = segment->end_offset;
    group->sync = false;
    group->appends = 0;
    group->undo_count = 0;
    group->position = store->next_position;
    group->max_time = segment->max_time;
    group->mark_count = segment->mark_count;
    /* An append may have been as large as a quarter of a segment: its memory is not kept for small
     * ones. */
    if (group->room > EVB__GROUP_MAX) {
        evb__free(group->bytes, group->room);
        group->bytes = NULL;
        group->room = 0;
    }
}

void evb__groups_begin(evb_store *store)
{
    group_begin(store, &store->groups[0]);
    group_begin(store, &store->groups[1]);
    store->hurried = store->groups[0].offset;
}

static void group_undo(struct evb__group *group)
{
    while (group->undo_count > 0)
        evb__stream_back(&group->undo[--group->undo_count]);
    group->used = 0;
}

/* The groups' appends have not happened. */
static void take_back_locked(evb_store *store, struct evb__group *group)
{
    struct evb__segment *segment = evb__segment_last(store);

    group_undo(&store->groups[store->fill]);
    group_undo(group);
    store->next_position = group->position;
    segment->end_position = group->position;
    segment->end_offset = group->offset;
    segment->max_time = group->max_time;
    segment->mark_count = group->mark_count;
    group_begin(store, &store->groups[store->fill]);
}

EVB__COLD void evb__store_poison_locked(evb_store *store)
{
    store->poisoned = store->untold = true;
    complete(&store->groups[store->fill].waiters, EVB_EPOISONED);
}

void evb__store_tell(evb_store *store)
{
    char quoted[256];
    bool untold;

    evb__mutex_lock(&store->lock);
    untold = store->untold;
    store->untold = false;
    evb__mutex_unlock(&store->lock);
    if (untold)
        evb__log(EVB_LOG_ERROR, "log_failed", "dir=%s until=reopen",
                 evb__log_quote(quoted, sizeof quoted, store->dir, strlen(store->dir)));
}

/* ---- the disk: role, no lock ---- */

static int32_t zeros_ahead(evb_store *store, uint64_t from, uint64_t to)
{
    const struct evb__files *files = evb__files();

    while (from < to) {
        size_t size = to - from < ZEROS ? (size_t)(to - from) : ZEROS;
        int32_t rc = evb__pwrite_full(store->fd, store->zeros, size, from);

        if (rc != EVB_OK) return rc;
        from += size;
    }
    return files->datasync(store->fd, files->arg);
}

/* Makes the file longer than the frames in [offset, end) need, so that the next commits need not. What
 * cannot be had ahead may still do for this group: only the write itself says that there is no room. */
static int32_t grow_file(evb_store *store, uint64_t offset, uint64_t end)
{
    const struct evb__files *files = evb__files();
    uint64_t chunk = end / 4, to;
    int32_t rc;

    if (end <= store->allocated || store->no_allocate) return EVB_OK;
    if (chunk < CHUNK_MIN) chunk = CHUNK_MIN;
    if (chunk > CHUNK_MAX) chunk = CHUNK_MAX;
    to = end + chunk;
    if (to > store->opts.segment_bytes) to = store->opts.segment_bytes;
    if (to < end) to = end;
    if ((store->opts.flags & EVB_STORE_ZERO_FILL) != 0) {
        /* `allocated` stays behind when there was no room: between it and the group lie frames. */
        rc = zeros_ahead(store, store->allocated > offset ? store->allocated : offset, to);
        if (rc != EVB_OK && rc != EVB_ENOSPC && rc != EVB_ETOOBIG) return rc;
    } else {
        rc = files->allocate(store->fd, store->allocated, to - store->allocated, files->arg);
        if (rc == EVB_ENOTSUP || rc == EVB_EINVAL) store->no_allocate = true;
    }
    if (rc == EVB_OK) store->allocated = to;
    return EVB_OK;
}

static void seal_frames(evb_store *store, const struct evb__group *group)
{
    struct evb__segment *segment = evb__segment_last(store);
    size_t at = 0;

    while (at < group->used) {
        unsigned char *frame = group->bytes + at;

        evb__frame_seal(frame, store->durable, segment->salt);
        at += evb__get32(frame);
        if (at == group->used) segment->last_crc = evb__get32(frame + 4);
    }
    evb__assert(at == group->used);
}

/* Who does not sync leaves up to a segment to whoever does: the roll, or the next open after a kill.
 * What is on its way already does not make them wait. The page at the end is still being written to. */
static void hurry_on(evb_store *store, uint64_t end)
{
    const struct evb__files *files = evb__files();

    if (files->hurry == NULL || end < store->hurried + HURRY + PAGE) return;
    end -= end % PAGE;
    files->hurry(store->fd, store->hurried, end - store->hurried, files->arg);
    store->hurried = end;
}

/* EVB_OK; or why not, and then *ret_final says whether it is for good. */
static int32_t write_group(evb_store *store, struct evb__group *group, bool sync, bool *ret_final)
{
    const struct evb__files *files = evb__files();
    int32_t rc = EVB_OK;

    *ret_final = true;
    if (group->used != 0) {
        seal_frames(store, group);
        rc = grow_file(store, group->offset, group->offset + group->used);
        if (rc == EVB_OK) rc = evb__pwrite_full(store->fd, group->bytes, group->used, group->offset);
        *ret_final = rc != EVB_ENOSPC && rc != EVB_ETOOBIG;
    }
    if (rc == EVB_OK && sync) {
        rc = files->datasync(store->fd, files->arg);
        *ret_final = true; /* also for lack of room: what it has dropped nobody can say */
    } else if (rc == EVB_OK) {
        hurry_on(store, group->offset + group->used);
    }
    return rc;
}

/* What a failed write has left behind the last good frame must not look like frames later. */
static int32_t cut_back(evb_store *store, uint64_t offset)
{
    const struct evb__files *files = evb__files();
    int32_t rc = files->truncate(store->fd, offset, files->arg);

    if (rc == EVB_OK) rc = files->datasync(store->fd, files->arg);
    store->allocated = offset;
    if (store->hurried > offset) store->hurried = offset;
    return rc;
}

/* ---- a group through ---- */

static EVB__COLD int32_t group_failed_locked(evb_store *store, struct evb__group *group, uint32_t crc,
                                             int32_t rc, bool final)
{
    if (!final && store->opts.sync == EVB_SYNC_MEM) {
        /* It was acknowledged: it stays, and is tried again. */
        store->stuck = true;
        complete(&group->waiters, rc);
        complete(&store->groups[store->fill].waiters, rc);
        return rc;
    }
    if (!final) {
        evb__mutex_unlock(&store->lock);
        final = cut_back(store, group->offset) != EVB_OK;
        evb__mutex_lock(&store->lock);
    }
    take_back_locked(store, group);
    evb__segment_last(store)->last_crc = crc;
    complete(&group->waiters, final ? EVB_EIO : rc);
    if (final) {
        evb__store_poison_locked(store);
        rc = EVB_EIO;
    } else {
        complete(&store->groups[store->fill].waiters, rc);
    }
    return rc;
}

static void group_done_locked(evb_store *store, struct evb__group *group, uint64_t position, bool sync)
{
    struct evb__segment *segment = evb__segment_last(store);
    uint64_t offset = group->offset + group->used;

    store->stuck = false;
    store->written = position;
    if (sync) store->durable = position;
    if (group->used != 0) {
        store->marked = false;
        store->visible_segment = segment->number;
        store->visible_offset = offset;
        store->visible_position = position;
        if (store->opts.sync != EVB_SYNC_MEM)
            evb__st_rel(&store->last,
                        position - 1); /* a number that people ask for; the lock orders the rest */
        evb__moved_locked(store);
    }
    complete(&group->waiters, EVB_OK);
    group->used = 0;
    group->undo_count = 0;
}

/* Writes groups[which] and what hangs on it; position: of the event after its last one. */
static int32_t push_group_locked(evb_store *store, struct evb__group *group, uint64_t position, bool sync)
{
    uint32_t crc = evb__segment_last(store)->last_crc;
    bool final;
    int32_t rc;

    evb__mutex_unlock(&store->lock);
    rc = write_group(store, group, sync, &final);
    evb__mutex_lock(&store->lock);
    if (rc != EVB_OK) return group_failed_locked(store, group, crc, rc, final);
    group_done_locked(store, group, position, sync);
    return EVB_OK;
}

/* Others are about to come: those who were in the last group and have just been woken. */
static void linger_locked(evb_store *store)
{
    if (store->last_group < 2 || store->opts.sync != EVB_SYNC_GROUP) return;
    evb__mutex_unlock(&store->lock);
    for (uint32_t i = 0; i < LINGER; i++)
        evb__thread_yield();
    evb__mutex_lock(&store->lock);
}

int32_t evb__commit_locked(evb_store *store, bool sync)
{
    struct evb__group *group;
    int32_t rc;

    evb__assert(store->busy);
    if (store->poisoned) {
        complete(&store->groups[store->fill].waiters, EVB_EPOISONED);
        return EVB_EPOISONED;
    }
    if (store->stuck) {
        group = &store->groups[!store->fill];
        rc = push_group_locked(store, group, store->groups[store->fill].position, false);
        if (rc != EVB_OK) return rc;
    }
    linger_locked(store);
    group = &store->groups[store->fill];
    sync = sync || group->sync || store->opts.sync <= EVB_SYNC_EACH;
    if (group->used == 0 && (!sync || store->durable == store->written)) {
        complete(&group->waiters, EVB_OK);
        group->sync = false;
        return EVB_OK;
    }
    store->last_group = group->appends;
    store->fill = !store->fill;
    group_begin(store, &store->groups[store->fill]);
    return push_group_locked(store, group, store->groups[store->fill].position, sync);
}

/* ---- the thread of INTERVAL and MEM ---- */

void evb__store_thread_wake_locked(evb_store *store)
{
    if (!store->thread_idle) return;
    store->thread_idle = false;
    (void)evb__add_rel(&store->thread_word, 1); /* the park compares it */
    evb__wake_one(&store->thread_word);
}

static bool dirty_locked(const evb_store *store)
{
    if (store->poisoned) return false;
    if (store->opts.sync == EVB_SYNC_MEM) return store->stuck || store->groups[store->fill].used != 0;
    return store->durable != store->written;
}

void evb__store_thread(void *arg)
{
    evb_store *store = arg;

    evb__mutex_lock(&store->lock);
    while (!store->thread_ends) {
        bool dirty = dirty_locked(store);
        uint32_t word;

        store->thread_idle = !dirty;
        word = evb__ld_rlx(&store->thread_word); /* changes under the lock */
        evb__mutex_unlock(&store->lock);
        (void)evb__park(&store->thread_word, word, dirty ? store->opts.interval_ns : EVB_FOREVER);
        evb__mutex_lock(&store->lock);
        if (store->thread_ends || !dirty || !dirty_locked(store)) continue;
        evb__role_take_locked(store);
        (void)evb__commit_locked(store, store->opts.sync == EVB_SYNC_INTERVAL);
        evb__role_pass_locked(store);
        if (store->untold) {
            evb__mutex_unlock(&store->lock);
            evb__store_tell(store);
            evb__mutex_lock(&store->lock);
        }
    }
    evb__mutex_unlock(&store->lock);
}
