/* SPDX-License-Identifier: MIT */
/* The judge of recorded histories, judged: by histories made by hand, by an exhaustive search on small ones,
 * by simulated queues that are right, and by long histories into which one fault was put.
 */
#include "evb_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/platform.h"
#include "history.h"

enum { LONG = EVB__TSAN ? 20000 : 100000 };

#define PUSH(thread, value, start, end)                                                                      \
    {                                                                                                        \
        value, start, end, thread, HISTORY_PUSH, HISTORY_OK                                                  \
    }
#define POP(thread, value, start, end)                                                                       \
    {                                                                                                        \
        value, start, end, thread, HISTORY_POP, HISTORY_OK                                                   \
    }
#define FULL(thread, start, end)                                                                             \
    {                                                                                                        \
        99, start, end, thread, HISTORY_PUSH, HISTORY_FULL                                                   \
    }
#define EMPTY(thread, start, end)                                                                            \
    {                                                                                                        \
        0, start, end, thread, HISTORY_POP, HISTORY_EMPTY                                                    \
    }
#define PUSH_CLOSED(thread, start, end)                                                                      \
    {                                                                                                        \
        99, start, end, thread, HISTORY_PUSH, HISTORY_IS_CLOSED                                              \
    }
#define POP_CLOSED(thread, start, end)                                                                       \
    {                                                                                                        \
        0, start, end, thread, HISTORY_POP, HISTORY_IS_CLOSED                                                \
    }
#define CLOSE(thread, start, end)                                                                            \
    {                                                                                                        \
        0, start, end, thread, HISTORY_CLOSE, HISTORY_OK                                                     \
    }
#define HISTORY(...)                                                                                         \
    (const struct history_op[]){__VA_ARGS__},                                                                \
        sizeof((const struct history_op[]){__VA_ARGS__}) / sizeof(struct history_op)

static const struct history_rules strict = {.capacity = 0};
static const struct history_rules weak = {.empty = HISTORY_WEAK, .full = HISTORY_WEAK, .capacity = 2};
static const struct history_rules two = {.capacity = 2};
static const struct history_rules unjudged = {.capacity = 2, .empty = HISTORY_OFF, .full = HISTORY_OFF};
static const struct history_rules drained = {.drained = true};
static const struct history_rules per_producer = {.order = HISTORY_PER_PRODUCER};

/* Nothing is wrong, or `times` of one class and nothing else. */
static void judged(const struct history_rules *rules, const struct history_op *ops, size_t count,
                   enum history_class expected, uint64_t times)
{
    struct history_verdict verdict;
    bool good = history_check(ops, count, rules, &verdict);

    if (!good) printf("%s\n", verdict.first);
    for (unsigned c = 0; c < HISTORY_CLASSES; c++)
        EQ(verdict.wrong[c], c == (unsigned)expected ? times : 0);
    EQ(good, times == 0);
}

static void passes(const struct history_rules *rules, const struct history_op *ops, size_t count)
{
    judged(rules, ops, count, HISTORY_CLASSES, 0);
}

/* ---- each class by hand ---- */

TEST(a_history_without_operations_passes)
{
    struct history_op none = {.value = 0};

    passes(&drained, &none, 0);
}

TEST(a_value_that_nobody_pushed_is_invented)
{
    judged(&strict, HISTORY(POP(1, 5, 1, 2)), HISTORY_INVENTED, 1);
    /* a refused push is no push */
    judged(&unjudged, HISTORY({5, 1, 2, 0, HISTORY_PUSH, HISTORY_FULL}, POP(1, 5, 1, 2)), HISTORY_INVENTED,
           1);
}

TEST(a_pop_that_ends_before_the_push_starts_is_too_early)
{
    judged(&strict, HISTORY(PUSH(0, 5, 3, 4), POP(1, 5, 1, 2)), HISTORY_DEQ_BEFORE_ENQ, 1);
    passes(&strict, HISTORY(PUSH(0, 5, 3, 4), POP(1, 5, 1, 3)));
}

TEST(a_value_that_comes_out_again_is_duplicated)
{
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), POP(1, 5, 3, 4), POP(1, 5, 5, 6), POP(2, 5, 3, 4)),
           HISTORY_DUPLICATED, 2);
}

