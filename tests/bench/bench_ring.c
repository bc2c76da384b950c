/* SPDX-License-Identifier: MIT */
/* The rings: every kind and progress class through the exported functions, the single-producer ones also
 * inline, beside the references of bench_ring_refs.c.
 *
 * Built twice, as bench_emit is: against the static library, and against the shared one (BENCH_IMPL_END .so)
 * for the cases in which the price of a call can be seen. The harness is bench_flow.c.
 *
 *      by             evbus-ptr  SPSC of pointers         evbus-lf   lock-free MPMC, MPSC, SPMC
 *                     evbus-val  SPSC by value            evbus-seq  sequenced MPMC, MPSC, SPMC
 *                     .inl  inline    .zc  in place: reserve and commit, peek and consume    .so  shared
 * library
 */
#include "bench_ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <evbus.h>
#include <evbus/ring_inline.h>

#include "bench_flow.h"

#ifndef BENCH_IMPL_END
#define BENCH_IMPL_END ""
#endif
#define TIMEOUT_NS 1000000000 /* a blocking call with a limit, as programs use it */

static inline bool push_block(evb_ring *ring, const void *elem)
{
    return evb_ring_push(ring, elem, TIMEOUT_NS) == EVB_OK;
}

static inline bool pop_block(evb_ring *ring, void *ret_elem)
{
    return evb_ring_pop(ring, ret_elem, TIMEOUT_NS) == EVB_OK;
}

/* ---- kernels: through the function ---- */

#define LOOPS                    call8
#define LOOPS_BYTES              8
#define LOOPS_RING               evb_ring
#define LOOPS_PUSH(r, e)         (evb_ring_try_push(r, e) == EVB_OK)
#define LOOPS_POP(r, e)          (evb_ring_try_pop(r, e) == EVB_OK)
#define LOOPS_PUSH_MANY(r, e, n) evb_ring_try_push_many(r, e, n)
#define LOOPS_POP_MANY(r, e, n)  evb_ring_try_pop_many(r, e, n)
#define LOOPS_BLOCKING           0
#include "bench_flow_loops.h"

#define LOOPS            call16
#define LOOPS_BYTES      16
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) (evb_ring_try_push(r, e) == EVB_OK)
#define LOOPS_POP(r, e)  (evb_ring_try_pop(r, e) == EVB_OK)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            call64
#define LOOPS_BYTES      64
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) (evb_ring_try_push(r, e) == EVB_OK)
#define LOOPS_POP(r, e)  (evb_ring_try_pop(r, e) == EVB_OK)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            call256
#define LOOPS_BYTES      256
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) (evb_ring_try_push(r, e) == EVB_OK)
#define LOOPS_POP(r, e)  (evb_ring_try_pop(r, e) == EVB_OK)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

/* ---- kernels: waiting inside the call ---- */

#define LOOPS            block8
#define LOOPS_BYTES      8
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) push_block(r, e)
#define LOOPS_POP(r, e)  pop_block(r, e)
#define LOOPS_BLOCKING   1
#include "bench_flow_loops.h"

#ifndef BENCH_SHARED

#define LOOPS            block64
#define LOOPS_BYTES      64
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) push_block(r, e)
#define LOOPS_POP(r, e)  pop_block(r, e)
#define LOOPS_BLOCKING   1
#include "bench_flow_loops.h"

#define LOOPS            block256
#define LOOPS_BYTES      256
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) push_block(r, e)
#define LOOPS_POP(r, e)  pop_block(r, e)
#define LOOPS_BLOCKING   1
#include "bench_flow_loops.h"

/* ---- kernels: inline ---- */

#define LOOPS            inline8
#define LOOPS_BYTES      8
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) (evb_ring_try_push_inline(r, e) == EVB_OK)
#define LOOPS_POP(r, e)  (evb_ring_try_pop_inline(r, e) == EVB_OK)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            inline16
#define LOOPS_BYTES      16
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) (evb_ring_try_push_inline(r, e) == EVB_OK)
#define LOOPS_POP(r, e)  (evb_ring_try_pop_inline(r, e) == EVB_OK)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            inline64
#define LOOPS_BYTES      64
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) (evb_ring_try_push_inline(r, e) == EVB_OK)
#define LOOPS_POP(r, e)  (evb_ring_try_pop_inline(r, e) == EVB_OK)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            inline256
#define LOOPS_BYTES      256
#define LOOPS_RING       evb_ring
#define LOOPS_PUSH(r, e) (evb_ring_try_push_inline(r, e) == EVB_OK)
#define LOOPS_POP(r, e)  (evb_ring_try_pop_inline(r, e) == EVB_OK)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

/* ---- kernel: in place ---- */

