/* SPDX-License-Identifier: MIT */
/* Rings under several threads, recorded and judged (history.h): nothing invented, doubled, lost, torn or out
 * of order, never more inside than fit, and "full", "empty" and "closed" answered only when they were true at
 * some moment of the call; for sequenced rings, or when ring.h forgives it.
 *
 * Each run starts its threads at one line, moves ELEMENTS elements and drains the ring. Threads share nothing
 * but the ring and one word that is written when the last pusher has finished. Pushers and poppers are spread
 * over the processors, since threads that take turns on one of them never meet inside a call; the judge
 * counts how often they did.
 */
#include "evb_test.h"

#include <evbus/ring.h>
#include <evbus/ring_inline.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/platform.h"
#include "base/thread.h"
#include "history.h"
#include "ring/ring.h"

/* Pushed and popped once each: a history of 200 000 operations and the failed ones. */
enum { ELEMENTS = EVB__TSAN ? 10000 : 100000, FAULTY_ELEMENTS = EVB__TSAN ? 5000 : 20000 };
enum { MAX_BATCH = 16, MAX_BYTES = 64, SMALL_TIMEOUT_NS = 20000 };

enum form { SINGLE, INLINE, BATCH, BLOCKING, IN_PLACE };
enum fault { SOUND, REORDERS, DUPLICATES };

struct setup {
    uint32_t pushers, poppers, capacity, elem_bytes;
    enum form form;
    uint64_t start;    /* position of the first element */
    bool closed_early; /* poppers close the ring before the middle */
};

struct kind {
    uint32_t mode, progress, flags;
};

struct worker {
    struct history_log log;
    struct evb__rng rng;
    uint32_t elements; /* to push */
    uint32_t failures; /* in a row */
    uint32_t torn;     /* elements that were not what anybody pushed */
    uint64_t calls;    /* of take, for the fault */
    uint64_t held, held_at;
};

static struct {
    struct setup setup;
    struct kind kind;
    enum fault fault;
    uint32_t elements; /* in all */
    evb_ring *ring;
    struct worker worker[HISTORY_MAX_THREADS];
    EVB__ATOMIC(uint32_t) pushers_left;
} run;

/* ---- elements: an id of 32 bits, the rest follows from it ---- */

static uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 31)) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ (x >> 29);
}

static void make_element(void *elem, uint32_t bytes, uint64_t id)
{
    uint64_t word[MAX_BYTES / 8];

    if ((run.kind.flags & EVB_RING_POINTERS) != 0) {
        void *pointer = (void *)(uintptr_t)id;

        memcpy(elem, &pointer, sizeof pointer);
        return;
    }
    word[0] = id | mixed(id) << 32;
    for (uint32_t i = 1; i < bytes / 8; i++)
        word[i] = mixed(id + i);
    memcpy(elem, word, bytes);
}

/* 0: torn. */
static uint64_t id_of(const void *elem, uint32_t bytes)
{
    unsigned char expected[MAX_BYTES];
    uint64_t id;

    if ((run.kind.flags & EVB_RING_POINTERS) != 0) {
        void *pointer;

        memcpy(&pointer, elem, sizeof pointer);
        return (uintptr_t)pointer;
    }
    memcpy(&id, elem, sizeof id);
    id &= UINT32_MAX;
    make_element(expected, bytes, id);
    return memcmp(expected, elem, bytes) == 0 ? id : 0;
}

static uint64_t new_id(uint32_t thread, uint32_t number)
{
    return (uint64_t)(thread + 1) << 24 | (number + 1);
}

/* Full or empty: looks again soon, since the other side may be at it right now, or lets others run. */
static void rest(struct worker *w)
{
    if (++w->failures % 4 == 0) {
        evb__thread_yield();
        return;
    }
    for (uint64_t n = evb__rng_below(&w->rng, 1000); n > 0; n--)
        evb__compiler_barrier();
}

static int result_of(int32_t status)
{
    switch (status) {
    case EVB_EFULL:
        return HISTORY_FULL;
    case EVB_EEMPTY:
        return HISTORY_EMPTY;
    case EVB_ECLOSED:
        return HISTORY_IS_CLOSED;
    default:
        return HISTORY_OK;
    }
}