TEST(a_value_that_stays_in_a_drained_queue_is_lost)
{
    judged(&drained, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), POP(1, 5, 5, 6)), HISTORY_LOST, 1);
    passes(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), POP(1, 5, 5, 6)));
}

TEST(a_lossy_queue_may_lose_but_not_reorder)
{
    const struct history_rules lossy = {.capacity = 2, .drained = true, .lossy = true};
    struct history_verdict verdict;

    CHECK(history_check(
        HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), PUSH(0, 7, 5, 6), POP(1, 6, 7, 8), POP(1, 7, 9, 9)),
        &lossy, &verdict));
    EQ(verdict.missing, 1);
    EQ(verdict.pushed, 3);
    EQ(verdict.popped, 2);
    judged(&lossy, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), POP(1, 6, 7, 8), POP(1, 5, 9, 9)),
           HISTORY_ORDER, 1);
}

TEST(values_out_of_order_by_the_clock_are_found)
{
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(1, 6, 3, 4), POP(2, 5, 7, 8), POP(3, 6, 5, 6)),
           HISTORY_ORDER, 1);
    /* pushes that overlap have no order, nor have pops */
    passes(&strict, HISTORY(PUSH(0, 5, 1, 3), PUSH(1, 6, 3, 4), POP(2, 5, 7, 8), POP(3, 6, 5, 6)));
    passes(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(1, 6, 3, 4), POP(2, 5, 6, 8), POP(3, 6, 5, 6)));
}

TEST(a_value_overtaken_while_it_stays_inside_is_out_of_order)
{
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(1, 6, 3, 4), POP(2, 6, 5, 6)), HISTORY_ORDER, 1);
}

TEST(batches_keep_the_order_of_their_thread)
{
    /* one call each, one interval: only the threads' own order tells */
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 1, 2), POP(1, 6, 3, 4), POP(1, 5, 3, 4)),
           HISTORY_ORDER, 1);
    passes(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 1, 2), POP(1, 5, 3, 4), POP(1, 6, 3, 4)));
    /* pushed as a batch, popped by two */
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 1, 2), POP(1, 6, 3, 4), POP(2, 5, 5, 6)),
           HISTORY_ORDER, 1);
    /* pushed by two, popped as a batch */
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(1, 6, 3, 4), POP(2, 6, 5, 6), POP(2, 5, 5, 6)),
           HISTORY_ORDER, 1);
}

TEST(per_producer_order_does_not_compare_producers)
{
    passes(&per_producer, HISTORY(PUSH(0, 5, 1, 2), PUSH(1, 6, 3, 4), POP(2, 6, 5, 6), POP(2, 5, 7, 8)));
    judged(&per_producer, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), POP(2, 6, 5, 6), POP(2, 5, 7, 8)),
           HISTORY_ORDER, 1);
}

TEST(an_empty_without_an_empty_moment_is_wrong)
{
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), EMPTY(1, 3, 4), POP(1, 5, 5, 6)), HISTORY_WRONG_EMPTY, 1);
    passes(&strict, HISTORY(PUSH(0, 5, 1, 2), EMPTY(1, 2, 4), POP(1, 5, 5, 6)));
    passes(&strict, HISTORY(PUSH(0, 5, 1, 2), EMPTY(2, 3, 5), POP(1, 5, 5, 6)));
    /* one value after the other covers the whole of it ... */
    judged(&strict,
           HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 5), EMPTY(2, 4, 9), POP(1, 5, 6, 7), POP(1, 6, 10, 11)),
           HISTORY_WRONG_EMPTY, 1);
    /* ... or leaves one moment, or one stretch between two ticks */
    passes(&strict,
           HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 6), EMPTY(2, 4, 9), POP(1, 5, 6, 7), POP(1, 6, 10, 11)));
    passes(&strict,
           HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 7), EMPTY(2, 4, 9), POP(1, 5, 6, 7), POP(1, 6, 10, 11)));
}

