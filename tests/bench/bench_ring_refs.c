/* SPDX-License-Identifier: MIT */
/* The references of the rings: Vyukov's queue, mutex and condition variables, and two bare cache lines. */
#include "bench_ring.h"

#include <stdlib.h>
#include <string.h>

#include "bench_flow.h"
#include "ring_mutex.h"

/* ---- Vyukov ---- */

#define VYUKOV_ELEM  struct flow_8
#define VYUKOV(name) vyukov8_##name
#include "ring_vyukov.h"
#undef VYUKOV
#define VYUKOV_ELEM  struct flow_16
#define VYUKOV(name) vyukov16_##name
#include "ring_vyukov.h"
#undef VYUKOV
#define VYUKOV_ELEM  struct flow_64
#define VYUKOV(name) vyukov64_##name
#include "ring_vyukov.h"
#undef VYUKOV
#define VYUKOV_ELEM  struct flow_256
#define VYUKOV(name) vyukov256_##name
#include "ring_vyukov.h"
#undef VYUKOV

#define LOOPS            vyukov8_kernel
#define LOOPS_BYTES      8
#define LOOPS_RING       struct vyukov8_ring
#define LOOPS_PUSH(r, e) vyukov8_push(r, e)
#define LOOPS_POP(r, e)  vyukov8_pop(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            vyukov16_kernel
#define LOOPS_BYTES      16
#define LOOPS_RING       struct vyukov16_ring
#define LOOPS_PUSH(r, e) vyukov16_push(r, e)
#define LOOPS_POP(r, e)  vyukov16_pop(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            vyukov64_kernel
#define LOOPS_BYTES      64
#define LOOPS_RING       struct vyukov64_ring
#define LOOPS_PUSH(r, e) vyukov64_push(r, e)
#define LOOPS_POP(r, e)  vyukov64_pop(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            vyukov256_kernel
#define LOOPS_BYTES      256
#define LOOPS_RING       struct vyukov256_ring
#define LOOPS_PUSH(r, e) vyukov256_push(r, e)
#define LOOPS_POP(r, e)  vyukov256_pop(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

static void *make_vyukov8(const struct flow_ring *ring, uint32_t capacity)
{
    (void)ring;
    return vyukov8_create(capacity);
}

static void *make_vyukov16(const struct flow_ring *ring, uint32_t capacity)
{
    (void)ring;
    return vyukov16_create(capacity);
}

static void *make_vyukov64(const struct flow_ring *ring, uint32_t capacity)
{
    (void)ring;
    return vyukov64_create(capacity);
}

static void *make_vyukov256(const struct flow_ring *ring, uint32_t capacity)
{
    (void)ring;
    return vyukov256_create(capacity);
}

static void add_vyukov(void)
{
    static const struct flow_ring rings[] = {
        {"vyukov", "mpmc", &vyukov8_kernel, make_vyukov8, vyukov8_destroy, {0}},
        {"vyukov", "mpmc", &vyukov16_kernel, make_vyukov16, vyukov16_destroy, {0}},
        {"vyukov", "mpmc", &vyukov64_kernel, make_vyukov64, vyukov64_destroy, {0}},
        {"vyukov", "mpmc", &vyukov256_kernel, make_vyukov256, vyukov256_destroy, {0}},
    };

    for (uint32_t i = 0; i < 4; i++)
        flow_add_pair(&rings[i]);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != 1) flow_add_stream(&rings[i], 1, 1, FLOW_SPIN, FLOW_CAPACITY);
    }
    flow_add_stream(&rings[0], 1, 1, FLOW_SPIN, FLOW_LARGE);
    for (uint32_t wait = FLOW_SPIN; wait <= FLOW_YIELD; wait++) {
        flow_add_stream(&rings[0], 4, 1, wait, FLOW_CAPACITY);
        flow_add_stream(&rings[0], 1, 4, wait, FLOW_CAPACITY);
        flow_add_stream(&rings[0], 4, 4, wait, FLOW_CAPACITY);
    }
    flow_add_stream(&rings[2], 4, 4, FLOW_YIELD, FLOW_CAPACITY);
    flow_add_pingpong(&rings[0]);
}

/* ---- mutex and condition variables ---- */

#define LOOPS            mutex_kernel
#define LOOPS_BYTES      8
#define LOOPS_RING       struct mutex_ring
#define LOOPS_PUSH(r, e) (mutex_ring_push(r, (e)->word[0]), true)
#define LOOPS_POP(r, e)  ((e)->word[0] = mutex_ring_pop(r), true)
#define LOOPS_BLOCKING   1
#include "bench_flow_loops.h"

static void *make_mutex(const struct flow_ring *ring, uint32_t capacity)
{
    (void)ring;
    return mutex_ring_create(capacity);
}

static void add_mutex(void)
{
    static const struct flow_ring ring = {"mutex", "mpmc", &mutex_kernel, make_mutex, mutex_ring_destroy,
                                          {0}};

    flow_add_pair(&ring);
    flow_add_stream(&ring, 1, 1, FLOW_BLOCK, FLOW_CAPACITY);
    flow_add_stream(&ring, 4, 1, FLOW_BLOCK, FLOW_CAPACITY);
    flow_add_stream(&ring, 1, 4, FLOW_BLOCK, FLOW_CAPACITY);
    flow_add_stream(&ring, 4, 4, FLOW_BLOCK, FLOW_CAPACITY);
    flow_add_pingpong(&ring);
}

/* ---- two lines: a store on one side, a look on the other; for ping-pong only, since it would overwrite ----
 */

struct line {
    uint64_t value; /* atomic */
    char pad1[FLOW_LINE - 8];
    uint64_t last; /* the reader's */
    char pad2[FLOW_LINE - 8];
};

static inline bool line_push(struct line *line, const struct flow_8 *e)
{
    __atomic_store_n(&line->value, e->word[0], __ATOMIC_RELEASE);
    return true;
}

static inline bool line_pop(struct line *line, struct flow_8 *e)
{
    e->word[0] = __atomic_load_n(&line->value, __ATOMIC_ACQUIRE);
    if (e->word[0] == line->last) return false;
    line->last = e->word[0];
    return true;
}

#define LOOPS            line_kernel
#define LOOPS_BYTES      8
#define LOOPS_RING       struct line
#define LOOPS_PUSH(r, e) line_push(r, e)
#define LOOPS_POP(r, e)  line_pop(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

static void *make_line(const struct flow_ring *ring, uint32_t capacity)
{
    struct line *line = aligned_alloc(FLOW_LINE, sizeof *line);

    (void)ring;
    (void)capacity;
    if (line != NULL) memset(line, 0, sizeof *line);
    return line;
}

static void add_line(void)
{
    static const struct flow_ring ring = {"raw", "spsc", &line_kernel, make_line, free, {0}};

    flow_add_pingpong(&ring);
}

void ring_add_references(void)
{
    add_vyukov();
    add_mutex();
    add_line();
}
