/* SPDX-License-Identifier: MIT */
/* The lock-free ring: every slot always holds the number of a cell, of a filled one when full, of an empty
 * one when free. A push fills the thread's spare cell and swaps it in by one CAS; the empty cell that it gets
 * is its next spare.
 *
 *      slot   | lap, 42 bits | FULL | SEALED | cell, 20 bits |      slot i, lap L: position L * capacity + i
 *
 *      the spare of thread 3 is cell 9                slot 5: lap 7, free, cell 2
 *      push: fill cell 9; CAS slot 5 -> lap 7, full, cell 9; the spare is cell 2
 *      pop:  read cell 9; CAS slot 5 -> lap 8, free, cell 9 (or swap the own spare in, then read)
 *
 * Invariant: position p can be pushed only when slot p % capacity says free in p's lap, popped only when it
 * says full in p's lap, and words do not repeat within 2^42 laps, so one CAS is the whole operation and
 * whoever stops before or after it has changed nothing or everything. All pushed positions are below all free
 * ones, so the word that refuses a push is the proof that the ring is full, and the word that refuses a pop
 * that it is empty. tail and head are hints: never ahead of the truth, maybe behind; the words say how far.
 * Every cell is named by exactly one slot or spare. Close: a pop that finds a closed ring empty sets SEALED
 * in the word that the next push would have to change; then, and only then, no push can succeed any more.
 *
 * Cells are read before the pop's CAS (sizes up to EVB__SWAP_SPECULATIVE, as relaxed words: the CAS fails if
 * the words may have changed meanwhile), after it (larger sizes: the popper swaps its own spare in), or where
 * they lie (a single consumer without overwrite: nobody else takes full slots). Overwrite replaces a full
 * word of the lap before by the new element in one CAS, which drops the oldest exactly when the ring is full.
 *
 * Orders: hints load acquire, store release, so that who knows position p knows the words below it. Slot
 * words load and change seq_cst: acquire and release carry the cells and keep a thread from refusing what
 * it knows of; seq_cst makes the refusals of several threads fit into one order, so that full and empty
 * are linearizable where machines reorder loads (and costs nothing on x86). A single consumer's store is
 * a release only: its refusals, and those it causes, hold for what happened before them.
 * The lower bound on memory, one cell a thread, is Aksenov, Koval, Kuznetsov, Paramonov (arXiv
 * 2104.15003). Threads: any; a thread's spare is found by the number of its reader slot (base/reader.h),
 * and the next thread with that number inherits it.
 */
#ifndef EVB__RING_SWAP_H
#define EVB__RING_SWAP_H

#include "ring/ring.h"

#define EVB__SWAP_CELL     (UINT64_C(1) << 20) /* cells below this number */
#define EVB__SWAP_SEALED   (UINT64_C(1) << 20)
#define EVB__SWAP_FULL     (UINT64_C(1) << 21)
#define EVB__SWAP_LAP      (UINT64_C(1) << 22)
#define EVB__SWAP_LAP_BITS 22 /* how far a lap is shifted */

#define EVB__SWAP_SPECULATIVE 32u /* bytes */
#define EVB__SWAP_CHUNKS      20u /* each with twice as many threads as the one before */
#define EVB__SWAP_HINT_EVERY  16u /* elements of a batch */

_Static_assert(EVB__RING_MAX_SWAP_CAPACITY <= EVB__SWAP_CELL / 2, "cells for the slots and as many threads");

/* A thread's spare cell; its own line, because every push of the thread writes it. */
struct evb__spare {
    uint32_t cell;
    char pad[EVB__CACHE_LINE - 4];
};

/* Spares and cells of threads beyond the first ones. */
struct evb__swap_chunk {
    struct evb__spare *spares;
    char *cells;
    size_t bytes;
};

/* How an instance reads and writes cells. */
enum evb__swap_cells {
    EVB__SWAP_WORDS, /* speculatively, as atomic words */
    EVB__SWAP_TAKEN, /* plainly, once taken out of the slot */
    EVB__SWAP_ALONE  /* plainly in the slot: a single consumer */
};

/* swap.c. The cell and the spare that lie in chunks; NULL: no memory for this thread's. */
char *evb__swap_far_cell(const evb_ring *ring, uint32_t cell);
struct evb__spare *evb__swap_far_spare(evb_ring *ring, uint32_t thread);