/* ---- pushing ---- */

/* Answers as evb_ring_try_push_many. */
static int32_t offer(struct worker *w, const void *elems, uint32_t n)
{
    evb_ring *ring = run.ring;
    void *room;
    int32_t got;

    switch (run.setup.form) {
    case SINGLE:
        got = evb_ring_try_push(ring, elems);
        break;
    case INLINE:
        got = evb_ring_try_push_inline(ring, elems);
        break;
    case BATCH:
        return evb_ring_try_push_many(ring, elems, n);
    case BLOCKING:
        got = evb_ring_push(ring, elems, evb__rng_below(&w->rng, 8) == 0 ? SMALL_TIMEOUT_NS : EVB_FOREVER);
        if (got == EVB_ETIMEDOUT) got = EVB_EFULL; /* it was full when the call looked last */
        break;
    default:
        got = evb_ring_reserve(ring, n, &room);
        if (got < 0) return got;
        memcpy(room, elems, (size_t)got * run.setup.elem_bytes);
        n = (uint32_t)got;
        got = evb_ring_commit(ring, n);
        return got < 0 ? got : (int32_t)n;
    }
    return got < 0 ? got : 1;
}

static void close_and_record(struct worker *w)
{
    int64_t start = history_start();

    evb_ring_close(run.ring);
    history_add(&w->log, HISTORY_CLOSE, HISTORY_OK, 0, start, history_end());
}

/* The last one ends the ring, if its poppers wait for that. */
static void finish_pushing(struct worker *w)
{
    uint32_t left = evb__sub_acqrel(&run.pushers_left, 1) - 1; /* pairs with itself, and pushers_are_done */

    if (left == 0 && run.setup.form == BLOCKING) close_and_record(w);
}

static void push_all(struct worker *w, uint32_t thread)
{
    uint32_t bytes = run.setup.elem_bytes;
    bool many = run.setup.form == BATCH || run.setup.form == IN_PLACE;
    unsigned char elems[MAX_BATCH * MAX_BYTES];

    for (uint32_t number = 0; number < w->elements;) {
        uint32_t n = many ? 1 + (uint32_t)evb__rng_below(&w->rng, MAX_BATCH) : 1;
        int64_t start, end;
        int32_t got;

        if (n > w->elements - number) n = w->elements - number;
        for (uint32_t i = 0; i < n; i++)
            make_element(elems + i * bytes, bytes, new_id(thread, number + i));
        start = history_start();
        got = offer(w, elems, n);
        end = history_end();
        if (got < 0) {
            CHECK(got == EVB_EFULL || got == EVB_ECLOSED);
            history_add(&w->log, HISTORY_PUSH, result_of(got), new_id(thread, number), start, end);
            if (got == EVB_ECLOSED) break;
            rest(w);
            continue;
        }
        w->failures = 0;
        for (int32_t i = 0; i < got; i++)
            history_add(&w->log, HISTORY_PUSH, HISTORY_OK, new_id(thread, number++), start, end);
    }
    finish_pushing(w);
}

/* ---- popping ---- */

/* Answers as evb_ring_try_pop_many, the ids instead of the elements. */
static int32_t take_sound(struct worker *w, uint64_t *ret_ids, uint32_t n)
{
    uint32_t bytes = run.setup.elem_bytes;
    _Alignas(8) unsigned char elems[MAX_BATCH * MAX_BYTES];
    const void *room = elems;
    evb_ring *ring = run.ring;
    int32_t got;

    switch (run.setup.form) {
    case SINGLE:
        got = evb_ring_try_pop(ring, elems);
        break;
    case INLINE:
        got = evb_ring_try_pop_inline(ring, elems);
        break;
    case BATCH:
        got = evb_ring_try_pop_many(ring, elems, n);
        break;
    case BLOCKING:
        got = evb_ring_pop(ring, elems, evb__rng_below(&w->rng, 8) == 0 ? SMALL_TIMEOUT_NS : EVB_FOREVER);
        if (got == EVB_ETIMEDOUT) got = EVB_EEMPTY; /* it was empty when the call looked last */
        break;
    default:
        got = evb_ring_peek(ring, n, &room);
    }
    if (got < 0) return got;
    if (got == 0) got = 1;
    for (int32_t i = 0; i < got; i++) {
        ret_ids[i] = id_of((const unsigned char *)room + (size_t)i * bytes, bytes);
        w->torn += ret_ids[i] == 0;
    }
    if (run.setup.form == IN_PLACE) OK(evb_ring_consume(ring, (uint32_t)got));
    return got;
}