static void push_in_place(struct flow_lane *lane)
{
    evb_ring *ring = lane->ring;
    uint64_t value = lane->first, refused = 0;

    do {
        uint32_t done = 0;

        while (done < lane->batch) {
            void *room;
            int32_t n = evb_ring_reserve(ring, lane->batch - done, &room);

            if (n <= 0) {
                flow_wait(lane);
                continue;
            }
            for (int32_t i = 0; i < n; i++)
                ((struct flow_8 *)room)[i].word[0] = ++value;
            refused |= evb_ring_commit(ring, (uint32_t)n) != EVB_OK;
            done += (uint32_t)n;
        }
    } while (!flow_stopped(lane));
    lane->count = value - lane->first;
    lane->sum = flow_sum(lane->first, value);
    lane->torn = refused;
    flow_last_pusher(lane);
}

static void pop_in_place(struct flow_lane *lane)
{
    evb_ring *ring = lane->ring;
    uint64_t count = 0, sum = 0, refused = 0;
    bool ended = false;

    for (;;) {
        const void *elems;
        int32_t n = evb_ring_peek(ring, lane->batch, &elems);

        if (n > 0) {
            for (int32_t i = 0; i < n; i++)
                sum += ((const struct flow_8 *)elems)[i].word[0];
            refused |= evb_ring_consume(ring, (uint32_t)n) != EVB_OK;
            count += (uint32_t)n;
        } else if (ended) {
            break;
        } else {
            ended = flow_ended(lane);
            if (!ended) flow_wait(lane);
        }
    }
    lane->count = count;
    lane->sum = sum;
    lane->torn = refused;
}

static const struct flow_kernel in_place8 = {8,          false,      call8_pair,    call8_push,  call8_pop,
                                             call8_ping, call8_echo, push_in_place, pop_in_place};

#endif

/* ---- kinds ---- */

struct kind {
    const char *form, *mode;
    uint32_t param[3]; /* mode, progress, flags */
};

enum { PTR, VAL, MPMC_LF, MPMC_SEQ, MPSC_LF, MPSC_SEQ, SPMC_LF, SPMC_SEQ, KINDS };

static const struct kind kinds[KINDS] = {
    {"ptr", "spsc", {EVB_RING_SPSC, EVB_RING_LOCK_FREE, EVB_RING_POINTERS}},
    {"val", "spsc", {EVB_RING_SPSC, EVB_RING_LOCK_FREE, 0}},
    {"lf", "mpmc", {EVB_RING_MPMC, EVB_RING_LOCK_FREE, 0}},
    {"seq", "mpmc", {EVB_RING_MPMC, EVB_RING_SEQUENCED, 0}},
    {"lf", "mpsc", {EVB_RING_MPSC, EVB_RING_LOCK_FREE, 0}},
    {"seq", "mpsc", {EVB_RING_MPSC, EVB_RING_SEQUENCED, 0}},
    {"lf", "spmc", {EVB_RING_SPMC, EVB_RING_LOCK_FREE, 0}},
    {"seq", "spmc", {EVB_RING_SPMC, EVB_RING_SEQUENCED, 0}},
};

static void *make(const struct flow_ring *ring, uint32_t capacity)
{
    evb_ring_opts opts = {.struct_size = sizeof opts,
                          .mode = ring->param[0],
                          .capacity = capacity,
                          .elem_bytes = ring->kernel->elem_bytes,
                          .progress = ring->param[1],
                          .flags = ring->param[2]};
    evb_ring *made = NULL;
    int32_t rc = evb_ring_create(&opts, &made);

    if (rc != EVB_OK) fprintf(stderr, "evb_ring_create: %s\n", evb_strerror(rc));
    return made;
}

static void end(void *ring)
{
    evb_ring_destroy(ring);
}

static const struct flow_ring *ring_of(uint32_t kind, const struct flow_kernel *kernel, const char *suffix)
{
    struct {
        struct flow_ring ring;
        char impl[24];
    } *r = calloc(1, sizeof *r); /* lasts as long as the program */

    bench_require(r != NULL, "no memory");
    snprintf(r->impl, sizeof r->impl, "evbus-%s%s%s", kinds[kind].form, suffix, BENCH_IMPL_END);
    r->ring = (struct flow_ring){
        .impl = r->impl, .mode = kinds[kind].mode, .kernel = kernel, .make = make, .end = end};
    memcpy(r->ring.param, kinds[kind].param, sizeof r->ring.param);
    return &r->ring;
}

/* ---- cases ---- */

static void add_pairs(void)
{
    static const struct flow_kernel *const call[] = {&call8, &call16, &call64, &call256};

    for (uint32_t size = 0; size < 4; size++) {
        for (uint32_t kind = size == 0 ? PTR : VAL; kind < KINDS; kind++)
            flow_add_pair(ring_of(kind, call[size], ""));
    }
    for (uint32_t kind = 0; kind < KINDS; kind++)
        flow_add_pair(ring_of(kind, &block8, ""));
}