EVB__INLINE char *evb__swap_cell(const evb_ring *ring, uint32_t cell, uint32_t stride)
{
    if (evb__unlikely(cell > ring->front.c.s.mask + ring->near_threads))
        return evb__swap_far_cell(ring, cell);
    return ring->cells + (size_t)cell * stride;
}

EVB__INLINE struct evb__spare *evb__swap_spare(evb_ring *ring, uint32_t thread)
{
    if (evb__unlikely(thread >= ring->near_threads)) return evb__swap_far_spare(ring, thread);
    return &ring->spares[thread];
}

/* The word of position p, free, without its cell. */
EVB__INLINE uint64_t evb__swap_lap(const evb_ring *ring, uint64_t p)
{
    return (p & ~(uint64_t)ring->front.c.s.mask) << ring->shift;
}

EVB__INLINE EVB__ATOMIC(uint64_t) *evb__swap_slot(const evb_ring *ring, uint64_t p)
{
    return (EVB__ATOMIC(uint64_t) *)ring->front.c.s.slots + (p & ring->front.c.s.mask);
}

EVB__INLINE void evb__swap_raise(EVB__ATOMIC(uint64_t) *hint, uint64_t p)
{
    /* relaxed: only whether to store. release: who starts from p must find the words below it as we did;
     * pairs with the loads of the hint. */
    if ((int64_t)(p - evb__ld_rlx(hint)) > 0) evb__st_rel(hint, p);
}

/* Where to look next after position p, whose slot shows a word of a later lap or, to a push, full. A word of
 * position q tells the least that tail or head can be: a push and q full: q + 1; else q + 1 - capacity. */
EVB__INLINE uint64_t evb__swap_forward(const evb_ring *ring, const EVB__ATOMIC(uint64_t) *hint, uint64_t p,
                                       uint64_t word, bool push)
{
    uint64_t capacity = (uint64_t)ring->front.c.s.mask + 1;
    uint64_t laps = ((word & ~(EVB__SWAP_LAP - 1)) - evb__swap_lap(ring, p)) >> EVB__SWAP_LAP_BITS;
    uint64_t least = p + laps * capacity + 1 - (push && (word & EVB__SWAP_FULL) ? 0 : capacity);
    uint64_t next = p + 1, hinted;

    if ((int64_t)(least - next) > 0) next = least;
    hinted = evb__ld_acq(hint); /* pairs with evb__swap_raise */
    return (int64_t)(hinted - next) > 0 ? hinted : next;
}

/* ---- cells ---- */

EVB__INLINE void evb__swap_fill(char *cell, const void *elem, uint32_t size, enum evb__swap_cells how)
{
    if (how != EVB__SWAP_WORDS) {
        EVB__RING_COPY_IN(cell, elem, size);
        return;
    }
    for (uint32_t at = 0; at < size; at += 8) {
        uint64_t word = 0;

        EVB__RING_MEMCPY(&word, (const char *)elem + at, size - at < 8 ? size - at : 8);
        /* relaxed: the CAS of the slot publishes it; who reads it too late finds that his CAS fails */
        evb__st_rlx((EVB__ATOMIC(uint64_t) *)(void *)(cell + at), word);
    }
}

EVB__INLINE void evb__swap_read_words(uint64_t *ret_words, char *cell, uint32_t size)
{
    for (uint32_t at = 0; at < size; at += 8) /* relaxed: as above; before the CAS by its release half */
        ret_words[at / 8] = evb__ld_rlx((EVB__ATOMIC(uint64_t) *)(void *)(cell + at));
}

/* ---- push ---- */

/* The slot of position *at refuses: it shows `word`. EVB_OK: *at is where to look next. */
EVB__INLINE int32_t evb__swap_refused_push(evb_ring *ring, uint64_t *at, uint64_t word)
{
    uint64_t before = evb__swap_lap(ring, *at) - EVB__SWAP_LAP;

    /* Full in the lap before: position *at - capacity has not been popped. */
    if ((word ^ before) - EVB__SWAP_FULL < EVB__SWAP_SEALED) return EVB_EFULL;
    if (word & EVB__SWAP_SEALED) return EVB_ECLOSED;
    *at = evb__swap_forward(ring, &ring->tail, *at, word, true);
    return EVB_OK;
}

