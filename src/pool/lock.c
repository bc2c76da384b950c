/* SPDX-License-Identifier: MIT */
/* The waiting half of the pool's lock. */
#include "pool/lock.h"

#define TURNS     100u    /* of looking at it, before a sleep: what is done inside takes less */
#define UNSURE_NS 1000000 /* a sleep in which a wake-up may be missed: evb__eventcount_prepare */

#ifdef EVB__EXPLORE
/* Looking again changes nothing but the number of schedules. */
static bool taken_soon(struct evb__lock *lock)
{
    (void)lock;
    return false;
}
#else
static bool taken_soon(struct evb__lock *lock)
{
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        evb__spin_pause(turn);
        if (evb__ld_rlx(&lock->held) == 0 && evb__lock_try(lock)) return true; /* relaxed: whether to try */
    }
    return false;
}
#endif

EVB__COLD void evb__lock_wait(struct evb__lock *lock)
{
    if (taken_soon(lock)) return;
    for (;;) {
        bool sure;
        uint32_t key = evb__eventcount_prepare(&lock->waiters, &lock->epoch, lock->asymmetric, &sure);

        if (evb__lock_try(lock)) return; /* after the registration: a later release wakes us */
        (void)evb__park(&lock->epoch, key, sure ? EVB_FOREVER : UNSURE_NS);
    }
}
