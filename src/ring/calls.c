/* SPDX-License-Identifier: MIT */
/* The instances of the three algorithms: one table of calls for each form and element size that has its own
 * code.
 *
 * An algorithm is a push and a pop of n elements with the size of an element and the distance between two as
 * arguments; INSTANCE makes the four calls of a table from them, in which n = 1, and often the size, are
 * constants.
 */
#include "ring/eventcount.h"
#include "ring/ring.h"
#include "ring/seq.h"
#include "ring/swap.h"

#include "base/reader.h"

/* After a success the sleepers of the other end are looked for; after a push refused because of a close too:
 * a popper may have seen a single producer's announcement and gone to sleep over it. */
EVB__INLINE int32_t pushed(evb_ring *ring, int32_t rc)
{
    if (evb__likely(rc > 0) || rc == EVB_ECLOSED) evb__ring_notify_poppers(ring);
    return rc;
}

EVB__INLINE int32_t popped(evb_ring *ring, int32_t rc)
{
    if (evb__likely(rc > 0)) evb__ring_notify_pushers(ring);
    return rc;
}

EVB__INLINE int32_t single(int32_t rc)
{
    return rc > 0 ? EVB_OK : rc;
}

#define INSTANCE(name, push, pop, size, stride)                                                              \
    static int32_t name##_one_in(evb_ring *ring, const void *elem)                                           \
    {                                                                                                        \
        return single(pushed(ring, push(ring, elem, 1, size, stride)));                                      \
    }                                                                                                        \
    static int32_t name##_one_out(evb_ring *ring, void *ret_elem)                                            \
    {                                                                                                        \
        return single(popped(ring, pop(ring, ret_elem, 1, size, stride)));                                   \
    }                                                                                                        \
    static int32_t name##_in(evb_ring *ring, const void *elems, uint32_t n)                                  \
    {                                                                                                        \
        return pushed(ring, push(ring, elems, n, size, stride));                                             \
    }                                                                                                        \
    static int32_t name##_out(evb_ring *ring, void *ret_elems, uint32_t n)                                   \
    {                                                                                                        \
        return popped(ring, pop(ring, ret_elems, n, size, stride));                                          \
    }                                                                                                        \
    static const struct evb__ring_calls name##_calls = {name##_one_in, name##_one_out, name##_in, name##_out};

/* Any size: what the ring says. */
#define SIZE   ring->front.c.s.elem_bytes
#define STRIDE ring->stride

/* ---- one producer, one consumer: ring_inline.h ---- */

EVB__INLINE void *pointer_at(const void *elems, uint32_t i)
{
    void *pointer;

    memcpy(&pointer, (const char *)elems + (size_t)i * sizeof pointer, sizeof pointer);
    return pointer;
}

EVB__INLINE int32_t pointers_push(evb_ring *ring, const void *elems, uint32_t n, uint32_t size,
                                  uint32_t stride)
{
    uint32_t asymmetric = ring->front.c.s.asymmetric;
    int32_t rc = EVB_OK;
    uint32_t done = 0;

    (void)size;
    (void)stride;
    for (uint32_t i = 0; i < n; i++) /* first: a bad argument changes nothing */
        if (evb__unlikely(pointer_at(elems, i) == NULL)) return EVB_EINVAL;
    for (; done < n; done++) {
        rc = evb__spsc_push_pointer(&ring->front, pointer_at(elems, done), asymmetric);
        if (rc != EVB_OK) break;
    }
    return done != 0 ? (int32_t)done : rc;
}

EVB__INLINE int32_t pointers_pop(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size, uint32_t stride)
{
    uint32_t done = 0;

    (void)size;
    (void)stride;
    for (; done < n; done++) {
        void *pointer = evb__spsc_pop_pointer(&ring->front);

        if (evb__unlikely(pointer == NULL)) {
            if (done != 0) break;
            if (evb__likely(!evb__ring_closed(ring))) return EVB_EEMPTY;
            if (evb__spsc_over(&ring->front)) return EVB_ECLOSED;
            pointer = evb__spsc_pop_pointer(&ring->front); /* over may have waited for just this push */
            if (pointer == NULL) return EVB_EEMPTY;
        }
        memcpy((char *)ret_elems + (size_t)done * sizeof pointer, &pointer, sizeof pointer);
    }
    return (int32_t)done;
}

/* Of n elements from position on, those up to where the memory ends; the rest stands at its beginning. One is
 * always in one piece: most says what n can be. */
EVB__INLINE uint32_t before_the_end(const evb_ring *ring, uint32_t position, uint32_t n, uint32_t most)
{
    uint32_t straight = ring->front.c.s.mask + 1 - (position & ring->front.c.s.mask);

    return most == 1 || n < straight ? n : straight;
}

