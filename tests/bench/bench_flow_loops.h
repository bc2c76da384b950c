/* SPDX-License-Identifier: MIT */
/* Makes a kernel (bench_flow.h) from the calls of a queue. Included once for each kernel, after
 *
 *      LOOPS                  the name of the kernel
 *      LOOPS_BYTES            8, 16, 64 or 256
 *      LOOPS_RING             what the ring's `void *` points to
 *      LOOPS_PUSH(ring, e)    true when it is in; e points to a struct flow_BYTES
 *      LOOPS_POP(ring, e)     true when it is out
 *      LOOPS_BLOCKING         1: both wait by themselves; false is a time-out and is tried again
 *      LOOPS_PUSH_MANY(ring, e, n), LOOPS_POP_MANY(ring, e, n)    optional: how many; less than 1 is none
 *
 * and takes the names back at its end.
 */
#include "bench_flow.h"

#define LOOPS_CAT2(a, b) a##b
#define LOOPS_CAT(a, b)  LOOPS_CAT2(a, b)
#define LOOPS_ELEM       struct LOOPS_CAT(flow_, LOOPS_BYTES)
#define LOOPS_LAST       (LOOPS_BYTES / 8 - 1)
#define LOOPS_NAME(part) LOOPS_CAT(LOOPS, part)
#define LOOPS_FILL(e, v) ((e).word[0] = (v), (e).word[LOOPS_LAST] = (e).word[0])

static bool LOOPS_NAME(_pair)(void *arg, uint64_t n)
{
    LOOPS_RING *ring = (LOOPS_RING *)arg;
    LOOPS_ELEM in = {{0}}, out = {{0}};
    uint64_t sum = 0, torn = 0;

    for (uint64_t i = 1; i <= n; i++) {
        LOOPS_FILL(in, i);
        if (!LOOPS_PUSH(ring, &in) || !LOOPS_POP(ring, &out)) return false;
        sum += out.word[0];
        torn |= out.word[0] ^ out.word[LOOPS_LAST];
    }
    return sum == flow_sum(0, n) && torn == 0;
}

static void LOOPS_NAME(_push)(struct flow_lane *lane)
{
    LOOPS_RING *ring = (LOOPS_RING *)lane->ring;
    LOOPS_ELEM e = {{0}};
    uint64_t value = lane->first;

    do {
        for (uint32_t i = 0; i < FLOW_CHUNK; i++) {
            LOOPS_FILL(e, ++value);
            while (!LOOPS_PUSH(ring, &e))
                flow_wait(lane);
        }
    } while (!flow_stopped(lane));
    lane->count = value - lane->first;
    lane->sum = flow_sum(lane->first, value);
    if (!flow_last_pusher(lane) || !LOOPS_BLOCKING) return;
    LOOPS_FILL(e, FLOW_END);
    for (uint32_t i = 0; i < lane->poppers; i++) {
        while (!LOOPS_PUSH(ring, &e))
            flow_wait(lane);
    }
}

static void LOOPS_NAME(_pop)(struct flow_lane *lane)
{
    LOOPS_RING *ring = (LOOPS_RING *)lane->ring;
    LOOPS_ELEM e = {{0}};
    uint64_t count = 0, sum = 0, torn = 0;
    bool ended = false;

    for (;;) {
        if (LOOPS_POP(ring, &e)) {
            if (LOOPS_BLOCKING && e.word[0] == FLOW_END) break;
            count++;
            sum += e.word[0];
            torn |= e.word[0] ^ e.word[LOOPS_LAST];
        } else if (ended) {
            break; /* nothing came after the pushers' end */
        } else {
            ended = flow_ended(lane);
            if (!ended) flow_wait(lane);
        }
    }
    lane->count = count;
    lane->sum = sum;
    lane->torn = torn;
}

