/* SPDX-License-Identifier: MIT */
/* The pool's lock: a word that is taken by one compare-and-swap and given back by a store.
 *
 *      acquire  held: 0 -> 1        release  held = 0; look at waiters; somebody sleeps: wake all
 *
 * A mutex of the C library pays for two locked instructions; here the second one is replaced by the barrier
 * that who goes to sleep puts into every thread (ring/eventcount.h has the protocol: the operation is taking
 * the word).
 *
 * Invariant: held is 1 while a thread is inside. Held for bookkeeping only, as evb__mutex (base/thread.h);
 * not recursive, not fair. Threads: any.
 */
#ifndef EVB__POOL_LOCK_H
#define EVB__POOL_LOCK_H

#include "ring/eventcount.h"

struct evb__lock {
    EVB__ATOMIC(uint32_t) held;
    uint32_t asymmetric; /* constant: base/barrier.h */
    uint32_t waiters;    /* ring/eventcount.h */
    EVB__ATOMIC(uint32_t) epoch;
};

EVB__INLINE void evb__lock_init(struct evb__lock *lock)
{
    evb__init(&lock->held, 0);
    lock->asymmetric = evb__barrier_asymmetric();
    lock->waiters = 0;
    evb__init(&lock->epoch, 0);
}

EVB__INLINE bool evb__lock_try(struct evb__lock *lock)
{
    uint32_t open = 0;

    return evb__cas_acqrel(&lock->held, &open, 1); /* acquire: what was done inside; pairs with the release */
}

/* lock.c */
void evb__lock_wait(struct evb__lock *lock);

EVB__INLINE void evb__lock_acquire(struct evb__lock *lock)
{
    if (evb__unlikely(!evb__lock_try(lock))) evb__lock_wait(lock);
}

EVB__INLINE void evb__lock_release(struct evb__lock *lock)
{
    evb__st_rel(&lock->held, 0); /* pairs with evb__lock_try */
    if (evb__unlikely(evb__eventcount_look(&lock->waiters, lock->asymmetric)))
        evb__eventcount_wake(&lock->waiters, &lock->epoch);
}

#endif
