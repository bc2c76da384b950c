/* SPDX-License-Identifier: MIT */
/* The lock-free ring as the explorer's shapes use it: small programs of calls, one a thread, and what
 * must hold of the words when they are gone: each cell is named once, the hints are not ahead, the count is
 * right, the capacity is whole. The oracle over the answers is in ring_swap_shape_order.h.
 *
 *      script "uo"     u push   o pop   c close   n count     s set the flag   w wait for it
 *                      U push_many of 2   V of 3      O pop_many of 2   P of 3
 *                      f is it filled?    z say that it goes to sleep, then f   k look at who sleeps
 */
#ifndef RING_SWAP_SHAPE_H
#define RING_SWAP_SHAPE_H

#include "ring_swap_shape_order.h"

#include "base/thread.h"

/* ---- elements: every word says which it is ---- */

static inline uint64_t swap_word(uint64_t value, uint32_t i)
{
    return value + i * UINT64_C(0x0101010000000100);
}

static void swap_make(uint64_t *words, uint8_t value)
{
    EVB__PLAIN_WRITE(swap.payload[value], value);
    for (uint32_t i = 0; i < swap_size() / 8; i++)
        words[i] = swap_word(value, i);
}

static uint8_t swap_value(const uint64_t *words)
{
    explore_check(words[0] != 0 && words[0] < 128, "no element that was pushed");
    for (uint32_t i = 1; i < swap_size() / 8; i++)
        explore_check(words[i] == swap_word(words[0], i), "an element in pieces");
    explore_check(EVB__PLAIN_READ(swap.payload[words[0]]) == words[0], "not what the pusher left");
    return (uint8_t)words[0];
}

/* ---- calls ---- */

static void swap_answered(const char *what, uint32_t moved_before, uint32_t moved_here)
{
    explore_cover(what);
    swap.moved += moved_here;
    if (swap.moved - moved_here - moved_before >= 2 * (swap.ring->front.c.s.mask + 1))
        explore_cover("overtaken by a lap");
}

static const char *swap_words_of(int32_t rc, bool push)
{
    explore_check(rc >= 0 || rc == EVB_ECLOSED || rc == (push ? EVB_EFULL : EVB_EEMPTY), "another answer");
    if (rc >= 0) return push ? "pushed" : "popped";
    if (rc == EVB_ECLOSED) return push ? "push found it closed" : "pop found it closed";
    return push ? "full" : "empty";
}

static void swap_push(uint32_t n)
{
    unsigned t = explore_thread();
    uint64_t words[3 * SWAP_WORDS];
    uint8_t first = (uint8_t)(16 * (t + 1) + swap.pushed[t]);
    uint32_t moved = swap.moved, size = swap_size(), done;
    struct swap_op op = {.kind = SWAP_PUSH, .began = ++swap.now, .knew = swap.knows_closed[t]};
    int32_t rc;

    for (uint32_t i = 0; i < n; i++)
        swap_make(words + i * (size / 8), (uint8_t)(first + i));
    rc = n == 1 ? evb_ring_try_push(swap.ring, words) : evb_ring_try_push_many(swap.ring, words, n);
    done = rc < 0 ? 0 : n == 1 ? 1 : (uint32_t)rc;
    explore_check(rc != EVB_EFULL || !swap_case()->never_full, "full, and this thread had made room");
    explore_check(done <= n, "more than there were");
    swap_answered(swap_words_of(rc, true), moved, done);
    swap.now++;
    op.rc = rc < 0 ? rc : EVB_OK;
    for (uint32_t i = 0; i < done || i == 0; i++) {
        op.value = (uint8_t)(first + i);
        swap_note(op);
    }
    if (done != 0 && done < n) {
        explore_cover("push cut short");
        op.kind = SWAP_PUSH_CUT;
        swap_note(op);
    }
    swap.pushed[t] = (uint8_t)(swap.pushed[t] + done);
    swap.total_in += done;
}

/* The ring is over: what the one who closed it did before is done. */
static void swap_check_last_words(void)
{
    unsigned closers = 0, last = 0;

    for (unsigned t = 0; t < SWAP_THREADS; t++)
        if (swap.closing[t]) closers++, last = t;
    if (closers == 1) explore_check(EVB__PLAIN_READ(swap.last_words[last]) == 1, "closed, and nobody did");
}

