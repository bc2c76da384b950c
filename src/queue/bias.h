/* SPDX-License-Identifier: MIT */
/* A queue's lock, biased: a mutex that one granted owner passes through with two plain stores.
 *
 *      owner   inside = 1; light barrier; recalled?  no: in  ... inside = 0        yes: inside = 0, take the
 * mutex others  take the mutex; granted?  recalled = 1; heavy barrier; wait until inside == 0 ... recalled =
 * 0
 *
 * The only worker of a queue enters at every event; everybody else comes seldom and pays for both. Granting
 * and revoking are done under the mutex by the owner himself, when his run begins and ends.
 *
 * Invariant: at most one thread is inside at any time, and sees what the one before it wrote. Either the
 * owner sees recalled, or the other sees inside: the barrier of base/barrier.h stands between the owner's
 * store and load; where it is missing both sides modify `inside`. Others wait for an owner who is inside as
 * they would wait for a mutex: what is done inside is short and runs no user code. Threads: any; the owner is
 * one at a time.
 */
#ifndef EVB__QUEUE_BIAS_H
#define EVB__QUEUE_BIAS_H

#include <stdbool.h>
#include "base/atomic.h"
#include "base/barrier.h"
#include "base/park.h"
#include "base/platform.h"
#include "base/thread.h"

struct evb__bias {
    struct evb__mutex mutex;
    bool granted;                              /* under the mutex, or as a granted owner */
    bool asymmetric;                           /* constant: base/barrier.h */
    _Alignas(64) EVB__ATOMIC(uint32_t) inside; /* 1: the owner is in */
    EVB__ATOMIC(uint32_t) recalled;
};

EVB__INLINE void evb__bias_init(struct evb__bias *b)
{
    evb__mutex_init(&b->mutex);
    b->granted = false;
    b->asymmetric = evb__barrier_asymmetric();
    evb__init(&b->inside, 0);
    evb__init(&b->recalled, 0);
}

EVB__INLINE void evb__bias_destroy(struct evb__bias *b)
{
    evb__mutex_destroy(&b->mutex);
}

/* Anybody but the owner. */
EVB__INLINE void evb__bias_lock(struct evb__bias *b)
{
    evb__mutex_lock(&b->mutex);
    if (evb__likely(!b->granted)) return;
    evb__st_rlx(&b->recalled, 1); /* relaxed: published by the barrier, or by the exchange below */
    if (b->asymmetric) {
        bool sure = evb__barrier_heavy() == EVB_OK;

        /* acquire: what the owner did inside; pairs with his store. A kernel that has taken the barrier away
         * leaves what the hardware does by itself: a store becomes visible long before this loop is over. */
        for (uint32_t turn = 0; evb__ld_acq(&b->inside) != 0 || (!sure && turn < 4096); turn++)
            evb__spin_pause(turn);
    } else {
        /* acq_rel: pairs with the exchange in evb__bias_enter; the later of the two sees the earlier */
        for (uint32_t turn = 0; evb__add_acqrel(&b->inside, 0) != 0; turn++)
            evb__spin_pause(turn);
    }
}

EVB__INLINE void evb__bias_unlock(struct evb__bias *b)
{
    if (evb__unlikely(b->granted))
        evb__st_rel(&b->recalled, 0); /* what was done; pairs with evb__bias_enter */
    evb__mutex_unlock(&b->mutex);
}

/* Inside, as somebody other than a granted owner: the caller becomes the owner from his next evb__bias_enter
 * on. */
EVB__INLINE void evb__bias_grant(struct evb__bias *b)
{
    b->granted = true;
}

/* The owner. *ret_slow: goes to evb__bias_leave. */
EVB__INLINE bool evb__bias_enter(struct evb__bias *b)
{
    if (b->asymmetric) {
        evb__st_rlx(&b->inside, 1); /* relaxed: ordered before the load by the other's heavy barrier */
        evb__compiler_barrier();
    } else {
        (void)evb__xchg_acqrel(&b->inside, 1); /* pairs with the fetch_add in evb__bias_lock */
    }
    if (evb__likely(evb__ld_acq(&b->recalled) == 0)) return false; /* pairs with evb__bias_unlock */
    evb__st_rel(&b->inside, 0);
    evb__mutex_lock(&b->mutex);
    return true;
}

EVB__INLINE void evb__bias_leave(struct evb__bias *b, bool slow)
{
    if (evb__unlikely(slow))
        evb__mutex_unlock(&b->mutex);
    else
        evb__st_rel(&b->inside, 0); /* what was done inside; pairs with evb__bias_lock */
}

/* The owner, outside: his last entry. Leaves with the mutex held, no longer the owner. */
EVB__INLINE void evb__bias_revoke(struct evb__bias *b)
{
    evb__mutex_lock(&b->mutex);
    b->granted = false;
}

#endif
