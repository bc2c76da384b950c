/* SPDX-License-Identifier: MIT */
/* What the shapes over the rings share: one ring, numbered elements, and what every answer is held against.
 *
 * Element `number` is the number in each of its words, or, in rings of pointers, the address of its payload.
 * The payload is plain memory that the pusher writes before it pushes and the popper reads after it popped: a
 * missing order is a race that the explorer reports. What is counted in `shape` is plain and no part of the
 * model; it knows when each call began and ended, so a wrong answer shows whatever the threads have seen.
 *
 * Held against every answer: no more than `capacity` elements inside; a pop's element was pushed and is
 * popped once; a push that ended before another began comes out first (with the order within one call);
 * EVB_ECLOSED of a pop is final; full and empty are true where neither loads are stale nor others in a call
 * (`exact`). finish drains the ring and counts its room.
 */
#ifndef RING_SHAPE_H
#define RING_SHAPE_H

#include <evbus/ring.h>
#include "base/atomic.h"
#include "base/park.h"
#include "base/reader.h"
#include "base/thread.h"
#include "explore.h"
#include "ring/ring.h"

enum {
    RING_EACH = 8,                                  /* elements of a thread */
    RING_NUMBERS = RING_EACH * EXPLORE_THREADS + 1, /* from 1 */
    RING_BATCH = 4,
    RING_WORDS = 3, /* of an element, at most */
};

/* explore_variant(): index of a kind, and whether EVB_EFULL and EVB_EEMPTY must be true (with stale_reads =
 * EXPLORE_NONE and without random executions). */
enum { RING_EXACT = 0x100 };
#define RING_EXACTLY .stale_reads = EXPLORE_NONE, .random = UINT64_MAX

struct ring_kind {
    evb_ring_opts opts;
    uint64_t start;
};

/* When a call for one element began and ended, and whose it was. ended 0: not, or not EVB_OK. */
struct ring_call {
    uint32_t began, ended, thread, order;
};

static struct {
    evb_ring *ring;
    const evb_ring_opts *opts;
    uint32_t capacity;
    bool exact;

    uint64_t payload[RING_NUMBERS]; /* plain */
    struct ring_call push[RING_NUMBERS], pop[RING_NUMBERS];
    uint32_t used[EXPLORE_THREADS]; /* elements that the thread has tried to push */
    uint32_t now;                   /* calls began and ended */
    uint32_t pushed, pushing, popped, popping;
    bool over;                         /* a pop has answered EVB_ECLOSED, */
    bool over_to[EXPLORE_THREADS + 1]; /* to this thread */
    bool closed;                       /* evb_ring_close has returned */
} shape;

/* What threads tell each other beside the ring. */
static EVB__ATOMIC(uint32_t) told;

static inline void tell(uint32_t what)
{
    evb__st_rel(&told, what);
}

static inline void wait_until_told(uint32_t what)
{
    while (evb__ld_acq(&told) != what)
        evb__thread_yield();
}

/* ---- making one ---- */

static inline void ring_make(const struct ring_kind *kind)
{
    struct evb__ring_front *front;

    explore_check(evb__ring_create_at(&kind->opts, kind->start, &shape.ring) == EVB_OK, "no ring");
    shape.opts = &kind->opts;
    shape.capacity = evb_ring_capacity(shape.ring);
    shape.exact = (explore_variant() & RING_EXACT) != 0;
    front = &shape.ring->front;
    explore_name(shape.ring, sizeof *shape.ring, "ring");
    explore_name(&front->producer, sizeof front->producer, "producer");
    explore_name(&front->consumer, sizeof front->consumer, "consumer");
    explore_name(front->c.s.slots, shape.ring->slots_bytes, "slots");
    explore_name(shape.payload, sizeof shape.payload, "payload");
    explore_name(&told, sizeof told, "told");
}

static inline bool ring_overwrites(void)
{
    return (shape.opts->flags & EVB_RING_OVERWRITE) != 0;
}

static inline bool ring_of_pointers(void)
{
    return (shape.opts->flags & EVB_RING_POINTERS) != 0;
}

static inline uint32_t ring_words(void)
{
    return shape.opts->elem_bytes == 0 ? 1 : shape.opts->elem_bytes / 8;
}

static inline uint32_t ring_least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The calling thread; setup and finish come behind the others. */
static inline uint32_t ring_thread(void)
{
    return ring_least(explore_thread(), EXPLORE_THREADS);
}

/* ---- elements ---- */