TEST(a_weak_empty_needs_a_push_in_progress_that_may_be_older)
{
    /* 5 is on its way in, 6 lies behind it: the sequence ring answers EMPTY */
    const struct history_op excused[] = {PUSH(0, 5, 1, 9), PUSH(1, 6, 2, 3), EMPTY(2, 4, 5),
                                         POP(2, 5, 10, 11), POP(2, 6, 12, 13)};

    passes(&weak, excused, 5);
    judged(&two, excused, 5, HISTORY_WRONG_EMPTY, 1);
    /* no push in progress */
    judged(&weak, HISTORY(PUSH(0, 5, 1, 2), EMPTY(2, 3, 4)), HISTORY_WRONG_EMPTY, 1);
    /* the push in progress came after the value that is inside */
    judged(&weak, HISTORY(PUSH(0, 6, 1, 2), PUSH(1, 5, 3, 9), EMPTY(2, 4, 5)), HISTORY_WRONG_EMPTY, 1);
}

TEST(a_full_without_a_full_moment_is_wrong)
{
    judged(&two, HISTORY(PUSH(0, 5, 1, 2), FULL(0, 3, 4)), HISTORY_WRONG_FULL, 1);
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), FULL(0, 3, 4)), HISTORY_WRONG_FULL, 1);
    passes(&two, HISTORY(PUSH(0, 5, 1, 2), FULL(0, 3, 4), PUSH(1, 6, 4, 5)));
    passes(&two, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), FULL(0, 6, 7), POP(1, 5, 5, 6)));
    judged(&two, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), FULL(0, 7, 8), POP(1, 5, 5, 6)),
           HISTORY_WRONG_FULL, 1);
}

TEST(a_weak_full_needs_a_pop_in_progress_that_may_be_older)
{
    /* 5 is on its way out, 6 behind it has gone: the slot that is wanted next is not free yet */
    const struct history_op excused[] = {PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), FULL(0, 8, 9), POP(1, 5, 5, 12),
                                         POP(2, 6, 6, 7)};

    passes(&weak, excused, 5);
    judged(&two, excused, 5, HISTORY_WRONG_FULL, 1);
    /* no pop in progress */
    judged(&weak, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), FULL(0, 8, 9), POP(1, 5, 5, 6)),
           HISTORY_WRONG_FULL, 1);
    /* the pop in progress started after the one that made room */
    judged(&weak,
           HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), FULL(0, 8, 9), POP(1, 5, 5, 6), POP(2, 6, 7, 12)),
           HISTORY_WRONG_FULL, 1);
}

TEST(answers_that_are_switched_off_are_not_judged)
{
    passes(&unjudged, HISTORY(PUSH(0, 5, 1, 2), EMPTY(1, 3, 4), FULL(0, 5, 6)));
}

TEST(more_inside_than_fit_is_found)
{
    judged(&two, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), PUSH(0, 7, 5, 6), POP(1, 5, 7, 8)),
           HISTORY_OVERFULL, 1);
    passes(&two, HISTORY(PUSH(0, 5, 1, 2), PUSH(0, 6, 3, 4), PUSH(0, 7, 5, 6), POP(1, 5, 6, 8)));
}

TEST(closed_before_the_close_is_wrong)
{
    judged(&strict, HISTORY(PUSH_CLOSED(0, 1, 2), CLOSE(1, 3, 4)), HISTORY_WRONG_CLOSED, 1);
    judged(&strict, HISTORY(POP_CLOSED(0, 1, 2)), HISTORY_WRONG_CLOSED, 1);
    passes(&strict, HISTORY(PUSH_CLOSED(0, 1, 3), CLOSE(1, 3, 4), POP_CLOSED(2, 3, 3)));
}

TEST(a_push_that_succeeds_after_the_close_is_wrong)
{
    judged(&strict, HISTORY(CLOSE(1, 1, 2), PUSH(0, 5, 3, 4)), HISTORY_WRONG_CLOSED, 1);
    judged(&strict, HISTORY(CLOSE(1, 1, 9), PUSH_CLOSED(0, 1, 2), PUSH(2, 5, 3, 4)), HISTORY_WRONG_CLOSED, 1);
    passes(&strict, HISTORY(CLOSE(1, 1, 3), PUSH(0, 5, 3, 4)));
}

