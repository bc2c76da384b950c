/* SPDX-License-Identifier: MIT */
/* The sequenced ring: every slot carries the position that it waits for (Dmitry Vyukov, 1024cores, "Bounded
 * MPMC queue"), with batches, with private ends for single producers and consumers, and with close.
 *
 *      slot { uint64_t seq; element }      position p lives in slot p % capacity
 *      seq == p               free: waits for the push of position p
 *      seq == p + 1           full: waits for the pop of position p
 *      seq == p + capacity    popped: free for the next lap
 *
 * All positions are kept doubled, which leaves the low bit of tail to say that the ring is closed: a claim
 * that expects an open tail then fails by itself, and closing costs the push nothing. Invariant: a slot seen
 * free for p at the time that tail is p stays free until tail passes p, so a thread that moves tail from p to
 * p + k after it saw k free slots owns them; likewise head. Between claim and publication the owner alone
 * touches the element, and everybody behind it waits: "full" and "empty" are then answers about the slots,
 * not about finished calls. Threads: push_mp, pop_mc any; push_sp, pop_sc one at a time. A single producer
 * has no claim that could fail, so it announces in tail before it looks whether the ring is closed, as in
 * ring_inline.h.
 */
#ifndef EVB__RING_SEQ_H
#define EVB__RING_SEQ_H

#include "ring/ring.h"

#define EVB__SEQ_STEP   UINT64_C(2) /* from one doubled position to the next */
#define EVB__SEQ_CLOSED UINT64_C(1) /* in tail, many producers */

EVB__INLINE uint32_t evb__seq_stride(uint32_t elem_bytes)
{
    return 8 + ((elem_bytes + 7) & ~UINT32_C(7));
}

EVB__INLINE EVB__ATOMIC(uint64_t) *evb__seq_at(const evb_ring *ring, uint64_t position, uint32_t stride)
{
    size_t slot = (size_t)(position / EVB__SEQ_STEP & ring->front.c.s.mask);

    return (EVB__ATOMIC(uint64_t) *)(void *)((char *)ring->front.c.s.slots + slot * stride);
}

/* How many slots from `first` on show `first + offset`, `first + offset + 1`, ...; up to n. *ret_seen: what
 * the first that does not shows. */
EVB__INLINE uint32_t evb__seq_scan(const evb_ring *ring, uint64_t first, uint64_t offset, uint32_t n,
                                   uint32_t stride, uint64_t *ret_seen)
{
    uint32_t k = 0;

    for (; k < n; k++) {
        uint64_t position = first + EVB__SEQ_STEP * k;
        /* acquire: the element, or that it has been read; pairs with evb__seq_publish and evb__seq_release */
        uint64_t seen = evb__ld_acq(evb__seq_at(ring, position, stride));

        if (seen != position + offset) {
            *ret_seen = seen;
            break;
        }
    }
    return k;
}

/* seq_cst: for a pusher that looks at something else next, which poppers change before they look here
 * (pool/idle.h). */
EVB__INLINE void evb__seq_publish(evb_ring *ring, uint64_t first, const void *elems, uint32_t n,
                                  uint32_t size, uint32_t stride, bool seq_cst)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t position = first + EVB__SEQ_STEP * i;
        EVB__ATOMIC(uint64_t) *slot = evb__seq_at(ring, position, stride);

        EVB__RING_COPY_IN((char *)slot + 8, (const char *)elems + (size_t)i * size, size);
        /* pairs with the scan of a pop */
        if (seq_cst)
            evb__st_sc(slot, position + EVB__SEQ_STEP);
        else
            evb__st_rel(slot, position + EVB__SEQ_STEP);
    }
}

EVB__INLINE void evb__seq_release(evb_ring *ring, uint64_t first, void *ret_elems, uint32_t n, uint32_t size,
                                  uint32_t stride)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t position = first + EVB__SEQ_STEP * i;
        EVB__ATOMIC(uint64_t) *slot = evb__seq_at(ring, position, stride);

        if (ret_elems != NULL) /* NULL: overwrite drops the element */
            EVB__RING_COPY_OUT((char *)ret_elems + (size_t)i * size, (char *)slot + 8, size);
        /* the next lap: pairs with the scan of a push */
        evb__st_rel(slot, position + EVB__SEQ_STEP * ((uint64_t)ring->front.c.s.mask + 1));
    }
}

/* ---- push ---- */