EVB__INLINE int32_t values_push(evb_ring *ring, const void *elems, uint32_t n, uint32_t size, uint32_t stride)
{
    struct evb__ring_front *front = &ring->front;
    uint32_t now = EVB__RING_LD_RLX(&front->producer.next); /* our own */
    uint32_t room = evb__spsc_room(front, n), straight = before_the_end(ring, now, room, n);

    (void)stride;
    if (evb__unlikely(room == 0)) return evb__spsc_full(front);
    EVB__RING_COPY_IN(evb__spsc_at(front, now), elems, (size_t)straight * size);
    if (room != straight)
        EVB__RING_COPY_IN((char *)front->c.s.slots, (const char *)elems + (size_t)straight * size,
                          (size_t)(room - straight) * size);
    return evb__spsc_commit(front, room, front->c.s.asymmetric) == EVB_OK ? (int32_t)room : EVB_ECLOSED;
}

EVB__INLINE int32_t values_pop(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size, uint32_t stride)
{
    struct evb__ring_front *front = &ring->front;
    uint32_t now = EVB__RING_LD_RLX(&front->consumer.next); /* our own */
    uint32_t filled = evb__spsc_filled(front, n), straight;

    (void)stride;
    if (evb__unlikely(filled == 0)) {
        if (evb__likely(!evb__ring_closed(ring))) return EVB_EEMPTY;
        if (evb__spsc_over(front)) return EVB_ECLOSED;
        filled = evb__spsc_filled(front, n);
        if (filled == 0) return EVB_EEMPTY;
    }
    straight = before_the_end(ring, now, filled, n);
    EVB__RING_COPY_OUT(ret_elems, evb__spsc_at(front, now), (size_t)straight * size);
    if (filled != straight)
        EVB__RING_COPY_OUT((char *)ret_elems + (size_t)straight * size, (char *)front->c.s.slots,
                           (size_t)(filled - straight) * size);
    evb__spsc_consume(front, filled);
    return (int32_t)filled;
}

INSTANCE(pointers, pointers_push, pointers_pop, sizeof(void *), sizeof(void *))
INSTANCE(values, values_push, values_pop, SIZE, SIZE)

/* ---- sequenced: seq.h ---- */

/* How long an overwriting push looks on while a thread stands between claim and publication; then it answers
 * EVB_EFULL. */
#define OVERWRITE_TURNS 4096u

EVB__COLD static int32_t seq_overwrite(evb_ring *ring, const void *elems, uint32_t n, uint32_t size)
{
    uint32_t done = 0, turns = 0;
    int32_t rc = EVB_EFULL;

    while (done < n && turns < OVERWRITE_TURNS) {
        rc = evb__seq_push_mp(ring, (const char *)elems + (size_t)done * size, n - done, size, ring->stride);
        if (rc > 0) {
            done += (uint32_t)rc;
            turns = 0;
        } else if (rc != EVB_EFULL) {
            break;
        } else if (evb__seq_pop_mc(ring, NULL, 1, size, ring->stride, false) == 1) {
            (void)evb__add_rlx(&ring->dropped, 1); /* relaxed: a counter */
            turns = 0;
        } else {
            evb__spin_pause(turns++);
        }
    }
    return done != 0 ? (int32_t)done : rc;
}

EVB__INLINE int32_t seq_push(evb_ring *ring, const void *elems, uint32_t n, uint32_t size, uint32_t stride)
{
    int32_t rc = evb__seq_push_mp(ring, elems, n, size, stride), more;

    if (evb__likely(rc == (int32_t)n) || !(ring->flags & EVB_RING_OVERWRITE) || rc == EVB_ECLOSED) return rc;
    if (rc < 0) return seq_overwrite(ring, elems, n, size);
    more = seq_overwrite(ring, (const char *)elems + (size_t)rc * size, n - (uint32_t)rc, size);
    return more > 0 ? rc + more : rc;
}

EVB__INLINE int32_t seq_pop(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size, uint32_t stride)
{
    return evb__seq_pop_mc(ring, ret_elems, n, size, stride, false);
}

EVB__INLINE int32_t seq_push_of_one(evb_ring *ring, const void *elems, uint32_t n, uint32_t size,
                                    uint32_t stride)
{
    return evb__seq_push_sp(ring, elems, n, size, stride, false);
}

EVB__INLINE int32_t seq_pop_of_one(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size,
                                   uint32_t stride)
{
    return evb__seq_pop_mc(ring, ret_elems, n, size, stride, true);
}

INSTANCE(seq_mpmc_8, seq_push, seq_pop, 8, 16)
INSTANCE(seq_mpmc_16, seq_push, seq_pop, 16, 24)
INSTANCE(seq_mpmc, seq_push, seq_pop, SIZE, STRIDE)
INSTANCE(seq_mpsc_8, seq_push, evb__seq_pop_sc, 8, 16)
INSTANCE(seq_mpsc_16, seq_push, evb__seq_pop_sc, 16, 24)
INSTANCE(seq_mpsc, seq_push, evb__seq_pop_sc, SIZE, STRIDE)
INSTANCE(seq_spmc_8, seq_push_of_one, seq_pop_of_one, 8, 16)
INSTANCE(seq_spmc_16, seq_push_of_one, seq_pop_of_one, 16, 24)
INSTANCE(seq_spmc, seq_push_of_one, seq_pop_of_one, SIZE, STRIDE)