TEST(a_pop_that_answers_closed_is_the_end)
{
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), CLOSE(1, 3, 4), POP_CLOSED(2, 5, 6)), HISTORY_WRONG_CLOSED, 1);
    judged(&strict, HISTORY(PUSH(0, 5, 1, 7), CLOSE(1, 3, 4), POP_CLOSED(2, 5, 6), POP(3, 5, 7, 8)),
           HISTORY_WRONG_CLOSED, 1);
    passes(&strict, HISTORY(PUSH(0, 5, 1, 2), CLOSE(1, 3, 4), POP(3, 5, 5, 8), POP_CLOSED(2, 5, 6)));
}

TEST(a_history_that_cannot_be_is_unusable)
{
    judged(&strict, HISTORY(PUSH(0, 5, 1, 2), PUSH(1, 5, 1, 2)), HISTORY_UNUSABLE, 1);
    judged(&strict, HISTORY(PUSH(0, 5, 2, 1)), HISTORY_UNUSABLE, 1);
    judged(&strict, HISTORY(PUSH(HISTORY_MAX_THREADS, 5, 1, 2)), HISTORY_UNUSABLE, 1);
}

TEST(the_first_finding_names_the_operations)
{
    struct history_verdict verdict;

    CHECK(!history_check(
        HISTORY(PUSH(0, 0x5a, 101, 102), PUSH(1, 6, 103, 104), POP(2, 0x5a, 107, 108), POP(3, 6, 105, 106)),
        &strict, &verdict));
    EQ_STR(verdict.first, "ORDER: pop of thread 2 [6, 7], value 5a; see pop of thread 3 [4, 5]");
}

/* ---- a simulated queue ---- */

/* Threads take steps in random order; the clock ticks now and then, so that readings are often equal. A step
 * is the start of an operation, what it does to the queue, or its end. SEQUENCED splits what it does into the
 * claim of a slot and its publication, as the slot-sequence ring does. */
enum { MAX_CAPACITY = 64, SIM_THREADS = 4 };
enum sim_kind { ATOMIC, SEQUENCED };

struct sim {
    enum sim_kind kind;
    uint32_t capacity, threads;
    struct evb__rng *rng;
    int64_t clock;
    uint64_t slot[MAX_CAPACITY], seq[MAX_CAPACITY], head, tail, next_value;
    struct {
        struct history_op op;
        uint64_t position;
        int stage; /* 0 idle, 1 started, 2 claimed, 3 done */
    } thread[SIM_THREADS];
    struct history_log log[SIM_THREADS];
};

static uint64_t below(struct sim *s, uint64_t bound)
{
    return evb__rng_below(s->rng, bound);
}

/* What the operation does, or its first half. Pushes wait for seq == position, pops for position + 1. */
static void sim_claim(struct sim *s, uint32_t t)
{
    bool push = s->thread[t].op.kind == HISTORY_PUSH;
    uint64_t at = push ? s->tail : s->head, i = at % s->capacity;

    if (s->seq[i] != at + (push ? 0 : 1)) {
        s->thread[t].op.result = push ? HISTORY_FULL : HISTORY_EMPTY;
        s->thread[t].stage = 3;
        return;
    }
    s->thread[t].position = at;
    s->thread[t].stage = 2;
    if (push)
        s->tail++;
    else
        s->head++;
}

static void sim_publish(struct sim *s, uint32_t t)
{
    struct history_op *op = &s->thread[t].op;
    uint64_t at = s->thread[t].position, i = at % s->capacity;

    if (op->kind == HISTORY_PUSH) {
        s->slot[i] = op->value;
        s->seq[i] = at + 1;
    } else {
        op->value = s->slot[i];
        s->seq[i] = at + s->capacity;
    }
    op->result = HISTORY_OK;
    s->thread[t].stage = 3;
}

/* Of four operations that start, `pushes` push; 5 = nothing starts. */
static void sim_step(struct sim *s, uint32_t t, uint32_t pushes)
{
    struct history_op *op = &s->thread[t].op;

    s->clock += (int64_t)below(s, 3) / 2;
    switch (s->thread[t].stage) {
    case 0:
        if (pushes == 5) return;
        op->kind = below(s, 4) < pushes ? HISTORY_PUSH : HISTORY_POP;
        op->value = op->kind == HISTORY_PUSH ? s->next_value++ : 0;
        op->start = ++s->clock; /* the thread's own operations are apart */
        s->thread[t].stage = 1;
        break;
    case 1:
        sim_claim(s, t);
        if (s->kind == ATOMIC && s->thread[t].stage == 2) sim_publish(s, t);
        break;
    case 2:
        sim_publish(s, t);
        break;
    default:
        op->end = s->clock;
        history_add(&s->log[t], op->kind, op->result, op->value, op->start, op->end);
        s->thread[t].stage = 0;
    }
}