/* A ring made wrong: one element, the FAULT_AT-th of a popper, comes out FAULT_LENGTH calls late, or then
 * again. */
enum { FAULT_AT = 500, FAULT_LENGTH = 200 };

static int32_t take(struct worker *w, uint64_t *ret_ids, uint32_t n)
{
    int32_t got;

    if (run.fault != SOUND && w->held != 0 && w->calls >= w->held_at) {
        ret_ids[0] = w->held;
        w->held = 0;
        return 1;
    }
    got = take_sound(w, ret_ids, n);
    if (run.fault == SOUND || got < 0 || ++w->calls != FAULT_AT) return got;
    w->held = ret_ids[0];
    w->held_at = FAULT_AT + FAULT_LENGTH;
    return run.fault == DUPLICATES ? got : EVB_EEMPTY;
}

static bool pushers_are_done(void)
{
    return evb__ld_acq(&run.pushers_left) == 0; /* pairs with finish_pushing */
}

/* One of the poppers gets its share: so the ring is closed before half of the elements has gone through. */
static void pop_all(struct worker *w)
{
    bool may_end = false, closes = run.setup.closed_early;
    bool many = run.setup.form == BATCH || run.setup.form == IN_PLACE;
    uint32_t popped = 0, half = run.elements / 2 / run.setup.poppers;
    uint64_t ids[MAX_BATCH];

    for (;;) {
        uint32_t n = many ? 1 + (uint32_t)evb__rng_below(&w->rng, MAX_BATCH) : 1;
        int64_t start = history_start(), end;
        int32_t got = take(w, ids, n);

        end = history_end();
        if (got >= 0) {
            w->failures = 0;
            for (int32_t i = 0; i < got; i++)
                history_add(&w->log, HISTORY_POP, HISTORY_OK, ids[i], start, end);
            popped += (uint32_t)got;
            if (closes && popped >= half) {
                close_and_record(w);
                closes = false;
            }
            continue;
        }
        CHECK(got == EVB_EEMPTY || got == EVB_ECLOSED);
        if (run.fault == SOUND || got == EVB_ECLOSED)
            history_add(&w->log, HISTORY_POP, result_of(got), 0, start, end);
        if (got == EVB_ECLOSED || (may_end && run.setup.form != BLOCKING && w->held == 0)) return;
        may_end = pushers_are_done();
        if (w->held != 0 && may_end) w->held_at = 0;
        rest(w);
    }
}

/* ---- a run ---- */

/* The k-th pusher and the k-th popper on different processors, if there are two. */
static void choose_processor(uint32_t k)
{
#if defined(__linux__)
    cpu_set_t allowed, chosen;
    uint32_t n;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    n = (uint32_t)CPU_COUNT(&allowed);
    k %= n;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || k-- != 0) continue;
        CPU_ZERO(&chosen);
        CPU_SET(cpu, &chosen);
        (void)sched_setaffinity(0, sizeof chosen, &chosen); /* of this thread; without it: less overlap */
        return;
    }
#else
    (void)k;
#endif
}

static void work(uint32_t index, void *arg)
{
    struct worker *w = &run.worker[index];

    (void)arg;
    choose_processor(index < run.setup.pushers ? index : index - run.setup.pushers + 1);
    if (index < run.setup.pushers)
        push_all(w, index);
    else
        pop_all(w);
}