static void swap_pop(uint32_t n)
{
    uint64_t words[3 * SWAP_WORDS];
    uint32_t moved = swap.moved, size = swap_size(), done;
    struct swap_op op = {.kind = SWAP_POP, .began = ++swap.now};
    int32_t rc;

    rc = n == 1 ? evb_ring_try_pop(swap.ring, words) : evb_ring_try_pop_many(swap.ring, words, n);
    done = rc < 0 ? 0 : n == 1 ? 1 : (uint32_t)rc;
    if (rc == EVB_ECLOSED) swap_check_last_words();
    explore_check(rc != EVB_EEMPTY || !swap_case()->never_empty, "empty, and this thread had pushed");
    explore_check(done <= n, "more than there is room");
    swap_answered(swap_words_of(rc, false), moved, done);
    swap.now++;
    op.rc = rc < 0 ? rc : EVB_OK;
    for (uint32_t i = 0; i < done || i == 0; i++) {
        if (done != 0) op.value = swap_value(words + i * (size / 8));
        swap_note(op);
    }
    if (done != 0 && done < n) {
        explore_cover("pop cut short");
        op.kind = SWAP_POP_CUT;
        swap_note(op);
    }
    swap.total_out += done;
}

static void swap_close(void)
{
    struct swap_op op = {.kind = SWAP_CLOSE, .rc = EVB_OK, .began = ++swap.now};

    EVB__PLAIN_WRITE(swap.last_words[explore_thread()], 1);
    swap.closing[explore_thread()] = true;
    evb_ring_close(swap.ring);
    swap.now++;
    swap_note(op);
}

static void swap_set_flag(void)
{
    swap.flag_thread = (uint8_t)explore_thread();
    swap.flag_count = swap.count[explore_thread()];
    evb__st_rel(&swap.flag, 1);
}

static void swap_wait_flag(void)
{
    while (evb__ld_acq(&swap.flag) == 0)
        evb__thread_yield();
    swap_note((struct swap_op){.kind = SWAP_AFTER,
                               .rc = EVB_OK,
                               .began = swap.now,
                               .value = swap.flag_thread,
                               .count = swap.flag_count});
    swap.knows_closed[explore_thread()] |= swap.knows_closed[swap.flag_thread];
}

static void swap_note_look(enum swap_kind kind, int32_t rc, uint32_t began)
{
    swap.now++;
    swap_note((struct swap_op){.kind = kind, .rc = rc, .began = began});
}

static void swap_look(void)
{
    uint32_t began = ++swap.now;
    bool filled = evb__swap_filled(swap.ring);

    explore_cover(filled ? "filled" : "not filled");
    swap_note_look(SWAP_LOOK, filled, began);
}

/* The two sides of a pool's sleep: who goes to sleep says so, then looks; who pushes looks at that after. */
static void swap_say_asleep(void)
{
    uint32_t began = ++swap.now;

    evb__st_sc(&swap.asleep, 1); /* pairs with swap_hear_asleep */
    swap_note_look(SWAP_SAY, EVB_OK, began);
}

static void swap_hear_asleep(void)
{
    uint32_t began = ++swap.now;
    bool asleep = evb__ld_sc(&swap.asleep) != 0; /* pairs with swap_say_asleep */

    explore_cover(asleep ? "heard of the sleeper" : "heard of nobody");
    swap_note_look(SWAP_HEAR, asleep, began);
}

static void swap_call(char call)
{
    switch (call) {
    case 'u':
        swap_push(1);
        break;
    case 'U':
        swap_push(2);
        break;
    case 'V':
        swap_push(3);
        break;
    case 'o':
        swap_pop(1);
        break;
    case 'O':
        swap_pop(2);
        break;
    case 'P':
        swap_pop(3);
        break;
    case 'c':
        swap_close();
        break;
    case 'n':
        explore_check(evb_ring_count(swap.ring) <= evb_ring_capacity(swap.ring), "more than the capacity");
        explore_check(evb__swap_about(swap.ring) <= evb_ring_capacity(swap.ring), "more than the capacity");
        break;
    case 'f':
        swap_look();
        break;
    case 'z':
        swap_say_asleep();
        swap_look();
        break;
    case 'k':
        swap_hear_asleep();
        break;
    case 's':
        swap_set_flag();
        break;
    case 'w':
        swap_wait_flag();
        break;
    default:
        explore_check(false, "explorer: no such call");
    }
}

