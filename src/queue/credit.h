/* SPDX-License-Identifier: MIT */
/* Credits: what keeps a queue within its capacity, in events and bytes, without a lock.
 *
 *      word   | events: 24 bits | bytes: 40 bits |        used = reserved - done
 *
 * done only counts up, for ever, modulo 2^64, reserved but for what is undone; their difference is exact in
 * both fields as long as it fits. A publisher takes a credit by one compare-and-swap of reserved before it
 * hands the event over; whoever finishes with an event adds its cost to done. Publishers look at done only
 * when the copy they remember (done_seen) says that there is no room.
 *
 * Invariant: reserved - done never exceeds the limit in either field. Refused means that at one moment during
 * the call there was no room (counting reservations that are undone later). Threads: take and undo any; give
 * one at a time, under the queue's lock. The protocol is that of a claim with acquire and release on every
 * word: who takes a credit sees what was done by the one who gave it back.
 */
#ifndef EVB__QUEUE_CREDIT_H
#define EVB__QUEUE_CREDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/platform.h"

#define EVB__CREDIT_ONE        (UINT64_C(1) << 40)
#define EVB__CREDIT_BYTES_MAX  (EVB__CREDIT_ONE - 1)
#define EVB__CREDIT_EVENTS_MAX ((UINT32_C(1) << 24) - 1)

struct evb__credit {
    _Alignas(128) EVB__ATOMIC(uint64_t) reserved;
    EVB__ATOMIC(uint64_t) done_seen;
    uint64_t limit_events, limit_bytes; /* constant */
    _Alignas(128) EVB__ATOMIC(uint64_t) done;
};

EVB__INLINE void evb__credit_init(struct evb__credit *c, uint32_t events, uint64_t bytes, uint64_t start)
{
    c->limit_events = events;
    c->limit_bytes = bytes;
    evb__init(&c->reserved, start);
    evb__init(&c->done_seen, start);
    evb__init(&c->done, start);
}

EVB__INLINE uint64_t evb__credit_cost(uint32_t events, uint64_t bytes)
{
    return events * EVB__CREDIT_ONE + bytes;
}

/* Could it ever have room? events and bytes apart, because together they might overflow. */
EVB__INLINE bool evb__credit_possible(const struct evb__credit *c, uint32_t events, uint64_t bytes)
{
    return events <= c->limit_events && bytes <= c->limit_bytes;
}

EVB__INLINE bool evb__credit_fits(const struct evb__credit *c, uint64_t used, uint64_t cost)
{
    uint64_t events = used / EVB__CREDIT_ONE + cost / EVB__CREDIT_ONE;
    uint64_t bytes = used % EVB__CREDIT_ONE + cost % EVB__CREDIT_ONE;

    return events <= c->limit_events && bytes <= c->limit_bytes;
}

/* Takes cost. false: no room, or it is not possible. */
EVB__INLINE bool evb__credit_take(struct evb__credit *c, uint64_t cost)
{
    uint64_t reserved = evb__ld_acq(&c->reserved); /* pairs with the CAS and the undo of others */

    for (;;) {
        /* An older copy only makes it look fuller. One that is newer than `reserved` makes no sense, and the
         * CAS fails. */
        uint64_t seen = evb__ld_acq(&c->done_seen), done;

        if (evb__likely(evb__credit_fits(c, reserved - seen, cost))) {
            /* acquire: done_seen and done are not older next time; release: for who sees our done_seen */
            /* seq_cst: a publisher looks afterwards whether the bus drains, who drains whether anything is
             * reserved */
            if (evb__cas_sc(&c->reserved, &reserved, reserved + cost)) return true;
            continue;
        }
        done = evb__ld_acq(&c->done); /* pairs with evb__credit_give: what held the credit is over */
        /* Only forward: one that went back could make the difference wrap. Failed: somebody else has moved
         * it. */
        if (done != seen) (void)evb__cas_acqrel(&c->done_seen, &seen, done);
        reserved = evb__ld_acq(&c->reserved); /* after done: contains all that is in it */
        if (evb__credit_fits(c, reserved - done, cost)) continue;
        /* Nothing was given back around the look at reserved: at that moment there was no room. */
        if (evb__ld_acq(&c->done) == done) return false;
    }
}

EVB__INLINE void evb__credit_undo(struct evb__credit *c, uint64_t cost)
{
    uint64_t reserved = evb__ld_rlx(&c->reserved); /* the CAS decides */

    /* release: pairs with the acquire of the next take; seq_cst: as there */
    while (!evb__cas_sc(&c->reserved, &reserved, reserved - cost)) {
    }
}

/* Under the queue's lock. */
EVB__INLINE void evb__credit_give(struct evb__credit *c, uint64_t cost)
{
    /* relaxed: only written under the lock. release: what was done with the event; pairs with
     * evb__credit_take */
    evb__st_rel(&c->done, evb__ld_rlx(&c->done) + cost);
}

EVB__INLINE uint64_t evb__credit_used(const struct evb__credit *c)
{
    uint64_t done = evb__ld_acq(&c->done);

    return evb__ld_sc(&c->reserved) - done; /* pairs with the CAS of evb__credit_take, see there */
}

#endif