/* Appends one element near position *at. *ret_dropped: it took the place of the oldest. */
EVB__INLINE int32_t evb__swap_push_one(evb_ring *ring, struct evb__spare *spare, uint64_t *at,
                                       const void *elem, uint32_t size, uint32_t stride,
                                       enum evb__swap_cells how, bool overwrite, bool *ret_dropped)
{
    uint32_t mine = EVB__PLAIN_READ(spare->cell);
    bool filled = false;

    for (;;) {
        EVB__ATOMIC(uint64_t) *slot = evb__swap_slot(ring, *at);
        uint64_t lap = evb__swap_lap(ring, *at);
        uint64_t word = evb__ld_sc(slot); /* the cell that lies there; pairs with both CAS */
        int32_t rc;

        for (;;) {
            bool drop = false;

            if (evb__unlikely((word ^ lap) >= EVB__SWAP_SEALED)) {
                drop = overwrite && (word ^ (lap - EVB__SWAP_LAP)) - EVB__SWAP_FULL < EVB__SWAP_SEALED;
                if (!drop) break;
            }
            if (!filled) evb__swap_fill(evb__swap_cell(ring, mine, stride), elem, size, how);
            filled = true;
            /* release: our cell. acquire: the one we get. Pairs with the load of the word in pop. */
            if (evb__likely(evb__cas_sc(slot, &word, lap | EVB__SWAP_FULL | mine))) {
                EVB__PLAIN_WRITE(spare->cell, (uint32_t)(word & (EVB__SWAP_CELL - 1)));
                *at += 1;
                *ret_dropped = drop;
                return EVB_OK;
            }
        }
        rc = evb__swap_refused_push(ring, at, word);
        if (rc != EVB_OK) return rc;
    }
}

EVB__INLINE int32_t evb__swap_push(evb_ring *ring, uint32_t thread, const void *elems, uint32_t n,
                                   uint32_t size, uint32_t stride, enum evb__swap_cells how, bool overwrite)
{
    struct evb__spare *spare = evb__swap_spare(ring, thread);
    uint64_t capacity = (uint64_t)ring->front.c.s.mask + 1, at;
    uint32_t done = 0;
    int32_t rc = EVB_OK;
    bool dropped;

    if (evb__unlikely(spare == NULL)) return EVB_ENOMEM;
    if (evb__unlikely(evb__ring_closed(ring))) return EVB_ECLOSED;
    at = evb__ld_acq(&ring->tail); /* pairs with evb__swap_raise */
    while (done < n) {
        rc = evb__swap_push_one(ring, spare, &at, (const char *)elems + (size_t)done * size, size, stride,
                                how, overwrite, &dropped);
        if (rc != EVB_OK) break;
        done++;
        if (overwrite && dropped) {
            (void)evb__add_rlx(&ring->dropped, 1); /* relaxed: a counter */
            evb__swap_raise(&ring->head, at - capacity);
        }
        if (done == n || done % EVB__SWAP_HINT_EVERY == 0) evb__swap_raise(&ring->tail, at);
    }
    if (rc == EVB_OK) return (int32_t)done;
    if (done != 0) evb__swap_raise(&ring->tail, at);
    return done != 0 ? (int32_t)done : rc;
}

/* ---- pop ---- */

/* The slot of position *at refuses: it shows `word`. EVB_OK: *at is where to look next, or *at as it is: look
 * again. */
EVB__INLINE int32_t evb__swap_refused_pop(evb_ring *ring, uint64_t *at, uint64_t word)
{
    if ((word ^ evb__swap_lap(ring, *at)) >= EVB__SWAP_FULL) {
        *at = evb__swap_forward(ring, &ring->head, *at, word, false);
        return EVB_OK;
    }
    /* Free in this lap: position *at has not been pushed. */
    if (word & EVB__SWAP_SEALED) return EVB_ECLOSED;
    /* acquire: what the closer did comes with EVB_ECLOSED; pairs with evb_ring_close */
    if (evb__likely(EVB__RING_LD_ACQ(&ring->front.c.s.closed) == 0)) return EVB_EEMPTY;
    /* After this no push succeeds; until this one may. seq_cst: as every change of a word. */
    return evb__cas_sc(evb__swap_slot(ring, *at), &word, word | EVB__SWAP_SEALED) ? EVB_ECLOSED : EVB_OK;
}