static inline uint32_t ring_next_number(void)
{
    uint32_t thread = explore_thread();

    explore_check(shape.used[thread] < RING_EACH, "more elements than a thread has");
    return RING_EACH * thread + shape.used[thread]++ + 1;
}

/* Makes element `number` in words[]. */
static inline void ring_element(uint32_t number, uint64_t *words)
{
    EVB__PLAIN_WRITE(shape.payload[number], number);
    for (uint32_t i = 0; i < ring_words(); i++)
        words[i] = ring_of_pointers() ? (uint64_t)(uintptr_t)&shape.payload[number] : number;
}

/* The number of a popped element. */
static inline uint32_t ring_number(const uint64_t *words)
{
    uint64_t number = words[0];

    if (ring_of_pointers()) number = (uint64_t)((const uint64_t *)(uintptr_t)words[0] - shape.payload);
    for (uint32_t i = 1; i < ring_words(); i++)
        explore_check(words[i] == words[0], "a torn element");
    explore_check(number != 0 && number < RING_NUMBERS, "not an element");
    explore_check(EVB__PLAIN_READ(shape.payload[number]) == number, "not what was written before the push");
    return (uint32_t)number;
}

/* ---- pushing ---- */

struct ring_before {
    uint32_t n, began, pushed, pushing, popped, popping;
    bool over, closed;
};

static inline struct ring_before ring_begin_push(uint32_t n)
{
    struct ring_before before = {
        n, ++shape.now, shape.pushed, shape.pushing, shape.popped, shape.popping, shape.over, shape.closed};

    shape.pushing += n;
    return before;
}

/* The call has answered rc: EVB_OK, how many, or an error. Answers how many. */
static inline uint32_t ring_end_push(const struct ring_before *before, uint32_t first, int32_t rc)
{
    /* Of several poppers one may stand in front of what others have popped. */
    bool front_free =
        shape.opts->mode == EVB_RING_SPSC || shape.opts->mode == EVB_RING_MPSC || before->popping == 0;
    uint32_t done = rc == EVB_OK ? before->n : rc > 0 ? (uint32_t)rc : 0, in, room;

    explore_check(rc >= 0 || rc == EVB_EFULL || rc == EVB_ECLOSED || rc == EVB_ETIMEDOUT, "a push's answer");
    explore_check(done <= before->n, "more than were to be pushed");
    explore_check(done == 0 || !before->over, "a push after a pop's EVB_ECLOSED");
    explore_check(done == 0 || !before->closed || shape.ring->front.c.s.form == EVB__RING_OF_SWAP,
                  "a push after the close");
    shape.now++;
    for (uint32_t i = 0; i < done; i++)
        shape.push[first + i] = (struct ring_call){before->began, shape.now, explore_thread(), i};
    shape.pushing -= before->n;
    in = shape.pushed + shape.pushing; /* most that others can have put in */
    room = in - before->popped < shape.capacity ? shape.capacity - (in - before->popped) : 0;
    if (shape.exact && rc != EVB_ECLOSED && front_free)
        explore_check(done >= ring_least(before->n, room), "full, and was not");
    shape.pushed += done;
    if (rc == EVB_EFULL) explore_cover("full");
    if (rc == EVB_ECLOSED) explore_cover("refused");
    if (!ring_overwrites())
        explore_check((int32_t)(shape.pushed - shape.popped - shape.popping) <= (int32_t)shape.capacity,
                      "more than the capacity inside");
    return done;
}

/* ---- popping ---- */

static inline struct ring_before ring_begin_pop(uint32_t n)
{
    struct ring_before before = {
        n, ++shape.now, shape.pushed, shape.pushing, shape.popped, shape.popping, shape.over, shape.closed};

    shape.popping += n;
    return before;
}

static inline uint32_t ring_end_pop(const struct ring_before *before, const uint64_t *words, int32_t rc)
{
    bool front_full =
        shape.opts->mode == EVB_RING_SPSC || shape.opts->mode == EVB_RING_SPMC || before->pushing == 0;
    uint32_t done = rc == EVB_OK ? before->n : rc > 0 ? (uint32_t)rc : 0, out;

    explore_check(rc >= 0 || rc == EVB_EEMPTY || rc == EVB_ECLOSED || rc == EVB_ETIMEDOUT, "a pop's answer");
    explore_check(done <= before->n, "more than were to be popped");
    explore_check(done == 0 || !before->over, "an element after EVB_ECLOSED");
    shape.now++;
    for (uint32_t i = 0; i < done; i++) {
        uint32_t number = ring_number(words + (size_t)i * ring_words());

        explore_check(shape.pop[number].ended == 0, "popped twice");
        shape.pop[number] = (struct ring_call){before->began, shape.now, explore_thread(), i};
    }
    shape.popping -= before->n;
    out = shape.popped + shape.popping; /* most that others can have taken */
    if (shape.exact && rc != EVB_ECLOSED && front_full && before->pushed > out)
        explore_check(done >= ring_least(before->n, before->pushed - out), "empty, and was not");
    shape.popped += done;
    if (rc == EVB_EEMPTY) explore_cover("empty");
    explore_check(rc == EVB_ECLOSED || !shape.over_to[ring_thread()], "EVB_ECLOSED was not the end");
    if (rc == EVB_ECLOSED) {
        explore_cover("over");
        explore_check(ring_overwrites() || shape.pushed <= shape.popped + shape.popping,
                      "EVB_ECLOSED, and not drained");
        shape.over = shape.over_to[ring_thread()] = true;
    }
    return done;
}