static void swap_thread(void)
{
    unsigned t = explore_thread();

    if (!swap_case()->recycled) *evb__self() = swap.selves[swap_case()->first_number + t];
    for (const char *call = swap_case()->script[t]; *call != '\0'; call++)
        swap_call(*call);
}

static void swap_thread_exit(void)
{
    if (swap_case()->recycled) evb__reader_thread_exit(evb__self());
}

/* ---- before and after ---- */

static void swap_put(uint8_t value)
{
    uint64_t words[SWAP_WORDS];

    swap_make(words, value);
    explore_check(evb_ring_try_push(swap.ring, words) == EVB_OK, "a push without rivals was refused");
    swap.total_in++;
}

static uint8_t swap_take(void)
{
    uint64_t words[SWAP_WORDS];

    explore_check(evb_ring_try_pop(swap.ring, words) == EVB_OK, "a pop without rivals was refused");
    swap.total_out++;
    return swap_value(words);
}

static void swap_setup(void)
{
    const struct swap_case *c = swap_case();
    evb_ring_opts opts = {
        .mode = c->mode, .capacity = c->capacity, .elem_bytes = swap_size(), .flags = c->flags};

    explore_check(evb__ring_create_at(&opts, c->start, &swap.ring) == EVB_OK, "no ring");
    if (c->near_threads != 0) swap.ring->near_threads = c->near_threads;
    for (uint32_t i = 0; i < SWAP_THREADS && !c->recycled; i++)
        (void)evb__reader_ready(&swap.selves[i], evb__process_generation());
    *evb__self() = swap.selves[0];
    for (uint32_t i = 0; i < c->inside; i++)
        swap_put(swap.before[i] = (uint8_t)(i + 1));
    evb__init(&swap.ring->tail, swap.ring->tail - c->tail_behind * evb_ring_capacity(swap.ring));
    evb__init(&swap.ring->head, swap.ring->head - c->head_behind * evb_ring_capacity(swap.ring));
    if (c->recycled) evb__reader_thread_exit(evb__self()); /* the first thread inherits from us */
    explore_name(swap.ring, sizeof *swap.ring, "ring");
    explore_name(&swap.ring->tail, 8, "tail");
    explore_name(&swap.ring->head, 8, "head");
    explore_name(&swap.ring->front.c.s.closed, sizeof swap.ring->front.c.s.closed, "closed");
    for (uint32_t i = 0; i <= swap.ring->front.c.s.mask; i++)
        explore_name((uint64_t *)swap.ring->front.c.s.slots + i, 8, "slot[%u]", i);
    explore_name(swap.ring->cells, swap.ring->cells_bytes, "cells");
    explore_name(swap.ring->spares, swap.ring->spares_bytes, "spares");
    explore_name(&swap.flag, sizeof swap.flag, "flag");
    explore_name(&swap.asleep, sizeof swap.asleep, "asleep");
}

static void swap_name_cell(bool *named, uint32_t cells, uint32_t cell)
{
    explore_check(cell < cells, "a cell that there is not");
    explore_check(!named[cell], "a cell in two places");
    named[cell] = true;
}

/* Every cell is named by exactly one slot or spare. The words are read as they lie there: all threads are
 * gone. */
static void swap_check_cells(void)
{
    const evb_ring *ring = swap.ring;
    uint32_t capacity = ring->front.c.s.mask + 1, cells = capacity + ring->near_threads;
    bool named[256] = {false};

    for (uint32_t i = 0; i < EVB__SWAP_CHUNKS; i++) /* a later one may exist without an earlier one */
        if (ring->chunks[i] != NULL) cells = capacity + (ring->near_threads << (i + 1));
    for (uint32_t i = 0; i < capacity; i++)
        swap_name_cell(named, cells, ((const uint64_t *)ring->front.c.s.slots)[i] & (EVB__SWAP_CELL - 1));
    for (uint32_t i = 0; i < ring->near_threads; i++)
        swap_name_cell(named, cells, ring->spares[i].cell);
    for (uint32_t i = 0; i < EVB__SWAP_CHUNKS; i++)
        for (uint32_t j = 0; ring->chunks[i] != NULL && j < ring->near_threads << i; j++)
            swap_name_cell(named, cells, ring->chunks[i]->spares[j].cell);
}