/* Runs until `ops` operations have been stored, then drains. The caller frees them. */
static struct history_op *simulate(enum sim_kind kind, uint32_t capacity, uint32_t threads, size_t ops,
                                   struct evb__rng *rng, size_t *ret_count)
{
    struct sim *s = calloc(1, sizeof *s);
    struct history_op *joined;
    size_t stored = 0;

    CHECK(s != NULL);
    s->kind = kind, s->capacity = capacity, s->threads = threads, s->rng = rng, s->next_value = 1;
    for (uint32_t i = 0; i < capacity; i++)
        s->seq[i] = i;
    for (uint32_t t = 0; t < threads; t++) {
        history_log_init(&s->log[t], (uint16_t)t, ops);
        s->thread[t].op.thread = (uint16_t)t;
    }
    for (uint64_t step = 0; stored < ops; step++) {
        uint32_t t = (uint32_t)below(s, threads);

        sim_step(s, t, (step >> 11) % 2 == 0 ? 3 : 1); /* runs full, runs empty */
        stored = 0;
        for (uint32_t i = 0; i < threads; i++)
            stored += s->log[i].count;
    }
    for (bool busy = true; busy || s->head != s->tail;) {
        busy = false;
        for (uint32_t t = 0; t < threads; t++) {
            sim_step(s, t, s->head != s->tail ? 0 : 5);
            busy = busy || s->thread[t].stage != 0;
        }
    }
    joined = history_join(s->log, threads, ret_count);
    for (uint32_t t = 0; t < threads; t++)
        history_log_free(&s->log[t]);
    free(s);
    return joined;
}

/* ---- an exhaustive search ---- */

/* Is there an order of the operations, agreeing with clock and threads, that a bounded queue can answer so?
 */
struct search {
    const struct history_op *ops;
    uint32_t count, capacity;
    bool drained;
    uint32_t done; /* bits */
    uint64_t queue[16];
    uint32_t from, to;
};

static bool must_wait(const struct search *s, uint32_t i)
{
    for (uint32_t k = 0; k < s->count; k++) {
        if (k == i || (s->done >> k & 1) != 0) continue;
        if (s->ops[k].end < s->ops[i].start) return true;
        if (s->ops[k].thread == s->ops[i].thread && k < i) return true;
    }
    return false;
}

/* What the queue would answer now. */
static bool agrees(struct search *s, const struct history_op *op)
{
    uint32_t inside = s->to - s->from;

    if (op->kind == HISTORY_PUSH) {
        bool full = s->capacity != 0 && inside == s->capacity;

        if ((op->result == HISTORY_FULL) != full) return false;
        if (!full) s->queue[s->to++] = op->value;
        return true;
    }
    if ((op->result == HISTORY_EMPTY) != (inside == 0)) return false;
    return inside == 0 || s->queue[s->from++] == op->value;
}

static bool search(struct search s)
{
    if (s.done == (1u << s.count) - 1) return !s.drained || s.from == s.to;
    for (uint32_t i = 0; i < s.count; i++) {
        struct search next = s;

        if ((s.done >> i & 1) != 0 || must_wait(&s, i) || !agrees(&next, &s.ops[i])) continue;
        next.done |= 1u << i;
        if (search(next)) return true;
    }
    return false;
}

