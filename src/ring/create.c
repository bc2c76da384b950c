/* SPDX-License-Identifier: MIT */
/* Making, closing and freeing a ring. */
#include "ring/ring.h"

#include "base/alloc.h"
#include "base/barrier.h"
#include "base/opts.h"
#include "base/reader.h"
#include "ring/check.h"
#include "ring/eventcount.h"
#include "ring/seq.h"
#include "ring/swap.h"

/* The explorer compiles with fewer, so that making a ring stays short. */
#ifndef EVB__RING_NEAR_THREADS
#define EVB__RING_NEAR_THREADS 64u
#endif
#define NEAR_CELLS_BYTES (UINT32_C(64) << 10) /* spare cells that a ring has from the start, at least one */

/* What the options ask for is one of the forms, or 0. */
static uint32_t form_of(const evb_ring_opts *o)
{
    if (o->mode > EVB_RING_SPMC || o->progress > EVB_RING_SEQUENCED) return 0;
    if (o->flags & ~(uint32_t)(EVB_RING_POINTERS | EVB_RING_OVERWRITE)) return 0;
    if (o->mode == EVB_RING_SPSC) {
        if (o->flags & EVB_RING_OVERWRITE) return 0;
        return o->flags & EVB_RING_POINTERS ? EVB__RING_OF_POINTERS : EVB__RING_OF_VALUES;
    }
    if (o->flags & EVB_RING_POINTERS) return 0;
    if ((o->flags & EVB_RING_OVERWRITE) && o->mode == EVB_RING_SPMC) return 0;
    return o->progress == EVB_RING_SEQUENCED ? EVB__RING_OF_SEQUENCE : EVB__RING_OF_SWAP;
}

static int32_t check_opts(const evb_ring_opts *o, uint32_t form)
{
    uint32_t most = form == EVB__RING_OF_SWAP ? EVB__RING_MAX_SWAP_CAPACITY : EVB__RING_MAX_CAPACITY;

    if (form == 0 || o->capacity == 0 || o->capacity > most || o->elem_bytes > EVB__RING_MAX_ELEM)
        return EVB_EINVAL;
    if (form == EVB__RING_OF_POINTERS && o->elem_bytes != 0 && o->elem_bytes != sizeof(void *))
        return EVB_EINVAL;
    return EVB_OK;
}

/* At least 2: with one slot "full in this lap" and "free in the next" would be neighbours of both kinds. */
static uint32_t round_up(uint32_t n)
{
    uint32_t power = 2;

    while (power < n)
        power *= 2;
    return power;
}

/* n * size bytes into *ret_bytes; false: more than a size_t. */
static bool product(uint64_t n, uint64_t size, size_t *ret_bytes)
{
    *ret_bytes = (size_t)(n * size); /* below 2^32 * 2^21 */
    return n * size <= SIZE_MAX;
}

static void start_seq(evb_ring *ring, uint64_t start)
{
    uint64_t capacity = (uint64_t)ring->front.c.s.mask + 1;

    for (uint64_t p = start; p != start + capacity; p++) /* each is free for its position */
        evb__init(evb__seq_at(ring, p * EVB__SEQ_STEP, ring->stride), p * EVB__SEQ_STEP);
    evb__init(&ring->tail, start * EVB__SEQ_STEP);
    evb__init(&ring->head, start * EVB__SEQ_STEP);
}

static void start_swap(evb_ring *ring, uint64_t start)
{
    uint64_t capacity = (uint64_t)ring->front.c.s.mask + 1;

    for (uint64_t p = start; p != start + capacity; p++)
        evb__init(evb__swap_slot(ring, p), evb__swap_lap(ring, p) | (p & ring->front.c.s.mask));
    for (uint32_t i = 0; i < ring->near_threads; i++)
        EVB__PLAIN_WRITE(ring->spares[i].cell, (uint32_t)capacity + i);
    for (uint32_t i = 0; i < EVB__SWAP_CHUNKS; i++)
        evb__init(&ring->chunks[i], NULL);
    evb__init(&ring->tail, start);
    evb__init(&ring->head, start);
}

static void start_spsc(evb_ring *ring, uint64_t start)
{
    struct evb__ring_front *front = &ring->front;
    uint32_t position = (uint32_t)start;

    front->producer.next = front->producer.seen = front->tail.position = position;
    front->consumer.next = front->consumer.seen = front->head.position = position;
    for (size_t i = 0; front->c.s.form == EVB__RING_OF_POINTERS && i <= front->c.s.mask; i++)
        ((void **)front->c.s.slots)[i] = NULL;
}

/* A lock-free ring's cells and spares; the slots are one word each. */
static int32_t alloc_cells(evb_ring *ring)
{
    uint64_t capacity = (uint64_t)ring->front.c.s.mask + 1;

    ring->stride = (ring->front.c.s.elem_bytes + 7) & ~UINT32_C(7);
    ring->shift = EVB__SWAP_LAP_BITS;
    for (uint64_t c = capacity; c > 1; c /= 2)
        ring->shift--;
    ring->near_threads = NEAR_CELLS_BYTES / ring->stride;
    if (ring->near_threads > EVB__RING_NEAR_THREADS) ring->near_threads = EVB__RING_NEAR_THREADS;
    if (ring->near_threads == 0) ring->near_threads = 1;
    ring->spares_bytes =
        ring->near_threads * sizeof(struct evb__spare) + EVB__SWAP_CHUNKS * sizeof *ring->chunks;
    if (!product(capacity + ring->near_threads, ring->stride, &ring->cells_bytes)) return EVB_ENOMEM;
    ring->cells = evb__alloc(ring->cells_bytes, EVB__RING_LINE);
    ring->spares = evb__alloc(ring->spares_bytes, EVB__RING_LINE);
    if (ring->cells == NULL || ring->spares == NULL) return EVB_ENOMEM;
    ring->chunks = (void *)&ring->spares[ring->near_threads];
    return EVB_OK;
}