EVB__INLINE int32_t evb__seq_push_mp(evb_ring *ring, const void *elems, uint32_t n, uint32_t size,
                                     uint32_t stride)
{
    uint64_t at = evb__ld_rlx(&ring->tail); /* relaxed: the slots decide, the CAS checks */
    uint64_t seen = 0, again;
    uint32_t k;

    for (;;) {
        k = evb__seq_scan(ring, at, 0, n, stride, &seen);
        if (evb__likely(k != 0)) {
            /* relaxed: the slots carry the elements, and `at` was only a proposal */
            if (evb__likely(evb__cas_rlx(&ring->tail, &at, at + EVB__SEQ_STEP * k))) break;
            continue;
        }
        again = evb__ld_rlx(&ring->tail); /* relaxed: as above */
        if (again & EVB__SEQ_CLOSED) return EVB_ECLOSED;
        if (again == at && (int64_t)(seen - at) < 0) return EVB_EFULL;
        at = again;
    }
    evb__seq_publish(ring, at, elems, k, size, stride, false);
    return (int32_t)k;
}

EVB__INLINE int32_t evb__seq_push_sp(evb_ring *ring, const void *elems, uint32_t n, uint32_t size,
                                     uint32_t stride, bool seq_cst)
{
    uint64_t at = evb__ld_rlx(&ring->tail); /* our own */
    uint64_t seen = 0;
    uint32_t k = evb__seq_scan(ring, at, 0, n, stride, &seen);

    if (k == 0) return evb__ring_closed(ring) ? EVB_ECLOSED : EVB_EFULL;
    if (evb__likely(ring->front.c.s.asymmetric)) {
        evb__st_rlx(&ring->tail, at + EVB__SEQ_STEP * k); /* pairs with the heavy barrier in evb_ring_close */
        evb__compiler_barrier();
    } else {
        /* pairs with the read-modify-write of the same word in evb_ring_close */
        (void)evb__xchg_acqrel(&ring->tail, at + EVB__SEQ_STEP * k);
    }
    if (evb__unlikely(evb__ring_closed(ring))) {
        evb__st_rlx(&ring->tail, at); /* pairs with evb__seq_over; the caller wakes whoever waited for us */
        return EVB_ECLOSED;
    }
    evb__seq_publish(ring, at, elems, k, size, stride, seq_cst);
    return (int32_t)k;
}

/* ---- pop ---- */

/* Nothing was published at `head`: is the ring closed, and nothing under way? The flag first: tail's line is
 * the pushers', and a popper that waits must not take it from them at each look. */
EVB__INLINE bool evb__seq_over(evb_ring *ring, uint64_t head, bool one_producer)
{
    /* acquire, all: pair with evb_ring_close, after which tail shows every push that did not see it */
    if (EVB__RING_LD_ACQ(&ring->front.c.s.closed) == 0) return false;
    if (!one_producer) return evb__ld_acq(&ring->tail) == (head | EVB__SEQ_CLOSED);
    if (EVB__RING_LD_ACQ(&ring->front.c.s.settled) == 0) return false;
    if (EVB__RING_LD_ACQ(&ring->front.c.s.over) != 0) return true; /* pairs with the store below */
    if (evb__ld_acq(&ring->tail) != head) return false;
    EVB__RING_ST_REL(&ring->front.c.s.over, 1u); /* release: what closing made visible goes with it */
    return true;
}

EVB__INLINE int32_t evb__seq_pop_mc(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size,
                                    uint32_t stride, bool one_producer)
{
    uint64_t at = evb__ld_rlx(&ring->head); /* relaxed: the slots decide, the CAS checks */
    uint64_t seen = 0, again;
    uint32_t k;

    for (;;) {
        k = evb__seq_scan(ring, at, EVB__SEQ_STEP, n, stride, &seen);
        if (evb__likely(k != 0)) {
            /* relaxed: as in evb__seq_push_mp */
            if (evb__likely(evb__cas_rlx(&ring->head, &at, at + EVB__SEQ_STEP * k))) break;
            continue;
        }
        again = evb__ld_rlx(&ring->head); /* relaxed: as above */
        if (again == at && (int64_t)(seen - (at + EVB__SEQ_STEP)) < 0)
            return evb__seq_over(ring, at, one_producer) ? EVB_ECLOSED : EVB_EEMPTY;
        at = again;
    }
    evb__seq_release(ring, at, ret_elems, k, size, stride);
    return (int32_t)k;
}

EVB__INLINE int32_t evb__seq_pop_sc(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size,
                                    uint32_t stride)
{
    uint64_t at = evb__ld_rlx(&ring->head); /* our own */
    uint64_t seen = 0;
    uint32_t k = evb__seq_scan(ring, at, EVB__SEQ_STEP, n, stride, &seen);

    if (k == 0) return evb__seq_over(ring, at, false) ? EVB_ECLOSED : EVB_EEMPTY;
    evb__seq_release(ring, at, ret_elems, k, size, stride);
    evb__st_rlx(&ring->head, at + EVB__SEQ_STEP * k); /* for evb_ring_count */
    return (int32_t)k;
}

#endif
