// SPDX-License-Identifier: MIT
// Peer: Boost.Lockfree's spsc_queue and its queue (Michael and Scott over a fixed pool: the lock-free one).
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/version.hpp>

#include "bench_flow.h"

namespace
{
using spsc_queue = boost::lockfree::spsc_queue<flow_8>;
using mpmc_queue = boost::lockfree::queue<flow_8, boost::lockfree::fixed_sized<true>>;

#define LOOPS                    spsc
#define LOOPS_BYTES              8
#define LOOPS_RING               spsc_queue
#define LOOPS_PUSH(r, e)         (r)->push(*(e))
#define LOOPS_POP(r, e)          (r)->pop(*(e))
#define LOOPS_PUSH_MANY(r, e, n) (r)->push(e, n)
#define LOOPS_POP_MANY(r, e, n)  (r)->pop(e, n)
#define LOOPS_BLOCKING           0
#include "bench_flow_loops.h"

#define LOOPS            mpmc
#define LOOPS_BYTES      8
#define LOOPS_RING       mpmc_queue
#define LOOPS_PUSH(r, e) (r)->push(*(e))
#define LOOPS_POP(r, e)  (r)->pop(*(e))
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

template <typename Queue> void *make(const flow_ring *, uint32_t capacity)
{
    return new Queue(capacity);
}

template <typename Queue> void end(void *ring)
{
    delete static_cast<Queue *>(ring);
}
} // namespace

int main(int argc, char **argv)
{
    static const flow_ring rings[] = {
        {"boost", "spsc", &spsc, make<spsc_queue>, end<spsc_queue>, {0, 0, 0}},
        {"boost", "mpmc", &mpmc, make<mpmc_queue>, end<mpmc_queue>, {0, 0, 0}}};

    bench_info("boost", BOOST_LIB_VERSION);
    flow_add_all(&rings[0]);
    flow_add_stream(&rings[0], 1, 1, FLOW_SPIN, FLOW_LARGE);
    flow_add_all(&rings[1]);
    return bench_main(argc, argv);
}