static const char *described(const struct setup *s, char *text, size_t size)
{
    static const char *const forms[] = {"single", "inline", "batch", "blocking", "in place"};

    (void)snprintf(text, size, "%ux%u, capacity %u, %u bytes, %s, from %llx%s", s->pushers, s->poppers,
                   s->capacity, s->elem_bytes, forms[s->form], (unsigned long long)s->start,
                   s->closed_early ? ", closed early" : "");
    return text;
}

/* Nobody is at work any more: the ring is empty, and holds exactly what its capacity says. */
static void check_rest(void)
{
    unsigned char elem[MAX_BYTES];
    uint32_t capacity = evb_ring_capacity(run.ring);

    EQ(capacity, run.setup.capacity);
    EQ(evb_ring_count(run.ring), 0);
    if (run.setup.closed_early || run.setup.form == BLOCKING) {
        FAILS(evb_ring_try_pop(run.ring, elem), EVB_ECLOSED);
        make_element(elem, run.setup.elem_bytes, 1);
        FAILS(evb_ring_try_push(run.ring, elem), EVB_ECLOSED);
        return;
    }
    FAILS(evb_ring_try_pop(run.ring, elem), EVB_EEMPTY);
    if ((run.kind.flags & EVB_RING_OVERWRITE) != 0) return;
    for (uint32_t i = 1; i <= capacity; i++) {
        make_element(elem, run.setup.elem_bytes, i);
        OK(evb_ring_try_push(run.ring, elem));
    }
    FAILS(evb_ring_try_push(run.ring, elem), EVB_EFULL);
    EQ(evb_ring_count(run.ring), capacity);
    for (uint32_t i = 1; i <= capacity; i++) {
        OK(evb_ring_try_pop(run.ring, elem));
        EQ(id_of(elem, run.setup.elem_bytes), i);
    }
}

static void start_workers(void)
{
    const struct setup *s = &run.setup;
    uint32_t n = s->pushers + s->poppers;

    for (uint32_t i = 0; i < n; i++) {
        struct worker *w = &run.worker[i];

        *w = (struct worker){.log = w->log, .elements = i < s->pushers ? run.elements / s->pushers : 0};
        if (w->log.ops == NULL) history_log_init(&w->log, (uint16_t)i, ELEMENTS + 2);
        history_log_clear(&w->log);
        evb__rng_init(&w->rng, evb_test_seed() + i);
    }
    evb__init(&run.pushers_left, s->pushers);
    evb_test_run_threads(n, work, NULL);
}

static struct history_rules rules_of(const struct setup *setup, const struct kind *kind)
{
    bool weak = kind->progress == EVB_RING_SEQUENCED && kind->mode != EVB_RING_SPSC;
    bool lossy = (kind->flags & EVB_RING_OVERWRITE) != 0;
    struct history_rules rules = {.capacity = setup->capacity, .drained = true, .lossy = lossy};

    rules.empty = rules.full = weak ? HISTORY_WEAK : HISTORY_STRICT;
    if (weak && lossy) rules.full = HISTORY_OFF; /* another thread may be in the middle of dropping */
    return rules;
}

static void judge(struct history_verdict *ret_verdict)
{
    struct history_rules rules = rules_of(&run.setup, &run.kind);
    struct history_log logs[HISTORY_MAX_THREADS];
    struct history_op *ops;
    size_t count;
    uint32_t n = run.setup.pushers + run.setup.poppers;
    char text[120];

    for (uint32_t i = 0; i < n; i++) {
        logs[i] = run.worker[i].log;
        EQ(logs[i].overflow, 0);
        EQ(run.worker[i].torn, 0);
    }
    ops = history_join(logs, n, &count);
    (void)history_check(ops, count, &rules, ret_verdict);
    printf("%s: %zu operations, %llu overlapping, %llu empty, %llu full%s%s\n",
           described(&run.setup, text, sizeof text), count, (unsigned long long)ret_verdict->overlapping,
           (unsigned long long)ret_verdict->empties, (unsigned long long)ret_verdict->fulls,
           ret_verdict->first[0] != '\0' ? ": " : "", ret_verdict->first);
    free(ops);
}

