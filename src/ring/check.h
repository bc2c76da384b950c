/* SPDX-License-Identifier: MIT */
/* What every call looks at before it touches the ring: is it this process' ring, and, in debug builds, is a
 * single end in use by one thread only.
 *
 * Invariant (debug builds): pushing is 1 while a thread is inside a push of an SPSC or SPMC ring, popping
 * while one is inside a pop of an SPSC or MPSC ring; a second one finds that and ends the process with the
 * log line ring_misuse. Release builds compile all of it to nothing. Threads: any.
 */
#ifndef EVB__RING_CHECK_H
#define EVB__RING_CHECK_H

#include "base/reader.h"
#include "ring/ring.h"

EVB__INLINE bool evb__ring_ours(const evb_ring *ring)
{
    return ring->front.c.s.generation == evb__process_generation();
}

#ifdef EVB__RING_CHECKED

/* ring.c */
void evb__ring_enter(evb_ring *ring, bool single, EVB__ATOMIC(uint32_t) *inside, const char *end);

EVB__INLINE void evb__ring_enter_push(evb_ring *ring)
{
    evb__ring_enter(ring, ring->mode == EVB_RING_SPSC || ring->mode == EVB_RING_SPMC, &ring->pushing, "push");
}

EVB__INLINE void evb__ring_enter_pop(evb_ring *ring)
{
    evb__ring_enter(ring, ring->mode == EVB_RING_SPSC || ring->mode == EVB_RING_MPSC, &ring->popping, "pop");
}

/* release, both: a thread that takes the end over by other means finds it free; pairs with evb__ring_enter */
EVB__INLINE void evb__ring_leave_push(evb_ring *ring)
{
    evb__st_rel(&ring->pushing, 0);
}

EVB__INLINE void evb__ring_leave_pop(evb_ring *ring)
{
    evb__st_rel(&ring->popping, 0);
}

#else

#define evb__ring_enter_push(ring) ((void)(ring))
#define evb__ring_enter_pop(ring)  ((void)(ring))
#define evb__ring_leave_push(ring) ((void)(ring))
#define evb__ring_leave_pop(ring)  ((void)(ring))

#endif
#endif
