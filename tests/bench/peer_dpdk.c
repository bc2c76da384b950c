/* SPDX-License-Identifier: MIT */
/* Peer: DPDK's rte_ring over memory of our own, without its environment layer: single producer and consumer,
 * the default of many (in-order commit), and head-tail-sync. It holds pointers; one slot of the size stays
 * free, so 1023 elements fit. The many-threads forms wait inside their calls. */
#include <rte_ring.h>
#include <rte_version.h>
#include <stdlib.h>

#include "bench_flow.h"

/* Its calls move pointers as words of 64 bits, so that ours may be given in their place. */
_Static_assert(sizeof(struct flow_8) == sizeof(void *), "DPDK's ring holds pointers");

#define IN(e)  ((void *const *)(const void *)(e))
#define OUT(e) ((void **)(void *)(e))

#define LOOPS                    spsc
#define LOOPS_BYTES              8
#define LOOPS_RING               struct rte_ring
#define LOOPS_PUSH(r, e)         (rte_ring_sp_enqueue(r, (void *)(uintptr_t)(e)->word[0]) == 0)
#define LOOPS_POP(r, e)          (rte_ring_sc_dequeue(r, OUT(e)) == 0)
#define LOOPS_PUSH_MANY(r, e, n) rte_ring_sp_enqueue_burst(r, IN(e), n, NULL)
#define LOOPS_POP_MANY(r, e, n)  rte_ring_sc_dequeue_burst(r, OUT(e), n, NULL)
#define LOOPS_BLOCKING           0
#include "bench_flow_loops.h"

#define LOOPS                    mpmc
#define LOOPS_BYTES              8
#define LOOPS_RING               struct rte_ring
#define LOOPS_PUSH(r, e)         (rte_ring_mp_enqueue(r, (void *)(uintptr_t)(e)->word[0]) == 0)
#define LOOPS_POP(r, e)          (rte_ring_mc_dequeue(r, OUT(e)) == 0)
#define LOOPS_PUSH_MANY(r, e, n) rte_ring_mp_enqueue_burst(r, IN(e), n, NULL)
#define LOOPS_POP_MANY(r, e, n)  rte_ring_mc_dequeue_burst(r, OUT(e), n, NULL)
#define LOOPS_BLOCKING           0
#include "bench_flow_loops.h"

#define LOOPS                    hts
#define LOOPS_BYTES              8
#define LOOPS_RING               struct rte_ring
#define LOOPS_PUSH(r, e)         (rte_ring_mp_hts_enqueue_burst(r, IN(e), 1, NULL) == 1)
#define LOOPS_POP(r, e)          (rte_ring_mc_hts_dequeue_burst(r, OUT(e), 1, NULL) == 1)
#define LOOPS_PUSH_MANY(r, e, n) rte_ring_mp_hts_enqueue_burst(r, IN(e), n, NULL)
#define LOOPS_POP_MANY(r, e, n)  rte_ring_mc_hts_dequeue_burst(r, OUT(e), n, NULL)
#define LOOPS_BLOCKING           0
#include "bench_flow_loops.h"

static void *make(const struct flow_ring *ring, uint32_t capacity)
{
    ssize_t size = rte_ring_get_memsize(capacity);
    struct rte_ring *r;

    if (size < 0) return NULL;
    r = aligned_alloc(FLOW_LINE, ((size_t)size + FLOW_LINE - 1) / FLOW_LINE * FLOW_LINE);
    if (r == NULL) return NULL;
    if (rte_ring_init(r, "bench", capacity, ring->param[0]) == 0) return r;
    free(r);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct flow_ring rings[] = {
        {"dpdk", "spsc", &spsc, make, free, {RING_F_SP_ENQ | RING_F_SC_DEQ}},
        {"dpdk", "mpmc", &mpmc, make, free, {0}},
        {"dpdk-hts", "mpmc", &hts, make, free, {RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ}}};

    bench_info("dpdk", rte_version());
    flow_add_all(&rings[0]);
    flow_add_stream(&rings[0], 1, 1, FLOW_SPIN, FLOW_LARGE);
    flow_add_all(&rings[1]);
    flow_add_all(&rings[2]);
    return bench_main(argc, argv);
}