/* ---- one call ---- */

/* A push of up to n elements by one of the calls that take elements. */
static inline int32_t ring_push_by(int32_t (*push)(evb_ring *ring, const void *elems, uint32_t n), uint32_t n)
{
    uint64_t words[RING_BATCH * RING_WORDS];
    uint32_t first = 0, done;
    struct ring_before before;
    int32_t rc;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = ring_next_number();

        ring_element(number, words + (size_t)i * ring_words());
        if (i == 0) first = number;
    }
    before = ring_begin_push(n);
    rc = push(shape.ring, words, n);
    done = ring_end_push(&before, first, rc);
    shape.used[explore_thread()] -= n - done; /* the next ones again */
    return rc;
}

static inline int32_t ring_pop_by(int32_t (*pop)(evb_ring *ring, void *ret_elems, uint32_t n), uint32_t n)
{
    uint64_t words[RING_BATCH * RING_WORDS];
    struct ring_before before = ring_begin_pop(n);
    int32_t rc = pop(shape.ring, words, n);

    (void)ring_end_pop(&before, words, rc);
    return rc;
}

static inline int32_t ring_push_one(evb_ring *ring, const void *elem, uint32_t n)
{
    (void)n;
    return evb_ring_try_push(ring, elem);
}

static inline int32_t ring_pop_one(evb_ring *ring, void *ret_elem, uint32_t n)
{
    (void)n;
    return evb_ring_try_pop(ring, ret_elem);
}

static inline int32_t push_inline(evb_ring *ring, const void *elem, uint32_t n)
{
    (void)n;
    return evb_ring_try_push_inline(ring, elem);
}

static inline int32_t pop_inline(evb_ring *ring, void *ret_elem, uint32_t n)
{
    (void)n;
    return evb_ring_try_pop_inline(ring, ret_elem);
}

static inline int32_t push_in_place(evb_ring *ring, const void *elems, uint32_t n)
{
    void *room;
    int32_t rc = evb_ring_reserve(ring, n, &room), fits = rc;

    if (rc < 0) return rc;
    EVB__RING_COPY_IN(room, elems, (uint32_t)fits * shape.opts->elem_bytes);
    rc = evb_ring_commit(ring, (uint32_t)fits);
    if (rc == EVB_ECLOSED) explore_cover("closed between reserve and commit");
    return rc == EVB_OK ? fits : rc;
}

static inline int32_t pop_in_place(evb_ring *ring, void *ret_elems, uint32_t n)
{
    const void *there;
    int32_t rc = evb_ring_peek(ring, n, &there);

    if (rc < 0) return rc;
    EVB__RING_COPY_OUT(ret_elems, there, (uint32_t)rc * shape.opts->elem_bytes);
    explore_check(evb_ring_consume(ring, (uint32_t)rc) == EVB_OK, "what was shown cannot be consumed");
    return rc;
}

static inline int32_t put(void)
{
    return ring_push_by(ring_push_one, 1);
}

static inline int32_t take(void)
{
    return ring_pop_by(ring_pop_one, 1);
}

static inline int32_t put_many(uint32_t n)
{
    return ring_push_by(evb_ring_try_push_many, n);
}

static inline int32_t take_many(uint32_t n)
{
    return ring_pop_by(evb_ring_try_pop_many, n);
}

/* Until n are in, up to `batch` a call, or the ring is closed. */
static inline void ring_put_all(int32_t (*push)(evb_ring *ring, const void *elems, uint32_t n), uint32_t n,
                                uint32_t batch)
{
    while (n != 0) {
        int32_t rc = ring_push_by(push, ring_least(n, batch));

        if (rc == EVB_ECLOSED) return;
        if (rc >= 0)
            n -= rc == EVB_OK ? 1 : (uint32_t)rc;
        else
            evb__thread_yield();
    }
}

