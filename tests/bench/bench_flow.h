/* SPDX-License-Identifier: MIT */
/* Queues between threads, measured: one harness for our rings, the references and the peers in C and C++.
 *
 * A queue comes as a kernel: loops that are compiled around its calls (bench_flow_loops.h makes them from a
 * push and a pop), so that a header-only queue is inlined and nothing stands between two operations. The
 * harness runs the loops in threads for a while, stops the pushers, lets the poppers drain, and compares what
 * was pushed with what was popped: number, sum, and both ends of each element. A difference is a wrong
 * result.
 *
 * Names of the cases: ring/SHAPE/MODE/BYTES[/...], SHAPE one of
 *
 *      pair      one thread, a push and a pop                                     ns a pair
 *      1-1       a pusher and a popper, each on a CPU of its own                  ns an element
 *      batch     the same, 16 or 64 elements a call                               ns an element
 *      4-1 ..    several threads, free to move: more of them than CPUs            ns an element, all together
 *      pingpong  two queues, one element there and back, each thread on its CPU   ns a round trip
 *
 * A thread that finds the queue full or empty waits as the case says: `spin` one pause, `yield` sched_yield,
 * `block` the queue's own blocking call. A queue that waits inside its calls does so in all three.
 * The CPUs are the first two allowed (bench_pin); taskset chooses others.
 *
 * Threads: this is called from the main thread. Compiles as C11 and C++11; gcc and clang.
 */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include <sched.h>

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FLOW_CAPACITY 1024
#define FLOW_LARGE    65536
#define FLOW_BATCH    64 /* the largest */
#define FLOW_CHUNK    64 /* elements pushed between two looks at the stop flag */
#define FLOW_LANES    8
#define FLOW_LINE     128

#define FLOW_END UINT64_MAX

/* word[0] and the last word carry the same value, never 0: some queues hold pointers. */
struct flow_8 {
    uint64_t word[1];
};
struct flow_16 {
    uint64_t word[2];
};
struct flow_64 {
    uint64_t word[8];
};
struct flow_256 {
    uint64_t word[32];
};

enum { FLOW_SPIN, FLOW_YIELD, FLOW_BLOCK };

/* What the threads of one run share. */
struct flow {
    uint32_t stop; /* atomic; the pushers are to end */
    char pad1[FLOW_LINE - 4];
    uint32_t ended; /* atomic; the pushers have ended: who finds the queue empty now is done */
    char pad2[FLOW_LINE - 4];
    uint32_t pushers_left; /* atomic */
    uint32_t aligned;      /* atomic; threads at the start line */
};

/* One thread of a run. */
struct flow_lane {
    struct flow *flow;
    void *ring, *back; /* back: pingpong only */
    uint32_t wait, batch, poppers;
    uint64_t first;      /* a pusher pushes first + 1, first + 2, .. */
    uint64_t count, sum; /* out: elements that went through this thread */
    uint64_t torn;       /* out: not 0: the two ends of an element differed, or an answer was another's */
    int64_t start, end;  /* out */
    int64_t waited;      /* out: for a CPU */
    void (*loop)(struct flow_lane *lane);
    int32_t cpu; /* the which-th one allowed, -1: any */
};

typedef void (*flow_loop)(struct flow_lane *lane);

struct flow_kernel {
    uint32_t elem_bytes;
    bool blocking;       /* its push and pop wait by themselves, and its poppers end at FLOW_END */
    bench_batch_fn pair; /* of the ring */
    flow_loop push, pop, ping, echo;
    flow_loop push_many, pop_many; /* NULL: the queue has no batches */
};

struct flow_ring {
    const char *impl; /* the column "by" */
    const char *mode; /* spsc, mpsc, spmc, mpmc */
    const struct flow_kernel *kernel;
    void *(*make)(const struct flow_ring *ring, uint32_t capacity); /* NULL: set-up failed */
    void (*end)(void *ring);
    uint32_t param[3]; /* for make */
};

/* Each adds a case; ring stays the caller's and must last. */
void flow_add_pair(const struct flow_ring *ring);
void flow_add_stream(const struct flow_ring *ring, uint32_t pushers, uint32_t poppers, uint32_t wait,
                     uint32_t capacity);
void flow_add_batch(const struct flow_ring *ring, uint32_t batch);
void flow_add_pingpong(const struct flow_ring *ring);
/* What every peer is measured with, as far as its kernel and mode allow. */
void flow_add_all(const struct flow_ring *ring);

/* ---- for the loops ---- */

static inline void flow_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory"); /* yield is a no-op on most cores */
#endif
}

static inline void flow_wait(const struct flow_lane *lane)
{
    if (lane->wait == FLOW_YIELD)
        sched_yield();
    else
        flow_pause();
}

static inline bool flow_stopped(const struct flow_lane *lane)
{
    return __atomic_load_n(&lane->flow->stop, __ATOMIC_RELAXED) != 0;
}

/* acquire: pairs with flow_last_pusher; whatever was pushed can be found now. */
static inline bool flow_ended(const struct flow_lane *lane)
{
    return __atomic_load_n(&lane->flow->ended, __ATOMIC_ACQUIRE) != 0;
}

/* A pusher is done; true for the last one. */
static inline bool flow_last_pusher(struct flow_lane *lane)
{
    if (__atomic_sub_fetch(&lane->flow->pushers_left, 1, __ATOMIC_ACQ_REL) != 0) return false;
    __atomic_store_n(&lane->flow->ended, 1, __ATOMIC_RELEASE);
    return true;
}

/* first + 1 to last, modulo 2^64 as the poppers add. */
static inline uint64_t flow_sum(uint64_t first, uint64_t last)
{
    uint64_t n = last - first;

    return n * first + (n % 2 == 0 ? n / 2 * (n + 1) : (n + 1) / 2 * n);
}

#ifdef __cplusplus
}
#endif
#endif