/* One random change of an answer or of a clock reading. */
static void spoil(struct history_op *ops, uint32_t count, struct evb__rng *rng)
{
    struct history_op *a = &ops[evb__rng_below(rng, count)], *b = &ops[evb__rng_below(rng, count)];

    switch (evb__rng_below(rng, 5)) {
    case 0: /* two answers change places */
        if (a->kind == HISTORY_POP && b->kind == HISTORY_POP) {
            uint64_t value = a->value;
            uint8_t result = a->result;

            a->value = b->value, a->result = b->result;
            b->value = value, b->result = result;
        }
        break;
    case 1:
        if (a->kind == HISTORY_POP) a->result = HISTORY_EMPTY, a->value = 0;
        break;
    case 2:
        if (a->kind == HISTORY_PUSH) a->result = HISTORY_FULL;
        break;
    case 3: /* takes as long as it can, or as short */
        a->end = a->start;
        break;
    default:
        if (a->kind == HISTORY_POP && b->kind == HISTORY_PUSH) a->result = HISTORY_OK, a->value = b->value;
    }
}

enum { SMALL = 8 };

/* Small histories, most of them spoiled, judged by both. Answers in counts: wrong ones, and those not found.
 */
static void against_search(uint32_t capacity, uint32_t rounds, uint32_t *ret_wrong, uint32_t *ret_missed)
{
    uint32_t right = 0;

    *ret_wrong = *ret_missed = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        struct history_rules rules = {.capacity = capacity, .drained = round % 2 == 0};
        struct history_verdict verdict;
        size_t count;
        uint32_t threads = 2 + round % 2, sim_capacity = capacity != 0 ? capacity : 16;
        struct history_op *ops =
            simulate(ATOMIC, sim_capacity, threads, 4 + round % 3, evb_test_rng(), &count);
        bool possible, good;

        if (count > SMALL) count = SMALL, rules.drained = false;
        for (uint64_t n = evb__rng_below(evb_test_rng(), 4); n > 0; n--)
            spoil(ops, (uint32_t)count, evb_test_rng());
        possible = search((struct search){
            .ops = ops, .count = (uint32_t)count, .capacity = capacity, .drained = rules.drained});
        good = history_check(ops, count, &rules, &verdict);
        if (possible && !good) printf("round %u: false alarm: %s\n", round, verdict.first);
        CHECK(good || !possible);
        right += possible;
        *ret_wrong += !possible;
        *ret_missed += !possible && good;
        free(ops);
    }
    CHECK(right > rounds / 10);
    CHECK(*ret_wrong > rounds / 10);
}

TEST(an_unbounded_judge_agrees_with_an_exhaustive_search)
{
    uint32_t wrong, missed;

    against_search(0, 4000, &wrong, &missed);
    printf("unbounded: %u impossible histories, %u not found\n", wrong, missed);
    EQ(missed, 0);
}

TEST(a_bounded_judge_raises_no_false_alarm_and_misses_next_to_nothing)
{
    uint32_t wrong, missed;

    against_search(2, 4000, &wrong, &missed);
    printf("capacity 2: %u impossible histories, %u not found\n", wrong, missed);
    CHECK(missed <= wrong / 50);
}

/* ---- long histories ---- */

TEST(queues_that_are_right_pass_strictly)
{
    for (uint32_t capacity = 2; capacity <= 64; capacity *= 2) {
        struct history_rules rules = {.capacity = capacity, .drained = true};
        struct history_verdict verdict;
        size_t count;
        struct history_op *ops = simulate(ATOMIC, capacity, SIM_THREADS, 20000, evb_test_rng(), &count);

        if (!history_check(ops, count, &rules, &verdict)) printf("%s\n", verdict.first);
        EQ_STR(verdict.first, "");
        CHECK(verdict.empties > 100);
        CHECK(verdict.fulls > 100);
        EQ(verdict.popped, verdict.pushed);
        free(ops);
    }
}

TEST(a_sequence_ring_passes_weakly_and_not_strictly)
{
    uint64_t caught = 0;

    for (uint32_t capacity = 2; capacity <= 64; capacity *= 2) {
        struct history_rules rules = {.capacity = capacity, .drained = true};
        struct history_verdict verdict;
        size_t count;
        struct history_op *ops = simulate(SEQUENCED, capacity, SIM_THREADS, 20000, evb_test_rng(), &count);

        (void)history_check(ops, count, &rules, &verdict);
        caught += verdict.wrong[HISTORY_WRONG_EMPTY] + verdict.wrong[HISTORY_WRONG_FULL];
        rules.empty = rules.full = HISTORY_WEAK;
        if (!history_check(ops, count, &rules, &verdict))
            printf("capacity %u: %s\n", capacity, verdict.first);
        EQ_STR(verdict.first, "");
        free(ops);
    }
    printf("answers that only the weak rules accept: %u\n", (unsigned)caught);
    CHECK(caught > 100);
}