/* Records one history and judges it. */
static void record(const struct setup *setup, const struct kind *kind, enum fault fault,
                   struct history_verdict *ret_verdict)
{
    evb_ring_opts opts = {.mode = kind->mode, .progress = kind->progress, .flags = kind->flags};

    run.setup = *setup;
    run.kind = *kind;
    run.fault = fault;
    run.elements = fault == SOUND ? ELEMENTS : FAULTY_ELEMENTS;
    if ((kind->flags & EVB_RING_POINTERS) != 0) run.setup.elem_bytes = sizeof(void *);
    opts.capacity = run.setup.capacity;
    opts.elem_bytes = run.setup.elem_bytes;
    OK(evb__ring_create_at(&opts, setup->start, &run.ring));
    start_workers();
    judge(ret_verdict);
    if (fault == SOUND) {
        check_rest();
        EQ(ret_verdict->missing, evb_ring_dropped(run.ring));
    }
    evb_ring_destroy(run.ring);
}

/* All setups of one kind of ring: nothing may be wrong. */
static void all_pass(const struct setup *setups, size_t count, struct kind kind)
{
    uint64_t overlapping = 0;

    for (size_t i = 0; i < count; i++) {
        const struct setup *s = &setups[i];
        struct history_verdict verdict;

        record(s, &kind, SOUND, &verdict);
        EQ_STR(verdict.first, "");
        if (s->form != BLOCKING) overlapping += verdict.overlapping; /* a thread that waits meets everybody */
        if (s->closed_early)
            CHECK(verdict.pushed >= ELEMENTS / 2 / s->poppers && verdict.pushed < ELEMENTS);
        else
            EQ(verdict.pushed, ELEMENTS);
    }
    CHECK(overlapping > 0);
}

#define ALL_PASS(setups, ...)                                                                                \
    all_pass(setups, sizeof(setups) / sizeof((setups)[0]), (struct kind){__VA_ARGS__})

/* ---- the setups, in the order of struct setup; ALL_PASS(setups, mode, progress, flags) ---- */

#define NEAR_64 (UINT64_MAX - 1000)
#define NEAR_32 (UINT64_C(0x100000000) - 1000)
/* The lap that a lock-free ring keeps in its slots, and its sign bit. */
#define NEAR_LAP(bits, capacity) ((UINT64_C(1) << (bits)) * (capacity)-1000)

static const struct setup spsc_pointers[] = {
    {1, 1, 2, 8, SINGLE, 0, false},          {1, 1, 64, 8, SINGLE, NEAR_32, false},
    {1, 1, 1024, 8, SINGLE, NEAR_64, false}, {1, 1, 64, 8, BATCH, 0, false},
    {1, 1, 64, 8, INLINE, NEAR_64, false},   {1, 1, 64, 8, BLOCKING, 0, false},
    {1, 1, 64, 8, SINGLE, 0, true},          {1, 1, 2, 8, BLOCKING, 0, true},
};

static const struct setup spsc_values[] = {
    {1, 1, 2, 8, SINGLE, 0, false},           {1, 1, 64, 24, SINGLE, NEAR_32, false},
    {1, 1, 1024, 24, BATCH, NEAR_64, false},  {1, 1, 64, 8, INLINE, NEAR_64, false},
    {1, 1, 64, 24, IN_PLACE, NEAR_32, false}, {1, 1, 64, 24, BLOCKING, 0, false},
    {1, 1, 64, 24, IN_PLACE, 0, true},        {1, 1, 2, 8, BLOCKING, 0, true},
};

static const struct setup mpmc[] = {
    {1, 1, 2, 8, SINGLE, 0, false},         {2, 2, 2, 24, SINGLE, NEAR_64, false},
    {4, 4, 64, 64, SINGLE, NEAR_32, false}, {2, 2, 64, 8, BATCH, 0, false},
    {4, 4, 1024, 24, SINGLE, 0, false},     {2, 2, 64, 64, BATCH, NEAR_32, false},
    {4, 4, 2, 8, SINGLE, 0, false},         {2, 2, 64, 24, INLINE, NEAR_64, false},
    {4, 4, 64, 24, BLOCKING, 0, false},     {2, 2, 2, 64, BLOCKING, NEAR_32, false},
    {4, 4, 64, 24, SINGLE, NEAR_32, true},  {2, 2, 2, 64, SINGLE, 0, true},
    {4, 4, 64, 8, BLOCKING, NEAR_64, true},
};

