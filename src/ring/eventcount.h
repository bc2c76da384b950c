/* SPDX-License-Identifier: MIT */
/* How a ring's blocking calls sleep: two eventcounts, one for poppers (not empty), one for pushers (not
 * full).
 *
 *      notify   operation; look at waiters               sleep   k = epoch; waiters = 1; operation again;
 *      wake     waiters = 0; epoch + 1; wake all                 sleep while epoch == k; operation again
 *
 * Invariant: a thread sleeps on epoch k only after an operation of its own that failed after it had
 * registered; whoever changes the ring after that failure sees the registration, empties it *before* it steps
 * the epoch (the reverse order loses a sleeper) and wakes all. Notify costs the fast path one load of a line
 * that seldom changes: either its operation is ordered before that load by the barrier that the sleeper puts
 * into every thread (base/barrier.h), or, without one, both modify the word. Threads: any. Not lock-free: a
 * thread stopped between emptying the word and waking delays the sleepers.
 */
#ifndef EVB__RING_EVENTCOUNT_H
#define EVB__RING_EVENTCOUNT_H

#include "base/barrier.h"
#include "base/park.h"
#include "ring/ring.h"

/* Wakes all who have registered. */
void evb__eventcount_wake(uint32_t *waiters, EVB__ATOMIC(uint32_t) *epoch);

/* After an operation that may have made another one possible: is somebody to be woken? */
EVB__INLINE bool evb__eventcount_look(uint32_t *waiters, uint32_t asymmetric)
{
    if (evb__likely(asymmetric)) {
        evb__compiler_barrier();               /* pairs with the heavy barrier in evb__eventcount_prepare */
        return EVB__RING_LD_RLX(waiters) != 0; /* relaxed: that barrier orders it */
    }
    /* pairs with the exchange in evb__eventcount_prepare: the later of the two sees the earlier */
    return EVB__RING_ADD_ACQREL(waiters, 0u) != 0;
}

EVB__INLINE void evb__ring_notify_poppers(evb_ring *ring)
{
    if (evb__unlikely(evb__eventcount_look(&ring->front.c.s.pop_waiters, ring->front.c.s.asymmetric)))
        evb__eventcount_wake(&ring->front.c.s.pop_waiters, &ring->pop_epoch);
}

EVB__INLINE void evb__ring_notify_pushers(evb_ring *ring)
{
    if (evb__unlikely(evb__eventcount_look(&ring->front.c.s.push_waiters, ring->front.c.s.asymmetric)))
        evb__eventcount_wake(&ring->front.c.s.push_waiters, &ring->push_epoch);
}

/* Registers; answers the epoch to sleep on if the operation then fails again. *ret_sure: false when the
 * kernel has taken the barrier away since the start; then a waker may miss us for the moment that a store
 * takes to become visible, and the sleep must be short. */
EVB__INLINE uint32_t evb__eventcount_prepare(uint32_t *waiters, EVB__ATOMIC(uint32_t) *epoch,
                                             uint32_t asymmetric, bool *ret_sure)
{
    uint32_t key = evb__ld_acq(epoch); /* pairs with evb__eventcount_wake */

    *ret_sure = true;
    if (asymmetric) {
        EVB__RING_ST_RLX(waiters, 1u); /* relaxed: the barrier orders it */
        *ret_sure = evb__barrier_heavy() == EVB_OK;
    } else {
        (void)EVB__RING_XCHG_ACQREL(waiters, 1u); /* pairs with evb__eventcount_look */
    }
    return key;
}

#endif