EVB__INLINE int32_t evb__swap_pop_one(evb_ring *ring, struct evb__spare *spare, uint64_t *at, void *ret_elem,
                                      uint32_t size, uint32_t stride, enum evb__swap_cells how)
{
    uint64_t words[EVB__SWAP_SPECULATIVE / 8];

    for (;;) {
        EVB__ATOMIC(uint64_t) *slot = evb__swap_slot(ring, *at);
        uint64_t full = evb__swap_lap(ring, *at) | EVB__SWAP_FULL;
        uint64_t next = full - EVB__SWAP_FULL + EVB__SWAP_LAP; /* free, the next lap */
        uint64_t word = evb__ld_sc(slot);                      /* the cell that lies there; pairs with push */
        int32_t rc;

        while (evb__likely((word ^ full) < EVB__SWAP_SEALED)) {
            uint32_t cell = (uint32_t)(word & (EVB__SWAP_CELL - 1));
            uint64_t given = how == EVB__SWAP_TAKEN ? EVB__PLAIN_READ(spare->cell) : cell;

            if (how == EVB__SWAP_ALONE) {
                EVB__RING_COPY_OUT(ret_elem, evb__swap_cell(ring, cell, stride), size);
                evb__st_rel(slot, next | given); /* the cell has been read; pairs with the load in push */
                *at += 1;
                return EVB_OK;
            }
            if (how == EVB__SWAP_WORDS) evb__swap_read_words(words, evb__swap_cell(ring, cell, stride), size);
            /* release: the cell has been read (words), or is ours to give (taken). acquire: the cell taken.
             */
            if (evb__unlikely(!evb__cas_sc(slot, &word, next | given))) continue;
            if (how == EVB__SWAP_WORDS) {
                EVB__RING_MEMCPY(ret_elem, words, size);
            } else {
                EVB__RING_COPY_OUT(ret_elem, evb__swap_cell(ring, cell, stride), size);
                EVB__PLAIN_WRITE(spare->cell, cell);
            }
            *at += 1;
            return EVB_OK;
        }
        rc = evb__swap_refused_pop(ring, at, word);
        if (rc != EVB_OK) return rc;
    }
}

/* thread: any number unless cells are taken. */
EVB__INLINE int32_t evb__swap_pop(evb_ring *ring, uint32_t thread, void *ret_elems, uint32_t n, uint32_t size,
                                  uint32_t stride, enum evb__swap_cells how)
{
    struct evb__spare *spare = how == EVB__SWAP_TAKEN ? evb__swap_spare(ring, thread) : NULL;
    uint32_t done = 0;
    int32_t rc = EVB_OK;
    uint64_t at;

    if (evb__unlikely(how == EVB__SWAP_TAKEN && spare == NULL)) return EVB_ENOMEM;
    at = evb__ld_acq(&ring->head); /* pairs with evb__swap_raise */
    while (done < n) {
        rc = evb__swap_pop_one(ring, spare, &at, (char *)ret_elems + (size_t)done * size, size, stride, how);
        if (rc != EVB_OK) break;
        done++;
        if (done == n || done % EVB__SWAP_HINT_EVERY == 0) evb__swap_raise(&ring->head, at);
    }
    if (rc == EVB_OK) return (int32_t)done;
    if (done != 0) evb__swap_raise(&ring->head, at);
    return done != 0 ? (int32_t)done : rc;
}

/* ---- look ---- */

/* Is something inside? Linearizable, as EVB_EEMPTY is: who looks here after saying that he goes to sleep
 * misses no push that looks at who sleeps (pool/idle.h). */
EVB__INLINE bool evb__swap_filled(const evb_ring *ring)
{
    uint64_t at = evb__ld_acq(&ring->head); /* pairs with evb__swap_raise */

    for (;;) {
        uint64_t word = evb__ld_sc(evb__swap_slot(ring, at)); /* pairs with the CAS of a push */

        if ((word ^ (evb__swap_lap(ring, at) | EVB__SWAP_FULL)) < EVB__SWAP_SEALED) return true;
        if ((word ^ evb__swap_lap(ring, at)) < EVB__SWAP_FULL) return false;
        at = evb__swap_forward(ring, &ring->head, at, word, false);
    }
}

/* About how many elements are inside, at the price of two loads. */
EVB__INLINE uint32_t evb__swap_about(const evb_ring *ring)
{
    uint64_t head = evb__ld_rlx(&ring->head), tail = evb__ld_rlx(&ring->tail); /* relaxed: a guess */
    uint64_t most = (uint64_t)ring->front.c.s.mask + 1;

    if ((int64_t)(tail - head) <= 0) return 0;
    return (uint32_t)(tail - head < most ? tail - head : most);
}

#endif