static const struct setup mpsc[] = {
    {4, 1, 2, 24, SINGLE, 0, false},          {4, 1, 64, 8, SINGLE, NEAR_64, false},
    {4, 1, 1024, 64, SINGLE, NEAR_32, false}, {4, 1, 64, 24, BATCH, NEAR_32, false},
    {4, 1, 64, 64, BLOCKING, 0, false},       {4, 1, 64, 24, SINGLE, 0, true},
    {4, 1, 2, 8, BLOCKING, 0, true},
};

static const struct setup spmc[] = {
    {1, 4, 2, 24, SINGLE, 0, false},          {1, 4, 64, 8, SINGLE, NEAR_64, false},
    {1, 4, 1024, 64, SINGLE, NEAR_32, false}, {1, 4, 64, 24, BATCH, NEAR_32, false},
    {1, 4, 64, 64, BLOCKING, 0, false},       {1, 4, 64, 24, SINGLE, 0, true},
    {1, 4, 2, 8, BLOCKING, 0, true},
};

static const struct setup laps[] = {
    {2, 2, 2, 24, SINGLE, NEAR_LAP(42, 2), false},
    {2, 2, 64, 64, SINGLE, NEAR_LAP(42, 64), false},
    {2, 2, 64, 8, BATCH, NEAR_LAP(41, 64), false},
};

static const struct setup overwriting_mpmc[] = {
    {2, 2, 2, 8, SINGLE, 0, false},
    {4, 4, 64, 64, SINGLE, NEAR_64, false},
    {2, 2, 64, 24, BATCH, NEAR_32, false},
};

static const struct setup overwriting_mpsc[] = {
    {4, 1, 2, 24, SINGLE, NEAR_64, false},
    {4, 1, 64, 64, BATCH, NEAR_32, false},
};

TEST(spsc_rings_of_pointers_are_atomic_queues)
{
    ALL_PASS(spsc_pointers, EVB_RING_SPSC, 0, EVB_RING_POINTERS);
}

TEST(spsc_rings_of_values_are_atomic_queues)
{
    ALL_PASS(spsc_values, EVB_RING_SPSC, 0, 0);
}

TEST(lock_free_mpmc_rings_are_atomic_queues)
{
    ALL_PASS(mpmc, EVB_RING_MPMC, EVB_RING_LOCK_FREE, 0);
}

TEST(lock_free_mpsc_rings_are_atomic_queues)
{
    ALL_PASS(mpsc, EVB_RING_MPSC, EVB_RING_LOCK_FREE, 0);
}

TEST(lock_free_spmc_rings_are_atomic_queues)
{
    ALL_PASS(spmc, EVB_RING_SPMC, EVB_RING_LOCK_FREE, 0);
}

TEST(lock_free_rings_next_to_a_wrap_of_their_laps_are_atomic_queues)
{
    ALL_PASS(laps, EVB_RING_MPMC, EVB_RING_LOCK_FREE, 0);
}

TEST(sequenced_mpmc_rings_are_queues_with_late_full_and_empty)
{
    ALL_PASS(mpmc, EVB_RING_MPMC, EVB_RING_SEQUENCED, 0);
}

TEST(sequenced_mpsc_rings_are_queues_with_late_full_and_empty)
{
    ALL_PASS(mpsc, EVB_RING_MPSC, EVB_RING_SEQUENCED, 0);
}

TEST(sequenced_spmc_rings_are_queues_with_late_full_and_empty)
{
    ALL_PASS(spmc, EVB_RING_SPMC, EVB_RING_SEQUENCED, 0);
}