/* ---- one fault in a long history ---- */

struct long_history {
    struct history_op *ops;
    size_t count;
    struct evb__rng rng;
};

static struct history_op *any(struct long_history *h, int kind, int result)
{
    for (;;) {
        struct history_op *op = &h->ops[evb__rng_below(&h->rng, h->count)];

        if (op->kind == kind && op->result == result) return op;
    }
}

static const struct history_op *push_of(const struct long_history *h, uint64_t value)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->ops[i].kind == HISTORY_PUSH && h->ops[i].value == value) return &h->ops[i];
    return NULL;
}

/* Two pops that are ordered, of values whose pushes are. */
static void swap_two(struct long_history *h)
{
    for (;;) {
        struct history_op *a = any(h, HISTORY_POP, HISTORY_OK), *b = any(h, HISTORY_POP, HISTORY_OK);
        uint64_t value = a->value;

        if (a->end >= b->start || push_of(h, a->value)->end >= push_of(h, b->value)->start) continue;
        a->value = b->value;
        b->value = value;
        return;
    }
}

static void lose(struct long_history *h)
{
    any(h, HISTORY_POP, HISTORY_OK)->kind = HISTORY_CLOSE;
}

static void duplicate(struct long_history *h)
{
    struct history_op *empty = any(h, HISTORY_POP, HISTORY_EMPTY);

    empty->value = any(h, HISTORY_POP, HISTORY_OK)->value;
    empty->result = HISTORY_OK;
}

static void invent(struct long_history *h)
{
    struct history_op *empty = any(h, HISTORY_POP, HISTORY_EMPTY);

    empty->value = UINT64_MAX;
    empty->result = HISTORY_OK;
}

static void answer_empty_when_full(struct long_history *h)
{
    struct history_op *full = any(h, HISTORY_PUSH, HISTORY_FULL);

    full->kind = HISTORY_POP;
    full->result = HISTORY_EMPTY;
}

static void answer_full_when_empty(struct long_history *h)
{
    struct history_op *empty = any(h, HISTORY_POP, HISTORY_EMPTY);

    empty->kind = HISTORY_PUSH;
    empty->result = HISTORY_FULL;
}

TEST(one_fault_in_a_long_history_is_found_with_every_seed)
{
    static const struct {
        void (*spoil)(struct long_history *h);
        enum history_class found;
    } faults[] = {
        {swap_two, HISTORY_ORDER},
        {lose, HISTORY_LOST},
        {duplicate, HISTORY_DUPLICATED},
        {invent, HISTORY_INVENTED},
        {answer_empty_when_full, HISTORY_WRONG_EMPTY},
        {answer_full_when_empty, HISTORY_WRONG_FULL},
    };

    for (uint64_t seed = 0; seed < 10; seed++) {
        struct long_history right = {.count = 0};

        evb__rng_init(&right.rng, evb_test_seed() + seed);
        right.ops = simulate(ATOMIC, 64, SIM_THREADS, LONG, &right.rng, &right.count);
        for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++) {
            /* strict where the queue is, weak where only the sequence ring would be forgiven */
            struct history_rules rules = {.capacity = 64, .drained = true};
            struct history_verdict verdict;
            struct long_history h = {.count = right.count, .rng = right.rng};

            h.ops = malloc(right.count * sizeof *h.ops);
            CHECK(h.ops != NULL);
            memcpy(h.ops, right.ops, right.count * sizeof *h.ops);
            faults[f].spoil(&h);
            CHECK(!history_check(h.ops, h.count, &rules, &verdict));
            CHECK(verdict.wrong[faults[f].found] > 0);
            rules.empty = rules.full = HISTORY_WEAK;
            CHECK(!history_check(h.ops, h.count, &rules, &verdict));
            CHECK(verdict.wrong[faults[f].found] > 0);
            free(h.ops);
        }
        free(right.ops);
    }
}

