/* SPDX-License-Identifier: MIT */
/* Strands: making, posting, running. The protocol stands in strand.h. */
#include "pool/strand.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/park.h"
#include "ring/eventcount.h"

#define CAPACITY_DEFAULT 1024u
#define CAPACITY_MAX     (UINT32_C(1) << 31)
#define BATCH            64u     /* tasks of a visit */
#define PUBLISH_PAUSES   64u     /* for a post that has claimed and not filled yet */
#define UNSURE_NS        1000000 /* a sleep in which a wake-up may be missed: evb__eventcount_prepare */

static void run_strand(struct evb__runnable *runnable, bool discard);

int32_t evb_strand_create(evb_pool *pool, uint32_t capacity, evb_strand **ret_strand)
{
    evb_strand *strand;
    uint32_t rounded = 2;

    if (pool == NULL || ret_strand == NULL || capacity > CAPACITY_MAX) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    if (evb__ld_acq(&pool->state) >= EVB__POOL_DRAINING)
        return EVB_ECLOSED; /* pairs with evb_pool_shutdown */
    if (capacity == 0) capacity = CAPACITY_DEFAULT;
    while (rounded < capacity)
        rounded *= 2;
    if ((uint64_t)rounded * sizeof(struct evb__strand_cell) > SIZE_MAX) return EVB_ENOMEM;
    strand = evb__zalloc(sizeof *strand, 128);
    if (strand == NULL) return EVB_ENOMEM;
    strand->cells = evb__zalloc((size_t)rounded * sizeof *strand->cells, EVB__CACHE_LINE);
    if (strand->cells == NULL) {
        evb__free(strand, sizeof *strand);
        return EVB_ENOMEM;
    }
    strand->runnable.run = run_strand;
    strand->pool = pool;
    strand->capacity = rounded * EVB__STRAND_ONE;
    strand->asymmetric = evb__barrier_asymmetric();
    evb__pool_ref(pool);
    *ret_strand = strand;
    return EVB_OK;
}

static void free_strand(evb_strand *strand)
{
    evb_pool *pool = strand->pool;

    evb__free(strand->cells, (size_t)(strand->capacity / EVB__STRAND_ONE) * sizeof *strand->cells);
    evb__free(strand, sizeof *strand);
    evb__pool_unref(pool);
}

void evb_strand_destroy(evb_strand *strand)
{
    uint64_t word;

    if (strand == NULL || !evb__pool_ours(strand->pool)) return; /* in a forked child its memory stays */
    word = evb__ld_acq(&strand->word);
    /* acq_rel: whoever frees it comes after everything done with it; pairs with evb__strand_leave */
    while (!evb__cas_acqrel(&strand->word, &word, word | EVB__STRAND_CLOSED | EVB__STRAND_SCHED)) {
    }
    if (!(word & EVB__STRAND_SCHED)) free_strand(strand); /* it was idle: empty, and nobody's */
}

static void wake_posts(evb_strand *strand)
{
    if (evb__unlikely(evb__eventcount_look(&strand->waiters, strand->asymmetric)))
        evb__eventcount_wake(&strand->waiters, &strand->epoch);
}

static void run_task(const evb_strand *strand, const struct evb__task *task, bool discard)
{
    /* relaxed: as in worker.c, execute */
    if (evb__unlikely(discard || evb__ld_rlx(&strand->pool->state) >= EVB__POOL_DISCARDING))
        evb__pool_discard(strand->pool, task->arg);
    else
        task->fn(task->arg);
}

static void run_strand(struct evb__runnable *runnable, bool discard)
{
    evb_strand *strand = EVB__CONTAINER(runnable, evb_strand, runnable);
    struct evb__task task;
    uint64_t head = evb__ld_rlx(&strand->head); /* ours since word said so */
    uint32_t pauses = 0, done = 0;
    bool free_it;

    while (discard || done < BATCH) { /* then others have their turn */
        if (evb__strand_next(strand, head, &task)) {
            head += EVB__STRAND_ONE;
            evb__st_rel(&strand->head, head); /* pairs with evb__strand_claim: the cell is free */
            wake_posts(strand);
            run_task(strand, &task, discard);
            done++;
            continue;
        }
        if (evb__strand_leave(strand, head, &free_it)) {
            if (free_it) free_strand(strand);
            return;
        }
        if (!discard && pauses >= PUBLISH_PAUSES) break; /* stopped between claim and fill: come back later */
        evb__spin_pause(pauses++);
    }
    evb__pool_schedule(strand->pool, runnable);
}

/* ---- post ---- */

EVB__INLINE int32_t post(evb_strand *strand, evb_task_fn fn, void *const *args, uint32_t n)
{
    uint64_t at;
    bool schedule;
    int32_t rc = evb__strand_claim(strand, n, &at, &schedule);

    if (evb__unlikely(rc < 0)) return rc;
    for (uint32_t i = 0; i < (uint32_t)rc; i++)
        evb__strand_fill(strand, at + i * EVB__STRAND_ONE, (struct evb__task){fn, args[i]});
    if (schedule) evb__pool_schedule(strand->pool, &strand->runnable);
    return rc;
}

EVB__INLINE int32_t ready(evb_strand *strand)
{
    if (evb__unlikely(!evb__pool_ours(strand->pool))) return EVB_EFORKED;
    return evb__pool_admit(strand->pool);
}

EVB__COLD static int32_t wait_for_room(evb_strand *strand, evb_task_fn fn, void *arg, int64_t timeout_ns)
{
    int64_t deadline = evb__deadline(timeout_ns);

    for (;;) {
        bool sure;
        uint32_t key = evb__eventcount_prepare(&strand->waiters, &strand->epoch, strand->asymmetric, &sure);
        int64_t left;
        int32_t rc = ready(strand);

        if (rc == EVB_OK) rc = post(strand, fn, &arg, 1);
        if (rc != EVB_EFULL) return rc > 0 ? EVB_OK : rc;
        left = evb__remaining(deadline);
        if (left == 0) return EVB_ETIMEDOUT;
        if (!sure && (left == EVB_FOREVER || left > UNSURE_NS)) left = UNSURE_NS;
        (void)evb__park(&strand->epoch, key, left);
    }
}

int32_t evb_strand_submit(evb_strand *strand, evb_task_fn fn, void *arg, int64_t timeout_ns)
{
    int32_t rc;

    if (strand == NULL || fn == NULL || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    rc = ready(strand);
    if (evb__likely(rc == EVB_OK)) rc = post(strand, fn, &arg, 1);
    if (evb__likely(rc > 0)) return EVB_OK;
    if (rc != EVB_EFULL || timeout_ns == 0) return rc;
    if (evb__pool_must_not_wait(strand->pool)) return EVB_EDEADLK;
    return wait_for_room(strand, fn, arg, timeout_ns);
}

int32_t evb_strand_submit_many(evb_strand *strand, evb_task_fn fn, void *const *args, uint32_t n)
{
    int32_t rc;

    if (strand == NULL || fn == NULL || (args == NULL && n != 0)) return EVB_EINVAL;
    rc = ready(strand);
    if (rc != EVB_OK || n == 0) return rc;
    return post(strand, fn, args, n < (uint32_t)INT32_MAX ? n : (uint32_t)INT32_MAX);
}
