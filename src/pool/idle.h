/* SPDX-License-Identifier: MIT */
/* Who sleeps and who looks for work: one word, so that waking exactly one worker is one compare-and-swap.
 *
 *      | searching: 16 bits | parked: one bit a worker |
 *
 * Protocol. Submit: make the work visible, look at idle; nobody searching and somebody parked: take one out
 * and count him as searching, then wake him. Park: set the own bit (and stop searching) by one
 * read-modify-write, look for work, and only then sleep. Find: the last searcher who finds work looks whether
 * there is more, and wakes the next one.
 *
 * Invariant: while work is visible and a worker is parked, somebody is searching, or about to wake one, or
 * about to look. It rests on the order of four accesses, all sequentially consistent: making work visible,
 * loading idle there; changing idle, looking for work there. With any one weaker a submit is lost beside
 * sleeping workers. A burst of submits makes one system call, because the first has counted the woken worker
 * as searching. At most half the workers search (Go, tokio). Threads: any wakes; each worker parks itself.
 */
#ifndef EVB__POOL_IDLE_H
#define EVB__POOL_IDLE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/platform.h"

#define EVB__IDLE_SEARCHER    (UINT64_C(1) << 48)
#define EVB__IDLE_PARKED_MASK (EVB__IDLE_SEARCHER - 1)

EVB__INLINE uint32_t evb__idle_searching(uint64_t idle)
{
    return (uint32_t)(idle >> 48);
}

/* Takes one parked worker out, the keeper of the time only if there is no other (keeper: its index + 1 in the
 * low byte, or 0), and counts it as searching. Its index, or -1: somebody searches already, or nobody is
 * parked. */
EVB__INLINE int32_t evb__idle_take(EVB__ATOMIC(uint64_t) *idle, const EVB__ATOMIC(uint64_t) *keeper)
{
    uint64_t now = evb__ld_sc(idle); /* seq_cst: after the work was made visible; pairs with evb__idle_park */

    for (;;) {
        uint64_t parked = now & EVB__IDLE_PARKED_MASK, others = parked;
        uint32_t last;
        int32_t who = 0;

        if (evb__likely(now - 1 >= EVB__IDLE_PARKED_MASK)) return -1; /* none parked, or one searching */
        last = (uint32_t)(evb__ld_rlx(keeper) & 0xff);                /* relaxed: whom we rather take */
        if (last != 0) others &= ~(UINT64_C(1) << (last - 1));
        if (others == 0) others = parked;
        while (!(others >> who & 1))
            who++;
        if (evb__cas_sc(idle, &now, (now & ~(UINT64_C(1) << who)) + EVB__IDLE_SEARCHER)) return who;
    }
}

/* Takes this one out; false: somebody else has, and will wake it. */
EVB__INLINE bool evb__idle_take_this(EVB__ATOMIC(uint64_t) *idle, uint32_t who)
{
    uint64_t now = evb__ld_sc(idle), bit = UINT64_C(1) << who;

    while (now & bit)
        if (evb__cas_sc(idle, &now, (now & ~bit) + EVB__IDLE_SEARCHER)) return true;
    return false;
}

/* May this one search? Counted if so. */
EVB__INLINE bool evb__idle_search(EVB__ATOMIC(uint64_t) *idle, uint32_t workers)
{
    uint64_t now = evb__ld_sc(idle);

    while (2 * evb__idle_searching(now) < workers)
        if (evb__cas_sc(idle, &now, now + EVB__IDLE_SEARCHER)) return true;
    return false;
}

/* Has found work. true: was the last one, and must look for more. */
EVB__INLINE bool evb__idle_found(EVB__ATOMIC(uint64_t) *idle)
{
    uint64_t now = evb__ld_sc(idle);

    while (!evb__cas_sc(idle, &now, now - EVB__IDLE_SEARCHER)) { /* pairs with the load in evb__idle_take */
    }
    return evb__idle_searching(now) == 1;
}

/* About to sleep; whoever looks now may take it out. The caller looks for work afterwards. The word as it has
 * become. */
EVB__INLINE uint64_t evb__idle_park(EVB__ATOMIC(uint64_t) *idle, uint32_t who, bool searching)
{
    uint64_t now = evb__ld_sc(idle), next;

    do
        next = (now | UINT64_C(1) << who) - (searching ? EVB__IDLE_SEARCHER : 0);
    while (!evb__cas_sc(idle, &now, next)); /* pairs with the load in evb__idle_take */
    return next;
}

#endif