TEST(a_million_operations_are_judged)
{
    struct history_rules rules = {.capacity = 64, .drained = true};
    struct history_verdict verdict;
    size_t count;
    struct history_op *ops = simulate(ATOMIC, 64, SIM_THREADS, 1000000, evb_test_rng(), &count);

    CHECK(count >= 1000000);
    CHECK(history_check(ops, count, &rules, &verdict));
    ops[any(&(struct long_history){.ops = ops, .count = count, .rng = *evb_test_rng()}, HISTORY_POP,
            HISTORY_OK) -
        ops]
        .value = 0;
    CHECK(!history_check(ops, count, &rules, &verdict));
    EQ(verdict.wrong[HISTORY_INVENTED], 1);
    free(ops);
}

/* ---- the recorder ---- */

TEST(of_failures_in_a_row_the_first_and_every_power_of_two_is_kept)
{
    struct history_log log;

    history_log_init(&log, 3, 4);
    for (int i = 1; i <= 10; i++)
        history_add(&log, HISTORY_POP, HISTORY_EMPTY, 0, i, i);
    EQ(log.count, 4);
    EQ(log.ops[3].start, 8);
    for (int i = 1; i <= 5; i++)
        history_add(&log, HISTORY_POP, HISTORY_OK, 7, i, i);
    EQ(log.count, 8);
    EQ(log.succeeded, 4);
    EQ(log.overflow, 1);
    history_add(&log, HISTORY_POP, HISTORY_EMPTY, 0, 20, 20); /* no room for failures left */
    EQ(log.count, 8);
    EQ(log.ops[7].thread, 3);
    EQ(log.ops[7].value, 7);
    history_log_free(&log);
}

TEST(clock_readings_do_not_go_back)
{
    int64_t last = history_start();

    for (int i = 0; i < 1000; i++) {
        int64_t next = i % 2 == 0 ? history_end() : history_start();

        CHECK(next >= last);
        last = next;
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_without_operations_passes),
        cmocka_unit_test(a_value_that_nobody_pushed_is_invented),
        cmocka_unit_test(a_pop_that_ends_before_the_push_starts_is_too_early),
        cmocka_unit_test(a_value_that_comes_out_again_is_duplicated),
        cmocka_unit_test(a_value_that_stays_in_a_drained_queue_is_lost),
        cmocka_unit_test(a_lossy_queue_may_lose_but_not_reorder),
        cmocka_unit_test(values_out_of_order_by_the_clock_are_found),
        cmocka_unit_test(a_value_overtaken_while_it_stays_inside_is_out_of_order),
        cmocka_unit_test(batches_keep_the_order_of_their_thread),
        cmocka_unit_test(per_producer_order_does_not_compare_producers),
        cmocka_unit_test(an_empty_without_an_empty_moment_is_wrong),
        cmocka_unit_test(a_weak_empty_needs_a_push_in_progress_that_may_be_older),
        cmocka_unit_test(a_full_without_a_full_moment_is_wrong),
        cmocka_unit_test(a_weak_full_needs_a_pop_in_progress_that_may_be_older),
        cmocka_unit_test(answers_that_are_switched_off_are_not_judged),
        cmocka_unit_test(more_inside_than_fit_is_found),
        cmocka_unit_test(closed_before_the_close_is_wrong),
        cmocka_unit_test(a_push_that_succeeds_after_the_close_is_wrong),
        cmocka_unit_test(a_pop_that_answers_closed_is_the_end),
        cmocka_unit_test(a_history_that_cannot_be_is_unusable),
        cmocka_unit_test(the_first_finding_names_the_operations),
        cmocka_unit_test(an_unbounded_judge_agrees_with_an_exhaustive_search),
        cmocka_unit_test(a_bounded_judge_raises_no_false_alarm_and_misses_next_to_nothing),
        cmocka_unit_test(queues_that_are_right_pass_strictly),
        cmocka_unit_test(a_sequence_ring_passes_weakly_and_not_strictly),
        cmocka_unit_test(one_fault_in_a_long_history_is_found_with_every_seed),
        cmocka_unit_test(a_million_operations_are_judged),
        cmocka_unit_test(of_failures_in_a_row_the_first_and_every_power_of_two_is_kept),
        cmocka_unit_test(clock_readings_do_not_go_back),
    };
    return EVB_TEST_MAIN("history", tests, argc, argv);
}
