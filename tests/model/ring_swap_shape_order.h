/* SPDX-License-Identifier: MIT */
/* What a shape of the lock-free ring is, what its calls answered, and the oracle over that.
 *
 * Oracle: there must be an order of all calls, each thread's in program order and the flag's two sides in
 * theirs, in which a queue of that capacity answers what the ring answered and ends with what the ring still
 * holds. That is conservation, first in first out, exact full and empty, and the oldest dropped, at once, and
 * on a weak memory. A LINEARIZABLE case runs without stale reads, and there a call that ended before another
 * began comes first.
 *
 * A single consumer's stores are a release only, so there one order is too much: of two threads one may
 * answer full and the other empty, each before it sees what the other one did (store buffering). For each
 * thread there must be an order of all calls that changed the ring and of this thread's refusals (full,
 * empty, a push that found it closed, a look).
 *
 * A batch is as many single calls, and a refusal behind them when it was cut short. close() is not one moment
 * for pushes that have begun before it returns: those may succeed until a pop has answered EVB_ECLOSED.
 */
#ifndef RING_SWAP_SHAPE_ORDER_H
#define RING_SWAP_SHAPE_ORDER_H

#include "base/atomic.h"
#include "base/reader.h"
#include "explore.h"
#include "ring/ring.h"
#include "ring/swap.h"

enum {
    SWAP_THREADS = 4, /* as many as there are reader slots without allocation */
    SWAP_ALL = SWAP_THREADS,
    SWAP_OPS = 16,    /* of a thread */
    SWAP_INSIDE = 16, /* elements of the model queue */
    SWAP_WORDS = 8,   /* of the largest element */
    SWAP_RANDOM = 4000,
};

/* Seeded bugs are not looked for with the last: random walks read stale values whatever the shape says. */
enum swap_oracle {
    SWAP_BY_MODE = 0, /* one order, unless a single consumer stores */
    SWAP_EACH_THREAD, /* where a seeded bug shall be seen as a race, not by the answers */
    SWAP_ONE_ORDER,
    SWAP_LINEARIZABLE
};

struct swap_case {
    const char *name;
    uint32_t mode, capacity, flags;
    uint32_t size;   /* of an element; 0 = 8 bytes */
    uint64_t start;  /* position of the first element */
    uint32_t inside; /* left inside before the threads begin */
    const char *script[SWAP_THREADS];
    bool never_empty, never_full; /* said once more, independent of the oracle */
    bool recycled;         /* threads take a reader slot at their first push and give it back at their end */
    uint32_t near_threads; /* 0: as created. Else as if elements were large */
    uint32_t first_number; /* of thread 0 */
    uint64_t tail_behind, head_behind; /* the hints at the start, by laps */
    enum swap_oracle oracle;
    const char *bug; /* as in explore.h */