/* Until n are out, or the ring is closed and empty. */
static inline void ring_take_all(int32_t (*pop)(evb_ring *ring, void *ret_elems, uint32_t n), uint32_t n,
                                 uint32_t batch)
{
    while (n != 0) {
        int32_t rc = ring_pop_by(pop, ring_least(n, batch));

        if (rc == EVB_ECLOSED) return;
        if (rc > 1) explore_cover("several at once");
        if (rc >= 0)
            n -= rc == EVB_OK ? 1 : (uint32_t)rc;
        else
            evb__thread_yield();
    }
}

static inline void put_all(uint32_t n)
{
    ring_put_all(ring_push_one, n, 1);
}

static inline void take_all(uint32_t n)
{
    ring_take_all(ring_pop_one, n, 1);
}

/* setup: n elements are inside, of numbers that the last thread of a full shape would have. */
static inline void ring_fill(uint32_t n)
{
    uint64_t words[RING_WORDS];

    for (uint32_t number = RING_NUMBERS - RING_EACH; n != 0; n--, number++) {
        struct ring_before before = ring_begin_push(1);

        ring_element(number, words);
        explore_check(ring_end_push(&before, number, evb_ring_try_push(shape.ring, words)) == 1, "no room");
    }
}

static inline void close_ring(void)
{
    evb_ring_close(shape.ring);
    shape.closed = true;
}

/* ---- finish ---- */

static inline bool ring_comes_first(const struct ring_call *a, const struct ring_call *b)
{
    if (a->ended < b->began) return true;
    return a->thread == b->thread && a->began == b->began && a->order < b->order;
}

static inline void ring_check_order(void)
{
    for (uint32_t a = 1; a < RING_NUMBERS; a++) {
        if (shape.pop[a].ended == 0) continue;
        explore_check(shape.push[a].ended != 0, "popped, and never pushed");
        for (uint32_t b = 1; b < RING_NUMBERS; b++)
            if (shape.pop[b].ended != 0 && ring_comes_first(&shape.push[a], &shape.push[b]))
                explore_check(!ring_comes_first(&shape.pop[b], &shape.pop[a]), "out of order");
    }
}

/* What a new pusher and a new popper find in a ring that nobody uses. */
static inline void ring_check_room(void)
{
    uint64_t words[RING_WORDS] = {0};

    for (uint32_t i = 0; i < shape.capacity; i++) {
        words[0] = words[1] = words[2] = i + 1;
        explore_check(evb_ring_try_push(shape.ring, words) == EVB_OK, "less room than the capacity");
        explore_check(evb_ring_count(shape.ring) == i + 1, "the count of a ring at rest");
    }
    if (!ring_overwrites())
        explore_check(evb_ring_try_push(shape.ring, words) == EVB_EFULL, "more room than the capacity");
    for (uint32_t i = 0; i < shape.capacity; i++) {
        explore_check(evb_ring_try_pop(shape.ring, words) == EVB_OK, "fewer elements than the capacity");
        explore_check(words[0] == i + 1, "out of order at rest");
    }
    explore_check(evb_ring_try_pop(shape.ring, words) == EVB_EEMPTY, "something left at rest");
}

static inline void ring_finish(void)
{
    uint64_t words[RING_WORDS];
    uint32_t left = 0;
    int32_t rc;

    explore_check(shape.pushing == 0 && shape.popping == 0, "explorer: a call has not ended");
    /* Beside the others' counts: now is behind everything. */
    while ((rc = evb_ring_try_pop(shape.ring, words)) == EVB_OK) {
        uint32_t number = ring_number(words);

        explore_check(shape.pop[number].ended == 0, "left, and popped");
        shape.now++;
        shape.pop[number] = (struct ring_call){shape.now, shape.now, EXPLORE_THREADS, 0};
        left++;
    }
    explore_check(left == 0 || !shape.over, "an element after EVB_ECLOSED");
    explore_check(shape.pushed == shape.popped + left + evb_ring_dropped(shape.ring), "an element was lost");
    explore_check(evb_ring_count(shape.ring) == 0, "the count of an empty ring");
    ring_check_order();
    explore_check(rc == (shape.closed ? EVB_ECLOSED : EVB_EEMPTY), "an empty ring's answer");
    words[0] = 1;
    if (shape.closed)
        explore_check(evb_ring_try_push(shape.ring, words) == EVB_ECLOSED, "a closed ring's answer");
    else
        ring_check_room();
    evb_ring_destroy(shape.ring);
}

#endif
