/* SPDX-License-Identifier: MIT */
/* The mailbox: where publishers leave deliveries, and how they learn that somebody waits for one.
 *
 *      publisher   push; tell == 1? and it was I who set it to 0: take the lock and wake somebody
 *      consumer    (under the lock) nothing there: tell = 1; look again; something there after all, and it
 * was I who set tell to 0: go on; else idle
 *
 * The box is the lock-free ring of many producers and one consumer: the one who has the queue's lock. A push
 * that finds it full or has no memory (the first of a thread with a high number) goes through the lock
 * instead.
 *
 * Invariant: tell is 1 only while everybody who has looked since has found the box empty; an event that is
 * pushed while tell is 1 sets it to 0, and who does that owes the queue a look under its lock. Push and look,
 * tell and look form a Dekker pair: all four are seq_cst. Threads: any push; under the lock the rest.
 */
#ifndef EVB__QUEUE_MAILBOX_H
#define EVB__QUEUE_MAILBOX_H

#include <stdbool.h>
#include "base/atomic.h"
#include "base/reader.h"
#include "ring/swap.h"

struct evb__delivery;

struct evb__mailbox {
    evb_ring *ring; /* of 8-byte elements: pointers */
    _Alignas(128) EVB__ATOMIC(uint32_t) tell;
};

/* The calling thread has its number (base/reader.h). false: no room here, nothing happened. */
EVB__INLINE bool evb__mailbox_push(struct evb__mailbox *box, struct evb__delivery *d)
{
    uint64_t elem = (uintptr_t)d;

    return evb__swap_push(box->ring, evb__self()->number, &elem, 1, 8, 8, EVB__SWAP_TAKEN, false) > 0;
}

/* After a push. true: the caller owes a look under the lock. */
EVB__INLINE bool evb__mailbox_told(struct evb__mailbox *box)
{
    uint32_t one = 1;

    /* seq_cst, both: after the CAS of the push; pairs with evb__mailbox_ask */
    return evb__ld_sc(&box->tell) != 0 && evb__cas_sc(&box->tell, &one, 0);
}

/* NULL: empty. */
EVB__INLINE struct evb__delivery *evb__mailbox_pop(struct evb__mailbox *box)
{
    uint64_t elem;

    if (evb__swap_pop(box->ring, 0, &elem, 1, 8, 8, EVB__SWAP_ALONE) <= 0) return NULL;
    return (struct evb__delivery *)(uintptr_t)elem;
}

/* The box has been found empty and somebody is idle. true: he will be told. false: something has come, look
 * again. */
EVB__INLINE bool evb__mailbox_ask(struct evb__mailbox *box)
{
    uint32_t one = 1;

    evb__st_sc(&box->tell, 1); /* pairs with evb__mailbox_told */
    if (!evb__swap_filled(box->ring)) return true;
    return !evb__cas_sc(&box->tell, &one, 0); /* a publisher has been quicker: he will take the lock */
}

/* Nobody is idle any more: publishers need not come. Under the lock. */
EVB__INLINE void evb__mailbox_hush(struct evb__mailbox *box)
{
    if (evb__ld_rlx(&box->tell) != 0) evb__st_sc(&box->tell, 0);
}

#endif
