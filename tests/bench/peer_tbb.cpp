// SPDX-License-Identifier: MIT
// Peer: oneTBB's concurrent_bounded_queue, tried and blocking.
#include <oneapi/tbb/concurrent_queue.h>
#include <oneapi/tbb/version.h>

#include "bench_flow.h"

namespace
{
using queue = oneapi::tbb::concurrent_bounded_queue<uint64_t>;

#define LOOPS            tries
#define LOOPS_BYTES      8
#define LOOPS_RING       queue
#define LOOPS_PUSH(r, e) (r)->try_push((e)->word[0])
#define LOOPS_POP(r, e)  (r)->try_pop((e)->word[0])
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            blocks
#define LOOPS_BYTES      8
#define LOOPS_RING       queue
#define LOOPS_PUSH(r, e) ((r)->push((e)->word[0]), true)
#define LOOPS_POP(r, e)  ((r)->pop((e)->word[0]), true)
#define LOOPS_BLOCKING   1
#include "bench_flow_loops.h"

void *make(const flow_ring *, uint32_t capacity)
{
    queue *q = new queue;

    q->set_capacity(capacity);
    return q;
}

void end(void *ring)
{
    delete static_cast<queue *>(ring);
}
} // namespace

int main(int argc, char **argv)
{
    static const flow_ring rings[] = {{"tbb", "mpmc", &tries, make, end, {0, 0, 0}},
                                      {"tbb", "mpmc", &blocks, make, end, {0, 0, 0}}};

    bench_info("tbb", TBB_VERSION_STRING);
    flow_add_all(&rings[0]);
    flow_add_all(&rings[1]);
    return bench_main(argc, argv);
}