static int32_t alloc_slots(evb_ring *ring)
{
    uint64_t capacity = (uint64_t)ring->front.c.s.mask + 1, each = 8;

    if (ring->front.c.s.form == EVB__RING_OF_POINTERS) each = sizeof(void *);
    if (ring->front.c.s.form == EVB__RING_OF_VALUES) each = ring->front.c.s.elem_bytes;
    if (ring->front.c.s.form == EVB__RING_OF_SEQUENCE)
        each = ring->stride = evb__seq_stride(ring->front.c.s.elem_bytes);
    if (!product(capacity, each, &ring->slots_bytes)) return EVB_ENOMEM;
    ring->front.c.s.slots = evb__alloc(ring->slots_bytes, EVB__RING_LINE);
    return ring->front.c.s.slots != NULL ? EVB_OK : EVB_ENOMEM;
}

static void free_ring(evb_ring *ring)
{
    if (ring->chunks != NULL) evb__swap_free_chunks(ring);
    evb__free(ring->spares, ring->spares_bytes);
    evb__free(ring->cells, ring->cells_bytes);
    evb__free(ring->front.c.s.slots, ring->slots_bytes);
    evb__free(ring, sizeof *ring);
}

int32_t evb__ring_create_at(const evb_ring_opts *opts, uint64_t start, evb_ring **ret_ring)
{
    evb_ring_opts o;
    evb_ring *ring;
    int32_t rc;

    if (opts == NULL || ret_ring == NULL) return EVB_EINVAL;
    if ((rc = EVB__OPTS_READ(&o, opts)) != EVB_OK) return rc;
    if ((rc = check_opts(&o, form_of(&o))) != EVB_OK) return rc;
    if ((rc = evb__readers_init(NULL, NULL)) != EVB_OK) return rc;
    ring = evb__zalloc(sizeof *ring, EVB__RING_LINE);
    if (ring == NULL) return EVB_ENOMEM;
    ring->mode = o.mode;
    ring->flags = o.flags;
    ring->front.c.s.form = form_of(&o);
    ring->front.c.s.mask = round_up(o.capacity) - 1;
    ring->front.c.s.elem_bytes = o.elem_bytes != 0 ? o.elem_bytes : (uint32_t)sizeof(void *);
    ring->front.c.s.generation = evb__process_generation();
    ring->front.c.s.asymmetric = evb__barrier_asymmetric();
    rc = alloc_slots(ring);
    if (rc == EVB_OK && ring->front.c.s.form == EVB__RING_OF_SWAP) rc = alloc_cells(ring);
    if (rc != EVB_OK) {
        free_ring(ring);
        return rc;
    }
    if (ring->front.c.s.form == EVB__RING_OF_SWAP)
        start_swap(ring, start);
    else if (ring->front.c.s.form == EVB__RING_OF_SEQUENCE)
        start_seq(ring, start);
    else
        start_spsc(ring, start);
    ring->front.c.s.calls = evb__ring_calls_for(ring);
    *ret_ring = ring;
    return EVB_OK;
}

int32_t evb_ring_create(const evb_ring_opts *opts, evb_ring **ret_ring)
{
    return evb__ring_create_at(opts, 0, ret_ring);
}

void evb_ring_destroy(evb_ring *ring)
{
    if (ring != NULL && evb__ring_ours(ring)) free_ring(ring);
}

/* ---- close ---- */

static void wake_all(evb_ring *ring)
{
    evb__eventcount_wake(&ring->front.c.s.pop_waiters, &ring->pop_epoch);
    evb__eventcount_wake(&ring->front.c.s.push_waiters, &ring->push_epoch);
}

void evb_ring_notify(evb_ring *ring)
{
    if (ring == NULL || !evb__ring_ours(ring)) return;
    wake_all(ring);
}

void evb_ring_close(evb_ring *ring)
{
    struct evb__ring_front *front;

    if (ring == NULL || !evb__ring_ours(ring)) return;
    front = &ring->front;
    if (EVB__RING_LD_ACQ(&front->c.s.settled) != 0) return; /* another one has done all this */
    EVB__RING_ST_REL(&front->c.s.closed, 1u);               /* pairs with the look of a pop, swap.h */
    /* Many producers: the CAS of a push that has not seen it fails, in tail (seq) or in the word that a pop
     * seals (swap). */
    if (front->c.s.form == EVB__RING_OF_SEQUENCE && ring->mode != EVB_RING_SPMC) {
        (void)evb__or_acqrel(&ring->tail, EVB__SEQ_CLOSED); /* pairs with evb__seq_over */
    } else if (front->c.s.form != EVB__RING_OF_SWAP && front->c.s.asymmetric) {
        evb__readers_settle(); /* pairs with the compiler barrier behind the announcement */
    } else if (front->c.s.form == EVB__RING_OF_SEQUENCE) {
        (void)evb__add_acqrel(&ring->tail, UINT64_C(0)); /* pairs with the exchange of the announcement */
    } else if (front->c.s.form != EVB__RING_OF_SWAP) {
        (void)EVB__RING_ADD_ACQREL(&front->producer.next, 0u); /* as above */
    }
    EVB__RING_ST_REL(&front->c.s.settled, 1u); /* pairs with evb__spsc_over and evb__seq_over */
    /* Without a look at who waits: a sleeper either has an older epoch, and is woken, or has seen closed. */
    wake_all(ring);
}
