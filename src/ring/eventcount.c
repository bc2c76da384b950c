/* SPDX-License-Identifier: MIT */
/* The waking half of the eventcount, away from the fast paths. */
#include "ring/eventcount.h"

EVB__COLD void evb__eventcount_wake(uint32_t *waiters, EVB__ATOMIC(uint32_t) *epoch)
{
    /* acq_rel, both: under weaker ones a wake-up is lost where loads are delayed past stores (Arm). */
    (void)EVB__RING_XCHG_ACQREL(waiters, 0u); /* pairs with evb__eventcount_prepare */
    (void)evb__add_acqrel(epoch, 1);          /* pairs with the load of the epoch there */
    evb__wake_all(epoch);
}