#ifdef BENCH_SHARED

static void add_streams(void)
{
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        flow_add_stream(ring_of(kind, &call8, ""), 1, 1, FLOW_SPIN, FLOW_CAPACITY);
        flow_add_stream(ring_of(kind, &block8, ""), 1, 1, FLOW_BLOCK, FLOW_CAPACITY);
    }
}

#else

static void add_inline_pairs(void)
{
    static const struct flow_kernel *const inlined[] = {&inline8, &inline16, &inline64, &inline256};

    flow_add_pair(ring_of(PTR, &inline8, ".inl"));
    for (uint32_t size = 0; size < 4; size++)
        flow_add_pair(ring_of(VAL, inlined[size], ".inl"));
}

static void add_streams(void)
{
    static const struct flow_kernel *const call[] = {&call8, &call64, &call256};
    static const struct flow_kernel *const block[] = {&block8, &block64, &block256};
    static const struct flow_kernel *const inlined[] = {&inline8, &inline64, &inline256};

    for (uint32_t size = 0; size < 3; size++) {
        for (uint32_t kind = size == 0 ? PTR : VAL; kind < KINDS; kind++) {
            flow_add_stream(ring_of(kind, call[size], ""), 1, 1, FLOW_SPIN, FLOW_CAPACITY);
            flow_add_stream(ring_of(kind, block[size], ""), 1, 1, FLOW_BLOCK, FLOW_CAPACITY);
        }
        flow_add_stream(ring_of(VAL, inlined[size], ".inl"), 1, 1, FLOW_SPIN, FLOW_CAPACITY);
    }
    flow_add_stream(ring_of(PTR, &inline8, ".inl"), 1, 1, FLOW_SPIN, FLOW_CAPACITY);
    for (uint32_t kind = 0; kind < KINDS; kind++)
        flow_add_stream(ring_of(kind, &call8, ""), 1, 1, FLOW_SPIN, FLOW_LARGE);
    flow_add_stream(ring_of(PTR, &inline8, ".inl"), 1, 1, FLOW_SPIN, FLOW_LARGE);
    flow_add_stream(ring_of(VAL, &inline8, ".inl"), 1, 1, FLOW_SPIN, FLOW_LARGE);
}

static void add_batches(void)
{
    for (uint32_t batch = 16; batch <= 64; batch *= 4) {
        for (uint32_t kind = 0; kind < KINDS; kind++)
            flow_add_batch(ring_of(kind, &call8, ""), batch);
        flow_add_batch(ring_of(VAL, &in_place8, ".zc"), batch);
    }
}

static void add_crowd(uint32_t kind, uint32_t pushers, uint32_t poppers)
{
    flow_add_stream(ring_of(kind, &call8, ""), pushers, poppers, FLOW_SPIN, FLOW_CAPACITY);
    flow_add_stream(ring_of(kind, &call8, ""), pushers, poppers, FLOW_YIELD, FLOW_CAPACITY);
    flow_add_stream(ring_of(kind, &block8, ""), pushers, poppers, FLOW_BLOCK, FLOW_CAPACITY);
}

static void add_crowds(void)
{
    for (uint32_t kind = MPMC_LF; kind <= MPMC_SEQ; kind++) {
        add_crowd(kind, 4, 1);
        add_crowd(kind, 1, 4);
        add_crowd(kind, 4, 4);
        flow_add_stream(ring_of(kind, &call64, ""), 4, 4, FLOW_YIELD, FLOW_CAPACITY);
    }
    for (uint32_t kind = MPSC_LF; kind <= MPSC_SEQ; kind++)
        add_crowd(kind, 4, 1);
    for (uint32_t kind = SPMC_LF; kind <= SPMC_SEQ; kind++)
        add_crowd(kind, 1, 4);
}

static void add_pingpongs(void)
{
    for (uint32_t kind = PTR; kind <= MPMC_SEQ; kind++) {
        flow_add_pingpong(ring_of(kind, &call8, ""));
        flow_add_pingpong(ring_of(kind, &block8, ""));
    }
    flow_add_pingpong(ring_of(PTR, &inline8, ".inl"));
    flow_add_pingpong(ring_of(VAL, &inline8, ".inl"));
}

#endif

int main(int argc, char **argv)
{
    bench_info("evbus", evb_version_string());
    add_pairs();
    add_streams();
#ifndef BENCH_SHARED
    add_inline_pairs();
    add_batches();
    add_crowds();
    add_pingpongs();
    ring_add_references();
#endif
    return bench_main(argc, argv);
}