/* ---- lock-free: swap.h ---- */

/* Sees to it that the thread has a number, by which its spare cell is found. */
EVB__INLINE int32_t numbered(const evb_ring *ring, struct evb__self *self)
{
    if (evb__likely(self->generation == ring->front.c.s.generation)) return EVB_OK;
    return evb__reader_ready(self, ring->front.c.s.generation);
}

EVB__INLINE int32_t swap_push(evb_ring *ring, const void *elems, uint32_t n, uint32_t size, uint32_t stride,
                              enum evb__swap_cells how)
{
    struct evb__self *self = evb__self();
    bool overwrite = (ring->flags & EVB_RING_OVERWRITE) != 0;
    int32_t rc = numbered(ring, self);

    if (evb__unlikely(rc != EVB_OK)) return rc;
    return evb__swap_push(ring, self->number, elems, n, size, stride, how, overwrite);
}

EVB__INLINE int32_t words_push(evb_ring *ring, const void *elems, uint32_t n, uint32_t size, uint32_t stride)
{
    return swap_push(ring, elems, n, size, stride, EVB__SWAP_WORDS);
}

EVB__INLINE int32_t words_pop(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size, uint32_t stride)
{
    return evb__swap_pop(ring, 0, ret_elems, n, size, stride, EVB__SWAP_WORDS);
}

EVB__INLINE int32_t plain_push(evb_ring *ring, const void *elems, uint32_t n, uint32_t size, uint32_t stride)
{
    return swap_push(ring, elems, n, size, stride, EVB__SWAP_TAKEN);
}

EVB__INLINE int32_t taken_pop(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size, uint32_t stride)
{
    struct evb__self *self = evb__self();
    int32_t rc = numbered(ring, self);

    if (evb__unlikely(rc != EVB_OK)) return rc;
    return evb__swap_pop(ring, self->number, ret_elems, n, size, stride, EVB__SWAP_TAKEN);
}

EVB__INLINE int32_t alone_pop(evb_ring *ring, void *ret_elems, uint32_t n, uint32_t size, uint32_t stride)
{
    return evb__swap_pop(ring, 0, ret_elems, n, size, stride, EVB__SWAP_ALONE);
}

INSTANCE(words_8, words_push, words_pop, 8, 8)
INSTANCE(words_16, words_push, words_pop, 16, 16)
INSTANCE(words, words_push, words_pop, SIZE, STRIDE)
INSTANCE(taken_64, plain_push, taken_pop, 64, 64)
INSTANCE(taken, plain_push, taken_pop, SIZE, STRIDE)
INSTANCE(alone_8, plain_push, alone_pop, 8, 8)
INSTANCE(alone_16, plain_push, alone_pop, 16, 16)
INSTANCE(alone_64, plain_push, alone_pop, 64, 64)
INSTANCE(alone, plain_push, alone_pop, SIZE, STRIDE)

/* ---- which ---- */

/* An overwriting push pops too: then the one consumer is not alone. */
static uint32_t mode_of_calls(const evb_ring *ring)
{
    return ring->flags & EVB_RING_OVERWRITE ? EVB_RING_MPMC : ring->mode;
}

static const struct evb__ring_calls *seq_calls(uint32_t mode, uint32_t size)
{
    switch (mode) {
    case EVB_RING_MPSC:
        return size == 8 ? &seq_mpsc_8_calls : size == 16 ? &seq_mpsc_16_calls : &seq_mpsc_calls;
    case EVB_RING_SPMC:
        return size == 8 ? &seq_spmc_8_calls : size == 16 ? &seq_spmc_16_calls : &seq_spmc_calls;
    default:
        return size == 8 ? &seq_mpmc_8_calls : size == 16 ? &seq_mpmc_16_calls : &seq_mpmc_calls;
    }
}

static const struct evb__ring_calls *swap_calls(uint32_t mode, uint32_t size)
{
    if (mode == EVB_RING_MPSC) {
        if (size == 64) return &alone_64_calls;
        return size == 8 ? &alone_8_calls : size == 16 ? &alone_16_calls : &alone_calls;
    }
    if (size > EVB__SWAP_SPECULATIVE) return size == 64 ? &taken_64_calls : &taken_calls;
    return size == 8 ? &words_8_calls : size == 16 ? &words_16_calls : &words_calls;
}

const struct evb__ring_calls *evb__ring_calls_for(const evb_ring *ring)
{
    uint32_t size = ring->front.c.s.elem_bytes;

    switch (ring->front.c.s.form) {
    case EVB__RING_OF_POINTERS:
        return &pointers_calls;
    case EVB__RING_OF_VALUES:
        return &values_calls;
    case EVB__RING_OF_SEQUENCE:
        return seq_calls(mode_of_calls(ring), size);
    default:
        return swap_calls(mode_of_calls(ring), size);
    }
}