TEST(lock_free_overwriting_rings_drop_their_oldest_and_count_it)
{
    ALL_PASS(overwriting_mpmc, EVB_RING_MPMC, EVB_RING_LOCK_FREE, EVB_RING_OVERWRITE);
    ALL_PASS(overwriting_mpsc, EVB_RING_MPSC, EVB_RING_LOCK_FREE, EVB_RING_OVERWRITE);
}

TEST(sequenced_overwriting_rings_drop_their_oldest_and_count_it)
{
    ALL_PASS(overwriting_mpmc, EVB_RING_MPMC, EVB_RING_SEQUENCED, EVB_RING_OVERWRITE);
    ALL_PASS(overwriting_mpsc, EVB_RING_MPSC, EVB_RING_SEQUENCED, EVB_RING_OVERWRITE);
}

/* ---- a ring made wrong is found ---- */

static void is_found(enum fault fault, enum history_class expected)
{
    static const struct {
        struct setup setup;
        struct kind kind;
    } wrong[] = {
        {{1, 1, 64, 8, SINGLE, 0, false}, {EVB_RING_SPSC, 0, EVB_RING_POINTERS}},
        {{1, 1, 64, 24, SINGLE, 0, false}, {EVB_RING_SPSC, 0, 0}},
        {{2, 2, 64, 24, SINGLE, 0, false}, {EVB_RING_MPMC, EVB_RING_LOCK_FREE, 0}},
        {{4, 4, 64, 24, SINGLE, 0, false}, {EVB_RING_MPMC, EVB_RING_SEQUENCED, 0}},
        {{4, 1, 64, 24, SINGLE, 0, false}, {EVB_RING_MPSC, EVB_RING_LOCK_FREE, 0}},
        {{1, 4, 64, 24, SINGLE, 0, false}, {EVB_RING_SPMC, EVB_RING_SEQUENCED, 0}},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct history_verdict verdict;

        record(&wrong[i].setup, &wrong[i].kind, fault, &verdict);
        CHECK(verdict.wrong[expected] > 0);
        for (unsigned c = 0; c < HISTORY_CLASSES; c++) {
            if (c == (unsigned)expected || c == HISTORY_OVERFULL) continue; /* held back, it takes a place */
            EQ(verdict.wrong[c], 0);
        }
    }
}

TEST(a_ring_that_delays_one_element_is_found_out_of_order)
{
    is_found(REORDERS, HISTORY_ORDER);
}

TEST(a_ring_that_repeats_one_element_is_found_to_duplicate)
{
    is_found(DUPLICATES, HISTORY_DUPLICATED);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(spsc_rings_of_pointers_are_atomic_queues),
        cmocka_unit_test(spsc_rings_of_values_are_atomic_queues),
        cmocka_unit_test(lock_free_mpmc_rings_are_atomic_queues),
        cmocka_unit_test(lock_free_mpsc_rings_are_atomic_queues),
        cmocka_unit_test(lock_free_spmc_rings_are_atomic_queues),
        cmocka_unit_test(lock_free_rings_next_to_a_wrap_of_their_laps_are_atomic_queues),
        cmocka_unit_test(sequenced_mpmc_rings_are_queues_with_late_full_and_empty),
        cmocka_unit_test(sequenced_mpsc_rings_are_queues_with_late_full_and_empty),
        cmocka_unit_test(sequenced_spmc_rings_are_queues_with_late_full_and_empty),
        cmocka_unit_test(lock_free_overwriting_rings_drop_their_oldest_and_count_it),
        cmocka_unit_test(sequenced_overwriting_rings_drop_their_oldest_and_count_it),
        cmocka_unit_test(a_ring_that_delays_one_element_is_found_out_of_order),
        cmocka_unit_test(a_ring_that_repeats_one_element_is_found_to_duplicate),
    };
    int failed = EVB_TEST_MAIN("ring_history", tests, argc, argv);

    for (uint32_t i = 0; i < HISTORY_MAX_THREADS; i++) /* kept from run to run: most of the time went there */
        history_log_free(&run.worker[i].log);
    return failed;
}