static void swap_check_hints(void)
{
    uint64_t in = swap_case()->start + swap.total_in;
    uint64_t out = swap_case()->start + swap.total_out + evb_ring_dropped(swap.ring);

    explore_check((int64_t)(in - swap.ring->tail) >= 0, "the hint of the tail is ahead");
    explore_check((int64_t)(out - swap.ring->head) >= 0, "the hint of the head is ahead");
}

/* The whole capacity is there, and no more. */
static void swap_check_capacity(void)
{
    bool overwrite = (swap_case()->flags & EVB_RING_OVERWRITE) != 0;
    uint32_t capacity = evb_ring_capacity(swap.ring);
    uint64_t words[SWAP_WORDS], dropped = evb_ring_dropped(swap.ring);
    uint8_t oldest = 1;

    for (uint32_t i = 0; i < capacity; i++)
        swap_put((uint8_t)(i + 1));
    explore_check(evb_ring_count(swap.ring) == capacity, "the count of a full ring");
    explore_check(evb__swap_filled(swap.ring), "a full ring is not filled");
    swap_make(words, (uint8_t)(capacity + 1));
    if (overwrite) {
        explore_check(evb_ring_try_push(swap.ring, words) == EVB_OK, "an overwriting push was refused");
        explore_check(evb_ring_dropped(swap.ring) == dropped + 1, "not counted as dropped");
        oldest = 2;
    } else {
        explore_check(evb_ring_try_push(swap.ring, words) == EVB_EFULL, "more fits than the capacity");
    }
    for (uint32_t i = 0; i < capacity; i++)
        explore_check(swap_take() == oldest + i, "not the oldest");
    explore_check(evb_ring_try_pop(swap.ring, words) == EVB_EEMPTY, "not empty at the end");
}

static void swap_check_closed(void)
{
    uint64_t words[SWAP_WORDS];

    swap_make(words, 1);
    explore_check(evb_ring_try_push(swap.ring, words) == EVB_ECLOSED, "a closed ring took an element");
    explore_check(evb_ring_try_pop(swap.ring, words) == EVB_ECLOSED, "a closed and empty ring is just empty");
    explore_check(evb_ring_try_push(swap.ring, words) == EVB_ECLOSED, "a closed ring took an element");
}

static void swap_finish(void)
{
    struct swap_model m = {.size = (uint8_t)swap_case()->inside};
    uint32_t count = evb_ring_count(swap.ring);
    bool closed = swap.ring->front.c.s.closed != 0;
    uint64_t words[SWAP_WORDS];

    swap_check_cells();
    swap_check_hints();
    while (swap.left_count < SWAP_INSIDE && evb_ring_try_pop(swap.ring, words) == EVB_OK)
        swap.left[swap.left_count++] = swap_value(words);
    swap.total_out += swap.left_count;
    explore_check(count == swap.left_count, "the count is not what is inside");
    explore_check(swap.left_count <= evb_ring_capacity(swap.ring), "more inside than the capacity");
    explore_check(evb_ring_count(swap.ring) == 0, "the count of an empty ring");
    explore_check(!evb__swap_filled(swap.ring), "an empty ring is filled");
    memcpy(m.queue, swap.before, m.size);
    swap_check_answers(&m);
    if (evb_ring_dropped(swap.ring) != 0) explore_cover("dropped");
    if (closed)
        swap_check_closed();
    else
        swap_check_capacity();
    swap_check_cells();
    evb_ring_destroy(swap.ring);
}

static struct explore_shape swap_shape(int variant)
{
    const struct swap_case *c = &swap_cases[variant];
    struct explore_shape shape = {.name = c->name,
                                  .setup = swap_setup,
                                  .finish = swap_finish,
                                  .thread_exit = swap_thread_exit,
                                  .variant = variant,
                                  .preemptions = c->preemptions,
                                  .barrier = c->barrier,
                                  .executions = c->executions,
                                  .bug = c->bug};

    shape.stale_reads = c->oracle == SWAP_LINEARIZABLE ? EXPLORE_NONE : 0;
    shape.random = c->oracle == SWAP_LINEARIZABLE ? UINT64_MAX : SWAP_RANDOM;
    for (unsigned i = 0; i < SWAP_THREADS && c->script[i] != NULL; i++)
        shape.threads[i] = swap_thread;
    memcpy(shape.covers, c->covers, sizeof shape.covers);
    return shape;
}

#endif
