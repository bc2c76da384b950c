/* SPDX-License-Identifier: MIT */
/* A worker's own tasks: a ring that it fills at one end, and from whose other end it and thieves take (the
 * run queue of Go's scheduler).
 *
 *      head <= tail <= head + capacity      task p lies in cell p % capacity
 *
 * The owner writes cells and then moves tail. Whoever takes reads cells first and then moves head by one
 * compare-and-swap; when that fails, what was read may have been overwritten meanwhile, and is forgotten. So
 * nobody ever waits for anybody, and what fits does not depend on thieves: only on head.
 *
 * Invariant: positions are 64 bits and only rise, so a head that has not moved means that the cells read were
 * those. Tail is stored sequentially consistent: the owner looks at `idle` next (idle.h). Threads: push and
 * pop the owner; steal and filled any.
 */
#ifndef EVB__POOL_LOCAL_H
#define EVB__POOL_LOCAL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/platform.h"

#ifndef EVB__LOCAL_CAPACITY
#define EVB__LOCAL_CAPACITY 256u /* a power of two; the explorer's is smaller */
#endif

struct evb__task {
    void (*fn)(void *arg);
    void *arg;
};

struct evb__local {
    _Alignas(128) EVB__ATOMIC(uint64_t) head;
    _Alignas(128) EVB__ATOMIC(uint64_t) tail;
    uint64_t head_seen; /* the owner's: what head was when it last looked */
    struct {
        EVB__ATOMIC(uintptr_t) fn, arg;
    } cell[EVB__LOCAL_CAPACITY];
};

/* How many of the n fitted: the first ones. */
EVB__INLINE uint32_t evb__local_push(struct evb__local *l, const struct evb__task *tasks, uint32_t n)
{
    uint64_t tail = evb__ld_rlx(&l->tail); /* our own */

    if (evb__unlikely(tail + n - l->head_seen > EVB__LOCAL_CAPACITY)) {
        uint64_t room;

        l->head_seen =
            evb__ld_acq(&l->head); /* the cells below it have been read; pairs with the CAS below */
        room = EVB__LOCAL_CAPACITY - (tail - l->head_seen);
        if (n > room) n = (uint32_t)room;
        if (n == 0) return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = (tail + i) % EVB__LOCAL_CAPACITY;

        /* relaxed: tail publishes them; who reads them too late finds that his CAS fails */
        evb__st_rlx(&l->cell[at].fn, (uintptr_t)tasks[i].fn);
        evb__st_rlx(&l->cell[at].arg, (uintptr_t)tasks[i].arg);
    }
    evb__st_sc(&l->tail, tail + n); /* pairs with the loads below; seq_cst: see idle.h */
    return n;
}

EVB__INLINE void evb__local_read(struct evb__local *l, uint64_t at, struct evb__task *ret_task)
{
    ret_task->fn = (void (*)(void *))evb__ld_rlx(&l->cell[at % EVB__LOCAL_CAPACITY].fn);
    ret_task->arg = (void *)evb__ld_rlx(&l->cell[at % EVB__LOCAL_CAPACITY].arg);
}

/* alone: there is no other thread that could steal. */
EVB__INLINE bool evb__local_pop(struct evb__local *l, struct evb__task *ret_task, bool alone)
{
    uint64_t tail = evb__ld_rlx(&l->tail); /* our own */
    uint64_t head = evb__ld_rlx(&l->head); /* relaxed: the CAS checks, and our own cells we see */

    while (head != tail) {
        evb__local_read(l, head, ret_task);
        if (alone) {
            evb__st_rlx(&l->head, head + 1);
            return true;
        }
        if (evb__likely(evb__cas_acqrel(&l->head, &head, head + 1))) return true;
    }
    return false;
}

/* Half of what is inside, at most n. */
EVB__INLINE uint32_t evb__local_steal(struct evb__local *l, struct evb__task *ret_tasks, uint32_t n)
{
    uint64_t head = evb__ld_acq(&l->head); /* pairs with the CAS: tail is not older */

    for (;;) {
        uint64_t inside = evb__ld_acq(&l->tail) - head; /* pairs with the store in push: the cells */
        uint32_t half = (uint32_t)(inside - inside / 2);

        if (inside == 0) return 0;
        if (half > n) half = n;
        for (uint32_t i = 0; i < half; i++)
            evb__local_read(l, head + i, &ret_tasks[i]);
        /* release: the cells have been read; pairs with the load of head in push */
        if (evb__likely(evb__cas_acqrel(&l->head, &head, head + half))) return half;
    }
}

/* seq_cst: who asks has changed `idle` before. A task that is taken meanwhile may still be seen. */
EVB__INLINE bool evb__local_filled(const struct evb__local *l)
{
    uint64_t head = evb__ld_acq(&l->head); /* acquire: tail is not older */

    return evb__ld_sc(&l->tail) != head; /* pairs with the store in push */
}

#endif
