// SPDX-License-Identifier: MIT
// Peer: Erik Rigtorp's SPSCQueue and MPMCQueue, where their headers are in the include path. Either may be
// missing.
#include "bench_flow.h"

#include <new>

#if __has_include(<rigtorp/SPSCQueue.h>)
#include <rigtorp/SPSCQueue.h>
#define HAVE_SPSC 1
#endif
#if __has_include(<rigtorp/MPMCQueue.h>)
#include <rigtorp/MPMCQueue.h>
#define HAVE_MPMC 1
#endif

namespace
{
template <typename Queue> void *make(const flow_ring *, uint32_t capacity)
{
    return new Queue(capacity);
}

template <typename Queue> void end(void *ring)
{
    delete static_cast<Queue *>(ring);
}

template <typename Queue> flow_ring of(const char *mode, const flow_kernel *kernel)
{
    return {"rigtorp", mode, kernel, make<Queue>, end<Queue>, {0, 0, 0}};
}

#ifdef HAVE_SPSC
template <typename T> inline bool pop(rigtorp::SPSCQueue<T> *q, T *e)
{
    T *front = q->front();

    if (front == nullptr) return false;
    *e = *front;
    q->pop();
    return true;
}

#define LOOPS            spsc8
#define LOOPS_BYTES      8
#define LOOPS_RING       rigtorp::SPSCQueue<flow_8>
#define LOOPS_PUSH(r, e) (r)->try_push(*(e))
#define LOOPS_POP(r, e)  pop(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            spsc64
#define LOOPS_BYTES      64
#define LOOPS_RING       rigtorp::SPSCQueue<flow_64>
#define LOOPS_PUSH(r, e) (r)->try_push(*(e))
#define LOOPS_POP(r, e)  pop(r, e)
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

const flow_ring one8 = of<rigtorp::SPSCQueue<flow_8>>("spsc", &spsc8);
const flow_ring one64 = of<rigtorp::SPSCQueue<flow_64>>("spsc", &spsc64);
#endif

#ifdef HAVE_MPMC
#define LOOPS            mpmc8
#define LOOPS_BYTES      8
#define LOOPS_RING       rigtorp::MPMCQueue<flow_8>
#define LOOPS_PUSH(r, e) (r)->try_push(*(e))
#define LOOPS_POP(r, e)  (r)->try_pop(*(e))
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

#define LOOPS            mpmc64
#define LOOPS_BYTES      64
#define LOOPS_RING       rigtorp::MPMCQueue<flow_64>
#define LOOPS_PUSH(r, e) (r)->try_push(*(e))
#define LOOPS_POP(r, e)  (r)->try_pop(*(e))
#define LOOPS_BLOCKING   0
#include "bench_flow_loops.h"

const flow_ring many8 = of<rigtorp::MPMCQueue<flow_8>>("mpmc", &mpmc8);
const flow_ring many64 = of<rigtorp::MPMCQueue<flow_64>>("mpmc", &mpmc64);
#endif
} // namespace

int main(int argc, char **argv)
{
    bench_info("rigtorp", "headers without a version");
#ifdef HAVE_SPSC
    flow_add_all(&one8);
    flow_add_stream(&one8, 1, 1, FLOW_SPIN, FLOW_LARGE);
    flow_add_pair(&one64);
    flow_add_stream(&one64, 1, 1, FLOW_SPIN, FLOW_CAPACITY);
#endif
#ifdef HAVE_MPMC
    flow_add_all(&many8);
    flow_add_pair(&many64);
    flow_add_stream(&many64, 1, 1, FLOW_SPIN, FLOW_CAPACITY);
#endif
    return bench_main(argc, argv);
}
