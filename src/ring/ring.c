/* SPDX-License-Identifier: MIT */
/* The calls that do not wait: they check what they were given and hand it to the ring's instance. */
#include "ring/ring.h"

#include "base/log.h"
#include "ring/check.h"
#include "ring/eventcount.h"
#include "ring/seq.h"
#include "ring/swap.h"

EVB__INLINE const struct evb__ring_calls *calls_of(const evb_ring *ring)
{
    return ring->front.c.s.calls;
}

#ifdef EVB__RING_CHECKED
void evb__ring_enter(evb_ring *ring, bool single, EVB__ATOMIC(uint32_t) *inside, const char *end)
{
    if (!single) return;
    /* acquire: pairs with evb__ring_leave_*; a change of hands is no misuse */
    if (evb__likely(evb__xchg_acqrel(inside, 1) == 0)) return;
    evb__log(EVB_LOG_ERROR, "ring_misuse", "ring=%p end=%s hint=\"two threads at an end that is for one\"",
             (void *)ring, end);
    evb__assert(false); /* a second thread at the single end of a ring */
}
#endif

/* ---- one, several ---- */

int32_t evb_ring_try_push(evb_ring *ring, const void *elem)
{
    int32_t rc;

    if (evb__unlikely(ring == NULL || elem == NULL)) return EVB_EINVAL;
    if (evb__unlikely(!evb__ring_ours(ring))) return EVB_EFORKED;
    evb__ring_enter_push(ring);
    rc = calls_of(ring)->push(ring, elem);
    evb__ring_leave_push(ring);
    return rc;
}

int32_t evb_ring_try_pop(evb_ring *ring, void *ret_elem)
{
    int32_t rc;

    if (evb__unlikely(ring == NULL || ret_elem == NULL)) return EVB_EINVAL;
    if (evb__unlikely(!evb__ring_ours(ring))) return EVB_EFORKED;
    evb__ring_enter_pop(ring);
    rc = calls_of(ring)->pop(ring, ret_elem);
    evb__ring_leave_pop(ring);
    return rc;
}

/* A count is an int32_t. */
static uint32_t countable(uint32_t n)
{
    return n < (uint32_t)INT32_MAX ? n : (uint32_t)INT32_MAX;
}

int32_t evb_ring_try_push_many(evb_ring *ring, const void *elems, uint32_t n)
{
    int32_t rc;

    if (evb__unlikely(ring == NULL || (elems == NULL && n != 0))) return EVB_EINVAL;
    if (evb__unlikely(!evb__ring_ours(ring))) return EVB_EFORKED;
    if (n == 0) return 0;
    evb__ring_enter_push(ring);
    rc = calls_of(ring)->push_many(ring, elems, countable(n));
    evb__ring_leave_push(ring);
    return rc;
}

int32_t evb_ring_try_pop_many(evb_ring *ring, void *ret_elems, uint32_t n)
{
    int32_t rc;

    if (evb__unlikely(ring == NULL || (ret_elems == NULL && n != 0))) return EVB_EINVAL;
    if (evb__unlikely(!evb__ring_ours(ring))) return EVB_EFORKED;
    if (n == 0) return 0;
    evb__ring_enter_pop(ring);
    rc = calls_of(ring)->pop_many(ring, ret_elems, countable(n));
    evb__ring_leave_pop(ring);
    return rc;
}

/* ---- in place ---- */

/* EVB_OK: an SPSC ring of values, of this process. */
static int32_t in_place(const evb_ring *ring)
{
    if (evb__unlikely(ring == NULL)) return EVB_EINVAL;
    if (evb__unlikely(!evb__ring_ours(ring))) return EVB_EFORKED;
    return ring->front.c.s.form == EVB__RING_OF_VALUES ? EVB_OK : EVB_ENOTSUP;
}

/* Elements that lie in one piece from position on. */
static uint32_t straight(const struct evb__ring_front *front, uint32_t position, uint32_t n)
{
    uint32_t to_end = front->c.s.mask + 1 - (position & front->c.s.mask);

    return countable(n < to_end ? n : to_end);
}

int32_t evb_ring_reserve(evb_ring *ring, uint32_t n, void **ret_elems)
{
    int32_t rc = in_place(ring);
    struct evb__ring_front *front;
    uint32_t now, room;

    if (rc != EVB_OK) return rc;
    if (ret_elems == NULL || n == 0) return EVB_EINVAL;
    front = &ring->front;
    evb__ring_enter_push(ring);
    now = EVB__RING_LD_RLX(&front->producer.next); /* our own */
    room = evb__ring_closed(ring) ? 0 : evb__spsc_room(front, n);
    if (room == 0) {
        rc = evb__spsc_full(front);
    } else {
        front->producer.granted = straight(front, now, room);
        *ret_elems = evb__spsc_at(front, now);
        rc = (int32_t)front->producer.granted;
    }
    evb__ring_leave_push(ring);
    return rc;
}

int32_t evb_ring_commit(evb_ring *ring, uint32_t n)
{
    int32_t rc = in_place(ring);
    struct evb__ring_front *front;

    if (rc != EVB_OK) return rc;
    front = &ring->front;
    evb__ring_enter_push(ring);
    if (n > front->producer.granted) {
        rc = EVB_EINVAL;
    } else if (n == 0) {
        front->producer.granted = 0;
    } else {
        rc = evb__spsc_commit(front, n, front->c.s.asymmetric);
        evb__ring_notify_poppers(ring); /* also when closed, see calls.c */
    }
    evb__ring_leave_push(ring);
    return rc;
}