static void LOOPS_NAME(_ping)(struct flow_lane *lane)
{
    LOOPS_RING *there = (LOOPS_RING *)lane->ring, *back = (LOOPS_RING *)lane->back;
    LOOPS_ELEM e = {{0}};
    uint64_t value = lane->first, torn = 0;

    do {
        LOOPS_FILL(e, ++value);
        while (!LOOPS_PUSH(there, &e))
            flow_wait(lane);
        while (!LOOPS_POP(back, &e))
            flow_wait(lane);
        torn |= (e.word[0] ^ value) | (e.word[LOOPS_LAST] ^ value);
    } while (!flow_stopped(lane));
    lane->torn = torn;
    lane->count = value - lane->first;
    lane->sum = flow_sum(lane->first, value);
    flow_last_pusher(lane);
    LOOPS_FILL(e, FLOW_END);
    while (LOOPS_BLOCKING && !LOOPS_PUSH(there, &e))
        flow_wait(lane);
}

static void LOOPS_NAME(_echo)(struct flow_lane *lane)
{
    LOOPS_RING *there = (LOOPS_RING *)lane->ring, *back = (LOOPS_RING *)lane->back;
    LOOPS_ELEM e = {{0}};
    uint64_t count = 0, sum = 0;

    for (;;) {
        if (LOOPS_POP(there, &e)) {
            if (LOOPS_BLOCKING && e.word[0] == FLOW_END) break;
            count++;
            sum += e.word[0];
            while (!LOOPS_PUSH(back, &e))
                flow_wait(lane);
        } else if (flow_ended(lane)) {
            break; /* ping has its last answer, so nothing is under way */
        } else {
            flow_wait(lane);
        }
    }
    lane->count = count;
    lane->sum = sum;
}

#ifdef LOOPS_PUSH_MANY
static void LOOPS_NAME(_push_many)(struct flow_lane *lane)
{
    LOOPS_RING *ring = (LOOPS_RING *)lane->ring;
    LOOPS_ELEM e[FLOW_BATCH] = {{{0}}};
    uint32_t batch = lane->batch;
    uint64_t value = lane->first;

    do {
        uint32_t done = 0;

        for (uint32_t i = 0; i < batch; i++)
            LOOPS_FILL(e[i], ++value);
        while (done < batch) {
            int32_t n = (int32_t)LOOPS_PUSH_MANY(ring, e + done, batch - done);

            if (n > 0)
                done += (uint32_t)n;
            else
                flow_wait(lane);
        }
    } while (!flow_stopped(lane));
    lane->count = value - lane->first;
    lane->sum = flow_sum(lane->first, value);
    flow_last_pusher(lane);
}

static void LOOPS_NAME(_pop_many)(struct flow_lane *lane)
{
    LOOPS_RING *ring = (LOOPS_RING *)lane->ring;
    LOOPS_ELEM e[FLOW_BATCH] = {{{0}}};
    uint32_t batch = lane->batch;
    uint64_t count = 0, sum = 0, torn = 0;
    bool ended = false;

    for (;;) {
        int32_t n = (int32_t)LOOPS_POP_MANY(ring, e, batch);

        if (n > 0) {
            for (int32_t i = 0; i < n; i++) {
                sum += e[i].word[0];
                torn |= e[i].word[0] ^ e[i].word[LOOPS_LAST];
            }
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
    lane->torn = torn;
}
#define LOOPS_MANY LOOPS_NAME(_push_many), LOOPS_NAME(_pop_many)
#else
#define LOOPS_MANY NULL, NULL
#endif

static const struct flow_kernel LOOPS = {LOOPS_BYTES,       LOOPS_BLOCKING,   LOOPS_NAME(_pair),
                                         LOOPS_NAME(_push), LOOPS_NAME(_pop), LOOPS_NAME(_ping),
                                         LOOPS_NAME(_echo), LOOPS_MANY};

#undef LOOPS_CAT2
#undef LOOPS_CAT
#undef LOOPS_ELEM
#undef LOOPS_LAST
#undef LOOPS_NAME
#undef LOOPS_FILL
#undef LOOPS_MANY
#undef LOOPS
#undef LOOPS_BYTES
#undef LOOPS_RING
#undef LOOPS_PUSH
#undef LOOPS_POP
#undef LOOPS_BLOCKING
#undef LOOPS_PUSH_MANY
#undef LOOPS_POP_MANY
