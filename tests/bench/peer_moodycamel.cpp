// SPDX-License-Identifier: MIT
// Peer: Cameron Desrochers' readerwriterqueue (rwq; blocking: its circular buffer) and concurrentqueue (cq).
// Either may be missing. concurrentqueue is not FIFO across producers and its bound is per producer; its push
// has no form that waits, so the blocking rows yield there.
#include "bench_flow.h"

#if __has_include(<readerwriterqueue/readerwriterqueue.h>)
#include <readerwriterqueue/readerwritercircularbuffer.h>
#include <readerwriterqueue/readerwriterqueue.h>
#define HAVE_RWQ 1
#endif
#if __has_include(<concurrentqueue/blockingconcurrentqueue.h>)
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>
#define HAVE_CQ 1
#endif

namespace
{
template <typename Queue> void end(void *ring)
{
    delete static_cast<Queue *>(ring);
}

#ifdef HAVE_RWQ
using rwq = moodycamel::ReaderWriterQueue<flow_8>;
using circular = moodycamel::BlockingReaderWriterCircularBuffer<flow_8>;

#define LOOPS            rwq_tries
#define LOOPS_BYTES      8
#define LOOPS_RING       rwq
#define LOOPS_PUSH(r, e) (r)->try_enqueue(*(e))
#define LOOPS_POP(r, e)  (r)->try_dequeue(*(e))
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            rwq_blocks
#define LOOPS_BYTES      8
#define LOOPS_RING       circular
#define LOOPS_PUSH(r, e) ((r)->wait_enqueue(*(e)), true)
#define LOOPS_POP(r, e)  ((r)->wait_dequeue(*(e)), true)
#define LOOPS_BLOCKING   1
#include "bench_flow_loops.h"

template <typename Queue> void *make(const flow_ring *, uint32_t capacity)
{
    return new Queue(capacity);
}

void add_rwq()
{
    static const flow_ring tries = {"rwq", "spsc", &rwq_tries, make<rwq>, end<rwq>, {0, 0, 0}};
    static const flow_ring blocks = {"rwq", "spsc", &rwq_blocks, make<circular>, end<circular>, {0, 0, 0}};

    flow_add_all(&tries);
    flow_add_stream(&tries, 1, 1, FLOW_SPIN, FLOW_LARGE);
    flow_add_all(&blocks);
}
#endif

#ifdef HAVE_CQ
using cq = moodycamel::ConcurrentQueue<flow_8>;
using blocking_cq = moodycamel::BlockingConcurrentQueue<flow_8>;

#define LOOPS                    cq_tries
#define LOOPS_BYTES              8
#define LOOPS_RING               cq
#define LOOPS_PUSH(r, e)         (r)->try_enqueue(*(e))
#define LOOPS_POP(r, e)          (r)->try_dequeue(*(e))
#define LOOPS_PUSH_MANY(r, e, n) ((r)->try_enqueue_bulk(e, n) ? (n) : 0)
#define LOOPS_POP_MANY(r, e, n)  (r)->try_dequeue_bulk(e, n)
#define LOOPS_BLOCKING           0
#include "bench_flow_loops.h"

#define LOOPS            cq_blocks
#define LOOPS_BYTES      8
#define LOOPS_RING       blocking_cq
#define LOOPS_PUSH(r, e) ((r)->try_enqueue(*(e)) || (sched_yield(), false))
#define LOOPS_POP(r, e)  ((r)->wait_dequeue(*(e)), true)
#define LOOPS_BLOCKING   1
#include "bench_flow_loops.h"

template <typename Queue> void *make_many(const flow_ring *, uint32_t capacity)
{
    return new Queue(capacity, 0, FLOW_LANES);
}

void add_cq()
{
    static const flow_ring tries = {"cq", "mpmc", &cq_tries, make_many<cq>, end<cq>, {0, 0, 0}};
    static const flow_ring blocks = {
        "cq", "mpmc", &cq_blocks, make_many<blocking_cq>, end<blocking_cq>, {0, 0, 0}};

    flow_add_all(&tries);
    flow_add_stream(&blocks, 1, 1, FLOW_BLOCK, FLOW_CAPACITY);
    flow_add_stream(&blocks, 4, 4, FLOW_BLOCK, FLOW_CAPACITY);
}
#endif
} // namespace

int main(int argc, char **argv)
{
#ifdef HAVE_RWQ
    bench_info("readerwriterqueue", BENCH_RWQ_VERSION);
    add_rwq();
#endif
#ifdef HAVE_CQ
    bench_info("concurrentqueue", BENCH_CQ_VERSION);
    add_cq();
#endif
    return bench_main(argc, argv);
}