    int preemptions;
    enum explore_barrier barrier;
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct swap_case swap_cases[];

/* ---- what happened ---- */

enum swap_kind {
    SWAP_PUSH,
    SWAP_POP,
    SWAP_PUSH_CUT,
    SWAP_POP_CUT,
    SWAP_CLOSE,
    SWAP_AFTER,
    SWAP_LOOK, /* rc: evb__swap_filled */
    SWAP_SAY,  /* that it goes to sleep */
    SWAP_HEAR  /* rc: somebody sleeps */
};

struct swap_op {
    enum swap_kind kind;
    int32_t rc;
    uint32_t began, ended; /* in the explorer's time; the search tries the order of the ends first */
    uint8_t value;         /* PUSH, POP; AFTER: the other thread */
    uint8_t count;         /* AFTER: its calls until then */
    bool knew;             /* that the ring is closed, before the call */
};

static struct {
    evb_ring *ring;
    struct evb__self selves[SWAP_THREADS];
    struct swap_op op[SWAP_THREADS][SWAP_OPS];
    uint8_t count[SWAP_THREADS], pushed[SWAP_THREADS];
    bool knows_closed[SWAP_THREADS];
    uint32_t now, moved; /* moved: elements in and out so far, by anybody */
    uint8_t before[SWAP_INSIDE], left[SWAP_INSIDE];
    uint32_t left_count;
    uint64_t total_in, total_out;
    uint8_t flag_thread, flag_count;
    EVB__ATOMIC(uint32_t) flag;
    EVB__ATOMIC(uint32_t) asleep;
    uint32_t payload[128]; /* plain: what a thread wrote before it pushed the element of this value */
    uint32_t last_words[SWAP_THREADS]; /* plain: written before close; read with EVB_ECLOSED */
    bool closing[SWAP_THREADS];
} swap;

static inline const struct swap_case *swap_case(void)
{
    return &swap_cases[explore_variant()];
}

static inline uint32_t swap_size(void)
{
    return swap_case()->size != 0 ? swap_case()->size : 8;
}

static void swap_note(struct swap_op op)
{
    unsigned t = explore_thread();

    explore_check(swap.count[t] < SWAP_OPS, "explorer: too many calls for the log");
    op.ended = swap.now;
    swap.op[t][swap.count[t]++] = op;
    if (op.kind != SWAP_CLOSE && op.rc != EVB_ECLOSED) return;
    for (unsigned i = 0; i < SWAP_THREADS; i++)
        if (i == t || swap_case()->oracle == SWAP_LINEARIZABLE) swap.knows_closed[i] = true;
}

/* ---- the oracle ---- */

static inline bool swap_each_thread(void)
{
    const struct swap_case *c = swap_case();

    if (c->oracle == SWAP_EACH_THREAD) return true;
    return c->oracle == SWAP_BY_MODE && c->mode == EVB_RING_MPSC && !(c->flags & EVB_RING_OVERWRITE);
}

struct swap_model {
    uint8_t at[SWAP_THREADS];
    uint8_t queue[SWAP_INSIDE];
    uint8_t size;
    bool closed, sealed, asleep;
    uint32_t dropped;
};

static bool swap_model_push(struct swap_model *m, const struct swap_op *op)
{
    uint32_t capacity = swap.ring->front.c.s.mask + 1;
    bool overwrite = (swap_case()->flags & EVB_RING_OVERWRITE) != 0;

    if (op->rc == EVB_ECLOSED) return m->closed;
    if (op->knew) return false;
    if (op->rc == EVB_EFULL) return m->size == capacity && !overwrite;
    if (m->sealed) return false;
    if (m->size == capacity) {
        if (!overwrite) return false;
        memmove(m->queue, m->queue + 1, --m->size);
        m->dropped++;
    }
    m->queue[m->size++] = op->value;
    return true;
}

static bool swap_model_pop(struct swap_model *m, const struct swap_op *op)
{
    if (op->rc == EVB_EEMPTY) return m->size == 0 && !m->closed;
    if (op->rc == EVB_ECLOSED) return m->size == 0 && m->closed && (m->sealed = true);
    if (m->size == 0 || m->queue[0] != op->value) return false;
    memmove(m->queue, m->queue + 1, --m->size);
    return true;
}

static bool swap_model_takes(struct swap_model *m, const struct swap_op *op)
{
    bool overwrite = (swap_case()->flags & EVB_RING_OVERWRITE) != 0;

    switch (op->kind) {
    case SWAP_PUSH:
        return swap_model_push(m, op);
    case SWAP_POP:
        return swap_model_pop(m, op);
    case SWAP_PUSH_CUT:
        return m->closed || (!overwrite && m->size == swap.ring->front.c.s.mask + 1);
    case SWAP_POP_CUT:
        return m->size == 0; /* if it found the ring closed, it may or may not have sealed it: nobody knows */
    case SWAP_CLOSE:
        return m->closed = true;
    case SWAP_LOOK:
        return (op->rc != 0) == (m->size != 0);
    case SWAP_SAY:
        return m->asleep = true;
    case SWAP_HEAR:
        return (op->rc != 0) == m->asleep;
    default:
        return m->at[op->value] >= op->count;
    }
}

static bool swap_model_ends(const struct swap_model *m)
{
    return m->size == swap.left_count && memcmp(m->queue, swap.left, m->size) == 0 &&
           m->dropped == evb_ring_dropped(swap.ring);
}

/* Did the call change nothing, so that only its own thread's order has to explain it? */
static bool swap_is_refusal(const struct swap_op *op)
{
    if (op->kind == SWAP_PUSH) return op->rc != EVB_OK;
    if (op->kind == SWAP_POP)
        return op->rc == EVB_EEMPTY; /* EVB_ECLOSED is for all: no push succeeds after */
    return op->kind == SWAP_PUSH_CUT || op->kind == SWAP_POP_CUT || op->kind == SWAP_LOOK;
}

/* Has no call that is still left ended before this one began? */
static bool swap_in_time(const struct swap_model *m, const struct swap_op *op)
{
    if (swap_case()->oracle != SWAP_LINEARIZABLE) return true;
    for (unsigned t = 0; t < SWAP_THREADS; t++)
        if (m->at[t] != swap.count[t] && swap.op[t][m->at[t]].ended < op->began) return false;
    return true;
}

/* Is there an order from here on? view: whose refusals it must explain; SWAP_ALL: everybody's. */
static bool swap_explained(const struct swap_model *m, unsigned view)
{
    unsigned tried = 0;

    for (;;) {
        struct swap_model next = *m;
        const struct swap_op *op = NULL;
        unsigned best = 0;
        bool done = true;

        for (unsigned t = 0; t < SWAP_THREADS; t++) {
            const struct swap_op *first = &swap.op[t][m->at[t]];

            if (m->at[t] == swap.count[t]) continue;
            done = false;
            if ((tried >> t & 1) || (op != NULL && op->ended <= first->ended)) continue;
            op = first;
            best = t;
        }
        if (done) return swap_model_ends(m);
        if (op == NULL) return false;
        tried |= 1u << best;
        if (view == SWAP_ALL ? !swap_in_time(m, op) || !swap_model_takes(&next, op)
                             : (view == best || !swap_is_refusal(op)) && !swap_model_takes(&next, op))
            continue;
        next.at[best]++;
        if (swap_explained(&next, view)) return true;
    }
}

/* m: what was inside before the threads began. */
static void swap_check_answers(const struct swap_model *m)
{
    if (!swap_each_thread()) {
        explore_check(swap_explained(m, SWAP_ALL), "no order explains what all calls answered");
        return;
    }
    for (unsigned t = 0; t < SWAP_THREADS; t++) {
        bool refused = t == 0; /* the changes themselves: once */

        for (unsigned i = 0; i < swap.count[t]; i++)
            refused = refused || swap_is_refusal(&swap.op[t][i]);
        explore_check(!refused || swap_explained(m, t),
                      "no order explains what the calls of a thread answered");
    }
}

#endif
