/* SPDX-License-Identifier: MIT */
/* Strands: a bounded queue of tasks that one worker at a time runs.
 *
 *      word   | tail: 62 bits | CLOSED | SCHED |          cells[tail % capacity] { seq, fn, arg }
 *
 * A post claims a cell and, if nobody has, the duty to schedule the strand, by one compare-and-swap; then it
 * fills the cell and publishes it by its seq. The runner gives SCHED back only by a compare-and-swap that
 * proves the strand empty (tail is his head), so no task is left behind and no second runner can come.
 *
 * Invariant: SCHED is set while the strand is queued in the pool or being run, once; head <= tail <= head +
 * capacity, modulo 2^62. head is the runner's; the next runner takes it over through word. A runner that has
 * given SCHED back does not touch the strand. CLOSED comes from evb_strand_destroy: who then finds it empty
 * frees it. Threads: any posts; one runs.
 */
#ifndef EVB__POOL_STRAND_H
#define EVB__POOL_STRAND_H

#include "pool/pool.h"

#define EVB__STRAND_SCHED  UINT64_C(1)
#define EVB__STRAND_CLOSED UINT64_C(2)
#define EVB__STRAND_ONE    UINT64_C(4)

struct evb__strand_cell {
    EVB__ATOMIC(uint64_t) seq; /* tail + ONE of the post that filled it */
    struct evb__task task;
};

struct evb_strand {
    /* constant */
    evb_pool *pool;
    uint64_t capacity; /* in units of ONE */
    struct evb__strand_cell *cells;
    uint32_t asymmetric; /* base/barrier.h */

    _Alignas(128) EVB__ATOMIC(uint64_t) word;
    EVB__ATOMIC(uint64_t) head_seen; /* posts: what head was when somebody last asked */

    /* the runner's */
    _Alignas(128) EVB__ATOMIC(uint64_t) head;
    struct evb__runnable runnable;
    uint32_t waiters; /* posts that wait for room: ring/eventcount.h */
    EVB__ATOMIC(uint32_t) epoch;
};

/* Claims room for up to n tasks. Count, EVB_EFULL or EVB_ECLOSED. *ret_at: the first's tail; *ret_schedule:
 * the caller schedules the strand once the cells are filled. */
EVB__INLINE int32_t evb__strand_claim(struct evb_strand *strand, uint32_t n, uint64_t *ret_at,
                                      bool *ret_schedule)
{
    uint64_t word = evb__ld_acq(&strand->word); /* acquire: head_seen is not older than what this knows */

    for (;;) {
        uint64_t tail = word & ~(EVB__STRAND_ONE - 1), used, room;

        if (word & EVB__STRAND_CLOSED) return EVB_ECLOSED;
        used =
            tail - evb__ld_acq(&strand->head_seen); /* pairs with the store below: the cell has been read */
        if ((int64_t)(used + n * EVB__STRAND_ONE) > (int64_t)strand->capacity) { /* or it seems so */
            uint64_t head = evb__ld_acq(&strand->head); /* pairs with the runner's store */

            evb__st_rel(&strand->head_seen, head); /* pairs with the load above */
            used = tail - head;
            if ((int64_t)used >= (int64_t)strand->capacity) return EVB_EFULL;
        }
        if ((int64_t)used < 0) { /* word is older than head: others have posted and been run since */
            word = evb__ld_acq(&strand->word);
            continue;
        }
        room = (strand->capacity - used) / EVB__STRAND_ONE;
        if (n > room) n = (uint32_t)room;
        /* acquire: what the runner before left; release: with the cells, for the next. Pairs with the
         * runner's. */
        if (evb__cas_acqrel(&strand->word, &word, (word | EVB__STRAND_SCHED) + n * EVB__STRAND_ONE)) {
            *ret_at = tail;
            *ret_schedule = (word & EVB__STRAND_SCHED) == 0;
            return (int32_t)n;
        }
    }
}

EVB__INLINE struct evb__strand_cell *evb__strand_cell_at(const struct evb_strand *strand, uint64_t at)
{
    return &strand->cells[(at & (strand->capacity - 1)) / EVB__STRAND_ONE];
}

EVB__INLINE void evb__strand_fill(struct evb_strand *strand, uint64_t at, struct evb__task task)
{
    struct evb__strand_cell *cell = evb__strand_cell_at(strand, at);

    EVB__PLAIN_WRITE(cell->task.fn, task.fn);
    EVB__PLAIN_WRITE(cell->task.arg, task.arg);
    evb__st_rel(&cell->seq, at + EVB__STRAND_ONE); /* pairs with evb__strand_next */
}

/* The runner: the task at head, if it has been filled. */
EVB__INLINE bool evb__strand_next(struct evb_strand *strand, uint64_t head, struct evb__task *ret_task)
{
    struct evb__strand_cell *cell = evb__strand_cell_at(strand, head);

    if (evb__ld_acq(&cell->seq) != head + EVB__STRAND_ONE) return false; /* pairs with evb__strand_fill */
    ret_task->fn = EVB__PLAIN_READ(cell->task.fn);
    ret_task->arg = EVB__PLAIN_READ(cell->task.arg);
    return true;
}

/* The runner has found nothing at head. true: the strand is empty, and his no longer. *ret_free: nor
 * anybody's. */
EVB__INLINE bool evb__strand_leave(struct evb_strand *strand, uint64_t head, bool *ret_free)
{
    uint64_t word = evb__ld_acq(&strand->word);

    while ((word & ~(EVB__STRAND_ONE - 1)) == head) {
        *ret_free = (word & EVB__STRAND_CLOSED) != 0;
        if (*ret_free) return true; /* nobody posts any more; SCHED stays ours */
        /* release: head and the cells read; pairs with the acquire of the claim that schedules next */
        if (evb__cas_acqrel(&strand->word, &word, word & ~EVB__STRAND_SCHED)) return true;
    }
    return false;
}

#endif
