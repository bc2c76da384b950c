/* SPDX-License-Identifier: MIT */
/* evb_ring inside: one struct for the three algorithms, and what their files share.
 *
 *      spsc   evbus/ring_inline.h   wait-free: pointers with the slot as flag, values with cached indices
 *      seq    ring/seq.h            a sequence number in every slot (Vyukov): an unpublished claim holds up
 *      swap   ring/swap.h           a cell handle in every slot: strictly lock-free
 *
 * The algorithms are inline functions in headers without libc but for copies through EVB__RING_COPY_*
 * and EVB__RING_MEMCPY, so that the explorer, and any checker of C11 programs, can take them as they
 * are. calls.c instantiates them by form and element size into tables (evb__ring_calls) and wakes
 * sleepers; ring.c and wait.c put around them what is the same for all: arguments, fork, waiting.
 * eventcount.h is how they sleep and are woken.
 *
 * Invariant: at most `capacity` elements are inside; every push that answered EVB_OK is popped once, dropped
 * once (overwrite, counted) or freed with the ring; once a pop has answered EVB_ECLOSED no push succeeds.
 * Threads: as the mode says; in debug builds a second thread at a single end ends the process with a log
 * line.
 */
#ifndef EVB__RING_RING_H
#define EVB__RING_RING_H

#include <evbus/ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/platform.h"

#ifdef EVB__EXPLORE
#define EVB__RING_ATOMICS            1
#define EVB__RING_LD_RLX             evb__ld_rlx
#define EVB__RING_LD_ACQ             evb__ld_acq
#define EVB__RING_ST_RLX             evb__st_rlx
#define EVB__RING_ST_REL             evb__st_rel
#define EVB__RING_XCHG_ACQREL        evb__xchg_acqrel
#define EVB__RING_ADD_ACQREL         evb__add_acqrel
#define EVB__RING_COMPILER_BARRIER() evb__compiler_barrier()
#define EVB__RING_INLINE             EVB__INLINE
#define EVB__RING_LIKELY             evb__likely
#define EVB__RING_MEMCPY             memcpy
#define EVB__RING_HOLD(to, from, n)  true
#define EVB__RING_HIDE(p)            ((void)0)
/* Elements are whole aligned words there. */
#define EVB__RING_COPY_IN(room, elem, n)                                                                     \
    do {                                                                                                     \
        for (size_t x_i = 0; x_i < (n) / 8; x_i++)                                                           \
            EVB__PLAIN_WRITE(((uint64_t *)(void *)(room))[x_i],                                              \
                             ((const uint64_t *)(const void *)(elem))[x_i]);                                 \
    } while (0)
#define EVB__RING_COPY_OUT(elem, room, n)                                                                    \
    do {                                                                                                     \
        for (size_t x_i = 0; x_i < (n) / 8; x_i++)                                                           \
            ((uint64_t *)(void *)(elem))[x_i] = EVB__PLAIN_READ(((uint64_t *)(void *)(room))[x_i]);          \
    } while (0)
#endif
#include <evbus/ring_inline.h>

/* Catches a second thread at a single end. Not in the explorer: it would order what the ring must order. */
#if defined(EVB_DEBUG) && !defined(EVB__EXPLORE)
#define EVB__RING_CHECKED
#endif

#if !EVB__RING_ATOMICS
#error "the rings need the atomic builtins of gcc or clang"
#endif

/* evb__ring_front.form, beside the two of the public header. */
enum { EVB__RING_OF_SEQUENCE = 3, EVB__RING_OF_SWAP = 4 };

#define EVB__RING_MAX_CAPACITY      (UINT32_C(1) << 31)
#define EVB__RING_MAX_SWAP_CAPACITY (UINT32_C(1) << 19)
#define EVB__RING_MAX_ELEM          (UINT32_C(1) << 20)

/* One instance of an algorithm. They look at nothing but the ring; n >= 1. Single: EVB_OK or an error. Many:
 * a count >= 1 or an error. */
struct evb__ring_calls {
    int32_t (*push)(evb_ring *ring, const void *elem);
    int32_t (*pop)(evb_ring *ring, void *ret_elem);
    int32_t (*push_many)(evb_ring *ring, const void *elems, uint32_t n);
    int32_t (*pop_many)(evb_ring *ring, void *ret_elems, uint32_t n);
};

struct evb_ring {
    struct evb__ring_front front;

    /* constant */
    uint32_t mode, flags;
    uint32_t stride; /* bytes from one slot (seq) or cell (swap) to the next */
    uint32_t shift;  /* swap: from a position to its lap in a word */
    char *cells;     /* swap: the first ones; see swap.h */
    struct evb__spare *spares;
    uint32_t near_threads; /* swap: threads whose spare lies among them */
    size_t slots_bytes, cells_bytes, spares_bytes;
    EVB__ATOMIC(struct evb__swap_chunk *) *chunks;

    /* seq: doubled positions, see seq.h. swap: hints, see swap.h */
    _Alignas(EVB__RING_LINE) EVB__ATOMIC(uint64_t) tail;
    _Alignas(EVB__RING_LINE) EVB__ATOMIC(uint64_t) head;

    /* eventcount.h; the words beside them are front.c.s.pop_waiters and push_waiters */
    _Alignas(EVB__RING_LINE) EVB__ATOMIC(uint32_t) pop_epoch;
    _Alignas(EVB__RING_LINE) EVB__ATOMIC(uint32_t) push_epoch;
    EVB__ATOMIC(uint64_t) dropped;

#ifdef EVB__RING_CHECKED
    EVB__ATOMIC(uint32_t) pushing, popping; /* a thread is inside at the single end */
#endif
};

/* The inline calls of ring_inline.h find the front where the ring begins. */
_Static_assert(offsetof(struct evb_ring, front) == 0, "an evb_ring begins with its front");
_Static_assert(sizeof(struct evb__ring_end) == EVB__RING_LINE &&
                   sizeof(struct evb__ring_index) == EVB__RING_LINE,
               "each end has lines of its own");

/* As evb_ring_create, the first element at position `start`: tests begin next to where counters wrap. */
int32_t evb__ring_create_at(const evb_ring_opts *opts, uint64_t start, evb_ring **ret_ring);

/* calls.c: the instance for a ring whose form, mode, flags and element size are set. */
const struct evb__ring_calls *evb__ring_calls_for(const evb_ring *ring);

/* swap.c: gives back what lies in chunks. */
void evb__swap_free_chunks(evb_ring *ring);

EVB__INLINE bool evb__ring_closed(const evb_ring *ring)
{
    /* relaxed: who knows of the close by other means sees it here too */
    return EVB__RING_LD_RLX(&ring->front.c.s.closed) != 0;
}

#endif
