/* SPDX-License-Identifier: MIT */
/* Peer: Concurrency Kit's ck_ring, which holds pointers: SPSC, and MPMC (in-order commit). One slot of the
 * size stays free, so 1023 elements fit. */
#include <ck_ring.h>
#include <stdlib.h>

#include "bench_flow.h"

struct ring {
    ck_ring_t ring;
    ck_ring_buffer_t slots[];
};

static inline bool push_sp(struct ring *r, const struct flow_8 *e)
{
    return ck_ring_enqueue_spsc(&r->ring, r->slots, (void *)(uintptr_t)e->word[0]);
}

static inline bool pop_sc(struct ring *r, struct flow_8 *e)
{
    void *out;

    if (!ck_ring_dequeue_spsc(&r->ring, r->slots, &out)) return false;
    e->word[0] = (uintptr_t)out;
    return true;
}

static inline bool push_mp(struct ring *r, const struct flow_8 *e)
{
    return ck_ring_enqueue_mpmc(&r->ring, r->slots, (void *)(uintptr_t)e->word[0]);
}

static inline bool pop_mc(struct ring *r, struct flow_8 *e)
{
    void *out;

    if (!ck_ring_dequeue_mpmc(&r->ring, r->slots, &out)) return false;
    e->word[0] = (uintptr_t)out;
    return true;
}

#define LOOPS            spsc
#define LOOPS_BYTES      8
#define LOOPS_RING       struct ring
#define LOOPS_PUSH(r, e) push_sp(r, e)
#define LOOPS_POP(r, e)  pop_sc(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            mpmc
#define LOOPS_BYTES      8
#define LOOPS_RING       struct ring
#define LOOPS_PUSH(r, e) push_mp(r, e)
#define LOOPS_POP(r, e)  pop_mc(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

static void *make(const struct flow_ring *ring, uint32_t capacity)
{
    size_t size = sizeof(struct ring) + capacity * sizeof(ck_ring_buffer_t);
    struct ring *r = aligned_alloc(FLOW_LINE, (size + FLOW_LINE - 1) / FLOW_LINE * FLOW_LINE);

    (void)ring;
    if (r != NULL) ck_ring_init(&r->ring, capacity);
    return r;
}

int main(int argc, char **argv)
{
    static const struct flow_ring rings[] = {{"ck", "spsc", &spsc, make, free, {0}},
                                             {"ck", "mpmc", &mpmc, make, free, {0}}};

    bench_info("ck", BENCH_CK_VERSION);
    flow_add_all(&rings[0]);
    flow_add_stream(&rings[0], 1, 1, FLOW_SPIN, FLOW_LARGE);
    flow_add_all(&rings[1]);
    return bench_main(argc, argv);
}