int32_t evb_ring_peek(evb_ring *ring, uint32_t n, const void **ret_elems)
{
    int32_t rc = in_place(ring);
    struct evb__ring_front *front;
    uint32_t now, filled;

    if (rc != EVB_OK) return rc;
    if (ret_elems == NULL || n == 0) return EVB_EINVAL;
    front = &ring->front;
    evb__ring_enter_pop(ring);
    now = EVB__RING_LD_RLX(&front->consumer.next); /* our own */
    filled = evb__spsc_filled(front, n);
    if (filled == 0) {
        rc = evb__spsc_over(front) ? EVB_ECLOSED : EVB_EEMPTY;
        if (rc == EVB_EEMPTY)
            filled = evb__spsc_filled(front, n); /* over may have waited for just this push */
    }
    if (filled != 0) {
        front->consumer.granted = straight(front, now, filled);
        *ret_elems = evb__spsc_at(front, now);
        rc = (int32_t)front->consumer.granted;
    }
    evb__ring_leave_pop(ring);
    return rc;
}

int32_t evb_ring_consume(evb_ring *ring, uint32_t n)
{
    int32_t rc = in_place(ring);
    struct evb__ring_front *front;

    if (rc != EVB_OK) return rc;
    front = &ring->front;
    evb__ring_enter_pop(ring);
    if (n > front->consumer.granted) {
        rc = EVB_EINVAL;
    } else if (n == 0) {
        front->consumer.granted = 0;
    } else {
        evb__spsc_consume(front, n);
        evb__ring_notify_pushers(ring);
    }
    evb__ring_leave_pop(ring);
    return rc;
}

/* ---- look ---- */

/* Hints may be behind, by any number of laps; the words say how far. Bounded, because others move on. */
static uint32_t swap_count(const evb_ring *ring)
{
    uint64_t capacity = (uint64_t)ring->front.c.s.mask + 1;
    /* acquire: as in push and pop, to count what this thread knows of; pairs with evb__swap_raise */
    uint64_t head = evb__ld_acq(&ring->head), tail = evb__ld_acq(&ring->tail);

    for (uint64_t i = 0; i < 2 * capacity; i++) {
        uint64_t word = evb__ld_acq(evb__swap_slot(ring, head)); /* pairs with the CAS of a pop */

        if ((word ^ evb__swap_lap(ring, head)) < EVB__SWAP_LAP) break; /* not popped */
        head = evb__swap_forward(ring, &ring->head, head, word, false);
    }
    /* By what a word can tell apart: a hint may be behind by all laps. */
    if ((int64_t)((tail - head) << ring->shift) < 0) tail = head;
    for (uint64_t i = 0; i < 2 * capacity; i++) {
        uint64_t word = evb__ld_acq(evb__swap_slot(ring, tail)); /* pairs with the CAS of a push */
        uint64_t lap = evb__swap_lap(ring, tail);

        if ((word ^ lap) < EVB__SWAP_FULL) break;                                      /* not pushed */
        if ((word ^ (lap - EVB__SWAP_LAP)) - EVB__SWAP_FULL < EVB__SWAP_SEALED) break; /* nor popped before */
        tail = evb__swap_forward(ring, &ring->tail, tail, word, true);
    }
    tail = (tail - head) << ring->shift >> ring->shift;
    return (uint32_t)(tail < capacity ? tail : capacity);
}

static uint32_t count_once(const evb_ring *ring)
{
    const struct evb__ring_front *front = &ring->front;

    switch (front->c.s.form) {
    case EVB__RING_OF_POINTERS: {
        uint32_t head = EVB__RING_LD_ACQ(&front->consumer.next); /* acquire, as below: head before tail */

        return EVB__RING_LD_RLX(&front->producer.next) - head; /* relaxed: a figure for watching */
    }
    case EVB__RING_OF_VALUES: {
        uint32_t head = EVB__RING_LD_ACQ(&front->head.position);

        return EVB__RING_LD_RLX(&front->tail.position) - head;
    }
    case EVB__RING_OF_SEQUENCE: {
        uint64_t head = evb__ld_acq(&ring->head), tail = evb__ld_rlx(&ring->tail);

        return (uint32_t)((tail - head) / EVB__SEQ_STEP);
    }
    default:
        return swap_count(ring);
    }
}

/* A thread that is stopped between its two looks may see others go round the ring in between: a count above
 * the capacity, or just full, is taken again. */
#define COUNT_TRIES 3

uint32_t evb_ring_count(const evb_ring *ring)
{
    uint32_t capacity, count = 0;

    if (ring == NULL) return 0;
    capacity = ring->front.c.s.mask + 1;
    for (uint32_t i = 0; i < COUNT_TRIES; i++) {
        count = count_once(ring);
        if (count < capacity) break;
    }
    return count < capacity ? count : capacity;
}

uint32_t evb_ring_capacity(const evb_ring *ring)
{
    return ring != NULL ? ring->front.c.s.mask + 1 : 0;
}

uint64_t evb_ring_dropped(const evb_ring *ring)
{
    return ring != NULL ? evb__ld_rlx(&ring->dropped) : 0; /* relaxed: a counter */
}
